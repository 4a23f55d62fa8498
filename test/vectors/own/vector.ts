import { createHash } from 'node:crypto'
import type { ErrorCode } from '../../../src/domain/errors.ts'

/** What a reader is given besides the bytes: seeds stand for key pairs, so that a file stays small. All of it is test data. */
export interface VectorContext {
  /** R, hexadecimal. */
  readonly recoverySeed?: string
  /** Seed of a vault's KEM key, hexadecimal; used in place of the recovery seed. */
  readonly kemSeed?: string
  /** Trusted signers: the organisation and its signing seed, hexadecimal. */
  readonly signers?: readonly { readonly organisation: string; readonly seed: string }[]
  /** Further cards that the reader found, each by the name of the vector whose input it is. */
  readonly cards?: readonly string[]
  /** Verify keys of the attempt, hexadecimal. */
  readonly verifyKeys?: readonly string[]
  readonly sealedBytes?: number
  /** Asset header, DEK and FLOE header as the manifest holds them, hexadecimal. */
  readonly header?: string
  readonly dek?: string
  readonly floeHeader?: string
  readonly contentBytes?: number
  /** The scheme of a `vault` or `split`. */
  readonly scheme?: readonly [k: number, n: number, t: number]
  /** Of a `split`: the label of the seeded randomness that makes it again. */
  readonly label?: string
}

/** Base64, or bytes that another vector's input has, with a run of them exchanged: the file then shows the fault. */
export type Bytes = string | Difference

export interface Difference {
  /** Name of the vector whose input is changed; that one is whole. */
  readonly of: string
  /** Which of its inputs, when it has several. */
  readonly item?: number
  readonly at: number
  /** Bytes that are taken out at `at`. */
  readonly remove: number
  /** Bytes that are put in their place, hexadecimal. */
  readonly insert: string
}

/** Objects of one node of a `vault`, base64 by name. */
export type Folder = Readonly<Record<string, string>>

/**
 * One vector, one file. `kind` says what `input` is:
 *
 * - names of decoders (`asset-header`, …): one object, base64; text for `recovery-key`
 * - `fragment`: a whole fragment; every block is checked
 * - `document-shares`: share objects; verified, combined, and opened when there is a seed
 * - `content`: fragments of one extent; combined and opened to the content
 * - `split`: nothing; the content is made from `label` and `scheme`, and every fragment has a known hash
 * - `vault`: folders, each {name of object: base64}; restored with nothing but the recovery seed, also from the last k alone
 */
export interface Vector {
  readonly name: string
  readonly kind: string
  readonly input: Bytes | readonly Bytes[] | readonly Folder[]
  readonly context?: VectorContext
  readonly expect: { readonly ok: unknown } | { readonly error: ErrorCode }
}

/** The bytes of a vector's inputs: one, or several. @param find the vector of a name. */
export function inputBytes(
  { input }: Pick<Vector, 'input'>,
  find: (name: string) => Pick<Vector, 'input'>,
): Uint8Array[] {
  const items = (Array.isArray(input) ? input : [input]) as readonly Bytes[]
  return items.map((item) => {
    if (typeof item === 'string') return bytesOf(item)
    const whole = find(item.of).input
    const base = bytesOf((Array.isArray(whole) ? whole[item.item ?? 0] : whole) as string)
    const parts = [base.subarray(0, item.at), Buffer.from(item.insert, 'hex'), base.subarray(item.at + item.remove)]
    return new Uint8Array(Buffer.concat(parts))
  })
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}

export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, 'base64'))
}

export function hexBytes(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, 'hex'))
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/**
 * The value with byte strings as hexadecimal, and those above 64 bytes as their SHA-256: what `expect.ok` holds, and what both
 * implementations are compared by.
 */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    return value.length <= 64 ? hex(value) : `sha256:${createHash('sha256').update(value).digest('hex')}`
  }
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return plain(Object.fromEntries(value))
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]))
  }
  return value
}
