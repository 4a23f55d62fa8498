import { setTimeout as sleep } from 'node:timers/promises'
import { checkKey, checkRange, checkSignal, checkSmall, aborted } from '../../src/adapters/object-key.ts'
import { MosaikError, type ErrorCode } from '../../src/domain/errors.ts'
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectWriter } from '../../src/ports/object-store.ts'

/** Calls that can be made to fail. `write` and `commit` are those of a writer. */
export type MemoryCall = 'create' | 'write' | 'commit' | 'put' | 'get' | 'head' | 'list' | 'delete'

/**
 * What a hook may do to a call: fail it with a code before it does anything, or after it has done it (`lost`: the answer did not come),
 * answer late, let it hang until its signal is aborted, or run it (undefined).
 */
export type Fault =
  { readonly fail: ErrorCode } | { readonly lost: ErrorCode } | { readonly delayMs: number } | 'stall' | undefined

/** Decides over each call before it does anything. `number` counts all calls from 1. */
export type FaultHook = (call: { readonly number: number; readonly call: MemoryCall; readonly key: string }) => Fault

/**
 * An ObjectStore in memory, with faults. It passes the same contract as the real ones.
 *
 * ```ts
 * const store = new MemoryStore({ label: 'node-1' })
 * store.fault = failCall(3)                                   // the third call finds no node; later ones work
 * store.fault = ({ call }) => (call === 'commit' ? 'stall' : undefined)
 * store.corrupt('f/ab12', 100)                                // flips a bit of what lies there
 * store.truncate('f/ab12', 256)
 * ```
 */
export class MemoryStore implements ObjectStore {
  /** Objects as they lie there, by key: for looking, and for planting damage. */
  readonly objects = new Map<ObjectKey, Uint8Array<ArrayBuffer>>()
  /** Asked before every call; undefined: all calls work. */
  fault: FaultHook | undefined
  /** Calls made so far. */
  callCount = 0
  /** Writers that were neither committed nor aborted. */
  openWriters = 0
  readonly #label: string

  constructor(options: { readonly label?: string } = {}) {
    this.#label = options.label ?? 'memory'
  }

  /** Flips the lowest bit of the byte at `offsetBytes` of an object that is there. */
  corrupt(key: ObjectKey, offsetBytes: number): void {
    const bytes = this.#present(key)
    bytes[offsetBytes] = (bytes[offsetBytes] ?? 0) ^ 1
  }

  /** Cuts an object that is there down to `sizeBytes`. */
  truncate(key: ObjectKey, sizeBytes: number): void {
    this.objects.set(key, this.#present(key).slice(0, sizeBytes))
  }

  async create(key: ObjectKey, signal: AbortSignal): Promise<ObjectWriter> {
    checkKey(key)
    await this.#enter('create', key, signal)
    const chunks: Uint8Array[] = []
    let state: 'open' | 'ended' = 'open'
    let failure: unknown
    this.openWriters++
    const step = async (call: 'write' | 'commit', run: () => void): Promise<void> => {
      if (state !== 'open') throw new MosaikError('E_INTERNAL', `${call} on a writer that is ${state}`)
      if (failure !== undefined) throw failure
      try {
        const lost = await this.#enter(call, key, signal)
        if (lost) {
          run()
          lost()
        }
      } catch (error) {
        failure = error
        throw error
      }
      run()
    }
    const end = (): void => {
      state = 'ended'
      this.openWriters--
    }
    return {
      write: (chunk) => step('write', () => void chunks.push(Uint8Array.from(chunk))),
      commit: async () => {
        const bytes = join(chunks)
        await step('commit', () => {
          this.objects.set(key, bytes)
          end()
        })
        return { key, sizeBytes: bytes.length }
      },
      abort: async () => {
        if (state !== 'ended') end()
      },
    }
  }

  async put(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    checkKey(key)
    checkSmall(key, bytes)
    const lost = await this.#enter('put', key, signal)
    // Not slice(): a Buffer's shares memory.
    this.objects.set(key, Uint8Array.from(bytes))
    lost?.()
  }

  async get(key: ObjectKey, range: ByteRange | undefined, signal: AbortSignal, into?: Uint8Array): Promise<Uint8Array> {
    checkKey(key)
    if (range !== undefined) checkRange(range)
    await this.#enter('get', key, signal)
    const bytes = this.#present(key)
    const { offsetBytes, lengthBytes } = range ?? { offsetBytes: 0, lengthBytes: bytes.length }
    if (offsetBytes + lengthBytes > bytes.length) {
      const message = `node ${this.#label}: ${key} ends at ${bytes.length}`
      throw new MosaikError('E_OBJECT_RANGE', message, { node: this.#label, key, sizeBytes: bytes.length })
    }
    const found = bytes.subarray(offsetBytes, offsetBytes + lengthBytes)
    if (into === undefined) return Uint8Array.from(found)
    into.set(found)
    return into
  }

  async head(key: ObjectKey, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    checkKey(key)
    await this.#enter('head', key, signal)
    const bytes = this.objects.get(key)
    return bytes === undefined ? undefined : { key, sizeBytes: bytes.length }
  }

  async *list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo> {
    await this.#enter('list', prefix, signal)
    for (const key of [...this.objects.keys()].filter((name) => name.startsWith(prefix)).sort()) {
      checkSignal(signal)
      const bytes = this.objects.get(key)
      if (bytes !== undefined) yield { key, sizeBytes: bytes.length }
    }
  }

  async delete(key: ObjectKey, signal: AbortSignal): Promise<void> {
    checkKey(key)
    const lost = await this.#enter('delete', key, signal)
    this.objects.delete(key)
    lost?.()
  }

  async close(): Promise<void> {}

  #present(key: ObjectKey): Uint8Array<ArrayBuffer> {
    const bytes = this.objects.get(key)
    if (bytes !== undefined) return bytes
    throw new MosaikError('E_OBJECT_ABSENT', `node ${this.#label} has no ${key}`, { node: this.#label, key })
  }

  /** Gives what loses the answer, once the call has done its work. */
  async #enter(call: MemoryCall, key: string, signal: AbortSignal): Promise<(() => never) | undefined> {
    checkSignal(signal)
    this.callCount++
    const fault = this.fault?.({ number: this.callCount, call, key })
    if (fault === 'stall') await stalled(signal)
    const fail = (code: ErrorCode): never => {
      const message = `node ${this.#label}: ${call} of ${key} was made to fail`
      throw new MosaikError(code, message, { node: this.#label, key }, new Error('injected'))
    }
    if (typeof fault === 'object' && 'fail' in fault) fail(fault.fail)
    if (typeof fault === 'object' && 'delayMs' in fault)
      await sleep(fault.delayMs, undefined, { signal }).catch(() => checkSignal(signal))
    // Like a real store, never at once: what relies on that shows.
    await new Promise<void>((resolve) => setImmediate(resolve))
    checkSignal(signal)
    return typeof fault === 'object' && 'lost' in fault ? () => fail(fault.lost) : undefined
  }
}

/** A hook that fails call `number` (from 1) and lets the others pass. */
export function failCall(number: number, code: ErrorCode = 'E_NODE_UNREACHABLE'): FaultHook {
  return (call) => (call.number === number ? { fail: code } : undefined)
}

/** A hook that fails every call: a node that is down. */
export function failAll(code: ErrorCode = 'E_NODE_UNREACHABLE'): FaultHook {
  return () => ({ fail: code })
}

function stalled(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(aborted(signal)), { once: true })
  })
}

function join(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}
