import type { Primitives } from '../../crypto/primitives.ts'
import type { Id } from '../../domain/ids.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { NodePool } from '../../ports/node-pool.ts'
import type { ObjectKey } from '../../ports/object-store.ts'
import type { Clock } from '../../ports/system.ts'

export interface FsckPorts {
  readonly catalog: Pick<Catalog, 'installation' | 'layout' | 'recordings' | 'upkeep'>
  readonly pool: NodePool
  readonly primitives: Primitives
  readonly clock: Clock
  /** What a node has of writes that were never ended, where its kind can tell. */
  readonly leftovers?: (node: Id, signal: AbortSignal) => Promise<readonly string[]>
}

/** Stable names of what can be broken. `broken`: a promise does not hold. `degraded`: it holds, with less to spare than it should. */
export const violationNames = {
  'orphan-object': 'broken',
  'deleted-object-present': 'broken',
  'object-missing': 'broken',
  'object-size': 'broken',
  'header-unreadable': 'broken',
  'header-mismatch': 'broken',
  'row-size': 'broken',
  'fragments-too-few': 'broken',
  'fragments-degraded': 'degraded',
  'extent-unknown': 'broken',
  'manifest-shares-too-few': 'broken',
  'manifest-shares-degraded': 'degraded',
  'state-shares-too-few': 'broken',
  'state-shares-degraded': 'degraded',
  'card-missing': 'degraded',
  'receipt-missing': 'broken',
  'receipt-lost': 'degraded',
  'receipt-invalid': 'broken',
  'attempt-without-generation': 'broken',
  'attempt-abandoned': 'broken',
  'attempts-two-live': 'broken',
  'intent-abandoned': 'broken',
  'generation-order': 'broken',
  'generation-incomplete': 'broken',
  'generation-mixed': 'broken',
  'generation-stale': 'broken',
  'node-holds-two': 'broken',
  'share-twice': 'degraded',
  'placement-violated': 'broken',
  'sharing-exposed': 'degraded',
  'sharing-outdated': 'degraded',
  'upload-leftover': 'degraded',
} as const
export type ViolationName = keyof typeof violationNames

export interface Violation {
  readonly name: ViolationName
  readonly severity: 'broken' | 'degraded'
  readonly node?: Id
  readonly object?: ObjectKey
  readonly recording?: Id
  /** In words; ids, names of nodes, and numbers only. */
  readonly detail: string
}

export interface FsckReport {
  readonly checked: { readonly nodes: number; readonly objects: number; readonly recordings: number }
  readonly violations: readonly Violation[]
  /** What could not be looked at: nothing is said of what lies there. */
  readonly unreachable: readonly { readonly node: Id; readonly name: string; readonly code: string }[]
}

/** Where violations go. */
export type Note = (
  name: ViolationName,
  detail: string,
  where?: Omit<Violation, 'name' | 'severity' | 'detail'>,
) => void
