/** How often one address may try. */
export interface RateLimit {
  readonly maxCount: number
  readonly windowMs: number
}

/** The exchange of a token: 10 a minute and address. */
export const EXCHANGE_RATE_LIMIT: RateLimit = { maxCount: 10, windowMs: 60_000 }

/**
 * Segments of 256 KiB that one session may have opened for bytes it does not take: one byte costs fetches from k nodes and the
 * opening of a whole segment. A player wastes two a request and asks twice a second at most; who seeks wildly stays far below.
 */
export const SEGMENT_RATE_LIMIT: RateLimit = { maxCount: 1_200, windowMs: 60_000 }
const SEGMENT_BYTES = 262_144

/** Segments that a range touches beyond those its bytes would fill: 0 to 2. A download in one piece is nearly free. */
export function wastedSegments(startBytes: number, endBytes: number): number {
  const touched = Math.ceil(endBytes / SEGMENT_BYTES) - Math.floor(startBytes / SEGMENT_BYTES)
  return Math.max(0, touched - Math.floor((endBytes - startBytes) / SEGMENT_BYTES))
}

/** Addresses remembered at once; beyond it those seen longest ago are forgotten. */
const MAX_ADDRESSES = 50_000

/** Counts attempts by address (or what else tells callers apart, without a colon) in a sliding window; of this process only. */
export class SlidingWindow {
  readonly #limit: RateLimit
  readonly #attempts = new Map<string, number[]>()

  constructor(limit: RateLimit) {
    this.#limit = limit
  }

  /**
   * Counts an attempt. 0 when it may go on, else the wait in ms. Refused attempts are not counted: who waits as told gets through.
   *
   * @param nowMs of a clock that never goes back.
   * @param count how much it counts; 0 is never refused.
   */
  attempt(address: string, nowMs: number, count = 1): number {
    const key = network(address)
    const recent = (this.#attempts.get(key) ?? []).filter((atMs) => nowMs - atMs < this.#limit.windowMs)
    const oldest = recent[0]
    // delete and set again: the map's order is then the order of last use
    this.#attempts.delete(key)
    this.#attempts.set(key, recent)
    if (this.#attempts.size > MAX_ADDRESSES) this.#forgetOldest()
    if (count > 0 && recent.length >= this.#limit.maxCount && oldest !== undefined)
      return oldest + this.#limit.windowMs - nowMs
    for (let counted = 0; counted < count; counted++) recent.push(nowMs)
    return 0
  }

  #forgetOldest(): void {
    const oldest = this.#attempts.keys().next()
    if (oldest.done !== true) this.#attempts.delete(oldest.value)
  }
}

/** One customer of an IPv6 provider holds a whole /64: it counts as one address. */
function network(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  return [...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4).join(':')
}
