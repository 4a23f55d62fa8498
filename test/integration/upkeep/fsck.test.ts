import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { commitState } from '../../../src/pipeline/commit-state.ts'
import { fsck, type FsckReport } from '../../../src/upkeep/blind/fsck.ts'
import { failAll } from '../../support/memory-store.ts'
import { exchange, makeStage, never, type Stage } from '../../support/upkeep-stage.ts'

const HOURS_MS = 3_600_000

let stage: Stage
let recording: string
beforeEach(async () => {
  stage = await makeStage({ placementRule: 'strict' })
  recording = await stage.store(randomBytes(300_000))
  await commitState({ ...stage, location: () => 'memory' }, stage.organisation, never)
  stage.clock.movedMs = 3 * HOURS_MS
})
afterEach(async () => {
  await stage.close()
})

/** Any statement, behind the catalog's back. */
function plant(statement: string): void {
  const database = new DatabaseSync(join(stage.folder, 'catalog.sqlite'), { timeout: 5000 })
  database.exec('pragma foreign_keys = off')
  database.exec(statement)
  database.close()
}

const check = (): Promise<FsckReport> => fsck(stage, never)
const names = (report: FsckReport): string[] => [...new Set(report.violations.map(({ name }) => name))].toSorted()

describe('fsck', () => {
  it('finds nothing in a vault that is well, and counts what it looked at', async () => {
    const report = await check()
    expect(report.violations).toEqual([])
    expect(report.unreachable).toEqual([])
    expect(report.checked).toEqual({ nodes: 5, objects: 5 + 5 + 5 + 5, recordings: 1 })
  })

  it('finds nothing while a recording is being written and after its write was given up', async () => {
    for (const store of stage.stores.slice(0, 3)) store.fault = failAll()
    await stage.store(randomBytes(1000))
    for (const store of stage.stores) store.fault = undefined
    expect(names(await check())).toEqual([])
  })

  it('says of a node that does not answer that it was not looked at, and nothing of what lies there', async () => {
    stage.stores[2]!.fault = failAll()
    const report = await check()
    expect(report.violations).toEqual([])
    expect(report.unreachable).toEqual([{ node: stage.nodes[2]!.id, name: 'memory-3', code: 'E_NODE_UNREACHABLE' }])
  })

  it('orphan-object', async () => {
    stage.stores[0]!.objects.set(`f/${'ab'.repeat(16)}`, new Uint8Array(9))
    expect((await check()).violations).toEqual([
      {
        name: 'orphan-object',
        severity: 'broken',
        node: stage.nodes[0]!.id,
        object: `f/${'ab'.repeat(16)}`,
        detail: expect.any(String) as string,
      },
    ])
  })

  it('deleted-object-present', async () => {
    const [row] = await stage.fragmentsOf(recording)
    plant(`update objects set state = 'deleted' where key = '${row!.key}'`)
    expect(names(await check())).toEqual(['deleted-object-present', 'fragments-degraded'])
  })

  it('object-missing, and what follows from it', async () => {
    const rows = await stage.fragmentsOf(recording)
    stage.storeOf(rows[0]!.node).objects.delete(rows[0]!.key)
    expect(names(await check())).toEqual(['fragments-degraded', 'object-missing'])
    stage.storeOf(rows[1]!.node).objects.delete(rows[1]!.key)
    expect(names(await check())).toEqual(['fragments-too-few', 'object-missing'])
  })

  it('object-size', async () => {
    const [row] = await stage.fragmentsOf(recording)
    stage.storeOf(row!.node).truncate(row!.key, 1000)
    expect(names(await check())).toEqual(['fragments-degraded', 'object-size'])
  })

  it('row-size', async () => {
    const [row] = await stage.fragmentsOf(recording)
    stage.storeOf(row!.node).truncate(row!.key, 1000)
    plant(`update objects set size_bytes = 1000 where key = '${row!.key}'`)
    expect(names(await check())).toEqual(['row-size'])
  })

  it.each([
    ['index', 48, 'index is'],
    ['attempt', 12, 'attempt is'],
    ['sharing', 28, 'sharing is'],
    ['extent', 47, 'extent is'],
    ['k', 49, 'k is'],
  ])('header-mismatch: %s', async (_, offset, words) => {
    const row = (await stage.fragmentsOf(recording)).find(({ index }) => index === 3)!
    stage.storeOf(row.node).corrupt(row.key, offset)
    const report = await check()
    expect(names(report)).toEqual(['fragments-degraded', 'header-mismatch'])
    expect(report.violations.find(({ name }) => name === 'header-mismatch')).toMatchObject({
      node: row.node,
      object: row.key,
      recording,
      detail: expect.stringContaining(words) as string,
    })
  })

  it('header-mismatch: manifest shares of two recordings exchanged', async () => {
    const other = await stage.store(randomBytes(300_000))
    const [a, b] = [(await stage.sharesOf(recording))[0]!, (await stage.sharesOf(other))[0]!]
    exchange(stage, a, b)
    expect(names(await check())).toEqual(['header-mismatch', 'manifest-shares-degraded'])
  })

  it('header-unreadable', async () => {
    const [row] = await stage.fragmentsOf(recording)
    stage.storeOf(row!.node).corrupt(row!.key, 0)
    expect(names(await check())).toEqual(['fragments-degraded', 'header-unreadable'])
  })

  it('extent-unknown', async () => {
    const [row] = await stage.fragmentsOf(recording)
    plant(`update objects set extent = 5 where key = '${row!.key}'`)
    expect(names(await check())).toEqual(['extent-unknown', 'fragments-degraded', 'header-mismatch'])
  })

  it('manifest-shares-too-few', async () => {
    for (const row of (await stage.sharesOf(recording)).slice(0, 2)) stage.storeOf(row.node).objects.delete(row.key)
    expect(names(await check())).toEqual(['manifest-shares-too-few', 'object-missing'])
  })

  it('state-shares and cards', async () => {
    const states = await stage.catalog.layout.organisationObjects(stage.organisation, 'state')
    stage.storeOf(states[0]!.node).objects.delete(states[0]!.key)
    const cards = await stage.catalog.layout.organisationObjects(stage.organisation, 'card')
    stage.storeOf(cards[0]!.node).objects.delete(cards[0]!.key)
    expect(names(await check())).toEqual(['card-missing', 'object-missing', 'state-shares-degraded'])
    stage.storeOf(states[1]!.node).objects.delete(states[1]!.key)
    expect(names(await check())).toContain('state-shares-too-few')
  })

  it('shares on a node that was dismissed do not count', async () => {
    await stage.catalog.installation.setNodeState(stage.nodes[1]!.id, 'dismissed')
    expect(names(await check())).toEqual([
      ...['fragments-degraded', 'manifest-shares-degraded', 'sharing-exposed', 'state-shares-degraded'],
    ])
  })

  it('receipt-missing and receipt-invalid', async () => {
    plant(`update receipts set receipt = zeroblob(200)`)
    expect(names(await check())).toEqual(['receipt-invalid'])
    plant(`delete from receipts`)
    expect(names(await check())).toEqual(['receipt-missing'])
    await stage.catalog.recordings.addEvent(recording, 5, 'rebuilt', {})
    expect(names(await check())).toEqual(['receipt-lost'])
  })

  it('receipt-invalid: of another recording', async () => {
    const other = await stage.store(randomBytes(300))
    plant(`update receipts set receipt = (select receipt from receipts where recording = '${other}')`)
    expect((await check()).violations).toMatchObject([{ name: 'receipt-invalid', recording }])
  })

  it('attempt-without-generation', async () => {
    plant(`update recordings set generation = 0, state = 'storing'; delete from generations`)
    plant(`delete from objects where kind = 'manifest'; delete from work`)
    expect(names(await check())).toContain('attempt-without-generation')
  })

  it('attempt-abandoned', async () => {
    plant(`update attempts set state = 'writing'`)
    expect(names(await check())).toEqual(['attempt-abandoned'])
    plant(`update work set state = 'running'`)
    expect(names(await check())).toEqual([])
  })

  it('attempts-two-live', async () => {
    await stage.store(randomBytes(300))
    plant(`update attempts set asset = (select min(asset) from attempts), recording = '${recording}'`)
    expect(names(await check())).toContain('attempts-two-live')
  })

  it('intent-abandoned, when it is old and nobody works on it', async () => {
    const [row] = await stage.fragmentsOf(recording)
    plant(`update objects set state = 'intent' where key = '${row!.key}'`)
    expect(names(await check())).toEqual(['fragments-degraded', 'intent-abandoned'])
    stage.clock.movedMs = 0
    expect(names(await check())).toEqual(['fragments-degraded'])
  })

  it('generation-order', async () => {
    plant(`update recordings set generation = 2`)
    expect(names(await check())).toContain('generation-order')
    plant(`update recordings set generation = 1`)
    plant(`insert into generations (recording, generation, state) values ('${recording}', 2, 'reserved')`)
    expect(names(await check())).toEqual([])
    plant(`insert into generations (recording, generation, state) values ('${recording}', 3, 'reserved')`)
    expect(names(await check())).toEqual(['generation-order'])
  })

  it('generation-incomplete and generation-mixed', async () => {
    plant(`update generations set sealed_sha256 = null`)
    expect(names(await check())).toEqual(['generation-incomplete'])
    plant(`update generations set sealed_sha256 = zeroblob(32), sharing = '${'0'.repeat(32)}'`)
    expect(names(await check())).toEqual(['generation-mixed'])
  })

  it('generation-stale', async () => {
    plant(`update recordings set generation = 2; update generations set generation = 2`)
    expect(names(await check())).toContain('generation-stale')
  })

  it('node-holds-two and share-twice', async () => {
    const rows = await stage.fragmentsOf(recording)
    plant(`update objects set share_index = ${rows[0]!.index} where key = '${rows[1]!.key}'`)
    expect(names(await check())).toContain('share-twice')
    plant(`update objects set share_index = ${rows[1]!.index}, node = '${rows[0]!.node}' where key = '${rows[1]!.key}'`)
    expect(names(await check())).toContain('node-holds-two')
  })

  it('placement-violated, when an operator is bought, and for shares that are gone', async () => {
    const [a, b] = stage.nodes
    await stage.catalog.installation.setNodeOwnership(b!.id, { ...b!, parent: a!.parent })
    const report = await check()
    expect(names(report)).toEqual(['placement-violated'])
    expect(report.violations).toHaveLength(2)
    const [row] = (await stage.fragmentsOf(recording)).filter(({ node }) => node === b!.id)
    plant(`update objects set state = 'deleted', last_epoch = 2 where key = '${row!.key}'`)
    stage.storeOf(b!.id).objects.delete(row!.key)
    expect(names(await check())).toEqual(['fragments-degraded', 'placement-violated'])
  })

  it('upload-leftover, where a node can tell', async () => {
    const leftovers = (node: string): Promise<string[]> =>
      Promise.resolve(node === stage.nodes[4]!.id ? ['f/0123'] : [])
    const report = await fsck({ ...stage, leftovers }, never)
    expect(report.violations).toMatchObject([{ name: 'upload-leftover', node: stage.nodes[4]!.id }])
  })
})
