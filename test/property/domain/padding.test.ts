import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { padmeBytes } from '../../../src/domain/padding.ts'

const lengths = fc.oneof(
  fc.nat({ max: 5000 }),
  fc.integer({ min: 0, max: 2 ** 48 }),
  // around powers of two, where a logarithm that is rounded goes wrong
  fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: -2, max: 2 })).map(([e, by]) => Math.max(0, 2 ** e + by)),
)

/** Algorithm 1 of the paper on arbitrary integers, as it is printed there: with a mask. */
function published(length: bigint): bigint {
  if (length < 2n) return length
  const e = BigInt(length.toString(2).length - 1)
  const s = BigInt(e.toString(2).length)
  const lastBits = e - s
  if (lastBits < 0n) return length
  const mask = (1n << lastBits) - 1n
  return (length + mask) & ~mask
}

describe('Padmé lengths', () => {
  it('are those of the published algorithm', () => {
    fc.assert(
      fc.property(lengths, (length) => {
        expect(BigInt(padmeBytes(length))).toBe(published(BigInt(length)))
      }),
      { numRuns: 2000 },
    )
    expect([0, 1, 2, 9, 100, 1000, 1001, 262_112, 1_000_000_000].map(padmeBytes)).toEqual([
      ...[0, 1, 2, 10, 104, 1024, 1024, 262_144, 1_006_632_960],
    ])
  })

  it('are never shorter, at most 12 % longer, and their own', () => {
    fc.assert(
      fc.property(lengths, (length) => {
        const padded = padmeBytes(length)
        expect(padded).toBeGreaterThanOrEqual(length)
        expect(padded).toBeLessThanOrEqual(1.12 * length)
        expect(padmeBytes(padded)).toBe(padded)
      }),
      { numRuns: 2000 },
    )
  })

  it('grow with the length, and are few: 1,196 for all lengths up to a terabyte', () => {
    fc.assert(
      fc.property(lengths, fc.nat({ max: 1000 }), (length, more) => {
        expect(padmeBytes(length + more)).toBeGreaterThanOrEqual(padmeBytes(length))
      }),
    )
    let different = 0
    for (let length = 1; length < 2 ** 40; length = padmeBytes(length) + 1) different++
    expect(different).toBe(1196)
  })
})
