import type { Scheme } from './dispersal.ts'
import type { Id } from './ids.ts'
import type { NodeOwnership } from './node.ts'
import { placementCap, type Exposure, type PlacementRule } from './placement.ts'

/**
 * What can be wrong with a share.
 *
 * `missing`: the node says that there is none. `truncated`: it ends too early. `flipped`: bytes that do not verify. `swapped`: a whole
 * share, of something else. `stale`: of another generation or sharing of the same. `forged`: its tags pass and it does not fit the others. `unwritten`: the
 * write left it out. `leaving`: its node is to be emptied, or is gone.
 *
 * Of a whole sharing, and mended by a new one: `violation`: one owner has held more than the placement rule lets. `exposed`: a node that was
 * dismissed for cause has held a share. `scheme`: it is split otherwise than the recording is to be. `refresh`: somebody asked for a new one.
 */
export const findingKinds = [
  'violation',
  'exposed',
  'missing',
  'truncated',
  'flipped',
  'swapped',
  'stale',
  'forged',
  'unwritten',
  'leaving',
  'scheme',
  'refresh',
] as const
export type FindingKind = (typeof findingKinds)[number]

/** What only a new sharing mends, the most urgent first. */
export const resharingKinds = ['violation', 'exposed', 'scheme', 'refresh'] as const
export type ResharingKind = (typeof resharingKinds)[number]
/** Of them, what comes ahead of lost shares. */
export const urgentKinds: readonly FindingKind[] = ['violation', 'exposed']

export function isResharing(kind: FindingKind): kind is ResharingKind {
  return resharingKinds.some((one) => one === kind)
}

/** Verified fragments or shares below which nothing counts as stored: min(k + 1, n). */
export function neededShares({ k, n }: Pick<Scheme, 'k' | 'n'>): number {
  return Math.min(k + 1, n)
}

/** How well one extent, or one manifest generation, is off. */
export interface ShareHealth {
  /** Different indices with at least one good share. */
  readonly healthy: number
  /** healthy − k: how many more may be lost; below 0 nothing restores it. */
  readonly slack: number
  /** Indices without a good share. */
  readonly missing: readonly number[]
}

/** @param good indices of good shares, in any order, also twice. */
export function shareHealth({ k, n }: Pick<Scheme, 'k' | 'n'>, good: Iterable<number>): ShareHealth {
  const indices = new Set(good)
  const missing = Array.from({ length: n }, (_, index) => index).filter((index) => !indices.has(index))
  return { healthy: n - missing.length, slack: n - missing.length - k, missing }
}

const owners = ['operator', 'parent', 'site'] as const

/** An owner that has held more shares of one sharing than the rule lets. */
export interface PlacementViolation {
  readonly owner: (typeof owners)[number]
  readonly name: string
  readonly held: number
  readonly cap: number
}

/** Names are compared without case and outer spaces. */
function normal(name: string): string {
  return name.normalize('NFC').trim().toLowerCase()
}

/**
 * What of a sharing is against the placement rule, everybody counted who ever held a share of it: one share of a sharing a node always,
 * and under `strict` at most the cap an operator, parent company and site. The same share twice with one owner is one share.
 */
export function placementViolations(
  scheme: Scheme,
  rule: PlacementRule,
  exposures: readonly Exposure[],
): PlacementViolation[] {
  if (rule === 'none') return []
  const cap = placementCap(scheme)
  return owners.flatMap((owner) => {
    const byName = Map.groupBy(exposures, (exposure) => normal(exposure[owner]))
    return [...byName].flatMap(([, held]) => {
      const count = new Set(held.map(({ index }) => index)).size
      return count > cap ? [{ owner, name: held[0]![owner], held: count, cap }] : []
    })
  })
}

/**
 * Whether share `index` may go to a node: not when the node has ever held another share of the sharing, nor when one of its owners would
 * then have held more than the rule lets.
 */
export function mayHold(
  scheme: Scheme,
  rule: PlacementRule,
  exposures: readonly Exposure[],
  node: { readonly id: Id } & Pick<NodeOwnership, (typeof owners)[number]>,
  index: number,
): boolean {
  if (exposures.some((exposure) => exposure.node === node.id && exposure.index !== index)) return false
  if (rule === 'none') return true
  const cap = placementCap(scheme)
  return owners.every((owner) => {
    const held = exposures.filter((exposure) => normal(exposure[owner]) === normal(node[owner]))
    return new Set([...held.map((exposure) => exposure.index), index]).size <= cap
  })
}
