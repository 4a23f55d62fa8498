import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { nodeClock } from '../../../src/adapters/node-system.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { DAY_MS, startHealthUpkeep } from '../../../src/main/upkeep-health.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { repair } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import type { Fault, FaultHook, MemoryCall } from '../../support/memory-store.ts'
import { makeStage, never, type Stage } from '../../support/upkeep-stage.ts'

const content = randomBytes(262_112 + 5_000)
const HOUR_MS = 3_600_000
const NEEDED = 4
let stage: Stage
afterEach(() => stage.close())

async function deposit(name: string): Promise<string> {
  const path = join(stage.folder, name)
  writeFileSync(path, content)
  return await stage.deposit(path, await describeFile(path))
}

async function stateOf(recording: string): Promise<string> {
  return (await stage.catalog.recordings.get(recording, undefined))!.state
}

/** Runs the store work until it is done; looks after each run that nothing is called stored below k + 1. */
async function runUntilStored(recording: string, mostRuns: number): Promise<number> {
  for (let run = 1; run <= mostRuns; run++) {
    stage.clock.movedMs += 120_000
    await stage.runOnce(await stage.workOf(recording, 'store'))
    if ((await stateOf(recording)) !== 'stored') {
      expect(await stage.catalog.recordings.receipt(recording)).toBeUndefined()
      continue
    }
    const [fragments, shares] = [await stage.fragmentsOf(recording), await stage.sharesOf(recording)]
    for (const rows of [fragments, shares]) {
      expect(new Set(rows.map(({ index }) => index)).size).toBeGreaterThanOrEqual(NEEDED)
      for (const { node, key, sizeBytes } of rows) {
        expect(stage.storeOf(node).objects.get(key)?.length).toBe(sizeBytes)
      }
    }
    return run
  }
  throw new Error('it never was stored')
}

/** Chance that comes out the same every time. */
function dice(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** What is one request of a store, or begins and ends one: a part of an upload is sent again by the store itself. */
const writes: ReadonlySet<MemoryCall> = new Set(['create', 'commit', 'put', 'delete'])

function failing(seed: number, share: number): FaultHook {
  const next = dice(seed)
  const kinds: Fault[] = [
    { fail: 'E_NODE_UNREACHABLE' },
    { lost: 'E_NODE_UNREACHABLE' },
    { fail: 'E_NODE_FULL' },
    { fail: 'E_NODE_REFUSED' },
    { fail: 'E_NODE_CORRUPT' },
  ]
  return ({ call }) => {
    if (!writes.has(call) || next() >= share) return undefined
    return kinds[Math.floor(next() * kinds.length)]
  }
}

/** What lies on the nodes is what the catalog calls stored, to the last object; nobody writes any more. */
async function expectWhole(recordings: readonly string[]): Promise<void> {
  for (const store of stage.stores) store.fault = undefined
  stage.clock.movedMs += 2 * HOUR_MS
  await survey(stage, never)
  await repair({ ...stage, signer: shareSigner(stage.keyring) }, { bytesPerSecond: Infinity }, never)
  stage.clock.movedMs += 2 * HOUR_MS
  expect((await collect(stage, never)).left).toBe(0)
  for (const recording of recordings) {
    expect(await stage.fragmentsOf(recording)).toHaveLength(5)
    expect(await stage.sharesOf(recording)).toHaveLength(5)
  }
  expect((await fsck(stage, never)).violations).toEqual([])
  for (const store of stage.stores) expect(store.openWriters).toBe(0)
}

describe('writing while 30 % of the calls that write fail, or lose their answer', () => {
  it.each([1, 2, 3])('seed %i: stored with k + 1 at least, whole after repair, nothing left over', async (seed) => {
    stage = await makeStage()
    const all: string[] = []
    for (let i = 0; i < 2; i++) {
      const recording = await deposit(`${i}.mp4`)
      stage.stores.forEach((store, at) => (store.fault = failing(100 * seed + 10 * i + at, 0.3)))
      await runUntilStored(recording, 400)
      all.push(recording)
    }
    await expectWhole(all)
  })
})

describe('a node that is full', () => {
  it('in the middle of the write: stored on four, and whole when there is room again', async () => {
    stage = await makeStage()
    const recording = await deposit('meeting.mp4')
    stage.stores[3]!.fault = ({ call }) => (call === 'commit' || call === 'put' ? { fail: 'E_NODE_FULL' } : undefined)
    expect(await runUntilStored(recording, 1)).toBe(1)
    expect(await stage.fragmentsOf(recording)).toHaveLength(4)
    await expectWhole([recording])
  })

  it('two of them: it waits and says so, and is stored when there is room again', async () => {
    stage = await makeStage()
    const recording = await deposit('meeting.mp4')
    for (const store of stage.stores.slice(1, 3))
      store.fault = ({ call }) => (writes.has(call) ? { fail: 'E_NODE_FULL' } : undefined)
    stage.clock.movedMs += 120_000
    await stage.runOnce(await stage.workOf(recording, 'store'))
    const row = (await stage.catalog.recordings.get(recording, undefined))!
    expect(row).toMatchObject({ state: 'received', reason: { code: 'E_NODES_TOO_FEW' } })
    expect(row.reason!.message).toContain('E_NODE_FULL')
    for (const store of stage.stores) store.fault = undefined
    expect(await runUntilStored(recording, 1)).toBe(1)
    await expectWhole([recording])
  })
})

describe('a write that left a node out', () => {
  it('is completed in the background, without anybody asking, also when the node comes back late', async () => {
    stage = await makeStage()
    const recording = await deposit('meeting.mp4')
    stage.stores[0]!.fault = ({ call }) => (writes.has(call) ? { fail: 'E_NODE_UNREACHABLE' } : undefined)
    await runUntilStored(recording, 1)
    expect(await stage.fragmentsOf(recording)).toHaveLength(4)
    // Waits of half a minute and less pass at once, and the clock with them; deadlines of calls are longer.
    const clock = {
      ...stage.clock,
      nowMs: () => stage.clock.nowMs(),
      monotonicMs: () => stage.clock.monotonicMs(),
      sleep: async (delayMs: number, signal?: AbortSignal) => {
        if (delayMs > 30_000) return await nodeClock.sleep(delayMs, signal)
        stage.clock.movedMs += Math.ceil(delayMs)
        await nodeClock.sleep(2, signal)
      },
    }
    const upkeep = startHealthUpkeep({
      ...{ ...stage, clock, signer: shareSigner(stage.keyring), scrubPeriodMs: 30 * DAY_MS },
    })
    try {
      await expect
        .poll(async () => (await stage.catalog.upkeep.backlog()).map(({ kind }) => kind), { timeout: 30_000 })
        .toEqual(['unwritten'])
      stage.stores[0]!.fault = undefined
      await expect.poll(async () => (await stage.fragmentsOf(recording)).length, { timeout: 30_000 }).toBe(5)
      await expect.poll(async () => (await stage.sharesOf(recording)).length, { timeout: 30_000 }).toBe(5)
    } finally {
      await upkeep.close()
    }
    await expectWhole([recording])
  })
})
