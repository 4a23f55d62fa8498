import type { Id } from '../domain/ids.ts'
import { HeaderView, HeaderWriter } from './header-bytes.ts'
import { checkSuite, KEY_ID_BYTES, suiteSizes, type Suite } from './suites.ts'

/** Front of one extent of an upload in the sealed spool (docs/FORMAT.md §10). */
export interface SpoolHeader {
  readonly suite: Suite
  readonly upload: Id
  /** Number of the extent in its upload. */
  readonly number: number
  /** Where the extent starts in the upload. */
  readonly offsetBytes: number
  /** Of the spool key, 16 bytes. */
  readonly keyId: Uint8Array
}

const MAGIC = 'MOSAIKSP'
export const SPOOL_HEADER_BYTES = 56
/** HPKE `info` of an extent's DEK. */
export const SPOOL_INFO = 'mosaik/v1/spool'

/** @throws E_FORMAT_FIELD, E_SUITE_UNKNOWN, E_INPUT when the upload is not an id. */
export function encodeSpoolHeader(header: SpoolHeader): Uint8Array<ArrayBuffer> {
  const { bytes } = new HeaderWriter(MAGIC, SPOOL_HEADER_BYTES)
    .u8(10, header.suite)
    .id(12, header.upload)
    .u32(28, header.number)
    .u64(32, header.offsetBytes)
    .copy(40, header.keyId, KEY_ID_BYTES)
  decodeSpoolHeader(bytes)
  return bytes
}

/**
 * @param bytes exactly the header.
 * @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_SUITE_UNKNOWN, E_FORMAT_LENGTH, E_FORMAT_FIELD
 */
export function decodeSpoolHeader(bytes: Uint8Array): SpoolHeader {
  const view = new HeaderView(bytes, 'the spool header').magic(MAGIC).version()
  const suite = checkSuite(view.u8(10), 'the spool header')
  view.length(SPOOL_HEADER_BYTES)
  view.zero(11, 1)
  return {
    suite,
    upload: view.id(12),
    number: view.u32(28),
    offsetBytes: view.u64(32, 'offset'),
    keyId: view.copy(40, KEY_ID_BYTES),
  }
}

/** Where the wrapped DEK, the FLOE header and the FLOE segments of a spool file start, in bytes. */
export function spoolLayout(suite: Suite): {
  readonly encAt: number
  readonly ctAt: number
  readonly floeHeaderAt: number
} {
  const { encBytes, ctBytes } = suiteSizes[suite]
  const ctAt = SPOOL_HEADER_BYTES + encBytes
  return { encAt: SPOOL_HEADER_BYTES, ctAt, floeHeaderAt: ctAt + ctBytes }
}
