import type { Scheme } from './dispersal.ts'
import { shareHealth } from './health.ts'
import type { Id } from './ids.ts'
import type { StorageNode } from './node.ts'

/** What an estimate of durability assumes; all of it is guesswork that the reader must see. */
export interface DurabilityAssumptions {
  /** Chance that a node is lost within a year, 0 … 1. */
  readonly annualNodeLoss: number
  /** From a loss to its repair. */
  readonly repairDays: number
}

export const defaultAssumptions: DurabilityAssumptions = { annualNodeLoss: 0.01, repairDays: 7 }

const DAYS_A_YEAR = 365

/**
 * Rough chance that one recording is lost within a year when nodes are lost independently of each other:
 *
 *   C(n, m) · (annual loss · repair days / 365)^m · (365 / repair days),  m = n − k + 1
 *
 * that is, m nodes gone within one repair time, for every such time of a year. Failures of one owner are not independent: what follows from
 * those says `losses`.
 */
export function annualLossChance(
  { k, n }: Pick<Scheme, 'k' | 'n'>,
  { annualNodeLoss, repairDays }: DurabilityAssumptions = defaultAssumptions,
): number {
  const lost = n - k + 1
  let choices = 1
  for (let i = 1; i <= lost; i++) choices = (choices * (n - lost + i)) / i
  const windows = DAYS_A_YEAR / repairDays
  return Math.min(1, choices * (annualNodeLoss / windows) ** lost * windows)
}

/** Shares of one extent or manifest: which nodes have which. */
export interface SharedThing {
  readonly recording: Id
  readonly scheme: Pick<Scheme, 'k' | 'n'>
  readonly shares: readonly { readonly index: number; readonly node: Id }[]
}

/** What would be if everything of one node, operator, site or country vanished at once. */
export interface Loss {
  readonly what: 'node' | 'operator' | 'parent' | 'site' | 'country'
  readonly name: string
  readonly nodesCount: number
  /** Recordings of which less than k shares of something would remain. */
  readonly recordingsLost: number
  /** Recordings that would remain with exactly k of something: the next loss takes them. */
  readonly recordingsOnTheEdge: number
}

/** Counts as the things come, so that no catalog is ever whole in memory. */
export class LossTally {
  readonly #groups: { readonly what: Loss['what']; readonly name: string; readonly nodes: ReadonlySet<Id> }[] = []
  readonly #lost: Set<Id>[] = []
  readonly #edge: Set<Id>[] = []

  constructor(nodes: readonly StorageNode[]) {
    for (const what of ['node', 'operator', 'parent', 'site', 'country'] as const) {
      const nameOf = (node: StorageNode): string => (what === 'node' ? node.name : node[what].trim())
      for (const members of Map.groupBy(nodes, (node) => nameOf(node).toLowerCase()).values()) {
        this.#groups.push({ what, name: nameOf(members[0]!), nodes: new Set(members.map(({ id }) => id)) })
        this.#lost.push(new Set())
        this.#edge.push(new Set())
      }
    }
  }

  add({ recording, scheme, shares }: SharedThing): void {
    this.#groups.forEach(({ nodes }, i) => {
      const left = shares.filter(({ node }) => !nodes.has(node))
      if (left.length === shares.length) return
      const { slack } = shareHealth(
        scheme,
        left.map(({ index }) => index),
      )
      if (slack < 0) this.#lost[i]!.add(recording)
      else if (slack === 0) this.#edge[i]!.add(recording)
    })
  }

  losses(): Loss[] {
    return this.#groups.map(({ what, name, nodes }, i) => ({
      what,
      name,
      nodesCount: nodes.size,
      recordingsLost: this.#lost[i]!.size,
      recordingsOnTheEdge: [...this.#edge[i]!].filter((id) => !this.#lost[i]!.has(id)).length,
    }))
  }
}
