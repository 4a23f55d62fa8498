import { ascii, concat, u64 } from './bytes.ts'
import type { GcmKey, Primitives } from './primitives.ts'

/**
 * Tags of fragments (docs/FORMAT.md §4): they can be checked, and made, without being able to decrypt. This file imports
 * no FLOE and no HPKE, so that scrub and repair can do without them.
 */

/** Bytes of a tag behind each block. */
export const BLOCK_TAG_BYTES = 16

const LABEL = ascii('mosaik/v1/fragment')
const NO_SALT = new Uint8Array(0)

/**
 * The key of one fragment's tags: every tag binds every byte of the header by it.
 *
 * @param verifyKey 32 bytes, of the attempt.
 * @param header the fragment's 256 bytes of header.
 * @returns 32 bytes.
 */
export function fragmentKey(
  primitives: Primitives,
  verifyKey: Uint8Array,
  header: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return primitives.hkdfSha256(verifyKey, NO_SALT, concat(LABEL, primitives.sha256(header)), 32)
}

/** The nonce of a block: its global segment index, 12 bytes, big-endian. */
function blockNonce(segment: number): Uint8Array {
  return concat(new Uint8Array(4), u64(segment))
}

/**
 * The tag of the block of segment `segment`: AES-256-GMAC, 16 bytes. One key and segment must never meet two blocks.
 *
 * @param key the fragment key, made ready with `primitives.gcm`.
 * @param segment global index, not the extent's.
 */
export function tagBlock(key: GcmKey, segment: number, block: Uint8Array): Uint8Array<ArrayBuffer> {
  return key.gmac(blockNonce(segment), block)
}

/** True when `tag` is the tag of this block at this place of this fragment. Compares in constant time. */
export function checkBlock(
  primitives: Primitives,
  key: GcmKey,
  segment: number,
  block: Uint8Array,
  tag: Uint8Array,
): boolean {
  return primitives.equal(tagBlock(key, segment, block), tag)
}

/** As `checkBlock`, for block ‖ tag as it lies in the fragment. False for fewer than 16 bytes. */
export function checkFramedBlock(primitives: Primitives, key: GcmKey, segment: number, framed: Uint8Array): boolean {
  if (framed.length < BLOCK_TAG_BYTES) return false
  const end = framed.length - BLOCK_TAG_BYTES
  return checkBlock(primitives, key, segment, framed.subarray(0, end), framed.subarray(end))
}
