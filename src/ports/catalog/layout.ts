import type { Scheme } from '../../domain/dispersal.ts'
import type { ExposureEntry } from '../../domain/organisation-state.ts'
import type { Id } from '../../domain/ids.ts'
import type { Exposure } from '../../domain/placement.ts'
import type { AssetKind } from '../../domain/recording.ts'
import type { ObjectKey } from '../object-store.ts'
import type { Fence, RecordingChange } from './recordings.ts'

/** One try at storing one asset. The DEK is not here, only the wrapped verify key. */
export interface AttemptRow {
  readonly id: Id
  readonly organisation: Id
  readonly recording: Id
  readonly asset: Id
  readonly kind: AssetKind
  /** writing → stored (named by a manifest) → superseded; `failed`: given up. */
  readonly state: 'writing' | 'stored' | 'superseded' | 'failed'
  readonly wrappedVerifyKey: Uint8Array
  /** Known when everything was sealed. */
  readonly sealedBytes: number | null
  /** Of its first sharing; later ones may have another: `ObjectRow.scheme`. */
  readonly scheme: Scheme
}

/** intent (durable before the PUT) → stored → superseded → deleted; `failed`: the write was given up. */
export type ObjectState = 'intent' | 'stored' | 'failed' | 'superseded' | 'deleted'

export type ObjectRole =
  | { readonly kind: 'fragment'; readonly attempt: Id; readonly extent: number }
  | { readonly kind: 'manifest'; readonly generation: number }
  | { readonly kind: 'state'; readonly generation: number }
  | { readonly kind: 'card' }

/** Every object that was ever begun on a node: the row is durable before its PUT and stays until its deletion is confirmed. */
export interface ObjectRow {
  readonly node: Id
  readonly key: ObjectKey
  readonly organisation: Id
  /** Null for state and cards. */
  readonly recording: Id | null
  readonly role: ObjectRole
  /** Null for cards. */
  readonly sharing: Id | null
  readonly index: number
  readonly state: ObjectState
  readonly sizeBytes: number | null
  readonly createdAtMs: number
  /** Of its sharing. Left out for cards, and where it is the attempt's or, of a manifest, the recording's. */
  readonly scheme?: Scheme
}

export type NewObject = Omit<ObjectRow, 'state' | 'sizeBytes'>

/** What is split as one: an extent of an attempt, or a manifest generation. */
export type SharedPart = Extract<ObjectRole, { readonly kind: 'fragment' | 'manifest' }>

/** A sharing that takes another's place. */
export interface SharingCommit {
  readonly recording: Id
  readonly part: SharedPart
  /** The sharing that stood when the new one was begun. */
  readonly before: Id
  readonly sharing: Id
  /** Objects of the new one that lie verified on their nodes. */
  readonly stored: readonly { readonly node: Id; readonly key: ObjectKey; readonly sizeBytes: number }[]
  readonly atMs: number
}

/** What one node has to do with what stands. Cards do not count. */
export interface NodeShares {
  /** Objects that say stored there. */
  readonly objectsCount: number
  readonly bytes: number
  /** Standing sharings of which it holds, or once held, a share. */
  readonly exposedSharings: number
  /** Size of the shares of them that it was ever given. */
  readonly exposedBytes: number
  /** Objects whose deletion is not confirmed. */
  readonly undeletedObjects: number
  /** Whose objects and standing sharings these are. */
  readonly organisations: readonly Id[]
}

export interface GenerationRow {
  readonly recording: Id
  readonly generation: number
  readonly state: 'reserved' | 'stored' | 'abandoned'
  readonly sharing: Id | null
  /** SHA-256 of the sealed document; null while reserved. */
  readonly sealedSha256: Uint8Array | null
  /** Epoch of the vault key that it is sealed to; 0 when not known: while reserved, and after a rebuild. */
  readonly epoch: number
}

/** What lies where (docs/FORMAT.md "Layout is not in the manifest"). */
export interface LayoutCatalog {
  addAttempt(attempt: AttemptRow, fence: Fence): Promise<void>
  attempt(id: Id): Promise<AttemptRow | undefined>
  /**
   * What earlier runs have left of `recording` becomes the collector's: attempts still `writing` and generations still `reserved` end
   * (`failed`, `abandoned`), and their objects that are `intent` or `stored` become `failed`. Nobody can commit them afterwards.
   */
  failWriting(recording: Id, fence: Fence): Promise<void>
  /** Rows become durable before any PUT. @throws E_LEASE_LOST */
  addObjects(objects: readonly NewObject[], fence?: Fence): Promise<void>
  setObjectState(node: Id, key: ObjectKey, state: ObjectState, sizeBytes?: number): Promise<void>
  /**
   * A share that takes a lost one's place under the same sharing is `stored`.
   * @param task of upkeep, under whose lease it was made.
   * @throws E_LEASE_LOST, E_CONFLICT when it was given up meanwhile
   */
  commitShare(
    share: { readonly node: Id; readonly key: ObjectKey; readonly sizeBytes: number },
    task: { readonly name: string; readonly fence: number },
  ): Promise<void>
  /** Stored fragments of an attempt, every sharing, by extent and index. */
  fragments(attempt: Id): Promise<ObjectRow[]>
  /** Stored shares of one generation of a recording's manifest. */
  manifestShares(recording: Id, generation: number): Promise<ObjectRow[]>
  /** Every owner that ever held a share of this sharing, also of deleted objects and removed nodes. */
  exposures(sharing: Id): Promise<Exposure[]>
  /**
   * Reserves the next generation number of the recording: one higher than every number ever reserved. The number is never
   * given twice, whatever happens to the caller.
   * @param fence the work that the caller does on the recording; without one nobody may be working on it.
   * @throws E_LEASE_LOST, E_CONFLICT when `expectedStored` is no longer the latest stored one, or somebody works on the recording.
   */
  reserveGeneration(recording: Id, expectedStored: number, fence: Fence | undefined): Promise<number>
  /**
   * In one transaction: the generation is stored; attempts named in `attempts` become `stored` with their sealed length; the shares of
   * earlier generations and attempts in `supersede` become `superseded`; the recording's `generation` is set.
   * @param fence as for `reserveGeneration`: of two that change a manifest, the one that does the recording's work wins.
   * @throws E_LEASE_LOST, E_CONFLICT when another reservation came after, somebody works on the recording, or the epoch is over
   */
  commitGeneration(
    commit: {
      readonly recording: Id
      readonly generation: number
      readonly sharing: Id
      readonly sealedSha256: Uint8Array
      /** Epoch of the vault key that it is sealed to. */
      readonly epoch: number
      readonly attempts: readonly { readonly id: Id; readonly sealedBytes: number }[]
      readonly supersede: readonly Id[]
      /** Kept in the same transaction (the first one stays): a crash never separates a stored original from its receipt. */
      readonly receipt?: Uint8Array
      /** State of the recording from now on, in the same transaction. */
      readonly change?: RecordingChange
      readonly atMs: number
    },
    fence: Fence | undefined,
  ): Promise<void>
  generation(recording: Id, generation: number): Promise<GenerationRow | undefined>
  /**
   * In one transaction: the new sharing's objects in `stored` become `stored`, its others `failed`; every other sharing of the part becomes
   * `superseded`; a manifest generation names the new sharing. Until then the old one stands.
   *
   * @param task of upkeep, under whose lease the sharing was made.
   * @throws E_LEASE_LOST; E_CONFLICT when `before` does not stand any more, or an object was given up meanwhile
   */
  commitSharing(commit: SharingCommit, task: { readonly name: string; readonly fence: number }): Promise<void>
  /** Objects of a sharing that are `intent` become `failed`; nothing else changes, whatever became of it. */
  abandonSharing(sharing: Id): Promise<void>
  /**
   * What a recording, or every one of an organisation, is to be split by from now on. What lies on the nodes keeps its scheme until it is
   * shared anew. Returns how many recordings have another scheme now.
   */
  setScheme(of: { readonly organisation: Id; readonly recording?: Id }, scheme: Scheme, atMs: number): Promise<number>
  nodeShares(node: Id): Promise<NodeShares>
  /**
   * Objects whose own row says `failed` or `superseded`, unchanged since `beforeMs`: the only ones that a collector may delete. Not those on
   * dismissed and removed nodes, unless such a one is named: then its own.
   */
  collectable(beforeMs: number, limit: number, node?: Id): Promise<ObjectRow[]>
  /** The clock of the catalog, milliseconds since 1970: the database server's, where there is one. */
  nowMs(): Promise<number>
  /** Intent rows of attempts and generations that nobody works on any more (no running work of their recording), older than `beforeMs`, become `failed`. Returns how many. */
  failStaleIntents(beforeMs: number): Promise<number>
  /** Counts for `nodes ls`. */
  nodeUsage(): Promise<{ readonly node: Id; readonly objectsCount: number; readonly bytes: number }[]>
  /** Of sharings that still stand: who held a share, and is not shown by where shares lie and whose the nodes are now. At most `limit`. */
  pastExposures(organisation: Id, limit: number): Promise<ExposureEntry[]>
  /** Keeps exposures that a state names; `exposures` and `pastExposures` tell them from then on. */
  keepExposures(organisation: Id, exposures: readonly ExposureEntry[]): Promise<void>
  /** Organisation state and cards that lie on nodes. */
  organisationObjects(organisation: Id, kind: 'state' | 'card'): Promise<ObjectRow[]>
}
