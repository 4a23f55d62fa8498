import type { RateLimit } from '../../ports/rate-counter.ts'

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

/** One customer of an IPv6 provider holds a whole /64: it counts as one address. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  return [...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4).join(':')
}
