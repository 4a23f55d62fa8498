import { MosaikError } from '../domain/errors.ts'
import { ascii, concat, u16 } from './bytes.ts'
import { hkdfExpand } from './hkdf-expand.ts'
import type { HpkePrimitives, Kem } from './kem.ts'

/**
 * HPKE base mode, single shot (RFC 9180 §5.1, §6.1): HKDF-SHA256, AES-256-GCM, over the KEM of a suite
 * (draft-ietf-hpke-pq; docs/FORMAT.md §5).
 */

const VERSION_LABEL = ascii('HPKE-v1')
const NOTHING = new Uint8Array(0)
const MODE_BASE = Uint8Array.of(0)
const KDF_HKDF_SHA256 = 0x0001
const AEAD_AES_256_GCM = 0x0002

/** Bytes that `ct` is longer than the plaintext. */
export const HPKE_TAG_BYTES = 16

/** HKDF in its two halves, as the labelled functions of RFC 9180 §4 take it. */
export interface TwoStageKdf {
  readonly hashBytes: number
  extract(salt: Uint8Array, ikm: Uint8Array): Uint8Array
  expand(prk: Uint8Array, info: Uint8Array, lengthBytes: number): Uint8Array
}

/** What the key schedule gives. `exporterSecret` is not used by the vault. */
export interface HpkeSecrets {
  readonly key: Uint8Array
  readonly baseNonce: Uint8Array
  readonly exporterSecret: Uint8Array
}

/** "HPKE" ‖ KEM ‖ KDF ‖ AEAD, 10 bytes. */
export function hpkeSuiteId(kemId: number, kdfId: number, aeadId: number): Uint8Array<ArrayBuffer> {
  return concat(ascii('HPKE'), u16(kemId), u16(kdfId), u16(aeadId))
}

/**
 * The key schedule of base mode (RFC 9180 §5.1) with empty PSK.
 *
 * @param keyBytes, nonceBytes of the AEAD.
 */
export function hpkeKeySchedule(
  suiteId: Uint8Array,
  kdf: TwoStageKdf,
  keyBytes: number,
  nonceBytes: number,
  sharedSecret: Uint8Array,
  info: Uint8Array,
): HpkeSecrets {
  const extract = (salt: Uint8Array, label: string, ikm: Uint8Array) =>
    kdf.extract(salt, concat(VERSION_LABEL, suiteId, ascii(label), ikm))
  const expand = (prk: Uint8Array, label: string, context: Uint8Array, lengthBytes: number) =>
    kdf.expand(prk, concat(u16(lengthBytes), VERSION_LABEL, suiteId, ascii(label), context), lengthBytes)

  const context = concat(MODE_BASE, extract(NOTHING, 'psk_id_hash', NOTHING), extract(NOTHING, 'info_hash', info))
  const secret = extract(sharedSecret, 'secret', NOTHING)
  return {
    key: expand(secret, 'key', context, keyBytes),
    baseNonce: expand(secret, 'base_nonce', context, nonceBytes),
    exporterSecret: expand(secret, 'exp', context, kdf.hashBytes),
  }
}

function schedule(primitives: HpkePrimitives, kem: Kem, sharedSecret: Uint8Array, info: Uint8Array): HpkeSecrets {
  const kdf: TwoStageKdf = {
    hashBytes: 32,
    extract: (salt, ikm) => primitives.hmacSha256(salt, ikm),
    expand: (prk, label, lengthBytes) => hkdfExpand(primitives.hmacSha256, 32, prk, label, lengthBytes),
  }
  return hpkeKeySchedule(hpkeSuiteId(kem.id, KDF_HKDF_SHA256, AEAD_AES_256_GCM), kdf, 32, 12, sharedSecret, info)
}

/**
 * Encrypts to a public key.
 *
 * @param suite 1 or 2.
 * @param info, aad bound to the ciphertext; the reader must have the same.
 * @param encapsRandomness `primitives.kem(suite).randomBytes` fresh random bytes.
 * @returns enc of `kem.encBytes`; ct of plaintext + 16 bytes.
 * @throws E_SUITE_UNKNOWN; E_FORMAT_LENGTH or E_FORMAT_FIELD when `publicKey` is not a public key of the suite; RangeError for
 *   another amount of randomness.
 */
export function hpkeSeal(
  suite: number,
  primitives: HpkePrimitives,
  publicKey: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
  encapsRandomness: Uint8Array,
): { enc: Uint8Array<ArrayBuffer>; ct: Uint8Array<ArrayBuffer> } {
  const kem = primitives.kem(suite)
  if (publicKey.length !== kem.publicKeyBytes) {
    throw new MosaikError('E_FORMAT_LENGTH', `a public key of suite ${suite} has ${kem.publicKeyBytes} bytes`, {
      suite,
    })
  }
  if (encapsRandomness.length !== kem.randomBytes)
    throw new RangeError(`suite ${suite} takes ${kem.randomBytes} random bytes`)
  const { enc, sharedSecret } = encapsulate(suite, kem, publicKey, encapsRandomness)
  const { key, baseNonce } = schedule(primitives, kem, sharedSecret, info)
  sharedSecret.fill(0)
  return { enc, ct: primitives.gcm(key).seal(baseNonce, aad, plaintext) }
}

function encapsulate(suite: number, kem: Kem, publicKey: Uint8Array, random: Uint8Array) {
  try {
    return kem.encapsulate(publicKey, random)
  } catch (cause) {
    throw new MosaikError('E_FORMAT_FIELD', `these bytes are not a public key of suite ${suite}`, { suite }, cause)
  }
}

/**
 * Decrypts what `hpkeSeal` made for this key.
 *
 * @param secretSeed 32 bytes.
 * @throws E_SUITE_UNKNOWN; E_HPKE_OPEN for another key, info or aad, or a changed enc or ct: which of them cannot be told.
 */
export function hpkeOpen(
  suite: number,
  primitives: HpkePrimitives,
  secretSeed: Uint8Array,
  enc: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
  ct: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const kem = primitives.kem(suite)
  const refuse = (cause?: unknown) =>
    new MosaikError('E_HPKE_OPEN', 'a wrapped key does not open with this private key', { suite }, cause)
  if (enc.length !== kem.encBytes || ct.length < HPKE_TAG_BYTES) throw refuse()
  let sharedSecret: Uint8Array
  try {
    sharedSecret = kem.decapsulate(secretSeed, enc)
  } catch (cause) {
    throw refuse(cause)
  }
  const { key, baseNonce } = schedule(primitives, kem, sharedSecret, info)
  sharedSecret.fill(0)
  const plaintext = primitives.gcm(key).open(baseNonce, aad, ct)
  if (plaintext === undefined) throw refuse()
  return plaintext
}
