import { MosaikError } from '../domain/errors.ts'
import { concatenate, sameBytes } from './header-bytes.ts'

const PREFIX = 'mosaik-recovery-1-'
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'
const SEED_BYTES = 32
const CHECK_BYTES = 4
const GROUP_DIGITS = 5
const LABEL = new TextEncoder().encode('mosaik/v1/recovery-key')

/** SHA-256 of the joined parts, as `Primitives.sha256`. */
export type Sha256 = (...parts: Uint8Array[]) => Uint8Array

/**
 * The recovery seed as text (docs/FORMAT.md §8), in groups of five. A secret: shown once, on a terminal.
 *
 * @param seed 32 bytes. @throws E_RECOVERY_KEY on another length.
 */
export function encodeRecoveryKey(seed: Uint8Array, sha256: Sha256): string {
  if (seed.length !== SEED_BYTES) throw new MosaikError('E_RECOVERY_KEY', 'a recovery seed has 32 bytes')
  const digits = toBase32(concatenate(seed, checkBytes(seed, sha256)))
  return PREFIX + digits.replace(new RegExp(`.{${GROUP_DIGITS}}(?=.)`, 'g'), '$&-')
}

/**
 * The recovery seed of a text as `encodeRecoveryKey` writes it; hyphens, white space and case do not matter.
 *
 * @throws E_RECOVERY_KEY when the text is not a recovery key or a character is wrong; never says which.
 */
export function decodeRecoveryKey(text: string, sha256: Sha256): Uint8Array<ArrayBuffer> {
  const compact = text.replace(/[\s-]/g, '').toLowerCase()
  const prefix = PREFIX.replaceAll('-', '')
  if (!compact.startsWith(prefix)) throw fault('does not begin with mosaik-recovery-1')
  const bytes = fromBase32(compact.slice(prefix.length), SEED_BYTES + CHECK_BYTES)
  const seed = bytes.slice(0, SEED_BYTES)
  if (!sameBytes(bytes.subarray(SEED_BYTES), checkBytes(seed, sha256))) throw fault('has a wrong or missing character')
  return seed
}

function checkBytes(seed: Uint8Array, sha256: Sha256): Uint8Array {
  return sha256(LABEL, seed).subarray(0, CHECK_BYTES)
}

/** RFC 4648 base32, lower case, without padding. */
function toBase32(bytes: Uint8Array): string {
  let text = ''
  let pending = 0
  let pendingBits = 0
  for (const byte of bytes) {
    pending = ((pending << 8) | byte) & 0xfff
    pendingBits += 8
    while (pendingBits >= 5) {
      pendingBits -= 5
      text += ALPHABET[(pending >> pendingBits) & 31]!
    }
  }
  return pendingBits === 0 ? text : text + ALPHABET[(pending << (5 - pendingBits)) & 31]!
}

function fromBase32(text: string, lengthBytes: number): Uint8Array<ArrayBuffer> {
  if (text.length !== Math.ceil((lengthBytes * 8) / 5)) throw fault('is too short or too long')
  const bytes = new Uint8Array(lengthBytes)
  let at = 0
  let pending = 0
  let pendingBits = 0
  for (const digit of text) {
    const value = ALPHABET.indexOf(digit)
    if (value < 0) throw fault('has a character outside a … z and 2 … 7')
    pending = ((pending << 5) | value) & 0xfff
    pendingBits += 5
    if (pendingBits >= 8) {
      pendingBits -= 8
      bytes[at++] = (pending >> pendingBits) & 0xff
    }
  }
  if ((pending & ((1 << pendingBits) - 1)) !== 0) throw fault('has a wrong last character')
  return bytes
}

function fault(what: string): MosaikError {
  return new MosaikError('E_RECOVERY_KEY', `the text is not a recovery key: it ${what}`)
}
