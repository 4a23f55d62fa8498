import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MosaikError, isMosaikError } from '../../../src/domain/errors.ts'
import type { Id } from '../../../src/domain/ids.ts'
import type { NodePool } from '../../../src/ports/node-pool.ts'
import type { ObjectStore } from '../../../src/ports/object-store.ts'
import {
  DEADLINE_MS,
  Gather,
  HEDGE_MIN_MS,
  type GatherRequest,
  type ShareSource,
} from '../../../src/retrieve/gather.ts'
import { HeldClock, settled } from '../../support/held-clock.ts'
import { MemoryStore, failAll, type Fault } from '../../support/memory-store.ts'

const never = new AbortController().signal
const scheme = { k: 3 }
let clock: HeldClock
let stores: MemoryStore[]
let pool: TestPool
const unhandled: unknown[] = []
const note = (error: unknown): void => void unhandled.push(error)

class TestPool implements NodePool {
  storeToDelete(): Promise<never> {
    return Promise.reject(new Error('nothing is deleted here'))
  }

  readonly observed: string[] = []
  readonly expected = new Map<Id, number>()
  readonly sick = new Set<Id>()
  readonly deaf = new Set<Id>()
  nodes = () => Promise.resolve([])
  store = (node: Id): Promise<ObjectStore> =>
    this.deaf.has(node) ? new Promise(() => undefined) : Promise.resolve(stores[Number(node)]!)
  isHealthy = (node: Id): boolean => !this.sick.has(node)
  expectedMs = (node: Id): number => this.expected.get(node) ?? 0
  observe = (node: Id, outcome: 'ok' | 'failed'): void => void this.observed.push(`${node} ${outcome}`)
}

const keyOf = (index: number): string => `f/${String(index).repeat(32)}`
const sources: ShareSource[] = [0, 1, 2, 3, 4].map((index) => ({
  index,
  node: String(index),
  nodeName: `node-${index}`,
  key: keyOf(index),
}))

beforeEach(() => {
  clock = new HeldClock()
  pool = new TestPool()
  stores = sources.map(({ index }) => {
    const store = new MemoryStore({ label: `node-${index}` })
    store.objects.set(keyOf(index), new Uint8Array([index, index, index]))
    return store
  })
  process.on('unhandledRejection', note)
})
afterEach(async () => {
  await settled()
  process.off('unhandledRejection', note)
  expect(unhandled.splice(0)).toEqual([])
  expect(clock.sleepersCount).toBe(0)
})

function gather(more: Partial<GatherRequest> = {}, signal = never): Gather {
  return new Gather({ pool, clock }, { scheme, sources, ...more }, signal)
}

/** Lets a node answer only when the function that it gives back was called. */
function gated(number: number): () => void {
  let release: () => void = () => undefined
  const gate = new Promise<void>((resolve) => (release = resolve))
  const store = stores[number]!
  const get: ObjectStore['get'] = async (...given) => {
    await gate
    return await store.get(...given)
  }
  pool.store = (node) =>
    Promise.resolve(Number(node) === number ? Object.assign(new MemoryStore(), { get }) : stores[Number(node)]!)
  return release
}

const indicesOf = (shares: Awaited<ReturnType<Gather['take']>>): number[] =>
  shares.map(({ source }) => source.index).sort()
const asked = (): number[] => stores.flatMap((store, index) => (store.callCount > 0 ? [index] : []))
const stall = (): Fault => 'stall'

describe('Gather', () => {
  it('asks the k fastest healthy nodes, and no other', async () => {
    pool.expected.set('0', 500).set('1', 20).set('2', 30).set('3', 10).set('4', 5)
    pool.sick.add('4')
    const one = gather()
    expect(indicesOf(await one.take(3))).toEqual([1, 2, 3])
    expect(asked()).toEqual([1, 2, 3])
    one.close()
    expect(pool.observed.sort()).toEqual(['1 ok', '2 ok', '3 ok'])
  })

  it('reads the range of each', async () => {
    const one = gather({ range: { offsetBytes: 1, lengthBytes: 2 } })
    for (const { source, bytes } of await one.take(3)) expect([...bytes]).toEqual([source.index, source.index])
    one.close()
  })

  it('asks a doubtful share last', async () => {
    const one = gather({ sources: sources.map((source) => ({ ...source, isDoubtful: source.index === 0 })) })
    expect(indicesOf(await one.take(4))).toEqual([1, 2, 3, 4])
    one.close()
  })

  it('replaces a node that fails at once, without any time passing', async () => {
    stores[0]!.fault = failAll()
    stores[2]!.fault = failAll('E_NODE_REFUSED')
    const one = gather()
    expect(indicesOf(await one.take(3))).toEqual([1, 3, 4])
    one.close()
    expect(pool.observed).toContain('0 failed')
  })

  it('asks a spare when a node is late, and never waits longer for one that stalls', async () => {
    stores[1]!.fault = stall
    stores[2]!.fault = stall
    const one = gather()
    const taken = one.take(3)
    await settled()
    expect(asked()).toEqual([0, 1, 2])
    await clock.advance(HEDGE_MIN_MS - 1, 1)
    expect(asked()).toEqual([0, 1, 2])
    await clock.advance(1)
    expect(indicesOf(await taken)).toEqual([0, 3, 4])
    one.close()
    // Or the node that never answers would be asked first for ever.
    expect(pool.observed.filter((line) => line.endsWith('failed')).sort()).toEqual(['1 failed', '2 failed'])
  })

  it('waits as long as a node is expected to take before it asks a spare', async () => {
    for (const { node } of sources) pool.expected.set(node, 100)
    stores[0]!.fault = stall
    const one = gather()
    const taken = one.take(3)
    await clock.advance(299)
    expect(asked()).toEqual([0, 1, 2])
    await clock.advance(2)
    expect(indicesOf(await taken)).toEqual([1, 2, 3])
    one.close()
  })

  it('takes the late node when it comes before the spare', async () => {
    const release = gated(0)
    stores[3]!.fault = stall
    stores[4]!.fault = stall
    const one = gather()
    const taken = one.take(3)
    await clock.advance(200)
    release()
    expect(indicesOf(await taken)).toEqual([0, 1, 2])
    one.close()
  })

  it('names every node with its reason when too few remain', async () => {
    stores[0]!.fault = failAll()
    stores[1]!.fault = failAll('E_NODE_REFUSED')
    stores[3]!.objects.clear()
    const failure: unknown = await gather()
      .take(3)
      .catch((error: unknown) => error)
    if (!isMosaikError(failure, 'E_SHARES_TOO_FEW')) throw failure
    expect(failure.message).toContain('3 shares are needed and the nodes gave 2 good ones')
    expect(failure.fields).toMatchObject({ needed: 3, came: 2 })
    for (const words of [/node-0: E_NODE_UNREACHABLE/, /node-1: E_NODE_REFUSED/, /node-3: E_OBJECT_ABSENT/]) {
      expect(failure.message).toMatch(words)
    }
    expect(failure.message).not.toMatch(/node-2|node-4/)
    // Absent is the answer of a node that is well.
    expect(pool.observed).not.toContain('3 failed')
  })

  it('gives up on nodes that are silent for long, also when the store cannot be opened at all', async () => {
    stores[0]!.fault = stall
    pool.deaf.add('1').add('2')
    const taken = gather().take(3)
    const failed = expect(taken).rejects.toThrow(/node-0: E_NODE_UNREACHABLE .*node-[12]: E_NODE_UNREACHABLE/)
    await clock.advance(DEADLINE_MS + 10_000)
    await failed
  })

  it('says of a share that was rejected why, when no other is left', async () => {
    for (const store of stores.slice(0, 2)) store.fault = stall
    const one = gather()
    const taken = one.take(3)
    await clock.advance(HEDGE_MIN_MS)
    const shares = await taken
    expect(indicesOf(shares)).toEqual([2, 3, 4])
    for (const store of stores) store.fault = failAll()
    const bad = shares[0]!
    one.reject(bad, new MosaikError('E_BLOCK_TAG', 'bad'))
    const more = one.take(1)
    const failed = expect(more).rejects.toThrow(/node-2: E_BLOCK_TAG bad/)
    await clock.advance(DEADLINE_MS + 1000)
    await failed
    one.close()
  })

  it('gives later takes what came in between', async () => {
    const release = gated(0)
    stores[4]!.fault = failAll()
    const one = gather()
    const taken = one.take(3)
    await clock.advance(HEDGE_MIN_MS)
    const shares = await taken
    expect(indicesOf(shares)).toEqual([1, 2, 3])
    release()
    await settled()
    one.reject(shares[0]!, new MosaikError('E_BLOCK_TAG', 'bad'))
    expect(indicesOf(await one.take(1))).toEqual([0])
    one.close()
  })

  it('asks a spare at once for a second take, also while an old call stalls', async () => {
    stores[1]!.fault = stall
    const one = gather()
    const taken = one.take(3)
    await clock.advance(HEDGE_MIN_MS)
    expect(indicesOf(await taken)).toEqual([0, 2, 3])
    expect(indicesOf(await one.take(1))).toEqual([4])
    one.close()
  })

  it('asks a spare at once for a second take, also while the spare of the first one has not come', async () => {
    const release = gated(0)
    stores[3]!.fault = stall
    const one = gather()
    const taken = one.take(3)
    await clock.advance(HEDGE_MIN_MS)
    release()
    expect(indicesOf(await taken)).toEqual([0, 1, 2])
    expect(indicesOf(await one.take(1))).toEqual([4])
    one.close()
  })

  it('takes no second copy of a share that comes late', async () => {
    const release = gated(0)
    stores[4]!.objects.set(keyOf(0), new Uint8Array(3))
    const one = gather({ sources: [...sources.slice(0, 3), { ...sources[4]!, index: 0, key: keyOf(0) }] })
    const taken = one.take(3)
    await clock.advance(HEDGE_MIN_MS)
    const shares = await taken
    expect(shares.map(({ source }) => source.node).sort()).toEqual(['1', '2', '4'])
    release()
    await settled()
    one.reject(
      shares.find(({ source }) => source.index === 1)!,
      new MosaikError('E_BLOCK_TAG', 'bad'),
    )
    await expect(one.take(1)).rejects.toThrow(/node-1: E_BLOCK_TAG/)
  })

  it('asks where a share lies that is not there any more, before it blames the node', async () => {
    stores[0]!.objects.clear()
    stores[3]!.objects.set('f/moved', new Uint8Array([0, 0, 0]))
    const moved = { index: 0, node: '3', nodeName: 'node-3', key: 'f/moved' }
    const one = gather({ sources: sources.slice(0, 3), relocate: () => Promise.resolve(moved) })
    const shares = await one.take(3)
    expect(shares.find(({ source }) => source.index === 0)?.source.key).toBe('f/moved')
    expect(pool.observed).not.toContain('0 failed')
    one.close()
    const other = gather({ sources: sources.slice(0, 3), relocate: () => Promise.reject(new Error('no catalog')) })
    await expect(other.take(3)).rejects.toThrow(/node-0: E_OBJECT_ABSENT/)
  })

  it('never takes two copies of one share, and takes the second when the first fails', async () => {
    const copy = { ...sources[4]!, index: 0 }
    const doubled = [...sources.slice(0, 3), copy]
    const one = gather({ sources: doubled })
    expect(indicesOf(await one.take(3))).toEqual([0, 1, 2])
    await expect(one.take(1)).rejects.toThrow(/E_SHARES_TOO_FEW|3 shares are needed/)
    stores[0]!.fault = failAll()
    const other = gather({ sources: doubled })
    const shares = await other.take(3)
    expect(shares.map(({ source }) => source.node).sort()).toEqual(['1', '2', '4'])
  })

  it('stops at once when it is aborted, and blames nobody', async () => {
    for (const store of stores) store.fault = stall
    const controller = new AbortController()
    const taken = gather({}, controller.signal).take(3)
    const failed = expect(taken).rejects.toThrow('the viewer left')
    await settled()
    controller.abort(new Error('the viewer left'))
    await failed
    await settled()
    expect(pool.observed).toEqual([])
    await expect(gather({}, controller.signal).take(3)).rejects.toThrow('the viewer left')
  })

  it('stops what is under way when it is closed', async () => {
    let aborted = false
    pool.store = (node) =>
      Promise.resolve(
        node === '0'
          ? ({
              get: (_key, _range, signal) =>
                new Promise((_, reject) =>
                  signal.addEventListener('abort', () => {
                    aborted = true
                    reject(signal.reason as Error)
                  }),
                ),
            } as ObjectStore)
          : stores[Number(node)]!,
      )
    const one = gather()
    const taken = one.take(3)
    await clock.advance(HEDGE_MIN_MS)
    await taken
    expect(aborted).toBe(false)
    one.close()
    expect(aborted).toBe(true)
  })
})
