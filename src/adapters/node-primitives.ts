import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  hkdfSync,
  timingSafeEqual,
  type KeyObject,
} from 'node:crypto'
import { hkdfExpand, type Mac } from '../crypto/hkdf-expand.ts'
import { nobleKem, type HpkePrimitives } from '../crypto/kem.ts'
import type { GcmKey } from '../crypto/primitives.ts'
import { freeAtOnce } from './free-at-once.ts'
import { nativeXWing } from './native-kem.ts'
import { nativeEd25519, nativeMldsa65 } from './native-signatures.ts'

const CIPHER = 'aes-256-gcm'
const TAG_BYTES = 16
/** node:crypto takes shorter tags unless told; a 4-byte tag is a forgery in 2^32 tries. */
const OPTIONS = { authTagLength: TAG_BYTES }
/** Ciphertext leaves OpenSSL in pieces that stay in the cache until they are copied. */
const PIECE_BYTES = 131_072
const SHA384_BYTES = 48
/** What keystream is made from, in pieces that stay in the cache. */
const ZEROS = new Uint8Array(131_072)

/** The primitives on node:crypto: what the vault runs on. The KEM of suite 2 is noble's. */
export const nodePrimitives: HpkePrimitives = {
  gcm: (key) => new NodeGcmKey(key),
  sha256(...parts) {
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part)
    return exact(hash.digest())
  },
  hmacSha256(key, ...parts) {
    const mac = createHmac('sha256', key)
    for (const part of parts) mac.update(part)
    return exact(mac.digest())
  },
  hkdfSha256: (ikm, salt, info, lengthBytes) => new Uint8Array(hkdfSync('sha256', ikm, salt, info, lengthBytes)),
  hkdfExpandSha384: (prk, info, lengthBytes) => hkdfExpand(hmacSha384, SHA384_BYTES, prk, info, lengthBytes),
  chacha20(key, block, lengthBytes) {
    const keystream = new Uint8Array(lengthBytes)
    chacha20Into(key, block, keystream)
    return keystream
  },
  chacha20Into,
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
  ed25519: nativeEd25519,
  mldsa65: nativeMldsa65,
  kem: (suite) => (suite === 1 ? nativeXWing : nobleKem(suite)),
}

/** OpenSSL's IV is the block counter, 32 bits little-endian, and the nonce. */
function chacha20Into(key: Uint8Array, block: number, target: Uint8Array): void {
  const iv = new Uint8Array(16)
  new DataView(iv.buffer).setUint32(0, block, true)
  // a raw key costs 14 µs, made into a KeyObject first 4 µs
  const cipher = createCipheriv('chacha20', createSecretKey(key), iv)
  for (let at = 0; at < target.length; at += ZEROS.length) {
    move(cipher.update(ZEROS.subarray(0, target.length - at)), target, at)
  }
}

/** Copies what a cipher gave. Left to the garbage collector, every piece would lie in fresh pages: twice the time. */
function move(piece: Buffer, target: Uint8Array, at: number): void {
  target.set(piece, at)
  freeAtOnce(piece)
}

const hmacSha384: Mac = (key, ...parts) => {
  const mac = createHmac('sha384', key)
  for (const part of parts) mac.update(part)
  return mac.digest()
}

class NodeGcmKey implements GcmKey {
  // a raw key costs ten times a KeyObject on every message
  readonly #key: KeyObject

  constructor(key: Uint8Array) {
    if (key.length !== 32) throw new RangeError('an AES-256 key has 32 bytes')
    this.#key = createSecretKey(key)
  }

  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array<ArrayBuffer> {
    const sealed = new Uint8Array(plaintext.length + TAG_BYTES)
    this.sealInto(nonce, aad, plaintext, sealed)
    return sealed
  }

  sealInto(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array, target: Uint8Array): void {
    if (target.length !== plaintext.length + TAG_BYTES) throw new RangeError('the target does not fit')
    const cipher = this.#cipher(nonce, aad)
    for (let at = 0; at < plaintext.length; at += PIECE_BYTES) {
      move(cipher.update(plaintext.subarray(at, at + PIECE_BYTES)), target, at)
    }
    cipher.final()
    target.set(cipher.getAuthTag(), plaintext.length)
  }

  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
    checkNonce(nonce)
    if (sealed.length < TAG_BYTES) return undefined
    const plaintext = new Uint8Array(sealed.length - TAG_BYTES)
    return this.openInto(nonce, aad, sealed, plaintext) ? plaintext : undefined
  }

  openInto(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array, target: Uint8Array): boolean {
    checkNonce(nonce)
    if (target.length !== Math.max(0, sealed.length - TAG_BYTES)) throw new RangeError('the target does not fit')
    if (sealed.length < TAG_BYTES) return false
    const end = target.length
    const decipher = createDecipheriv(CIPHER, this.#key, nonce, OPTIONS)
    decipher.setAAD(aad)
    decipher.setAuthTag(sealed.subarray(end))
    // plaintext before the tag is checked: nobody may see it before this function has returned true
    for (let at = 0; at < end; at += PIECE_BYTES) {
      move(decipher.update(sealed.subarray(at, Math.min(end, at + PIECE_BYTES))), target, at)
    }
    try {
      decipher.final()
      return true
    } catch {
      target.fill(0)
      return false
    }
  }

  gmac(nonce: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer> {
    const cipher = this.#cipher(nonce, data)
    cipher.final()
    return exact(cipher.getAuthTag())
  }

  #cipher(nonce: Uint8Array, aad: Uint8Array) {
    checkNonce(nonce)
    const cipher = createCipheriv(CIPHER, this.#key, nonce, OPTIONS)
    cipher.setAAD(aad)
    return cipher
  }
}

function checkNonce(nonce: Uint8Array): void {
  if (nonce.length !== 12) throw new RangeError('a GCM nonce has 12 bytes here')
}

/** A plain Uint8Array over a buffer of exactly its bytes: transferable, and equal to noble's in a test. */
function exact(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = bytes
  if (buffer instanceof ArrayBuffer && byteOffset === 0 && buffer.byteLength === byteLength)
    return new Uint8Array(buffer)
  return Uint8Array.from(bytes)
}
