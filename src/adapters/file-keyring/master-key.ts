import { argon2 } from 'node:crypto'
import { promisify } from 'node:util'
import { ascii } from '../../crypto/bytes.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { MosaikError } from '../../domain/errors.ts'
import { fromBase64, type Kdf } from './sealed-file.ts'

const MIN_PASSPHRASE_CHARACTERS = 8
const EMPTY = new Uint8Array(0)
const argon2id = promisify(argon2)

/** @throws E_INPUT a passphrase below 8 characters. */
export function checkPassphrase(passphrase: string): void {
  if ([...passphrase].length >= MIN_PASSPHRASE_CHARACTERS) return
  throw new MosaikError(
    'E_INPUT',
    `the passphrase of the keyring must have at least ${MIN_PASSPHRASE_CHARACTERS} characters`,
  )
}

/** The master key, 32 bytes, that argon2id makes of a passphrase; normalised (NFKC) first. */
export async function masterKeyOf(passphrase: string, kdf: Kdf): Promise<Uint8Array> {
  const message = Buffer.from(passphrase.normalize('NFKC'), 'utf8')
  const { memoryKiB: memory, passes, parallelism } = kdf
  const key = await argon2id(kdf.algorithm, {
    message,
    nonce: fromBase64(kdf.salt),
    memory,
    passes,
    parallelism,
    tagLength: 32,
  })
  message.fill(0)
  return key
}

/** What `keyring.json` is sealed under. */
export function keysSealKey(primitives: Primitives, masterKey: Uint8Array): Uint8Array {
  return sealKey(primitives, masterKey, 'keys')
}

/** What `keyring-spool.json` is sealed under where `keyring.json` holds no key for it: in keyrings of earlier releases. */
export function derivedSpoolSealKey(primitives: Primitives, masterKey: Uint8Array): Uint8Array {
  return sealKey(primitives, masterKey, 'spool')
}

function sealKey(primitives: Primitives, masterKey: Uint8Array, label: string): Uint8Array {
  return primitives.hkdfSha256(masterKey, EMPTY, ascii(`mosaik/keyring/v1/${label}`), 32)
}
