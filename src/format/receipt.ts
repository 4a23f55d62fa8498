import { checkScheme, type Scheme } from '../domain/dispersal.ts'
import { fromHex, type Id } from '../domain/ids.ts'
import { readBytesOf, readId, readInteger, readMap, requireField } from './cbor-fields.ts'
import { decodeCbor, encodeCbor } from './cbor.ts'
import { concatenate } from './header-bytes.ts'
import { decodeSignedRecord, encodeRecordForSigning, type SignedRecord } from './signed-record.ts'
import { KEY_ID_BYTES } from './suites.ts'

/** Evidence that an asset is stored: the source may delete its copy (docs/FORMAT.md §9). */
export interface Receipt extends Scheme {
  readonly installation: Id
  readonly organisation: Id
  readonly recording: Id
  readonly asset: Id
  readonly attempt: Id
  readonly contentBytes: number
  /** HMAC-SHA-256(key salt of the manifest, SHA-256 of the content), 32 bytes. */
  readonly commitment: Uint8Array
  /** Of the manifest that names the asset. */
  readonly generation: number
  /** Smallest number of verified fragments over the extents. */
  readonly fragmentsVerified: number
  readonly manifestSharesVerified: number
  readonly issuedAtMs: number
  /** Signer id, 16 bytes. */
  readonly signer: Uint8Array
}

/** A receipt as it was handed out: parsed, not yet verified. */
export type SignedReceipt = Receipt & SignedRecord

const MAGIC = 'MOSAIKRC'
/** Context of the signature pair. */
export const RECEIPT_CONTEXT = 'mosaik/v1/receipt'

/** How many shares must be verified before a receipt is issued: min(k + 1, n). */
export function receiptQuorum({ k, n }: Pick<Scheme, 'k' | 'n'>): number {
  return Math.min(k + 1, n)
}

/** The bytes to sign. @throws E_FORMAT_CBOR, E_SCHEME_INVALID, E_FORMAT_FIELD also when a count is below the quorum. */
export function encodeReceiptForSigning(receipt: Receipt): Uint8Array<ArrayBuffer> {
  const body = encodeCbor({
    installation: fromHex(receipt.installation),
    organisation: fromHex(receipt.organisation),
    recording: fromHex(receipt.recording),
    asset: fromHex(receipt.asset),
    attempt: fromHex(receipt.attempt),
    contentBytes: receipt.contentBytes,
    commitment: receipt.commitment,
    generation: receipt.generation,
    k: receipt.k,
    n: receipt.n,
    t: receipt.t,
    fragmentsVerified: receipt.fragmentsVerified,
    manifestSharesVerified: receipt.manifestSharesVerified,
    issuedAtMs: receipt.issuedAtMs,
    signer: receipt.signer,
  })
  decodeReceiptBody(body)
  return encodeRecordForSigning(MAGIC, body)
}

/** The whole receipt. @throws E_FORMAT_LENGTH when the signature is not a pair of 3373 bytes. */
export function encodeReceipt(signedBytes: Uint8Array, signature: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = concatenate(signedBytes, signature)
  decodeReceipt(bytes)
  return bytes
}

function decodeReceiptBody(body: Uint8Array): Receipt {
  const receipt = readMap<Receipt>(decodeCbor(body), 'receipt', {
    installation: readId,
    organisation: readId,
    recording: readId,
    asset: readId,
    attempt: readId,
    contentBytes: readInteger,
    commitment: readBytesOf(32),
    generation: readInteger,
    k: readInteger,
    n: readInteger,
    t: readInteger,
    fragmentsVerified: readInteger,
    manifestSharesVerified: readInteger,
    issuedAtMs: readInteger,
    signer: readBytesOf(KEY_ID_BYTES),
  })
  requireField(receipt.generation >= 1, 'receipt.generation counts from 1')
  for (const count of ['fragmentsVerified', 'manifestSharesVerified'] as const) {
    const enough = receipt[count] >= receiptQuorum(receipt) && receipt[count] <= receipt.n
    requireField(enough, `receipt.${count} must be from min(k + 1, n) to n`)
  }
  checkScheme(receipt)
  return receipt
}

/**
 * Parses a receipt. Its signature is not verified: see src/ledger/receipt.ts.
 *
 * @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_FORMAT_LENGTH, E_FORMAT_CBOR, E_FORMAT_FIELD, E_SCHEME_INVALID
 */
export function decodeReceipt(bytes: Uint8Array): SignedReceipt {
  const record = decodeSignedRecord(bytes, MAGIC, 'the receipt')
  return { ...decodeReceiptBody(record.body), ...record }
}
