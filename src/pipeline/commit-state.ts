import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { ExposureEntry, OrganisationState } from '../domain/organisation-state.ts'
import { encodeState } from '../format/state.ts'
import type { InstallationCatalog, LinkCatalog, NodeRow } from '../ports/catalog/access.ts'
import type { Suite } from '../ports/keyring.ts'
import type { Log } from '../ports/system.ts'
import { placeDocument, type DocumentPorts } from './place-document.ts'
import { placeNewSharing, type PlacementPorts } from './placement.ts'

export interface CommitStatePorts extends DocumentPorts, PlacementPorts {
  readonly installation: InstallationCatalog
  readonly links: LinkCatalog
  readonly suite: Suite
  readonly log: Log
  /** Where a node lies, in words without secrets. */
  readonly location: (node: NodeRow) => string
}

/** A state holds at most so many exposures: about 30 MB of the 64 MiB that a document may have. */
export const MAX_EXPOSURES = 150_000

/** Who held shares once; what a state cannot hold is said, since a vault that is rebuilt will not know it. */
async function pastExposures({ layout, log }: CommitStatePorts, organisation: Id): Promise<ExposureEntry[]> {
  const exposures = await layout.pastExposures(organisation, MAX_EXPOSURES + 1)
  if (exposures.length <= MAX_EXPOSURES) return exposures
  log.error('state.exposures-left-out', { organisation, limit: MAX_EXPOSURES })
  return exposures.slice(0, MAX_EXPOSURES)
}

/**
 * Writes the organisation's state document (docs/FORMAT.md §12): what a vault that is rebuilt from bare nodes must not have forgotten.
 * The sequence number is taken by compare-and-set before anything is written, so no number ever names two documents; when the write
 * fails the number is spent, and the next call goes on with the next one.
 *
 * @throws E_CONFLICT when another process writes the state right now; E_NODES_TOO_FEW, E_PLACEMENT_RULE
 */
export async function commitState(
  ports: CommitStatePorts,
  organisation: Id,
  signal: AbortSignal,
): Promise<OrganisationState> {
  const row = await ports.installation.organisation(organisation)
  if (!row) throw new MosaikError('E_INPUT', 'there is no such organisation', { organisation })
  const generation = row.stateGeneration + 1
  const nodes = await ports.installation.nodes()
  const state: OrganisationState = {
    organisation,
    generation,
    previous: row.stateSha256,
    writtenAtMs: ports.clock.nowMs(),
    nodes: nodes.map((node) => ({
      id: node.id,
      name: node.name,
      driver: node.driver,
      location: ports.location(node),
      country: node.country,
      operator: node.operator,
      parent: node.parent,
      site: node.site,
      state: node.state,
    })),
    exposures: await pastExposures(ports, organisation),
    ...(await ports.installation.stateEntries(organisation)),
    revokedLinks: await ports.links.revokedLinks(organisation),
  }
  const { sharing } = await placeDocument(
    ports,
    {
      kind: 'state',
      suite: ports.suite,
      organisation,
      recording: null,
      generation,
      body: encodeState(state),
      scheme: row.scheme,
      nodes: await placeNewSharing(ports, organisation, row.scheme),
      sealed: async (sealedSha256) => {
        if (!(await ports.installation.advanceState(organisation, row.stateGeneration, generation, sealedSha256))) {
          throw new MosaikError('E_CONFLICT', 'the state of the organisation is being written by another process', {
            organisation,
          })
        }
      },
    },
    signal,
  )
  for (const old of await ports.layout.organisationObjects(organisation, 'state')) {
    // Two processes may write at once: the later number wins, and the earlier one leaves it alone.
    const isEarlier = old.role.kind === 'state' && old.role.generation < generation
    if (isEarlier && old.sharing !== sharing) await ports.layout.setObjectState(old.node, old.key, 'superseded')
  }
  return state
}
