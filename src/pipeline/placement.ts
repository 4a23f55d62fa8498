import type { Scheme } from '../domain/dispersal.ts'
import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { acceptsWrites, type StorageNode } from '../domain/node.ts'
import { choosePlacement } from '../domain/placement.ts'
import type { InstallationCatalog } from '../ports/catalog/access.ts'
import type { NodePool } from '../ports/node-pool.ts'
import type { Random } from '../ports/system.ts'

export interface PlacementPorts {
  readonly installation: InstallationCatalog
  readonly pool: NodePool
  readonly random: Random
}

/**
 * Nodes for the n shares of a new sharing, by the organisation's rule. Nodes are taken in random order, so that load spreads and share 0
 * does not always lie with the same node; nodes that answered last time go first.
 *
 * @param known all nodes as they are right now, where the pool's picture of them may be seconds old.
 * @throws E_NODES_TOO_FEW, E_PLACEMENT_RULE
 */
export async function placeNewSharing(
  ports: PlacementPorts,
  organisation: Id,
  scheme: Scheme,
  known?: readonly StorageNode[],
): Promise<StorageNode[]> {
  const owner = await ports.installation.organisation(organisation)
  if (!owner) throw new MosaikError('E_INTERNAL', 'the recording belongs to no organisation', { organisation })
  const nodes = (known ?? (await ports.pool.nodes())).filter(acceptsWrites)
  const candidates = nodes
    .map((node) => ({ node, rank: (ports.pool.isHealthy(node.id) ? 0 : 1) + ports.random.fraction() }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ node }) => node)
  return choosePlacement(scheme, owner.placementRule, candidates)
}
