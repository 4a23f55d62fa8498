import { describe, expect, it } from 'vitest'
import { decodeRows, encodeRows, invertMatrix, isInvertible, recoverRows } from '../../../src/crypto/matrix.ts'
import { divide, invert, multiply } from '../../../src/crypto/field.ts'
import { choose, range } from '../../support/subsets.ts'

/** The schemes that FORMAT-DECISIONS names. */
const schemes = [
  [2, 2, 1],
  [2, 3, 1],
  [3, 5, 1],
  [3, 5, 2],
  [3, 8, 1],
  [4, 7, 1],
  [4, 7, 3],
  [5, 9, 2],
  [6, 9, 2],
  [6, 12, 2],
] as const
const dispersal = [
  [2, 3, 0],
  [3, 5, 0],
  [4, 6, 0],
  [6, 9, 0],
] as const

describe('systematic Cauchy form', () => {
  it('is a Cauchy matrix with its columns, then its rows, scaled by row s and column 0', () => {
    for (const [k, n, t] of [...schemes, ...dispersal]) {
      const s = t === 0 ? k : t
      const cauchy = range(n - s).map((i) => range(k).map((j) => invert((255 - (s + i)) ^ j)))
      const columns = cauchy.map((row) => row.map((value, j) => divide(value, cauchy[0]![j]!)))
      const scaled = columns.map((row) => Uint8Array.from(row, (value) => divide(value, row[0]!)))
      expect(encodeRows(k, t, range(n).slice(s))).toEqual(scaled)
    }
  })

  it('has ones in its first row and column, unit rows before, and rows that do not know n', () => {
    expect(encodeRows(3, 1, [0, 1, 2, 3, 4]).map((row) => [...row])).toEqual([
      [1, 0, 0],
      [1, 1, 1],
      [1, 203, 212],
      [1, 154, 159],
      [1, 50, 214],
    ])
    expect(encodeRows(3, 1, [31])[0]![0]).toBe(1)
  })

  it.each([...schemes, ...dispersal])('(%i, %i, %i): any k shares restore', (k, n, t) => {
    for (const shares of choose(range(n), k)) {
      const rows = encodeRows(k, t, shares)
      expect(isInvertible(rows)).toBe(true)
      const inverse = decodeRows(k, t, shares, range(k))
      const product = inverse.map((row) =>
        rows[0]!.map((_, j) => row.reduce((sum, w, i) => sum ^ multiply(w, rows[i]![j]!), 0)),
      )
      expect(product).toEqual(range(k).map((i) => Uint8Array.from(range(k), (j) => (i === j ? 1 : 0))))
    }
  })

  it.each(schemes)('(%i, %i, %i): any t shares are independent of the data', (k, n, t) => {
    for (const shares of choose(range(n), t)) {
      expect(isInvertible(encodeRows(k, t, shares).map((row) => row.slice(0, t)))).toBe(true)
    }
  })

  it.each(schemes)('(%i, %i, %i): a strong ramp, t + j shares hide any L − j data rows', (k, n, t) => {
    const data = range(k).slice(t)
    for (let j = 1; j < data.length; j++) {
      for (const shares of choose(range(n), t + j)) {
        const rows = encodeRows(k, t, shares)
        for (const given of choose(data, j)) {
          const columns = [...range(t), ...given]
          expect(isInvertible(rows.map((row) => Uint8Array.from(columns, (c) => row[c]!)))).toBe(true)
        }
      }
    }
  })

  it('computes a share from k others as it was split', () => {
    const inputs = [17, 200, 3]
    const share = (index: number) =>
      encodeRows(3, 1, [index])[0]!.reduce((sum, w, j) => sum ^ multiply(w, inputs[j]!), 0)
    for (const from of choose(range(6), 3)) {
      for (const to of range(6)) {
        const weights = recoverRows(3, 1, from, [to])[0]!
        expect(weights.reduce((sum, w, i) => sum ^ multiply(w, share(from[i]!)), 0)).toBe(share(to))
      }
    }
  })

  it('refuses too few, too many and repeated shares', () => {
    expect(() => decodeRows(3, 1, [0, 1], [1])).toThrow(expect.objectContaining({ code: 'E_SHARES_TOO_FEW' }))
    expect(() => decodeRows(3, 1, [0, 1, 2, 3], [1])).toThrow(expect.objectContaining({ code: 'E_SHARES_TOO_FEW' }))
    expect(() => decodeRows(3, 1, [0, 1, 1], [1])).toThrow(expect.objectContaining({ code: 'E_SHARES_MIXED' }))
    expect(() => invertMatrix([Uint8Array.of(1, 1), Uint8Array.of(1, 1)])).toThrow(
      expect.objectContaining({ code: 'E_INTERNAL' }),
    )
    expect(isInvertible([Uint8Array.of(1, 1), Uint8Array.of(1, 1)])).toBe(false)
  })
})
