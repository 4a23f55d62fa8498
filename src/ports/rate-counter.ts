/** How often somebody may do something. */
export interface RateLimit {
  readonly maxCount: number
  readonly windowMs: number
}

/** What is limited. */
export type RateKind = 'exchange' | 'segments' | 'api'

/** Counts attempts in a sliding window, over all processes that share the counter. */
export interface RateCounter {
  /**
   * Counts an attempt. 0 when it may go on, else the wait in ms. Refused attempts are not counted: who waits as told gets through. Never
   * rejects: a counter that its home does not answer counts for this process alone.
   *
   * @param who tells callers apart; is not kept as it is where others could read it.
   * @param count how much it counts; 0 is never refused. The last one may go beyond the limit.
   */
  attempt(kind: RateKind, who: string, limit: RateLimit, count?: number): Promise<number>
}
