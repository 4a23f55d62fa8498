import { sameScheme } from '../../domain/dispersal.ts'
import { placementViolations, type ResharingKind } from '../../domain/health.ts'
import type { Id } from '../../domain/ids.ts'
import type { StorageNode } from '../../domain/node.ts'
import type { PlacementRule } from '../../domain/placement.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { ShareGroup } from './share-groups.ts'

/** What the reasons for a new sharing are looked for in; one look serves many groups. */
export interface ResharingView {
  readonly rules: ReadonlyMap<Id, PlacementRule>
  readonly dismissed: ReadonlySet<Id>
}

/** Why a sharing has to go: in which node's case, where it is one node's. */
export interface ResharingReason {
  readonly kind: ResharingKind
  readonly node: Id | null
}

export async function resharingView(
  installation: Pick<Catalog['installation'], 'organisations'>,
  nodes: readonly StorageNode[],
): Promise<ResharingView> {
  const organisations = await installation.organisations()
  return {
    rules: new Map(organisations.map(({ id, placementRule }) => [id, placementRule])),
    dismissed: new Set(nodes.filter(({ state }) => state === 'dismissed').map(({ id }) => id)),
  }
}

/**
 * What is against a sharing, as the catalog shows it: everybody counts who ever held a share of it. None for one that may stay. What somebody
 * asked for (`refresh`) does not show here.
 */
export async function resharingReasons(
  layout: Pick<Catalog['layout'], 'exposures'>,
  group: ShareGroup,
  { rules, dismissed }: ResharingView,
): Promise<ResharingReason[]> {
  const rule = rules.get(group.organisation) ?? 'none'
  const reasons: ResharingReason[] = []
  if (rule !== 'none' || dismissed.size > 0) {
    const exposures = await layout.exposures(group.sharing)
    if (placementViolations(group.scheme, rule, exposures).length > 0) reasons.push({ kind: 'violation', node: null })
    const knowing = new Set(exposures.map(({ node }) => node).filter((node) => dismissed.has(node)))
    for (const node of knowing) reasons.push({ kind: 'exposed', node })
  }
  if (!sameScheme(group.scheme, group.dueScheme)) reasons.push({ kind: 'scheme', node: null })
  return reasons
}
