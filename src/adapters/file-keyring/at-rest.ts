import { concat } from '../../crypto/bytes.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { fromHex, type Id } from '../../domain/ids.ts'
import { unknownKey } from './organisation-secrets.ts'

const VERSION = 1
const NONCE_BYTES = 12

/** version ‖ nonce ‖ AES-256-GCM of a secret that the catalog keeps; bound to its subject. @param nonce 12 fresh random bytes. */
export function sealAtRest(
  primitives: Primitives,
  key: Uint8Array,
  nonce: Uint8Array,
  subject: Id,
  secret: Uint8Array,
): Uint8Array {
  return concat(Uint8Array.of(VERSION), nonce, primitives.gcm(key).seal(nonce, fromHex(subject), secret))
}

/** @throws E_KEYRING_KEY_UNKNOWN when it was sealed under another key or for another subject, or was changed. */
export function openAtRest(primitives: Primitives, key: Uint8Array, subject: Id, wrapped: Uint8Array): Uint8Array {
  const nonce = wrapped.subarray(1, 1 + NONCE_BYTES)
  const isKnown = wrapped[0] === VERSION && nonce.length === NONCE_BYTES
  const secret = isKnown
    ? primitives.gcm(key).open(nonce, fromHex(subject), wrapped.subarray(1 + NONCE_BYTES))
    : undefined
  if (secret === undefined) throw unknownKey('wrapped by another keyring, or for another subject', { subject })
  return secret
}
