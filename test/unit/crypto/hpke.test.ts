import { describe, expect, it } from 'vitest'
import { nativeXWing } from '../../../src/adapters/native-kem.ts'
import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { hpkeOpen, hpkeSeal } from '../../../src/crypto/hpke.ts'
import { nobleKem } from '../../../src/crypto/kem.ts'
import { noblePrimitives } from '../../../src/crypto/noble-primitives.ts'
import { bytesOf, toHex } from '../../support/bytes.ts'

const seed = bytesOf(32, 1)
const info = bytesOf(18, 2)
const aad = bytesOf(60, 3)
const dek = bytesOf(32, 4)
const code = (name: string) => expect.objectContaining({ code: name }) as Error

describe.each([
  { suite: 1, sizes: [1216, 1120, 48] },
  { suite: 2, sizes: [1665, 1665, 48] },
])('HPKE suite $suite', ({ suite, sizes }) => {
  const { publicKey } = primitives.kem(suite).keyPair(seed)
  const random = bytesOf(primitives.kem(suite).randomBytes, 5)
  const { enc, ct } = hpkeSeal(suite, primitives, publicKey, info, aad, dek, random)
  const open = (change: Partial<Record<'seed' | 'enc' | 'info' | 'aad' | 'ct', Uint8Array>>) => {
    const input = { seed, enc, info, aad, ct, ...change }
    return hpkeOpen(suite, primitives, input.seed, input.enc, input.info, input.aad, input.ct)
  }

  it('has the sizes of the format, and opens', () => {
    expect([publicKey.length, enc.length, ct.length]).toEqual(sizes)
    expect(open({})).toEqual(dek)
    expect(hpkeOpen(suite, noblePrimitives, seed, enc, info, aad, ct)).toEqual(dek)
    const other = hpkeSeal(suite, noblePrimitives, publicKey, info, aad, dek, random)
    expect(hpkeOpen(suite, primitives, seed, other.enc, info, aad, other.ct)).toEqual(dek)
  })

  it('does not open with anything changed', () => {
    const flip = (bytes: Uint8Array, at: number) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))
    const broken = [
      { seed: flip(seed, 0) },
      { info: flip(info, 0) },
      { aad: flip(aad, 59) },
      { ct: flip(ct, 0) },
      { ct: flip(ct, 47) },
      { ct: ct.slice(0, 15) },
      { enc: enc.slice(1) },
      ...[0, 1087, 1088, enc.length - 1].map((at) => ({ enc: flip(enc, at) })),
    ]
    for (const change of broken) expect(() => open(change)).toThrow(code('E_HPKE_OPEN'))
  })

  it('refuses what is not a public key', () => {
    const seal = (key: Uint8Array) => hpkeSeal(suite, primitives, key, info, aad, dek, random)
    expect(() => seal(publicKey.slice(1))).toThrow(code('E_FORMAT_LENGTH'))
    // coefficients out of range, FIPS 203 §7.2
    expect(() => seal(new Uint8Array(publicKey.length).fill(0xff))).toThrow(code('E_FORMAT_FIELD'))
    expect(() => hpkeSeal(suite, primitives, publicKey, info, aad, dek, random.slice(1))).toThrow(RangeError)
  })
})

describe('suites', () => {
  it('are two', () => {
    for (const { kem } of [primitives, noblePrimitives]) {
      for (const suite of [0, 3, 1.5]) expect(() => kem(suite)).toThrow(code('E_SUITE_UNKNOWN'))
      for (const suite of [1, 2]) expect(() => kem(suite).keyPair(bytesOf(31))).toThrow(RangeError)
    }
    expect(primitives.kem(1)).toBe(nativeXWing)
  })
})

describe('native X-Wing', () => {
  const noble = nobleKem(1)

  it('has the sizes and keys of noble', () => {
    const sizes = ({ id, publicKeyBytes, encBytes, randomBytes }: typeof noble) => [
      id,
      publicKeyBytes,
      encBytes,
      randomBytes,
    ]
    expect(sizes(nativeXWing)).toEqual(sizes(noble))
    for (const n of [1, 2, 3, 4, 5])
      expect(toHex(nativeXWing.keyPair(bytesOf(32, n)).publicKey)).toBe(toHex(noble.keyPair(bytesOf(32, n)).publicKey))
  })

  it.each([
    ['native to noble', nativeXWing, noble],
    ['noble to native', noble, nativeXWing],
  ])('opens from %s', (_name, from, to) => {
    for (const n of [1, 2, 3, 4, 5]) {
      const { publicKey } = noble.keyPair(bytesOf(32, n))
      const { enc, sharedSecret } = from.encapsulate(publicKey, bytesOf(64, n))
      expect(toHex(to.decapsulate(bytesOf(32, n), enc))).toBe(toHex(sharedSecret))
    }
  })

  it('rejects implicitly as noble does', () => {
    const { enc } = noble.encapsulate(noble.keyPair(seed).publicKey, bytesOf(64))
    enc[5]! ^= 1
    expect(toHex(nativeXWing.decapsulate(seed, enc))).toBe(toHex(noble.decapsulate(seed, enc)))
  })

  it('refuses what is not a key or an encapsulation', () => {
    expect(() => nativeXWing.keyPair(bytesOf(31))).toThrow(RangeError)
    expect(() => nativeXWing.decapsulate(seed, bytesOf(1119))).toThrow(RangeError)
    expect(() => nativeXWing.encapsulate(new Uint8Array(1216).fill(255), bytesOf(64))).toThrow(/./)
    expect(() => nativeXWing.encapsulate(noble.keyPair(seed).publicKey, bytesOf(63))).toThrow(RangeError)
  })
})
