import { MosaikError } from './errors.ts'
import type { Scheme } from './dispersal.ts'
import type { Id } from './ids.ts'
import type { NodeOwnership, StorageNode } from './node.ts'

/**
 * `strict`: per operator, parent and site at most `cap` fragments of a sharing; `none`: several shares may lie with one
 * owner (the embedded default: five folders on one machine). At most one fragment of a sharing lies on a node, always.
 */
export type PlacementRule = 'strict' | 'none'

/** One share that lies, or once lay, with somebody: exposures count for ever. */
export interface Exposure extends Pick<NodeOwnership, 'operator' | 'parent' | 'site'> {
  readonly node: Id
  readonly index: number
}

/** Fragments that one owner may ever have held of a sharing: min(t, n − k); for t = 0 min(k − 1, n − k), at least 1 (docs/ARCHITECTURE.md). */
export function placementCap({ k, n, t }: Scheme): number {
  return Math.max(1, t === 0 ? Math.min(k - 1, n - k) : Math.min(t, n - k))
}

const ownershipKeys = ['operator', 'parent', 'site'] as const
const words = { operator: 'operator', parent: 'parent company', site: 'site' } as const

function normal(name: string): string {
  return name.normalize('NFC').trim().toLowerCase()
}

/**
 * Chooses one node for each of the scheme's n shares; share i goes to the i-th node of the answer.
 *
 * @param candidates nodes that take writes, best first; the order is kept as far as the rule allows.
 * @param exposures of this sharing, past ones included; empty for a new sharing.
 * @throws E_NODES_TOO_FEW fewer nodes than shares. E_PLACEMENT_RULE says which rule cannot be met and what to add.
 */
export function choosePlacement(
  scheme: Scheme,
  rule: PlacementRule,
  candidates: readonly StorageNode[],
  exposures: readonly Exposure[] = [],
): StorageNode[] {
  const free = candidates.filter((node) => !exposures.some((exposure) => exposure.node === node.id))
  if (free.length < scheme.n) {
    throw new MosaikError(
      'E_NODES_TOO_FEW',
      `a (${scheme.k}, ${scheme.n}, ${scheme.t}) recording needs ${scheme.n} nodes that take writes, and there are ${free.length}; add ${scheme.n - free.length} with \`mosaik nodes add\``,
      { needed: scheme.n, available: free.length },
    )
  }
  if (rule === 'none') return free.slice(0, scheme.n)
  const cap = placementCap(scheme)
  const chosen = search(free, scheme.n, cap, exposures)
  if (chosen) return chosen
  throw new MosaikError('E_PLACEMENT_RULE', explain(scheme, cap, free, exposures), {
    k: scheme.k,
    n: scheme.n,
    t: scheme.t,
    cap,
    nodes: free.map((node) => node.name),
  })
}

/** Depth-first over the candidates in their order; exact, since three caps at once defeat a greedy choice. Bounded by `maxSteps`. */
function search(
  candidates: readonly StorageNode[],
  count: number,
  cap: number,
  exposures: readonly Exposure[],
): StorageNode[] | undefined {
  const held = new Map<string, number>()
  const add = (owner: Pick<NodeOwnership, 'operator' | 'parent' | 'site'>, delta: number): void => {
    for (const key of ownershipKeys) {
      const name = `${key}:${normal(owner[key])}`
      held.set(name, (held.get(name) ?? 0) + delta)
    }
  }
  for (const exposure of exposures) add(exposure, 1)
  const fits = (node: StorageNode): boolean =>
    ownershipKeys.every((key) => (held.get(`${key}:${normal(node[key])}`) ?? 0) < cap)
  const chosen: StorageNode[] = []
  let steps = 0
  const maxSteps = 200_000
  const visit = (from: number): boolean => {
    if (chosen.length === count) return true
    if (++steps > maxSteps) return false
    for (let i = from; candidates.length - i >= count - chosen.length; i++) {
      const node = candidates[i] as StorageNode
      if (!fits(node)) continue
      chosen.push(node)
      add(node, 1)
      if (visit(i + 1)) return true
      chosen.pop()
      add(node, -1)
    }
    return false
  }
  return visit(0) ? chosen : undefined
}

function explain(scheme: Scheme, cap: number, nodes: readonly StorageNode[], exposures: readonly Exposure[]): string {
  const reach = ownershipKeys.map((key) => {
    const counts = new Map<string, number>()
    for (const node of nodes) counts.set(normal(node[key]), (counts.get(normal(node[key])) ?? 0) + 1)
    let usable = 0
    for (const [name, count] of counts) {
      const exposed = exposures.filter((exposure) => normal(exposure[key]) === name).length
      usable += Math.min(Math.max(0, cap - exposed), count)
    }
    return { key, usable, owners: counts.size }
  })
  const tightest = reach.reduce((a, b) => (b.usable < a.usable ? b : a))
  const rule = `at most ${cap} of the ${scheme.n} fragments may lie with one operator, parent company or site`
  if (tightest.usable < scheme.n) {
    const missing = Math.ceil((scheme.n - tightest.usable) / cap)
    return `${rule}; the ${nodes.length} nodes belong to ${tightest.owners} ${tightest.owners === 1 ? words[tightest.key] : plural(words[tightest.key])}, which carry ${tightest.usable}: add nodes of ${missing} more ${missing === 1 ? words[tightest.key] : plural(words[tightest.key])}`
  }
  return `${rule}; no choice of ${scheme.n} of the ${nodes.length} nodes meets it for operators, parent companies and sites at once: add a node whose operator, parent company and site are all new`
}

function plural(word: string): string {
  return word === 'parent company' ? 'parent companies' : `${word}s`
}
