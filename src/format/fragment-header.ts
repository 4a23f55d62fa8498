import { checkScheme, dataRows, type Scheme } from '../domain/dispersal.ts'
import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { SEGMENT_BYTES, segmentCount, segmentLength } from './asset-header.ts'
import { HeaderView, HeaderWriter } from './header-bytes.ts'

/** What the first 256 bytes of an object under `f/` say: one share of one extent (docs/FORMAT.md §4). */
export interface FragmentHeader {
  readonly attempt: Id
  readonly sharing: Id
  readonly extent: number
  readonly index: number
  readonly scheme: Scheme
}

const MAGIC = 'MOSAIKFR'
/** FLOE as in §3, GMAC as in §4. */
const FRAGMENT_SUITE = 1
const FIELD_POLYNOMIAL = 0x11b

export const FRAGMENT_HEADER_BYTES = 256
/** GMAC tag behind each block. */
export const BLOCK_TAG_BYTES = 16
/** Segments of a whole extent. */
export const EXTENT_SEGMENTS = 8192

/** @throws E_SCHEME_INVALID, E_FORMAT_FIELD, E_INPUT when an id is not one. */
export function encodeFragmentHeader(header: FragmentHeader): Uint8Array<ArrayBuffer> {
  const { scheme, index } = header
  checkScheme(scheme)
  checkIndex(index, scheme.n)
  return new HeaderWriter(MAGIC, FRAGMENT_HEADER_BYTES)
    .u16(10, FRAGMENT_SUITE)
    .id(12, header.attempt)
    .id(28, header.sharing)
    .u32(44, header.extent)
    .u8(48, index)
    .u8(49, scheme.k)
    .u8(50, scheme.n)
    .u8(51, scheme.t)
    .u16(52, FIELD_POLYNOMIAL)
    .u32(54, SEGMENT_BYTES).bytes
}

/**
 * @param bytes exactly the header; of a fragment give the first 256 bytes (or all it has, when it has fewer).
 * @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_SUITE_UNKNOWN, E_FORMAT_LENGTH, E_FORMAT_FIELD, E_SCHEME_INVALID
 */
export function decodeFragmentHeader(bytes: Uint8Array): FragmentHeader {
  const view = new HeaderView(bytes, 'the fragment header').magic(MAGIC).version()
  const suite = view.u16(10)
  if (suite !== FRAGMENT_SUITE) throw view.fault('E_SUITE_UNKNOWN', `has suite ${suite}; this reader knows suite 1`)
  view.length(FRAGMENT_HEADER_BYTES)
  view.require(view.u16(52) === FIELD_POLYNOMIAL, 'uses another field than 0x11b')
  view.require(view.u32(54) === SEGMENT_BYTES, 'has another segment length than 262144')
  view.zero(58, 198)
  const scheme: Scheme = { k: view.u8(49), n: view.u8(50), t: view.u8(51) }
  const index = view.u8(48)
  checkScheme(scheme)
  checkIndex(index, scheme.n)
  return { attempt: view.id(12), sharing: view.id(28), extent: view.u32(44), index, scheme }
}

/** @throws E_SCHEME_INVALID unless 0 ≤ index < n (docs/FORMAT.md §2). */
export function checkIndex(index: number, n: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= n) {
    throw new MosaikError('E_SCHEME_INVALID', `index ${index} of ${n} shares: 0 ≤ index < n`, { index, n })
  }
}

type Rows = Pick<Scheme, 'k' | 't'>

/** Block length of an inner segment, Bi = 128·⌈262144 / (128·L)⌉. */
export function innerBlockLength(scheme: Rows): number {
  return 128 * Math.ceil(SEGMENT_BYTES / (128 * dataRows(scheme)))
}

/** Block length of the asset's last segment of `segmentBytes`: 16·⌈len / (16·L)⌉. */
export function lastBlockLength(scheme: Rows, segmentBytes: number): number {
  return 16 * Math.ceil(segmentBytes / (16 * dataRows(scheme)))
}

/** Block length of segment `segment` of a content of `sealedBytes`. @throws E_FORMAT_FIELD when there is no such segment. */
export function blockLength(scheme: Rows, sealedBytes: number, segment: number): number {
  const segmentBytes = segmentLength(sealedBytes, segment)
  return segment === segmentCount(sealedBytes) - 1 ? lastBlockLength(scheme, segmentBytes) : innerBlockLength(scheme)
}

/** Which extent a segment lies in. */
export function extentOf(segment: number): number {
  return Math.floor(segment / EXTENT_SEGMENTS)
}

/** Number of extents of a content of `sealedBytes`. @throws E_FORMAT_FIELD */
export function extentCount(sealedBytes: number): number {
  return Math.ceil(segmentCount(sealedBytes) / EXTENT_SEGMENTS)
}

export interface SegmentRun {
  /** Global index of the first segment. */
  readonly first: number
  readonly count: number
}

/** The segments that extent `extent` covers, as far as a content of `sealedBytes` goes. @throws E_FORMAT_FIELD */
export function segmentsOfExtent(sealedBytes: number, extent: number): SegmentRun {
  const first = extent * EXTENT_SEGMENTS
  const count = Math.min(EXTENT_SEGMENTS, segmentCount(sealedBytes) - first)
  if (!Number.isInteger(extent) || extent < 0 || count < 1) {
    throw new MosaikError('E_FORMAT_FIELD', `extent ${extent} is beyond the content`, { extent })
  }
  return { first, count }
}

/** Where the block of the global segment `segment` starts in its fragment; its tag follows it. */
export function blockOffset(scheme: Rows, segment: number): number {
  return FRAGMENT_HEADER_BYTES + (segment % EXTENT_SEGMENTS) * (innerBlockLength(scheme) + BLOCK_TAG_BYTES)
}

/** Size in bytes of the fragment of extent `extent` of a content of `sealedBytes`; the same for every index. @throws E_FORMAT_FIELD */
export function fragmentLength(scheme: Rows, sealedBytes: number, extent: number): number {
  const { first, count } = segmentsOfExtent(sealedBytes, extent)
  const last = first + count - 1
  return blockOffset(scheme, last) + blockLength(scheme, sealedBytes, last) + BLOCK_TAG_BYTES
}
