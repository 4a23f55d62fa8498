import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blockBytes } from '../../../src/crypto/dispersal.ts'
import { tagBlock } from '../../../src/crypto/fragment-tag.ts'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { SEGMENT_PLAIN_BYTES } from '../../../src/crypto/floe.ts'
import { ReshareCodec } from '../../../src/crypto/reshare-codec.ts'
import { SegmentOpener, SegmentSealer } from '../../../src/crypto/segment-codec.ts'
import type { Scheme } from '../../../src/domain/dispersal.ts'
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

/** A sharing whose keys are not those of `testSharing`. */
function otherSharing(scheme: Scheme, extent = 0) {
  const fragmentKeys = range(scheme.n).map((index) => bytesOf(32, 500 + index))
  return { scheme, extent, fragmentKeys, rowsKey: bytesOf(32, 78), keyMap: new Map(fragmentKeys.entries()) }
}

function sealed(scheme: Scheme, plaintext: Uint8Array, segment: number, last: boolean) {
  const sharing = testSharing(scheme)
  const framed = new SegmentSealer(tools, cipher, sharing)
    .split(segment, plaintext, last)
    .map((bytes, index) => ({ index, bytes: Uint8Array.from(bytes) }))
  return { sharing, framed, sealedBytes: plaintext.length + 32 }
}

function codecOf(from: ReturnType<typeof testSharing>, to: ReturnType<typeof otherSharing>, kernel = kernels[2]!) {
  return new ReshareCodec(testTools(kernel), { scheme: from.scheme, fragmentKeys: from.keyMap }, to)
}

describe('a new sharing of the same ciphertext', () => {
  it('opens to the same content from any k, whatever both schemes are', () => {
    fc.assert(
      fc.property(schemes, schemes, fc.nat(3000), fc.nat(), (from, to, length, turn) => {
        const plaintext = bytesOf(length, length)
        const { sharing, framed, sealedBytes } = sealed(from, plaintext, 5, true)
        const next = otherSharing(to)
        const given = [...framed.slice(turn % from.n), ...framed.slice(0, turn % from.n)].slice(0, from.k + (turn % 2))
        const made = codecOf(sharing, next).reshare(5, sealedBytes, true, given)
        expect(made).toHaveLength(to.n)
        const blocks = made
          .map((bytes, index) => ({ index, bytes }))
          .toReversed()
          .slice(0, to.k)
        const opener = new SegmentOpener(tools, cipher, { ...next, fragmentKeys: next.keyMap })
        expect(opener.open(5, true, sealedBytes, blocks)).toEqual({ plaintext })
      }),
      { numRuns: 100 },
    )
  })

  it('is of whole segments too, the same on every kernel, and from every k-subset', () => {
    const plaintext = bytesOf(SEGMENT_PLAIN_BYTES, 4)
    const { sharing, framed, sealedBytes } = sealed({ k: 3, n: 5, t: 1 }, plaintext, 8191, false)
    const next = otherSharing({ k: 4, n: 6, t: 2 })
    const made = kernels.map((kernel) =>
      codecOf(sharing, next, kernel).reshare(8191, sealedBytes, false, framed.slice(1, 4)),
    )
    for (const blocks of made)
      for (const [i, block] of blocks.entries()) expect(Buffer.compare(block, made[0]![i]!)).toBe(0)
    for (const subset of choose(framed, 3)) {
      const again = codecOf(sharing, next).reshare(8191, sealedBytes, false, subset)
      expect(again.every((block, i) => Buffer.compare(block, made[0]![i]!) === 0)).toBe(true)
    }
    const opener = new SegmentOpener(tools, cipher, { ...next, fragmentKeys: next.keyMap })
    const answer = opener.open(
      8191,
      false,
      sealedBytes,
      made[0]!.slice(2).map((bytes, i) => ({ index: i + 2, bytes })),
    )
    expect('plaintext' in answer && Buffer.compare(answer.plaintext, plaintext)).toBe(0)
  })

  it('has fresh random rows: shares of the old one do not combine with those of the new one', () => {
    const scheme = { k: 3, n: 5, t: 1 }
    const plaintext = bytesOf(2000, 1)
    const { sharing, framed, sealedBytes } = sealed(scheme, plaintext, 0, true)
    const next = otherSharing(scheme)
    const made = codecOf(sharing, next).reshare(0, sealedBytes, true, framed.slice(0, 3))
    const rowBytes = blockBytes(sealedBytes, 2, true)
    // Tags of the old sharing on the new blocks: what only a holder of the verify key could do.
    const mixed = [
      framed[0]!,
      ...[1, 2].map((index) => {
        const block = made[index]!.slice(0, rowBytes)
        const tag = tagBlock(nodePrimitives.gcm(sharing.fragmentKeys[index]!), 0, block)
        return { index, bytes: Uint8Array.from([...block, ...tag]) }
      }),
    ]
    const opener = new SegmentOpener(tools, cipher, { ...sharing, fragmentKeys: sharing.keyMap })
    expect(() => opener.open(0, true, sealedBytes, mixed)).toThrow(code('E_SEGMENT_TAG'))
    for (const index of range(5)) expect(Buffer.compare(made[index]!, framed[index]!.bytes)).not.toBe(0)
  })

  it('refuses blocks that do not verify, are too few, or do not fit together', () => {
    const { sharing, framed, sealedBytes } = sealed({ k: 3, n: 5, t: 1 }, bytesOf(500, 1), 0, true)
    const codec = codecOf(sharing, otherSharing({ k: 2, n: 3, t: 1 }))
    const flipped = { index: 1, bytes: Uint8Array.from(framed[1]!.bytes, (byte, i) => (i === 7 ? byte ^ 1 : byte)) }
    expect(() => codec.reshare(0, sealedBytes, true, [framed[0]!, flipped, framed[2]!])).toThrow(code('E_BLOCK_TAG'))
    expect(() => codec.reshare(0, sealedBytes, true, framed.slice(0, 2))).toThrow(code('E_SHARES_TOO_FEW'))
    const block = flipped.bytes.slice(0, -16)
    const tag = tagBlock(nodePrimitives.gcm(sharing.fragmentKeys[1]!), 0, block)
    const forged = { index: 1, bytes: Uint8Array.from([...block, ...tag]) }
    expect(() => codec.reshare(0, sealedBytes, true, [framed[0]!, forged, framed[2]!, framed[3]!])).toThrow(
      code('E_SHARES_MIXED'),
    )
  })
})
