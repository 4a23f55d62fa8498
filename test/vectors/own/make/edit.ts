import { decodeCbor, encodeCbor, type CborValue } from '../../../../src/format/cbor.ts'
import type { ErrorCode } from '../../../../src/domain/errors.ts'
import { base64, type Folder, type Vector, type VectorContext } from '../vector.ts'

/** A vector to be made; the `ok` of valid ones is filled in when it is written. */
export type Draft = Omit<Vector, 'expect' | 'input'> & {
  /** Base64 or text; all of it whole. */
  readonly input: string | readonly string[] | readonly Folder[]
  readonly error?: ErrorCode
}

/** A copy with `values` at `at`. */
export function patch(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes)
  copy.set(values, at < 0 ? bytes.length + at : at)
  return copy
}

/** A copy with one bit of the byte at `at` (from the end when negative) the other way. */
export function flip(bytes: Uint8Array, at: number): Uint8Array<ArrayBuffer> {
  const place = at < 0 ? bytes.length + at : at
  return patch(bytes, place, bytes[place]! ^ 1)
}

export function cut(bytes: Uint8Array, lengthBytes: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes.subarray(0, lengthBytes))
}

export function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts))
}

/** CBOR with its decoded value changed. The result is deterministic again: the fault is in what it says. */
export function recode(bytes: Uint8Array, change: (map: Map<string, unknown>) => unknown): Uint8Array<ArrayBuffer> {
  const map = decodeCbor(bytes) as unknown as Map<string, unknown>
  change(map)
  return encodeCbor(map as unknown as CborValue)
}

export function inner(map: unknown, ...path: (string | number)[]): Map<string, unknown> {
  return path.reduce<unknown>(
    (value, key) => (typeof key === 'number' ? (value as unknown[])[key] : (value as Map<string, unknown>).get(key)),
    map,
  ) as Map<string, unknown>
}

/** Replaces the first place where `from` (hexadecimal) stands; for encodings that no encoder would write. */
export function replaceHex(bytes: Uint8Array, from: string, to: string): Uint8Array<ArrayBuffer> {
  const [text, at] = [Buffer.from(bytes), Buffer.from(bytes).indexOf(Buffer.from(from, 'hex'))]
  if (at < 0) throw new Error(`${from} is not there`)
  return join(text.subarray(0, at), Buffer.from(to, 'hex'), text.subarray(at + from.length / 2))
}

/** The vectors of one kind: a valid one or more, and faults of it. */
export class Family {
  readonly drafts: Draft[] = []
  readonly #kind: string

  constructor(kind: string) {
    this.#kind = kind
  }

  ok(name: string, input: Uint8Array | Draft['input'], context?: VectorContext): this {
    return this.#add(name, input, context)
  }

  fault(error: ErrorCode, name: string, input: Uint8Array | Draft['input'], context?: VectorContext): this {
    return this.#add(name, input, context, error)
  }

  /** Faults that every object with a magic can have. @param versioned what comes right behind magic and version is cut off too. */
  frame(valid: Uint8Array, context?: VectorContext): this {
    return this.fault('E_FORMAT_MAGIC', 'empty', new Uint8Array(0), context)
      .fault('E_FORMAT_MAGIC', 'seven-bytes', cut(valid, 7), context)
      .fault('E_FORMAT_MAGIC', 'magic', flip(valid, 7), context)
      .fault('E_FORMAT_LENGTH', 'ends-in-version', cut(valid, 9), context)
      .fault('E_FORMAT_VERSION', 'version-0', patch(valid, 8, 0, 0), context)
      .fault('E_FORMAT_VERSION', 'version-2', patch(valid, 8, 0, 2), context)
      .fault('E_FORMAT_VERSION', 'version-256', patch(valid, 8, 1, 0), context)
  }

  #add(name: string, input: Uint8Array | Draft['input'], context?: VectorContext, error?: ErrorCode): this {
    const text = input instanceof Uint8Array ? base64(input) : input
    const draft = { name: `${this.#kind}/${name}`, kind: this.#kind, input: text }
    this.drafts.push({ ...draft, ...(context && { context }), ...(error && { error }) })
    return this
  }
}
