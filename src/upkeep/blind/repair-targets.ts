import { MosaikError } from '../../domain/errors.ts'
import { mayHold } from '../../domain/health.ts'
import type { Id } from '../../domain/ids.ts'
import { acceptsReads, acceptsWrites, type StorageNode } from '../../domain/node.ts'
import type { Exposure } from '../../domain/placement.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import type { FindingRow } from '../../ports/catalog/upkeep.ts'
import type { NodePool } from '../../ports/node-pool.ts'
import type { Random } from '../../ports/system.ts'
import type { ShareGroup } from './share-groups.ts'

export interface TargetPorts {
  readonly catalog: Pick<Catalog, 'installation' | 'layout'>
  readonly pool: NodePool
  readonly random: Random
}

/** What of a group can be read, what has to be made again, and where that may go. */
export interface RepairPlan {
  /** Good as far as is known; the best first. Of draining nodes too: they are read as long as they are there. */
  readonly sources: readonly ObjectRow[]
  /** Indices without a good share on a node that stays. */
  readonly missing: readonly number[]
  readonly nodes: readonly StorageNode[]
}

/** @param findings open ones of the group. */
export async function planRepair(
  ports: TargetPorts,
  group: ShareGroup,
  findings: readonly FindingRow[],
): Promise<RepairPlan> {
  const nodes = await ports.catalog.installation.nodes()
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const bad = new Set(
    findings.flatMap(({ kind, node, object }) =>
      kind === 'leaving' || node === null || object === null ? [] : [`${node}/${object}`],
    ),
  )
  const sources = group.rows.filter((row) => {
    const node = byId.get(row.node)
    return node !== undefined && acceptsReads(node) && !bad.has(`${row.node}/${row.key}`)
  })
  const staying = new Set(sources.filter(({ node }) => byId.get(node)?.state !== 'draining').map(({ index }) => index))
  const missing = Array.from({ length: group.scheme.n }, (_, index) => index).filter((index) => !staying.has(index))
  const rank = ({ node }: ObjectRow): number =>
    (ports.pool.isHealthy(node) ? 0 : 1e9) + ports.pool.expectedMs(node) + ports.random.fraction()
  const ranked = new Map(sources.map((row) => [row, rank(row)]))
  return { sources: sources.toSorted((a, b) => ranked.get(a)! - ranked.get(b)!), missing, nodes }
}

/**
 * A node for each of the missing shares: the one that had that very share when it takes writes, else another that the placement rule lets
 * have it, everybody counted who ever held a share of this sharing.
 *
 * @param refused nodes that did not take theirs, by index.
 * @throws E_PLACEMENT_RULE when no node may take any of them
 */
export async function chooseTargets(
  ports: TargetPorts,
  group: ShareGroup,
  { missing, nodes }: RepairPlan,
  refused: ReadonlySet<string>,
): Promise<{ readonly index: number; readonly node: StorageNode }[]> {
  const organisation = await ports.catalog.installation.organisation(group.organisation)
  const rule = organisation?.placementRule ?? 'none'
  const exposures: Exposure[] = [...(await ports.catalog.layout.exposures(group.sharing))]
  // Also one that did not take it to the end: it counts as a holder of that share, and of no other.
  const had = (node: Id, index: number): boolean =>
    [...group.rows, ...exposures].some((one) => one.node === node && one.index === index)
  const ranked = nodes
    .filter(acceptsWrites)
    .map((node) => ({ node, rank: (ports.pool.isHealthy(node.id) ? 0 : 1) + ports.random.fraction() }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ node }) => node)
  const chosen: { index: number; node: StorageNode }[] = []
  for (const index of missing) {
    const node = ranked
      .toSorted((a, b) => Number(had(b.id, index)) - Number(had(a.id, index)))
      .find((one) => !refused.has(`${index}/${one.id}`) && mayHold(group.scheme, rule, exposures, one, index))
    if (!node) continue
    const { id, operator, parent, site } = node
    exposures.push({ node: id, index, operator, parent, site })
    chosen.push({ index, node })
  }
  if (chosen.length > 0) return chosen
  throw new MosaikError(
    'E_PLACEMENT_RULE',
    `no node may take share ${missing.join(', ')}: each has held another share of it, or belongs to somebody who has; add a node of somebody else`,
    { group: group.name, missing: missing.map(String) },
  )
}
