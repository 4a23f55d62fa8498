import type { Id } from './ids.ts'

/** A storage node as the state document lists it; `location` holds no secret. */
export interface NodeEntry {
  readonly id: Id
  readonly name: string
  /** Kind of store, for example "s3" or "directory". */
  readonly driver: string
  readonly location: string
  readonly country: string
  readonly operator: string
  /** Owner of the operator. */
  readonly parent: string
  readonly site: string
  readonly state: string
}

/** Somebody who held a share once, and whom the present places of shares and owners of nodes do not show: it counts against them for good. */
export interface ExposureEntry {
  readonly sharing: Id
  readonly index: number
  readonly node: Id
  readonly operator: string
  readonly parent: string
  readonly site: string
}

export interface PolicyEntry {
  readonly id: Id
  readonly name: string
  readonly mode: string
  readonly retainMs: number | null
  readonly deleteAfterMs: number | null
}

export interface HoldEntry {
  readonly id: Id
  readonly recording: Id
  readonly name: string
  readonly placedBy: string
  readonly placedAtMs: number
}

/** A recording that was decided to be erased: it must not come back from an old backup. */
export interface TombstoneEntry {
  readonly recording: Id
  readonly decidedAtMs: number
  readonly reason: string
}

/** What of a state the catalog has no other place for. */
export type StateEntries = Pick<OrganisationState, 'policies' | 'holds' | 'tombstones'>

/** What an organisation's vault cannot afford to forget, besides its recordings (docs/FORMAT.md §12). */
export interface OrganisationState {
  readonly organisation: Id
  /** Sequence number, from 1. */
  readonly generation: number
  /** SHA-256 of the sealed document of the generation before. */
  readonly previous: Uint8Array | null
  readonly writtenAtMs: number
  readonly nodes: readonly NodeEntry[]
  readonly exposures: readonly ExposureEntry[]
  readonly policies: readonly PolicyEntry[]
  readonly holds: readonly HoldEntry[]
  readonly tombstones: readonly TombstoneEntry[]
  readonly revokedLinks: readonly Id[]
}
