import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { MosaikError } from '../../../src/domain/errors.ts'
import { createOrganisation } from '../../../src/main/organisations.ts'
import { rebalanceIfWanted } from '../../../src/main/upkeep-rebalance.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { repair, type RepairPorts } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import { Crash } from '../../support/crash.ts'
import { failAll } from '../../support/memory-store.ts'
import type { TestVaultOptions } from '../../support/test-vault.ts'
import { makeStage, never, sha256, type Stage } from '../../support/upkeep-stage.ts'

const HOUR_MS = 3_600_000
const content = randomBytes(20_000)

let stage: Stage
let recording: string
afterEach(async () => {
  await stage.close()
})

async function begin(options: TestVaultOptions & { readonly nodesCount?: number } = {}): Promise<void> {
  stage = await makeStage({ placementRule: 'strict', nodesCount: 6, ...options })
  recording = await stage.store(content)
}

const ports = (): RepairPorts => ({ ...stage, signer: shareSigner(stage.keyring) })
const work = async (): Promise<void> => {
  await survey(stage, never)
  await repair(ports(), { bytesPerSecond: Infinity }, never)
}
const collected = async () => {
  stage.clock.movedMs += HOUR_MS
  return await collect(stage, never)
}
const life = () => stage.operations

async function expectWell(): Promise<void> {
  expect((await fsck(stage, never)).violations).toEqual([])
  expect(await survey(stage, never)).toBe(0)
  expect(await stage.sha256Of(recording)).toBe(sha256(content))
}

describe('a node that is dismissed', () => {
  it('is known for what it knows until all is shared anew; its objects are asked to be deleted, and that is all', async () => {
    await begin({ nodesCount: 7 })
    const { node } = (await stage.fragmentsOf(recording))[0]!
    await life().dismiss(node)
    expect(await life().progress(node)).toMatchObject({ state: 'dismissed', sharesWaiting: 2, isPaused: false })
    expect((await life().progress(node)).sharingsExposed).toBeGreaterThan(0)
    expect((await life().progress(node)).etaMs).toBeGreaterThan(0)
    await expect(stage.pool.store(node)).rejects.toMatchObject({ code: 'E_NODE_UNKNOWN' })
    // Paused: nothing is shared anew until it is dismissed again.
    await life().pauseDismissals()
    await work()
    expect(await life().progress(node)).toMatchObject({ isPaused: true, etaMs: null })
    expect((await life().progress(node)).sharingsExposed).toBeGreaterThan(0)
    await life().dismiss(node)
    await work()
    expect(await life().progress(node)).toMatchObject({
      sharingsExposed: 0,
      isPaused: false,
      etaMs: null,
      waitsFor: null,
    })
    // It does not answer: the rest is collected all the same, and what it has is told.
    stage.storeOf(node).fault = failAll()
    expect((await collected()).left).toBeGreaterThan(0)
    expect((await life().progress(node)).undeletedObjects).toBe(2)
    stage.storeOf(node).fault = undefined
    await collected()
    expect((await life().progress(node)).undeletedObjects).toBe(0)
    await expectWell()
    await expect(life().change(node, { state: 'active' })).rejects.toMatchObject({ code: 'E_CONFLICT' })
    await expect(life().drain(node)).rejects.toMatchObject({ code: 'E_CONFLICT' })
  })

  it('says what has to be added when there are too few others', async () => {
    await begin({ nodesCount: 5 })
    const { node } = (await stage.fragmentsOf(recording))[0]!
    await life().dismiss(node)
    await work()
    expect((await life().progress(node)).waitsFor).toMatch(/needs 5 nodes that take writes, and there are 4/)
    expect(await stage.sha256Of(recording)).toBe(sha256(content))
  })
})

describe('a node that is drained', () => {
  it('is emptied by a new sharing where each other node has held another share', async () => {
    await begin({ nodesCount: 6 })
    const before = await stage.fragmentsOf(recording)
    const [first, second] = before.map(({ node }) => node)
    await life().drain(first!)
    await work()
    await life().pauseDrain(first!)
    await life().change(first!, { state: 'active' })
    // Four hold a share, one has the first and one had it: nobody may have the second as well.
    await life().drain(second!)
    await survey(stage, never)
    expect(await repair(ports(), { bytesPerSecond: Infinity }, never)).toMatchObject({ waiting: 0 })
    expect(await stage.catalog.upkeep.backlog()).toEqual([])
    const after = await stage.fragmentsOf(recording)
    expect(after.map(({ node }) => node)).not.toContain(second)
    expect(after.some(({ sharing }) => before.some((row) => row.sharing === sharing))).toBe(false)
    await collected()
    expect(await life().progress(second!)).toMatchObject({ sharesWaiting: 0, waitsFor: null })
    await expectWell()
  })

  it('waits, and says what to add, where no new sharing has room either', async () => {
    await begin({ nodesCount: 5 })
    const before = await stage.fragmentsOf(recording)
    await life().drain(before[0]!.node)
    await work()
    expect(await life().progress(before[0]!.node)).toMatchObject({
      waitsFor: expect.stringContaining('add 1 with `mosaik nodes add`'),
    })
    expect((await stage.fragmentsOf(recording)).map(({ sharing }) => sharing)).toEqual(
      before.map(({ sharing }) => sharing),
    )
  })

  it('waits for what its own organisations need, not for what another one does, and names the one it is', async () => {
    await begin({ nodesCount: 7 })
    await createOrganisation(stage, { name: 'wide', scheme: { k: 4, n: 7, t: 1 }, placementRule: 'strict' })
    const { node } = (await stage.fragmentsOf(recording))[0]!
    await life().drain(node)
    // six others: enough for 3 of 5, too few for 4 of 7
    expect(await life().progress(node)).toMatchObject({ waitsFor: null })
    const others = stage.nodes.filter(({ id }) => id !== node)
    for (const { id } of others.slice(0, 2)) await life().change(id, { state: 'read-only' })
    expect((await life().progress(node)).waitsFor).toMatch(/^test: .*needs 5 nodes that take writes, and there are 4/)
  })
})

describe('a node that is drained and removed', () => {
  it('is removed when it is empty, and not before', async () => {
    await begin()
    const { node } = (await stage.fragmentsOf(recording))[0]!
    await expect(life().remove(node)).rejects.toMatchObject({ code: 'E_CONFLICT', message: /drain it first/ })
    await life().drain(node)
    await expect(life().remove(node)).rejects.toMatchObject({ message: /2 shares lie there that count/ })
    await life().pauseDrain(node)
    await work()
    expect(await life().progress(node)).toMatchObject({ state: 'read-only', sharesWaiting: 2 })
    await life().drain(node)
    await work()
    expect(await life().progress(node)).toMatchObject({ sharesWaiting: 0, undeletedObjects: 2 })
    await expect(life().remove(node)).rejects.toMatchObject({ message: /2 objects wait for their deletion/ })
    await collected()
    await life().remove(node)
    expect([...stage.storeOf(node).objects.keys()]).toEqual([])
    expect((await life().list()).find(({ id }) => id === node)).toMatchObject({ state: 'removed', objectsCount: 0 })
    await life().remove(node)
    await expectWell()
  })
})

describe('an owner that changes', () => {
  it('is checked, and what is against the rule then is shared anew', async () => {
    await begin({ nodesCount: 7 })
    const [a, b] = await stage.fragmentsOf(recording)
    const buyer = stage.nodes.find(({ id }) => id === a!.node)!
    await expect(life().change(b!.node, { country: 'Germany' })).rejects.toMatchObject({ code: 'E_INPUT' })
    await life().change(b!.node, { parent: buyer.parent })
    expect(await stage.catalog.installation.node(b!.node)).toMatchObject({
      parent: buyer.parent,
      site: expect.any(String) as string,
    })
    expect((await fsck(stage, never)).violations.map(({ name }) => name)).toContain('placement-violated')
    stage.pool.refresh()
    await work()
    await expectWell()
  })
})

describe('a scheme that changes', () => {
  it('changes for one recording or all, is refused when no nodes can carry it, and can be paused', async () => {
    await begin()
    const { organisation } = stage
    await expect(life().reshare({ organisation }, { k: 5, n: 9, t: 1 })).rejects.toMatchObject({
      code: 'E_NODES_TOO_FEW',
    })
    await expect(life().reshare({ organisation, recording: '0'.repeat(32) }, undefined)).rejects.toMatchObject({
      code: 'E_RECORDING_UNKNOWN',
    })
    const before = (await stage.fragmentsOf(recording))[0]!.sharing
    expect(await life().reshare({ organisation, recording }, undefined)).toBe(1)
    expect(await life().reshareProgress()).toMatchObject({ waiting: [{ kind: 'refresh', count: 2 }], isPaused: false })
    await life().pauseReshares(true)
    await work()
    expect((await stage.fragmentsOf(recording))[0]!.sharing).toBe(before)
    expect(await life().reshare({ organisation }, { k: 4, n: 6, t: 2 })).toBe(1)
    await work()
    for (const row of await stage.fragmentsOf(recording)) expect(row.scheme).toEqual({ k: 4, n: 6, t: 2 })
    expect(await life().reshareProgress()).toMatchObject({ waiting: [], etaMs: null })
    await expectWell()
  })
})

describe('a rebalance', () => {
  const bytesOn = async (): Promise<number[]> =>
    await Promise.all(stage.nodes.map(async ({ id }) => (await stage.catalog.layout.nodeShares(id)).bytes))

  it('gives new nodes their fair share at what a dry run said, and then has nothing to do', async () => {
    stage = await makeStage({ placementRule: 'strict', nodesCount: 7 })
    for (const { id } of stage.nodes.slice(5)) await life().change(id, { state: 'read-only' })
    recording = await stage.store(content)
    for (let i = 0; i < 9; i++) await stage.store(randomBytes(20_000))
    for (const { id } of stage.nodes.slice(5)) await life().change(id, { state: 'active' })
    const planned = await life().previewRebalance(never)
    expect(planned.objectsCount).toBeGreaterThan(5)
    expect(planned.transfers.map(({ to }) => to)).toContain('memory-6')
    expect(await life().rebalanceView()).toMatchObject({ state: 'idle' })
    await life().rebalance(10 * 2 ** 20)
    await rebalanceIfWanted(ports(), never)
    expect(await life().rebalanceView()).toMatchObject({
      state: 'idle',
      movedObjects: planned.objectsCount,
      etaMs: null,
    })
    const bytes = await bytesOn()
    expect(Math.max(...bytes) / Math.min(...bytes)).toBeLessThan(1.6)
    expect((await life().previewRebalance(never)).objectsCount).toBe(0)
    await expectWell()
    await collected()
    await expectWell()
    await expect(life().rebalance(10)).rejects.toMatchObject({ code: 'E_INPUT' })
  })

  it('stops when it is paused, and goes on', async () => {
    stage = await makeStage({ placementRule: 'strict', nodesCount: 7 })
    for (const { id } of stage.nodes.slice(5)) await life().change(id, { state: 'read-only' })
    recording = await stage.store(content)
    for (let i = 0; i < 5; i++) await stage.store(randomBytes(20_000))
    for (const { id } of stage.nodes.slice(5)) await life().change(id, { state: 'active' })
    await life().rebalance(undefined)
    await life().pauseRebalance()
    await rebalanceIfWanted(ports(), never)
    expect(await life().rebalanceView()).toMatchObject({ state: 'idle', movedObjects: 0 })
    let isFirst = true
    stage.stores[5]!.fault = ({ call }) => {
      if (call === 'commit' && isFirst) {
        isFirst = false
        void life().pauseRebalance()
      }
      return undefined
    }
    await life().rebalance(undefined)
    await rebalanceIfWanted(ports(), never)
    expect(await life().rebalanceView()).toMatchObject({ state: 'paused' })
    await life().rebalance(undefined)
    await rebalanceIfWanted(ports(), never)
    expect(await life().rebalanceView()).toMatchObject({ state: 'idle' })
    await expectWell()
  })

  it('lets go of the old copy later when the catalog fails at that moment', async () => {
    let failures = 0
    stage = await makeStage({
      ...{ placementRule: 'strict', nodesCount: 6 },
      wrapCatalog: (catalog) => ({
        ...catalog,
        layout: {
          ...catalog.layout,
          setObjectState: (node, key, state, ...more) =>
            state === 'superseded' && failures-- > 0
              ? Promise.reject(new MosaikError('E_CATALOG_UNREACHABLE', 'not now'))
              : catalog.layout.setObjectState(node, key, state, ...more),
        },
      }),
    })
    const late = stage.nodes[5]!.id
    await life().change(late, { state: 'read-only' })
    recording = await stage.store(content)
    for (let i = 0; i < 3; i++) await stage.store(randomBytes(20_000))
    await life().change(late, { state: 'active' })
    await life().rebalance(undefined)
    failures = 1
    await rebalanceIfWanted(ports(), never)
    expect((await fsck(stage, never)).violations.map(({ name }) => name)).toEqual(['share-twice'])
    await work()
    await expectWell()
    await collected()
    await expectWell()
  })

  it('survives a crash at any call, and the next run finishes', async () => {
    const crash = new Crash()
    stage = await makeStage({
      ...{ placementRule: 'strict', nodesCount: 6 },
      wrapStore: (store) => crash.store(store),
      wrapCatalog: (catalog) => crash.catalog(catalog),
    })
    const late = stage.nodes[5]!.id
    await life().change(late, { state: 'read-only' })
    recording = await stage.store(content)
    for (let i = 0; i < 3; i++) await stage.store(randomBytes(20_000))
    await life().change(late, { state: 'active' })
    for (let at = 5, hasDied = true; hasDied; at += 15) {
      await life().rebalance(undefined)
      crash.arm(at)
      await rebalanceIfWanted(ports(), never).catch(() => undefined)
      hasDied = crash.hasHappened
      crash.revive()
      expect(await stage.sha256Of(recording)).toBe(sha256(content))
      stage.clock.movedMs += HOUR_MS
      await work()
    }
    expect(await life().rebalanceView()).toMatchObject({ state: 'idle' })
    await collected()
    stage.clock.movedMs += 2 * HOUR_MS
    await collected()
    await collected()
    await work()
    await expectWell()
  })
})
