import type { Id } from '../../domain/ids.ts'
import type { FindingKind } from '../../domain/health.ts'
import type { ObjectKey } from '../object-store.ts'
import type { NodeRow } from './access.ts'
import type { AttemptRow, GenerationRow, ObjectRow } from './layout.ts'
import type { RecordingRow } from './recordings.ts'

/** Something that scrub, survey or a reader found wrong with one share; stands until repair, or a later look, resolves it. */
export interface Finding {
  readonly kind: FindingKind
  /** What is repaired together: `fragment/ATTEMPT/EXTENT/SHARING`, `manifest/RECORDING/GENERATION/SHARING`, `card/NODE`. */
  readonly group: string
  readonly organisation: Id
  readonly recording: Id | null
  readonly node: Id | null
  /** Null when there is no object: the share was never written. */
  readonly object: ObjectKey | null
  readonly index: number
  /** Healthy shares minus k when it was found: what is lowest is repaired first. */
  readonly slack: number
  /** Safe to log. */
  readonly fields: Readonly<Record<string, string | number | boolean | null>>
}

export interface FindingRow extends Finding {
  readonly foundAtMs: number
  readonly triesCount: number
}

/** One group with open findings, as the repair queue sees it. */
export interface FindingGroup {
  readonly group: string
  readonly findings: readonly FindingRow[]
}

/** How a long task goes on after a crash. Plain JSON. */
export type TaskProgress = Readonly<Record<string, string | number | boolean | null>>

export interface TaskRow {
  readonly name: string
  readonly progress: TaskProgress
  readonly fence: number
}

/** What must be remembered for the installation as a whole. */
export type UpkeepFlag =
  | 'deletions-frozen'
  /** Sharings that dismissed nodes know of are not shared anew for the time being. */
  | 'dismissal-paused'
  /** Nor what was asked for: other schemes, fresh sharings. */
  | 'reshare-paused'

/** Recordings with all that the catalog knows of where they lie. */
export interface SurveyedRecording {
  readonly recording: RecordingRow
  readonly attempts: readonly AttemptRow[]
  readonly generations: readonly GenerationRow[]
  /** In every state but `deleted`; by node and key. */
  readonly objects: readonly ObjectRow[]
  readonly hasRunningWork: boolean
  readonly receipt: Uint8Array | undefined
}

/** A recording as it was found on the nodes: all of it becomes rows at once, or nothing. */
export interface RestoredRecording {
  readonly recording: RecordingRow
  readonly attempts: readonly AttemptRow[]
  readonly generations: readonly GenerationRow[]
  readonly objects: readonly ObjectRow[]
}

/** Findings, progress of long tasks, and the walks over everything that scrub, repair, fsck and rebuild need. */
export interface UpkeepCatalog {
  /** Recordings of all organisations in order of id, from after `after`. At most 200. */
  survey(after: Id | undefined, limit: number): Promise<SurveyedRecording[]>
  surveyed(recording: Id): Promise<SurveyedRecording | undefined>
  /** Recordings whose newest manifest is sealed to a vault key of an epoch before `epoch`, or to one that is not known; in order of id, from after `after`. */
  sealedBeforeEpoch(organisation: Id, epoch: number, after: Id | undefined, limit: number): Promise<Id[]>
  /** How many they are, of how many that have a manifest. */
  countSealedBeforeEpoch(organisation: Id, epoch: number): Promise<{ readonly before: number; readonly all: number }>
  /** Rows of objects of a node whose key starts with `prefix`, in every state, in order of key from after `after`. */
  objectsOn(node: Id, prefix: string, after: ObjectKey | undefined, limit: number): Promise<ObjectRow[]>
  object(node: Id, key: ObjectKey): Promise<ObjectRow | undefined>
  /** The same finding again changes when it was seen and nothing else; one that was resolved stands again. */
  report(findings: readonly Finding[], atMs: number): Promise<void>
  /** Resolves open findings of a group: all, or those of an index, or of a kind there. */
  resolve(group: string, atMs: number, index?: number, kind?: FindingKind): Promise<void>
  /**
   * Open findings, by group: what may not stay as it is first (violations, what dismissed nodes know of), then by slack, what was asked for
   * last; only groups that may be tried at `nowMs`.
   *
   * @param except kinds that do not count for now.
   */
  repairQueue(nowMs: number, limit: number, except?: readonly FindingKind[]): Promise<FindingGroup[]>
  /** A group that could not be repaired is left alone until `tryAtMs`. */
  postpone(group: string, tryAtMs: number): Promise<void>
  findingsOf(group: string): Promise<FindingRow[]>
  /** Open findings by kind. */
  backlog(): Promise<readonly { readonly kind: FindingKind; readonly count: number; readonly oldestAtMs: number }[]>
  /** Takes a task for `leaseMs` and tells how far it came; `undefined` while somebody else has it. */
  claimTask(name: string, nowMs: number, leaseMs: number): Promise<TaskRow | undefined>
  /** Notes progress and prolongs the lease; `leaseMs` 0 gives it back. @throws E_LEASE_LOST */
  noteTask(task: Pick<TaskRow, 'name' | 'fence'>, nowMs: number, leaseMs: number, progress: TaskProgress): Promise<void>
  task(name: string): Promise<TaskRow | undefined>
  setFlag(flag: UpkeepFlag, isSet: boolean, atMs: number): Promise<void>
  isFlagged(flag: UpkeepFlag): Promise<boolean>
  /**
   * Writes what was found on the nodes. Of a recording that is there already in the same or a later generation, what lies where is added; one
   * that is there in an earlier generation becomes what was found, and work on it that is over by that ends.
   */
  restore(found: RestoredRecording): Promise<'added' | 'newer' | 'known'>
  /** Of a recording that was decided to be erased and that an older catalog still has: nothing of it is read any more, and the collector takes it. */
  forget(recording: Id, reason: NonNullable<RecordingRow['reason']>): Promise<void>
  /** Where a node lies by now, and how it is reached. @throws E_NODE_UNKNOWN */
  settleNode(id: Id, place: Pick<NodeRow, 'settings' | 'capabilities' | 'wrappedSecret'>): Promise<void>
  /** Rows for objects of an organisation (states, cards) that were found on nodes; those that are there stay. */
  restoreObjects(objects: readonly ObjectRow[]): Promise<void>
}
