import { findSigner, signerId, type TrustedSigner } from '../crypto/keys.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { verifyPair } from '../crypto/signature.ts'
import { MosaikError } from '../domain/errors.ts'
import {
  decodeReceipt,
  encodeReceipt,
  encodeReceiptForSigning,
  RECEIPT_CONTEXT,
  type Receipt,
} from '../format/receipt.ts'
import type { SigningPublicKeys } from '../ports/keyring.ts'

export interface ReceiptToIssue {
  /** What the receipt says, but for who signs it. */
  readonly facts: Omit<Receipt, 'signer'>
  /** The organisation's signing pair of the epoch. */
  readonly signing: SigningPublicKeys
  /** Signature pair under "mosaik/v1/receipt": `PublicKeyring.sign` bound to the organisation. */
  readonly sign: (message: Uint8Array) => Promise<Uint8Array>
  readonly primitives: Primitives
}

/**
 * The commitment of a receipt to its content: HMAC-SHA-256(key salt, SHA-256 of the content), 32 bytes. Says nothing about
 * the content to who has not the manifest's salt.
 */
export function receiptCommitment(
  primitives: Primitives,
  salt: Uint8Array,
  sha256: Uint8Array,
): Uint8Array<ArrayBuffer> {
  return primitives.hmacSha256(salt, sha256)
}

/**
 * Issues a receipt: the source may delete its copy (docs/FORMAT.md §9).
 *
 * @returns the receipt.
 * @throws E_FORMAT_FIELD when fewer than min(k + 1, n) fragments or manifest shares are verified: it must not be issued;
 * E_SCHEME_INVALID; E_SIGNATURE when `sign` used another pair than `signing`.
 */
export async function issueReceipt({
  facts,
  signing,
  sign,
  primitives,
}: ReceiptToIssue): Promise<Uint8Array<ArrayBuffer>> {
  const signedBytes = encodeReceiptForSigning({ ...facts, signer: signerId(primitives, signing) })
  const signature = await sign(signedBytes)
  if (!verifyPair(primitives, signing, RECEIPT_CONTEXT, signedBytes, signature)) {
    throw new MosaikError('E_SIGNATURE', 'the receipt was signed with another pair than the organisation names', {
      organisation: facts.organisation,
    })
  }
  return encodeReceipt(signedBytes, signature)
}

/**
 * Reads a receipt and verifies who signed it.
 *
 * @throws those of `decodeReceipt`; E_CARD_UNTRUSTED the signer is not trusted for the organisation; E_SIGNATURE
 */
export function verifyReceipt(primitives: Primitives, bytes: Uint8Array, trusted: readonly TrustedSigner[]): Receipt {
  const receipt = decodeReceipt(bytes)
  const { keys } = findSigner(trusted, receipt.organisation, receipt.signer)
  if (!verifyPair(primitives, keys, RECEIPT_CONTEXT, receipt.signedBytes, receipt.signature)) {
    throw new MosaikError('E_SIGNATURE', 'a signature of the receipt does not verify', { recording: receipt.recording })
  }
  return receipt
}
