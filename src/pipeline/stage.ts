import type { Fence, RecordingRow, WorkInput, WorkRow, WorkStage } from '../ports/catalog/recordings.ts'

/** What a stage is given: the recording, its own work and lease, and nothing ambient. */
export interface StageContext {
  readonly recording: RecordingRow
  readonly work: WorkRow
  readonly fence: Fence
  /** Progress for people; safe to call often. */
  readonly progress: (doneUnits: number, totalUnits: number | null) => void
  /** Aborts when the lease is lost or the process shuts down. */
  readonly signal: AbortSignal
}

/** What comes after; main enqueues it. A stage never does. */
export interface StageOutcome {
  readonly next: readonly { readonly stage: WorkStage; readonly input: WorkInput }[]
}
