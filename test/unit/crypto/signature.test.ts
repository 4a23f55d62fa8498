import { createPublicKey, verify } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { SIGNATURE_PAIR_BYTES, signPair, signingKeys, verifyPair } from '../../../src/crypto/signature.ts'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { noblePrimitives } from '../../../src/crypto/noble-primitives.ts'
import { bytesOf } from '../../support/bytes.ts'

const message = bytesOf(100, 3)

function native(alg: 'Ed25519' | 'ML-DSA-65', raw: Uint8Array) {
  const x = Buffer.from(raw).toString('base64url')
  const jwk = alg === 'Ed25519' ? { kty: 'OKP', crv: alg, x } : { kty: 'AKP', alg, pub: x }
  return createPublicKey({ key: jwk, format: 'jwk' } as unknown as Parameters<typeof createPublicKey>[0])
}

describe.each([
  ['noble', noblePrimitives],
  ['node:crypto', nodePrimitives],
])('signature pair, %s', (_, primitives) => {
  const keys = signingKeys(primitives, bytesOf(32, 1))
  const other = signingKeys(primitives, bytesOf(32, 2))
  const signature = signPair(keys, 'mosaik/v1/share', message)

  it('has 3373 bytes, keys that are the same to the other implementation, and verifies with either', () => {
    expect(signature.length).toBe(SIGNATURE_PAIR_BYTES)
    expect(SIGNATURE_PAIR_BYTES).toBe(3373)
    for (const any of [noblePrimitives, nodePrimitives]) {
      const same = signingKeys(any, bytesOf(32, 1))
      expect(same.publicKeys).toEqual(keys.publicKeys)
      expect(signPair(same, 'mosaik/v1/share', message).subarray(0, 64)).toEqual(signature.subarray(0, 64))
      expect(verifyPair(any, keys.publicKeys, 'mosaik/v1/share', message, signature)).toBe(true)
    }
  })

  it('is hedged by node:crypto and deterministic by noble', () => {
    const again = signPair(keys, 'mosaik/v1/share', message)
    expect(Buffer.compare(again, signature) === 0).toBe(primitives === noblePrimitives)
    expect(verifyPair(primitives, keys.publicKeys, 'mosaik/v1/share', message, again)).toBe(true)
  })

  it('is two plain signatures over context ‖ 00 ‖ message, as node:crypto sees them', () => {
    const signed = Buffer.concat([Buffer.from('mosaik/v1/share\0'), message])
    expect(verify(null, signed, native('Ed25519', keys.publicKeys.ed25519), signature.subarray(0, 64))).toBe(true)
    expect(verify(null, signed, native('ML-DSA-65', keys.publicKeys.mldsa65), signature.subarray(64))).toBe(true)
  })

  it('needs both halves', () => {
    const wrong = signPair(other, 'mosaik/v1/share', message)
    const firstOnly = new Uint8Array([...signature.subarray(0, 64), ...wrong.subarray(64)])
    const secondOnly = new Uint8Array([...wrong.subarray(0, 64), ...signature.subarray(64)])
    for (const pair of [firstOnly, secondOnly, wrong])
      expect(verifyPair(primitives, keys.publicKeys, 'mosaik/v1/share', message, pair)).toBe(false)
    const mixed = { ...keys.publicKeys, mldsa65: other.publicKeys.mldsa65 }
    expect(verifyPair(primitives, mixed, 'mosaik/v1/share', message, signature)).toBe(false)
  })

  it('does not verify with anything changed, and does not throw', () => {
    for (const at of [0, 31, 32, 63, 64, 1000, 3372]) {
      const broken = signature.slice()
      broken[at]! ^= 1
      expect(verifyPair(primitives, keys.publicKeys, 'mosaik/v1/share', message, broken)).toBe(false)
    }
    expect(verifyPair(primitives, keys.publicKeys, 'mosaik/v1/card', message, signature)).toBe(false)
    expect(verifyPair(primitives, keys.publicKeys, 'mosaik/v1/share', bytesOf(99, 3), signature)).toBe(false)
    expect(verifyPair(primitives, keys.publicKeys, 'mosaik/v1/share', message, signature.slice(1))).toBe(false)
    expect(
      verifyPair(
        primitives,
        { ...keys.publicKeys, ed25519: new Uint8Array(31) },
        'mosaik/v1/share',
        message,
        signature,
      ),
    ).toBe(false)
    expect(
      verifyPair(
        primitives,
        { ...keys.publicKeys, ed25519: new Uint8Array(32).fill(255) },
        'mosaik/v1/share',
        message,
        signature,
      ),
    ).toBe(false)
    expect(
      verifyPair(primitives, { ...keys.publicKeys, mldsa65: new Uint8Array(5) }, 'mosaik/v1/share', message, signature),
    ).toBe(false)
  })

  it('refuses seeds and contexts that do not fit', () => {
    expect(() => signingKeys(primitives, bytesOf(31))).toThrow(RangeError)
    expect(() => signPair(keys, 'a\0b', message)).toThrow(RangeError)
    expect(() => signPair(keys, 'für', message)).toThrow(RangeError)
  })
})
