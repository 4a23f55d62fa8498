// A second, independent reader of the Mosaik format, written from docs/FORMAT.md alone. It shares no code with the vault:
// its CBOR, GF(2^8), FLOE and HPKE are its own, only the primitives come from the noble packages. Section numbers (§) are
// those of docs/FORMAT.md. See README.md next to this file for how to run it.

import * as fs from 'node:fs'
import * as path from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { gcm } from '@noble/ciphers/aes.js'
import { ed25519 } from '@noble/curves/ed25519.js'
import { expand, extract, hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256, sha384 } from '@noble/hashes/sha2.js'
import { ml_kem1024_p384, ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js'
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js'

// ---------------------------------------------------------------------------------------------------------- errors, §14

type ErrorCode =
  | 'E_FORMAT_MAGIC'
  | 'E_FORMAT_VERSION'
  | 'E_SUITE_UNKNOWN'
  | 'E_FORMAT_LENGTH'
  | 'E_FORMAT_FIELD'
  | 'E_SCHEME_INVALID'
  | 'E_FORMAT_CBOR'
  | 'E_SIGNATURE'
  | 'E_CARD_UNTRUSTED'
  | 'E_SHARES_TOO_FEW'
  | 'E_SHARES_MIXED'
  | 'E_HPKE_OPEN'
  | 'E_HEADER_TAG'
  | 'E_BLOCK_TAG'
  | 'E_SEGMENT_TAG'
  | 'E_RECOVERY_KEY'

export class ReaderError extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string) {
    super(message)
    this.name = 'ReaderError'
    this.code = code
  }
}

function refuse(code: ErrorCode, message: string): never {
  throw new ReaderError(code, message)
}

// ------------------------------------------------------------------------------------------------------------ bytes, §1

const SEGMENT = 262_144
const SEGMENTS_PER_EXTENT = 8192
const FLOE_HEADER = 74
const SIGNATURE_PAIR = 64 + 3309
const MAX_DOCUMENT = 67_108_864
const MAX_CARD = 65_536

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0))
}

function concat(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('')
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const u8At = (b: Uint8Array, at: number): number => view(b).getUint8(at)
const u16At = (b: Uint8Array, at: number): number => view(b).getUint16(at)
const u32At = (b: Uint8Array, at: number): number => view(b).getUint32(at)

/** A u64 that must fit a safe integer, as every integer of §1 does. */
function u64At(b: Uint8Array, at: number, name: string): number {
  const value = view(b).getBigUint64(at)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) refuse('E_FORMAT_FIELD', `${name} is beyond 2^53 - 1`)
  return Number(value)
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  view(bytes).setBigUint64(0, BigInt(value))
  return bytes
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((b) => b === 0)
}

/** The first checks of every object: magic, then version. Too short for the magic counts as another kind of object. */
function checkMagic(bytes: Uint8Array, magic: string): void {
  if (!equal(bytes.subarray(0, 8), ascii(magic))) refuse('E_FORMAT_MAGIC', `does not start with ${magic}`)
  if (bytes.length < 10) refuse('E_FORMAT_LENGTH', 'ends before its version')
  if (u16At(bytes, 8) !== 1) refuse('E_FORMAT_VERSION', `version ${u16At(bytes, 8)}`)
}

function checkLength(actual: number, expected: number): void {
  if (actual !== expected) refuse('E_FORMAT_LENGTH', `${actual} bytes instead of ${expected}`)
}

const hkdf256 = (ikm: Uint8Array, info: Uint8Array, n: number): Uint8Array => hkdf(sha256, ikm, undefined, info, n)

// ------------------------------------------------------------------------------------------------------------- CBOR, §1

type Cbor = number | string | Uint8Array | null | Cbor[] | Map<string, Cbor>

/** Decodes exactly one deterministic item; anything else that RFC 8949 would allow is refused. */
export function decodeCbor(bytes: Uint8Array): Cbor {
  let at = 0
  const bad = (why: string): never => refuse('E_FORMAT_CBOR', `${why} at byte ${at}`)

  function take(n: number): Uint8Array {
    if (n > bytes.length - at) bad('ends early')
    at += n
    return bytes.subarray(at - n, at)
  }

  function argument(info: number): number {
    if (info < 24) return info
    if (info > 27) bad('indefinite length or reserved value')
    const size = 1 << (info - 24)
    let value = 0
    for (const byte of take(size)) value = value * 256 + byte
    const shortest = size === 1 ? 24 : 2 ** (size * 4)
    if (value < shortest) bad('integer not in its shortest form')
    if (value > Number.MAX_SAFE_INTEGER) bad('integer beyond 2^53 - 1')
    return value
  }

  function item(depth: number): Cbor {
    if (depth > 16) bad('nested too deeply')
    const first = u8At(take(1), 0)
    const info = first & 31
    switch (first >> 5) {
      case 0:
        return argument(info)
      case 2:
        return take(argument(info)).slice()
      case 3:
        return text(take(argument(info)))
      case 4: {
        const count = argument(info)
        if (count > bytes.length - at) bad('array longer than the input')
        return Array.from({ length: count }, () => item(depth + 1))
      }
      case 5: {
        const map = new Map<string, Cbor>()
        let before: Uint8Array | undefined
        for (let left = argument(info); left > 0; left--) {
          const start = at
          const key = item(depth + 1)
          if (typeof key !== 'string') return bad('map key that is not text')
          const encoded = bytes.subarray(start, at)
          if (before !== undefined && compareBytes(before, encoded) >= 0) bad('map keys unsorted or double')
          before = encoded
          map.set(key, item(depth + 1))
        }
        return map
      }
      default:
        return first === 0xf6 ? null : bad('kind of item that is not in use')
    }
  }

  function text(raw: Uint8Array): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)
    } catch {
      return bad('text is not UTF-8')
    }
  }

  const value = item(0)
  if (at !== bytes.length) bad('bytes after the item')
  return value
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

// Types of CBOR values. A wrong kind of value, a byte string of a wrong length, a missing or an unlisted key is E_FORMAT_CBOR.
type Type<T> = (value: Cbor) => T

const integer: Type<number> = (v) => (typeof v === 'number' ? v : refuse('E_FORMAT_CBOR', 'not an integer'))
const text: Type<string> = (v) => (typeof v === 'string' ? v : refuse('E_FORMAT_CBOR', 'not text'))
const blob: Type<Uint8Array> = (v) => (v instanceof Uint8Array ? v : refuse('E_FORMAT_CBOR', 'not a byte string'))
const bytesOf =
  (n: number): Type<Uint8Array> =>
  (v) =>
    blob(v).length === n ? blob(v) : refuse('E_FORMAT_CBOR', `not a byte string of ${n}`)
const orNull =
  <T>(type: Type<T>): Type<T | null> =>
  (v) =>
    v === null ? null : type(v)
const listOf =
  <T>(type: Type<T>): Type<T[]> =>
  (v) =>
    Array.isArray(v) ? v.map((each) => type(each)) : refuse('E_FORMAT_CBOR', 'not an array')

function mapOf<T extends object>(shape: { [K in keyof T]: Type<T[K]> }): Type<T> {
  const keys = Object.keys(shape) as (keyof T & string)[]
  return (v) => {
    if (!(v instanceof Map)) return refuse('E_FORMAT_CBOR', 'not a map')
    for (const key of v.keys()) if (!(keys as string[]).includes(key)) refuse('E_FORMAT_CBOR', `unlisted key ${key}`)
    const result: Partial<T> = {}
    for (const key of keys) {
      const value = v.get(key)
      if (value === undefined) return refuse('E_FORMAT_CBOR', `key ${key} is missing`)
      result[key] = shape[key](value)
    }
    return result as T
  }
}

function field(good: boolean, why: string): void {
  if (!good) refuse('E_FORMAT_FIELD', why)
}

function allDifferent(ids: readonly Uint8Array[]): boolean {
  return new Set(ids.map(hex)).size === ids.length
}

// -------------------------------------------------------------------------------------------------------- dispersal, §2

const EXP = new Uint8Array(510)
const LOG = new Uint8Array(256)
for (let i = 0, x = 1; i < 255; i++) {
  EXP[i] = EXP[i + 255] = x
  LOG[x] = i
  const doubled = x << 1
  x ^= doubled & 0x100 ? doubled ^ 0x11b : doubled // times 3, a generator
}

function gfMultiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : (EXP[(LOG[a] ?? 0) + (LOG[b] ?? 0)] ?? 0)
}

function gfInverse(a: number): number {
  if (a === 0) throw new RangeError('zero has no inverse')
  return EXP[255 - (LOG[a] ?? 0)] ?? 0
}

const gfDivide = (a: number, b: number): number => gfMultiply(a, gfInverse(b))

interface Scheme {
  k: number
  n: number
  t: number
}

interface Share {
  index: number
  bytes: Uint8Array
}

function checkScheme({ k, n, t }: Scheme, index?: number): void {
  if (!(k >= 2 && k <= 16 && n >= k && n <= 32 && t >= 0 && t < k)) refuse('E_SCHEME_INVALID', `k ${k}, n ${n}, t ${t}`)
  if (index !== undefined && index >= n) refuse('E_SCHEME_INVALID', `index ${index} of ${n}`)
}

/** Row `index` of the n x k matrix: what share `index` takes of each input row. */
function matrixRow(index: number, k: number, t: number): Uint8Array {
  const s = t > 0 ? t : k
  const row = new Uint8Array(k)
  if (index < s) {
    row[index] = 1
    return row
  }
  const c = (i: number, j: number): number => gfInverse((255 - i) ^ j)
  return row.map((_, j) => gfMultiply(gfDivide(c(index, j), c(s, j)), gfDivide(c(s, 0), c(index, 0))))
}

function invert(matrix: Uint8Array[]): Uint8Array[] {
  const k = matrix.length
  const rows = matrix.map((row, i) =>
    concat(
      row,
      Uint8Array.from({ length: k }, (_, j) => (i === j ? 1 : 0)),
    ),
  )
  for (let column = 0; column < k; column++) {
    const pivot = rows.findIndex((row, i) => i >= column && row[column] !== 0)
    const row = rows[pivot]
    if (row === undefined) return refuse('E_SHARES_MIXED', 'shares are not independent')
    rows[pivot] = rows[column] ?? row
    const scale = gfInverse(row[column] ?? 0)
    const unit = row.map((x) => gfMultiply(x, scale))
    rows[column] = unit
    rows.forEach((other, i) => {
      const factor = other[column] ?? 0
      if (i !== column && factor !== 0) addScaled(other, unit, factor)
    })
  }
  return rows.map((row) => row.slice(k))
}

function addScaled(into: Uint8Array, from: Uint8Array, factor: number): void {
  const products = Uint8Array.from({ length: 256 }, (_, x) => gfMultiply(x, factor))
  for (let i = 0; i < into.length; i++) into[i] = (into[i] ?? 0) ^ (products[from[i] ?? 0] ?? 0)
}

function weighted(weights: Uint8Array, rows: readonly Uint8Array[]): Uint8Array {
  const sum = new Uint8Array(rows[0]?.length ?? 0)
  rows.forEach((row, j) => {
    const weight = weights[j] ?? 0
    if (weight !== 0) addScaled(sum, row, weight)
  })
  return sum
}

/** The k input rows (random rows first) from exactly k shares. */
function inputRows(shares: readonly Share[], k: number, t: number): Uint8Array[] {
  const inverse = invert(shares.map((share) => matrixRow(share.index, k, t)))
  const blocks = shares.map((share) => share.bytes)
  return inverse.map((weights) => weighted(weights, blocks))
}

/** §2: the data of `length` bytes from k or more shares of one sharing. */
export function combineFragments(shares: readonly Share[], scheme: Scheme, length: number): Uint8Array {
  for (const share of shares) checkScheme(scheme, share.index)
  const { k, t } = scheme
  const size = shares[0]?.bytes.length ?? 0
  if (new Set(shares.map((share) => share.index)).size !== shares.length) refuse('E_SHARES_MIXED', 'one index twice')
  if (shares.some((share) => share.bytes.length !== size)) refuse('E_SHARES_MIXED', 'shares of different lengths')
  if (shares.length < k) refuse('E_SHARES_TOO_FEW', `${shares.length} shares, ${k} needed`)
  if (length > size * (k - t)) refuse('E_FORMAT_LENGTH', 'shares too short for the data')
  return concat(...inputRows(shares.slice(0, k), k, t).slice(t)).subarray(0, length)
}

// ------------------------------------------------------------------------------------------------------------- FLOE, §3

/**
 * HKDF-Expand-SHA-384 of at most one hash, as FLOE needs it. RFC 5869 asks for a key of at least 48 bytes, and libraries
 * refuse less; FLOE expands the 32 bytes of an AES key directly.
 */
function expandOnce(key: Uint8Array, info: Uint8Array, n: number): Uint8Array {
  return hmac(sha384, key, concat(info, Uint8Array.of(1))).slice(0, n)
}

interface FloeKeys {
  iv: Uint8Array
  aad: Uint8Array
  messageKey: Uint8Array
  /** The first of the segments that share `epochKey`. */
  epoch: number
  epochKey: Uint8Array
}

/** `00 00 ‖ u32 262144 ‖ u32 32` */
const FLOE_PARAMETERS = Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0, 32)
const SEGMENTS_PER_KEY = 2 ** 20

function checkFloeParameters(header: Uint8Array): void {
  field(equal(header.subarray(0, 10), FLOE_PARAMETERS), 'FLOE parameters are not those of §3')
}

/** Checks a FLOE header against the key and derives the message key. */
export function floeKeys(key: Uint8Array, header: Uint8Array, aad: Uint8Array): FloeKeys {
  checkLength(header.length, FLOE_HEADER)
  checkFloeParameters(header)
  const iv = header.slice(10, 42)
  const derive = (purpose: string, n: number): Uint8Array =>
    expandOnce(key, concat(FLOE_PARAMETERS, iv, ascii(purpose), aad), n)
  if (!equal(derive('HEADER_TAG:', 32), header.subarray(42))) refuse('E_HEADER_TAG', 'the FLOE header tag is wrong')
  const messageKey = derive('MESSAGE_KEY:', 48)
  return { iv, aad, messageKey, epoch: -1, epochKey: new Uint8Array() }
}

/** Opens segment `index`; `last` comes from the lengths in the manifest, never from the segment. */
export function openSegment(keys: FloeKeys, index: number, last: boolean, segment: Uint8Array): Uint8Array {
  const bad = (why: string): never => refuse('E_SEGMENT_TAG', `segment ${index}: ${why}`)
  if (segment.length > SEGMENT || segment.length < (last ? 32 : SEGMENT)) bad('has a wrong length')
  if (u32At(segment, 0) !== (last ? segment.length : 0xffffffff)) bad('does not say what it is')
  const epoch = index - (index % SEGMENTS_PER_KEY)
  if (keys.epoch !== epoch) {
    const info = concat(FLOE_PARAMETERS, keys.iv, ascii('DEK:'), u64(epoch), keys.aad)
    keys.epochKey = expandOnce(keys.messageKey, info, 32)
    keys.epoch = epoch
  }
  const aad = concat(u64(index), Uint8Array.of(last ? 1 : 0))
  try {
    return gcm(keys.epochKey, segment.subarray(4, 16), aad).decrypt(segment.subarray(16))
  } catch {
    return bad('does not open')
  }
}

/** N of §3. */
export function segmentCount(sealedBytes: number): number {
  return Math.max(1, Math.ceil(sealedBytes / SEGMENT))
}

function segmentLengthAt(index: number, sealedBytes: number): number {
  const last = segmentCount(sealedBytes) - 1
  return index < last ? SEGMENT : sealedBytes - SEGMENT * last
}

/** Opens all segments of a document in memory. */
function openSegments(keys: FloeKeys, bytes: Uint8Array): Uint8Array {
  const count = segmentCount(bytes.length)
  const parts = Array.from({ length: count }, (_, i) =>
    openSegment(keys, i, i === count - 1, bytes.subarray(i * SEGMENT, (i + 1) * SEGMENT)),
  )
  return concat(...parts)
}

// ----------------------------------------------------------------------------------------------------- asset header, §3

interface AssetHeader {
  organisation: Uint8Array
  recording: Uint8Array
  asset: Uint8Array
  attempt: Uint8Array
}

export function decodeAssetHeader(b: Uint8Array): AssetHeader {
  checkMagic(b, 'MOSAIKAH')
  checkLength(b.length, 84)
  checkFloeParameters(b.subarray(74))
  const [organisation, recording, asset, attempt] = [b.slice(10, 26), b.slice(26, 42), b.slice(42, 58), b.slice(58, 74)]
  return { organisation, recording, asset, attempt }
}

// --------------------------------------------------------------------------------------------------------- fragment, §4

export interface FragmentHeader extends Scheme {
  attempt: Uint8Array
  sharing: Uint8Array
  extent: number
  index: number
}

export function decodeFragmentHeader(b: Uint8Array): FragmentHeader {
  checkMagic(b, 'MOSAIKFR')
  if (b.length < 12) refuse('E_FORMAT_LENGTH', 'ends before its suite')
  if (u16At(b, 10) !== 1) refuse('E_SUITE_UNKNOWN', `suite ${u16At(b, 10)}`)
  checkLength(b.length, 256)
  field(u16At(b, 52) === 0x011b, 'another field than 0x011b')
  field(u32At(b, 54) === SEGMENT, 'another segment length')
  field(isZero(b.subarray(58)), 'not zero after byte 58')
  const header = {
    attempt: b.slice(12, 28),
    sharing: b.slice(28, 44),
    extent: u32At(b, 44),
    index: u8At(b, 48),
    k: u8At(b, 49),
    n: u8At(b, 50),
    t: u8At(b, 51),
  }
  checkScheme(header, header.index)
  return header
}

/** Length of the block of segment `index` and its offset in its fragment. */
export function blockPlace(index: number, sealedBytes: number, { k, t }: Scheme): { offset: number; length: number } {
  const data = k - t
  const inner = 128 * Math.ceil(SEGMENT / (128 * data))
  const last = index === segmentCount(sealedBytes) - 1
  const length = last ? 16 * Math.ceil(segmentLengthAt(index, sealedBytes) / (16 * data)) : inner
  return { offset: 256 + (index % SEGMENTS_PER_EXTENT) * (inner + 16), length }
}

/** First segment of an extent and the one after its last. */
export function extentRange(extent: number, sealedBytes: number): { from: number; to: number } {
  const from = extent * SEGMENTS_PER_EXTENT
  return { from, to: Math.min(from + SEGMENTS_PER_EXTENT, segmentCount(sealedBytes)) }
}

export function fragmentSize(header: FragmentHeader, sealedBytes: number): number {
  const { to } = extentRange(header.extent, sealedBytes)
  const place = blockPlace(to - 1, sealedBytes, header)
  return place.offset + place.length + 16
}

export function fragmentKey(verifyKey: Uint8Array, header: Uint8Array): Uint8Array {
  return hkdf256(verifyKey, concat(ascii('mosaik/v1/fragment'), sha256(header)), 32)
}

export function blockTag(key: Uint8Array, segment: number, block: Uint8Array): Uint8Array {
  return gcm(key, concat(new Uint8Array(4), u64(segment)), block).encrypt(new Uint8Array())
}

// ------------------------------------------------------------------------------------------------------------- HPKE, §5

interface Suite {
  kemId: number
  kem: typeof ml_kem768_x25519
  publicKey: number
  enc: number
}

const SUITES: ReadonlyMap<number, Suite> = new Map([
  [1, { kemId: 0x647a, kem: ml_kem768_x25519, publicKey: 1216, enc: 1120 }],
  [2, { kemId: 0x0051, kem: ml_kem1024_p384, publicKey: 1665, enc: 1665 }],
])
const WRAPPED = 48

function suiteOf(id: number): Suite {
  return SUITES.get(id) ?? refuse('E_SUITE_UNKNOWN', `suite ${id}`)
}

/** RFC 9180 §5.1, base mode, KDF HKDF-SHA256. */
export function hpkeKeySchedule(
  sharedSecret: Uint8Array,
  info: Uint8Array,
  kemId: number,
): { key: Uint8Array; baseNonce: Uint8Array } {
  const none = new Uint8Array()
  const suiteId = concat(ascii('HPKE'), Uint8Array.of(kemId >> 8, kemId & 255, 0, 1, 0, 2))
  const labelled = (label: string, value: Uint8Array): Uint8Array =>
    concat(ascii('HPKE-v1'), suiteId, ascii(label), value)
  const labeledExtract = (salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array =>
    extract(sha256, labelled(label, ikm), salt)
  const context = concat(
    Uint8Array.of(0),
    labeledExtract(none, 'psk_id_hash', none),
    labeledExtract(none, 'info_hash', info),
  )
  const secret = labeledExtract(sharedSecret, 'secret', none)
  const labeledExpand = (label: string, n: number): Uint8Array =>
    expand(sha256, secret, concat(Uint8Array.of(n >> 8, n & 255), labelled(label, context)), n)
  return { key: labeledExpand('key', 32), baseNonce: labeledExpand('base_nonce', 12) }
}

function hpkeOpen(
  suite: number,
  kemSeed: Uint8Array,
  enc: Uint8Array,
  ct: Uint8Array,
  info: Uint8Array,
  aad: Uint8Array,
): Uint8Array {
  const { kem, kemId } = suiteOf(suite)
  try {
    const { key, baseNonce } = hpkeKeySchedule(kem.decapsulate(enc, kem.keygen(kemSeed).secretKey), info, kemId)
    return gcm(key, baseNonce, aad).decrypt(ct)
  } catch {
    return refuse('E_HPKE_OPEN', 'the wrapped key does not open')
  }
}

function keyId(suite: number, publicKey: Uint8Array): Uint8Array {
  return sha256(concat(ascii('mosaik/v1/key-id'), Uint8Array.of(suite), publicKey)).slice(0, 16)
}

// -------------------------------------------------------------------------------------------------- sealed documents, §6

export interface DocumentHeader {
  kind: number
  suite: number
  organisation: Uint8Array
  subject: Uint8Array
  generation: number
  recipients: Uint8Array[]
}

/** Fields that document header and document share have in common, at the same offsets. */
function documentIdentity(b: Uint8Array): Omit<DocumentHeader, 'recipients'> {
  const kind = u8At(b, 10)
  const subject = b.slice(28, 44)
  const generation = u64At(b, 44, 'generation')
  field(kind === 1 || kind === 2, `document kind ${kind}`)
  field(kind === 1 || isZero(subject), 'a state with a subject')
  field(generation >= 1, 'generation 0')
  return { kind, suite: u8At(b, 11), organisation: b.slice(12, 28), subject, generation }
}

function checkDocumentSuite(b: Uint8Array): Suite {
  if (b.length < 12) refuse('E_FORMAT_LENGTH', 'ends before its suite')
  return suiteOf(u8At(b, 11))
}

/** The checks that header and sealed document begin with. */
function startOfDocument(b: Uint8Array): { suite: Suite; recipients: number } {
  checkMagic(b, 'MOSAIKDH')
  const suite = checkDocumentSuite(b)
  if (b.length < 53) refuse('E_FORMAT_LENGTH', 'ends before its recipients')
  return { suite, recipients: u8At(b, 52) }
}

export function decodeDocumentHeader(b: Uint8Array): DocumentHeader {
  const { recipients: count } = startOfDocument(b)
  checkLength(b.length, 53 + 16 * count)
  const identity = documentIdentity(b)
  field(count >= 2 && count <= 16, `${count} recipients`)
  const recipients = Array.from({ length: count }, (_, i) => b.slice(53 + 16 * i, 69 + 16 * i))
  field(allDifferent(recipients), 'a recipient twice')
  return { ...identity, recipients }
}

interface SealedDocument {
  header: DocumentHeader
  headerBytes: Uint8Array
  wrapped: { enc: Uint8Array; ct: Uint8Array }[]
  floeHeader: Uint8Array
  segments: Uint8Array
}

export function decodeSealedDocument(b: Uint8Array): SealedDocument {
  const { suite, recipients } = startOfDocument(b)
  const entry = suite.enc + WRAPPED
  const headerLength = 53 + 16 * recipients
  const floeAt = headerLength + entry * recipients
  const sealed = b.length - floeAt - FLOE_HEADER
  if (sealed < 32 || segmentLengthAt(segmentCount(sealed) - 1, sealed) < 32) refuse('E_FORMAT_LENGTH', 'cut off')
  if (b.length > MAX_DOCUMENT) refuse('E_FORMAT_LENGTH', 'longer than a sealed document may be')
  const headerBytes = b.slice(0, headerLength)
  const header = decodeDocumentHeader(headerBytes)
  checkFloeParameters(b.subarray(floeAt))
  const wrapped = header.recipients.map((_, i) => {
    const at = headerLength + i * entry
    return { enc: b.subarray(at, at + entry - WRAPPED), ct: b.subarray(at + entry - WRAPPED, at + entry) }
  })
  const floeHeader = b.slice(floeAt, floeAt + FLOE_HEADER)
  return { header, headerBytes, wrapped, floeHeader, segments: b.subarray(floeAt + FLOE_HEADER) }
}

export type DocumentKey = { recoverySeed: Uint8Array } | { kemSeed: Uint8Array }

/** Opens a sealed document for the recovery key (or any KEM seed) and returns the CBOR bytes. */
export function openSealedDocument(
  sealed: Uint8Array,
  key: DocumentKey,
): { header: DocumentHeader; plaintext: Uint8Array } {
  const { header, headerBytes, wrapped, floeHeader, segments } = decodeSealedDocument(sealed)
  const seed = 'kemSeed' in key ? key.kemSeed : recoveryKemSeed(key.recoverySeed, header.suite)
  const own = keyId(header.suite, suiteOf(header.suite).kem.keygen(seed).publicKey)
  const entry = wrapped[header.recipients.findIndex((id) => equal(id, own))]
  if (entry === undefined) return refuse('E_HPKE_OPEN', 'not sealed to this key')
  const info = ascii(header.kind === 1 ? 'mosaik/v1/manifest' : 'mosaik/v1/state')
  const documentKey = hpkeOpen(header.suite, seed, entry.enc, entry.ct, info, headerBytes)
  const keys = floeKeys(documentKey, floeHeader, sha256(headerBytes))
  return { header, plaintext: openSegments(keys, segments) }
}

interface DocumentShare extends Omit<DocumentHeader, 'recipients'> {
  sharing: Uint8Array
  index: number
  k: number
  n: number
  length: number
  signer: Uint8Array
}

type ShareWithBytes = DocumentShare & { bytes: Uint8Array }

const SHARE_HEADER = 96

/** The fixed part of a document share, with the length of the whole object. */
function decodeShareHeader(b: Uint8Array, total: number): DocumentShare {
  checkMagic(b, 'MOSAIKDS')
  checkDocumentSuite(b)
  if (b.length < SHARE_HEADER) refuse('E_FORMAT_LENGTH', 'ends within its header')
  const length = u32At(b, 76)
  checkLength(total, SHARE_HEADER + 16 * Math.ceil(length / 16) + SIGNATURE_PAIR)
  const identity = documentIdentity(b)
  field(b[71] === 0 && isZero(b.subarray(74, 76)), 'not zero at byte 71, 74 or 75')
  field(u16At(b, 72) === 0x011b, 'another field than 0x011b')
  field(length <= MAX_DOCUMENT, 'longer than a sealed document may be')
  const [index, k, n] = [u8At(b, 68), u8At(b, 69), u8At(b, 70)]
  checkScheme({ k, n, t: k - 1 }, index)
  return { ...identity, sharing: b.slice(52, 68), index, k, n, length, signer: b.slice(80, 96) }
}

export function decodeDocumentShare(b: Uint8Array): ShareWithBytes {
  const header = decodeShareHeader(b.subarray(0, SHARE_HEADER), b.length)
  return { ...header, bytes: b.subarray(SHARE_HEADER, b.length - SIGNATURE_PAIR) }
}

/** Decodes a share and verifies it: signer known for the organisation, then both signatures. */
export function verifyDocumentShare(b: Uint8Array, signers: readonly TrustedSigner[]): ShareWithBytes {
  const share = decodeDocumentShare(b)
  verifyBySigner(b, 'mosaik/v1/share', share.signer, share.organisation, signers)
  return share
}

/** What shares of one sealed document must agree in. */
function groupKey(s: DocumentShare): string {
  const ids = [s.organisation, s.subject, s.sharing].map(hex)
  return [s.kind, s.suite, ...ids, s.generation, s.k, s.n, s.length].join(' ')
}

/** Combines verified shares into the sealed document. */
export function combineDocumentShares(shares: readonly ShareWithBytes[]): Uint8Array {
  const first = shares[0]
  if (first === undefined) return refuse('E_SHARES_TOO_FEW', 'no shares')
  if (shares.some((share) => groupKey(share) !== groupKey(first)))
    refuse('E_SHARES_MIXED', 'shares of different documents')
  return combineFragments(shares, { k: first.k, n: first.n, t: first.k - 1 }, first.length)
}

/** Combines verified shares and opens what they make, which must be the document that they name. */
export function openDocumentShares(
  shares: readonly ShareWithBytes[],
  key: DocumentKey,
): { header: DocumentHeader; plaintext: Uint8Array; hash: Uint8Array } {
  const sealed = combineDocumentShares(shares)
  const opened = openSealedDocument(sealed, key)
  const share = shares[0] ?? refuse('E_SHARES_TOO_FEW', 'no shares')
  for (const name of ['kind', 'suite', 'generation'] as const)
    field(opened.header[name] === share[name], `${name} of the document is not the share’s`)
  for (const name of ['organisation', 'subject'] as const)
    field(equal(opened.header[name], share[name]), `${name} of the document is not the share’s`)
  return { ...opened, hash: sha256(sealed) }
}

// --------------------------------------------------------------------------------------------------------- manifest, §7

const sealedType = mapOf({
  header: bytesOf(84),
  dek: bytesOf(32),
  floeHeader: bytesOf(FLOE_HEADER),
  sealedBytes: integer,
  verifyKeys: listOf(bytesOf(32)),
})

const playbackType = mapOf({
  codecs: text,
  width: integer,
  height: integer,
  bandwidthBitsPerSecond: integer,
  durationMs: integer,
  initBytes: integer,
  segments: listOf((v) => {
    const triple = listOf(integer)(v)
    return triple.length === 3 ? triple : refuse('E_FORMAT_CBOR', 'a media segment is not three integers')
  }),
})

const manifestType = mapOf({
  organisation: bytesOf(16),
  recording: bytesOf(16),
  generation: integer,
  previous: orNull(bytesOf(32)),
  salt: bytesOf(32),
  title: text,
  source: mapOf({ kind: text, externalId: orNull(text) }),
  host: mapOf({ id: text, name: orNull(text), email: orNull(text) }),
  participants: listOf(mapOf({ name: orNull(text), email: orNull(text) })),
  startedAtMs: orNull(integer),
  depositedAtMs: integer,
  retention: mapOf({ mode: text, retainUntilMs: orNull(integer), deleteByMs: orNull(integer) }),
  assets: listOf(
    mapOf({
      id: bytesOf(16),
      kind: text,
      mediaType: text,
      name: text,
      contentBytes: integer,
      sha256: bytesOf(32),
      inline: orNull(blob),
      sealed: orNull(sealedType),
      playback: orNull(playbackType),
    }),
  ),
})

type Manifest = ReturnType<typeof manifestType>
type Asset = Manifest['assets'][number]
type Sealed = ReturnType<typeof sealedType>

export function decodeManifest(bytes: Uint8Array, header?: DocumentHeader): Manifest {
  const manifest = manifestType(decodeCbor(bytes))
  if (header !== undefined) {
    field(header.kind === 1, 'the document is not a manifest')
    field(equal(manifest.organisation, header.organisation), 'organisation is not the header’s')
    field(equal(manifest.recording, header.subject), 'recording is not the header’s')
    field(manifest.generation === header.generation, 'generation is not the header’s')
  }
  checkGeneration(manifest)
  field(['none', 'governance', 'compliance'].includes(manifest.retention.mode), 'unknown retention mode')
  field(allDifferent(manifest.assets.map((asset) => asset.id)), 'an asset id twice')
  const attempts = manifest.assets.flatMap((asset) => checkAsset(asset, manifest)?.attempt ?? [])
  field(allDifferent(attempts), 'an attempt twice')
  return manifest
}

/** Generations count from 1, and the first has none before it (§6). */
function checkGeneration({ generation, previous }: { generation: number; previous: Uint8Array | null }): void {
  field(generation >= 1, 'generation 0')
  field(generation > 1 || previous === null, 'generation 1 with a previous one')
}

/** Checks what an asset says about itself; gives the header of one that is sealed. */
function checkAsset(asset: Asset, manifest: Manifest): AssetHeader | undefined {
  field(
    ['original', 'rendition', 'poster', 'captions', 'storyboard'].includes(asset.kind),
    `unknown kind of asset ${asset.kind}`,
  )
  field((asset.inline === null) !== (asset.sealed === null), 'not exactly one of inline and sealed')
  field(asset.playback === null || asset.kind === 'rendition', 'playback of an asset that is not a rendition')
  if (asset.inline !== null) {
    field(asset.inline.length <= 65_536, 'inline content too long')
    field(asset.inline.length === asset.contentBytes, 'inline content is not of its length')
    field(equal(sha256(asset.inline), asset.sha256), 'inline content has another SHA-256')
  }
  if (asset.sealed === null) return undefined
  const { floeHeader, sealedBytes, verifyKeys } = asset.sealed
  const header = decodeAssetHeader(asset.sealed.header)
  const same = equal(header.organisation, manifest.organisation) && equal(header.recording, manifest.recording)
  field(same && equal(header.asset, asset.id), 'the asset header is of another asset')
  checkFloeParameters(floeHeader)
  field(verifyKeys.length > 0, 'no verify key')
  const count = segmentCount(sealedBytes)
  field(segmentLengthAt(count - 1, sealedBytes) >= 32, 'impossible sealed length')
  field(asset.contentBytes <= sealedBytes - 32 * count, 'content longer than what is sealed')
  field(sealedBytes - 32 * count <= 2 * asset.contentBytes + SEGMENT - 32, 'more padding than any content needs')
  return header
}

// ---------------------------------------------------------------------------------------- organisation state, §12

const stateType = mapOf({
  organisation: bytesOf(16),
  generation: integer,
  previous: orNull(bytesOf(32)),
  writtenAtMs: integer,
  nodes: listOf(
    mapOf({
      id: bytesOf(16),
      name: text,
      driver: text,
      location: text,
      country: text,
      operator: text,
      parent: text,
      site: text,
      state: text,
    }),
  ),
  exposures: listOf(
    mapOf({ sharing: bytesOf(16), index: integer, node: bytesOf(16), operator: text, parent: text, site: text }),
  ),
  policies: listOf(
    mapOf({
      id: bytesOf(16),
      name: text,
      mode: text,
      retainMs: orNull(integer),
      deleteAfterMs: orNull(integer),
    }),
  ),
  holds: listOf(mapOf({ id: bytesOf(16), recording: bytesOf(16), name: text, placedBy: text, placedAtMs: integer })),
  tombstones: listOf(mapOf({ recording: bytesOf(16), decidedAtMs: integer, reason: text })),
  revokedLinks: listOf(bytesOf(16)),
})

type State = ReturnType<typeof stateType>

export function decodeState(bytes: Uint8Array, header?: DocumentHeader): State {
  const state = stateType(decodeCbor(bytes))
  if (header !== undefined) {
    field(header.kind === 2, 'the document is not a state')
    field(equal(state.organisation, header.organisation), 'organisation is not the header’s')
    field(state.generation === header.generation, 'generation is not the header’s')
  }
  checkGeneration(state)
  for (const { index } of state.exposures) field(index <= 31, `an exposure of index ${index}`)
  return state
}

// ------------------------------------------------------------------------------------- keys, signatures and cards, §8

function recoveryKemSeed(recoverySeed: Uint8Array, suite: number): Uint8Array {
  return hkdf256(recoverySeed, concat(ascii('mosaik/v1/recovery/kem/'), Uint8Array.of(suite)), 32)
}

export function rootSigningSeed(recoverySeed: Uint8Array): Uint8Array {
  return hkdf256(recoverySeed, ascii('mosaik/v1/recovery/root'), 32)
}

interface SigningPair {
  ed25519: Uint8Array
  mldsa65: Uint8Array
}

/** The public pair of a signing seed. */
export function signingPair(seed: Uint8Array): SigningPair {
  return {
    ed25519: ed25519.getPublicKey(hkdf256(seed, ascii('mosaik/v1/sign/ed25519'), 32)),
    mldsa65: ml_dsa65.keygen(hkdf256(seed, ascii('mosaik/v1/sign/mldsa65'), 32)).publicKey,
  }
}

export function signerId(pair: SigningPair): Uint8Array {
  return sha256(concat(ascii('mosaik/v1/signer-id'), pair.ed25519, pair.mldsa65)).slice(0, 16)
}

export interface TrustedSigner extends SigningPair {
  id: Uint8Array
  organisation: Uint8Array
}

/** Verifies the signature pair at the end of `signed` over everything before it. Both signatures must verify. */
function verifyPair(signed: Uint8Array, context: string, pair: SigningPair): void {
  const end = signed.length - SIGNATURE_PAIR
  const message = concat(ascii(context), Uint8Array.of(0), signed.subarray(0, end))
  const [classical, lattice] = [signed.subarray(end, end + 64), signed.subarray(end + 64)]
  let good: boolean
  try {
    good =
      ed25519.verify(classical, message, pair.ed25519, { zip215: false }) &&
      ml_dsa65.verify(lattice, message, pair.mldsa65)
  } catch {
    good = false
  }
  if (!good) refuse('E_SIGNATURE', 'a signature of the pair does not verify')
}

export function verifyBySigner(
  signed: Uint8Array,
  context: string,
  signer: Uint8Array,
  organisation: Uint8Array,
  signers: readonly TrustedSigner[],
): void {
  const pair = signers.find((known) => equal(known.id, signer) && equal(known.organisation, organisation))
  if (pair === undefined) return refuse('E_CARD_UNTRUSTED', `signer ${hex(signer)} is not trusted`)
  verifyPair(signed, context, pair)
}

/** The body of `magic ‖ u16 1 ‖ u32 length ‖ body ‖ signature pair`, for cards and receipts. */
function signedBody(b: Uint8Array, magic: string, most = Infinity): Uint8Array {
  checkMagic(b, magic)
  if (b.length < 14) refuse('E_FORMAT_LENGTH', 'ends before its length')
  checkLength(b.length, 14 + u32At(b, 10) + SIGNATURE_PAIR)
  if (b.length > most) refuse('E_FORMAT_LENGTH', `${b.length} bytes, at most ${most} are possible`)
  return b.subarray(14, b.length - SIGNATURE_PAIR)
}

const kemKeysType = listOf(mapOf({ suite: integer, publicKey: blob }))
const pairType: Type<SigningPair> = mapOf({ ed25519: bytesOf(32), mldsa65: bytesOf(1952) })
const cardType = mapOf({
  installation: bytesOf(16),
  organisation: bytesOf(16),
  epoch: integer,
  issuedAtMs: integer,
  kem: kemKeysType,
  recovery: kemKeysType,
  signing: pairType,
  root: pairType,
  previous: orNull(bytesOf(32)),
  signer: bytesOf(16),
})

type VaultCard = ReturnType<typeof cardType>

export function decodeVaultCard(b: Uint8Array): VaultCard {
  const card = cardType(decodeCbor(signedBody(b, 'MOSAIKVC', MAX_CARD)))
  for (const { suite, publicKey } of [...card.kem, ...card.recovery])
    field(publicKey.length === suiteOf(suite).publicKey, 'a public key is not of its suite’s length')
  field(card.epoch >= 1, 'epoch 0')
  return card
}

interface TrustResult {
  trusted: { card: VaultCard; hash: Uint8Array; position: number }[]
  refused: { position: number; error: ReaderError; organisation: Uint8Array | undefined }[]
  signers: TrustedSigner[]
}

/** Trust of §8: cards signed by the root that the recovery seed gives, then chains from trusted cards. */
export function trustCards(cards: readonly Uint8Array[], recoverySeed: Uint8Array): TrustResult {
  const root = signingPair(rootSigningSeed(recoverySeed))
  const rootId = signerId(root)
  const result: TrustResult = { trusted: [], refused: [], signers: [] }
  const pending: { bytes: Uint8Array; card: VaultCard; position: number }[] = []

  const accept = (bytes: Uint8Array, card: VaultCard, position: number, pair: SigningPair): void => {
    try {
      verifyPair(bytes, 'mosaik/v1/card', pair)
      result.trusted.push({ card, hash: sha256(bytes), position })
      result.signers.push({ ...card.signing, id: signerId(card.signing), organisation: card.organisation })
    } catch (error) {
      result.refused.push({ position, error: asReaderError(error), organisation: card.organisation })
    }
  }

  cards.forEach((bytes, position) => {
    try {
      const card = decodeVaultCard(bytes)
      if (equal(card.signer, rootId) && samePair(card.root, root)) accept(bytes, card, position, root)
      else pending.push({ bytes, card, position })
    } catch (error) {
      result.refused.push({ position, error: asReaderError(error), organisation: undefined })
    }
  })

  // A trusted card may make others trusted; `trusted` grows while it is walked.
  for (const parent of result.trusted) {
    const parentId = signerId(parent.card.signing)
    for (const child of pending.splice(0)) {
      const { card } = child
      const follows =
        card.previous !== null &&
        equal(card.previous, parent.hash) &&
        card.epoch === parent.card.epoch + 1 &&
        equal(card.installation, parent.card.installation) &&
        equal(card.organisation, parent.card.organisation) &&
        samePair(card.root, parent.card.root) &&
        sameKeys(card.recovery, parent.card.recovery) &&
        equal(card.signer, parentId)
      if (follows) accept(child.bytes, card, child.position, parent.card.signing)
      else pending.push(child)
    }
  }
  for (const { card, position } of pending) {
    const error = new ReaderError('E_CARD_UNTRUSTED', 'neither this root nor a trusted card vouches for it')
    result.refused.push({ position, error, organisation: card.organisation })
  }
  return result
}

const samePair = (a: SigningPair, b: SigningPair): boolean => equal(a.ed25519, b.ed25519) && equal(a.mldsa65, b.mldsa65)

function sameKeys(a: VaultCard['recovery'], b: VaultCard['recovery']): boolean {
  const same = (key: (typeof a)[number], i: number): boolean => {
    const other = b[i]
    return other !== undefined && key.suite === other.suite && equal(key.publicKey, other.publicKey)
  }
  return a.length === b.length && a.every(same)
}

function asReaderError(error: unknown): ReaderError {
  if (error instanceof ReaderError) return error
  throw error
}

/** Recovery key as text: prefix, base32, four bytes of checksum. Returns R. */
export function decodeRecoveryKey(input: string | Uint8Array): Uint8Array {
  const bad = (why: string): never => refuse('E_RECOVERY_KEY', why)
  const given = typeof input === 'string' ? input : new TextDecoder().decode(input)
  const compact = given.replace(/[\s-]/g, '').toLowerCase()
  if (!compact.startsWith('mosaikrecovery1')) bad('does not start with mosaik-recovery-1-')
  const digits = compact.slice('mosaikrecovery1'.length)
  if (digits.length !== 58 || !/^[a-z2-7]*$/.test(digits)) bad('not 58 base32 digits')
  let bits = 0n
  for (const digit of digits) bits = bits * 32n + BigInt('abcdefghijklmnopqrstuvwxyz234567'.indexOf(digit))
  if ((bits & 3n) !== 0n) bad('left-over bits are not zero')
  const raw = Uint8Array.from({ length: 36 }, (_, i) => Number((bits >> BigInt(2 + 8 * (35 - i))) & 255n))
  const seed = raw.slice(0, 32)
  const checksum = sha256(concat(ascii('mosaik/v1/recovery-key'), seed)).slice(0, 4)
  if (!equal(checksum, raw.subarray(32))) bad('the checksum is wrong: look for a typing error')
  return seed
}

// ---------------------------------------------------------------------------------- receipt §9, spool §10, marker §11

const receiptType = mapOf({
  installation: bytesOf(16),
  organisation: bytesOf(16),
  recording: bytesOf(16),
  asset: bytesOf(16),
  attempt: bytesOf(16),
  contentBytes: integer,
  commitment: bytesOf(32),
  generation: integer,
  k: integer,
  n: integer,
  t: integer,
  fragmentsVerified: integer,
  manifestSharesVerified: integer,
  issuedAtMs: integer,
  signer: bytesOf(16),
})

type Receipt = ReturnType<typeof receiptType>

export function decodeReceipt(b: Uint8Array): Receipt {
  const receipt = receiptType(decodeCbor(signedBody(b, 'MOSAIKRC')))
  const least = Math.min(receipt.k + 1, receipt.n)
  field(receipt.generation >= 1, 'generation 0')
  for (const verified of [receipt.fragmentsVerified, receipt.manifestSharesVerified])
    field(verified >= least && verified <= receipt.n, `${verified} verified of ${receipt.n}, at least ${least} are due`)
  checkScheme(receipt)
  return receipt
}

interface SpoolHeader {
  suite: number
  upload: Uint8Array
  number: number
  offset: number
  keyId: Uint8Array
}

export function decodeSpoolHeader(b: Uint8Array): SpoolHeader {
  checkMagic(b, 'MOSAIKSP')
  if (b.length < 11) refuse('E_FORMAT_LENGTH', 'ends before its suite')
  const suite = u8At(b, 10)
  suiteOf(suite)
  checkLength(b.length, 56)
  field(u8At(b, 11) === 0, 'not zero at byte 11')
  const offset = u64At(b, 32, 'offset')
  return { suite, upload: b.slice(12, 28), number: u32At(b, 28), offset, keyId: b.slice(40, 56) }
}

interface NodeMarker {
  installation: Uint8Array
  node: Uint8Array
}

export function decodeNodeMarker(b: Uint8Array): NodeMarker {
  checkMagic(b, 'MOSAIKNM')
  checkLength(b.length, 42)
  return { installation: b.slice(10, 26), node: b.slice(26, 42) }
}

// ------------------------------------------------------------------------------------- node folders, §11, and problems

interface Problem {
  folder: string
  object: string
  code: ErrorCode | 'E_IO'
  message: string
}

/** Problems make exit code 1, warnings do not. One line per object and code, with a count for its blocks. */
class Report {
  readonly problems: (Problem & { count: number })[] = []
  readonly warnings: string[] = []
  private readonly seen = new Map<string, Problem & { count: number }>()

  problem(folder: string, object: string, code: Problem['code'], message: string): void {
    const key = `${folder}\0${object}\0${code}`
    const known = this.seen.get(key)
    if (known !== undefined) {
      known.count++
      return
    }
    const problem = { folder, object, code, message, count: 1 }
    this.seen.set(key, problem)
    this.problems.push(problem)
  }

  caught(folder: string, object: string, error: unknown): void {
    const code = error instanceof ReaderError ? error.code : 'E_IO'
    this.problem(folder, object, code, error instanceof Error ? error.message : String(error))
  }
}

interface StoredObject {
  folder: string
  name: string
  file: string
}

/** Reads up to `length` bytes at `offset` of a plain file. Links are not followed; pipes and devices are refused. */
function readAt(object: StoredObject, offset: number, length: number): { bytes: Uint8Array; size: number } {
  const fd = fs.openSync(object.file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
  try {
    const stat = fs.fstatSync(fd)
    if (!stat.isFile()) throw new Error('not a plain file')
    const bytes = new Uint8Array(Math.max(0, Math.min(length, stat.size - offset)))
    let at = 0
    while (at < bytes.length) {
      const count = fs.readSync(fd, bytes, at, bytes.length - at, offset + at)
      if (count === 0) break
      at += count
    }
    return { bytes: bytes.subarray(0, at), size: stat.size }
  } finally {
    fs.closeSync(fd)
  }
}

function readWhole(object: StoredObject, most: number): Uint8Array {
  const { bytes, size } = readAt(object, 0, most)
  if (size > most) refuse('E_FORMAT_LENGTH', `${size} bytes are more than such an object can have`)
  return bytes
}

/** The objects of one kind below a folder: `f/ab/abcdef…`, or `f/abcdef…`. What has another name is not an object. */
function listObjects(folder: string, prefix: string, digits: number, report: Report): StoredObject[] {
  const objects: StoredObject[] = []
  const entries = (directory: string): fs.Dirent[] => {
    try {
      if (!fs.lstatSync(directory).isDirectory()) throw new Error('not a folder')
      return fs.readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        report.caught(folder, path.relative(folder, directory), error)
      return []
    }
  }
  const stray = (name: string): void =>
    void report.warnings.push(`${folder}: ${printable(name)} is not an object, ignored`)
  const take = (within: string, entry: fs.Dirent, start: string): void => {
    const name = `${within}/${entry.name}`
    const named = /^[0-9a-f]+$/.test(entry.name) && entry.name.length === digits && entry.name.startsWith(start)
    if (entry.isFile() && named) objects.push({ folder, name, file: path.join(folder, name) })
    else stray(name)
  }
  for (const entry of entries(path.join(folder, prefix))) {
    const inside = `${prefix}/${entry.name}`
    if (!entry.isDirectory() || !/^[0-9a-f]{2}$/.test(entry.name)) take(prefix, entry, '')
    else for (const inner of entries(path.join(folder, inside))) take(inside, inner, entry.name)
  }
  return objects
}

// --------------------------------------------------------------------------------------- the whole of §13, in memory

interface Fragment {
  object: StoredObject
  header: FragmentHeader
  headerBytes: Uint8Array
  size: number
  keys: Uint8Array[] | undefined
  failures: number
}

interface ShareRef {
  object: StoredObject
  header: DocumentShare
  verified: boolean | undefined
}

interface OpenedDocument<T> {
  organisation: string
  subject: string
  generation: number
  shares: number
  header: DocumentShare
  /** SHA-256 of the sealed document. */
  hash: Uint8Array
  value: T
}

interface Unopened {
  subject: string
  generation: number
  reason: string
}

interface Vault {
  seed: Uint8Array
  trust: TrustResult
  markers: { folder: string; marker: NodeMarker }[]
  manifests: OpenedDocument<Manifest>[]
  states: OpenedDocument<State>[]
  unopened: Unopened[]
  shares: ShareRef[]
  fragments: Map<string, Fragment[]>
  foreign: { cards: number; shares: number }
}

/** Steps 1 to 3 of §13. Problems go to the report; nothing here stops at a damaged object. */
function openVault(folders: readonly string[], seed: Uint8Array, report: Report): Vault {
  const present = folders.filter((folder) => {
    const there = fs.existsSync(folder) && fs.statSync(folder).isDirectory()
    if (!there) report.warnings.push(`${folder}: no such folder`)
    return there
  })
  const vault: Vault = {
    seed,
    trust: { trusted: [], refused: [], signers: [] },
    markers: [],
    manifests: [],
    states: [],
    unopened: [],
    shares: [],
    fragments: new Map(),
    foreign: { cards: 0, shares: 0 },
  }
  for (const folder of present) {
    const object = { folder, name: 'mosaik-node', file: path.join(folder, 'mosaik-node') }
    try {
      vault.markers.push({ folder, marker: decodeNodeMarker(readWhole(object, 42)) })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') report.warnings.push(`${folder}: no marker mosaik-node`)
      else report.caught(folder, object.name, error)
    }
  }
  readCards(vault, present, report)
  readShares(vault, present, report)
  openDocuments(vault, report)
  for (const folder of present)
    for (const object of listObjects(folder, 'f', 32, report)) {
      try {
        const { bytes: headerBytes, size } = readAt(object, 0, 256)
        const header = decodeFragmentHeader(headerBytes)
        const fragment = { object, header, headerBytes, size, keys: undefined, failures: 0 }
        const attempt = hex(header.attempt)
        const others = vault.fragments.get(attempt)
        if (others === undefined) vault.fragments.set(attempt, [fragment])
        else others.push(fragment)
      } catch (error) {
        report.caught(folder, object.name, error)
      }
    }
  return vault
}

function readCards(vault: Vault, folders: readonly string[], report: Report): void {
  // The same card lies on every node: each distinct one is judged once, and named with every place where it lies.
  const cards = new Map<string, { bytes: Uint8Array; objects: StoredObject[] }>()
  for (const folder of folders)
    for (const object of listObjects(folder, 'card', 64, report)) {
      try {
        const bytes = readWhole(object, MAX_CARD)
        const hash = hex(sha256(bytes))
        cards.set(hash, { bytes, objects: [...(cards.get(hash)?.objects ?? []), object] })
        if (hash !== path.basename(object.name))
          report.problem(folder, object.name, 'E_FORMAT_FIELD', 'the name is not the SHA-256 of the card')
      } catch (error) {
        report.caught(folder, object.name, error)
      }
    }
  const list = [...cards.values()]
  vault.trust = trustCards(
    list.map((card) => card.bytes),
    vault.seed,
  )
  for (const { position, error, organisation } of vault.trust.refused) {
    const known = organisation === undefined || isKnown(vault, organisation)
    if (error.code === 'E_CARD_UNTRUSTED' && !known) vault.foreign.cards++
    else for (const object of list[position]?.objects ?? []) report.caught(object.folder, object.name, error)
  }
}

const isKnown = (vault: Vault, organisation: Uint8Array): boolean =>
  vault.trust.signers.some((signer) => equal(signer.organisation, organisation))

function readShares(vault: Vault, folders: readonly string[], report: Report): void {
  for (const folder of folders)
    for (const [prefix, kind] of [['m', 1] as const, ['s', 2] as const])
      for (const object of listObjects(folder, prefix, 32, report)) {
        try {
          const { bytes, size } = readAt(object, 0, SHARE_HEADER)
          const header = decodeShareHeader(bytes, size)
          field(header.kind === kind, `a share of document kind ${header.kind} under ${prefix}/`)
          if (isKnown(vault, header.organisation)) vault.shares.push({ object, header, verified: undefined })
          else vault.foreign.shares++
        } catch (error) {
          report.caught(folder, object.name, error)
        }
      }
}

/** Reads and verifies a share; what does not verify is reported once and never combined. */
function verifiedShare(share: ShareRef, vault: Vault, report: Report): ShareWithBytes | undefined {
  if (share.verified === false) return undefined
  try {
    const bytes = readWhole(share.object, SHARE_HEADER + MAX_DOCUMENT + SIGNATURE_PAIR)
    const result = verifyDocumentShare(bytes, vault.trust.signers)
    share.verified = true
    return result
  } catch (error) {
    share.verified = false
    report.caught(share.object.folder, share.object.name, error)
    return undefined
  }
}

/** §6: of every subject the highest generation of which k shares of one sharing verify and open. */
function openDocuments(vault: Vault, report: Report): void {
  const subjects = Map.groupBy(vault.shares, ({ header: h }) => `${h.kind} ${hex(h.organisation)} ${hex(h.subject)}`)
  for (const ofSubject of subjects.values()) {
    const generations = Map.groupBy(ofSubject, (share) => share.header.generation)
    const left = [...generations].sort(([a], [b]) => b - a).map(([, shares]) => shares)
    let taken: OpenedDocument<Manifest | State> | undefined
    while (taken === undefined && left.length > 0) taken = takeGeneration(left.shift() ?? [], vault, report)
    if (taken !== undefined) checkPrevious(taken, left, vault, report)
  }
  const byDate = (m: Manifest): number => m.startedAtMs ?? m.depositedAtMs
  vault.manifests.sort((a, b) => byDate(a.value) - byDate(b.value))
}

function takeGeneration(
  shares: readonly ShareRef[],
  vault: Vault,
  report: Report,
): OpenedDocument<Manifest | State> | undefined {
  const { opened, failures } = openGeneration(shares, vault, report)
  const reasons = failures.map(({ header, error }) => {
    const sharing = `sharing ${hex(header.sharing)}`
    report.problem('-', `${documentName(header)} ${sharing}`, error.code, error.message)
    return `${error.code} ${sharing}: ${error.message}`
  })
  const header = failures[0]?.header
  if (opened === undefined) {
    if (header?.kind === 1)
      vault.unopened.push({ subject: hex(header.subject), generation: header.generation, reason: reasons.join('; ') })
    return undefined
  }
  const { value } = opened
  if ('assets' in value) vault.manifests.push({ ...opened, value })
  else vault.states.push({ ...opened, value })
  return opened
}

function documentName({ kind, subject, organisation, generation }: DocumentShare): string {
  return `${kind === 1 ? `manifest ${hex(subject)}` : `state ${hex(organisation)}`} generation ${generation}`
}

/** Warns when whole lower generations are there and `previous` is the hash of none; looks until it is that of one. */
function checkPrevious(
  { header, value: { previous } }: OpenedDocument<Manifest | State>,
  lower: readonly ShareRef[][],
  vault: Vault,
  report: Report,
): void {
  const whole: number[] = []
  for (const shares of lower) {
    const { opened } = openGeneration(shares, vault, report)
    if (opened === undefined) continue
    if (previous !== null && equal(previous, opened.hash)) return
    whole.push(opened.generation)
  }
  if (whole.length > 0)
    report.warnings.push(
      `${documentName(header)} names none of the lower generations that are there (${whole.join(', ')}) as its previous one`,
    )
}

/** One generation, from the first sharing of it that opens; why other sharings do not. */
function openGeneration(
  shares: readonly ShareRef[],
  vault: Vault,
  report: Report,
): { opened?: OpenedDocument<Manifest | State>; failures: { header: DocumentShare; error: ReaderError }[] } {
  const failures: { header: DocumentShare; error: ReaderError }[] = []
  for (const group of Map.groupBy(shares, (share) => groupKey(share.header)).values()) {
    const good = new Map<number, ShareWithBytes>()
    for (const ref of group) {
      const share = verifiedShare(ref, vault, report)
      if (share === undefined || good.has(share.index)) continue
      // Beyond k only the count is of interest.
      good.set(share.index, good.size < share.k ? share : { ...share, bytes: new Uint8Array() })
    }
    const [header] = good.values()
    if (header === undefined) continue
    try {
      const chosen = [...good.values()].slice(0, header.k)
      const { header: own, plaintext, hash } = openDocumentShares(chosen, { recoverySeed: vault.seed })
      const value = own.kind === 1 ? decodeManifest(plaintext, own) : decodeState(plaintext, own)
      const names = { organisation: hex(own.organisation), subject: hex(own.subject), generation: own.generation }
      return { opened: { ...names, shares: good.size, header, hash, value }, failures }
    } catch (error) {
      failures.push({ header, error: asReaderError(error) })
    }
  }
  return { failures }
}

// ------------------------------------------------------------------------------------------- content: step 4 of §13

const attemptOf = (sealed: Sealed): string => hex(decodeAssetHeader(sealed.header).attempt)

/** The fragments of one extent by sharing; a sharing has one k and t, while n may have grown since (§2). */
function sharingsOf(fragments: readonly Fragment[], extent: number): Fragment[][] {
  const here = fragments.filter((fragment) => fragment.header.extent === extent)
  const groups = Map.groupBy(here, ({ header: h }) => `${hex(h.sharing)} ${h.k} ${h.t}`)
  return [...groups.values()].sort((a, b) => indices(b).size - indices(a).size)
}

const indices = (fragments: readonly Fragment[]): Set<number> => new Set(fragments.map((f) => f.header.index))

interface GoodBlock {
  fragment: Fragment
  index: number
  bytes: Uint8Array
}

/** The block of a segment if its tag verifies; otherwise the fragment is reported. */
function readBlock(fragment: Fragment, sealed: Sealed, segment: number, report: Report): GoodBlock | undefined {
  const { object, header } = fragment
  try {
    const { offset, length } = blockPlace(segment, sealed.sealedBytes, header)
    const { bytes } = readAt(object, offset, length + 16)
    if (bytes.length !== length + 16) refuse('E_FORMAT_LENGTH', `ends before the block of segment ${segment}`)
    fragment.keys ??= sealed.verifyKeys.map((key) => fragmentKey(key, fragment.headerBytes))
    const block = bytes.subarray(0, length)
    if (!fragment.keys.some((key) => equal(blockTag(key, segment, block), bytes.subarray(length))))
      refuse('E_BLOCK_TAG', `block of segment ${segment}`)
    return { fragment, index: header.index, bytes: block }
  } catch (error) {
    fragment.failures++
    report.caught(object.folder, object.name, error)
    return undefined
  }
}

const MOST_SUBSETS = 5000

/** All choices of k blocks with different indices, the first ones first. */
function* subsets(blocks: readonly GoodBlock[], k: number, from = 0, chosen: GoodBlock[] = []): Generator<GoodBlock[]> {
  if (chosen.length === k) return yield chosen
  for (let i = from; i < blocks.length; i++) {
    const block = blocks[i]
    if (block !== undefined && !chosen.some((other) => other.index === block.index))
      yield* subsets(blocks, k, i + 1, [...chosen, block])
  }
}

/** One segment from any sharing; throws the last reason when none gives it. */
function restoreSegment(
  sealed: Sealed,
  keys: FloeKeys,
  sharings: readonly Fragment[][],
  segment: number,
  report: Report,
): Uint8Array {
  const last = segment === segmentCount(sealed.sealedBytes) - 1
  const length = segmentLengthAt(segment, sealed.sealedBytes)
  let reason = new ReaderError('E_SHARES_TOO_FEW', 'no fragments')
  for (const sharing of sharings) {
    const scheme = sharing[0]?.header
    if (scheme === undefined) continue
    const { k, t } = scheme
    const open = (blocks: GoodBlock[]): Uint8Array =>
      openSegment(keys, segment, last, combineFragments(blocks, { k, t, n: 32 }, length))
    const queue = sharing.toSorted((a, b) => a.failures - b.failures || a.header.index - b.header.index)
    const good: GoodBlock[] = []
    const unread = new Set(queue)
    const read = (fragment: Fragment): void => {
      unread.delete(fragment)
      const block = readBlock(fragment, sealed, segment, report)
      if (block !== undefined) good.push(block)
    }
    for (const fragment of queue)
      if (good.length < k && !good.some((block) => block.index === fragment.header.index)) read(fragment)
    if (good.length < k) {
      reason = new ReaderError('E_SHARES_TOO_FEW', `${good.length} good blocks of segment ${segment}, ${k} needed`)
      continue
    }
    try {
      return open(good)
    } catch (error) {
      reason = asReaderError(error)
    }
    unread.forEach(read)
    // All tags pass and FLOE fails: some share does not fit. Find k that do, then name those that differ from theirs.
    let left = MOST_SUBSETS
    for (const choice of subsets(good, k)) {
      if (left-- === 0) break
      try {
        const plaintext = open(choice)
        const rows = inputRows(choice, k, t)
        for (const block of good) {
          if (equal(block.bytes, weighted(matrixRow(block.index, k, t), rows))) continue
          block.fragment.failures += SEGMENTS_PER_EXTENT
          const { folder, name } = block.fragment.object
          report.problem(folder, name, 'E_SEGMENT_TAG', `block of segment ${segment} does not fit the other shares`)
        }
        return plaintext
      } catch (error) {
        reason = asReaderError(error)
      }
    }
  }
  throw reason
}

interface RestoreResult {
  complete: boolean
  restoredSegments: number
}

/** Steps 4 and 5 of §13 into an open file. Segments that cannot be had stay holes, and every hole is a problem. */
function restoreContent(
  asset: Asset,
  sealed: Sealed,
  vault: Vault,
  fd: number,
  name: string,
  report: Report,
): RestoreResult {
  const result = { complete: true, restoredSegments: 0 }
  const keys = floeKeys(sealed.dek, sealed.floeHeader, sha256(sealed.header))
  const fragments = vault.fragments.get(attemptOf(sealed)) ?? []
  const count = segmentCount(sealed.sealedBytes)
  const hash = sha256.create()
  const payload = SEGMENT - 32
  const lost = (message: string, code: ErrorCode, extra = ''): void => {
    result.complete = false
    report.problem('-', `${name}${extra}`, code, message)
  }
  let beyond = true
  for (let extent = 0; extent * SEGMENTS_PER_EXTENT < count; extent++) {
    const { from, to } = extentRange(extent, sealed.sealedBytes)
    const sharings = sharingsOf(fragments, extent)
    if (!sharings.some((sharing) => indices(sharing).size >= (sharing[0]?.header.k ?? Infinity))) {
      const most = Math.max(0, ...sharings.map((sharing) => indices(sharing).size))
      const range = `bytes ${from * payload} to ${Math.min(to * payload, asset.contentBytes)}`
      const needed = sharings[0] ? `${most} fragments, ${sharings[0][0]?.header.k} needed` : 'no fragments'
      lost(`extent ${extent} (${range}): ${needed}`, 'E_SHARES_TOO_FEW', ` extent ${extent}`)
      continue
    }
    for (let i = from; i < to; i++) {
      try {
        const plaintext = restoreSegment(sealed, keys, sharings, i, report)
        const content = plaintext.subarray(0, Math.max(0, asset.contentBytes - i * payload))
        if (!isZero(plaintext.subarray(content.length))) beyond = false
        if (content.length > 0) writeAll(fd, content, i * payload)
        hash.update(content)
        result.restoredSegments++
      } catch (error) {
        const { code, message } = asReaderError(error)
        lost(`bytes ${i * payload} and on: ${message}`, code, ` segment ${i}`)
      }
    }
  }
  if (!beyond) lost('not zero beyond the content length', 'E_FORMAT_FIELD')
  else if (result.complete && !equal(hash.digest(), asset.sha256))
    lost('SHA-256 is not the manifest’s', 'E_FORMAT_FIELD')
  return result
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let at = 0; at < bytes.length;) at += fs.writeSync(fd, bytes, at, bytes.length - at, position + at)
}

// ------------------------------------------------------------------------------------------------- output, names, text

/** A name for one file in one folder, whatever the manifest says. */
function safeName(name: string, fallback: string): string {
  const base = name
    .normalize('NFC')

    .replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff/\\:*?"<>|\ud800-\udfff]/gu, '_')
    .replace(/^[\s.]+|[\s.]+$/g, '')
  let cut = ''
  for (const character of base) {
    if (new TextEncoder().encode(cut + character).length > 180) break
    cut += character
  }
  if (cut === '') return fallback
  if (/^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i.test(cut) || cut.startsWith('-')) cut = `_${cut}`
  return /\.part$/i.test(cut) ? `${cut}_` : cut
}

/** Text for a terminal: without control and direction characters. */
function printable(value: string): string {
  return value.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '?')
}

function date(ms: number): string {
  return ms <= 8.64e15 ? new Date(ms).toISOString().slice(0, 16).replace('T', ' ') : `${ms} ms`
}

/** One name an asset; equal names (also but for case) are told apart by the asset id. */
function outputNames(manifest: Manifest): string[] {
  const names = manifest.assets.map((asset) => safeName(asset.name, hex(asset.id)))
  const times = Map.groupBy(names, (name) => name.toLowerCase())
  return names.map((name, i) => {
    const asset = manifest.assets[i]
    const double = (times.get(name.toLowerCase())?.length ?? 0) > 1
    return double && asset !== undefined ? `${hex(asset.id)}-${i}-${name}` : name
  })
}

function restoreAsset(asset: Asset, target: string, label: string, vault: Vault, report: Report): boolean {
  const part = `${target}.part`
  let done: RestoreResult = { complete: false, restoredSegments: 0 }
  let fd: number | undefined
  try {
    if (fs.existsSync(target)) throw new Error(`${target} is there already; move it away first`)
    fs.mkdirSync(path.dirname(target), { recursive: true })
    fs.rmSync(part, { force: true })
    fd = fs.openSync(part, 'wx')
    if (asset.inline !== null) {
      writeAll(fd, asset.inline, 0) // length and SHA-256 were checked with the manifest
      done = { complete: true, restoredSegments: 1 }
    } else if (asset.sealed !== null) {
      done = restoreContent(asset, asset.sealed, vault, fd, label, report)
    }
    fs.fsyncSync(fd)
  } catch (error) {
    report.caught('-', label, error)
    done.complete = false
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
  if (fd !== undefined && done.complete) fs.renameSync(part, target)
  else if (fd !== undefined && done.restoredSegments === 0) fs.rmSync(part)
  return done.complete
}

// ---------------------------------------------------------------------------------------------------------- the actions

type Print = (line: string) => void

/** How many fragments the weakest extent has, in its best sharing. */
function fragmentStatus(sealed: Sealed, vault: Vault): { text: string; complete: boolean } {
  const fragments = vault.fragments.get(attemptOf(sealed)) ?? []
  const extents = Math.ceil(segmentCount(sealed.sealedBytes) / SEGMENTS_PER_EXTENT)
  let weakest = { have: Infinity, k: 0, n: 0, extent: 0 }
  for (let extent = 0; extent < extents; extent++) {
    const right = fragments.filter((f) => f.size === fragmentSize(f.header, sealed.sealedBytes))
    const best = sharingsOf(right, extent)[0] ?? []
    const have = indices(best).size
    const { k, n } = best[0]?.header ?? { k: 0, n: 0 }
    const spare = best.length === 0 ? -Infinity : have - k
    if (extent === 0 || spare < weakest.have - weakest.k)
      weakest = { have: spare === -Infinity ? -Infinity : have, k, n, extent }
  }
  const where = extents > 1 ? `, weakest of ${extents} extents` : ''
  if (weakest.have === -Infinity) return { text: `no fragments of extent ${weakest.extent}`, complete: false }
  const complete = weakest.have >= weakest.k
  return { text: `fragments ${weakest.have} of ${weakest.n}, ${weakest.k} needed${where}`, complete }
}

/** Fragments whose length is not what the manifest says; true of an asset, whichever action runs. */
function checkSizes(vault: Vault, report: Report): void {
  for (const { value } of vault.manifests)
    for (const { sealed } of value.assets)
      for (const { header, size, object } of (sealed && vault.fragments.get(attemptOf(sealed))) ?? []) {
        const { from, to } = extentRange(header.extent, sealed?.sealedBytes ?? 0)
        const expected = fragmentSize(header, sealed?.sealedBytes ?? 0)
        if (from >= to) report.problem(object.folder, object.name, 'E_FORMAT_FIELD', 'an extent beyond the asset')
        else if (size !== expected)
          report.problem(object.folder, object.name, 'E_FORMAT_LENGTH', `${size} bytes instead of ${expected}`)
      }
}

function list(vault: Vault, report: Report, print: Print): void {
  for (const { folder, marker } of vault.markers)
    print(`node ${hex(marker.node)} of installation ${hex(marker.installation)}: ${folder}`)
  const organisations = Map.groupBy(vault.trust.trusted, ({ card }) => hex(card.organisation))
  for (const [organisation, cards] of organisations) {
    print(`organisation ${organisation}`)
    for (const { card, hash } of cards)
      print(`  trusted card ${hex(hash)}, epoch ${card.epoch}, ${date(card.issuedAtMs)}`)
    const state = vault.states.find((each) => each.organisation === organisation)
    if (state !== undefined) {
      const { header, shares, generation, value } = state
      print(`  state generation ${generation}, shares ${shares} of ${header.n}, ${header.k} needed`)
      for (const node of value.nodes)
        print(`    node ${hex(node.id)} ${printable(`${node.name}, ${node.driver}, ${node.location}, ${node.state}`)}`)
    }
    for (const manifest of vault.manifests.filter((each) => each.organisation === organisation))
      listRecording(manifest, state?.value, vault, report, print)
  }
  for (const { subject, generation, reason } of vault.unopened) {
    const older = vault.manifests.find((each) => each.subject === subject)
    const instead = older ? `; generation ${older.generation} is used` : ''
    print(`recording ${subject} generation ${generation} is not readable: ${reason}${instead}`)
  }
  const known = new Set(
    vault.manifests.flatMap(({ value }) => value.assets.map((a) => (a.sealed ? attemptOf(a.sealed) : ''))),
  )
  const unknown = [...vault.fragments]
    .filter(([attempt]) => !known.has(attempt))
    .map(([, fragments]) => fragments.length)
  if (unknown.length > 0)
    print(`${unknown.reduce((a, b) => a + b)} fragments of ${unknown.length} attempts that no readable manifest lists`)
  const { cards, shares } = vault.foreign
  if (cards + shares > 0) print(`of organisations that this key is not for: ${cards} cards, ${shares} shares`)
}

function listRecording(
  { value, header, shares, generation, subject }: OpenedDocument<Manifest>,
  state: State | undefined,
  vault: Vault,
  report: Report,
  print: Print,
): void {
  print(`  recording ${subject} "${printable(value.title)}", ${date(value.startedAtMs ?? value.depositedAtMs)}`)
  print(`    manifest generation ${generation}, shares ${shares} of ${header.n}, ${header.k} needed`)
  const tombstone = state?.tombstones.find((each) => equal(each.recording, value.recording))
  if (tombstone) print(`    decided to be deleted ${date(tombstone.decidedAtMs)}: ${printable(tombstone.reason)}`)
  for (const asset of value.assets) {
    const what = `${asset.kind} "${printable(asset.name)}", ${printable(asset.mediaType)}, ${asset.contentBytes} bytes`
    const status = asset.sealed ? fragmentStatus(asset.sealed, vault) : { text: 'in the manifest', complete: true }
    print(`    ${what}: ${status.text}${status.complete ? '' : ', INCOMPLETE'}`)
    if (!status.complete) report.problem('-', `${subject} ${printable(asset.name)}`, 'E_SHARES_TOO_FEW', status.text)
  }
}

function restore(
  vault: Vault,
  out: string,
  only: string | undefined,
  originals: boolean,
  report: Report,
  print: Print,
): void {
  const wanted = vault.manifests.filter((manifest) => only === undefined || manifest.subject === only)
  if (only !== undefined && wanted.length === 0)
    report.problem('-', `recording ${only}`, 'E_SHARES_TOO_FEW', 'no readable manifest of it')
  for (const { subject, value } of wanted) {
    const names = outputNames(value)
    const folder = path.join(out, subject)
    value.assets.forEach((asset, i) => {
      if (originals && asset.kind !== 'original') return
      const target = path.join(folder, names[i] ?? hex(asset.id))
      const good = restoreAsset(asset, target, `${subject} ${printable(asset.name)}`, vault, report)
      print(`${good ? 'restored' : 'NOT RESTORED'} ${target}, ${asset.contentBytes} bytes`)
    })
  }
}

function check(vault: Vault, report: Report, print: Print): void {
  for (const share of vault.shares) if (share.verified === undefined) verifiedShare(share, vault, report)
  let blocks = 0
  let fragments = 0
  for (const { value } of vault.manifests)
    for (const { sealed } of value.assets) {
      if (sealed === null) continue
      for (const fragment of vault.fragments.get(attemptOf(sealed)) ?? []) {
        const { from, to } = extentRange(fragment.header.extent, sealed.sealedBytes)
        fragments++
        for (let i = from; i < to; i++) if (readBlock(fragment, sealed, i, report)) blocks++
      }
    }
  const signed = vault.shares.filter((share) => share.verified).length
  print(`${vault.trust.trusted.length} trusted cards, ${signed} of ${vault.shares.length} shares verified`)
  print(`${blocks} good blocks in ${fragments} fragments of ${vault.manifests.length} recordings`)
}

// --------------------------------------------------------------------------------------------------------- command line

const USAGE = `usage: node read.ts [list | restore | check] --recovery-key-file FILE NODEFOLDER...
  list (default)   what is there: cards, recordings, how many shares of how many needed
  restore          --out DIR [--recording ID] [--original-only]
  check            verify every share and every block
The recovery key may also be in MOSAIK_RECOVERY_KEY, or it is asked for. It is never an argument.`

interface Surroundings {
  out: Print
  err: Print
  env: Record<string, string | undefined>
}

class UsageError extends Error {}

/** Reads a line from the terminal without showing it. */
async function prompt(): Promise<string> {
  const { stdin, stderr } = process
  if (!stdin.isTTY) throw new UsageError('no recovery key')
  stderr.write('Recovery key: ')
  stdin.setRawMode(true)
  try {
    let line = ''
    for await (const chunk of stdin)
      for (const character of String(chunk)) {
        if (character === '\u0003') throw new UsageError('interrupted')
        if (character === '\r' || character === '\n') return line
        line = character === '\u007f' || character === '\b' ? line.slice(0, -1) : line + character
      }
    return line
  } finally {
    stdin.setRawMode(false)
    stderr.write('\n')
  }
}

function parse(args: string[]): {
  action: string
  folders: string[]
  keyFile: string | undefined
  out: string | undefined
  recording: string | undefined
  originals: boolean
} {
  try {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        'recovery-key-file': { type: 'string' },
        out: { type: 'string' },
        recording: { type: 'string' },
        'original-only': { type: 'boolean' },
      },
    })
    const named = ['list', 'restore', 'check'].includes(positionals[0] ?? '')
    const action = named ? (positionals[0] ?? 'list') : 'list'
    const folders = [...new Set(positionals.slice(named ? 1 : 0).map((folder) => path.resolve(folder)))]
    const { out, recording } = values
    const originals = values['original-only'] ?? false
    if (folders.length === 0) throw new UsageError('no node folders')
    if ((action === 'restore') !== (out !== undefined)) throw new UsageError('restore, and only restore, takes --out')
    if (action !== 'restore' && (recording !== undefined || originals)) throw new UsageError('an option of restore')
    if (recording !== undefined && !/^[0-9a-f]{32}$/.test(recording)) throw new UsageError('not a recording id')
    return { action, folders, keyFile: values['recovery-key-file'], out, recording, originals }
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message)
  }
}

export async function main(args: string[], { out, err, env }: Surroundings): Promise<number> {
  try {
    const options = parse(args)
    const seed = decodeRecoveryKey(await readKey(options.keyFile, env))
    const report = new Report()
    const vault = openVault(options.folders, seed, report)
    if (vault.trust.trusted.length === 0)
      report.problem(
        '-',
        'card/',
        'E_CARD_UNTRUSTED',
        'no card on these nodes is signed by the root of this recovery key',
      )
    checkSizes(vault, report)
    if (options.action === 'list') list(vault, report, out)
    else if (options.action === 'check') check(vault, report, out)
    else restore(vault, path.resolve(options.out ?? ''), options.recording, options.originals, report, out)
    for (const warning of report.warnings) err(`warning: ${warning}`)
    for (const { folder, object, code, message, count } of report.problems)
      err(`${folder} ${object} ${code}: ${printable(message)}${count > 1 ? ` (and ${count - 1} more)` : ''}`)
    return report.problems.length > 0 ? 1 : 0
  } catch (error) {
    const code = error instanceof ReaderError ? `${error.code}: ` : ''
    err(`${code}${error instanceof Error ? error.message : String(error)}`)
    if (error instanceof UsageError) err(USAGE)
    return error instanceof UsageError || code !== '' ? 2 : 1
  }
}

async function readKey(file: string | undefined, env: Surroundings['env']): Promise<string> {
  if (file === undefined) return env['MOSAIK_RECOVERY_KEY'] ?? (await prompt())
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function isRunDirectly(): boolean {
  try {
    return process.argv[1] !== undefined && fs.realpathSync(process.argv[1]) === import.meta.filename
  } catch {
    return false
  }
}

if (isRunDirectly()) {
  const say = (line: string): void => void process.stdout.write(`${line}\n`)
  const complain = (line: string): void => void process.stderr.write(`${line}\n`)
  process.exitCode = await main(process.argv.slice(2), { out: say, err: complain, env: process.env })
}
