import { concatenate, HeaderView, HeaderWriter } from './header-bytes.ts'
import { SIGNATURE_PAIR_BYTES } from './suites.ts'

/**
 * The frame that vault cards and receipts share (docs/FORMAT.md §8, §9): magic ‖ u16 1 ‖ u32 length of body ‖ body ‖
 * signature pair over all bytes before it.
 */
export interface SignedRecord {
  readonly body: Uint8Array
  /** All bytes before the signature pair. */
  readonly signedBytes: Uint8Array
  /** 3373 bytes, not yet verified. */
  readonly signature: Uint8Array
}

const FRONT_BYTES = 14

/** The bytes to sign. */
export function encodeRecordForSigning(magic: string, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const front = new HeaderWriter(magic, FRONT_BYTES).u32(10, body.length).bytes
  return concatenate(front, body)
}

/** @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_FORMAT_LENGTH */
export function decodeSignedRecord(bytes: Uint8Array, magic: string, what: string): SignedRecord {
  const view = new HeaderView(bytes, what).magic(magic).version()
  const bodyBytes = view.u32(10)
  view.length(FRONT_BYTES + bodyBytes + SIGNATURE_PAIR_BYTES)
  return {
    body: view.copy(FRONT_BYTES, bodyBytes),
    signedBytes: view.copy(0, FRONT_BYTES + bodyBytes),
    signature: view.copy(FRONT_BYTES + bodyBytes, SIGNATURE_PAIR_BYTES),
  }
}
