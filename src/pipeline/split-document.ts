import { signerId } from '../crypto/keys.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { documentRandomBytes, splitDocument } from '../crypto/shamir.ts'
import { verifyPair, type SigningPublicKeys } from '../crypto/signature.ts'
import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { encodeDocumentShare, encodeShareForSigning, SHARE_CONTEXT } from '../format/document-share.ts'
import { decodeSealedDocument } from '../format/sealed-document.ts'
import type { Random } from '../ports/system.ts'

export interface DocumentToSplit {
  /** What `sealDocument` gave. */
  readonly sealed: Uint8Array
  readonly k: number
  readonly n: number
  /** A fresh id: one sharing, one draw of random rows. */
  readonly sharing: Id
  /** Public halves of the pair that `sign` signs with. */
  readonly signing: SigningPublicKeys
  /** Signature pair under "mosaik/v1/share": `PublicKeyring.sign` bound to the organisation. */
  readonly sign: (message: Uint8Array) => Promise<Uint8Array>
  readonly random: Pick<Random, 'entropy'>
  readonly primitives: Primitives
}

/**
 * Splits a sealed document with t = k − 1 and signs each share (docs/FORMAT.md §6).
 *
 * @returns n objects for `m/` or `s/`, in order of index.
 * @throws E_SCHEME_INVALID; E_SIGNATURE when `sign` used another pair than `signing`: such shares could never be read.
 */
export async function splitSealedDocument(document: DocumentToSplit): Promise<Uint8Array<ArrayBuffer>[]> {
  const { sealed, k, n, sharing, signing, primitives } = document
  const { kind, suite, organisation, subject, generation } = decodeSealedDocument(sealed).header
  const signer = signerId(primitives, signing)
  const rows = document.random.entropy(documentRandomBytes(k, sealed.length))
  const shares = splitDocument(k, n, sealed, rows)
  rows.fill(0)
  const objects: Uint8Array<ArrayBuffer>[] = []
  for (const [index, share] of shares.entries()) {
    const group = { kind, suite, organisation, subject, generation, sharing, k, n, sealedBytes: sealed.length }
    const signedBytes = encodeShareForSigning({ ...group, index, signer, share })
    const signature = await document.sign(signedBytes)
    if (!verifyPair(primitives, signing, SHARE_CONTEXT, signedBytes, signature)) {
      throw new MosaikError('E_SIGNATURE', 'the keyring signed with another pair than the organisation names', {
        organisation,
      })
    }
    objects.push(encodeDocumentShare(signedBytes, signature))
  }
  return objects
}
