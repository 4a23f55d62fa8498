import { ed25519 } from '@noble/curves/ed25519.js'
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js'
import { ascii, concat } from './bytes.ts'
import { noblePrimitives } from './noble-primitives.ts'

/**
 * Signature pairs (docs/FORMAT.md §8): Ed25519 (RFC 8032) and ML-DSA-65 (FIPS 204, deterministic, empty context string), both
 * over context ‖ 00 ‖ message, from one 32-byte seed. A pair holds as long as either algorithm does.
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
  readonly ed25519Seed: Uint8Array
  readonly mldsa65SecretKey: Uint8Array
}

/** The seeds of the two algorithms: HKDF-SHA-256 of the pair's seed, empty salt, a label each; 32 bytes each. */
export function signingSeeds(seed: Uint8Array): { readonly ed25519: Uint8Array; readonly mldsa65: Uint8Array } {
  if (seed.length !== 32) throw new RangeError('a signing seed has 32 bytes')
  return {
    ed25519: noblePrimitives.hkdfSha256(seed, NO_SALT, ED25519_LABEL, 32),
    mldsa65: noblePrimitives.hkdfSha256(seed, NO_SALT, MLDSA65_LABEL, 32),
  }
}

/** The pair of keys of a seed of 32 bytes. Takes some milliseconds: keep it. @throws RangeError for another length. */
export function signingKeys(seed: Uint8Array): SigningKeys {
  const seeds = signingSeeds(seed)
  const mldsa = ml_dsa65.keygen(seeds.mldsa65)
  return {
    publicKeys: { ed25519: ed25519.getPublicKey(seeds.ed25519), mldsa65: mldsa.publicKey },
    ed25519Seed: seeds.ed25519,
    mldsa65SecretKey: mldsa.secretKey,
  }
}

/** The bytes that both algorithms sign. @param context ASCII without a zero character, such as "mosaik/v1/share". */
export function signedBytes(context: string, message: Uint8Array): Uint8Array<ArrayBuffer> {
  const label = ascii(context)
  if (label.includes(0)) throw new RangeError('a context holds no zero byte: it ends with one')
  return concat(label, SEPARATOR, message)
}

/** Signs with both keys: 3373 bytes, the same for the same input. */
export function signPair(keys: SigningKeys, context: string, message: Uint8Array): Uint8Array<ArrayBuffer> {
  const signed = signedBytes(context, message)
  return concat(
    ed25519.sign(signed, keys.ed25519Seed),
    ml_dsa65.sign(signed, keys.mldsa65SecretKey, { extraEntropy: false }),
  )
}

/** True when both signatures verify. False, never an error, for a signature or key of a wrong length or form. */
export function verifyPair(
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
  return verifyEd25519(classical, signed, publicKeys.ed25519) && ml_dsa65.verify(lattice, signed, publicKeys.mldsa65)
}

function verifyEd25519(signature: Uint8Array, signed: Uint8Array, publicKey: Uint8Array): boolean {
  try {
    // RFC 8032 to the letter, not ZIP 215: no encoding but the canonical one
    return ed25519.verify(signature, signed, publicKey, { zip215: false })
  } catch {
    // noble throws for bytes that are no point; for a verifier that is simply a no
    return false
  }
}
