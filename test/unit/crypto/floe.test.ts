import { describe, expect, it } from 'vitest'
import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import {
  checkFloeHeader,
  createFloeHeader,
  FLOE_HEADER_BYTES,
  floeParameters,
  FloeKey,
  MOSAIK_FLOE,
  SEGMENT_BYTES,
  SEGMENT_PLAIN_BYTES,
} from '../../../src/crypto/floe.ts'
import {
  floeOpen,
  floeRandomBytes,
  floeSeal,
  plainLength,
  sealedLength,
  sealedSegmentBytes,
  sealedSegmentCount,
  segmentCount,
  segmentOfOffset,
} from '../../../src/crypto/floe-message.ts'
import { bytesOf } from '../../support/bytes.ts'

const key = bytesOf(32, 1)
const aad = bytesOf(32, 2)
const iv = bytesOf(32, 3)
const small = floeParameters(64)
const code = (name: string) => expect.objectContaining({ code: name }) as Error

function sealed(plainBytes: number, parameters = MOSAIK_FLOE) {
  return floeSeal(
    primitives,
    key,
    aad,
    bytesOf(plainBytes),
    bytesOf(floeRandomBytes(plainBytes, parameters), 4),
    parameters,
  )
}

describe('FLOE', () => {
  it.each([0, 1, SEGMENT_PLAIN_BYTES - 1, SEGMENT_PLAIN_BYTES, SEGMENT_PLAIN_BYTES + 1, 2 * SEGMENT_PLAIN_BYTES])(
    'predicts the size of %i bytes',
    (plainBytes) => {
      const message = sealed(plainBytes)
      expect(message.length).toBe(74 + sealedLength(plainBytes))
      expect(plainLength(message.length - 74)).toBe(plainBytes)
      expect(sealedSegmentCount(message.length - 74)).toBe(segmentCount(plainBytes))
      expect(Buffer.compare(floeOpen(primitives, key, aad, message), bytesOf(plainBytes))).toBe(0)
    },
  )

  it('knows segments by offset and length', () => {
    expect([0, SEGMENT_PLAIN_BYTES - 1, SEGMENT_PLAIN_BYTES].map((o) => segmentOfOffset(o))).toEqual([0, 0, 1])
    expect(segmentOfOffset(2 ** 40)).toBe(Math.floor(2 ** 40 / SEGMENT_PLAIN_BYTES))
    expect(sealedSegmentBytes(0, SEGMENT_BYTES + 40)).toBe(SEGMENT_BYTES)
    expect(sealedSegmentBytes(1, SEGMENT_BYTES + 40)).toBe(40)
    expect(sealedSegmentBytes(0, 32)).toBe(32)
    for (const bytes of [0, 31, SEGMENT_BYTES + 31, 1.5])
      expect(() => sealedSegmentCount(bytes)).toThrow(code('E_FORMAT_LENGTH'))
  })

  it('refuses a header of another key, additional data, length or parameters', () => {
    const header = createFloeHeader(primitives, key, aad, iv)
    checkFloeHeader(primitives, key, aad, header)
    expect(() => {
      checkFloeHeader(primitives, bytesOf(32, 9), aad, header)
    }).toThrow(code('E_HEADER_TAG'))
    expect(() => {
      checkFloeHeader(primitives, key, bytesOf(32, 9), header)
    }).toThrow(code('E_HEADER_TAG'))
    expect(() => {
      checkFloeHeader(primitives, key, aad, header.slice(1))
    }).toThrow(code('E_FORMAT_LENGTH'))
    const other = createFloeHeader(primitives, key, aad, iv, small)
    expect(() => {
      checkFloeHeader(primitives, key, aad, other)
    }).toThrow(code('E_FORMAT_FIELD'))
    for (let at = 10; at < 74; at++) {
      const broken = header.slice()
      broken[at]! ^= 0x80
      expect(() => new FloeKey(primitives, key, aad, broken)).toThrow(code('E_HEADER_TAG'))
    }
  })

  it('opens a segment only at its place, whole, and as what it is', () => {
    const header = createFloeHeader(primitives, key, aad, iv, small)
    const floe = new FloeKey(primitives, key, aad, header, small)
    const inner = floe.sealSegment(3, bytesOf(32), false, bytesOf(12))
    const last = floe.sealSegment(4, bytesOf(32), true, bytesOf(12, 2))
    expect(floe.openSegment(3, inner, false)).toEqual(bytesOf(32))
    expect(() => floe.openSegment(2, inner, false)).toThrow(code('E_SEGMENT_TAG'))
    expect(() => floe.openSegment(3 + 2 ** 20, inner, false)).toThrow(code('E_SEGMENT_TAG'))
    expect(() => floe.openSegment(3, inner, true)).toThrow(code('E_SEGMENT_TAG'))
    expect(() => floe.openSegment(4, last, false)).toThrow(code('E_SEGMENT_TAG'))
    expect(() => floe.openSegment(3, inner.slice(1), false)).toThrow(code('E_SEGMENT_TAG'))
    for (const length of [0, 3, 31, 60]) {
      expect(() => floe.openSegment(4, last.slice(0, length), true)).toThrow(code('E_SEGMENT_TAG'))
    }
    for (let at = 4; at < 64; at++) {
      const broken = inner.slice()
      broken[at]! ^= 1
      expect(() => floe.openSegment(3, broken, false)).toThrow(code('E_SEGMENT_TAG'))
      expect(floe.tryOpenSegment(3, broken, false)).toBeUndefined()
    }
    // an inner segment disguised as a last one by its marker alone
    const disguised = inner.slice()
    disguised.set([0, 0, 0, 64])
    expect(() => floe.openSegment(3, disguised, true)).toThrow(code('E_SEGMENT_TAG'))
  })

  it('changes the key after 2^20 segments, far beyond 32 bits too', () => {
    const header = createFloeHeader(primitives, key, aad, iv, small)
    const floe = new FloeKey(primitives, key, aad, header, small)
    const places = [0, 2 ** 20 - 1, 2 ** 20, 2 ** 33 + 5]
    const segments = places.map((place) => floe.sealSegment(place, bytesOf(32), false, bytesOf(12, place)))
    const fresh = new FloeKey(primitives, key, aad, header, small)
    places.toReversed().forEach((place, i) => {
      expect(fresh.openSegment(place, segments.toReversed()[i]!, false)).toEqual(bytesOf(32))
    })
    expect(() => floe.sealSegment(-1, bytesOf(32), false, bytesOf(12))).toThrow(RangeError)
  })

  it('refuses plaintexts, nonces and random bytes that do not fit', () => {
    const header = createFloeHeader(primitives, key, aad, iv, small)
    const floe = new FloeKey(primitives, key, aad, header, small)
    expect(() => floe.sealSegment(0, bytesOf(31), false, bytesOf(12))).toThrow(RangeError)
    expect(() => floe.sealSegment(0, bytesOf(33), true, bytesOf(12))).toThrow(RangeError)
    expect(() => floe.sealSegment(0, bytesOf(32), true, bytesOf(11))).toThrow(RangeError)
    expect(() => floeSeal(primitives, key, aad, bytesOf(5), bytesOf(43))).toThrow(RangeError)
    expect(() => createFloeHeader(primitives, key, aad, bytesOf(31))).toThrow(RangeError)
    expect(() => floeParameters(32)).toThrow(RangeError)
  })

  it('does not open a message that was cut at a segment, or anywhere', () => {
    const message = sealed(100, small)
    for (let length = 0; length < message.length; length++) {
      const expected = length < FLOE_HEADER_BYTES ? 'E_FORMAT_LENGTH' : 'E_SEGMENT_TAG'
      expect(() => floeOpen(primitives, key, aad, message.slice(0, length), small)).toThrow(code(expected))
    }
  })
})
