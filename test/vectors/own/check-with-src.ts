import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { rootSigningSeed, trustedSigner, type TrustedSigner } from '../../../src/crypto/keys.ts'
import { signingKeys } from '../../../src/crypto/signature.ts'
import { decodeAssetHeader } from '../../../src/format/asset-header.ts'
import { decodeCbor } from '../../../src/format/cbor.ts'
import { decodeDocumentShare, type DocumentShare } from '../../../src/format/document-share.ts'
import { decodeFragmentHeader } from '../../../src/format/fragment-header.ts'
import { decodeManifest } from '../../../src/format/manifest.ts'
import { decodeNodeMarker } from '../../../src/format/node-marker.ts'
import { decodeReceipt } from '../../../src/format/receipt.ts'
import { decodeRecoveryKey } from '../../../src/format/recovery-key.ts'
import { decodeDocumentHeader, decodeSealedDocument, type DocumentHeader } from '../../../src/format/sealed-document.ts'
import { decodeSpoolHeader } from '../../../src/format/spool-header.ts'
import { decodeState } from '../../../src/format/state.ts'
import { decodeVaultCard } from '../../../src/format/vault-card.ts'
import { verifyReceipt } from '../../../src/ledger/receipt.ts'
import { trustCards } from '../../../src/ledger/vault-card.ts'
import {
  openSealedDocument,
  openShares,
  parseAndVerifyShare,
  readManifest,
  readState,
  unwrapWithRecoverySeed,
  unwrapWithSeed,
  type OpenedDocument,
  type Unwrap,
} from '../../../src/retrieve/open-document.ts'
import { content, fragment } from './content-with-src.ts'
import { restoreFolders } from './restore-with-src.ts'
import { hex, hexBytes, inputBytes, plain, type Folder, type Vector, type VectorContext } from './vector.ts'

/**
 * What src makes of a vector, in the shape of `expect.ok`.
 *
 * @param find the vector of a name.
 * @throws MosaikError
 */
export async function checkWithSrc(vector: Vector, find: (name: string) => Vector): Promise<unknown> {
  const { kind, input } = vector
  const context = vector.context ?? {}
  if (kind === 'recovery-key') return hex(decodeRecoveryKey(input as string, primitives.sha256))
  if (kind === 'vault') return vault(input as readonly Folder[], context)
  const inputs = inputBytes(vector, find)
  if (kind === 'document-shares') return shares(inputs, context)
  if (kind === 'content') return content(inputs, context)
  const cards = (context.cards ?? []).map((name) => inputBytes(find(name), find)[0]!)
  return one(kind, inputs[0]!, context, cards)
}

/** Restores from all folders, and from the last k of them: what comes out must be the same. */
async function vault(folders: readonly Folder[], { recoverySeed, scheme }: VectorContext): Promise<unknown> {
  const seed = hexBytes(recoverySeed!)
  const [all, few] = [await restoreFolders(folders, seed), await restoreFolders(folders.slice(-scheme![0]), seed)]
  if (JSON.stringify(all) !== JSON.stringify(few)) throw new Error('k folders restore something else than all of them')
  return all
}

async function one(
  kind: string,
  bytes: Uint8Array,
  context: VectorContext,
  cards: readonly Uint8Array[],
): Promise<unknown> {
  switch (kind) {
    case 'asset-header':
      return plain(decodeAssetHeader(bytes))
    case 'fragment-header': {
      const { scheme, ...header } = decodeFragmentHeader(bytes)
      return plain({ ...header, ...scheme })
    }
    case 'document-header':
      return header(decodeDocumentHeader(bytes))
    case 'cbor':
      return plain(decodeCbor(bytes))
    case 'spool-header': {
      const { offsetBytes, ...rest } = decodeSpoolHeader(bytes)
      return plain({ ...rest, offset: offsetBytes })
    }
    case 'node-marker':
      return plain(decodeNodeMarker(bytes))
    case 'manifest':
      return plain(checkManifest(bytes))
    case 'state':
      return plain(decodeState(bytes))
    case 'receipt':
      return body(context.signers ? verifyReceipt(primitives, bytes, signers(context)) : decodeReceipt(bytes))
    case 'vault-card':
      return body(card(bytes, context.recoverySeed, cards))
    case 'document-share':
      return share(
        context.signers ? parseAndVerifyShare(primitives, bytes, signers(context)) : decodeDocumentShare(bytes),
      )
    case 'sealed-document': {
      const unwrap = unwrapOf(context)
      if (unwrap === undefined) return { header: header(decodeSealedDocument(bytes).header) }
      return opened(await openSealedDocument(primitives, bytes, unwrap))
    }
    case 'fragment':
      return fragment(bytes, context)
    default:
      throw new Error(`src has no check for vectors of kind ${kind}`)
  }
}

/** A bare manifest, with the check of inline hashes that `readManifest` makes; its header is what it says itself. */
function checkManifest(bytes: Uint8Array): unknown {
  const { organisation, recording, generation } = decodeManifest(bytes)
  const own: DocumentHeader = {
    kind: 'manifest',
    suite: 1,
    organisation,
    subject: recording,
    generation,
    recipients: [],
  }
  return readManifest(primitives, { header: own, body: new Uint8Array(bytes) })
}

function header({ kind, ...rest }: DocumentHeader): unknown {
  return plain({ kind: kind === 'manifest' ? 1 : 2, ...rest })
}

/** What a card or receipt says, without its frame. */
function body(record: object): unknown {
  const frame = ['body', 'signedBytes', 'signature']
  return plain(Object.fromEntries(Object.entries(record).filter(([key]) => !frame.includes(key))))
}

function share(one: DocumentShare): unknown {
  const { kind, suite, organisation, subject, generation, sharing, index, k, n, sealedBytes, signer } = one
  const fields = { kind: kind === 'manifest' ? 1 : 2, suite, organisation, subject, generation, sharing, index, k, n }
  return plain({ ...fields, length: sealedBytes, signer, bytesSha256: primitives.sha256(one.share) })
}

function opened(document: OpenedDocument): unknown {
  const read = document.header.kind === 'manifest' ? readManifest(primitives, document) : readState(document)
  return { header: header(document.header), document: plain(read) }
}

function card(bytes: Uint8Array, recoverySeed: string | undefined, cards: readonly Uint8Array[]): object {
  const decoded = decodeVaultCard(bytes)
  if (recoverySeed === undefined) return decoded
  const root = signingKeys(primitives, rootSigningSeed(primitives, hexBytes(recoverySeed))).publicKeys
  const { refused } = trustCards(primitives, [...cards, bytes], root)
  const refusal = refused.find(({ position }) => position === cards.length)
  if (refusal !== undefined) throw refusal.error
  return decoded
}

function signers({ signers: list = [] }: VectorContext): TrustedSigner[] {
  return list.map(({ organisation, seed }) =>
    trustedSigner(primitives, organisation, signingKeys(primitives, hexBytes(seed)).publicKeys),
  )
}

function unwrapOf({ kemSeed, recoverySeed }: VectorContext): Unwrap | undefined {
  if (kemSeed !== undefined) return unwrapWithSeed(primitives, () => hexBytes(kemSeed))
  return recoverySeed === undefined ? undefined : unwrapWithRecoverySeed(primitives, hexBytes(recoverySeed))
}

async function shares(input: readonly Uint8Array[], context: VectorContext): Promise<unknown> {
  const trusted = signers(context)
  const verified = input.map((bytes) => parseAndVerifyShare(primitives, bytes, trusted))
  return opened(await openShares(primitives, verified, unwrapOf(context)!))
}
