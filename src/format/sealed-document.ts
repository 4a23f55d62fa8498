import { MosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import { FLOE_HEADER_BYTES, FLOE_PARAMETERS, SEGMENT_BYTES, SEGMENT_OVERHEAD_BYTES } from './asset-header.ts'
import { concatenate, HeaderView, HeaderWriter, sameBytes } from './header-bytes.ts'
import { checkSuite, KEY_ID_BYTES, suiteSizes, type Suite } from './suites.ts'

export type DocumentKind = 'manifest' | 'state'

/** Clear front of a sealed document; its SHA-256 is FLOE's additional data, itself is HPKE's (docs/FORMAT.md §6). */
export interface DocumentHeader {
  readonly kind: DocumentKind
  readonly suite: Suite
  readonly organisation: Id
  /** The recording; `NO_SUBJECT` for a state. */
  readonly subject: Id
  /** From 1. */
  readonly generation: number
  /** 2 … 16 key ids of 16 bytes, in the order of the wrapped keys. */
  readonly recipients: readonly Uint8Array[]
}

/** One recipient's entry: the document key wrapped to one KEM key. */
export interface RecipientEntry {
  /** 16 bytes. */
  readonly keyId: Uint8Array
  readonly enc: Uint8Array
  readonly ct: Uint8Array
}

/** The parts of a sealed document. */
export interface SealedDocument {
  readonly header: DocumentHeader
  /** The header as it lies there: what HPKE and FLOE are bound to. */
  readonly headerBytes: Uint8Array
  readonly entries: readonly RecipientEntry[]
  /** 74 bytes. */
  readonly floeHeader: Uint8Array
  /** FLOE segments up to the end. */
  readonly segments: Uint8Array
}

const MAGIC = 'MOSAIKDH'
const FIXED_BYTES = 53
const kindNumbers: Readonly<Record<DocumentKind, number>> = { manifest: 1, state: 2 }

/** Subject of an organisation's state: 16 zero bytes. */
export const NO_SUBJECT: Id = '0'.repeat(32)
export const MIN_RECIPIENTS = 2
export const MAX_RECIPIENTS = 16
/** Longest sealed document (docs/FORMAT.md §6). */
export const MAX_SEALED_DOCUMENT_BYTES = 67_108_864
/** HPKE `info` of each kind. */
export const documentInfo: Readonly<Record<DocumentKind, string>> = {
  manifest: 'mosaik/v1/manifest',
  state: 'mosaik/v1/state',
}

/** The kind's number on the wire: 1 manifest, 2 organisation state. */
export function documentKindNumber(kind: DocumentKind): number {
  return kindNumbers[kind]
}

/** Kind, subject and generation as document headers and shares have them in common. @throws E_FORMAT_FIELD */
export function checkDocumentSubject(
  view: HeaderView,
  kindNumber: number,
  subject: Id,
  generation: number,
): DocumentKind {
  view.require(kindNumber === 1 || kindNumber === 2, `has kind ${kindNumber}; 1 is a manifest, 2 a state`)
  const kind = kindNumber === 1 ? 'manifest' : 'state'
  view.require(kind === 'manifest' || subject === NO_SUBJECT, 'of a state must have a subject of zeros')
  view.require(generation >= 1, 'has generation 0; they count from 1')
  return kind
}

/** @throws E_FORMAT_FIELD, E_SUITE_UNKNOWN, E_INPUT when an id is not one. */
export function encodeDocumentHeader(header: DocumentHeader): Uint8Array<ArrayBuffer> {
  const { recipients } = header
  const writer = new HeaderWriter(MAGIC, FIXED_BYTES + KEY_ID_BYTES * recipients.length)
    .u8(10, kindNumbers[header.kind])
    .u8(11, header.suite)
    .id(12, header.organisation)
    .id(28, header.subject)
    .u64(44, header.generation)
    .u8(52, recipients.length)
  recipients.forEach((keyId, i) => writer.copy(FIXED_BYTES + KEY_ID_BYTES * i, keyId, KEY_ID_BYTES))
  decodeDocumentHeader(writer.bytes)
  return writer.bytes
}

/**
 * @param bytes exactly the header.
 * @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_SUITE_UNKNOWN, E_FORMAT_LENGTH, E_FORMAT_FIELD
 */
export function decodeDocumentHeader(bytes: Uint8Array): DocumentHeader {
  const { view, suite, recipientCount } = openHeader(bytes)
  view.length(FIXED_BYTES + KEY_ID_BYTES * recipientCount)
  return readHeader(view, suite, recipientCount)
}

function openHeader(bytes: Uint8Array): { view: HeaderView; suite: Suite; recipientCount: number } {
  const view = new HeaderView(bytes, 'the document header').magic(MAGIC).version()
  const suite = checkSuite(view.u8(11), 'the document header')
  view.atLeast(FIXED_BYTES)
  return { view, suite, recipientCount: view.u8(52) }
}

function readHeader(view: HeaderView, suite: Suite, recipientCount: number): DocumentHeader {
  view.require(
    recipientCount >= MIN_RECIPIENTS && recipientCount <= MAX_RECIPIENTS,
    `has ${recipientCount} recipients; ${MIN_RECIPIENTS} to ${MAX_RECIPIENTS} are possible`,
  )
  const subject = view.id(28)
  const generation = view.u64(44, 'generation')
  const kind = checkDocumentSubject(view, view.u8(10), subject, generation)
  const recipients = Array.from({ length: recipientCount }, (_, i) =>
    view.copy(FIXED_BYTES + KEY_ID_BYTES * i, KEY_ID_BYTES),
  )
  view.require(new Set(recipients.map(toHex)).size === recipientCount, 'names a recipient twice')
  return { kind, suite, organisation: view.id(12), subject, generation, recipients }
}

/**
 * Joins the parts; the entries are in the order of the header's key ids.
 *
 * @throws E_FORMAT_FIELD entries that do not fit the header, E_FORMAT_LENGTH
 */
export function encodeSealedDocument(
  headerBytes: Uint8Array,
  entries: readonly RecipientEntry[],
  floeHeader: Uint8Array,
  segments: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const { recipients } = decodeDocumentHeader(headerBytes)
  const ordered =
    recipients.length === entries.length && recipients.every((id, i) => toHex(id) === toHex(entries[i]!.keyId))
  if (!ordered) throw new MosaikError('E_FORMAT_FIELD', 'the wrapped keys are not those of the header, in its order')
  const wrapped = entries.flatMap(({ enc, ct }) => [enc, ct])
  const sealed = concatenate(headerBytes, ...wrapped, floeHeader, segments)
  decodeSealedDocument(sealed)
  return sealed
}

/**
 * Takes a sealed document apart. Says nothing about its truth: that needs a recipient's key.
 *
 * @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_SUITE_UNKNOWN, E_FORMAT_LENGTH (also when no FLOE segments can have the length
 * that is left, and above 64 MiB), E_FORMAT_FIELD
 */
export function decodeSealedDocument(sealed: Uint8Array): SealedDocument {
  const { view, suite, recipientCount } = openHeader(sealed)
  const { encBytes, ctBytes } = suiteSizes[suite]
  const headerLength = FIXED_BYTES + KEY_ID_BYTES * recipientCount
  const floeStart = headerLength + recipientCount * (encBytes + ctBytes)
  const segmentStart = floeStart + FLOE_HEADER_BYTES
  view.atLeast(segmentStart + SEGMENT_OVERHEAD_BYTES)
  const lastBytes = (sealed.length - segmentStart) % SEGMENT_BYTES
  if (lastBytes > 0 && lastBytes < SEGMENT_OVERHEAD_BYTES) {
    throw view.fault('E_FORMAT_LENGTH', `leaves ${lastBytes} bytes for the last FLOE segment; 32 are the least`)
  }
  if (sealed.length > MAX_SEALED_DOCUMENT_BYTES) throw view.fault('E_FORMAT_LENGTH', 'is of a document above 64 MiB')
  const header = readHeader(view, suite, recipientCount)
  const floeHeader = view.copy(floeStart, FLOE_HEADER_BYTES)
  const parameters = floeHeader.subarray(0, FLOE_PARAMETERS.length)
  view.require(sameBytes(parameters, FLOE_PARAMETERS), 'is followed by other FLOE parameters than those of version 1')
  const entries = header.recipients.map((keyId, i) => {
    const start = headerLength + i * (encBytes + ctBytes)
    return { keyId, enc: view.copy(start, encBytes), ct: view.copy(start + encBytes, ctBytes) }
  })
  return {
    header,
    headerBytes: view.copy(0, headerLength),
    entries,
    floeHeader,
    segments: view.copy(segmentStart, sealed.length - segmentStart),
  }
}
