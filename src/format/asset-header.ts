import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { HeaderView, HeaderWriter, sameBytes } from './header-bytes.ts'

/** Names one attempt; its SHA-256 is FLOE's additional data (docs/FORMAT.md §3). */
export interface AssetHeader {
  readonly organisation: Id
  readonly recording: Id
  readonly asset: Id
  readonly attempt: Id
}

const MAGIC = 'MOSAIKAH'
export const ASSET_HEADER_BYTES = 84

/** A whole FLOE segment: what an inner one has, and the most a last one has. */
export const SEGMENT_BYTES = 262_144
/** What FLOE adds to each segment: marker or length (4), nonce (12), tag (16); so also the shortest last segment. */
export const SEGMENT_OVERHEAD_BYTES = 32
/** Plaintext of an inner segment. */
export const SEGMENT_PLAINTEXT_BYTES = SEGMENT_BYTES - SEGMENT_OVERHEAD_BYTES
/** Parameters ‖ IV ‖ header tag. */
export const FLOE_HEADER_BYTES = 74
/** AES-256-GCM, SHA-384, segment length 262,144, IV of 32 bytes. */
export const FLOE_PARAMETERS: Uint8Array = Uint8Array.of(0, 0, 0, 4, 0, 0, 0, 0, 0, 32)

/** @throws E_INPUT when an id is not one. */
export function encodeAssetHeader(header: AssetHeader): Uint8Array<ArrayBuffer> {
  return new HeaderWriter(MAGIC, ASSET_HEADER_BYTES)
    .id(10, header.organisation)
    .id(26, header.recording)
    .id(42, header.asset)
    .id(58, header.attempt)
    .copy(74, FLOE_PARAMETERS, 10).bytes
}

/** @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_FORMAT_LENGTH, E_FORMAT_FIELD other FLOE parameters. */
export function decodeAssetHeader(bytes: Uint8Array): AssetHeader {
  const view = new HeaderView(bytes, 'the asset header').magic(MAGIC).version().length(ASSET_HEADER_BYTES)
  view.require(sameBytes(view.copy(74, 10), FLOE_PARAMETERS), 'has FLOE parameters other than those of version 1')
  return { organisation: view.id(10), recording: view.id(26), asset: view.id(42), attempt: view.id(58) }
}

/**
 * Number of segments of a content of `sealedBytes`, at least 1 (docs/FORMAT.md §3).
 *
 * @throws E_FORMAT_FIELD when no FLOE ciphertext has that length: below 32, or a last segment below 32.
 */
export function segmentCount(sealedBytes: number): number {
  const count = Math.max(1, Math.ceil(sealedBytes / SEGMENT_BYTES))
  const last = sealedBytes - SEGMENT_BYTES * (count - 1)
  if (!Number.isSafeInteger(sealedBytes) || last < SEGMENT_OVERHEAD_BYTES) {
    throw new MosaikError('E_FORMAT_FIELD', `no content has a sealed length of ${sealedBytes} bytes`, { sealedBytes })
  }
  return count
}

/** Length in bytes of segment `segment` of a content of `sealedBytes`. @throws E_FORMAT_FIELD */
export function segmentLength(sealedBytes: number, segment: number): number {
  const count = segmentCount(sealedBytes)
  if (!Number.isInteger(segment) || segment < 0 || segment >= count) {
    throw new MosaikError('E_FORMAT_FIELD', `segment ${segment} of a content of ${count}`, { segment, count })
  }
  return segment === count - 1 ? sealedBytes - SEGMENT_BYTES * (count - 1) : SEGMENT_BYTES
}

/** Sealed length of a plaintext of `plaintextBytes` (padding included). @throws E_FORMAT_FIELD when negative. */
export function sealedLength(plaintextBytes: number): number {
  if (!Number.isSafeInteger(plaintextBytes) || plaintextBytes < 0) {
    throw new MosaikError('E_FORMAT_FIELD', `${plaintextBytes} is not a length`)
  }
  return plaintextBytes + SEGMENT_OVERHEAD_BYTES * Math.max(1, Math.ceil(plaintextBytes / SEGMENT_PLAINTEXT_BYTES))
}

/** The longest plaintext that a content of `contentBytes` may be padded to: twice as long, and one segment. */
export function longestPaddedBytes(contentBytes: number): number {
  return 2 * contentBytes + SEGMENT_PLAINTEXT_BYTES
}

/** Plaintext length, padding included, of a content of `sealedBytes`. @throws E_FORMAT_FIELD */
export function plaintextLength(sealedBytes: number): number {
  return sealedBytes - SEGMENT_OVERHEAD_BYTES * segmentCount(sealedBytes)
}
