import * as reader from '../../scripts/standalone-reader/read.ts'

export const decoders = {
  'asset-header': reader.decodeAssetHeader,
  'fragment-header': reader.decodeFragmentHeader,
  'document-header': reader.decodeDocumentHeader,
  'sealed-document': reader.decodeSealedDocument,
  'document-share': reader.decodeDocumentShare,
  'vault-card': reader.decodeVaultCard,
  receipt: reader.decodeReceipt,
  'node-marker': reader.decodeNodeMarker,
  manifest: reader.decodeManifest,
  state: reader.decodeState,
  'recovery-key': reader.decodeRecoveryKey,
  cbor: reader.decodeCbor,
  'spool-header': reader.decodeSpoolHeader,
} as const

export interface VectorContext {
  recoverySeed?: Uint8Array
  kemSeed?: Uint8Array
  signers?: readonly reader.TrustedSigner[]
  cards?: readonly Uint8Array[]
  documentHeader?: Uint8Array
  verifyKeys?: readonly Uint8Array[]
  sealedBytes?: number
}

/**
 * Decodes `bytes` as `kind` (a name in `decoders`, or `fragment` for a whole one) and, as far as the context has what it
 * takes, goes on to trust, signatures, keys and tags. Throws the ReaderError of §14 or returns what it found.
 */
export function checkVector(kind: string, bytes: Uint8Array, context: VectorContext = {}): unknown {
  const { recoverySeed, kemSeed, signers } = context
  const header = context.documentHeader && reader.decodeDocumentHeader(context.documentHeader)
  const key = kemSeed ? { kemSeed } : recoverySeed ? { recoverySeed } : undefined
  switch (kind) {
    case 'manifest':
      return reader.decodeManifest(bytes, header)
    case 'state':
      return reader.decodeState(bytes, header)
    case 'fragment':
      return checkFragment(bytes, context.verifyKeys ?? [], context.sealedBytes ?? 0)
    case 'document-share':
      return signers ? reader.verifyDocumentShare(bytes, signers) : reader.decodeDocumentShare(bytes)
    case 'sealed-document': {
      if (key === undefined) return reader.decodeSealedDocument(bytes)
      const opened = reader.openSealedDocument(bytes, key)
      return (opened.header.kind === 1 ? reader.decodeManifest : reader.decodeState)(opened.plaintext, opened.header)
    }
    case 'receipt': {
      const receipt = reader.decodeReceipt(bytes)
      if (signers) reader.verifyBySigner(bytes, 'mosaik/v1/receipt', receipt.signer, receipt.organisation, signers)
      return receipt
    }
    case 'vault-card': {
      const card = reader.decodeVaultCard(bytes)
      if (recoverySeed === undefined) return card
      const others = context.cards ?? []
      const refused = reader
        .trustCards([...others, bytes], recoverySeed)
        .refused.find((r) => r.position === others.length)
      if (refused !== undefined) throw refused.error
      return card
    }
    default: {
      if (!Object.hasOwn(decoders, kind)) throw new RangeError(`no decoder for ${kind}`)
      return decoders[kind as keyof typeof decoders](bytes)
    }
  }
}

/** A whole fragment in memory: header, length, and the tag of every block under one of the verify keys. */
export function checkFragment(
  b: Uint8Array,
  verifyKeys: readonly Uint8Array[],
  sealedBytes: number,
): reader.FragmentHeader {
  const head = b.subarray(0, 256)
  const header = reader.decodeFragmentHeader(head)
  const { from, to } = reader.extentRange(header.extent, sealedBytes)
  if (from >= to) throw new reader.ReaderError('E_FORMAT_FIELD', `extent ${header.extent} is beyond the asset`)
  if (b.length !== reader.fragmentSize(header, sealedBytes))
    throw new reader.ReaderError('E_FORMAT_LENGTH', `a fragment of ${b.length} bytes`)
  const keys = verifyKeys.map((key) => reader.fragmentKey(key, head))
  for (let i = from; i < to; i++) {
    const { offset, length } = reader.blockPlace(i, sealedBytes, header)
    const tag = b.subarray(offset + length, offset + length + 16)
    const block = b.subarray(offset, offset + length)
    if (!keys.some((key) => reader.equal(reader.blockTag(key, i, block), tag)))
      throw new reader.ReaderError('E_BLOCK_TAG', `block of segment ${i}`)
  }
  return header
}
