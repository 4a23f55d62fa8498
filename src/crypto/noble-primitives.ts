import { gcm } from '@noble/ciphers/aes.js'
import { chacha20 } from '@noble/ciphers/chacha.js'
import { equalBytes } from '@noble/ciphers/utils.js'
import { ed25519 } from '@noble/curves/ed25519.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256, sha384 } from '@noble/hashes/sha2.js'
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js'
import { hkdfExpand, type Mac } from './hkdf-expand.ts'
import { nobleKem, type HpkePrimitives } from './kem.ts'
import type { GcmKey } from './primitives.ts'

const NOTHING = new Uint8Array(0)
const TAG_BYTES = 16
const SHA384_BYTES = 48

const hmacSha384: Mac = (key, ...parts) => {
  const mac = hmac.create(sha384, key)
  for (const part of parts) mac.update(part)
  return mac.digest()
}

/**
 * The primitives on noble: for a browser, and as the second implementation that tests hold node:crypto to. ML-DSA is deterministic here, so
 * that vectors can be made again.
 * AES-GCM is some sixty times slower than node:crypto, and JavaScript cannot promise constant time.
 */
export const noblePrimitives: HpkePrimitives = {
  gcm: (key) => new NobleGcmKey(key),
  sha256(...parts) {
    const hash = sha256.create()
    for (const part of parts) hash.update(part)
    return owned(hash.digest())
  },
  hmacSha256(key, ...parts) {
    const mac = hmac.create(sha256, key)
    for (const part of parts) mac.update(part)
    return owned(mac.digest())
  },
  hkdfSha256: (ikm, salt, info, lengthBytes) => owned(hkdf(sha256, ikm, salt, info, lengthBytes)),
  hkdfExpandSha384: (prk, info, lengthBytes) => hkdfExpand(hmacSha384, SHA384_BYTES, prk, info, lengthBytes),
  chacha20: (key, block, lengthBytes) =>
    owned(chacha20(key, new Uint8Array(12), new Uint8Array(lengthBytes), undefined, block)),
  chacha20Into(key, block, target) {
    target.set(noblePrimitives.chacha20(key, block, target.length))
  },
  equal: (a, b) => a.length === b.length && equalBytes(a, b),
  ed25519: {
    keyPair: (seed) => ({
      publicKey: ed25519.getPublicKey(seedOf(seed)),
      sign: (message) => ed25519.sign(message, seed),
    }),
    // RFC 8032 to the letter, not ZIP 215: no encoding but the canonical one
    verify: (publicKey, message, signature) =>
      holds(() => ed25519.verify(signature, message, publicKey, { zip215: false })),
  },
  mldsa65: {
    keyPair(seed) {
      const { publicKey, secretKey } = ml_dsa65.keygen(seedOf(seed))
      return { publicKey, sign: (message) => ml_dsa65.sign(message, secretKey, { extraEntropy: false }) }
    },
    verify: (publicKey, message, signature) => holds(() => ml_dsa65.verify(signature, message, publicKey)),
  },
  kem: nobleKem,
}

class NobleGcmKey implements GcmKey {
  readonly #key: Uint8Array

  constructor(key: Uint8Array) {
    if (key.length !== 32) throw new RangeError('an AES-256 key has 32 bytes')
    this.#key = key.slice()
  }

  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
    return owned(this.#cipher(nonce, aad).encrypt(plaintext))
  }

  sealInto(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array, target: Uint8Array): void {
    if (target.length !== plaintext.length + TAG_BYTES) throw new RangeError('the target does not fit')
    target.set(this.seal(nonce, aad, plaintext))
  }

  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    const cipher = this.#cipher(nonce, aad)
    if (sealed.length < TAG_BYTES) return undefined
    try {
      return owned(cipher.decrypt(sealed))
    } catch {
      // the lengths of key, nonce and input are right: only the tag is left to fail
      return undefined
    }
  }

  openInto(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array, target: Uint8Array): boolean {
    if (target.length !== Math.max(0, sealed.length - TAG_BYTES)) throw new RangeError('the target does not fit')
    const plaintext = this.open(nonce, aad, sealed)
    if (plaintext === undefined) target.fill(0)
    else target.set(plaintext)
    return plaintext !== undefined
  }

  gmac(nonce: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> {
    return this.seal(nonce, data, NOTHING)
  }

  #cipher(nonce: Uint8Array, aad: Uint8Array) {
    if (nonce.length !== 12) throw new RangeError('a GCM nonce has 12 bytes here')
    return gcm(this.#key, nonce, aad)
  }
}

function seedOf(seed: Uint8Array): Uint8Array {
  if (seed.length !== 32) throw new RangeError('the seed of a signature key has 32 bytes')
  return seed
}

/** noble throws for bytes that are no key or signature; for a verifier that is simply a no. */
function holds(verify: () => boolean): boolean {
  try {
    return verify()
  } catch {
    return false
  }
}

/** noble's types leave the buffer open; it never hands out a shared one. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}
