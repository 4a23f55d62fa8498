import type { Clock } from '../../src/ports/system.ts'

/** A clock that a test moves: nothing sleeps to its end before `advance` says so. */
export class HeldClock implements Clock {
  #nowMs = 1_700_000_000_000
  readonly #sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>()

  nowMs(): number {
    return this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const sleeper = { atMs: this.#nowMs + delayMs, wake: resolve }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', () => {
        this.#sleepers.delete(sleeper)
        reject(signal.reason as Error)
      })
    })
  }

  /** How many sleep: a test that leaves none behind leaks no timer. */
  get sleepersCount(): number {
    return this.#sleepers.size
  }

  /** Lets time pass in steps, so that what wakes can go to sleep again within it. */
  async advance(totalMs: number, stepMs = Math.max(1, totalMs / 20)): Promise<void> {
    for (let passedMs = 0; passedMs < totalMs; passedMs += stepMs) {
      this.#nowMs += Math.min(stepMs, totalMs - passedMs)
      for (const sleeper of [...this.#sleepers]) {
        if (sleeper.atMs > this.#nowMs) continue
        this.#sleepers.delete(sleeper)
        sleeper.wake()
      }
      await settled()
    }
  }
}

/** Lets everything run that needs no time. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 30; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}
