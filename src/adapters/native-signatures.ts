import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import type { SignatureAlgorithm, SignatureKeyPair } from '../crypto/primitives.ts'

/**
 * Ed25519 and ML-DSA-65 of node:crypto: five to ten times faster than noble, and constant time as far as OpenSSL is. ML-DSA signs by its
 * hedged variant (FIPS 204 §3.4, docs/FORMAT.md §8): the same message has another signature each time.
 */

const SEED_BYTES = 32

// DER in front of raw keys: RFC 8410 for Ed25519, RFC 9881 for ML-DSA-65 (the private key by its seed only)
const ED25519_PRIVATE = Buffer.from('302e020100300506032b657004220420', 'hex')
const ED25519_PUBLIC = Buffer.from('302a300506032b6570032100', 'hex')
const MLDSA65_PRIVATE = Buffer.from('3034020100300b060960864801650304031204228020', 'hex')
const MLDSA65_PUBLIC = Buffer.from('308207b2300b0609608648016503040312038207a100', 'hex')

export const nativeEd25519: SignatureAlgorithm = {
  keyPair: (seed) => keyPairOf(seed, ED25519_PRIVATE, ED25519_PUBLIC),
  // OpenSSL takes keys in encodings that are not canonical, which RFC 8032 §5.1.3 forbids.
  verify: (publicKey, message, signature) =>
    isPoint(publicKey) && verifyNative(ED25519_PUBLIC, publicKey, message, signature),
}

export const nativeMldsa65: SignatureAlgorithm = {
  keyPair: (seed) => keyPairOf(seed, MLDSA65_PRIVATE, MLDSA65_PUBLIC),
  verify: (publicKey, message, signature) => verifyNative(MLDSA65_PUBLIC, publicKey, message, signature),
}

function keyPairOf(seed: Uint8Array, privatePrefix: Buffer, publicPrefix: Buffer): SignatureKeyPair {
  if (seed.length !== SEED_BYTES) throw new RangeError('the seed of a signature key has 32 bytes')
  const der = Buffer.concat([privatePrefix, seed])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  der.fill(0)
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return {
    publicKey: Uint8Array.from(spki.subarray(publicPrefix.length)),
    sign: (message) => Uint8Array.from(sign(null, message, privateKey)),
  }
}

function verifyNative(prefix: Buffer, publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.concat([prefix, publicKey]), format: 'der', type: 'spki' })
  } catch {
    // bytes that are no key verify nothing
    return false
  }
  return verify(null, message, key, signature)
}

function isPoint(publicKey: Uint8Array): boolean {
  try {
    ed25519.Point.fromBytes(publicKey, false)
    return true
  } catch {
    return false
  }
}
