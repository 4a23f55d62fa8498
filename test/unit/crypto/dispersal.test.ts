import { describe, expect, it } from 'vitest'
import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import {
  blockBytes,
  extentOfSegment,
  EXTENT_SEGMENTS,
  innerBlockBytes,
  writeRandomRows,
} from '../../../src/crypto/dispersal.ts'
import { bytesOf } from '../../support/bytes.ts'
import { range } from '../../support/subsets.ts'

function randomRows(
  rowsKey: Uint8Array,
  scheme: { k: number; t: number },
  segment: number,
  rowBytes = innerBlockBytes(scheme.k - scheme.t),
) {
  const rows = new Uint8Array(scheme.t * rowBytes)
  writeRandomRows(primitives, rowsKey, scheme, segment, rowBytes, rows)
  return rows
}

describe('dispersal of a segment', () => {
  it('knows the length of blocks', () => {
    expect(range(16).map((i) => innerBlockBytes(i + 1))).toEqual([
      262144, 131072, 87424, 65536, 52480, 43776, 37504, 32768, 29184, 26240, 23936, 21888, 20224, 18816, 17536, 16384,
    ])
    expect(blockBytes(262_144, 3, false)).toBe(87_424)
    expect(blockBytes(262_144, 3, true)).toBe(87_392)
    expect([32, 33, 64, 65].map((length) => blockBytes(length, 2, true))).toEqual([16, 32, 32, 48])
    for (const rows of range(16))
      expect(blockBytes(262_144, rows + 1, true)).toBeLessThanOrEqual(innerBlockBytes(rows + 1))
  })

  it('draws rows from one keystream without using a byte twice', () => {
    const rowsKey = bytesOf(32)
    const scheme = { k: 5, t: 2 }
    const perSegment = 2 * innerBlockBytes(3)
    const stream = primitives.chacha20(rowsKey, 0, 3 * perSegment)
    for (const segment of range(3)) {
      const wanted = stream.subarray(segment * perSegment, (segment + 1) * perSegment)
      expect(Buffer.compare(randomRows(rowsKey, scheme, segment), wanted)).toBe(0)
      expect(Buffer.compare(randomRows(rowsKey, scheme, EXTENT_SEGMENTS + segment), wanted)).toBe(0)
    }
    expect(randomRows(rowsKey, { k: 3, t: 0 }, 1).length).toBe(0)
    // the last segment's rows are shorter, and lie at the same places
    const short = randomRows(rowsKey, scheme, 1, 48)
    expect(short.subarray(48)).toEqual(stream.slice(perSegment * 1.5, perSegment * 1.5 + 48))
    expect(() => randomRows(rowsKey, scheme, 1, innerBlockBytes(3) + 16)).toThrow(RangeError)
    expect(() => {
      writeRandomRows(primitives, rowsKey, scheme, 1, 48, new Uint8Array(95))
    }).toThrow(RangeError)
  })

  it('stays inside the 32-bit block counter at the end of the widest extent', () => {
    const rows = randomRows(bytesOf(32), { k: 16, t: 15 }, EXTENT_SEGMENTS - 1)
    expect(rows.length).toBe(15 * 262_144)
    expect((EXTENT_SEGMENTS * rows.length) / 64).toBeLessThan(2 ** 32)
  })

  it('counts extents', () => {
    expect([0, 8191, 8192, 2 ** 40].map(extentOfSegment)).toEqual([0, 0, 1, 2 ** 27])
  })
})
