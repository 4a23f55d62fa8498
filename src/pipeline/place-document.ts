import type { Primitives } from '../crypto/primitives.ts'
import type { Scheme } from '../domain/dispersal.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import type { StorageNode } from '../domain/node.ts'
import { objectName } from '../format/object-names.ts'
import type { LayoutCatalog } from '../ports/catalog/layout.ts'
import type { Fence } from '../ports/catalog/recordings.ts'
import type { PublicKeyring, Suite } from '../ports/keyring.ts'
import type { NodePool } from '../ports/node-pool.ts'
import type { ObjectKey } from '../ports/object-store.ts'
import type { Clock, Random } from '../ports/system.ts'
import { sealDocument, splitSealedDocument } from './seal-document.ts'
import { neededFragments } from './store-asset.ts'

export interface DocumentPorts {
  readonly layout: LayoutCatalog
  readonly pool: NodePool
  readonly keyring: PublicKeyring
  readonly primitives: Primitives
  readonly random: Random
  readonly clock: Clock
}

export interface DocumentToPlace {
  readonly kind: 'manifest' | 'state'
  readonly suite: Suite
  readonly organisation: Id
  /** Null for an organisation's state. */
  readonly recording: Id | null
  /** Reserved by the caller; never used for another document. */
  readonly generation: number
  /** CBOR of the document. */
  readonly body: Uint8Array
  readonly scheme: Scheme
  /** Share i goes to node i. */
  readonly nodes: readonly StorageNode[]
  readonly fence?: Fence
  /** Called with the hash of the sealed document before anything is written; throwing writes nothing. */
  readonly sealed?: (sealedSha256: Uint8Array) => Promise<void>
}

export interface PlacedDocument {
  readonly sharing: Id
  readonly sealedSha256: Uint8Array
  readonly sharesVerified: number
}

/** The subject of an organisation's state (docs/FORMAT.md §6). */
const NO_RECORDING = '0'.repeat(32)

/**
 * Seals a document to the organisation's vault key and recovery key, splits it (t = k − 1), signs the shares, and puts them onto the
 * nodes; rows first. Done when min(k + 1, n) shares are verified.
 *
 * @throws E_NODES_TOO_FEW with each node's reason, E_LEASE_LOST
 */
export async function placeDocument(
  ports: DocumentPorts,
  document: DocumentToPlace,
  signal: AbortSignal,
): Promise<PlacedDocument> {
  const { organisation, recording, generation, scheme, kind, suite } = document
  const keys = await ports.keyring.publicKeys(organisation)
  const sealed = sealDocument({
    kind,
    suite,
    organisation,
    subject: recording ?? NO_RECORDING,
    generation,
    body: document.body,
    recipients: [...keys.kem, ...keys.recovery].filter((key) => key.suite === suite),
    random: ports.random,
    primitives: ports.primitives,
  })
  const sealedSha256 = ports.primitives.sha256(sealed)
  await document.sealed?.(sealedSha256)
  const sharing = toHex(ports.random.bytes(16))
  const shares = await splitSealedDocument({
    sealed,
    k: scheme.k,
    n: scheme.n,
    sharing,
    signing: keys.signing,
    sign: (message: Uint8Array) => ports.keyring.sign(organisation, 'mosaik/v1/share', message),
    random: ports.random,
    primitives: ports.primitives,
  })
  const places = document.nodes.map((node, index) => ({
    node,
    index,
    key: objectName(kind === 'manifest' ? 'manifest-share' : 'state-share', ports.random.bytes(16)),
  }))
  const createdAtMs = ports.clock.nowMs()
  await ports.layout.addObjects(
    places.map(({ node, index, key }) => ({
      node: node.id,
      key,
      organisation,
      recording,
      role: { kind, generation },
      sharing,
      index,
      createdAtMs,
    })),
    document.fence,
  )
  const outcomes = await Promise.all(
    places.map(({ node, index, key }) => putShare(ports, node, key, shares[index] as Uint8Array, signal)),
  )
  const sharesVerified = outcomes.filter((outcome) => outcome === 'stored').length
  const needed = neededFragments(scheme)
  if (sharesVerified < needed) {
    const reasons = outcomes.filter((outcome) => outcome !== 'stored')
    throw new MosaikError(
      'E_NODES_TOO_FEW',
      `${sharesVerified} of ${scheme.n} nodes took their ${kind} share and ${needed} are needed (${reasons.join('; ')}); the write is tried again later`,
      { organisation, recording, generation, needed, reasons },
    )
  }
  return { sharing, sealedSha256, sharesVerified }
}

/** "stored", or the reason in words; one node's trouble is not the write's. */
async function putShare(
  ports: DocumentPorts,
  node: StorageNode,
  key: ObjectKey,
  share: Uint8Array,
  signal: AbortSignal,
): Promise<string> {
  try {
    const store = await ports.pool.store(node.id)
    await store.put(key, share, signal)
    await ports.layout.setObjectState(node.id, key, 'stored', share.length)
    return 'stored'
  } catch (error) {
    signal.throwIfAborted()
    if (!isMosaikError(error)) throw error
    await ports.layout.setObjectState(node.id, key, 'failed')
    return `${node.name}: ${error.code} ${error.message}`
  }
}
