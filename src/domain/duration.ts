import { MosaikError } from './errors.ts'

const unitsMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const
const durationPattern = /^(\d{1,9})([smhdw])$/

/**
 * Milliseconds of a duration as people write it: a whole number and one of s, m, h, d, w; "7d", "12h", "30m".
 *
 * @param what names the setting in the error.
 * @throws E_INPUT when it is not one, or is zero.
 */
export function parseDuration(text: string, what: string): number {
  const [, count, unit] = durationPattern.exec(text.trim()) ?? []
  const durationMs = count === undefined ? 0 : Number(count) * unitsMs[unit as keyof typeof unitsMs]
  if (durationMs === 0) {
    throw new MosaikError(
      'E_INPUT',
      `${what} must be a time like 7d, 12h or 30m (units: s, m, h, d, w), more than none`,
    )
  }
  return durationMs
}
