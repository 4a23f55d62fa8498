import { describe, expect, it } from 'vitest'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { noblePrimitives } from '../../../src/crypto/noble-primitives.ts'
import { bytesOf, toHex } from '../../support/bytes.ts'

const key = bytesOf(32, 1)
const nonce = bytesOf(12, 2)
const aad = bytesOf(9, 3)

describe.each([
  ['node:crypto', nodePrimitives, noblePrimitives],
  ['noble', noblePrimitives, nodePrimitives],
])('primitives on %s', (_name, ours, other) => {
  it.each([0, 1, 15, 16, 17, 131_072, 131_073, 262_112])('seal and open %i bytes as the other does', (length) => {
    const plaintext = bytesOf(length, 4)
    const sealed = ours.gcm(key).seal(nonce, aad, plaintext)
    expect(sealed.length).toBe(length + 16)
    expect(Buffer.compare(sealed, other.gcm(key).seal(nonce, aad, plaintext))).toBe(0)
    expect(Buffer.compare(other.gcm(key).open(nonce, aad, sealed)!, plaintext)).toBe(0)
    const target = new Uint8Array(length + 16)
    ours.gcm(key).sealInto(nonce, aad, plaintext, target)
    expect(Buffer.compare(target, sealed)).toBe(0)
  })

  it('opens nothing with a wrong bit, a short tag, or another nonce or additional data', () => {
    const gcm = ours.gcm(key)
    const sealed = gcm.seal(nonce, aad, bytesOf(40, 5))
    for (const at of [0, 39, 40, 55]) {
      const broken = sealed.slice()
      broken[at]! ^= 1
      expect(gcm.open(nonce, aad, broken)).toBeUndefined()
    }
    for (const length of [0, 4, 12, 15, 16, 44, 55])
      expect(gcm.open(nonce, aad, sealed.slice(0, length))).toBeUndefined()
    expect(gcm.open(bytesOf(12, 9), aad, sealed)).toBeUndefined()
    expect(gcm.open(nonce, bytesOf(9, 9), sealed)).toBeUndefined()
    expect(gcm.open(nonce, aad, sealed)).toEqual(bytesOf(40, 5))
  })

  it('refuses keys, nonces and targets of another length', () => {
    expect(() => ours.gcm(new Uint8Array(16))).toThrow(RangeError)
    expect(() => ours.gcm(key).seal(new Uint8Array(16), aad, aad)).toThrow(RangeError)
    expect(() => ours.gcm(key).open(new Uint8Array(11), aad, bytesOf(32))).toThrow(RangeError)
    expect(() => {
      ours.gcm(key).sealInto(nonce, aad, aad, new Uint8Array(24))
    }).toThrow(RangeError)
  })

  it('tags as the other does', () => {
    const block = bytesOf(1000, 6)
    expect(toHex(ours.gcm(key).gmac(nonce, block))).toBe(toHex(other.gcm(key).gmac(nonce, block)))
    expect(ours.gcm(key).gmac(nonce, block)).toEqual(ours.gcm(key).seal(nonce, block, new Uint8Array(0)))
  })

  it('hashes and derives as the other does', () => {
    expect(toHex(ours.sha256(key, aad))).toBe(toHex(other.sha256(new Uint8Array([...key, ...aad]))))
    expect(toHex(ours.hmacSha256(key, aad, nonce))).toBe(
      toHex(other.hmacSha256(key, new Uint8Array([...aad, ...nonce]))),
    )
    for (const length of [1, 32, 48, 49, 500]) {
      expect(toHex(ours.hkdfSha256(key, nonce, aad, length))).toBe(toHex(other.hkdfSha256(key, nonce, aad, length)))
      expect(toHex(ours.hkdfExpandSha384(key, aad, length))).toBe(toHex(other.hkdfExpandSha384(key, aad, length)))
    }
  })

  it('gives the ChaCha20 keystream of RFC 8439 A.1, from any block', () => {
    const zero = new Uint8Array(32)
    expect(toHex(ours.chacha20(zero, 0, 32))).toBe('76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7')
    expect(toHex(ours.chacha20(zero, 1, 32))).toBe('9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed')
    const long = ours.chacha20(key, 3, 640)
    expect(ours.chacha20(key, 5, 512)).toEqual(long.slice(128))
    expect(toHex(other.chacha20(key, 3, 640))).toBe(toHex(long))
    expect(toHex(ours.chacha20(key, 2 ** 31 + 7, 65))).toBe(toHex(other.chacha20(key, 2 ** 31 + 7, 65)))
  })

  it('compares', () => {
    expect(ours.equal(key, key.slice())).toBe(true)
    expect(ours.equal(key, bytesOf(32, 2))).toBe(false)
    expect(ours.equal(key, key.slice(1))).toBe(false)
  })

  it('hands out plain bytes that own their buffer', () => {
    const gcm = ours.gcm(key)
    const sealed = gcm.seal(nonce, aad, key)
    const outputs = [
      sealed,
      gcm.open(nonce, aad, sealed)!,
      gcm.gmac(nonce, aad),
      ours.sha256(),
      ours.hmacSha256(key),
      ours.chacha20(key, 0, 70),
    ]
    for (const bytes of outputs) {
      expect(Object.getPrototypeOf(bytes)).toBe(Uint8Array.prototype)
      expect(bytes.buffer.byteLength).toBe(bytes.length)
    }
  })
})
