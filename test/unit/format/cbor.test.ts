import { describe, expect, it } from 'vitest'
import { isMosaikError } from '../../../src/domain/errors.ts'
import { fromHex, toHex } from '../../../src/domain/ids.ts'
import { decodeCbor, encodeCbor, type CborValue } from '../../../src/format/cbor.ts'

const refused: Record<string, string> = {
  'nothing at all': '',
  'two items': '0101',
  'an item cut short': '6261',
  'an integer of two bytes that fits one': '1801',
  'a length of two bytes that fits one': '580161',
  'a float': 'f93c00',
  'a double': 'fb3ff0000000000000',
  'minus zero': 'f98000',
  undefined: 'f7',
  'a simple value': 'f0',
  true: 'f5',
  false: 'f4',
  'a negative integer': '20',
  '2^53': '1b0020000000000000',
  '2^64 - 1': '1bffffffffffffffff',
  'a tag': 'c11a514b67b0',
  'a bignum': 'c249010000000000000000',
  'an indefinite byte string': '5f4161ff',
  'an indefinite text': '7f6161ff',
  'an indefinite array': '9f01ff',
  'an indefinite map': 'bf616101ff',
  'a break alone': 'ff',
  'keys out of order': 'a2616201616102',
  'a longer key first': 'a262616101616102',
  'a key twice': 'a2616101616102',
  'a key that is a number': 'a10101',
  'a key that is a byte string': 'a1416101',
  'a key that is an array': 'a1810101',
  'text that is not UTF-8': '61ff',
  'an overlong UTF-8 form': '62c080',
  'a surrogate in UTF-8': '63eda080',
  'a huge array without items': '9b001fffffffffffff',
  'a reserved length': '1c',
}

describe('deterministic CBOR', () => {
  for (const [what, hex] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      let error: unknown
      try {
        decodeCbor(fromHex(hex))
      } catch (caught) {
        error = caught
      }
      expect(isMosaikError(error, 'E_FORMAT_CBOR')).toBe(true)
    })
  }

  it('refuses nesting that would exhaust the stack', () => {
    expect(() => decodeCbor(new Uint8Array(1_000_000).fill(0x81))).toThrow(
      expect.objectContaining({ code: 'E_FORMAT_CBOR' }),
    )
  })

  it('writes the bytes of RFC 8949, keys in the order of their encodings', () => {
    expect(toHex(encodeCbor({ b: 1, a: [null, 'ü', Uint8Array.of(1, 2)], aa: 2 ** 53 - 1 }))).toBe(
      'a3616183f662c3bc420102616201626161' + '1b001fffffffffffff',
    )
  })

  it('keeps a byte order mark and a key named __proto__', () => {
    const proto = new Map([['__proto__', '\ufeffa']])
    expect(decodeCbor(encodeCbor(proto as unknown as CborValue))).toEqual(proto)
  })

  for (const value of [true, -1, 1.5, 2 ** 53, Number.NaN, -0, '\ud800', undefined, 1n, new Date(0)]) {
    it(`does not write ${typeof value} ${String(value).slice(0, 30)}`, () => {
      expect(() => encodeCbor(value as CborValue)).toThrow(expect.objectContaining({ code: 'E_FORMAT_CBOR' }))
    })
  }
})
