import { MosaikError } from '../domain/errors.ts'
import { toHex } from '../domain/ids.ts'
import { ascii, concat } from './bytes.ts'
import type { Primitives } from './primitives.ts'

/**
 * Derivations of long-lived keys and their ids (docs/FORMAT.md §5, §8). Every seed is 32 bytes and secret; ids are public.
 */

const SEED_BYTES = 32
const ID_BYTES = 16
const NO_SALT = new Uint8Array(0)

type Suite = 1 | 2

function derive(primitives: Primitives, seed: Uint8Array, info: Uint8Array): Uint8Array<ArrayBuffer> {
  if (seed.length !== SEED_BYTES) throw new RangeError(`a seed has ${SEED_BYTES} bytes`)
  return primitives.hkdfSha256(seed, NO_SALT, info, SEED_BYTES)
}

/** KEM seed of the offline recovery key for one suite. @param recoverySeed R. @returns 32 bytes, secret. */
export function recoveryKemSeed(
  primitives: Primitives,
  recoverySeed: Uint8Array,
  suite: Suite,
): Uint8Array<ArrayBuffer> {
  return derive(primitives, recoverySeed, concat(ascii('mosaik/v1/recovery/kem/'), Uint8Array.of(suite)))
}

/** Signing seed of the root pair. @param recoverySeed R. @returns 32 bytes, secret. */
export function rootSigningSeed(primitives: Primitives, recoverySeed: Uint8Array): Uint8Array<ArrayBuffer> {
  return derive(primitives, recoverySeed, ascii('mosaik/v1/recovery/root'))
}

/** KEM seed of the vault key of an epoch for one suite. @param vaultSeed V. @returns 32 bytes, secret. */
export function vaultKemSeed(primitives: Primitives, vaultSeed: Uint8Array, suite: Suite): Uint8Array<ArrayBuffer> {
  return derive(primitives, vaultSeed, concat(ascii('mosaik/v1/vault/kem/'), Uint8Array.of(suite)))
}

/** HMAC key of signed links of the period `kid`, 32 bytes, secret: HKDF(link seed, "mosaik/v1/link/" ‖ kid, 32). */
export function linkKeyOf(primitives: Primitives, linkSeed: Uint8Array, kid: string): Uint8Array<ArrayBuffer> {
  return derive(primitives, linkSeed, concat(ascii('mosaik/v1/link/'), ascii(kid)))
}

/** key id of a KEM public key: what document headers name recipients by (docs/FORMAT.md §5). 16 bytes, public. */
export function keyId(primitives: Primitives, suite: Suite, publicKey: Uint8Array): Uint8Array<ArrayBuffer> {
  const hash = primitives.sha256(ascii('mosaik/v1/key-id'), Uint8Array.of(suite), publicKey)
  return hash.slice(0, ID_BYTES)
}

/** signer id of a signing pair: what shares, cards and receipts name their signer by (docs/FORMAT.md §8). 16 bytes, public. */
export function signerId(
  primitives: Primitives,
  keys: { readonly ed25519: Uint8Array; readonly mldsa65: Uint8Array },
): Uint8Array<ArrayBuffer> {
  const hash = primitives.sha256(ascii('mosaik/v1/signer-id'), keys.ed25519, keys.mldsa65)
  return hash.slice(0, ID_BYTES)
}

/** A signing pair that shares, receipts and cards of one organisation are accepted from. Says so: a vault card, or the keyring. */
export interface TrustedSigner {
  /** 32 hexadecimal digits; the pair is trusted for this organisation only. */
  readonly organisation: string
  /** signer id, 16 bytes. */
  readonly signer: Uint8Array
  readonly keys: { readonly ed25519: Uint8Array; readonly mldsa65: Uint8Array }
}

/** A signing pair that the caller has a reason to trust, as readers of signed objects take it. */
export function trustedSigner(
  primitives: Primitives,
  organisation: string,
  keys: TrustedSigner['keys'],
): TrustedSigner {
  return { organisation, signer: signerId(primitives, keys), keys }
}

/**
 * The trusted signer with this id for this organisation.
 *
 * @throws E_CARD_UNTRUSTED when there is none.
 */
export function findSigner(trusted: readonly TrustedSigner[], organisation: string, signer: Uint8Array): TrustedSigner {
  const found = trusted.find(
    (one) => one.organisation === organisation && one.signer.every((byte, i) => byte === signer[i]),
  )
  if (found === undefined) {
    throw new MosaikError('E_CARD_UNTRUSTED', 'signed by a pair that no trusted vault card of its organisation names', {
      organisation,
      signer: toHex(signer),
    })
  }
  return found
}
