import { aborted, checkKey, checkRange, checkSignal } from '../../src/adapters/object-key.ts'
import { MosaikError } from '../../src/domain/errors.ts'
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectWriter } from '../../src/ports/object-store.ts'
import type { SimulatedProcess, WorldView } from './process.ts'

type Condition = 'well' | 'down' | 'full'
type Fate = 'well' | 'failed' | 'lost-answer' | 'silent'

/** A call takes up to so long, and one that is late up to so much longer. */
const CALL_MS = 60
const LATE_MS = 20_000
/** After so long a connection that is silent breaks off. */
const SILENCE_MS = 90_000
/** What a node that fell silent was asked for may still happen within this time. */
const AFTERMATH_MS = 60_000

/** A node of a simulated vault, with all that lies on it. It outlives the processes that use it. */
export class SimulatedNode {
  readonly name: string
  readonly objects = new Map<ObjectKey, Uint8Array<ArrayBuffer>>()
  /** Writes that were begun and neither committed nor aborted, by key: what an S3 service keeps of a multipart upload. */
  readonly unfinished = new Map<ObjectKey, number>()
  condition: Condition = 'well'
  readonly #world: WorldView

  constructor(name: string, world: WorldView) {
    this.name = name
    this.#world = world
  }

  /** The node as a process reaches it; without one, as somebody who stands outside. */
  open(process?: SimulatedProcess): ObjectStore {
    const call = <T>(what: string, key: string, signal: AbortSignal, effect: () => T): Promise<T> => {
      const run = (): Promise<T> => this.#call(what, key, signal, effect, process?.name ?? 'outside')
      return process ? process.call(`${this.name}.${what}`, run) : run()
    }
    const list = this.#list.bind(this)
    return {
      create: async (key, signal): Promise<ObjectWriter> => {
        checkKey(key)
        await call('create', key, signal, () => this.#unfinished(key, 1))
        return this.#writer(key, signal, call)
      },
      put: (key, bytes, signal) => {
        const copy = Uint8Array.from(bytes)
        return call('put', key, signal, () => void this.objects.set(key, copy))
      },
      get: (key, range, signal) => call('get', key, signal, () => this.#read(key, range)),
      head: (key, signal) =>
        call('head', key, signal, (): ObjectInfo | undefined => {
          const bytes = this.objects.get(key)
          return bytes && { key, sizeBytes: bytes.length }
        }),
      async *list(prefix, signal) {
        yield* await call('list', prefix, signal, () => list(prefix))
      },
      delete: (key, signal) =>
        call('delete', key, signal, () => {
          this.objects.delete(key)
          this.unfinished.delete(key)
        }),
      close: () => Promise.resolve(),
    }
  }

  /** Flips a bit of what lies there. */
  flip(key: ObjectKey, offsetBytes: number): void {
    const bytes = this.objects.get(key)
    if (bytes) bytes[offsetBytes] = (bytes[offsetBytes] ?? 0) ^ 1
  }

  #writer(
    key: ObjectKey,
    signal: AbortSignal,
    call: <T>(what: string, key: string, signal: AbortSignal, effect: () => T) => Promise<T>,
  ): ObjectWriter {
    const chunks: Uint8Array[] = []
    let isOpen = true
    const end = (): void => {
      if (isOpen) this.#unfinished(key, -1)
      isOpen = false
    }
    return {
      write: (chunk) => {
        const copy = Uint8Array.from(chunk)
        return call('write', key, signal, () => void chunks.push(copy))
      },
      commit: async () => {
        const bytes = new Uint8Array(Buffer.concat(chunks))
        await call('commit', key, signal, () => {
          this.objects.set(key, bytes)
          end()
        })
        return { key, sizeBytes: bytes.length }
      },
      abort: async () => {
        await call('abort', key, new AbortController().signal, end).catch(() => undefined)
      },
    }
  }

  async #call<T>(what: string, key: string, signal: AbortSignal, effect: () => T, who: string): Promise<T> {
    checkSignal(signal)
    const { chance, time, weather, trace } = this.#world
    const fate = this.#fate(what)
    const delayMs = chance.fraction() * CALL_MS + (chance.chance(weather().late) ? chance.fraction() * LATE_MS : 0)
    const fail = (code: 'E_NODE_UNREACHABLE' | 'E_NODE_FULL'): never => {
      throw new MosaikError(code, `node ${this.name}: ${what} of ${key} was made to fail`, { node: this.name })
    }
    trace(`${who}: ${this.name} ${what} ${key} ${fate}`)
    if (fate === 'silent') {
      // Whoever waits has a limit; what was asked for may happen when nobody expects it any more.
      if (chance.chance(0.5)) void time.sleep(chance.fraction() * AFTERMATH_MS).then(() => this.#happen(effect))
      await time.sleep(SILENCE_MS, signal).catch(() => {
        throw aborted(signal)
      })
      return fail('E_NODE_UNREACHABLE')
    }
    let isOver = false
    try {
      await time.sleep(delayMs, signal)
      isOver = true
    } catch {
      // Broken off in the middle: the node may have gone on.
      if (chance.chance(0.5)) this.#happen(effect)
      throw aborted(signal)
    }
    checkSignal(signal)
    if (fate === 'failed' || !isOver) return fail('E_NODE_UNREACHABLE')
    const isWrite = ['create', 'write', 'commit', 'put'].includes(what)
    if (this.condition === 'full' && isWrite) return fail('E_NODE_FULL')
    const answer = effect()
    if (fate === 'lost-answer') return fail('E_NODE_UNREACHABLE')
    return answer
  }

  #happen(effect: () => unknown): void {
    try {
      effect()
    } catch {
      // nobody hears of it
    }
  }

  #fate(what: string): Fate {
    const { chance, weather } = this.#world
    const { failed, lostAnswer, silent } = weather()
    if (this.condition === 'down') return chance.chance(0.1) ? 'silent' : 'failed'
    const draw = chance.fraction()
    if (draw < silent && what !== 'abort') return 'silent'
    if (draw < silent + failed) return 'failed'
    return draw < silent + failed + lostAnswer ? 'lost-answer' : 'well'
  }

  #read(key: ObjectKey, range: ByteRange | undefined): Uint8Array<ArrayBuffer> {
    checkKey(key)
    if (range !== undefined) checkRange(range)
    const bytes = this.objects.get(key)
    if (!bytes) throw new MosaikError('E_OBJECT_ABSENT', `node ${this.name} has no ${key}`, { node: this.name, key })
    const { offsetBytes, lengthBytes } = range ?? { offsetBytes: 0, lengthBytes: bytes.length }
    if (offsetBytes + lengthBytes > bytes.length) {
      throw new MosaikError('E_OBJECT_RANGE', `node ${this.name}: ${key} ends at ${bytes.length}`, { node: this.name })
    }
    return bytes.slice(offsetBytes, offsetBytes + lengthBytes)
  }

  #list(prefix: string): ObjectInfo[] {
    return [...this.objects]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, bytes]) => ({ key, sizeBytes: bytes.length }))
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
  }

  #unfinished(key: ObjectKey, change: number): void {
    const count = (this.unfinished.get(key) ?? 0) + change
    if (count > 0) this.unfinished.set(key, count)
    else this.unfinished.delete(key)
  }
}
