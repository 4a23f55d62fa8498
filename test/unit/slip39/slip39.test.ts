import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeMnemonic, encodeMnemonic, type Share } from '../../../src/crypto/slip39/mnemonic.ts'
import { splitIntoPoints, combinePoints } from '../../../src/crypto/slip39/secret-sharing.ts'
import { combineMnemonics, splitToMnemonics } from '../../../src/crypto/slip39/slip39.ts'
import { numberOfWord, WORDS } from '../../../src/crypto/slip39/words.ts'
import { bytesOf } from '../../support/bytes.ts'
import { range } from '../../support/subsets.ts'

const code = (name: string) => expect.objectContaining({ code: name }) as Error
/** The error of one share, whose message matches. */
const fault = (share: number, message: RegExp) =>
  expect.objectContaining({
    code: 'E_RECOVERY_KEY',
    message: expect.stringMatching(message) as string,
    fields: { share },
  }) as Error

/** Other bytes at every call, the same for a seed. */
function draws(seed: number) {
  let calls = 0
  return (lengthBytes: number) => bytesOf(lengthBytes, 1000 * seed + calls++)
}

const secret = bytesOf(32, 7)
const set = (k: number, n: number, seed = 1) => splitToMnemonics(k, n, secret, draws(seed))

describe('SLIP-39 shares of a recovery key', () => {
  it('restore from any k, in any order, and refuse fewer', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 16 }),
        fc.nat(14),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.array(fc.nat(), { minLength: 16, maxLength: 16 }),
        fc.nat(1e6),
        (k, extra, key, order, seed) => {
          const all = splitToMnemonics(k, Math.min(16, k + extra), key, draws(seed))
          for (const words of all) expect(words.split(' ')).toHaveLength(33)
          const chosen = range(all.length)
            .toSorted((a, b) => order[a]! - order[b]!)
            .map((i) => all[i]!)
          expect(combineMnemonics(chosen.slice(0, k))).toEqual(key)
          expect(combineMnemonics(chosen)).toEqual(key)
          expect(() => combineMnemonics(chosen.slice(0, k - 1))).toThrow(code('E_SHARES_TOO_FEW'))
        },
      ),
      { numRuns: 25 },
    )
  })

  it('say nothing below k: k − 1 of them take all values equally often over the random bytes, whatever the secret', () => {
    for (const value of [0, 1, 0xa5, 0xff]) {
      const key = new Uint8Array(16).fill(value)
      // k = 2: the digest's salt, from byte 4 on, is the only random row
      const single = range(256).map((r) => splitIntoPoints(2, 3, key, (n) => new Uint8Array(n).fill(r)))
      for (const x of range(3)) expect(new Set(single.map((points) => points[x]!.y[9])).size).toBe(256)
      // k = 3: salt and a free row; the map is linear, so the two halves of their bits stand for all
      for (const unit of [1, 16]) {
        const pairs = range(256).map((r) => {
          const draw = (n: number) => new Uint8Array(n).fill(unit * (n === 16 ? r >> 4 : r & 15))
          const [, second, third] = splitIntoPoints(3, 3, key, draw)
          return 256 * second!.y[9]! + third!.y[9]!
        })
        expect(new Set(pairs).size).toBe(256)
      }
    }
  })

  it('are checked by the digest: a changed byte in any point is noticed', () => {
    fc.assert(
      fc.property(fc.nat(2), fc.nat(31), fc.integer({ min: 1, max: 255 }), (which, at, change) => {
        const points = splitIntoPoints(3, 5, secret, draws(1)).slice(0, 3)
        points[which]!.y[at]! ^= change
        expect(combinePoints(points)).toBeUndefined()
      }),
    )
  })

  it('notice one, two and three wrong words, and two that changed places', () => {
    const good = set(2, 3)[1]!.split(' ')
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(32), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 1023 }),
        (places, shift) => {
          const bad = [...good]
          for (const at of places) bad[at] = WORDS[(numberOfWord(bad[at]!)! + shift) % 1024]!
          expect(() => combineMnemonics([set(2, 3)[0]!, bad.join(' ')])).toThrow(fault(2, /a word is wrong/))
        },
      ),
      { numRuns: 50 },
    )
    const swapped = good.with(10, good[11]!).with(11, good[10]!)
    expect(() => decodeMnemonic(swapped.join(' '), 1)).toThrow(fault(1, /changed places/))
  })

  it('name the share and the place of what is wrong, never a word', () => {
    const [first, second, third] = set(3, 5)
    const words = second!.split(' ')
    const unknown = words.with(6, 'mosaik').join(' ')
    expect(() => combineMnemonics([first!, unknown, third!])).toThrow(
      fault(2, /^share 2 .* word 7 is not in the word list$/),
    )
    expect(() => combineMnemonics([first!, second!, words.slice(0, -1).join(' ')])).toThrow(fault(3, /32 words/))
    expect(() => combineMnemonics([''])).toThrow(fault(1, /0 words/))
    expect(() => combineMnemonics([first!, second!, first!])).toThrow(fault(3, /same number as share 1/))
    expect(() => combineMnemonics([first!, second!, set(3, 5, 2)[2]!])).toThrow(fault(3, /another set than share 1/))
    const other = { ...decodeMnemonic(third!, 3), memberThreshold: 2 }
    expect(() => combineMnemonics([first!, second!, encodeMnemonic(other)])).toThrow(fault(3, /one of 2 needed/))
    for (const change of [
      { groupCount: 2 },
      { iterationExponent: 1 },
      { isExtendable: true },
      { value: secret.slice(16) },
    ]) {
      const foreign = encodeMnemonic({ ...decodeMnemonic(third!, 3), ...change })
      expect(() => combineMnemonics([first!, foreign])).toThrow(fault(2, /another set/))
    }
    expect(() => combineMnemonics([])).toThrow(code('E_SHARES_TOO_FEW'))
  })

  it('do not mind case, line ends and spaces', () => {
    const [first, second] = set(2, 2)
    expect(combineMnemonics([` ${first!.toUpperCase().replaceAll(' ', '\r\n ')}\n`, second!])).toEqual(secret)
  })

  it('write every field so that it is read back', () => {
    const field = fc.integer({ min: 1, max: 16 })
    fc.assert(
      fc.property(
        field,
        field,
        field,
        field,
        fc.boolean(),
        fc.nat(0x7fff),
        fc.integer({ min: 8, max: 40 }),
        (a, b, c, d, isExtendable, identifier, half) => {
          const share: Share = {
            identifier,
            isExtendable,
            iterationExponent: a - 1,
            groupIndex: b - 1,
            groupThreshold: Math.min(c, d),
            groupCount: Math.max(c, d),
            memberIndex: c - 1,
            memberThreshold: a,
            value: bytesOf(2 * half, identifier),
          }
          expect(decodeMnemonic(encodeMnemonic(share), 1)).toEqual(share)
        },
      ),
    )
  })

  it('are made for schemes of the standard only', () => {
    expect(combineMnemonics(set(1, 1))).toEqual(secret)
    for (const [k, n] of [
      [0, 1],
      [1, 2],
      [3, 2],
      [2, 17],
      [2.5, 4],
    ] as const) {
      expect(() => set(k, n)).toThrow(code('E_SCHEME_INVALID'))
    }
    expect(() => splitToMnemonics(2, 3, new Uint8Array(15), draws(1))).toThrow(RangeError)
    expect(() => splitToMnemonics(2, 3, new Uint8Array(17), draws(1))).toThrow(RangeError)
  })
})
