import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { combineDocument, documentRandomBytes, documentShareBytes, splitDocument } from '../../../src/crypto/shamir.ts'
import { bytesOf } from '../../support/bytes.ts'
import { choose, range } from '../../support/subsets.ts'

const code = (name: string) => expect.objectContaining({ code: name }) as Error

function shares(k: number, n: number, document: Uint8Array, seed = 3) {
  return splitDocument(k, n, document, bytesOf(documentRandomBytes(k, document.length), seed)).map((bytes, index) => ({
    index,
    bytes,
  }))
}

describe('document shares', () => {
  it('restore from any k', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 16 }),
        fc.nat(16),
        fc.uint8Array({ maxLength: 200 }),
        fc.array(fc.nat(), { minLength: 32, maxLength: 32 }),
        (k, extra, document, order) => {
          const all = shares(k, k + extra, document)
          const chosen = all.toSorted((a, b) => order[a.index]! - order[b.index]!).slice(0, k)
          expect(combineDocument(k, chosen, document.length)).toEqual(document)
          for (const share of all) expect(share.bytes.length).toBe(16 * Math.ceil(document.length / 16))
        },
      ),
    )
  })

  it('say nothing below k: every document fits k − 1 of them', () => {
    // one byte, k = 2: over all random bytes, a share takes every value exactly once, whatever the document
    for (const secret of [0, 1, 0xa5, 0xff]) {
      for (const index of range(4)) {
        const values = range(256).map(
          (r) => splitDocument(2, 4, Uint8Array.of(secret), new Uint8Array(16).fill(r))[index]![0],
        )
        expect(new Set(values).size).toBe(256)
      }
    }
  })

  it('of k − 1, or with a wrong one, do not restore', () => {
    const document = bytesOf(100)
    const all = shares(3, 5, document)
    for (const few of choose(all, 2)) expect(() => combineDocument(3, few, 100)).toThrow(code('E_SHARES_TOO_FEW'))
    for (const three of choose(all, 3)) {
      const wrong = three.map((share, i) => (i === 1 ? shares(3, 5, document, 9)[share.index]! : share))
      expect(combineDocument(3, wrong, 100)).not.toEqual(document)
    }
  })

  it('hide zero as well as anything: random rows may be zero', () => {
    expect(splitDocument(2, 3, Uint8Array.of(7), new Uint8Array(16)).map((s) => s[0])).toEqual([
      0,
      7,
      expect.any(Number),
    ])
  })

  it('refuse what does not fit', () => {
    const all = shares(3, 5, bytesOf(20))
    expect(documentShareBytes(20)).toBe(32)
    expect(() => splitDocument(1, 3, bytesOf(1), new Uint8Array(0))).toThrow(code('E_SCHEME_INVALID'))
    expect(() => splitDocument(3, 5, bytesOf(20), bytesOf(63))).toThrow(RangeError)
    expect(() => combineDocument(3, [all[0]!, all[1]!, all[1]!], 20)).toThrow(code('E_SHARES_MIXED'))
    expect(() => combineDocument(3, all, 33)).toThrow(code('E_FORMAT_LENGTH'))
    for (const index of [-1, 32, 0.5]) {
      expect(() => combineDocument(3, [all[0]!, all[1]!, { index, bytes: all[2]!.bytes }], 20)).toThrow(
        code('E_SCHEME_INVALID'),
      )
    }
  })
})
