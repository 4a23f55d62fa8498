import { expect, it } from 'vitest'
import { parseDuration } from '../../../src/domain/duration.ts'

it.each([
  ['7d', 604_800_000],
  ['12h', 43_200_000],
  ['30m', 1_800_000],
  [' 90s ', 90_000],
  ['2w', 1_209_600_000],
])('%s', (text, durationMs) => expect(parseDuration(text, 'x')).toBe(durationMs))

it.each(['', '7', 'd', '0d', '-1d', '1.5h', '1D', '7 d', '1y', '9999999999d', '1d2h'])('refuses %j', (text) => {
  expect(() => parseDuration(text, 'expiresIn')).toThrow(/^expiresIn must be a time like 7d/)
})
