import { describe, expect, it } from 'vitest'
import {
  plaintextLength,
  SEGMENT_BYTES,
  SEGMENT_PLAINTEXT_BYTES,
  sealedLength,
  segmentCount,
  segmentLength,
} from '../../../src/format/asset-header.ts'
import {
  blockOffset,
  extentCount,
  fragmentLength,
  innerBlockLength,
  lastBlockLength,
  segmentsOfExtent,
} from '../../../src/format/fragment-header.ts'
import { shareObjectLength } from '../../../src/format/document-share.ts'

const P = SEGMENT_PLAINTEXT_BYTES

describe('lengths of content (§3)', () => {
  for (const [plain, segments] of [
    [0, 1],
    [1, 1],
    [P - 1, 1],
    [P, 1],
    [P + 1, 2],
    [2 * P, 2],
    [2 * P + 1, 3],
  ] as const) {
    it(`${plain} bytes are ${segments} segments`, () => {
      const sealed = sealedLength(plain)
      expect(sealed).toBe(plain + 32 * segments)
      expect(segmentCount(sealed)).toBe(segments)
      expect(plaintextLength(sealed)).toBe(plain)
      const lengths = Array.from({ length: segments }, (_, i) => segmentLength(sealed, i))
      expect(lengths.reduce((sum, length) => sum + length)).toBe(sealed)
      expect(lengths.slice(0, -1).every((length) => length === SEGMENT_BYTES)).toBe(true)
    })
  }

  it('refuses lengths that no content has', () => {
    for (const sealed of [-1, 0, 31, SEGMENT_BYTES + 1, SEGMENT_BYTES + 31, 33.5, Number.NaN]) {
      expect(() => segmentCount(sealed)).toThrow(expect.objectContaining({ code: 'E_FORMAT_FIELD' }))
    }
    expect(() => segmentLength(32, 1)).toThrow(expect.objectContaining({ code: 'E_FORMAT_FIELD' }))
  })
})

describe('places in a fragment (§4)', () => {
  it('has the block lengths of the document', () => {
    expect(innerBlockLength({ k: 3, t: 1 })).toBe(131_072)
    expect(innerBlockLength({ k: 3, t: 0 })).toBe(128 * Math.ceil(262_144 / 384))
    expect(lastBlockLength({ k: 3, t: 1 }, 32)).toBe(16)
    expect(lastBlockLength({ k: 3, t: 1 }, 33)).toBe(32)
    expect(lastBlockLength({ k: 2, t: 1 }, 262_144)).toBe(262_144)
  })

  it('counts segments within the extent', () => {
    const scheme = { k: 2, t: 1 }
    const sealed = 8192 * SEGMENT_BYTES + 100
    expect(extentCount(sealed)).toBe(2)
    expect(segmentsOfExtent(sealed, 0)).toEqual({ first: 0, count: 8192 })
    expect(segmentsOfExtent(sealed, 1)).toEqual({ first: 8192, count: 1 })
    expect(() => segmentsOfExtent(sealed, 2)).toThrow(expect.objectContaining({ code: 'E_FORMAT_FIELD' }))
    expect(blockOffset(scheme, 8192)).toBe(256)
    expect(blockOffset(scheme, 8193)).toBe(256 + 262_144 + 16)
    expect(fragmentLength(scheme, sealed, 0)).toBe(256 + 8192 * (262_144 + 16))
    expect(fragmentLength(scheme, sealed, 1)).toBe(256 + 112 + 16)
  })

  it('knows the size of a document share', () => {
    expect(shareObjectLength(1)).toBe(96 + 16 + 3373)
    expect(shareObjectLength(16)).toBe(96 + 16 + 3373)
    expect(shareObjectLength(17)).toBe(96 + 32 + 3373)
  })
})
