/** What a Range header asks of a body of known size: everything, one part [startBytes, endBytes), or nothing we give. */
export type RangeAnswer =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly startBytes: number; readonly endBytes: number }
  | { readonly kind: 'unsatisfiable' }

const unitPattern = /^bytes=(.*)$/i
const specPattern = /^\s*(\d*)-(\d*)\s*$/
/** More digits than any size has; keeps numbers exact. An end with more of them is behind every end. */
const MAX_DIGITS = 15

/**
 * Reads a Range header (RFC 9110 §14.2) against a body of `sizeBytes`.
 *
 * - Another unit, or not a range at all: ignored, as the RFC says; the answer is the whole.
 * - Several ranges: unsatisfiable (416). We give single ranges only, and answering with the whole, which the RFC allows too,
 *   would let a few bytes of header ask for a whole film: each part of it costs fetches from several nodes.
 * - Start behind the end, or the last 0 bytes: unsatisfiable.
 */
export function parseRange(header: string | undefined, sizeBytes: number): RangeAnswer {
  const list = header === undefined ? undefined : unitPattern.exec(header.trim())?.[1]
  if (list === undefined) return { kind: 'whole' }
  if (list.includes(',')) return { kind: 'unsatisfiable' }
  const [, first, last] = specPattern.exec(list) ?? []
  if (first === undefined || last === undefined || (first === '' && last === '')) return { kind: 'whole' }
  if (first.length > MAX_DIGITS) return { kind: 'unsatisfiable' }
  const lastBytes = last === '' || last.length > MAX_DIGITS ? Number.MAX_SAFE_INTEGER : Number(last)
  if (first === '') return part(Math.max(0, sizeBytes - lastBytes), sizeBytes)
  if (lastBytes < Number(first)) return { kind: 'whole' }
  return part(Number(first), Math.min(sizeBytes, lastBytes + 1))
}

/**
 * True when a Range header counts: there is no If-Range, or it is exactly our strong entity tag (RFC 9110 §13.1.5). We send no
 * Last-Modified, so a date never matches.
 */
export function rangeApplies(ifRange: string | undefined, etag: string): boolean {
  return ifRange === undefined || ifRange.trim() === etag
}

function part(startBytes: number, endBytes: number): RangeAnswer {
  return startBytes < endBytes ? { kind: 'part', startBytes, endBytes } : { kind: 'unsatisfiable' }
}
