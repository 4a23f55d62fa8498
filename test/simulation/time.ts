import type { Clock } from '../../src/ports/system.ts'

/** When every simulated world begins. */
const EPOCH_MS = 1_790_000_000_000

interface Sleeper {
  readonly atMs: number
  readonly order: number
  readonly wake: () => void
}

/**
 * Simulated time. It stands still while anything runs, then goes to the next one that sleeps; who sleeps to the same instant wakes in the
 * order in which they lay down. Nothing of a simulated world may wait for anything else.
 */
export class SimulatedTime {
  #nowMs = 0
  #order = 0
  /** A binary heap, the earliest first. */
  readonly #sleepers: Sleeper[] = []

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** Resolves after `delayMs`, or rejects with the signal's reason. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const stop = (): void => reject(signal?.reason as Error)
      signal?.addEventListener('abort', stop, { once: true })
      const wake = (): void => {
        signal?.removeEventListener('abort', stop)
        resolve()
      }
      this.#push({ atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, wake })
    })
  }

  /** Lets the world go on until `isDone`, or `limitMs` have passed. False when they have, or nobody sleeps any more. */
  async run(limitMs: number, isDone: () => boolean): Promise<boolean> {
    const endMs = this.#nowMs + limitMs
    while (true) {
      await settled()
      if (isDone()) return true
      const next = this.#sleepers[0]
      if (next === undefined || next.atMs > endMs) {
        this.#nowMs = endMs
        return false
      }
      this.#pop()
      // A machine that was suspended wakes everybody late.
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.wake()
    }
  }

  /** The whole world was suspended for so long. */
  skip(skippedMs: number): void {
    this.#nowMs += skippedMs
  }

  #push(sleeper: Sleeper): void {
    const heap = this.#sleepers
    let at = heap.push(sleeper) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(heap[at]!, heap[parent]!)) break
      ;[heap[at], heap[parent]] = [heap[parent]!, heap[at]!]
      at = parent
    }
  }

  #pop(): void {
    const heap = this.#sleepers
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    heap[0] = last
    for (let at = 0; ;) {
      const [left, right] = [2 * at + 1, 2 * at + 2]
      let least = at
      if (left < heap.length && isBefore(heap[left]!, heap[least]!)) least = left
      if (right < heap.length && isBefore(heap[right]!, heap[least]!)) least = right
      if (least === at) return
      ;[heap[at], heap[least]] = [heap[least]!, heap[at]!]
      at = least
    }
  }
}

function isBefore(a: Sleeper, b: Sleeper): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

/** Lets everything run that needs no time: all of it is promises. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** A machine's clock on simulated time. Its wall time can be wrong by `skewMs`. */
export class SimulatedClock implements Clock {
  readonly #time: SimulatedTime
  skewMs = 0

  constructor(time: SimulatedTime) {
    this.#time = time
  }

  nowMs(): number {
    return EPOCH_MS + Math.floor(this.#time.nowMs) + this.skewMs
  }

  monotonicMs(): number {
    return this.#time.nowMs
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return this.#time.sleep(delayMs, signal)
  }
}
