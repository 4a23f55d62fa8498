import type { Scheme } from '../domain/dispersal.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { StorageNode } from '../domain/node.ts'
import type { Manifest } from '../domain/recording.ts'
import { encodeManifest } from '../format/manifest.ts'
import type { Fence, RecordingChange } from '../ports/catalog/recordings.ts'
import type { Suite } from '../ports/keyring.ts'
import { placeDocument, type DocumentPorts } from './place-document.ts'

export interface ManifestToCommit {
  /** Everything but the generation and the hash of the one before, which are found here. */
  readonly manifest: Omit<Manifest, 'generation' | 'previous'>
  /** Generation that the caller built upon; 0 for a new recording. */
  readonly expectedStored: number
  readonly suite: Suite
  readonly scheme: Scheme
  /** Share i goes to node i. */
  readonly nodes: readonly StorageNode[]
  readonly attempts: readonly { readonly id: Id; readonly sealedBytes: number }[]
  /** Attempts that this manifest no longer names. */
  readonly supersede: readonly Id[]
  readonly change: RecordingChange
  /** The work that the caller does; without one nobody may be working on the recording. */
  readonly fence: Fence | undefined
  /** Makes the receipt once the shares are verified; it is kept in the same transaction as the generation. */
  readonly receipt?: (committed: {
    readonly generation: number
    readonly manifestSharesVerified: number
  }) => Promise<Uint8Array>
}

/**
 * Writes one manifest generation: reserve the number, seal, split, rows, shares onto the nodes, verified on at least min(k + 1, n) of
 * them, then one catalog transaction (docs/FORMAT.md §6; docs/ARCHITECTURE.md "Ordering"). A crash before that transaction leaves the
 * recording at its earlier generation and the number unused for ever.
 *
 * @throws E_NODES_TOO_FEW, E_LEASE_LOST, E_CONFLICT when another generation was stored meanwhile.
 */
export async function commitManifest(
  ports: DocumentPorts,
  request: ManifestToCommit,
  signal: AbortSignal,
): Promise<Manifest> {
  const { recording, organisation } = request.manifest
  const before =
    request.expectedStored === 0 ? undefined : await ports.layout.generation(recording, request.expectedStored)
  if (request.expectedStored > 0 && !before?.sealedSha256) {
    throw new MosaikError('E_CONFLICT', `generation ${request.expectedStored} of the manifest is not stored`, {
      recording,
    })
  }
  const generation = await ports.layout.reserveGeneration(recording, request.expectedStored, request.fence)
  const manifest: Manifest = { ...request.manifest, generation, previous: before?.sealedSha256 ?? null }
  const placed = await placeDocument(
    ports,
    {
      kind: 'manifest',
      suite: request.suite,
      organisation,
      recording,
      generation,
      body: encodeManifest(manifest),
      scheme: request.scheme,
      nodes: request.nodes,
      ...(request.fence ? { fence: request.fence } : {}),
    },
    signal,
  )
  const receipt = await request
    .receipt?.({ generation, manifestSharesVerified: placed.sharesVerified })
    .catch(async (error: unknown) => {
      await placed.discard()
      throw error
    })
  try {
    await ports.layout.commitGeneration(
      {
        recording,
        generation,
        sharing: placed.sharing,
        sealedSha256: placed.sealedSha256,
        epoch: placed.epoch,
        attempts: request.attempts,
        supersede: request.supersede,
        atMs: ports.clock.nowMs(),
        change: { ...request.change, generation },
        ...(receipt ? { receipt } : {}),
      },
      request.fence,
    )
  } catch (error) {
    // Only what surely was not committed: a database that answered nothing may have done it.
    if (isMosaikError(error, 'E_CONFLICT')) await placed.discard()
    throw error
  }
  return manifest
}
