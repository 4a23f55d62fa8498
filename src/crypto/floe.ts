import { MosaikError } from '../domain/errors.ts'
import { ascii, concat, u32, u64 } from './bytes.ts'
import type { GcmKey, Primitives } from './primitives.ts'

/**
 * FLOE, fast lightweight online encryption (C2SP, github.com/Snowflake-Labs/floe-specification; ePrint 2025/2275), with
 * AES-256-GCM, HKDF-Expand-SHA-384 and a 32-byte IV. Content and documents use it (docs/FORMAT.md §3, §6).
 *
 * A header tag commits to the key and is checked before any segment. Segments are opened at random, each authenticated with
 * its place and with whether it is the last: so both must come from authenticated data, never from a storage node.
 */

/** Length of an inner segment of ours, in bytes, sealed. */
export const SEGMENT_BYTES = 262_144
/** What a segment adds: marker 4, nonce 12, tag 16. */
export const SEGMENT_OVERHEAD_BYTES = 32
/** Plaintext of an inner segment of ours. */
export const SEGMENT_PLAIN_BYTES = SEGMENT_BYTES - SEGMENT_OVERHEAD_BYTES
/** Parameters 10, IV 32, header tag 32. */
export const FLOE_HEADER_BYTES = 74
export const FLOE_IV_BYTES = 32
export const FLOE_NONCE_BYTES = 12

const PARAMETER_BYTES = 10
const MARKER_BYTES = 4
const INNER_MARKER = 0xffffffff
const NONCE_AT = MARKER_BYTES
const BODY_AT = MARKER_BYTES + FLOE_NONCE_BYTES
const HEADER_TAG = ascii('HEADER_TAG:')
const MESSAGE_KEY = ascii('MESSAGE_KEY:')
const SEGMENT_KEY = ascii('DEK:')

/** What a FLOE message is made with; only the segment length is free. */
export interface FloeParameters {
  readonly segmentBytes: number
  /** One AES key serves 2^rotationBits segments: 20 by the specification; its rotation vectors use 2. */
  readonly rotationBits: number
  /** The 10 bytes in the header. */
  readonly encoded: Uint8Array
}

/**
 * @param segmentBytes length of an inner segment, 33 … 2^32 − 2.
 * @throws RangeError outside that.
 */
export function floeParameters(segmentBytes: number, rotationBits = 20): FloeParameters {
  if (!Number.isInteger(segmentBytes) || segmentBytes <= SEGMENT_OVERHEAD_BYTES || segmentBytes >= INNER_MARKER) {
    throw new RangeError(`FLOE segments of ${segmentBytes} bytes`)
  }
  const encoded = concat(Uint8Array.of(0, 0), u32(segmentBytes), u32(FLOE_IV_BYTES))
  return { segmentBytes, rotationBits, encoded }
}

/** The parameters of everything Mosaik writes. */
export const MOSAIK_FLOE = floeParameters(SEGMENT_BYTES)

function derive(
  primitives: Primitives,
  parameters: FloeParameters,
  key: Uint8Array,
  iv: Uint8Array,
  aad: Uint8Array,
  purpose: Uint8Array,
  lengthBytes: number,
): Uint8Array<ArrayBuffer> {
  return primitives.hkdfExpandSha384(key, concat(parameters.encoded, iv, purpose, aad), lengthBytes)
}

/**
 * The header of a new message, 74 bytes.
 *
 * @param key 32 bytes, used for this message only.
 * @param aad additional data of any length: ours is a SHA-256.
 * @param iv 32 fresh random bytes.
 */
export function createFloeHeader(
  primitives: Primitives,
  key: Uint8Array,
  aad: Uint8Array,
  iv: Uint8Array,
  parameters: FloeParameters = MOSAIK_FLOE,
): Uint8Array<ArrayBuffer> {
  if (key.length !== 32 || iv.length !== FLOE_IV_BYTES) throw new RangeError('FLOE takes a key and an IV of 32 bytes')
  return concat(parameters.encoded, iv, derive(primitives, parameters, key, iv, aad, HEADER_TAG, 32))
}

/**
 * Checks that a header has the expected parameters and was made with this key and additional data: the key commitment.
 * The tag is compared in constant time.
 *
 * @throws E_FORMAT_LENGTH not 74 bytes; E_FORMAT_FIELD other parameters; E_HEADER_TAG another key or additional data.
 */
export function checkFloeHeader(
  primitives: Primitives,
  key: Uint8Array,
  aad: Uint8Array,
  header: Uint8Array,
  parameters: FloeParameters = MOSAIK_FLOE,
): void {
  if (header.length !== FLOE_HEADER_BYTES) {
    throw new MosaikError('E_FORMAT_LENGTH', `a FLOE header has ${FLOE_HEADER_BYTES} bytes, this one ${header.length}`)
  }
  if (!parameters.encoded.every((byte, i) => header[i] === byte)) {
    throw new MosaikError('E_FORMAT_FIELD', 'a FLOE header has other parameters than this reader expects')
  }
  const iv = floeIv(header)
  const tag = derive(primitives, parameters, key, iv, aad, HEADER_TAG, 32)
  if (!primitives.equal(tag, header.subarray(PARAMETER_BYTES + FLOE_IV_BYTES))) {
    throw new MosaikError('E_HEADER_TAG', 'a FLOE header does not belong to this key or to this additional data')
  }
}

function floeIv(header: Uint8Array): Uint8Array {
  return header.subarray(PARAMETER_BYTES, PARAMETER_BYTES + FLOE_IV_BYTES)
}

/**
 * One message's segments. Holds the keys: never log it, never send it.
 *
 * Sealing one place twice under one header leaks: whoever seals does it once a segment.
 */
export class FloeKey {
  readonly parameters: FloeParameters
  readonly #primitives: Primitives
  readonly #iv: Uint8Array
  readonly #aad: Uint8Array
  readonly #messageKey: Uint8Array
  /** The AES key of the segments used last; 2^20 segments share one. */
  #rotation = -1
  #gcm: GcmKey | undefined

  /** Checks the header first. @throws as `checkFloeHeader`. */
  constructor(
    primitives: Primitives,
    key: Uint8Array,
    aad: Uint8Array,
    header: Uint8Array,
    parameters: FloeParameters = MOSAIK_FLOE,
  ) {
    checkFloeHeader(primitives, key, aad, header, parameters)
    this.parameters = parameters
    this.#primitives = primitives
    this.#iv = floeIv(header).slice()
    this.#aad = aad.slice()
    this.#messageKey = derive(primitives, parameters, key, this.#iv, this.#aad, MESSAGE_KEY, 48)
  }

  /**
   * Seals segment `segment`: marker ‖ nonce ‖ ciphertext ‖ tag.
   *
   * @param plaintext exactly segmentBytes − 32 bytes, or fewer (also none) when `last`.
   * @param nonce 12 fresh random bytes.
   * @throws RangeError when the plaintext has another length.
   */
  sealSegment(segment: number, plaintext: Uint8Array, last: boolean, nonce: Uint8Array): Uint8Array<ArrayBuffer> {
    const sealed = new Uint8Array(plaintext.length + SEGMENT_OVERHEAD_BYTES)
    this.sealSegmentInto(segment, plaintext, last, nonce, sealed)
    return sealed
  }

  /** As `sealSegment`, into `target` of plaintext + 32 bytes, which may be kernel memory. */
  sealSegmentInto(segment: number, plaintext: Uint8Array, last: boolean, nonce: Uint8Array, target: Uint8Array): void {
    const full = this.parameters.segmentBytes - SEGMENT_OVERHEAD_BYTES
    if (last ? plaintext.length > full : plaintext.length !== full) {
      throw new RangeError(`segment ${segment} cannot hold ${plaintext.length} bytes`)
    }
    if (target.length !== plaintext.length + SEGMENT_OVERHEAD_BYTES || nonce.length !== FLOE_NONCE_BYTES) {
      throw new RangeError('the target or the nonce has a wrong length')
    }
    target.set(u32(last ? target.length : INNER_MARKER))
    target.set(nonce, NONCE_AT)
    this.#key(segment).sealInto(nonce, segmentAad(segment, last), plaintext, target.subarray(BODY_AT))
  }

  /**
   * Opens segment `segment`. `last` must come from authenticated data.
   *
   * @throws E_SEGMENT_TAG also for a length or marker that does not fit (docs/FORMAT.md §14).
   */
  openSegment(segment: number, sealed: Uint8Array, last: boolean): Uint8Array<ArrayBuffer> {
    const plaintext = this.tryOpenSegment(segment, sealed, last)
    if (plaintext === undefined) {
      throw new MosaikError('E_SEGMENT_TAG', `segment ${segment} does not open`, { segment, last })
    }
    return plaintext
  }

  /** As `openSegment`, `undefined` in place of an error: for trying combinations of shares. */
  tryOpenSegment(segment: number, sealed: Uint8Array, last: boolean): Uint8Array<ArrayBuffer> | undefined {
    const plaintext = new Uint8Array(Math.max(0, sealed.length - SEGMENT_OVERHEAD_BYTES))
    return this.openSegmentInto(segment, sealed, last, plaintext) ? plaintext : undefined
  }

  /** As `tryOpenSegment`, written to `target` of sealed − 32 bytes, in which zeros or what was there remain when it says false. */
  openSegmentInto(segment: number, sealed: Uint8Array, last: boolean, target: Uint8Array): boolean {
    const { segmentBytes } = this.parameters
    const expected = last ? sealed.length : segmentBytes
    if (sealed.length !== expected || sealed.length < SEGMENT_OVERHEAD_BYTES || sealed.length > segmentBytes)
      return false
    if (readMarker(sealed) !== (last ? sealed.length : INNER_MARKER)) return false
    // the nonce may lie in kernel memory that the cipher library must not keep
    const nonce = sealed.slice(NONCE_AT, BODY_AT)
    return this.#key(segment).openInto(nonce, segmentAad(segment, last), sealed.subarray(BODY_AT), target)
  }

  /** Overwrites the message key, as far as JavaScript can; the object is of no use afterwards. */
  destroy(): void {
    this.#messageKey.fill(0)
    this.#gcm = undefined
    this.#rotation = -1
  }

  #key(segment: number): GcmKey {
    if (!Number.isSafeInteger(segment) || segment < 0) throw new RangeError(`there is no segment ${segment}`)
    // not with bit operators: those cut at 32 bits
    const span = 2 ** this.parameters.rotationBits
    const rotation = Math.floor(segment / span)
    if (this.#gcm === undefined || rotation !== this.#rotation) {
      const purpose = concat(SEGMENT_KEY, u64(rotation * span))
      const key = derive(this.#primitives, this.parameters, this.#messageKey, this.#iv, this.#aad, purpose, 32)
      this.#gcm = this.#primitives.gcm(key)
      this.#rotation = rotation
      key.fill(0)
    }
    return this.#gcm
  }
}

function readMarker(sealed: Uint8Array): number {
  return new DataView(sealed.buffer, sealed.byteOffset, MARKER_BYTES).getUint32(0)
}

function segmentAad(segment: number, last: boolean): Uint8Array {
  return concat(u64(segment), Uint8Array.of(last ? 1 : 0))
}
