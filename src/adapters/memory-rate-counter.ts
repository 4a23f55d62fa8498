import type { RateCounter, RateKind, RateLimit } from '../ports/rate-counter.ts'
import type { Clock } from '../ports/system.ts'

/** Callers remembered at once; beyond it those seen longest ago are forgotten. */
const MAX_CALLERS = 50_000

/** Counts attempts of this process only. */
export class MemoryRateCounter implements RateCounter {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #attempts = new Map<string, number[]>()

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  attempt(kind: RateKind, who: string, { maxCount, windowMs }: RateLimit, count = 1): Promise<number> {
    const nowMs = this.#clock.monotonicMs()
    const key = `${kind} ${who}`
    const recent = (this.#attempts.get(key) ?? []).filter((atMs) => nowMs - atMs < windowMs)
    const oldest = recent[0]
    // delete and set again: the map's order is then the order of last use
    this.#attempts.delete(key)
    this.#attempts.set(key, recent)
    if (this.#attempts.size > MAX_CALLERS) this.#forgetOldest()
    if (count > 0 && recent.length >= maxCount && oldest !== undefined) {
      return Promise.resolve(oldest + windowMs - nowMs)
    }
    for (let counted = 0; counted < count; counted++) recent.push(nowMs)
    return Promise.resolve(0)
  }

  #forgetOldest(): void {
    const oldest = this.#attempts.keys().next()
    if (oldest.done !== true) this.#attempts.delete(oldest.value)
  }
}
