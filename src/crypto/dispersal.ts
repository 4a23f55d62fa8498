import { dataRows, type Scheme } from '../domain/dispersal.ts'
import type { Primitives } from './primitives.ts'

/** Sizes and random rows of the split of a segment (docs/FORMAT.md §2, §4). No keys of content, no FLOE. */

/** Segments of an extent: one fragment holds one share of one extent. */
export const EXTENT_SEGMENTS = 8192

const INNER_SEGMENT_BYTES = 262_144
const INNER_UNIT_BYTES = 128
const LAST_UNIT_BYTES = 16
const CHACHA_BLOCK_BYTES = 64

/**
 * Length of a block, that is of a row, in bytes, without its tag.
 *
 * @param sealedSegmentBytes length of the FLOE segment: 262,144 for inner ones.
 * @param rows L = k − t.
 */
export function blockBytes(sealedSegmentBytes: number, rows: number, last: boolean): number {
  return last ? roundUp(sealedSegmentBytes / rows, LAST_UNIT_BYTES) : innerBlockBytes(rows)
}

/** Length of a block of an inner segment: 128·⌈262144 / (128·L)⌉. */
export function innerBlockBytes(rows: number): number {
  return roundUp(INNER_SEGMENT_BYTES / rows, INNER_UNIT_BYTES)
}

function roundUp(bytes: number, unit: number): number {
  return unit * Math.ceil(bytes / unit)
}

/** Number of the extent in which the global segment lies. */
export function extentOfSegment(segment: number): number {
  return Math.floor(segment / EXTENT_SEGMENTS)
}

/**
 * Writes the t random rows of a segment: pieces of the ChaCha20 keystream of the sharing and extent.
 *
 * Local segment i (global modulo 8192) has the keystream from i · t · innerBlockBytes, row r of it from + r · innerBlockBytes;
 * the last segment's shorter rows take the first bytes of each row's place. No two rows share a byte of keystream.
 *
 * @param rowsKey 32 bytes from the operating system, for this sharing and extent only.
 * @param rowBytes length of a row, at most innerBlockBytes.
 * @param target t rows one behind the other, t · rowBytes.
 * @throws RangeError when the target or the row length does not fit.
 */
export function writeRandomRows(
  primitives: Primitives,
  rowsKey: Uint8Array,
  scheme: Pick<Scheme, 'k' | 't'>,
  segment: number,
  rowBytes: number,
  target: Uint8Array,
): void {
  const { t } = scheme
  const place = innerBlockBytes(dataRows(scheme))
  if (target.length !== t * rowBytes || rowBytes > place)
    throw new RangeError('the target does not hold the random rows')
  const first = (segment % EXTENT_SEGMENTS) * t * place
  for (let r = 0; r < t; r++) {
    const block = (first + r * place) / CHACHA_BLOCK_BYTES
    primitives.chacha20Into(rowsKey, block, target.subarray(r * rowBytes, (r + 1) * rowBytes))
  }
}
