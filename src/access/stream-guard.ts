import type { Clock } from '../ports/system.ts'

/** How often a running stream is checked against the catalog; with one missed answer still below the promised 5 s. */
export const GUARD_INTERVAL_MS = 2_000
/** One unanswered check is tolerated. */
const GUARD_MISSES = 2
/** A check without an answer for that long is an unanswered one; two in a row end before 5 s, too. */
const GUARD_PATIENCE_MS = 750

/**
 * Watches over a running stream: asks every two seconds whether what let it begin still holds, and calls `end` once when not.
 * A catalog that fails or is silent twice in a row counts as no.
 *
 * @param over the stream has ended: nothing is asked any more.
 */
export function guardStream(clock: Clock, isLive: () => Promise<boolean>, end: () => void, over: AbortSignal): void {
  /** Whether it still holds; `undefined` without an answer. */
  async function ask(): Promise<boolean | undefined> {
    const answered = new AbortController()
    try {
      return await Promise.race([
        isLive(),
        clock.sleep(GUARD_PATIENCE_MS, AbortSignal.any([over, answered.signal])).then(() => undefined),
      ])
    } catch {
      return undefined
    } finally {
      answered.abort()
    }
  }

  async function watch(): Promise<void> {
    let misses = 0
    let askedAtMs = clock.monotonicMs()
    while (misses < GUARD_MISSES) {
      await clock.sleep(Math.max(0, askedAtMs + GUARD_INTERVAL_MS - clock.monotonicMs()), over)
      askedAtMs = clock.monotonicMs()
      const answer = await ask()
      if (answer === false) break
      misses = answer === undefined ? misses + 1 : 0
    }
    if (!over.aborted) end()
  }

  // sleep rejects when the stream is over: that is the normal end of the watch
  void watch().catch(() => undefined)
}
