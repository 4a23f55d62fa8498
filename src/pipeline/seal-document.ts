import { ascii } from '../crypto/bytes.ts'
import { FLOE_HEADER_BYTES } from '../crypto/floe.ts'
import { floeRandomBytes, floeSeal } from '../crypto/floe-message.ts'
import { hpkeSeal } from '../crypto/hpke.ts'
import { keyId } from '../crypto/keys.ts'
import type { HpkePrimitives } from '../crypto/kem.ts'
import { MosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import {
  documentInfo,
  encodeDocumentHeader,
  encodeSealedDocument,
  type DocumentKind,
} from '../format/sealed-document.ts'
import type { KemPublicKey, Suite } from '../ports/keyring.ts'
import type { Random } from '../ports/system.ts'

export interface DocumentToSeal {
  readonly kind: DocumentKind
  readonly suite: Suite
  readonly organisation: Id
  /** The recording; `NO_SUBJECT` for a state. */
  readonly subject: Id
  /** From 1; never used for another document. */
  readonly generation: number
  /** CBOR of the document (`encodeManifest`, `encodeState`). */
  readonly body: Uint8Array
  /** 2 … 16, all of `suite`: the vault key of the epoch and the recovery key at least. */
  readonly recipients: readonly KemPublicKey[]
  readonly random: Pick<Random, 'bytes'>
  readonly primitives: HpkePrimitives
}

/**
 * Seals a document under a fresh document key, wrapped to every recipient (docs/FORMAT.md §6).
 *
 * @returns the sealed document.
 * @throws E_INPUT recipients of another suite or one twice; E_FORMAT_FIELD too few or too many; E_FORMAT_LENGTH above 64 MiB.
 */
export function sealDocument(document: DocumentToSeal): Uint8Array<ArrayBuffer> {
  const { kind, suite, organisation, subject, generation, recipients, random, primitives } = document
  const kem = primitives.kem(suite)
  const keyIds = recipients.map((recipient) => {
    if (recipient.suite !== suite) {
      throw new MosaikError('E_INPUT', `a recipient's key is of suite ${recipient.suite}, the document of ${suite}`)
    }
    return keyId(primitives, suite, recipient.publicKey)
  })
  if (new Set(keyIds.map(toHex)).size !== keyIds.length) throw new MosaikError('E_INPUT', 'a recipient is named twice')
  const header = encodeDocumentHeader({ kind, suite, organisation, subject, generation, recipients: keyIds })

  const documentKey = random.bytes(32)
  const info = ascii(documentInfo[kind])
  const entries = recipients.map(({ publicKey }, i) => {
    const encapsRandomness = random.bytes(kem.randomBytes)
    const wrapped = hpkeSeal(suite, primitives, publicKey, info, header, documentKey, encapsRandomness)
    encapsRandomness.fill(0)
    return { keyId: keyIds[i]!, ...wrapped }
  })
  const aad = primitives.sha256(header)
  const floe = floeSeal(
    primitives,
    documentKey,
    aad,
    document.body,
    random.bytes(floeRandomBytes(document.body.length)),
  )
  documentKey.fill(0)
  return encodeSealedDocument(header, entries, floe.subarray(0, FLOE_HEADER_BYTES), floe.subarray(FLOE_HEADER_BYTES))
}
