import { describe, expect, it } from 'vitest'
import { addScaled, divide, invert, multiplesOf, multiply } from '../../../src/crypto/field.ts'
import { range } from '../../support/subsets.ts'

/** Multiplication as in FIPS 197 §4.2: shift and add, no tables. */
function slowMultiply(a: number, b: number): number {
  let product = 0
  for (let bit = 7; bit >= 0; bit--) {
    product = (product << 1) ^ ((product & 0x80) !== 0 ? 0x11b : 0)
    if (((b >> bit) & 1) !== 0) product ^= a
  }
  return product & 0xff
}

describe('GF(2^8), 0x11b', () => {
  it('multiplies as FIPS 197 does, for all pairs', () => {
    const wrong = range(65_536).filter((ab) => multiply(ab >> 8, ab & 255) !== slowMultiply(ab >> 8, ab & 255))
    expect(wrong).toEqual([])
    expect(multiply(0x57, 0x83)).toBe(0xc1)
  })

  it('inverts and divides', () => {
    for (let a = 1; a < 256; a++) expect(multiply(a, invert(a))).toBe(1)
    expect(divide(0xc1, 0x83)).toBe(0x57)
    expect(() => invert(0)).toThrow(RangeError)
  })

  it('scales rows without lookups to the same products', () => {
    const source = Uint8Array.from({ length: 256 }, (_, i) => i)
    for (let weight = 0; weight < 256; weight++) {
      const target = new Uint8Array(256).fill(0x5a)
      addScaled(target, weight, source)
      const wanted = multiplesOf(weight).map((product) => product ^ 0x5a)
      expect(target).toEqual(wanted)
    }
  })

  it('refuses rows that do not fit', () => {
    expect(() => {
      addScaled(new Uint8Array(8), 1, new Uint8Array(4))
    }).toThrow(RangeError)
    expect(() => {
      addScaled(new Uint8Array(3), 1, new Uint8Array(3))
    }).toThrow(RangeError)
  })
})
