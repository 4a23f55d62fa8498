import type { ErrorCode } from '../../domain/errors.ts'
import type { Scheme } from '../../domain/dispersal.ts'
import type { Id } from '../../domain/ids.ts'
import type { RecordingState } from '../../domain/recording.ts'

/** A recording as the catalog shows it; the readable columns are named in docs/THREAT-MODEL.md. */
export interface RecordingRow {
  readonly id: Id
  readonly organisation: Id
  readonly state: RecordingState
  readonly title: string
  readonly hostId: string
  readonly sourceKind: string
  /** The source's own id; unique an organisation and source kind, which makes a second deposit of the same thing the first. */
  readonly externalId: string | null
  readonly startedAtMs: number | null
  readonly createdAtMs: number
  readonly updatedAtMs: number
  readonly storedAtMs: number | null
  readonly contentBytes: number | null
  readonly durationMs: number | null
  readonly scheme: Scheme
  /** Latest manifest generation that is stored; 0 before the first. */
  readonly generation: number
  /** Why the state is `failed` or `unplayable`, or what is still missing. */
  readonly reason: { readonly code: ErrorCode; readonly message: string } | null
}

export interface NewRecording {
  readonly id: Id
  readonly organisation: Id
  readonly title: string
  readonly hostId: string
  readonly sourceKind: string
  readonly externalId: string | null
  readonly startedAtMs: number | null
  readonly scheme: Scheme
  readonly atMs: number
  /** The first piece of work, made in the same transaction. */
  readonly work: { readonly id: Id; readonly stage: WorkStage; readonly input: WorkInput }
}

export interface RecordingChange {
  readonly state?: RecordingState
  readonly storedAtMs?: number
  readonly contentBytes?: number
  readonly durationMs?: number
  readonly generation?: number
  readonly reason?: RecordingRow['reason']
}

export interface RecordingQuery {
  readonly organisation: Id
  /** Words that must all occur in the title, without case. */
  readonly search?: string
  readonly hostId?: string
  readonly state?: RecordingState
  /** At most 200. */
  readonly limit: number
  /** Continue after this recording (newest first: createdAtMs, then id). */
  readonly after?: { readonly createdAtMs: number; readonly id: Id }
}

export interface RecordingCatalog {
  /**
   * Adds the recording with its first work in one transaction. When one with the same organisation, source kind and
   * external id exists, nothing is written and that one is returned with `created: false`.
   */
  create(recording: NewRecording): Promise<{ readonly recording: RecordingRow; readonly created: boolean }>
  /** `undefined` when there is none, or it belongs to another organisation (pass `undefined` to ask for any). */
  get(id: Id, organisation: Id | undefined): Promise<RecordingRow | undefined>
  list(query: RecordingQuery): Promise<RecordingRow[]>
  /** Changes the row. With `fence`, only while that work still holds its lease; else E_LEASE_LOST and nothing is written. */
  update(id: Id, change: RecordingChange, atMs: number, fence?: Fence): Promise<void>
  /** Appends to the recording's timeline. `fields` are safe to show to the host. */
  addEvent(
    recording: Id,
    atMs: number,
    kind: string,
    fields: Readonly<Record<string, string | number | boolean | null>>,
  ): Promise<void>
  events(recording: Id): Promise<RecordingEvent[]>
  /** Keeps the receipt; the first one stays. */
  putReceipt(recording: Id, receipt: Uint8Array, atMs: number): Promise<void>
  receipt(recording: Id): Promise<Uint8Array | undefined>
}

export interface RecordingEvent {
  readonly atMs: number
  readonly kind: string
  readonly fields: Readonly<Record<string, string | number | boolean | null>>
}

/** `release`: lets go of the source copy (file or spool) once the receipt exists. */
export type WorkStage = 'store' | 'transcode' | 'release'

/** Where the original of a `store` comes from; ids and paths only, never content or keys. */
export type WorkInput =
  | {
      readonly kind: 'file'
      readonly path: string
      readonly sizeBytes: number
      readonly modifiedAtMs: number
      readonly deleteAfterReceipt: boolean
      readonly captions: readonly CaptionsFile[]
      /** What the source says of the content, hexadecimal. */
      readonly sha256: string | null
      readonly people: SourcePeople | null
    }
  | {
      readonly kind: 'upload'
      readonly upload: Id
      readonly captionsUploads: readonly Id[]
      readonly people: SourcePeople | null
    }
  | { readonly kind: 'vault' }

/** Captions beside a recording, as they were when it was offered. */
export interface CaptionsFile {
  readonly path: string
  readonly sizeBytes: number
  readonly modifiedAtMs: number
}

/** People that a source names; they go into the sealed manifest and are dropped here when the work is finished. */
export interface SourcePeople {
  readonly hostName: string | null
  readonly hostEmail: string | null
  readonly participants: readonly { readonly name: string | null; readonly email: string | null }[]
}

export type WorkState = 'pending' | 'running' | 'done' | 'failed'

/** One piece of work: a row for each job, and the truth about it. Redis only knows its id. */
export interface WorkRow {
  readonly id: Id
  readonly recording: Id
  readonly organisation: Id
  readonly stage: WorkStage
  readonly state: WorkState
  readonly input: WorkInput
  readonly attemptsCount: number
  readonly runAtMs: number
  readonly leaseUntilMs: number | null
  readonly fence: number
  /** Progress: bytes of a store, milliseconds of media of a transcode. */
  readonly doneUnits: number
  readonly totalUnits: number | null
  readonly error: { readonly code: ErrorCode; readonly message: string } | null
}

/** Proof of a lease: writes that carry it fail with E_LEASE_LOST once somebody else has claimed the work. */
export interface Fence {
  readonly work: Id
  readonly fence: number
}

/** Unfinished work of one stage. `due`: waits for a worker; `later`: for its time; `running`: has a lease. */
export interface Backlog {
  readonly stage: WorkStage
  readonly state: 'due' | 'later' | 'running'
  readonly count: number
  /** The earliest time at which one of them was, or will be, due. */
  readonly oldestDueAtMs: number
}

export interface WorkCatalog {
  get(id: Id): Promise<WorkRow | undefined>
  ofRecording(recording: Id): Promise<WorkRow[]>
  /** Adds work unless the recording already has work of that stage that is not `failed`; returns the row that stands. */
  add(
    work: {
      readonly id: Id
      readonly recording: Id
      readonly stage: WorkStage
      readonly input: WorkInput
      readonly runAtMs: number
    },
    fence?: Fence,
  ): Promise<WorkRow>
  /**
   * Takes the work for `leaseMs`: only if it is pending and due, or running with an expired lease. Raises the fence and the
   * count of attempts. `undefined` when somebody else has it, or it is finished.
   */
  claim(id: Id, nowMs: number, leaseMs: number): Promise<WorkRow | undefined>
  /** Prolongs the lease and notes progress. @throws E_LEASE_LOST */
  renew(
    fence: Fence,
    nowMs: number,
    leaseMs: number,
    progress?: { readonly doneUnits: number; readonly totalUnits: number | null },
  ): Promise<void>
  /** @throws E_LEASE_LOST */
  finish(fence: Fence, nowMs: number): Promise<void>
  /** Back to pending at `runAtMs`, or `failed` when `runAtMs` is null. @throws E_LEASE_LOST */
  fail(
    fence: Fence,
    nowMs: number,
    error: { readonly code: ErrorCode; readonly message: string },
    runAtMs: number | null,
  ): Promise<void>
  /** Failed work becomes pending again, due now. @throws E_CONFLICT when the recording's stage has been added anew since */
  retry(id: Id, nowMs: number): Promise<void>
  /** Work that is due (pending and due, or running with an expired lease), oldest first; reads only unfinished rows. */
  due(nowMs: number, limit: number): Promise<WorkRow[]>
  /** How much is unfinished, by stage; reads only unfinished rows. */
  backlog(nowMs: number): Promise<Backlog[]>
}
