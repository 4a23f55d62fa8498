import { ascii, concat } from './bytes.ts'
import type { Primitives, SignatureKeyPair } from './primitives.ts'

/**
 * Signature pairs (docs/FORMAT.md §8): Ed25519 (RFC 8032) and ML-DSA-65 (FIPS 204, empty context string), both over
 * context ‖ 00 ‖ message, from one 32-byte seed. A pair holds as long as either algorithm does.
 */

export const ED25519_SIGNATURE_BYTES = 64
export const MLDSA65_SIGNATURE_BYTES = 3309
/** Ed25519 signature ‖ ML-DSA-65 signature. */
export const SIGNATURE_PAIR_BYTES = ED25519_SIGNATURE_BYTES + MLDSA65_SIGNATURE_BYTES
export const ED25519_PUBLIC_KEY_BYTES = 32
export const MLDSA65_PUBLIC_KEY_BYTES = 1952

const ED25519_LABEL = ascii('mosaik/v1/sign/ed25519')
const MLDSA65_LABEL = ascii('mosaik/v1/sign/mldsa65')
const NO_SALT = new Uint8Array(0)
const SEPARATOR = Uint8Array.of(0)

export interface SigningPublicKeys {
  /** 32 bytes. */
  readonly ed25519: Uint8Array
  /** 1952 bytes. */
  readonly mldsa65: Uint8Array
}

/** Holds private keys: never log, never serialise. */
export interface SigningKeys {
  readonly publicKeys: SigningPublicKeys
  readonly ed25519: SignatureKeyPair
  readonly mldsa65: SignatureKeyPair
}

/** The seeds of the two algorithms: HKDF-SHA-256 of the pair's seed, empty salt, a label each; 32 bytes each. */
export function signingSeeds(
  primitives: Primitives,
  seed: Uint8Array,
): { readonly ed25519: Uint8Array; readonly mldsa65: Uint8Array } {
  if (seed.length !== 32) throw new RangeError('a signing seed has 32 bytes')
  return {
    ed25519: primitives.hkdfSha256(seed, NO_SALT, ED25519_LABEL, 32),
    mldsa65: primitives.hkdfSha256(seed, NO_SALT, MLDSA65_LABEL, 32),
  }
}

/** The pair of keys of a seed of 32 bytes. Takes a millisecond or some: keep it. @throws RangeError for another length. */
export function signingKeys(primitives: Primitives, seed: Uint8Array): SigningKeys {
  const seeds = signingSeeds(primitives, seed)
  const ed25519 = primitives.ed25519.keyPair(seeds.ed25519)
  const mldsa65 = primitives.mldsa65.keyPair(seeds.mldsa65)
  return { publicKeys: { ed25519: ed25519.publicKey, mldsa65: mldsa65.publicKey }, ed25519, mldsa65 }
}

/** The bytes that both algorithms sign. @param context ASCII without a zero character, such as "mosaik/v1/share". */
export function signedBytes(context: string, message: Uint8Array): Uint8Array<ArrayBuffer> {
  const label = ascii(context)
  if (label.includes(0)) throw new RangeError('a context holds no zero byte: it ends with one')
  return concat(label, SEPARATOR, message)
}

/** Signs with both keys: 3373 bytes. */
export function signPair(keys: SigningKeys, context: string, message: Uint8Array): Uint8Array<ArrayBuffer> {
  const signed = signedBytes(context, message)
  return concat(keys.ed25519.sign(signed), keys.mldsa65.sign(signed))
}

/** True when both signatures verify. False, never an error, for a signature or key of a wrong length or form. */
export function verifyPair(
  primitives: Primitives,
  publicKeys: SigningPublicKeys,
  context: string,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== SIGNATURE_PAIR_BYTES) return false
  if (publicKeys.ed25519.length !== ED25519_PUBLIC_KEY_BYTES) return false
  if (publicKeys.mldsa65.length !== MLDSA65_PUBLIC_KEY_BYTES) return false
  const signed = signedBytes(context, message)
  const classical = signature.subarray(0, ED25519_SIGNATURE_BYTES)
  const lattice = signature.subarray(ED25519_SIGNATURE_BYTES)
  return (
    primitives.ed25519.verify(publicKeys.ed25519, signed, classical) &&
    primitives.mldsa65.verify(publicKeys.mldsa65, signed, lattice)
  )
}
