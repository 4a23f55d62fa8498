import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { z } from 'zod'
import type { Primitives } from '../../crypto/primitives.ts'
import { MosaikError } from '../../domain/errors.ts'

/** Cost of argon2id; kept in the file, so that it can be raised later. */
export interface KdfCost {
  readonly memoryKiB: number
  readonly passes: number
  readonly parallelism: number
}

/** 256 MiB, 3 passes, 4 lanes: about half a second. */
export const defaultKdfCost: KdfCost = { memoryKiB: 262_144, passes: 3, parallelism: 4 }

export interface Kdf extends KdfCost {
  readonly algorithm: 'argon2id'
  /** 16 bytes, base64. */
  readonly salt: string
}

/** The master key is split among officers: which shares there are, and how each is recognised (docs/FORMAT.md §15). */
export interface Custody {
  /** 16 bytes, base64; drawn with the shares. */
  readonly id: string
  /** Shares that are needed. */
  readonly threshold: number
  /** SHA-256 over what a share says, base64, in order of share number: one for each officer. */
  readonly shares: readonly string[]
}

/** The master key follows from what a secret key in an HSM answers (docs/FORMAT.md §15). */
export interface HsmLock {
  readonly algorithm: 'hmac-sha256'
  /** 32 bytes, base64. */
  readonly salt: string
  /** SHA-256 over the answer, base64: tells another key from a changed file. */
  readonly check: string
}

/** What opens a file of keys: exactly one of these is there. A file of spool keys has none. */
export interface Lock {
  readonly kdf: Kdf | null
  readonly custody?: Custody | undefined
  readonly hsm?: HsmLock | undefined
}

/** A file whose JSON content is sealed by AES-256-GCM; what is in clear is bound to it as additional data. */
export interface Envelope extends Lock {
  readonly format: 'mosaik-keyring'
  readonly version: 1
  readonly content: 'keys' | 'spool'
  /** Counts the writes. */
  readonly revision: number
  /** 12 bytes, base64. */
  readonly nonce: string
  /** Ciphertext ‖ tag, base64. */
  readonly sealed: string
}

const base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/)
const custodySchema = z
  .strictObject({
    id: base64.length(24),
    threshold: z.int().min(2).max(16),
    shares: z.array(base64.length(44)).min(2).max(16),
  })
  .refine(({ threshold, shares }) => threshold <= shares.length)
const envelopeSchema: z.ZodType<Envelope> = z.strictObject({
  format: z.literal('mosaik-keyring'),
  version: z.literal(1),
  content: z.enum(['keys', 'spool']),
  kdf: z
    .strictObject({
      algorithm: z.literal('argon2id'),
      salt: base64.length(24),
      memoryKiB: z.int().min(8).max(4_194_304),
      passes: z.int().min(1).max(100),
      parallelism: z.int().min(1).max(64),
    })
    .nullable(),
  custody: custodySchema.optional(),
  hsm: z
    .strictObject({ algorithm: z.literal('hmac-sha256'), salt: base64.length(44), check: base64.length(44) })
    .optional(),
  revision: z.int().min(1),
  nonce: base64.length(16),
  sealed: base64,
})

/** Reads the clear part. @throws E_CONFIG absent, damaged, of another version, or readable by others. */
export function readEnvelope(path: string): Envelope {
  let text: string
  try {
    const { mode } = statSync(path)
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw new MosaikError('E_CONFIG', `${path} can be read by other users of this machine: chmod 600 it`)
    }
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof MosaikError) throw error
    throw new MosaikError('E_CONFIG', `the keyring file ${path} cannot be read`, {}, error)
  }
  try {
    return envelopeSchema.parse(JSON.parse(text))
  } catch (error) {
    throw new MosaikError('E_CONFIG', `${path} is not a keyring of version 1, or is damaged`, {}, error)
  }
}

/** Additional data: everything in clear but the nonce, which GCM binds itself. */
function clearPart({ format, version, content, kdf, custody, hsm, revision }: Omit<Envelope, 'nonce' | 'sealed'>) {
  const cost = kdf && [kdf.algorithm, kdf.salt, kdf.memoryKiB, kdf.passes, kdf.parallelism]
  const others = [
    ...(custody ? [['custody', custody.id, custody.threshold, custody.shares]] : []),
    ...(hsm ? [['hsm', hsm.algorithm, hsm.salt, hsm.check]] : []),
  ]
  return new TextEncoder().encode(JSON.stringify([format, version, content, cost, revision, ...others]))
}

export function sealEnvelope(
  primitives: Primitives,
  key: Uint8Array,
  nonce: Uint8Array,
  clear: Lock & Pick<Envelope, 'content' | 'revision'>,
  secret: unknown,
): Envelope {
  const { content, kdf, custody, hsm, revision } = clear
  const front = {
    format: 'mosaik-keyring',
    version: 1,
    content,
    kdf,
    ...(custody && { custody }),
    ...(hsm && { hsm }),
    revision,
  } as const
  const plaintext = new TextEncoder().encode(JSON.stringify(secret))
  const sealed = primitives.gcm(key).seal(nonce, clearPart(front), plaintext)
  plaintext.fill(0)
  return { ...front, nonce: toBase64(nonce), sealed: toBase64(sealed) }
}

/** The sealed JSON, or `undefined` when the key is another one or a byte was changed: which of them cannot be told. */
export function openEnvelope(primitives: Primitives, key: Uint8Array, envelope: Envelope): unknown {
  const sealed = fromBase64(envelope.sealed)
  const plaintext = primitives.gcm(key).open(fromBase64(envelope.nonce), clearPart(envelope), sealed)
  if (plaintext === undefined) return undefined
  const value: unknown = JSON.parse(new TextDecoder().decode(plaintext))
  plaintext.fill(0)
  return value
}

/** Changes whenever the file is replaced. @throws E_CONFIG when there is none. */
export function fileStamp(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  if (stat === undefined) throw new MosaikError('E_CONFIG', `there is no keyring file ${path}`)
  return `${stat.ino}/${stat.mtimeNs}/${stat.size}`
}

/**
 * Replaces the file whole: written beside it with mode 0600, synced, renamed, folder synced; then the blocks of the old file
 * are overwritten with zeros and synced. A crash leaves the old file or the new one. Call it under the lock.
 *
 * @NOTE Overwriting reaches the blocks that the file system gives back. A journal, a snapshot, a copy-on-write file system,
 * a backup, and the spare blocks of a solid-state disk can keep the old bytes: they stay sealed by the passphrase, no more.
 */
export function replaceFile(path: string, envelope: Envelope): void {
  const beside = `${path}.new`
  if (existsSync(beside)) wipe(openSync(beside, 'r+'))
  const file = openSync(beside, 'w', 0o600)
  try {
    writeFileSync(file, `${JSON.stringify(envelope, null, 2)}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  const old = existsSync(path) ? openSync(path, 'r+') : undefined
  renameSync(beside, path)
  const folder = openSync(dirname(path), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
  if (old !== undefined) wipe(old)
}

function wipe(file: number): void {
  try {
    const zeros = new Uint8Array(fstatSync(file).size)
    for (let at = 0; at < zeros.length;) at += writeSync(file, zeros, at, zeros.length - at, at)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, 'base64'))
}
