import { MosaikError } from '../domain/errors.ts'
import { concat } from './bytes.ts'
import {
  createFloeHeader,
  FLOE_HEADER_BYTES,
  FLOE_IV_BYTES,
  FLOE_NONCE_BYTES,
  FloeKey,
  MOSAIK_FLOE,
  SEGMENT_OVERHEAD_BYTES,
  type FloeParameters,
} from './floe.ts'
import type { Primitives } from './primitives.ts'

/** Number of segments of a plaintext: at least one, since the last one is always there. */
export function segmentCount(plainBytes: number, parameters: FloeParameters = MOSAIK_FLOE): number {
  return Math.max(1, Math.ceil(plainBytes / (parameters.segmentBytes - SEGMENT_OVERHEAD_BYTES)))
}

/**
 * Length of all segments of a plaintext together, in bytes, without the header.
 *
 * @NOTE a writer who learns the end late may put an empty last segment behind a full one, and be 32 bytes longer: readers
 * take the sealed length from the manifest and accept both.
 */
export function sealedLength(plainBytes: number, parameters: FloeParameters = MOSAIK_FLOE): number {
  return plainBytes + SEGMENT_OVERHEAD_BYTES * segmentCount(plainBytes, parameters)
}

/** Number of segments in `sealedBytes` of ciphertext. @throws E_FORMAT_LENGTH for a length that no message has. */
export function sealedSegmentCount(sealedBytes: number, parameters: FloeParameters = MOSAIK_FLOE): number {
  const { segmentBytes } = parameters
  const count = Math.max(1, Math.ceil(sealedBytes / segmentBytes))
  if (!Number.isSafeInteger(sealedBytes) || sealedBytes - segmentBytes * (count - 1) < SEGMENT_OVERHEAD_BYTES) {
    throw new MosaikError('E_FORMAT_LENGTH', `no FLOE message has ${sealedBytes} bytes of segments`, { sealedBytes })
  }
  return count
}

/** Length of segment `segment` of a message with `sealedBytes` of segments. @throws E_FORMAT_LENGTH as `sealedSegmentCount`. */
export function sealedSegmentBytes(
  segment: number,
  sealedBytes: number,
  parameters: FloeParameters = MOSAIK_FLOE,
): number {
  const last = sealedSegmentCount(sealedBytes, parameters) - 1
  return segment < last ? parameters.segmentBytes : sealedBytes - parameters.segmentBytes * last
}

/** Length of the plaintext in `sealedBytes` of segments. @throws E_FORMAT_LENGTH as `sealedSegmentCount`. */
export function plainLength(sealedBytes: number, parameters: FloeParameters = MOSAIK_FLOE): number {
  return sealedBytes - SEGMENT_OVERHEAD_BYTES * sealedSegmentCount(sealedBytes, parameters)
}

/** The segment in which the plaintext byte at `offset` lies. */
export function segmentOfOffset(offset: number, parameters: FloeParameters = MOSAIK_FLOE): number {
  return Math.floor(offset / (parameters.segmentBytes - SEGMENT_OVERHEAD_BYTES))
}

/** Random bytes that `floeSeal` needs for a plaintext: the IV, then a nonce a segment. */
export function floeRandomBytes(plainBytes: number, parameters: FloeParameters = MOSAIK_FLOE): number {
  return FLOE_IV_BYTES + FLOE_NONCE_BYTES * segmentCount(plainBytes, parameters)
}

/**
 * Seals a small document whole: header ‖ segments.
 *
 * @param key 32 bytes, used for this document only.
 * @param random `floeRandomBytes(plaintext.length)` fresh random bytes.
 * @throws RangeError when there are more or fewer random bytes.
 */
export function floeSeal(
  primitives: Primitives,
  key: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
  random: Uint8Array,
  parameters: FloeParameters = MOSAIK_FLOE,
): Uint8Array<ArrayBuffer> {
  if (random.length !== floeRandomBytes(plaintext.length, parameters)) {
    throw new RangeError(`sealing ${plaintext.length} bytes takes another number of random bytes than ${random.length}`)
  }
  const header = createFloeHeader(primitives, key, aad, random.subarray(0, FLOE_IV_BYTES), parameters)
  const floe = new FloeKey(primitives, key, aad, header, parameters)
  const plain = parameters.segmentBytes - SEGMENT_OVERHEAD_BYTES
  const count = segmentCount(plaintext.length, parameters)
  const segments = Array.from({ length: count }, (_, segment) => {
    const nonceAt = FLOE_IV_BYTES + FLOE_NONCE_BYTES * segment
    const nonce = random.subarray(nonceAt, nonceAt + FLOE_NONCE_BYTES)
    return floe.sealSegment(
      segment,
      plaintext.subarray(segment * plain, (segment + 1) * plain),
      segment === count - 1,
      nonce,
    )
  })
  floe.destroy()
  return concat(header, ...segments)
}

/**
 * Opens what `floeSeal` made; nothing is returned before every segment has verified.
 *
 * @throws E_FORMAT_LENGTH cut within the header; E_FORMAT_FIELD, E_HEADER_TAG, E_SEGMENT_TAG as in `checkFloeHeader`,
 * `FloeKey.openSegment`.
 */
export function floeOpen(
  primitives: Primitives,
  key: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
  parameters: FloeParameters = MOSAIK_FLOE,
): Uint8Array<ArrayBuffer> {
  const floe = new FloeKey(primitives, key, aad, sealed.subarray(0, FLOE_HEADER_BYTES), parameters)
  const body = sealed.subarray(FLOE_HEADER_BYTES)
  const { segmentBytes } = parameters
  const count = Math.max(1, Math.ceil(body.length / segmentBytes))
  const plaintext = concat(
    ...Array.from({ length: count }, (_, segment) =>
      floe.openSegment(
        segment,
        body.subarray(segment * segmentBytes, (segment + 1) * segmentBytes),
        segment === count - 1,
      ),
    ),
  )
  floe.destroy()
  return plaintext
}
