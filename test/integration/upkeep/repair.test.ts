import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { MLDSA65_SIGNATURE_BYTES } from '../../../src/crypto/signature.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import type { ObjectRow } from '../../../src/ports/catalog/layout.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { repair, type Repaired, type RepairPorts } from '../../../src/upkeep/blind/repair.ts'
import { scrub } from '../../../src/upkeep/blind/scrub.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import { failAll } from '../../support/memory-store.ts'
import type { TestVaultOptions } from '../../support/test-vault.ts'
import { makeStage, never, sha256, type Stage } from '../../support/upkeep-stage.ts'

const HOUR_MS = 3_600_000
const content = randomBytes(18 * 262_112 + 777)

let stage: Stage
let recording: string
afterEach(async () => {
  await stage.close()
})

async function begin(options: TestVaultOptions & { readonly nodesCount?: number } = {}): Promise<void> {
  stage = await makeStage(options)
  recording = await stage.store(content)
}

const ports = (): RepairPorts => ({
  ...stage,
  signer: shareSigner(stage.keyring),
})
const mend = async (signal = never): Promise<Repaired | undefined> =>
  await repair(ports(), { bytesPerSecond: Infinity }, signal)
const look = async (): Promise<number> => {
  const scrubbed = await scrub(stage, { bytesPerSecond: Infinity }, never)
  return scrubbed!.findings + (await survey(stage, never))
}
const bytesOf = (row: ObjectRow): Uint8Array | undefined => stage.storeOf(row.node).objects.get(row.key)?.slice()

/** All of a fragment; of a manifest's share all but its ML-DSA signature, which is another each time (docs/FORMAT.md §8). */
function signedPart({ role }: ObjectRow, bytes: Uint8Array): Uint8Array {
  return role.kind === 'fragment' ? bytes : bytes.subarray(0, -MLDSA65_SIGNATURE_BYTES)
}

/** Nothing is broken or missing, and the content is the same. */
async function expectWell(): Promise<void> {
  expect((await fsck(stage, never)).violations).toEqual([])
  expect(await look()).toBe(0)
  expect(await stage.sha256Of(recording)).toBe(sha256(content))
  expect(await stage.catalog.upkeep.backlog()).toEqual([])
}

describe('repair', () => {
  it.each([
    ['missing', (row: ObjectRow) => void stage.storeOf(row.node).objects.delete(row.key)],
    ['truncated', (row: ObjectRow) => stage.storeOf(row.node).truncate(row.key, row.sizeBytes! >> 1)],
    ['flipped', (row: ObjectRow) => stage.storeOf(row.node).corrupt(row.key, row.sizeBytes! >> 1)],
  ])('makes shares that are %s again: the same bytes, on the same nodes', async (_, damage) => {
    await begin({ placementRule: 'strict' })
    const lost = [...(await stage.fragmentsOf(recording)).slice(1, 3), ...(await stage.sharesOf(recording)).slice(3, 5)]
    const before = lost.map(bytesOf)
    lost.forEach(damage)
    expect(await look()).toBe(4)
    expect(await mend()).toEqual({ groups: 2, shares: 4, waiting: 0 })
    const now = [...(await stage.fragmentsOf(recording)).slice(1, 3), ...(await stage.sharesOf(recording)).slice(3, 5)]
    now.forEach((row, i) => {
      expect(row).toMatchObject({ node: lost[i]!.node, index: lost[i]!.index, sharing: lost[i]!.sharing })
      expect(row.key).not.toBe(lost[i]!.key)
      expect(sha256(signedPart(row, bytesOf(row)!))).toBe(sha256(signedPart(row, before[i]!)))
    })
    await expectWell()
    expect(await mend()).toEqual({ groups: 0, shares: 0, waiting: 0 })
    stage.clock.movedMs += HOUR_MS
    await collect(stage, never)
    for (const row of lost) expect(bytesOf(row)).toBeUndefined()
    await expectWell()
  })

  it('lets no share stand that was made under a lease which another process has taken over', async () => {
    await begin()
    const [lost] = await stage.fragmentsOf(recording)
    stage.storeOf(lost!.node).objects.delete(lost!.key)
    await look()
    const before = await stage.fragmentsOf(recording)
    let isStolen = false
    for (const store of stage.stores) {
      store.fault = ({ call }) => {
        if (call === 'commit' && !isStolen) {
          isStolen = true
          stage.clock.movedMs += HOUR_MS
          void stage.catalog.upkeep.claimTask('repair', stage.clock.nowMs(), HOUR_MS)
        }
        return undefined
      }
    }
    await expect(mend()).rejects.toMatchObject({ code: 'E_LEASE_LOST' })
    expect(isStolen).toBe(true)
    expect(await stage.fragmentsOf(recording)).toEqual(before)
    for (const store of stage.stores) store.fault = undefined
    stage.clock.movedMs += 2 * HOUR_MS
    expect(await mend()).toMatchObject({ groups: 1, shares: 1, waiting: 0 })
    await expectWell()
  })

  it('computes every single share from any k others', async () => {
    await begin({ scheme: { k: 2, n: 5, t: 1 } })
    const all = await stage.fragmentsOf(recording)
    const before = all.map((row) => sha256(bytesOf(row)!))
    for (let i = 0; i < 5; i++) {
      const rows = await stage.fragmentsOf(recording)
      for (const row of rows.filter(({ index }) => index !== i && index !== (i + 2) % 5)) {
        stage.storeOf(row.node).objects.delete(row.key)
      }
      await look()
      expect(await mend()).toMatchObject({ shares: 3, waiting: 0 })
      expect((await stage.fragmentsOf(recording)).map((row) => sha256(bytesOf(row)!))).toEqual(before)
    }
    await expectWell()
  })

  it('moves a share elsewhere when its node takes no writes, as the placement rule lets it', async () => {
    await begin({ placementRule: 'strict', nodesCount: 7 })
    const [row] = await stage.fragmentsOf(recording)
    stage.storeOf(row!.node).objects.delete(row!.key)
    await stage.catalog.installation.setNodeState(row!.node, 'read-only')
    await look()
    expect(await mend()).toEqual({ groups: 1, shares: 1, waiting: 0 })
    const [moved] = await stage.fragmentsOf(recording)
    expect(moved!.node).not.toBe(row!.node)
    expect(new Set((await stage.fragmentsOf(recording)).map(({ node }) => node)).size).toBe(5)
    await expectWell()
  })

  it('waits when only those are left who held another share of it, also long ago', async () => {
    await begin({ placementRule: 'strict', nodesCount: 6 })
    const rows = await stage.fragmentsOf(recording)
    const free = stage.nodes.find(({ id }) => rows.every(({ node }) => node !== id))!
    const owner = stage.nodes.find(({ id }) => id === rows[3]!.node)!
    await stage.catalog.installation.setNodeOwnership(free.id, owner)
    await stage.catalog.installation.setNodeState(rows[0]!.node, 'read-only')
    stage.storeOf(rows[0]!.node).objects.delete(rows[0]!.key)
    await look()
    expect(await mend()).toEqual({ groups: 0, shares: 0, waiting: 1 })
    expect(await stage.fragmentsOf(recording)).toEqual(rows)
    // A node of somebody else comes; the group is tried again when its time is over.
    await stage.catalog.installation.setNodeOwnership(free.id, free)
    await stage.catalog.installation.setNodeState(rows[0]!.node, 'active')
    stage.clock.movedMs += HOUR_MS
    expect(await mend()).toMatchObject({ groups: 1, waiting: 0 })
  })

  it('completes a degraded write, and keeps to the sharing', async () => {
    stage = await makeStage()
    stage.stores[2]!.fault = failAll()
    recording = await stage.store(content)
    stage.stores[2]!.fault = undefined
    expect(await stage.fragmentsOf(recording)).toHaveLength(4)
    expect(await survey(stage, never)).toBe(2)
    expect(await mend()).toEqual({ groups: 2, shares: 2, waiting: 0 })
    expect(await stage.fragmentsOf(recording)).toHaveLength(5)
    expect(new Set((await stage.fragmentsOf(recording)).map(({ sharing }) => sharing)).size).toBe(1)
    await expectWell()
  })

  it('says so when fewer than k are good, writes nothing, and heals when the nodes are back', async () => {
    await begin()
    const rows = await stage.fragmentsOf(recording)
    stage.storeOf(rows[0]!.node).objects.delete(rows[0]!.key)
    await look()
    for (const row of rows.slice(1, 4)) stage.storeOf(row.node).fault = failAll()
    const count = stage.stores.reduce((sum, store) => sum + store.objects.size, 0)
    expect(await mend()).toEqual({ groups: 0, shares: 0, waiting: 1 })
    expect(stage.stores.reduce((sum, store) => sum + store.objects.size, 0)).toBe(count)
    expect((await stage.catalog.upkeep.surveyed(recording))!.objects.filter(({ state }) => state !== 'stored')).toEqual(
      [],
    )
    for (const store of stage.stores) store.fault = undefined
    expect(await mend()).toEqual({ groups: 0, shares: 0, waiting: 0 })
    stage.clock.movedMs += HOUR_MS
    expect(await mend()).toEqual({ groups: 1, shares: 1, waiting: 0 })
    await expectWell()
  })

  it.each([5, 8])('finds on its way that sources of %i are bad too, and mends them as well', async (n) => {
    await begin({ scheme: { k: 2, n, t: 1 }, nodesCount: n })
    const rows = await stage.fragmentsOf(recording)
    stage.storeOf(rows[0]!.node).objects.delete(rows[0]!.key)
    await look()
    // After the scrub, in different segments: no two are good throughout.
    for (const [i, row] of rows.slice(1).entries()) stage.storeOf(row.node).corrupt(row.key, 300 + i * 700_000)
    expect(await mend()).toMatchObject({ waiting: 0 })
    await look()
    await mend()
    await expectWell()
  })

  it('does not take what does not answer for lost', async () => {
    await begin()
    stage.stores[1]!.fault = failAll()
    expect(await look()).toBe(0)
    expect(await mend()).toEqual({ groups: 0, shares: 0, waiting: 0 })
  })

  it('empties a node that is draining and one that was dismissed, without opening anything', async () => {
    await begin({ placementRule: 'strict', nodesCount: 7 })
    const rows = await stage.fragmentsOf(recording)
    await stage.catalog.installation.setNodeState(rows[0]!.node, 'draining')
    await stage.catalog.installation.setNodeState(rows[1]!.node, 'dismissed')
    await survey(stage, never)
    // What the dismissed one knows is worth nothing any more: both are shared anew, whole.
    expect(await mend()).toMatchObject({ groups: 2, shares: 10, waiting: 0 })
    const nodes = [...(await stage.fragmentsOf(recording)), ...(await stage.sharesOf(recording))].map(
      ({ node }) => node,
    )
    expect(nodes).not.toContain(rows[0]!.node)
    expect(nodes).not.toContain(rows[1]!.node)
    expect(await stage.sha256Of(recording)).toBe(sha256(content))
    expect(await survey(stage, never)).toBe(0)
  })

  it('lets go of a share on a draining node that was made anew by a repair which died before it said so', async () => {
    await begin({ nodesCount: 6 })
    const rows = [(await stage.fragmentsOf(recording))[0]!, (await stage.sharesOf(recording))[0]!]
    expect(rows[0]!.node).toBe(rows[1]!.node)
    await stage.catalog.installation.setNodeState(rows[0]!.node, 'draining')
    await survey(stage, never)
    const dying = {
      ...ports(),
      catalog: {
        ...stage.catalog,
        layout: {
          ...stage.catalog.layout,
          setObjectState: async (...given: Parameters<typeof stage.catalog.layout.setObjectState>) => {
            if (given[2] === 'superseded') throw new MosaikError('E_CATALOG_UNREACHABLE', 'it died here')
            await stage.catalog.layout.setObjectState(...given)
          },
        },
      },
    }
    await repair(dying, { bytesPerSecond: Infinity }, never)
    expect((await stage.fragmentsOf(recording)).filter(({ index }) => index === 0)).toHaveLength(2)
    stage.clock.movedMs += HOUR_MS
    await survey(stage, never)
    await mend()
    for (const now of [await stage.fragmentsOf(recording), await stage.sharesOf(recording)]) {
      expect(now.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4])
      expect(now.map(({ node }) => node)).not.toContain(rows[0]!.node)
    }
    await expectWell()
  })

  it('can be stopped at any call to a node, and the next run mends', async () => {
    await begin()
    for (let calls = 1; calls < 60; calls += 6) {
      const rows = await stage.fragmentsOf(recording)
      const row = rows[calls % 5]!
      stage.storeOf(row.node).objects.delete(row.key)
      await look()
      const stop = new AbortController()
      let count = 0
      for (const store of stage.stores) {
        store.fault = () => {
          if (++count === calls) stop.abort(new Error('stopped'))
          return undefined
        }
      }
      await mend(stop.signal).catch(() => undefined)
      for (const store of stage.stores) store.fault = undefined
      stage.clock.movedMs += HOUR_MS
      await mend()
      expect(await look()).toBe(0)
    }
    await expectWell()
  })

  it('goes on when its target fails, on another node', async () => {
    await begin({ nodesCount: 6 })
    const rows = await stage.fragmentsOf(recording)
    const target = stage.storeOf(rows[0]!.node)
    target.objects.delete(rows[0]!.key)
    await look()
    target.fault = ({ call }) => (call === 'commit' ? { fail: 'E_NODE_FULL' } : undefined)
    expect(await mend()).toEqual({ groups: 1, shares: 1, waiting: 0 })
    expect((await stage.fragmentsOf(recording))[0]!.node).not.toBe(rows[0]!.node)
  })

  it('leaves a recording alone whose generation went on meanwhile', async () => {
    await begin()
    const [share] = await stage.sharesOf(recording)
    stage.storeOf(share!.node).objects.delete(share!.key)
    await look()
    await stage.catalog.recordings.update(recording, { generation: 2 }, 5)
    expect(await mend()).toEqual({ groups: 1, shares: 0, waiting: 0 })
  })

  it('puts cards again', async () => {
    await begin()
    const [card] = await stage.catalog.layout.organisationObjects(stage.organisation, 'card')
    stage.storeOf(card!.node).corrupt(card!.key, 50)
    expect(await look()).toBe(1)
    expect(await mend()).toEqual({ groups: 1, shares: 1, waiting: 0 })
    await expectWell()
  })

  it('takes what has the least to lose first', async () => {
    await begin()
    const second = await stage.store(randomBytes(1000))
    const [a] = await stage.fragmentsOf(recording)
    stage.storeOf(a!.node).objects.delete(a!.key)
    for (const row of (await stage.fragmentsOf(second)).slice(0, 2)) stage.storeOf(row.node).objects.delete(row.key)
    await look()
    const order: string[] = []
    await repair(
      { ...ports(), log: { ...stage.log, info: (_, fields) => void order.push(String(fields?.['group'])) } },
      { bytesPerSecond: Infinity },
      never,
    )
    const attempts = [(await stage.fragmentsOf(second))[0]!, a!].map(
      ({ role }) => (role as { attempt: string }).attempt,
    )
    expect(order.map((group) => group.split('/')[1])).toEqual(attempts)
  })
})
