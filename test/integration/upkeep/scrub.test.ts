import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fragmentKey, tagBlock } from '../../../src/crypto/fragment-tag.ts'
import { FRAGMENT_HEADER_BYTES, blockLength, blockOffset } from '../../../src/format/fragment-header.ts'
import type { ObjectRow } from '../../../src/ports/catalog/layout.ts'
import type { FindingRow } from '../../../src/ports/catalog/upkeep.ts'
import { audit } from '../../../src/upkeep/blind/audit.ts'
import type { Scrubbed } from '../../../src/upkeep/blind/group-check.ts'
import { scrub } from '../../../src/upkeep/blind/scrub.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import { failAll } from '../../support/memory-store.ts'
import { exchange, makeStage, never, type Stage } from '../../support/upkeep-stage.ts'

const SEGMENTS = 3
let stage: Stage
let recording: string
let fragments: ObjectRow[]
beforeEach(async () => {
  stage = await makeStage()
  recording = await stage.store(randomBytes(2 * 262_112 + 5000))
  fragments = await stage.fragmentsOf(recording)
})
afterEach(async () => {
  await stage.close()
})

const pass = async (bytesPerSecond = Infinity): Promise<Scrubbed | undefined> =>
  await scrub(stage, { bytesPerSecond }, never)

async function findings(): Promise<FindingRow[]> {
  return (await stage.catalog.upkeep.repairQueue(Number.MAX_SAFE_INTEGER, 100)).flatMap(({ findings: found }) => found)
}

/** Kind, place and fields of the one finding there is. */
async function theFinding(): Promise<Partial<FindingRow>> {
  const found = await findings()
  expect(found).toHaveLength(1)
  const { kind, node, object, index, slack, fields } = found[0]!
  return { kind, node, object, index, slack, fields }
}

const placeOf = ({ node, key, index }: ObjectRow) => ({ node, object: key, index, slack: 1 })

describe('a full scrub', () => {
  it('finds nothing wrong with what is well, and looks at every share', async () => {
    expect(await pass()).toEqual({ groups: 2, shares: 5 + 5 + 5, findings: 0, skipped: 0 })
    expect(await findings()).toEqual([])
    expect((await stage.catalog.upkeep.task('scrub'))?.progress).toMatchObject({ passShares: 15 })
  })

  it('takes shares that lie twice, as they do while they move, for what they are', async () => {
    await stage.close()
    stage = await makeStage({ nodesCount: 6 })
    recording = await stage.store(randomBytes(5000))
    for (const row of [(await stage.fragmentsOf(recording))[1]!, (await stage.sharesOf(recording))[1]!]) {
      const rows = row.role.kind === 'manifest' ? await stage.sharesOf(recording) : await stage.fragmentsOf(recording)
      const free = stage.nodes.find(({ id }) => rows.every(({ node }) => node !== id))!
      const { state: _, sizeBytes, ...copy } = row
      await stage.catalog.layout.addObjects([{ ...copy, node: free.id, createdAtMs: stage.clock.nowMs() }])
      stage.storeOf(free.id).objects.set(row.key, stage.storeOf(row.node).objects.get(row.key)!)
      await stage.catalog.layout.setObjectState(free.id, row.key, 'stored', sizeBytes!)
    }
    expect(await pass()).toMatchObject({ groups: 2, findings: 0, skipped: 0 })
    expect(await findings()).toEqual([])
  })

  it('names a missing fragment', async () => {
    stage.storeOf(fragments[1]!.node).objects.delete(fragments[1]!.key)
    await pass()
    expect(await theFinding()).toEqual({ kind: 'missing', ...placeOf(fragments[1]!), fields: {} })
  })

  it.each([100, 256, 5000, -1])('names a fragment that was cut at %i', async (at) => {
    const row = fragments[2]!
    stage.storeOf(row.node).truncate(row.key, at < 0 ? row.sizeBytes! + at : at)
    await pass()
    expect(await theFinding()).toMatchObject({ kind: 'truncated', ...placeOf(row) })
  })

  it('names a fragment that is too long', async () => {
    const row = fragments[2]!
    const store = stage.storeOf(row.node)
    store.objects.set(row.key, Uint8Array.from([...store.objects.get(row.key)!, 0]))
    await pass()
    expect(await theFinding()).toMatchObject({ kind: 'flipped', ...placeOf(row), fields: { part: 'length' } })
  })

  it('names every single flipped bit: header, block, tag, last byte', async () => {
    for (let i = 0; i < 20; i++) {
      const row = fragments[i % 5]!
      const at = [0, 20, 255, 256, row.sizeBytes! - 1][i] ?? Math.floor((row.sizeBytes! * i) / 20)
      stage.storeOf(row.node).corrupt(row.key, at)
      await pass()
      const { kind, fields, ...place } = await theFinding()
      expect({ at, place }).toEqual({ at, place: placeOf(row) })
      if (at >= FRAGMENT_HEADER_BYTES)
        expect({ at, kind, part: fields?.['part'] }).toEqual({ at, kind: 'flipped', part: 'block' })
      stage.storeOf(row.node).corrupt(row.key, at)
      await stage.catalog.upkeep.resolve(
        `fragment/${String((row.role as { attempt: string }).attempt)}/0/${row.sharing!}`,
        1,
      )
      expect(await findings()).toEqual([])
    }
  })

  it('names fragments that lie under each other’s name: other share, other node', async () => {
    exchange(stage, fragments[0]!, fragments[3]!)
    await pass()
    const found = await findings()
    expect(found.map(({ kind, index, fields }) => ({ kind, index, fields }))).toEqual(
      expect.arrayContaining([
        { kind: 'swapped', index: 0, fields: { other: 'share', belongsTo: fragments[3]!.node } },
        { kind: 'swapped', index: 3, fields: { other: 'share', belongsTo: fragments[0]!.node } },
      ]),
    )
    expect(found).toHaveLength(2)
  })

  it('names fragments of other recordings, and shares of other manifests', async () => {
    const other = await stage.store(randomBytes(2 * 262_112 + 5000))
    exchange(stage, fragments[0]!, (await stage.fragmentsOf(other))[0]!)
    exchange(stage, (await stage.sharesOf(recording))[0]!, (await stage.sharesOf(other))[0]!)
    exchange(stage, (await stage.sharesOf(recording))[1]!, (await stage.sharesOf(recording))[2]!)
    await pass()
    const words = (await findings()).map(
      ({ kind, group, fields }) => `${kind} ${group.split('/')[0]!} ${String(fields['other'])}`,
    )
    expect(words.toSorted()).toEqual([
      'swapped fragment asset',
      'swapped fragment asset',
      'swapped manifest recording',
      'swapped manifest recording',
      'swapped manifest share',
      'swapped manifest share',
    ])
  })

  it('names a stale manifest share', async () => {
    const before = await stage.sharesOf(recording)
    const old = before.map((row) => stage.storeOf(row.node).objects.get(row.key)!)
    const [row] = before
    // The same recording one generation on, as far as the catalog and all other nodes know.
    const shares = before.map((share, i) => ({ share, bytes: old[i]! }))
    expect(shares).toHaveLength(5)
    const { DatabaseSync } = await import('node:sqlite')
    const database = new DatabaseSync(`${stage.folder}/catalog.sqlite`)
    database.exec(`pragma foreign_keys = off`)
    database.exec(`update generations set generation = 2; update recordings set generation = 2`)
    database.exec(`update objects set generation = 2 where kind = 'manifest'`)
    database.close()
    await pass()
    const found = await findings()
    expect(found).toHaveLength(5)
    expect(found.find(({ index }) => index === row!.index)).toMatchObject({
      kind: 'stale',
      fields: { generation: 1, dueGeneration: 2 },
    })
  })

  it.each([
    ['flipped in the share', 150, 'flipped'],
    ['flipped in the signature', -10, 'flipped'],
    ['flipped in the magic', 0, 'flipped'],
  ])('names a manifest share: %s', async (_, at, kind) => {
    const row = (await stage.sharesOf(recording))[4]!
    stage.storeOf(row.node).corrupt(row.key, at < 0 ? row.sizeBytes! + at : at)
    await pass()
    expect(await theFinding()).toMatchObject({ kind, ...placeOf(row) })
  })

  it('names missing and truncated manifest shares', async () => {
    const [a, b] = await stage.sharesOf(recording)
    stage.storeOf(a!.node).objects.delete(a!.key)
    stage.storeOf(b!.node).truncate(b!.key, 500)
    await pass()
    expect((await findings()).map(({ kind }) => kind).toSorted()).toEqual(['missing', 'truncated'])
  })

  it('names a block that somebody with the verify key made', async () => {
    const row = fragments[4]!
    const attempt = (await stage.catalog.layout.attempt((row.role as { attempt: string }).attempt))!
    const verifyKey = await stage.keyring.unwrapAtRest(attempt.id, attempt.wrappedVerifyKey)
    const bytes = stage.storeOf(row.node).objects.get(row.key)!
    const key = stage.primitives.gcm(fragmentKey(stage.primitives, verifyKey, bytes.subarray(0, FRAGMENT_HEADER_BYTES)))
    const [at, length] = [blockOffset(attempt.scheme, 0), blockLength(attempt.scheme, attempt.sealedBytes!, 0)]
    bytes[at] = bytes[at]! ^ 1
    bytes.set(tagBlock(key, 0, bytes.subarray(at, at + length)), at + length)
    await pass()
    expect(await theFinding()).toEqual({ kind: 'forged', ...placeOf(row), fields: { segment: 0 } })
  })

  it('names a card that is not what its name says', async () => {
    const [card] = await stage.catalog.layout.organisationObjects(stage.organisation, 'card')
    stage.storeOf(card!.node).corrupt(card!.key, 50)
    await pass()
    expect(await theFinding()).toMatchObject({ kind: 'flipped', node: card!.node, object: card!.key })
  })

  it('says nothing of shares whose node does not answer', async () => {
    stage.stores[1]!.fault = failAll()
    stage.stores[3]!.fault = failAll('E_NODE_REFUSED')
    expect(await pass()).toMatchObject({ findings: 0, skipped: 6 })
    expect(await findings()).toEqual([])
  })

  it('goes on where it was stopped, and belongs to one process at a time', async () => {
    const more = [recording]
    for (let i = 0; i < 3; i++) more.push(await stage.store(randomBytes(1000)))
    for (const id of more) {
      const row = (await stage.sharesOf(id))[0]!
      stage.storeOf(row.node).objects.delete(row.key)
    }
    const stop = new AbortController()
    let looked = 0
    const pool = {
      ...stage.pool,
      store: async (node: string) => {
        if (++looked === 40) stop.abort(new Error('stopped'))
        return await stage.pool.store(node)
      },
    }
    const first = scrub(
      { ...stage, pool: Object.setPrototypeOf(pool, stage.pool) as typeof stage.pool },
      { bytesPerSecond: Infinity },
      stop.signal,
    )
    await expect(first).rejects.toThrow()
    const seen = (await findings()).length
    expect(seen).toBeLessThan(4)
    looked = -1000
    const [a, b] = await Promise.all([pass(), pass()])
    expect([a, b].filter((one) => one === undefined)).toHaveLength(1)
    expect((a ?? b)!.groups).toBeLessThan(8)
    expect(await findings()).toHaveLength(4)
  })

  it('keeps to its bandwidth', async () => {
    const waits: number[] = []
    const clock = {
      ...stage.clock,
      monotonicMs: () => waits.reduce((sum, ms) => sum + ms, 0),
      sleep: (ms: number, signal?: AbortSignal) => {
        // A node's deadline, which passes for nobody here.
        if (ms === 60_000) return stage.clock.sleep(ms, signal)
        waits.push(ms)
        return Promise.resolve()
      },
    }
    await scrub({ ...stage, clock }, { bytesPerSecond: 100_000 }, never)
    const bytes = fragments.reduce((sum, row) => sum + row.sizeBytes!, 0)
    const elapsedS = waits.reduce((sum, ms) => sum + ms, 0) / 1000
    expect(elapsedS).toBeGreaterThan((0.9 * bytes) / 100_000)
    expect(elapsedS).toBeLessThan((2.5 * bytes) / 100_000)
  })
})

describe('an audit', () => {
  it('looks at every node and finds nothing wrong with what is well', async () => {
    expect(await audit(stage, { bytesPerSecond: Infinity, everyMs: 0 }, never)).toMatchObject({
      groups: 10,
      findings: 0,
      skipped: 0,
    })
  })

  it('finds what it looks at', async () => {
    for (let segment = 0; segment < SEGMENTS; segment++) {
      const row = fragments[0]!
      const attempt = (await stage.catalog.layout.attempt((row.role as { attempt: string }).attempt))!
      stage.storeOf(row.node).corrupt(row.key, blockOffset(attempt.scheme, segment) + 5)
    }
    await audit(stage, { bytesPerSecond: Infinity, everyMs: 0 }, never)
    expect(await theFinding()).toMatchObject({ kind: 'flipped', ...placeOf(fragments[0]!) })
  })
})

describe('a survey', () => {
  it('finds shares that a write left out', async () => {
    stage.stores[2]!.fault = failAll()
    const degraded = await stage.store(randomBytes(1000))
    expect((await stage.catalog.recordings.get(degraded, undefined))?.generation).toBe(1)
    expect(await survey(stage, never)).toBe(2)
    const found = await findings()
    expect(found.map(({ kind, recording: of, node, slack }) => ({ kind, of, node, slack }))).toEqual([
      { kind: 'unwritten', of: degraded, node: null, slack: 1 },
      { kind: 'unwritten', of: degraded, node: null, slack: 1 },
    ])
  })

  it('finds shares on nodes that are emptied or gone', async () => {
    await stage.catalog.installation.setNodeState(stage.nodes[0]!.id, 'draining')
    await stage.catalog.installation.setNodeState(stage.nodes[1]!.id, 'dismissed')
    expect(await survey(stage, never)).toBe(6)
    const found = await findings()
    const kinds = found.map(({ kind }) => kind)
    expect(kinds.filter((kind) => kind === 'leaving')).toHaveLength(4)
    // What the dismissed one knows of wants a new sharing besides.
    expect(found.filter(({ kind }) => kind === 'exposed').map(({ node }) => node)).toEqual(
      [1, 1].map((i) => stage.nodes[i]!.id),
    )
    expect(new Set(found.map(({ slack }) => slack))).toEqual(new Set([1]))
  })

  it('finds placement violations, and they come first', async () => {
    await stage.catalog.installation.setOrganisationPolicy(stage.organisation, { placementRule: 'strict' })
    const [a, b] = stage.nodes
    await stage.catalog.installation.setNodeOwnership(b!.id, { ...b!, site: ` ${a!.site.toUpperCase()}` })
    expect(await survey(stage, never)).toBe(2)
    expect((await findings()).map(({ kind }) => kind)).toEqual(['violation', 'violation'])
  })
})
