import { decode, encode, rfc8949EncodeOptions, Tokenizer, Type, type DecodeOptions, type Token } from 'cborg'
import { MosaikError } from '../domain/errors.ts'

/**
 * Deterministic CBOR as docs/FORMAT.md §1 has it: RFC 8949 §4.2.1, integers 0 … 2^53 − 1, text that is valid UTF-8, byte
 * strings, arrays, maps with text keys, null; at most 16 levels deep. Everything else is E_FORMAT_CBOR.
 */
export type CborValue = null | number | string | Uint8Array | readonly CborValue[] | CborMap
export interface CborMap {
  readonly [key: string]: CborValue
}

/** What the decoder hands out: maps as Map, so that a key such as "__proto__" is a key like any other. */
export type DecodedCbor = null | number | string | Uint8Array | readonly DecodedCbor[] | DecodedMap
export type DecodedMap = ReadonlyMap<string, DecodedCbor>

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const decodeOptions: DecodeOptions = {
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  strict: true,
  useMaps: true,
  rejectDuplicateMapKeys: true,
  retainStringBytes: true,
}

/** Lets through only the kinds of items of §1, and decodes text without replacing or dropping anything. */
class StrictTokenizer extends Tokenizer {
  override next(): Token {
    const token = super.next()
    if (Type.equals(token.type, Type.string)) {
      if (token.byteValue !== undefined) token.value = utf8.decode(token.byteValue)
    } else if (!allowedTypes.some((type) => Type.equals(type, token.type))) {
      throw new Error(`items of type ${token.type.name} are not used`)
    }
    return token
  }
}
const allowedTypes = [Type.uint, Type.bytes, Type.array, Type.map, Type.null]

/**
 * Encodes deterministically.
 *
 * @throws E_FORMAT_CBOR for what a reader would refuse: numbers that are not integers from 0 to 2^53 − 1, text with lone
 * surrogates (see `wellFormed`), `undefined`.
 */
export function encodeCbor(value: CborValue): Uint8Array<ArrayBuffer> {
  checkEncodable(value, 0)
  return new Uint8Array(encode(value, rfc8949EncodeOptions))
}

/**
 * The value with each lone surrogate in its texts as U+FFFD. Titles and names come from outside: one that was cut inside a
 * character must not keep a recording from being stored.
 */
export function wellFormed(value: CborValue): CborValue {
  if (typeof value === 'string') return value.toWellFormed()
  if (value === null || typeof value === 'number' || value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map(wellFormed)
  return Object.fromEntries(Object.entries(value as CborMap).map(([key, item]) => [key, wellFormed(item)]))
}

const MAX_DEPTH = 16

function checkEncodable(value: unknown, depth: number): void {
  if (depth > MAX_DEPTH) throw fault('nested too deeply')
  if (value === null || value instanceof Uint8Array) return
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0 || Object.is(value, -0)) throw fault(`${value} is not 0 … 2^53 − 1`)
  } else if (typeof value === 'string') {
    if (!value.isWellFormed()) throw fault('text has a lone surrogate')
  } else if (Array.isArray(value)) {
    for (const item of value) checkEncodable(item, depth + 1)
  } else if (value instanceof Map) {
    for (const [key, item] of value) {
      if (typeof key !== 'string') throw fault('a map key is not text')
      checkEncodable(key, depth + 1)
      checkEncodable(item, depth + 1)
    }
  } else if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    for (const [key, item] of Object.entries(value)) {
      checkEncodable(key, depth + 1)
      checkEncodable(item, depth + 1)
    }
  } else {
    throw fault(`a value of type ${typeof value} cannot be encoded`)
  }
}

/**
 * Decodes and refuses everything that `encodeCbor` would not have written: the value is encoded again and compared.
 *
 * @throws E_FORMAT_CBOR
 */
export function decodeCbor(bytes: Uint8Array): DecodedCbor {
  let value: DecodedCbor
  let again: Uint8Array
  try {
    value = decode(bytes, { ...decodeOptions, tokenizer: new StrictTokenizer(bytes, decodeOptions) }) as DecodedCbor
    checkEncodable(value, 0)
    again = encode(value, rfc8949EncodeOptions)
  } catch (cause) {
    throw new MosaikError('E_FORMAT_CBOR', 'not the CBOR of docs/FORMAT.md §1', {}, cause)
  }
  if (again.length !== bytes.length || !again.every((byte, i) => byte === bytes[i])) {
    throw fault('the encoding is not the deterministic one')
  }
  return value
}

function fault(message: string): MosaikError {
  return new MosaikError('E_FORMAT_CBOR', `CBOR: ${message}`)
}
