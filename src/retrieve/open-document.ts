import { ascii } from '../crypto/bytes.ts'
import { FloeKey, SEGMENT_BYTES } from '../crypto/floe.ts'
import { hpkeOpen } from '../crypto/hpke.ts'
import { findSigner, keyId, recoveryKemSeed, type TrustedSigner } from '../crypto/keys.ts'
import type { HpkePrimitives } from '../crypto/kem.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { combineDocument } from '../crypto/shamir.ts'
import { verifyPair } from '../crypto/signature.ts'
import { isMosaikError, MosaikError } from '../domain/errors.ts'
import type { OrganisationState } from '../domain/organisation-state.ts'
import type { Manifest } from '../domain/recording.ts'
import { decodeDocumentShare, SHARE_CONTEXT, shareGroupKey, type DocumentShare } from '../format/document-share.ts'
import { concatenate, sameBytes } from '../format/header-bytes.ts'
import { decodeManifest } from '../format/manifest.ts'
import { decodeSealedDocument, documentInfo, type DocumentHeader } from '../format/sealed-document.ts'
import { decodeState } from '../format/state.ts'
import type { WrappedKey } from '../ports/keyring.ts'

/**
 * Parses one object under `m/` or `s/` and verifies its signature pair: from here on its fields may be believed.
 *
 * @param trusted signers of trusted cards (`trustCards`), or the organisation's own (`trustedSigner`).
 * @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_SUITE_UNKNOWN, E_FORMAT_LENGTH, E_FORMAT_FIELD, E_SCHEME_INVALID;
 * E_CARD_UNTRUSTED the signer is not trusted for the share's organisation; E_SIGNATURE (docs/FORMAT.md §14).
 */
export function parseAndVerifyShare(
  primitives: Primitives,
  bytes: Uint8Array,
  trusted: readonly TrustedSigner[],
): DocumentShare {
  const { signedBytes, signature, ...share } = decodeDocumentShare(bytes)
  const { keys } = findSigner(trusted, share.organisation, share.signer)
  if (!verifyPair(primitives, keys, SHARE_CONTEXT, signedBytes, signature)) {
    throw new MosaikError('E_SIGNATURE', 'a signature of the document share does not verify', {
      organisation: share.organisation,
      index: share.index,
    })
  }
  return share
}

/**
 * The sealed document from k or more verified shares of one sharing. Wrong bytes do not show here: opening must follow.
 *
 * @throws E_SHARES_MIXED shares that disagree in kind, suite, organisation, subject, generation, sharing, k, n or length, or one
 * index twice; E_SHARES_TOO_FEW
 */
export function combineShares(shares: readonly DocumentShare[]): Uint8Array<ArrayBuffer> {
  const first = shares[0]
  if (first === undefined)
    throw new MosaikError('E_SHARES_TOO_FEW', 'there are no shares of the document', { given: 0 })
  const { organisation, subject, generation, k } = first
  const fields = { organisation, subject, generation, k, given: shares.length }
  const group = shareGroupKey(first)
  if (shares.some((share) => shareGroupKey(share) !== group)) {
    throw new MosaikError('E_SHARES_MIXED', 'shares of different documents or sharings', fields)
  }
  if (new Set(shares.map(({ index }) => index)).size !== shares.length) {
    throw new MosaikError('E_SHARES_MIXED', 'one index is there twice', fields)
  }
  if (shares.length < k) throw new MosaikError('E_SHARES_TOO_FEW', `${shares.length} shares, ${k} are needed`, fields)
  const rows = shares.map(({ index, share }) => ({ index, bytes: share }))
  return combineDocument(k, rows, first.sealedBytes)
}

/**
 * Opens one recipient's entry. Gives `undefined`, or throws E_KEYRING_KEY_UNKNOWN, when the key id is not one of its own;
 * throws E_HPKE_OPEN when it is and the wrapped key does not open.
 */
export type Unwrap = (keyId: Uint8Array, wrapped: WrappedKey) => Promise<Uint8Array | undefined>

export interface OpenedDocument {
  readonly header: DocumentHeader
  /** CBOR; secret. */
  readonly body: Uint8Array<ArrayBuffer>
}

/**
 * Opens a sealed document with the first recipient entry that `unwrap` has the key of. Nothing is returned before the
 * FLOE header tag and every segment have verified.
 *
 * @throws those of `decodeSealedDocument`; E_HPKE_OPEN also when no entry is for a key of `unwrap`; E_HEADER_TAG; E_SEGMENT_TAG
 */
export async function openSealedDocument(
  primitives: Primitives,
  sealed: Uint8Array,
  unwrap: Unwrap,
): Promise<OpenedDocument> {
  const { header, headerBytes, entries, floeHeader, segments } = decodeSealedDocument(sealed)
  const info = ascii(documentInfo[header.kind])
  const { organisation, subject, generation, suite } = header
  const fields = { organisation, subject, generation }
  let documentKey: Uint8Array | undefined
  let unknown: unknown
  for (const entry of entries) {
    try {
      documentKey = await unwrap(entry.keyId, { suite, info, aad: headerBytes, enc: entry.enc, ct: entry.ct })
    } catch (error) {
      if (!isMosaikError(error, 'E_KEYRING_KEY_UNKNOWN')) throw error
      unknown = error
    }
    if (documentKey !== undefined) break
  }
  if (documentKey === undefined) {
    throw new MosaikError('E_HPKE_OPEN', 'the document is not sealed to a key that is here', fields, unknown)
  }
  const floe = new FloeKey(primitives, documentKey, primitives.sha256(headerBytes), floeHeader)
  documentKey.fill(0)
  try {
    return { header, body: openSegments(floe, segments, fields) }
  } finally {
    floe.destroy()
  }
}

function openSegments(
  floe: FloeKey,
  segments: Uint8Array,
  fields: { readonly organisation: string; readonly subject: string; readonly generation: number },
): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = []
  const count = Math.ceil(segments.length / SEGMENT_BYTES)
  for (let i = 0; i < count; i++) {
    const segment = segments.subarray(i * SEGMENT_BYTES, (i + 1) * SEGMENT_BYTES)
    const plaintext = floe.tryOpenSegment(i, segment, i === count - 1)
    if (plaintext === undefined) {
      throw new MosaikError('E_SEGMENT_TAG', 'a segment of the document does not open', { ...fields, segment: i })
    }
    parts.push(plaintext)
  }
  return concatenate(...parts)
}

/**
 * Combines verified shares and opens what they make; the document must be the one that its shares name.
 *
 * @throws those of `combineShares` and `openSealedDocument`; E_FORMAT_FIELD when the document's header disagrees with its
 * shares in kind, suite, organisation, subject or generation.
 */
export async function openShares(
  primitives: Primitives,
  shares: readonly DocumentShare[],
  unwrap: Unwrap,
): Promise<OpenedDocument & { readonly sealed: Uint8Array<ArrayBuffer> }> {
  const sealed = combineShares(shares)
  const opened = await openSealedDocument(primitives, sealed, unwrap)
  const [{ header }, share] = [opened, shares[0]!]
  const same =
    header.kind === share.kind &&
    header.suite === share.suite &&
    header.organisation === share.organisation &&
    header.subject === share.subject &&
    header.generation === share.generation
  if (!same) throw new MosaikError('E_FORMAT_FIELD', 'the document is another one than its shares name')
  return { ...opened, sealed }
}

/**
 * Unwraps with one KEM seed, whatever holds it.
 *
 * @param seedOf the seed for a suite, 32 bytes.
 */
export function unwrapWithSeed(primitives: HpkePrimitives, seedOf: (suite: 1 | 2) => Uint8Array): Unwrap {
  return (id, { suite, info, aad, enc, ct }) => {
    const seed = seedOf(suite)
    const own = keyId(primitives, suite, primitives.kem(suite).keyPair(seed).publicKey)
    if (!sameBytes(own, id)) return Promise.resolve(undefined)
    return new Promise((resolve) => resolve(hpkeOpen(suite, primitives, seed, enc, info, aad, ct)))
  }
}

/** Unwraps with the recovery key. @param recoverySeed R, 32 bytes (docs/FORMAT.md §8). */
export function unwrapWithRecoverySeed(primitives: HpkePrimitives, recoverySeed: Uint8Array): Unwrap {
  return unwrapWithSeed(primitives, (suite) => recoveryKemSeed(primitives, recoverySeed, suite))
}

/**
 * The manifest of an opened document, held to the document's header and to the hashes of its inline assets.
 *
 * @throws those of `decodeManifest`; E_FORMAT_FIELD when it contradicts its header or a `sha256` its inline content.
 */
export function readManifest(primitives: Primitives, { header, body }: OpenedDocument): Manifest {
  const manifest = decodeManifest(body)
  const { organisation, recording, generation } = manifest
  const fits =
    header.kind === 'manifest' &&
    header.organisation === organisation &&
    header.subject === recording &&
    header.generation === generation
  if (!fits) throw new MosaikError('E_FORMAT_FIELD', 'the manifest is not the one its header names', { recording })
  for (const { id, inline, sha256 } of manifest.assets) {
    if (inline !== null && !sameBytes(primitives.sha256(inline), sha256)) {
      throw new MosaikError('E_FORMAT_FIELD', 'an inline asset has another SHA-256 than its manifest says', {
        asset: id,
      })
    }
  }
  return manifest
}

/** The state of an opened document, held to the document's header. @throws those of `decodeState`; E_FORMAT_FIELD */
export function readState({ header, body }: OpenedDocument): OrganisationState {
  const state = decodeState(body)
  const { organisation, generation } = state
  const fits = header.kind === 'state' && header.organisation === organisation && header.generation === generation
  if (!fits) throw new MosaikError('E_FORMAT_FIELD', 'the state is not the one its header names', { organisation })
  return state
}
