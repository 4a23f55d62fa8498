import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isMosaikError } from '../../../src/domain/errors.ts'
import {
  COMMIT_STALL_MS,
  ExtentPlacer,
  LANE_BUFFER_BYTES,
  LANE_GIVE_UP_MS,
  LANE_STALL_MS,
  type LaneResult,
} from '../../../src/pipeline/place.ts'
import type { ObjectStore } from '../../../src/ports/object-store.ts'
import { HeldClock, settled } from '../../support/held-clock.ts'
import { MemoryStore, failAll, type FaultHook } from '../../support/memory-store.ts'

const BLOCK = 1024 * 1024
const never = new AbortController().signal
let clock: HeldClock
let stores: MemoryStore[]
const unhandled: unknown[] = []
const note = (error: unknown): void => void unhandled.push(error)

beforeEach(() => {
  clock = new HeldClock()
  stores = [0, 1, 2, 3, 4].map((number) => new MemoryStore({ label: `node-${number}` }))
  process.on('unhandledRejection', note)
})
afterEach(async () => {
  await settled()
  process.off('unhandledRejection', note)
  expect(unhandled.splice(0)).toEqual([])
  expect(stores.map(({ openWriters }) => openWriters)).toEqual(stores.map(() => 0))
  expect(clock.sleepersCount).toBe(0)
})

const keys = [0, 1, 2, 3, 4].map((number) => `f/${String(number).repeat(32)}`)

function place(needed = 4, signal = never, open: (number: number) => Promise<ObjectStore> = opened): ExtentPlacer {
  const targets = keys.map((key, index) => ({
    index,
    node: `${index}`.repeat(32),
    nodeName: `node-${index}`,
    key,
    store: () => open(index),
  }))
  return new ExtentPlacer(targets, needed, clock, signal)
}

function opened(number: number): Promise<ObjectStore> {
  return Promise.resolve(stores[number]!)
}

/** One block a share, its bytes telling share and number. */
function blocks(number: number, length = BLOCK): Uint8Array[] {
  return keys.map((_, index) => new Uint8Array(length).fill(16 * index + (number % 16)))
}

async function writeAll(placer: ExtentPlacer, count: number, length = 1000): Promise<LaneResult[]> {
  for (let number = 0; number < count; number++) await placer.write(blocks(number, length))
  return await placer.commit()
}

const on =
  (call: string, fault: ReturnType<FaultHook>): FaultHook =>
  (seen) =>
    seen.call === call ? fault : undefined

/** Runs `task` to its end while time passes. */
async function whileTimePasses<T>(task: Promise<T>, limitMs: number): Promise<T> {
  let done = false
  const settledTask = task.finally(() => (done = true))
  settledTask.catch(() => undefined)
  for (let passedMs = 0; !done && passedMs < limitMs; passedMs += 1000) await clock.advance(1000, 1000)
  if (!done) throw new Error(`not done after ${limitMs} ms`)
  return await settledTask
}

describe('ExtentPlacer', () => {
  it('writes each share to its node, in order, and says what lies there', async () => {
    const results = await writeAll(place(), 3)
    expect(results.map(({ sizeBytes }) => sizeBytes)).toEqual(keys.map(() => 3000))
    for (const [index, store] of stores.entries()) {
      const expected = Buffer.concat([0, 1, 2].map((number) => blocks(number, 1000)[index]!))
      expect(Buffer.from(store.objects.get(keys[index]!)!)).toEqual(expected)
      expect([...store.objects.keys()]).toEqual([keys[index]])
    }
  })

  for (const call of ['create', 'write', 'commit'] as const) {
    it(`goes on without one node that fails at ${call}, and not without two`, async () => {
      stores[2]!.fault = on(call, { fail: 'E_NODE_FULL' })
      const results = await writeAll(place(), 3)
      expect(results.map(({ sizeBytes }) => sizeBytes !== undefined)).toEqual([true, true, false, true, true])
      expect(isMosaikError(results[2]!.error, 'E_NODE_FULL')).toBe(true)
      expect(stores[2]!.objects.size).toBe(0)

      for (const store of stores) store.objects.clear()
      stores[4]!.fault = on(call, { fail: 'E_NODE_REFUSED' })
      const placer = place()
      const failure: unknown = await writeAll(placer, 3).catch((error: unknown) => error)
      expect(isMosaikError(failure, 'E_NODES_TOO_FEW')).toBe(true)
      expect((failure as Error).message).toMatch(
        /^3 of 5 nodes took their fragment and 4 are needed \(node-2: E_NODE_FULL .*; node-4: E_NODE_REFUSED .*\); the write is tried again later$/,
      )
      await placer.abort()
    })
  }

  it('goes on without a node that fails half-way, or cannot be opened', async () => {
    stores[0]!.fault = ({ number }) => (number === 4 ? { fail: 'E_NODE_UNREACHABLE' } : undefined)
    expect((await writeAll(place(), 8)).filter(({ sizeBytes }) => sizeBytes !== undefined).length).toBe(4)
    stores[0]!.fault = undefined
    const open = (number: number): Promise<ObjectStore> =>
      number === 1 ? Promise.reject(new Error('no such thing')) : opened(number)
    const results = await writeAll(place(4, never, open), 2)
    expect(results.map(({ sizeBytes }) => sizeBytes !== undefined)).toEqual([true, false, true, true, true])
  })

  it('needs all of three nodes when that is the rule', async () => {
    stores[1]!.fault = failAll()
    const placer = place(5)
    await expect(writeAll(placer, 1)).rejects.toThrow(/4 of 5 nodes took their fragment and 5 are needed/)
    await placer.abort()
  })

  it('drops a node that stalls once its buffer is full, and not before the others had to wait for it', async () => {
    stores[3]!.fault = on('write', 'stall')
    const placer = place()
    const full = LANE_BUFFER_BYTES / BLOCK
    for (let number = 0; number < full; number++) await placer.write(blocks(number))
    let written = false
    const waiting = placer.write(blocks(full)).then(() => (written = true))
    await clock.advance(LANE_STALL_MS - 1000)
    expect(written).toBe(false)
    await clock.advance(2000)
    await waiting
    const results = await placer.commit()
    const whole = (full + 1) * BLOCK
    expect(results.map(({ sizeBytes }) => sizeBytes)).toEqual([whole, whole, whole, undefined, whole])
    expect((results[3]!.error as Error).message).toContain('node-3 takes no more bytes')
  })

  it('drops a stalled node also while another one is slow and full', async () => {
    stores[3]!.fault = on('write', 'stall')
    // One block each five seconds: slower than the writer, and alive.
    const slow = slowStore(stores[4]!, 5_000)
    const placer = place(4, never, (number) => (number === 4 ? Promise.resolve(slow) : opened(number)))
    const results = await whileTimePasses(writeAll(placer, 40, BLOCK), 2 * LANE_GIVE_UP_MS)
    expect(results.map(({ sizeBytes }) => sizeBytes !== undefined)).toEqual([true, true, true, false, true])
  })

  it('lets a slow node set the pace, with a bounded queue', async () => {
    const slow = slowStore(stores[0]!, 5_000)
    const placer = place(4, never, (number) => (number === 0 ? Promise.resolve(slow) : opened(number)))
    let handed = 0
    const feed = async (): Promise<LaneResult[]> => {
      for (; handed < 60; handed++) await placer.write(blocks(handed))
      return await placer.commit()
    }
    const done = feed()
    await settled()
    // What fits the buffer, and the block that filled it.
    expect(handed).toBe(LANE_BUFFER_BYTES / BLOCK)
    await clock.advance(50_000, 1000)
    expect(handed).toBeGreaterThanOrEqual(LANE_BUFFER_BYTES / BLOCK + 9)
    expect(handed).toBeLessThanOrEqual(LANE_BUFFER_BYTES / BLOCK + 11)
    const results = await whileTimePasses(done, LANE_GIVE_UP_MS)
    expect(results.every(({ sizeBytes }) => sizeBytes === 60 * BLOCK)).toBe(true)
  })

  it('does not take a node for stalled because the source paused', async () => {
    const placer = place()
    await placer.write(blocks(0))
    await settled()
    await clock.advance(10 * LANE_STALL_MS)
    const results = await writeAll(placer, 30, BLOCK)
    expect(results.every(({ sizeBytes }) => sizeBytes === 31 * BLOCK)).toBe(true)
    // Neither is one that takes its time over the first block after the pause.
    const slow = slowStore(stores[0]!, 8_000)
    const other = place(4, never, (number) => (number === 0 ? Promise.resolve(slow) : opened(number)))
    await clock.advance(10 * LANE_STALL_MS)
    const slowResults = await whileTimePasses(writeAll(other, 18, BLOCK), LANE_GIVE_UP_MS)
    expect(slowResults.every(({ sizeBytes }) => sizeBytes === 18 * BLOCK)).toBe(true)
  })

  it('drops a node that stalls at the end, soon for a small object', async () => {
    stores[1]!.fault = on('commit', 'stall')
    const results = await whileTimePasses(writeAll(place(), 1), COMMIT_STALL_MS + 2_000)
    expect(results.map(({ sizeBytes }) => sizeBytes !== undefined)).toEqual([true, false, true, true, true])
  })

  it('gives up, naming them, when so many nodes stall that too few remain', async () => {
    for (const number of [1, 2]) stores[number]!.fault = on('create', 'stall')
    const placer = place()
    await expect(whileTimePasses(writeAll(placer, 1), LANE_GIVE_UP_MS + 60_000)).rejects.toThrow(
      /3 of 5 nodes .*node-1: .*node-2: /,
    )
    await placer.abort()
  })

  it('is not held up by a node that does not even listen to being given up', async () => {
    const deaf = storeThat(() => new Promise(() => undefined))
    const open = (number: number): Promise<ObjectStore> => (number === 2 ? Promise.resolve(deaf) : opened(number))
    const results = await whileTimePasses(writeAll(place(4, never, open), 1), COMMIT_STALL_MS + 10_000)
    expect(results.filter(({ sizeBytes }) => sizeBytes !== undefined).length).toBe(4)
    const placer = place(4, never, open)
    await placer.write(blocks(0))
    await whileTimePasses(placer.abort(), 10_000)
  })

  it('leaves nothing behind when it is aborted, by itself or by its signal', async () => {
    const placer = place()
    await placer.write(blocks(0))
    await placer.abort()
    await placer.abort()
    const controller = new AbortController()
    const other = place(4, controller.signal)
    stores[0]!.fault = on('write', 'stall')
    await other.write(blocks(0))
    controller.abort(new Error('enough'))
    await expect(other.write(blocks(1))).rejects.toThrow('enough')
    await expect(other.commit()).rejects.toThrow('enough')
    await other.abort()
    const dead = place(4, controller.signal)
    await expect(dead.commit()).rejects.toThrow('enough')
    for (const store of stores) expect(store.objects.size).toBe(0)
  })

  it('wakes a writer that waits for a stalled node when it is aborted', async () => {
    const controller = new AbortController()
    stores[0]!.fault = on('write', 'stall')
    const placer = place(4, controller.signal)
    const full = LANE_BUFFER_BYTES / BLOCK
    for (let number = 0; number < full; number++) await placer.write(blocks(number))
    const waiting = placer.write(blocks(full))
    await settled()
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    await placer.abort()
  })

  it('refuses an object that has another size than what was written', async () => {
    const lying = storeThat(async (key, signal) => {
      const writer = await stores[3]!.create(key, signal)
      return {
        write: (chunk) => writer.write(chunk),
        abort: () => writer.abort(),
        commit: async () => ({ ...(await writer.commit()), sizeBytes: 1 }),
      }
    })
    const results = await writeAll(
      place(4, never, (n) => (n === 3 ? Promise.resolve(lying) : opened(n))),
      2,
    )
    expect(isMosaikError(results[3]!.error, 'E_NODE_CORRUPT')).toBe(true)
  })
})

function storeThat(create: ObjectStore['create']): ObjectStore {
  return Object.assign(new MemoryStore(), { create })
}

function slowStore(store: MemoryStore, blockMs: number): ObjectStore {
  return storeThat(async (key, signal) => {
    const writer = await store.create(key, signal)
    return {
      write: async (chunk) => {
        await clock.sleep(blockMs, signal)
        await writer.write(chunk)
      },
      commit: () => writer.commit(),
      abort: () => writer.abort(),
    }
  })
}
