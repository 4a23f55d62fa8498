import type { Scheme } from '../domain/dispersal.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { withDeadline } from '../ports/deadline.ts'
import type { NodePool } from '../ports/node-pool.ts'
import type { ByteRange, ObjectKey } from '../ports/object-store.ts'
import type { Clock } from '../ports/system.ts'

/** Where one share of what is wanted lies. */
export interface ShareSource {
  readonly index: number
  readonly node: Id
  readonly nodeName: string
  readonly key: ObjectKey
  /** It gave wrong bytes before: asked last. */
  readonly isDoubtful?: boolean
}

export interface GatherPorts {
  readonly pool: NodePool
  readonly clock: Clock
}

/** Bytes of one share. */
export interface GatheredShare {
  readonly source: ShareSource
  readonly bytes: Uint8Array
}

export interface GatherRequest {
  readonly scheme: Pick<Scheme, 'k'>
  /** Of one sharing. Several copies of one share are tried one after the other. */
  readonly sources: readonly ShareSource[]
  /** The same of each; whole objects without. */
  readonly range?: ByteRange
  /** Where a store may put a share: as long as the range. Not asked for without one. */
  readonly memory?: (sizeBytes: number) => Uint8Array
  /** Looks where a share lies that its node does not have any more; `undefined` when it should be there. */
  readonly relocate?: (source: ShareSource) => Promise<ShareSource | undefined>
  /** Told of a node that is well and has not what it should have: no object, or too short a one. */
  readonly lacking?: (source: ShareSource, error: MosaikError) => void
}

/** A spare is asked when a node takes longer than this many times what it was expected to take … */
const HEDGE_FACTOR = 3
/** … but not before this. */
export const HEDGE_MIN_MS = 40
/** And a node that is silent this long has failed. */
export const DEADLINE_MS = 30_000

/** One question to one node. */
interface Call {
  readonly source: ShareSource
  readonly startedAtMs: number
  /** When a spare takes its place, and whether one has. */
  readonly lateAtMs: number
  isLate: boolean
}

/**
 * Gets the same byte range of k different shares from the fastest healthy nodes; a node that fails is replaced at once, one that is late
 * is hedged by a spare. More shares can be taken later, when one of them turns out to be bad.
 */
export class Gather {
  readonly #ports: GatherPorts
  readonly #request: GatherRequest
  readonly #signal: AbortSignal
  readonly #stop = new AbortController()
  readonly #waiting: ShareSource[]
  readonly #calls = new Set<Call>()
  /** Came, and were not taken yet. */
  readonly #arrived: GatheredShare[] = []
  /** Indices that came and were not rejected. */
  readonly #indices = new Set<number>()
  readonly #failures: { readonly nodeName: string; readonly error: unknown }[] = []
  #slowestMs = 0
  #wake: () => void = () => undefined

  constructor(ports: GatherPorts, request: GatherRequest, signal: AbortSignal) {
    this.#ports = ports
    this.#request = request
    this.#signal = AbortSignal.any([signal, this.#stop.signal])
    this.#signal.addEventListener('abort', () => this.#wake(), { once: true })
    this.#waiting = request.sources.toSorted((a, b) => this.#rank(a) - this.#rank(b))
  }

  /** Names the trouble of a share that came and was bad, for the error that may follow. */
  reject(share: GatheredShare, error: MosaikError): void {
    this.#failures.push({ nodeName: share.source.nodeName, error })
    this.#indices.delete(share.source.index)
  }

  /** Stops what is still under way. */
  close(): void {
    this.#stop.abort(new MosaikError('E_ABORTED', 'enough shares came'))
  }

  /** `count` more shares, each of another index. @throws E_SHARES_TOO_FEW naming every node that failed and why; the signal's reason. */
  async take(count: number): Promise<GatheredShare[]> {
    // Calls of an earlier take that have not come yet are no answer to this one.
    for (const call of this.#calls) call.isLate = true
    while (this.#arrived.length < count) {
      this.#signal.throwIfAborted()
      const inTime = [...this.#calls].filter((call) => !call.isLate)
      for (let missing = count - this.#arrived.length - inTime.length; missing > 0 && this.#start(); missing--);
      if (this.#calls.size === 0) throw this.#tooFew()
      await this.#change()
    }
    this.#noteLaggards()
    return this.#arrived.splice(0, count)
  }

  /** Asks the next node. False when there is none left whose share could be of use. */
  #start(): boolean {
    const isAsked = (index: number): boolean =>
      this.#indices.has(index) || [...this.#calls].some((call) => call.source.index === index && !call.isLate)
    const next = this.#waiting.findIndex(({ index }) => !isAsked(index))
    const [source] = next < 0 ? [] : this.#waiting.splice(next, 1)
    if (!source) return false
    const nowMs = this.#ports.clock.monotonicMs()
    const hedgeMs = Math.max(HEDGE_MIN_MS, HEDGE_FACTOR * this.#ports.pool.expectedMs(source.node))
    const call: Call = { source, startedAtMs: nowMs, lateAtMs: nowMs + hedgeMs, isLate: false }
    this.#calls.add(call)
    this.#fetch(source)
      .then(
        (bytes) => this.#came(call, bytes),
        (error: unknown) => this.#failed(call, error),
      )
      .finally(() => {
        this.#calls.delete(call)
        this.#wake()
      })
    return true
  }

  #came({ source, startedAtMs }: Call, bytes: Uint8Array): void {
    const elapsedMs = this.#ports.clock.monotonicMs() - startedAtMs
    this.#ports.pool.observe(source.node, 'ok', elapsedMs)
    if (this.#indices.has(source.index)) return
    this.#slowestMs = Math.max(this.#slowestMs, elapsedMs)
    this.#indices.add(source.index)
    this.#arrived.push({ source, bytes })
  }

  async #failed({ source }: Call, error: unknown): Promise<void> {
    if (this.#signal.aborted) return
    if (isMosaikError(error, 'E_OBJECT_ABSENT', 'E_NODE_UNKNOWN')) {
      // It may have moved since the layout was read (docs/ARCHITECTURE.md "Read"): no blame before that is known.
      const moved = await this.#request.relocate?.(source).catch(() => undefined)
      if (moved) {
        this.#waiting.unshift(moved)
        return
      }
    }
    if (isMosaikError(error, 'E_OBJECT_ABSENT', 'E_OBJECT_RANGE')) this.#request.lacking?.(source, error)
    else this.#ports.pool.observe(source.node, 'failed', 0)
    this.#failures.push({ nodeName: source.nodeName, error })
  }

  /** Resolves when a call ended or became late, or the signal was aborted. */
  async #change(): Promise<void> {
    const nowMs = this.#ports.clock.monotonicMs()
    const timer = new AbortController()
    const pending = [...this.#calls].filter((call) => !call.isLate)
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      if (pending.length === 0) return
      const nextMs = Math.min(...pending.map((call) => call.lateAtMs)) - nowMs
      this.#ports.clock.sleep(Math.max(0, nextMs), timer.signal).then(resolve, () => undefined)
    })
    timer.abort()
    for (const call of pending) {
      if (call.lateAtMs > this.#ports.clock.monotonicMs() || call.isLate || !this.#calls.has(call)) continue
      call.isLate = true
      this.#ports.pool.late?.(call.source.node)
    }
  }

  /** Nodes that let themselves be overtaken by far are asked later the next times: a node that never answers would else stay first. */
  #noteLaggards(): void {
    const nowMs = this.#ports.clock.monotonicMs()
    for (const { source, startedAtMs, isLate } of this.#calls) {
      if (isLate && nowMs - startedAtMs >= Math.max(HEDGE_MIN_MS, HEDGE_FACTOR * this.#slowestMs)) {
        this.#ports.pool.observe(source.node, 'failed', 0)
      }
    }
  }

  async #fetch(source: ShareSource): Promise<Uint8Array> {
    const { clock, pool } = this.#ports
    const { range, memory } = this.#request
    const late = (): MosaikError =>
      new MosaikError('E_NODE_UNREACHABLE', `node ${source.nodeName} did not answer in time`, { node: source.node })
    return await withDeadline({ clock, limitMs: DEADLINE_MS, signal: this.#signal, late }, async (signal) => {
      const store = await pool.store(source.node)
      return await store.get(source.key, range, signal, range && memory?.(range.lengthBytes))
    })
  }

  #rank({ node, isDoubtful }: ShareSource): number {
    const { pool } = this.#ports
    return (isDoubtful ? 2e9 : 0) + (pool.isHealthy(node) ? 0 : 1e9) + pool.expectedMs(node)
  }

  #tooFew(): MosaikError {
    const reasons = this.#failures.map(
      ({ nodeName, error }) => `${nodeName}: ${isMosaikError(error) ? `${error.code} ${error.message}` : 'failed'}`,
    )
    const { k } = this.#request.scheme
    const came = this.#indices.size
    return new MosaikError(
      'E_SHARES_TOO_FEW',
      `${k} shares are needed and the nodes gave ${came} good ones; missing: ${reasons.join('; ') || 'no other share is known'}`,
      { needed: k, came, reasons },
      this.#failures[0]?.error,
    )
  }
}
