import { pbkdf2 } from '@noble/hashes/pbkdf2.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { ascii, concat, u16 } from '../bytes.ts'

/** What the encryption of a set depends on. */
export interface EncryptionOptions {
  readonly identifier: number
  readonly isExtendable: boolean
  readonly iterationExponent: number
  /** ASCII; empty for a recovery key. A wrong one gives another secret, without an error. */
  readonly passphrase: string
}

const ROUNDS = [0, 1, 2, 3]
const BASE_ITERATIONS = 2500

/** The secret as it is shared: four Feistel rounds of PBKDF2-HMAC-SHA256 under the passphrase. */
export function encryptSecret(secret: Uint8Array, options: EncryptionOptions): Uint8Array<ArrayBuffer> {
  return feistel(secret, ROUNDS, options)
}

/** The secret of what was shared. */
export function decryptSecret(encrypted: Uint8Array, options: EncryptionOptions): Uint8Array<ArrayBuffer> {
  return feistel(encrypted, ROUNDS.toReversed(), options)
}

function feistel(
  input: Uint8Array,
  rounds: readonly number[],
  { identifier, isExtendable, iterationExponent, passphrase }: EncryptionOptions,
): Uint8Array<ArrayBuffer> {
  const half = input.length / 2
  const saltPrefix = isExtendable ? new Uint8Array(0) : concat(ascii('shamir'), u16(identifier))
  let left = input.slice(0, half)
  let right = input.slice(half)
  for (const round of rounds) {
    const mask = pbkdf2(sha256, concat(Uint8Array.of(round), ascii(passphrase)), concat(saltPrefix, right), {
      c: BASE_ITERATIONS * 2 ** iterationExponent,
      dkLen: half,
    })
    const next = left.map((byte, i) => byte ^ mask[i]!)
    left = right
    right = next
  }
  return concat(right, left)
}
