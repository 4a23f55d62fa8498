import { MosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import type { DecodedCbor, DecodedMap } from './cbor.ts'

/**
 * Readers of CBOR fields. A key that is missing or not listed, a value of another type and a byte string of another length
 * are E_FORMAT_CBOR; a number outside its range, a text outside a closed list and a value that contradicts another are
 * E_FORMAT_FIELD (docs/FORMAT.md §14).
 */
export type Read<T> = (value: DecodedCbor | undefined, what: string) => T

/** The values of a map that has exactly the keys of `readers`, each read by its reader. @throws E_FORMAT_CBOR */
export function readMap<T extends object>(
  value: DecodedCbor | undefined,
  what: string,
  readers: { readonly [K in keyof T]: Read<T[K]> },
): T {
  if (!(value instanceof Map)) throw typeFault(what, 'a map')
  const map = value as DecodedMap
  const keys = Object.keys(readers)
  const unlisted = [...map.keys()].find((key) => !Object.hasOwn(readers, key))
  if (unlisted !== undefined) throw new MosaikError('E_FORMAT_CBOR', `${what} has a key that is not listed`)
  const result: Partial<T> = {}
  for (const key of keys) {
    if (!map.has(key)) throw new MosaikError('E_FORMAT_CBOR', `${what} lacks the key ${key}`)
    result[key as keyof T] = readers[key as keyof T](map.get(key), `${what}.${key}`)
  }
  return result as T
}

export const readText: Read<string> = (value, what) => {
  if (typeof value !== 'string') throw typeFault(what, 'text')
  return value
}

export const readInteger: Read<number> = (value, what) => {
  if (typeof value !== 'number') throw typeFault(what, 'an integer')
  return value
}

/** A byte string of any length, in memory of its own. */
export const readBytes: Read<Uint8Array<ArrayBuffer>> = (value, what) => {
  if (!(value instanceof Uint8Array)) throw typeFault(what, 'a byte string')
  return new Uint8Array(value)
}

/** A byte string of exactly `lengthBytes`. */
export function readBytesOf(lengthBytes: number): Read<Uint8Array<ArrayBuffer>> {
  return (value, what) => {
    const bytes = readBytes(value, what)
    if (bytes.length !== lengthBytes) throw typeFault(what, `a byte string of ${lengthBytes} bytes`)
    return bytes
  }
}

/** A byte string of 16 bytes as 32 hexadecimal digits. */
export const readId: Read<Id> = (value, what) => toHex(readBytesOf(16)(value, what))

export function readArray<T>(readItem: Read<T>): Read<T[]> {
  return (value, what) => {
    if (!Array.isArray(value)) throw typeFault(what, 'an array')
    return value.map((item: DecodedCbor, i) => readItem(item, `${what}[${i}]`))
  }
}

/** `X / null`: the key is present, its value may be null. */
export function readNullable<T>(readValue: Read<T>): Read<T | null> {
  return (value, what) => (value === null ? null : readValue(value, what))
}

/** One text of a closed list; another text is E_FORMAT_FIELD. */
export function readOneOf<T extends string>(...allowed: readonly T[]): Read<T> {
  return (value, what) => {
    const text = readText(value, what)
    const found = allowed.find((one) => one === text)
    requireField(found !== undefined, `${what} must be one of ${allowed.join(', ')}`)
    return found
  }
}

/** @throws E_FORMAT_FIELD unless `ok`. */
export function requireField(ok: boolean, rule: string): asserts ok {
  if (!ok) throw new MosaikError('E_FORMAT_FIELD', rule)
}

function typeFault(what: string, expected: string): MosaikError {
  return new MosaikError('E_FORMAT_CBOR', `${what} must be ${expected}`)
}
