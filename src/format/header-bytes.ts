import { MosaikError, type ErrorCode } from '../domain/errors.ts'
import { fromHex, toHex, type Id } from '../domain/ids.ts'

/** The one version there is; readers refuse any other (docs/FORMAT.md, introduction). */
export const FORMAT_VERSION = 1

/** Where every magic ends and the version starts. */
const MAGIC_BYTES = 8

/**
 * Reads the fixed fields of a header by their offsets, in the order of checks of docs/FORMAT.md §14: call `magic`, then
 * `version`, then the suite, then a length check, then everything else. Numbers are big-endian. A read beyond the end is
 * E_FORMAT_LENGTH.
 */
export class HeaderView {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string

  /** @param what name of the object for messages: "the asset header". */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
  }

  /** @throws E_FORMAT_MAGIC also when there are fewer than eight bytes: they do not begin as this kind of object does. */
  magic(magic: string): this {
    for (let i = 0; i < MAGIC_BYTES; i++) {
      if (this.#bytes[i] !== magic.charCodeAt(i)) {
        throw this.fault('E_FORMAT_MAGIC', `does not begin with "${magic}"`)
      }
    }
    return this
  }

  /** @throws E_FORMAT_VERSION, E_FORMAT_LENGTH */
  version(): this {
    const version = this.u16(MAGIC_BYTES)
    if (version !== FORMAT_VERSION) {
      throw this.fault('E_FORMAT_VERSION', `has version ${version}; this reader knows version ${FORMAT_VERSION}`)
    }
    return this
  }

  /** @throws E_FORMAT_LENGTH unless there are exactly `lengthBytes`. */
  length(lengthBytes: number): this {
    if (this.#bytes.length !== lengthBytes) {
      throw this.fault('E_FORMAT_LENGTH', `has ${this.#bytes.length} bytes; its fields say ${lengthBytes}`)
    }
    return this
  }

  /** @throws E_FORMAT_LENGTH unless there are `lengthBytes` or more. */
  atLeast(lengthBytes: number): this {
    if (this.#bytes.length < lengthBytes) {
      throw this.fault('E_FORMAT_LENGTH', `has ${this.#bytes.length} bytes; at least ${lengthBytes} are due`)
    }
    return this
  }

  u8(at: number): number {
    return this.#within(at, 1).getUint8(at)
  }

  u16(at: number): number {
    return this.#within(at, 2).getUint16(at)
  }

  u32(at: number): number {
    return this.#within(at, 4).getUint32(at)
  }

  /** A u64 that is at most 2^53 − 1. @throws E_FORMAT_FIELD */
  u64(at: number, field: string): number {
    const value = this.#within(at, 8).getBigUint64(at)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.fault('E_FORMAT_FIELD', `has a ${field} above 2^53 − 1`)
    return Number(value)
  }

  /** 16 bytes as 32 hexadecimal digits. */
  id(at: number): Id {
    return toHex(this.copy(at, 16))
  }

  /** The bytes at `at`, in memory of their own. */
  copy(at: number, lengthBytes: number): Uint8Array<ArrayBuffer> {
    this.#within(at, lengthBytes)
    return new Uint8Array(this.#bytes.subarray(at, at + lengthBytes))
  }

  /** @throws E_FORMAT_FIELD when one of the bytes is not zero. */
  zero(at: number, lengthBytes: number): void {
    this.#within(at, lengthBytes)
    if (this.#bytes.subarray(at, at + lengthBytes).some((byte) => byte !== 0)) {
      throw this.fault('E_FORMAT_FIELD', `must be zero from byte ${at} to ${at + lengthBytes - 1}`)
    }
  }

  /** @throws E_FORMAT_FIELD unless `ok`. */
  require(ok: boolean, rule: string): void {
    if (!ok) throw this.fault('E_FORMAT_FIELD', rule)
  }

  fault(code: ErrorCode, message: string): MosaikError {
    return new MosaikError(code, `${this.#what} ${message}`)
  }

  #within(at: number, lengthBytes: number): DataView {
    if (at + lengthBytes > this.#bytes.length) {
      throw this.fault('E_FORMAT_LENGTH', `ends at byte ${this.#bytes.length}, inside a field at byte ${at}`)
    }
    return this.#view
  }
}

/** Writes the fixed fields of a header by their offsets; everything not written is zero. Numbers are big-endian. */
export class HeaderWriter {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly #view: DataView

  /** A header of `lengthBytes` that starts with `magic` and version 1. */
  constructor(magic: string, lengthBytes: number) {
    this.bytes = new Uint8Array(lengthBytes)
    this.#view = new DataView(this.bytes.buffer)
    for (let i = 0; i < MAGIC_BYTES; i++) this.bytes[i] = magic.charCodeAt(i)
    this.u16(MAGIC_BYTES, FORMAT_VERSION)
  }

  u8(at: number, value: number): this {
    this.#view.setUint8(at, whole(value, 0xff))
    return this
  }

  u16(at: number, value: number): this {
    this.#view.setUint16(at, whole(value, 0xffff))
    return this
  }

  u32(at: number, value: number): this {
    this.#view.setUint32(at, whole(value, 0xffffffff))
    return this
  }

  u64(at: number, value: number): this {
    this.#view.setBigUint64(at, BigInt(whole(value, Number.MAX_SAFE_INTEGER)))
    return this
  }

  id(at: number, id: Id): this {
    return this.copy(at, fromHex(id), 16)
  }

  /** @throws E_FORMAT_FIELD unless `bytes` has exactly `lengthBytes`. */
  copy(at: number, bytes: Uint8Array, lengthBytes: number): this {
    if (bytes.length !== lengthBytes) {
      throw new MosaikError('E_FORMAT_FIELD', `a field of ${lengthBytes} bytes was given ${bytes.length}`)
    }
    this.bytes.set(bytes, at)
    return this
  }
}

function whole(value: number, max: number): number {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new MosaikError('E_FORMAT_FIELD', `${value} is not an integer from 0 to ${max}`)
  }
  return value
}

/** Joins byte strings (‖ of docs/FORMAT.md §1). */
export function concatenate(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** True when both hold the same bytes. Not for secrets: its time tells where they differ. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
