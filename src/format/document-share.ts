import { checkScheme } from '../domain/dispersal.ts'
import type { Id } from '../domain/ids.ts'
import { checkIndex } from './fragment-header.ts'
import { concatenate, HeaderView, HeaderWriter } from './header-bytes.ts'
import {
  checkDocumentSubject,
  documentKindNumber,
  MAX_SEALED_DOCUMENT_BYTES,
  type DocumentKind,
} from './sealed-document.ts'
import { checkSuite, KEY_ID_BYTES, SIGNATURE_PAIR_BYTES, type Suite } from './suites.ts'

/** What all shares of one split of one sealed document agree in (docs/FORMAT.md §6). */
export interface ShareGroup {
  readonly kind: DocumentKind
  readonly suite: Suite
  readonly organisation: Id
  readonly subject: Id
  readonly generation: number
  readonly sharing: Id
  readonly k: number
  readonly n: number
  /** Length of the sealed document, at most 64 MiB. */
  readonly sealedBytes: number
}

export interface DocumentShare extends ShareGroup {
  readonly index: number
  /** 16 bytes (docs/FORMAT.md §8). */
  readonly signer: Uint8Array
  /** B = 16·⌈sealed length / 16⌉ bytes. Secret: below k shares nothing may be learnt, so it is never logged. */
  readonly share: Uint8Array
}

/** A share as it lies on a node: parsed, its signature not yet verified. */
export interface SignedShare extends DocumentShare {
  /** All bytes before the signature pair. */
  readonly signedBytes: Uint8Array
  readonly signature: Uint8Array
}

const MAGIC = 'MOSAIKDS'
const FIXED_BYTES = 96
const FIELD_POLYNOMIAL = 0x11b
/** Context of the signature pair. */
export const SHARE_CONTEXT = 'mosaik/v1/share'

/** Length of a share of a sealed document: B = 16·⌈sealed length / 16⌉. */
export function shareLength(sealedBytes: number): number {
  return 16 * Math.ceil(sealedBytes / 16)
}

/** Size of a whole share object. */
export function shareObjectLength(sealedBytes: number): number {
  return FIXED_BYTES + shareLength(sealedBytes) + SIGNATURE_PAIR_BYTES
}

/** The part of the object that is signed. @throws E_FORMAT_FIELD, E_SCHEME_INVALID, E_INPUT when an id is not one. */
export function encodeShareForSigning(share: DocumentShare): Uint8Array<ArrayBuffer> {
  const writer = new HeaderWriter(MAGIC, FIXED_BYTES + shareLength(share.sealedBytes))
    .u8(10, documentKindNumber(share.kind))
    .u8(11, share.suite)
    .id(12, share.organisation)
    .id(28, share.subject)
    .u64(44, share.generation)
    .id(52, share.sharing)
    .u8(68, share.index)
    .u8(69, share.k)
    .u8(70, share.n)
    .u16(72, FIELD_POLYNOMIAL)
    .u32(76, share.sealedBytes)
    .copy(80, share.signer, KEY_ID_BYTES)
    .copy(FIXED_BYTES, share.share, shareLength(share.sealedBytes))
  decodeDocumentShare(concatenate(writer.bytes, new Uint8Array(SIGNATURE_PAIR_BYTES)))
  return writer.bytes
}

/** The whole object. @throws E_FORMAT_LENGTH when the signature is not a pair of 3373 bytes. */
export function encodeDocumentShare(signedBytes: Uint8Array, signature: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = concatenate(signedBytes, signature)
  decodeDocumentShare(bytes)
  return bytes
}

/**
 * Parses one object under `m/` or `s/`. Its signature is not verified: nothing in it is to be believed yet.
 *
 * @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_SUITE_UNKNOWN, E_FORMAT_LENGTH, E_FORMAT_FIELD, E_SCHEME_INVALID
 */
export function decodeDocumentShare(bytes: Uint8Array): SignedShare {
  const view = new HeaderView(bytes, 'the document share').magic(MAGIC).version()
  const suite = checkSuite(view.u8(11), 'the document share')
  view.atLeast(FIXED_BYTES)
  const sealedBytes = view.u32(76)
  view.length(shareObjectLength(sealedBytes))
  view.require(sealedBytes <= MAX_SEALED_DOCUMENT_BYTES, 'is of a document above 64 MiB')
  view.zero(71, 1)
  view.require(view.u16(72) === FIELD_POLYNOMIAL, 'uses another field than 0x11b')
  view.zero(74, 2)
  const subject = view.id(28)
  const generation = view.u64(44, 'generation')
  const kind = checkDocumentSubject(view, view.u8(10), subject, generation)
  const [index, k, n] = [view.u8(68), view.u8(69), view.u8(70)]
  checkScheme({ k, n, t: k - 1 })
  checkIndex(index, n)
  const shareBytes = shareLength(sealedBytes)
  return {
    kind,
    suite,
    organisation: view.id(12),
    subject,
    generation,
    sharing: view.id(52),
    k,
    n,
    sealedBytes,
    index,
    signer: view.copy(80, KEY_ID_BYTES),
    share: view.copy(FIXED_BYTES, shareBytes),
    signedBytes: view.copy(0, FIXED_BYTES + shareBytes),
    signature: view.copy(FIXED_BYTES + shareBytes, SIGNATURE_PAIR_BYTES),
  }
}

/** Text that two shares have in common exactly when they may be combined; a key for grouping, safe to log. */
export function shareGroupKey(group: ShareGroup): string {
  const { kind, suite, organisation, subject, generation, sharing, k, n, sealedBytes } = group
  return [kind, suite, organisation, subject, generation, sharing, k, n, sealedBytes].join('/')
}
