import type { HpkePrimitives } from '../crypto/kem.ts'
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
import { withDeadline } from '../ports/deadline.ts'
import { sealDocument } from './seal-document.ts'
import { splitSealedDocument } from './split-document.ts'
import { neededFragments } from './store-asset.ts'

export interface DocumentPorts {
  readonly layout: LayoutCatalog
  readonly pool: NodePool
  readonly keyring: PublicKeyring
  readonly primitives: HpkePrimitives
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
  /** Of the vault key that it is sealed to. */
  readonly epoch: number
  readonly sharesVerified: number
  /** For a document that does not count after all: its shares become the collector's. */
  readonly discard: () => Promise<void>
}

/** A node that did not take its share in this time is left out; min(k + 1, n) others suffice. */
const SHARE_TIMEOUT_MS = 30_000
/** What a node takes in one piece (src/ports/object-store.ts). */
const SHARE_MAX_BYTES = 8 * 1024 * 1024

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
    sign: (message: Uint8Array) => ports.keyring.sign(organisation, keys.epoch, 'mosaik/v1/share', message),
    random: ports.random,
    primitives: ports.primitives,
  })
  if ((shares[0]?.length ?? 0) > SHARE_MAX_BYTES) {
    throw new MosaikError(
      'E_INPUT',
      `the ${kind} is too large: people, captions and posters have at most 8 MiB together`,
      {
        organisation,
        recording,
      },
    )
  }
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
      // A recording's scheme may change while its manifest stands.
      scheme,
      createdAtMs,
    })),
    document.fence,
  )
  const settled = await Promise.allSettled(
    places.map(({ node, index, key }) => putShare(ports, node, key, shares[index] as Uint8Array, signal)),
  )
  const outcomes = settled.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  })
  const discard = async (): Promise<void> => {
    for (const { node, key } of places) await ports.layout.setObjectState(node.id, key, 'failed')
  }
  const sharesVerified = outcomes.filter((outcome) => outcome === 'stored').length
  const needed = neededFragments(scheme)
  if (sharesVerified < needed) {
    await discard()
    const reasons = outcomes.filter((outcome) => outcome !== 'stored')
    throw new MosaikError(
      'E_NODES_TOO_FEW',
      `${sharesVerified} of ${scheme.n} nodes took their ${kind} share and ${needed} are needed (${reasons.join('; ')}); the write is tried again later`,
      { organisation, recording, generation, needed, reasons },
    )
  }
  return { sharing, sealedSha256, epoch: keys.epoch, sharesVerified, discard }
}

/** "stored", or the reason in words; one node's trouble is not the write's. */
async function putShare(
  ports: DocumentPorts,
  node: StorageNode,
  key: ObjectKey,
  share: Uint8Array,
  signal: AbortSignal,
): Promise<string> {
  const late = (): MosaikError => new MosaikError('E_NODE_UNREACHABLE', `no answer in ${SHARE_TIMEOUT_MS} ms`)
  try {
    await withDeadline({ clock: ports.clock, limitMs: SHARE_TIMEOUT_MS, signal, late }, async (limited) => {
      const store = await ports.pool.store(node.id)
      await store.put(key, share, limited)
    })
  } catch (error) {
    signal.throwIfAborted()
    if (!isMosaikError(error)) throw error
    ports.pool.observe(node.id, 'failed', 0)
    await ports.layout.setObjectState(node.id, key, 'failed')
    return `${node.name}: ${error.code} ${error.message}`
  }
  await ports.layout.setObjectState(node.id, key, 'stored', share.length)
  return 'stored'
}
