import { MosaikError } from '../domain/errors.ts'
import { fromHex, type Id } from '../domain/ids.ts'
import {
  readArray,
  readBytes,
  readBytesOf,
  readId,
  readInteger,
  readMap,
  readNullable,
  requireField,
  type Read,
} from './cbor-fields.ts'
import { decodeCbor, encodeCbor } from './cbor.ts'
import { concatenate } from './header-bytes.ts'
import { decodeSignedRecord, encodeRecordForSigning, type SignedRecord } from './signed-record.ts'
import {
  checkSuite,
  ED25519_PUBLIC_BYTES,
  KEY_ID_BYTES,
  MLDSA65_PUBLIC_BYTES,
  suiteSizes,
  type Suite,
} from './suites.ts'

/** A public key of a KEM, on a card. */
export interface CardKem {
  readonly suite: Suite
  readonly publicKey: Uint8Array
}

/** The public halves of a signing seed, on a card. */
export interface CardSigner {
  /** 32 bytes. */
  readonly ed25519: Uint8Array
  /** 1952 bytes. */
  readonly mldsa65: Uint8Array
}

/** What a vault card says (docs/FORMAT.md §8): the public keys of one organisation in one epoch. */
export interface VaultCard {
  readonly installation: Id
  readonly organisation: Id
  /** From 1. */
  readonly epoch: number
  readonly issuedAtMs: number
  readonly kem: readonly CardKem[]
  readonly recovery: readonly CardKem[]
  readonly signing: CardSigner
  readonly root: CardSigner
  /** SHA-256 of the card of the epoch before. */
  readonly previous: Uint8Array | null
  /** Signer id, 16 bytes: the root's, or that of the card before. */
  readonly signer: Uint8Array
}

/** A card as it lies on a node: parsed, not yet verified. */
export type SignedCard = VaultCard & SignedRecord

const MAGIC = 'MOSAIKVC'
/** Longest card (docs/FORMAT.md §8). */
export const MAX_CARD_BYTES = 65_536
/** Context of the signature pair. */
export const CARD_CONTEXT = 'mosaik/v1/card'

/** The bytes to sign. @throws E_FORMAT_CBOR, E_FORMAT_FIELD, E_SUITE_UNKNOWN: what is written can be read. */
export function encodeCardForSigning(card: VaultCard): Uint8Array<ArrayBuffer> {
  const kem = (keys: readonly CardKem[]) => keys.map(({ suite, publicKey }) => ({ suite, publicKey }))
  const signer = ({ ed25519, mldsa65 }: CardSigner) => ({ ed25519, mldsa65 })
  const body = encodeCbor({
    installation: fromHex(card.installation),
    organisation: fromHex(card.organisation),
    epoch: card.epoch,
    issuedAtMs: card.issuedAtMs,
    kem: kem(card.kem),
    recovery: kem(card.recovery),
    signing: signer(card.signing),
    root: signer(card.root),
    previous: card.previous,
    signer: card.signer,
  })
  decodeCardBody(body)
  return encodeRecordForSigning(MAGIC, body)
}

/** The whole card. @throws E_FORMAT_LENGTH when the signature is not a pair of 3373 bytes. */
export function encodeVaultCard(signedBytes: Uint8Array, signature: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = concatenate(signedBytes, signature)
  decodeVaultCard(bytes)
  return bytes
}

const readKem: Read<CardKem> = (value, what) => {
  const { suite, publicKey } = readMap<{ suite: number; publicKey: Uint8Array }>(value, what, {
    suite: readInteger,
    publicKey: readBytes,
  })
  const known = checkSuite(suite, what)
  requireField(publicKey.length === suiteSizes[known].publicKeyBytes, `${what}.publicKey has not its suite's length`)
  return { suite: known, publicKey }
}

const readSigner: Read<CardSigner> = (value, what) =>
  readMap<CardSigner>(value, what, {
    ed25519: readBytesOf(ED25519_PUBLIC_BYTES),
    mldsa65: readBytesOf(MLDSA65_PUBLIC_BYTES),
  })

function decodeCardBody(body: Uint8Array): VaultCard {
  const card = readMap<VaultCard>(decodeCbor(body), 'card', {
    installation: readId,
    organisation: readId,
    epoch: readInteger,
    issuedAtMs: readInteger,
    kem: readArray(readKem),
    recovery: readArray(readKem),
    signing: readSigner,
    root: readSigner,
    previous: readNullable(readBytesOf(32)),
    signer: readBytesOf(KEY_ID_BYTES),
  })
  requireField(card.epoch >= 1, 'card.epoch counts from 1')
  return card
}

/**
 * Parses one object under `card/`. Its signature is not verified: see src/ledger/vault-card.ts.
 *
 * @throws E_FORMAT_MAGIC, E_FORMAT_VERSION, E_FORMAT_LENGTH, E_FORMAT_CBOR, E_FORMAT_FIELD, E_SUITE_UNKNOWN a KEM key of an
 * unknown suite
 */
export function decodeVaultCard(bytes: Uint8Array): SignedCard {
  const record = decodeSignedRecord(bytes, MAGIC, 'the vault card')
  if (bytes.length > MAX_CARD_BYTES) {
    throw new MosaikError(
      'E_FORMAT_LENGTH',
      `a vault card has at most ${MAX_CARD_BYTES} bytes, this one ${bytes.length}`,
    )
  }
  return { ...decodeCardBody(record.body), ...record }
}
