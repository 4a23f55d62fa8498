import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { main as standaloneReader } from '../../../scripts/standalone-reader/read.ts'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { directoryPath } from '../../../src/format/object-names.ts'
import { encodeRecoveryKey } from '../../../src/format/recovery-key.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import type { ObjectRow } from '../../../src/ports/catalog/layout.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { repair, type Repaired, type RepairPorts } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import { Crash } from '../../support/crash.ts'
import { failAll } from '../../support/memory-store.ts'
import type { TestVaultOptions } from '../../support/test-vault.ts'
import { makeStage, never, sha256, type Stage } from '../../support/upkeep-stage.ts'

const HOUR_MS = 3_600_000
const content = randomBytes(262_112 + 777)

let stage: Stage
let recording: string
const folders: string[] = []
afterEach(async () => {
  await stage.close()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

async function begin(options: TestVaultOptions & { readonly nodesCount?: number } = {}): Promise<void> {
  stage = await makeStage({ placementRule: 'strict', nodesCount: 6, ...options })
  recording = await stage.store(content)
}

const ports = (): RepairPorts => ({ ...stage, signer: shareSigner(stage.keyring) })
const work = async (signal = never): Promise<Repaired | undefined> =>
  await repair(ports(), { bytesPerSecond: Infinity }, signal)
const surveyed = async (): Promise<number> => await survey(stage, never)
const standing = async (): Promise<ObjectRow[]> => [
  ...(await stage.fragmentsOf(recording)),
  ...(await stage.sharesOf(recording)),
]
const sharingsOf = (rows: readonly ObjectRow[]): (string | null)[] => [...new Set(rows.map(({ sharing }) => sharing))]

/** Asks for a new sharing of everything of the recording. */
async function askForFresh(): Promise<void> {
  const one = await stage.catalog.upkeep.surveyed(recording)
  const { shareGroups } = await import('../../../src/upkeep/blind/share-groups.ts')
  const findings = shareGroups(one!).map(({ name, organisation }) => ({
    ...{ kind: 'refresh' as const, group: name, organisation, recording, node: null, object: null, index: -1 },
    ...{ slack: 2, fields: {} },
  }))
  await stage.catalog.upkeep.report(findings, stage.clock.nowMs())
}

/** Nothing is broken or missing, and the content is the same, for the vault and for the standalone reader. */
async function expectWell(): Promise<void> {
  expect((await fsck(stage, never)).violations).toEqual([])
  expect(await surveyed()).toBe(0)
  expect(await stage.catalog.upkeep.backlog()).toEqual([])
  expect(await stage.sha256Of(recording)).toBe(sha256(content))
}

/** What the standalone reader restores from copies of the nodes; nodes that are left out are gone. */
async function restoredAlone(without: readonly string[] = []): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-alone-'))
  folders.push(folder)
  const roots = stage.nodes
    .filter(({ id }) => !without.includes(id))
    .map(({ id, name }) => {
      for (const [key, bytes] of stage.storeOf(id).objects) {
        const path = join(folder, 'nodes', name, directoryPath(key))
        mkdirSync(dirname(path), { recursive: true })
        writeFileSync(path, bytes)
      }
      return join(folder, 'nodes', name)
    })
  const seed = await stage.keyring.pendingRecoverySeed(stage.organisation)
  const env = { MOSAIK_RECOVERY_KEY: encodeRecoveryKey(seed!, nodePrimitives.sha256) }
  const lines: string[] = []
  const say = (line: string): void => void lines.push(line)
  await standaloneReader(['restore', '--out', join(folder, 'out'), ...roots], { out: say, err: say, env })
  const [name] = readdirSync(join(folder, 'out', recording))
  return createHash('sha256')
    .update(readFileSync(join(folder, 'out', recording, name!)))
    .digest('hex')
}

describe('a new sharing', () => {
  it('takes the place of the old one, which stays readable for a while, and for nothing after', async () => {
    await begin()
    const before = await standing()
    await askForFresh()
    expect(await work()).toEqual({ groups: 2, shares: 10, waiting: 0 })
    const after = await standing()
    expect(after).toHaveLength(10)
    expect(sharingsOf(after).filter((sharing) => sharingsOf(before).includes(sharing))).toEqual([])
    await expectWell()
    // Whoever pinned the old one reads on.
    for (const { node, key } of before) expect(stage.storeOf(node).objects.has(key)).toBe(true)
    expect(await restoredAlone()).toBe(sha256(content))
    await collect(stage, never)
    for (const { node, key } of before) expect(stage.storeOf(node).objects.has(key)).toBe(true)
    stage.clock.movedMs += HOUR_MS
    await collect(stage, never)
    for (const { node, key } of before) expect(stage.storeOf(node).objects.has(key)).toBe(false)
    await expectWell()
    expect(await restoredAlone()).toBe(sha256(content))
  })

  it('makes what a dismissed node knows worthless, and never asks it again', async () => {
    await begin()
    const old = await stage.fragmentsOf(recording)
    const dismissed = old[0]!.node
    // k − 1 shares that somebody kept, the dismissed node's among them.
    const kept = old.slice(0, 2).map((row) => ({ row, bytes: stage.storeOf(row.node).objects.get(row.key)!.slice() }))
    await stage.catalog.installation.setNodeState(dismissed, 'dismissed')
    stage.pool.refresh()
    expect(await surveyed()).toBeGreaterThan(0)
    const calls = stage.storeOf(dismissed).callCount
    expect(await work()).toMatchObject({ waiting: 0 })
    expect(stage.storeOf(dismissed).callCount).toBe(calls)
    for (const row of await standing()) expect(row.node).not.toBe(dismissed)
    await expectWell()
    // All of the old sharing but those two is deleted; they stay with whoever kept them.
    stage.clock.movedMs += HOUR_MS
    await collect(stage, never)
    for (const store of stage.stores) for (const { row } of kept) store.objects.delete(row.key)
    for (const { row, bytes } of kept) stage.storeOf(row.node).objects.set(row.key, bytes)
    // The old two and k − 1 = 2 of the new ones do not restore.
    const fresh = (await stage.fragmentsOf(recording)).filter(({ node }) => node !== dismissed)
    for (const row of fresh.slice(2)) stage.storeOf(row.node).objects.delete(row.key)
    await expect(restoredAlone()).rejects.toThrow()
  })

  it('counts who held a share once: dismissed after it was drained', async () => {
    await begin({ nodesCount: 7 })
    const [row] = await stage.fragmentsOf(recording)
    await stage.catalog.installation.setNodeState(row!.node, 'draining')
    stage.pool.refresh()
    await surveyed()
    await work()
    stage.clock.movedMs += HOUR_MS
    await collect(stage, never)
    const before = sharingsOf(await stage.fragmentsOf(recording))
    await stage.catalog.installation.setNodeState(row!.node, 'dismissed')
    stage.pool.refresh()
    await surveyed()
    expect(await work()).toMatchObject({ waiting: 0 })
    expect(sharingsOf(await stage.fragmentsOf(recording))).not.toEqual(before)
    await expectWell()
  })

  it('mends a violation when an owner is bought, ahead of a lost share', async () => {
    await begin({ nodesCount: 7 })
    const second = await stage.store(randomBytes(1000))
    const rows = await stage.fragmentsOf(recording)
    const lost = (await stage.fragmentsOf(second)).find(({ node }) => node !== rows[0]!.node && node !== rows[1]!.node)!
    stage.storeOf(lost.node).objects.delete(lost.key)
    const buyer = stage.nodes.find(({ id }) => id === rows[0]!.node)!
    await stage.catalog.installation.setNodeOwnership(rows[1]!.node, { ...buyer, site: 'site of the bought' })
    expect(await surveyed()).toBeGreaterThan(0)
    await stage.catalog.upkeep.report(
      [
        {
          ...{ kind: 'missing', organisation: stage.organisation, recording: second, node: lost.node },
          ...{ object: lost.key, index: lost.index, slack: -1, fields: {} },
          group: `fragment/${(lost.role as { attempt: string }).attempt}/0/${lost.sharing!}`,
        },
      ],
      1,
    )
    const queue = await stage.catalog.upkeep.repairQueue(Number.MAX_SAFE_INTEGER, 10)
    const kinds = queue.map(({ findings }) => findings.map(({ kind }) => kind))
    const isViolated = kinds.map((of) => of.includes('violation'))
    expect(isViolated[0]).toBe(true)
    expect(kinds.flat()).toContain('missing')
    expect(isViolated).toEqual(isViolated.toSorted((one, other) => Number(other) - Number(one)))
    stage.pool.refresh()
    expect(await work()).toMatchObject({ waiting: 0 })
    await expectWell()
  })

  it.each([
    { k: 2, n: 3, t: 1 },
    { k: 4, n: 6, t: 2 },
    { k: 3, n: 5, t: 2 },
    { k: 3, n: 6, t: 0 },
  ])('splits by another scheme without opening anything: %o', async (scheme) => {
    await begin({ placementRule: 'none' })
    const { organisation } = stage
    expect(await stage.catalog.layout.setScheme({ organisation, recording }, scheme, 1)).toBe(1)
    // Half-way: the manifest first, by hand.
    expect(await stage.sha256Of(recording)).toBe(sha256(content))
    expect((await fsck(stage, never)).violations.map(({ name }) => name)).toEqual([
      'sharing-outdated',
      'sharing-outdated',
    ])
    expect(await surveyed()).toBe(2)
    const [queued] = await stage.catalog.upkeep.repairQueue(Number.MAX_SAFE_INTEGER, 1)
    await stage.catalog.upkeep.postpone(queued!.group, stage.clock.nowMs() + HOUR_MS)
    expect(await work()).toEqual({ groups: 1, shares: scheme.n, waiting: 0 })
    expect(await stage.sha256Of(recording)).toBe(sha256(content))
    expect(await restoredAlone()).toBe(sha256(content))
    stage.clock.movedMs += 2 * HOUR_MS
    expect(await work()).toEqual({ groups: 1, shares: scheme.n, waiting: 0 })
    await collect(stage, never)
    await expectWell()
    for (const row of await standing()) expect(row.scheme).toEqual(scheme)
    expect(await restoredAlone((await stage.fragmentsOf(recording)).slice(scheme.k).map(({ node }) => node))).toBe(
      sha256(content),
    )
    // A lost share of the new sharing is computed under it.
    const [row] = await stage.fragmentsOf(recording)
    stage.storeOf(row!.node).objects.delete(row!.key)
    await stage.catalog.layout.setObjectState(row!.node, row!.key, 'failed')
    await surveyed()
    expect(await work()).toMatchObject({ shares: 1, waiting: 0 })
    await expectWell()
  })

  it('waits for nodes, mends the old one meanwhile, and goes on when they are there', async () => {
    await begin({ nodesCount: 5, scheme: { k: 2, n: 4, t: 1 } })
    const rows = await stage.fragmentsOf(recording)
    const spare = stage.nodes.find(({ id }) => rows.every(({ node }) => node !== id))!
    await stage.catalog.layout.setScheme({ organisation: stage.organisation }, { k: 2, n: 5, t: 1 }, 1)
    await stage.catalog.installation.setNodeState(rows[0]!.node, 'draining')
    stage.pool.refresh()
    await surveyed()
    expect(await work()).toMatchObject({ groups: 0, waiting: 2 })
    expect((await stage.fragmentsOf(recording)).map(({ node }) => node)).toContain(spare.id)
    expect(await stage.sha256Of(recording)).toBe(sha256(content))
    await stage.catalog.installation.setNodeState(rows[0]!.node, 'active')
    stage.pool.refresh()
    stage.clock.movedMs += HOUR_MS
    expect(await work()).toMatchObject({ groups: 2, waiting: 0 })
    await expectWell()
  })

  it('stands only when k + 1 nodes have it, is completed later, and leaves nothing when it fails', async () => {
    await begin({ nodesCount: 5 })
    const before = await standing()
    for (const store of stage.stores.slice(0, 2))
      store.fault = ({ call }) => (call === 'create' ? { fail: 'E_NODE_FULL' } : undefined)
    await askForFresh()
    expect(await work()).toMatchObject({ groups: 0, waiting: 2 })
    expect(await standing()).toEqual(before)
    for (const store of stage.stores) store.fault = undefined
    stage.stores[0]!.fault = ({ call }) => (call === 'create' ? { fail: 'E_NODE_FULL' } : undefined)
    stage.clock.movedMs += HOUR_MS
    expect(await work()).toMatchObject({ groups: 2, shares: 8 })
    expect(await stage.fragmentsOf(recording)).toHaveLength(4)
    stage.stores[0]!.fault = undefined
    stage.clock.movedMs += HOUR_MS
    await surveyed()
    expect(await work()).toMatchObject({ groups: 2, shares: 2, waiting: 0 })
    await collect(stage, never)
    await expectWell()
    const known = (await stage.catalog.upkeep.surveyed(recording))!.objects.filter(({ state }) => state !== 'stored')
    expect(known.filter(({ state }) => state === 'intent')).toEqual([])
  })

  it('refuses to make a forged share stand for ever', async () => {
    await begin()
    const { fragmentKey, tagBlock } = await import('../../../src/crypto/fragment-tag.ts')
    const { blockLength, encodeFragmentHeader, FRAGMENT_HEADER_BYTES } =
      await import('../../../src/format/fragment-header.ts')
    const rows = await stage.fragmentsOf(recording)
    const { attempt: id } = rows[0]!.role as { attempt: string }
    const attempt = (await stage.catalog.layout.attempt(id))!
    const verifyKey = await stage.keyring.unwrapAtRest(id, attempt.wrappedVerifyKey)
    for (const row of rows.slice(0, 2)) {
      const header = encodeFragmentHeader({
        attempt: id,
        sharing: row.sharing!,
        extent: 0,
        index: row.index,
        scheme: attempt.scheme,
      })
      const bytes = stage.storeOf(row.node).objects.get(row.key)!
      const length = blockLength(attempt.scheme, attempt.sealedBytes!, 0)
      bytes[FRAGMENT_HEADER_BYTES + 9]! ^= 1
      const block = bytes.subarray(FRAGMENT_HEADER_BYTES, FRAGMENT_HEADER_BYTES + length)
      const key = nodePrimitives.gcm(fragmentKey(nodePrimitives, verifyKey, header))
      bytes.set(tagBlock(key, 0, block), FRAGMENT_HEADER_BYTES + length)
    }
    await askForFresh()
    expect(await work()).toMatchObject({ waiting: 1 })
    expect(await stage.fragmentsOf(recording)).toEqual(rows)
    expect(await stage.sha256Of(recording)).toBe(sha256(content))
  })

  it('goes on past readers: none sees an error or a wrong byte', async () => {
    await begin()
    let isOver = false
    const reading = [1, 2, 3].map(async () => {
      let count = 0
      while (!isOver) {
        expect(await stage.sha256Of(recording)).toBe(sha256(content))
        count++
      }
      return count
    })
    for (let i = 0; i < 3; i++) {
      await askForFresh()
      expect(await work()).toMatchObject({ groups: 2, waiting: 0 })
      stage.clock.movedMs += HOUR_MS
      await collect(stage, never)
    }
    isOver = true
    for (const count of await Promise.all(reading)) expect(count).toBeGreaterThan(0)
    await expectWell()
  })

  it('opens a manifest that was shared anew since its shares were looked up', async () => {
    await begin()
    const [real, generation] = [
      stage.layout.manifestShares,
      (await stage.catalog.recordings.get(recording, stage.organisation))!.generation,
    ]
    const { createVaultReader } = await import('../../../src/retrieve/open-recording.ts')
    let isFirst = true
    const reader = createVaultReader({
      ...stage,
      layout: {
        ...stage.layout,
        manifestShares: async (...args) => {
          const rows = await real(...args)
          if (isFirst) {
            isFirst = false
            await askForFresh()
            await work()
            stage.clock.movedMs += HOUR_MS
            await collect(stage, never)
          }
          return rows
        },
      },
    })
    const opened = await reader.open(stage.organisation, recording, 'download', never)
    expect(opened.manifest.generation).toBe(generation)
  })

  it.each([
    ['before', false],
    ['after', true],
  ])('survives a crash %s any call to a node or the catalog; the next run finishes', async (_, isAfter) => {
    const crash = new Crash()
    await begin({
      wrapStore: (store) => crash.store(store),
      wrapCatalog: (catalog) => crash.catalog(catalog),
      nodesCount: 5,
      scheme: { k: 2, n: 4, t: 1 },
    })
    let crashes = 0
    for (let at = 1; ; at += 1 + Math.floor(at / 6)) {
      const before = sharingsOf(await standing())
      await askForFresh()
      crash.arm(at, isAfter)
      await work().catch(() => undefined)
      const hasDied = crash.hasHappened
      crash.revive()
      expect(await stage.sha256Of(recording)).toBe(sha256(content))
      stage.clock.movedMs += HOUR_MS
      expect(await work()).toMatchObject({ waiting: 0 })
      expect(await stage.catalog.upkeep.backlog()).toEqual([])
      expect(sharingsOf(await standing()).filter((sharing) => before.includes(sharing))).toEqual([])
      if (!hasDied) break
      crashes++
    }
    expect(crashes).toBeGreaterThan(12)
    // What a crash left as an intent is given up, and all that is not wanted is deleted.
    stage.clock.movedMs += 2 * HOUR_MS
    await collect(stage, never)
    stage.clock.movedMs += HOUR_MS
    await collect(stage, never)
    await expectWell()
    const left = (await stage.catalog.upkeep.surveyed(recording))!.objects
    expect(left.map(({ state }) => state).filter((state) => state !== 'stored')).toEqual([])
  })

  it('does not commit what another process has taken over', async () => {
    await begin()
    await askForFresh()
    const before = await standing()
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
    await expect(work()).rejects.toMatchObject({ code: 'E_LEASE_LOST' })
    expect(await standing()).toEqual(before)
    for (const store of stage.stores) store.fault = undefined
    stage.clock.movedMs += 2 * HOUR_MS
    expect(await work()).toMatchObject({ groups: 2, waiting: 0 })
  })

  it('reads around nodes that are down', async () => {
    await begin({ nodesCount: 8 })
    const rows = await stage.fragmentsOf(recording)
    for (const row of rows.slice(0, 2)) stage.storeOf(row.node).fault = failAll()
    await askForFresh()
    await work()
    stage.clock.movedMs += HOUR_MS
    await work()
    for (const store of stage.stores) store.fault = undefined
    expect(await stage.sha256Of(recording)).toBe(sha256(content))
  })
})
