import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { blockBytes } from '../../../src/crypto/dispersal.ts'
import { SEGMENT_PLAIN_BYTES } from '../../../src/crypto/floe.ts'
import { tagBlock } from '../../../src/crypto/fragment-tag.ts'
import { noblePrimitives } from '../../../src/crypto/noble-primitives.ts'
import { RepairCodec } from '../../../src/crypto/repair-codec.ts'
import { SegmentOpener, SegmentSealer } from '../../../src/crypto/segment-codec.ts'
import { bytesOf } from '../../support/bytes.ts'
import { allKernels } from '../../support/kernels.ts'
import { testCipher, testSharing, testTools } from '../../support/segments.ts'
import { choose, range } from '../../support/subsets.ts'

const kernels = allKernels()
const tools = testTools(kernels[2]!)
const cipher = testCipher()
const code = (name: string) => expect.objectContaining({ code: name }) as Error

const schemes = fc
  .record({ k: fc.integer({ min: 2, max: 16 }), extra: fc.integer({ min: 0, max: 16 }), part: fc.nat(15) })
  .map(({ k, extra, part }) => ({ k, n: k + extra, t: part % k }))

function split(scheme: { k: number; n: number; t: number }, plaintext: Uint8Array, segment = 5, last = true) {
  const sharing = testSharing(scheme)
  const blocks = new SegmentSealer(tools, cipher, sharing).split(segment, plaintext, last)
  const framed = blocks.map((bytes, index) => ({ index, bytes }))
  const sealedBytes = plaintext.length + 32
  return { sharing, framed, sealedBytes, rowBytes: blockBytes(sealedBytes, scheme.k - scheme.t, last) }
}

describe('segment codec', () => {
  it('restores from any k of n, for any scheme and length of the last segment', () => {
    fc.assert(
      fc.property(
        schemes,
        fc.nat(3000),
        fc.array(fc.nat(), { minLength: 32, maxLength: 32 }),
        (scheme, length, order) => {
          const plaintext = bytesOf(length, length)
          const { sharing, framed, sealedBytes } = split(scheme, plaintext)
          const chosen = framed.toSorted((a, b) => order[a.index]! - order[b.index]!).slice(0, scheme.k)
          const opener = new SegmentOpener(tools, cipher, { ...sharing, fragmentKeys: sharing.keyMap })
          expect(opener.open(5, true, sealedBytes, chosen)).toEqual({ plaintext })
        },
      ),
      { numRuns: 150 },
    )
  })

  it.each([
    [2, 3, 1],
    [3, 5, 1],
    [3, 5, 0],
    [6, 9, 2],
  ])('(%i, %i, %i): every k-subset of an inner segment restores', (k, n, t) => {
    const plaintext = bytesOf(SEGMENT_PLAIN_BYTES, 9)
    const { sharing, framed, sealedBytes } = split({ k, n, t }, plaintext, 8191, false)
    const opener = new SegmentOpener(tools, cipher, { ...sharing, fragmentKeys: sharing.keyMap })
    for (const subset of choose(framed, k)) {
      const answer = opener.open(8191, false, sealedBytes, subset)
      expect('plaintext' in answer && Buffer.compare(answer.plaintext, plaintext)).toBe(0)
    }
  })

  it('makes the same blocks on every kernel', () => {
    const plaintext = bytesOf(SEGMENT_PLAIN_BYTES, 3)
    for (const [k, n, t] of [
      [3, 5, 1],
      [5, 9, 2],
      [2, 4, 0],
    ] as const) {
      const made = kernels.map((kernel) =>
        new SegmentSealer(testTools(kernel), cipher, testSharing({ k, n, t })).split(0, plaintext, false),
      )
      for (const index of range(n))
        for (const blocks of made) expect(Buffer.compare(blocks[index]!, made[0]![index]!)).toBe(0)
    }
  })

  it('opens on noble what it made on node:crypto, and the other way', () => {
    const noble = { ...testTools(kernels[0]!), primitives: noblePrimitives }
    const sharing = testSharing({ k: 3, n: 5, t: 1 })
    const open = { ...sharing, fragmentKeys: sharing.keyMap }
    for (const [sealing, opening] of [
      [tools, noble],
      [noble, tools],
    ] as const) {
      const blocks = new SegmentSealer(sealing, cipher, sharing).split(2, bytesOf(777), true)
      const framed = blocks.map((bytes, index) => ({ index, bytes })).slice(2)
      expect(new SegmentOpener(opening, cipher, open).open(2, true, 809, framed)).toEqual({ plaintext: bytesOf(777) })
    }
  })

  it('never restores from k − 1, nor from k − 1 and one share twice', () => {
    const { sharing, framed, sealedBytes } = split({ k: 3, n: 5, t: 1 }, bytesOf(500))
    const opener = new SegmentOpener(tools, cipher, { ...sharing, fragmentKeys: sharing.keyMap })
    for (const subset of choose(framed, 2)) {
      expect(() => opener.open(5, true, sealedBytes, subset)).toThrow(code('E_SHARES_TOO_FEW'))
      expect(() => opener.open(5, true, sealedBytes, [...subset, subset[0]!])).toThrow(code('E_SHARES_MIXED'))
    }
    expect(() =>
      opener.open(5, true, sealedBytes, [...framed.slice(0, 2), { index: 5, bytes: framed[2]!.bytes }]),
    ).toThrow(code('E_SCHEME_INVALID'))
  })

  it('takes exactly the random rows of the keystream, unchanged, as the first t shares', () => {
    const scheme = { k: 5, n: 9, t: 2 }
    const { sharing, framed, rowBytes } = split(scheme, bytesOf(1000), 6)
    const place = 87_424
    const stream = noblePrimitives.chacha20(sharing.rowsKey, (6 * 2 * place) / 64, 2 * place)
    for (const r of range(2)) {
      expect(
        Buffer.compare(framed[r]!.bytes.subarray(0, rowBytes), stream.subarray(r * place, r * place + rowBytes)),
      ).toBe(0)
    }
  })

  it('names every share with a flipped bit, a wrong place, another index, or a wrong length', () => {
    const scheme = { k: 3, n: 5, t: 1 }
    const { sharing, framed, sealedBytes } = split(scheme, bytesOf(500))
    const elsewhere = split(scheme, bytesOf(500), 6).framed
    const opener = new SegmentOpener(tools, cipher, { ...sharing, fragmentKeys: sharing.keyMap })
    const size = framed[0]!.bytes.length
    const faults = fc.oneof(
      fc.nat(size * 8 - 1).map((bit) => (share: number) => {
        const bytes = framed[share]!.bytes.slice()
        bytes[bit >> 3]! ^= 1 << (bit & 7)
        return bytes
      }),
      fc.constant((share: number) => elsewhere[share]!.bytes),
      fc.constant((share: number) => framed[(share + 1) % 5]!.bytes),
      fc.nat(size - 1).map((length) => (share: number) => framed[share]!.bytes.slice(0, length)),
    )
    fc.assert(
      fc.property(fc.subarray(range(5), { minLength: 1 }), faults, (broken, fault) => {
        const given = framed.map((block) =>
          broken.includes(block.index) ? { index: block.index, bytes: fault(block.index) } : block,
        )
        const answer = opener.open(5, true, sealedBytes, given)
        if (broken.length <= 2) expect(answer).toEqual({ plaintext: bytesOf(500), corruptIndices: broken })
        else expect(answer).toEqual({ badIndices: broken })
      }),
      { numRuns: 150 },
    )
  })

  it('finds forged shares, whose tags pass, as long as k good ones are given', () => {
    for (const [k, n, t] of [
      [3, 5, 1],
      [2, 4, 1],
      [3, 6, 0],
      [6, 9, 2],
      [4, 7, 3],
    ] as const) {
      const { sharing, framed, sealedBytes, rowBytes } = split({ k, n, t }, bytesOf(900))
      const opener = new SegmentOpener(tools, cipher, { ...sharing, fragmentKeys: sharing.keyMap })
      const forge = (index: number) => {
        const bytes = framed[index]!.bytes.slice()
        bytes[index]! ^= 0x40
        bytes.set(tagBlock(nodePrimitives.gcm(sharing.fragmentKeys[index]!), 5, bytes.slice(0, rowBytes)), rowBytes)
        return { index, bytes }
      }
      // n − k forged ones leave k; two or more that nobody exchanges are still found, since every share is then compared
      for (const count of range(n - k).map((i) => i + 1)) {
        const given = framed.map((block) => (block.index < count ? forge(block.index) : block))
        expect(opener.open(5, true, sealedBytes, given)).toEqual({
          plaintext: bytesOf(900),
          forgedIndices: range(count),
        })
      }
      const noneOpens = framed.slice(0, k).map((block) => (block.index === 1 ? forge(1) : block))
      expect(() => opener.open(5, true, sealedBytes, noneOpens)).toThrow(code('E_SEGMENT_TAG'))
    }
  })

  it('takes place, length and last from the caller, and refuses what does not fit', () => {
    const { sharing, framed, sealedBytes } = split({ k: 3, n: 5, t: 1 }, bytesOf(500))
    const open = { ...sharing, fragmentKeys: sharing.keyMap }
    const opener = new SegmentOpener(tools, cipher, open)
    expect(opener.open(4, true, sealedBytes, framed)).toEqual({ badIndices: range(5) })
    // the same block length: only FLOE can tell
    expect(() => opener.open(5, true, sealedBytes - 1, framed)).toThrow(code('E_SEGMENT_TAG'))
    expect(opener.open(5, true, sealedBytes - 64, framed)).toEqual({ badIndices: range(5) })
    for (const bytes of [31, 262_145, 40.5])
      expect(() => opener.open(5, true, bytes, framed)).toThrow(code('E_FORMAT_LENGTH'))
    expect(() => opener.open(5, false, sealedBytes, framed)).toThrow(code('E_FORMAT_LENGTH'))
    expect(() => opener.open(8192, true, sealedBytes, framed)).toThrow(RangeError)
    expect(() => new SegmentOpener(tools, { ...cipher, dek: bytesOf(32, 9) }, open)).toThrow(code('E_HEADER_TAG'))
    const sealer = new SegmentSealer(tools, cipher, sharing)
    expect(() => sealer.split(0, bytesOf(10), false)).toThrow(RangeError)
    expect(() => sealer.split(0, bytesOf(SEGMENT_PLAIN_BYTES + 1), true)).toThrow(RangeError)
    expect(() => sealer.split(8192, bytesOf(10), true)).toThrow(RangeError)
    expect(() => new SegmentSealer(tools, cipher, { ...sharing, fragmentKeys: sharing.fragmentKeys.slice(1) })).toThrow(
      RangeError,
    )
  })
})

describe('repair codec', () => {
  it('computes any share from any k others, byte for byte with its tag', () => {
    fc.assert(
      fc.property(
        schemes,
        fc.nat(2000),
        fc.array(fc.nat(), { minLength: 32, maxLength: 32 }),
        fc.nat(),
        (scheme, length, order, pick) => {
          const { sharing, framed, rowBytes } = split(scheme, bytesOf(length))
          const from = framed.toSorted((a, b) => order[a.index]! - order[b.index]!).slice(0, scheme.k)
          const to = pick % scheme.n
          const codec = new RepairCodec(tools, scheme, sharing.keyMap)
          expect(codec.recoverShare(5, rowBytes, from, to)).toEqual(framed[to]!.bytes)
        },
      ),
      { numRuns: 100 },
    )
  })

  it('names blocks that do not verify, and tells shares that do not fit together', () => {
    const { sharing, framed, rowBytes } = split({ k: 3, n: 5, t: 1 }, bytesOf(100))
    const codec = new RepairCodec(tools, sharing.scheme, sharing.keyMap)
    const broken = { index: 1, bytes: framed[1]!.bytes.map((byte, i) => (i === 3 ? byte ^ 1 : byte)) }
    expect(codec.badIndices(5, rowBytes, [framed[0]!, broken, framed[2]!])).toEqual([1])
    const error = expect.objectContaining({ code: 'E_BLOCK_TAG', fields: { segment: 5, indices: ['1'] } }) as Error
    expect(() => codec.recoverShare(5, rowBytes, [framed[0]!, broken, framed[2]!], 4)).toThrow(error)
    expect(() => codec.fitTogether(5, rowBytes, [framed[0]!, framed[3]!, framed[2]!, broken])).toThrow(error)
    const forged = { index: 1, bytes: broken.bytes.slice() }
    forged.bytes.set(
      tagBlock(nodePrimitives.gcm(sharing.fragmentKeys[1]!), 5, forged.bytes.slice(0, rowBytes)),
      rowBytes,
    )
    for (const blocks of choose(framed, 4)) {
      expect(codec.fitTogether(5, rowBytes, blocks)).toBe(true)
      const mixed = blocks.map((block) => (block.index === 1 ? forged : block))
      expect(codec.fitTogether(5, rowBytes, mixed)).toBe(!mixed.includes(forged))
    }
    expect(() => codec.fitTogether(5, rowBytes, framed.slice(0, 3))).toThrow(code('E_SHARES_TOO_FEW'))
    expect(() => codec.recoverShare(5, rowBytes, framed.slice(0, 2), 4)).toThrow(code('E_SHARES_TOO_FEW'))
  })
})
