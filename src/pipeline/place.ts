import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { ObjectKey, ObjectStore, ObjectWriter } from '../ports/object-store.ts'
import type { Clock } from '../ports/system.ts'

/** Where one share of an extent goes. `store` is undefined when the node could not be opened. */
export interface LaneTarget {
  readonly index: number
  readonly node: Id
  readonly nodeName: string
  readonly key: ObjectKey
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
export const LANE_BUFFER_BYTES = 16 * 1024 * 1024
/** How long all others wait for one slow node before it is dropped, as long as enough remain. */
export const LANE_STALL_MS = 10_000

/**
 * Writes the shares of one extent to their nodes side by side (docs/ARCHITECTURE.md "place"). A node that fails, or stalls while
 * its buffer is full, is dropped as long as `needed` lanes remain; below that the whole write fails with every node's reason.
 */
export class ExtentPlacer {
  readonly #lanes: Lane[]
  readonly #needed: number
  readonly #clock: Clock
  readonly #signal: AbortSignal

  constructor(targets: readonly LaneTarget[], needed: number, clock: Clock, signal: AbortSignal) {
    this.#lanes = targets.map((target) => new Lane(target, signal))
    this.#needed = needed
    this.#clock = clock
    this.#signal = signal
  }

  /** Hands one block to each lane, in order of index. Resolves when all living lanes can take more. @throws E_NODES_TOO_FEW */
  async write(blocks: readonly Uint8Array[]): Promise<void> {
    for (const lane of this.#lanes) {
      const block = blocks[lane.target.index]
      if (!block) throw new MosaikError('E_INTERNAL', `no block for share ${lane.target.index}`)
      lane.push(block)
    }
    this.#checkEnough()
    await this.#waitForRoom()
  }

  /** Ends every lane; resolves with how each ended when at least `needed` objects are verified. @throws E_NODES_TOO_FEW after everything was aborted */
  async commit(): Promise<LaneResult[]> {
    const results = await Promise.all(this.#lanes.map((lane) => lane.commit()))
    this.#signal.throwIfAborted()
    this.#checkEnough()
    return results
  }

  /** Leaves nothing behind as far as the nodes answer. */
  async abort(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.drop(new MosaikError('E_ABORTED', 'the write was given up'))))
  }

  async #waitForRoom(): Promise<void> {
    while (true) {
      this.#signal.throwIfAborted()
      const full = this.#lanes.filter((lane) => lane.alive && lane.queuedBytes > LANE_BUFFER_BYTES)
      if (full.length === 0) return
      const living = this.#lanes.filter((lane) => lane.alive).length
      const timer = new AbortController()
      const stalled = this.#clock.sleep(LANE_STALL_MS, timer.signal).then(
        () => true,
        () => false,
      )
      const moved = Promise.race(full.map((lane) => lane.moved())).then(() => false)
      const isStalled = await Promise.race([stalled, moved])
      timer.abort()
      if (isStalled && living - full.length >= this.#needed) {
        for (const lane of full) {
          void lane.drop(new MosaikError('E_NODE_UNREACHABLE', `node ${lane.target.nodeName} takes no more bytes`))
        }
      }
      this.#checkEnough()
    }
  }

  #checkEnough(): void {
    const dead = this.#lanes.filter((lane) => !lane.alive)
    if (this.#lanes.length - dead.length >= this.#needed) return
    this.#signal.throwIfAborted()
    const reasons = dead.map((lane) => `${lane.target.nodeName}: ${reasonOf(lane.error)}`)
    throw new MosaikError(
      'E_NODES_TOO_FEW',
      `${this.#lanes.length - dead.length} of ${this.#lanes.length} nodes took their fragment and ${this.#needed} are needed (${reasons.join('; ')}); the write is tried again later`,
      { needed: this.#needed, reasons },
      dead[0]?.error,
    )
  }
}

/** One node's share of the extent: a bounded queue and a loop that writes it. */
class Lane {
  readonly target: LaneTarget
  alive = true
  error: unknown = undefined
  queuedBytes = 0
  readonly #queue: Uint8Array[] = []
  readonly #loop: Promise<void>
  #ended = false
  #wake: (() => void) | undefined
  #movedWaiters: (() => void)[] = []
  #sizeBytes: number | undefined
  readonly #cancel = new AbortController()

  constructor(target: LaneTarget, signal: AbortSignal) {
    this.target = target
    this.#loop = this.#run(AbortSignal.any([signal, this.#cancel.signal]))
  }

  push(block: Uint8Array): void {
    if (!this.alive) return
    this.#queue.push(block)
    this.queuedBytes += block.length
    this.#wake?.()
  }

  /** Resolves when a block was written, or the lane ended. */
  moved(): Promise<void> {
    if (!this.alive) return Promise.resolve()
    return new Promise((resolve) => this.#movedWaiters.push(resolve))
  }

  async commit(): Promise<LaneResult> {
    this.#ended = true
    this.#wake?.()
    await this.#loop
    return { target: this.target, sizeBytes: this.#sizeBytes, error: this.error }
  }

  async drop(reason: unknown): Promise<void> {
    this.#die(reason)
    this.#cancel.abort(reason)
    this.#wake?.()
    await this.#loop
  }

  #die(error: unknown): void {
    if (this.alive && this.#sizeBytes === undefined) {
      this.alive = false
      this.error = error
    }
    this.#queue.length = 0
    this.queuedBytes = 0
    this.#notify()
  }

  #notify(): void {
    for (const waiter of this.#movedWaiters.splice(0)) waiter()
  }

  async #run(signal: AbortSignal): Promise<void> {
    let writer: ObjectWriter | undefined
    try {
      writer = await (await this.target.store()).create(this.target.key, signal)
      while (true) {
        signal.throwIfAborted()
        const block = this.#queue.shift()
        if (block) {
          await writer.write(block)
          this.queuedBytes -= block.length
          this.#notify()
        } else if (this.#ended) {
          break
        } else {
          await new Promise<void>((resolve) => (this.#wake = resolve))
          this.#wake = undefined
        }
      }
      this.#sizeBytes = (await writer.commit()).sizeBytes
      this.#notify()
    } catch (error) {
      this.#die(error)
      await writer?.abort()
    }
  }
}

function reasonOf(error: unknown): string {
  return isMosaikError(error) ? `${error.code} ${error.message}` : 'failed'
}
