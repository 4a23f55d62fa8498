import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { ObjectKey, ObjectStore, ObjectWriter } from '../ports/object-store.ts'
import type { Clock } from '../ports/system.ts'

/** Where one share of an extent goes. */
export interface LaneTarget {
  readonly index: number
  readonly node: Id
  readonly nodeName: string
  readonly key: ObjectKey
  /** The node's open store; rejects when it cannot be opened. */
  readonly store: () => Promise<ObjectStore>
}

/** How one lane ended. */
export interface LaneResult {
  readonly target: LaneTarget
  /** Size of the verified object, or undefined when the lane was dropped. */
  readonly sizeBytes: number | undefined
  readonly error: unknown
}

/** Bytes that may wait for one node before the writer waits for it. */
export const LANE_BUFFER_BYTES = 4 * 1024 * 1024
/**
 * A node whose buffer is full and that took nothing for so long is dropped, once enough others are idle because of it. An S3 node takes
 * 16 MiB at a time, so this asks for half a mebibyte a second; when all are as slow (a thin line), none is dropped.
 */
export const LANE_STALL_MS = 30_000
/** The same at the end of an extent, when enough others are verified; and then the time that its bytes take at COMMIT_BYTES_PER_MS. */
export const COMMIT_STALL_MS = 10_000
const COMMIT_BYTES_PER_MS = 512
/** A node that does not move for so long is dropped even when too few remain: better an error that names it than a write that hangs. */
export const LANE_GIVE_UP_MS = 10 * 60_000
/** How long `abort` and `commit` wait for dropped lanes to clean up; what stays is the collector's. */
const CLEAN_UP_MS = 5_000

/**
 * Writes the shares of one extent to their nodes side by side (docs/ARCHITECTURE.md "place"). A node that fails, or stalls, is dropped as
 * long as `needed` lanes remain; below that the whole write fails with every node's reason. A node that is merely slow sets the pace.
 */
export class ExtentPlacer {
  readonly #lanes: Lane[]
  readonly #needed: number
  readonly #clock: Clock
  readonly #signal: AbortSignal
  #changed: () => void = () => undefined

  constructor(targets: readonly LaneTarget[], needed: number, clock: Clock, signal: AbortSignal) {
    this.#needed = needed
    this.#clock = clock
    this.#signal = signal
    this.#lanes = targets.map(
      (target) =>
        new Lane(target, signal, clock, () => {
          this.#changed()
        }),
    )
  }

  /**
   * Hands one block to each lane, in order of index. Resolves when all living lanes can take more. `released` is called once no lane
   * needs the blocks any more; never when a writer failed with one of them in its hands. @throws E_NODES_TOO_FEW
   */
  async write(blocks: readonly Uint8Array[], released?: () => void): Promise<void> {
    let holders = this.#lanes.length
    const release = (): void => {
      if (--holders === 0) released?.()
    }
    for (const lane of this.#lanes) {
      const block = blocks[lane.target.index]
      if (!block) throw new MosaikError('E_INTERNAL', `no block for share ${lane.target.index}`)
      lane.push(block, release)
    }
    await this.#waitFor(
      (lane) => lane.queuedBytes <= LANE_BUFFER_BYTES,
      (lane) => lane.isIdle,
      () => LANE_STALL_MS,
    )
  }

  /**
   * Ends every lane; resolves with how each ended when at least `needed` objects are verified. @throws E_NODES_TOO_FEW; `abort` it then
   */
  async commit(): Promise<LaneResult[]> {
    for (const lane of this.#lanes) lane.end()
    const isDone = (lane: Lane): boolean => lane.sizeBytes !== undefined
    await this.#waitFor(isDone, isDone, (lane) => COMMIT_STALL_MS + lane.takenBytes / COMMIT_BYTES_PER_MS)
    await this.#cleanedUp()
    return this.#lanes.map(({ target, sizeBytes, error }) => ({ target, sizeBytes, error }))
  }

  /** Leaves nothing behind as far as the nodes answer soon. Objects that were committed stay: their rows say what becomes of them. */
  async abort(): Promise<void> {
    for (const lane of this.#lanes) lane.drop(new MosaikError('E_ABORTED', 'the write was given up'))
    await this.#cleanedUp()
  }

  /** Waits until every living lane `isReady`; drops those that stall while enough others are `isFree`. */
  async #waitFor(
    isReady: (lane: Lane) => boolean,
    isFree: (lane: Lane) => boolean,
    patienceMs: (lane: Lane) => number,
  ): Promise<void> {
    while (true) {
      this.#signal.throwIfAborted()
      const living = this.#lanes.filter((lane) => lane.isAlive)
      if (living.length < this.#needed) throw this.#tooFew(living.length)
      const awaited = living.filter((lane) => !isReady(lane))
      if (awaited.length === 0) return
      const mayDrop = living.filter(isFree).length >= this.#needed
      let nextMs = LANE_GIVE_UP_MS
      let dropped = false
      for (const lane of awaited) {
        const limitMs = mayDrop ? patienceMs(lane) : LANE_GIVE_UP_MS + patienceMs(lane)
        const leftMs = limitMs - lane.stalledMs()
        nextMs = Math.min(nextMs, leftMs)
        if (leftMs > 0) continue
        dropped = true
        lane.drop(
          new MosaikError('E_NODE_UNREACHABLE', `node ${lane.target.nodeName} takes no more bytes`, {
            node: lane.target.node,
          }),
        )
      }
      // What rounding leaves of a millisecond moves no clock.
      if (!dropped) await this.#change(Math.max(1, nextMs))
    }
  }

  /** Resolves when a lane moved or ended, or after `delayMs`. */
  async #change(delayMs: number): Promise<void> {
    const timer = new AbortController()
    await new Promise<void>((resolve) => {
      this.#changed = resolve
      this.#clock.sleep(delayMs, timer.signal).then(resolve, () => undefined)
    })
    timer.abort()
  }

  async #cleanedUp(): Promise<void> {
    const timer = new AbortController()
    const ended = this.#lanes.filter((lane) => !lane.isAlive).map((lane) => lane.ended)
    await Promise.race([
      Promise.all(ended),
      this.#clock.sleep(CLEAN_UP_MS, timer.signal).catch(() => undefined), // ends so when the lanes were quicker
    ])
    timer.abort()
  }

  #tooFew(count: number): MosaikError {
    const dead = this.#lanes.filter((lane) => !lane.isAlive)
    const reasons = dead.map((lane) => `${lane.target.nodeName}: ${reasonOf(lane.error)}`)
    return new MosaikError(
      'E_NODES_TOO_FEW',
      `${count} of ${this.#lanes.length} nodes took their fragment and ${this.#needed} are needed (${reasons.join('; ')}); the write is tried again later`,
      { needed: this.#needed, reasons },
      dead[0]?.error,
    )
  }
}

/** One node's share of the extent: a bounded queue and a loop that writes it. */
class Lane {
  readonly target: LaneTarget
  isAlive = true
  error: unknown = undefined
  /** Waiting, the block that is being written included. */
  queuedBytes = 0
  /** Taken by the writer so far. */
  takenBytes = 0
  /** Of the verified object. */
  sizeBytes: number | undefined
  /** Resolves when nothing of it runs any more. Never rejects. */
  readonly ended: Promise<void>
  readonly #queue: { readonly block: Uint8Array; readonly release: () => void }[] = []
  readonly #clock: Clock
  readonly #changed: () => void
  readonly #cancel = new AbortController()
  #movedAtMs: number
  #isEnding = false
  #wake: () => void = () => undefined

  constructor(target: LaneTarget, signal: AbortSignal, clock: Clock, changed: () => void) {
    this.target = target
    this.#clock = clock
    this.#changed = changed
    this.#movedAtMs = clock.monotonicMs()
    const giveUp = (): void => this.drop(signal.reason)
    signal.addEventListener('abort', giveUp, { once: true })
    this.ended = this.#run(this.#cancel.signal).finally(() => signal.removeEventListener('abort', giveUp))
    if (signal.aborted) giveUp()
  }

  /** Nothing to do until the next block. */
  get isIdle(): boolean {
    return this.queuedBytes === 0
  }

  /** How long it has had something to do and did nothing. */
  stalledMs(): number {
    return this.#clock.monotonicMs() - this.#movedAtMs
  }

  push(block: Uint8Array, release: () => void): void {
    if (!this.isAlive) return release()
    if (this.isIdle) this.#movedAtMs = this.#clock.monotonicMs()
    this.#queue.push({ block, release })
    this.queuedBytes += block.length
    this.#wake()
  }

  /** No more blocks come: commit when all are written. */
  end(): void {
    if (this.isIdle) this.#movedAtMs = this.#clock.monotonicMs()
    this.#isEnding = true
    this.#wake()
  }

  /** Gives the lane up; nothing when its object is verified already. */
  drop(reason: unknown): void {
    if (!this.isAlive || this.sizeBytes !== undefined) return
    this.isAlive = false
    this.error = reason
    for (const { release } of this.#queue.splice(0)) release()
    this.queuedBytes = 0
    this.#cancel.abort(reason)
    this.#wake()
    this.#changed()
  }

  async #run(signal: AbortSignal): Promise<void> {
    let writer: ObjectWriter | undefined
    try {
      const store = await this.target.store()
      signal.throwIfAborted()
      writer = await store.create(this.target.key, signal)
      while (true) {
        signal.throwIfAborted()
        const next = this.#queue.shift()
        if (next) {
          await writer.write(next.block)
          if (this.isAlive) this.#moved(next.block.length)
          next.release()
        } else if (this.#isEnding) {
          break
        } else {
          await new Promise<void>((resolve) => (this.#wake = resolve))
        }
      }
      const { sizeBytes } = await writer.commit()
      if (sizeBytes !== this.takenBytes) {
        const message = `node ${this.target.nodeName} has ${sizeBytes} bytes and was given ${this.takenBytes}`
        throw new MosaikError('E_NODE_CORRUPT', message, { node: this.target.node })
      }
      // Dropped meanwhile: it counts as failed, and the collector has it.
      if (this.isAlive) this.sizeBytes = sizeBytes
      this.#changed()
    } catch (error) {
      this.drop(error)
      await writer?.abort().catch(() => undefined)
    }
  }

  #moved(bytes: number): void {
    this.queuedBytes -= bytes
    this.takenBytes += bytes
    this.#movedAtMs = this.#clock.monotonicMs()
    this.#changed()
  }
}

function reasonOf(error: unknown): string {
  return isMosaikError(error) ? `${error.code} ${error.message}` : 'failed'
}
