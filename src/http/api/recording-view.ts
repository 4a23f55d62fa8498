import { MosaikError } from '../../domain/errors.ts'
import { isId } from '../../domain/ids.ts'
import { isSafe } from '../../domain/recording.ts'
import type { RecordingQuery, RecordingRow, WorkRow, WorkStage } from '../../ports/catalog/recordings.ts'
import type { RecordingDetail, RecordingItem } from './recordings-schema.ts'

/** A moment as the API writes it. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

function isoOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms)
}

/** True while work can still move on: then its rows are worth reading. */
export function isMoving({ state }: RecordingRow): boolean {
  return state === 'received' || state === 'storing' || state === 'stored' || state === 'transcoding'
}

/** A recording as lists show it. @param work of the recording; may be empty when nothing moves. */
export function recordingItemOf(row: RecordingRow, work: readonly WorkRow[]): RecordingItem {
  return {
    id: row.id,
    title: row.title,
    state: row.state,
    hostId: row.hostId,
    source: row.sourceKind,
    externalId: row.externalId,
    startedAt: isoOrNull(row.startedAtMs),
    createdAt: isoTime(row.createdAtMs),
    storedAt: isoOrNull(row.storedAtMs),
    contentBytes: row.contentBytes,
    durationMs: row.durationMs,
    scheme: { k: row.scheme.k, n: row.scheme.n, t: row.scheme.t },
    generation: row.generation,
    reason: row.reason && { code: row.reason.code, message: row.reason.message },
    progress: {
      store: isSafe(row.state) ? 1 : fractionOf(work, 'store'),
      transcode: row.state === 'ready' ? 1 : fractionOf(work, 'transcode'),
    },
  }
}

/** A recording with its work, as `GET /recordings/:id` shows it. */
export function recordingDetailOf(row: RecordingRow, work: readonly WorkRow[]): RecordingDetail {
  return {
    ...recordingItemOf(row, work),
    work: work.map(({ id, stage, state, attemptsCount, error }) => ({ id, stage, state, attemptsCount, error })),
  }
}

/** How far the running work of a stage has come; null when none runs or its length is not known. */
function fractionOf(work: readonly WorkRow[], stage: WorkStage): number | null {
  const row = work.findLast((one) => one.stage === stage)
  if (row === undefined || row.state === 'failed') return null
  if (row.state === 'done') return 1
  return progressOf(row)
}

/** How far a piece of work has come, 0 to 1; null when its length is not known. */
export function progressOf({ doneUnits, totalUnits }: Pick<WorkRow, 'doneUnits' | 'totalUnits'>): number | null {
  if (totalUnits === null || totalUnits <= 0) return null
  return Math.min(1, Math.max(0, doneUnits / totalUnits))
}

/** Where the next page goes on, opaque to clients. */
export function cursorAfter({ createdAtMs, id }: RecordingRow): string {
  return Buffer.from(`${createdAtMs}.${id}`, 'latin1').toString('base64url')
}

/** @throws E_INPUT when it is not a cursor that the API gave */
export function cursorPlace(cursor: string): NonNullable<RecordingQuery['after']> {
  const [createdAtMs = '', id = ''] = Buffer.from(cursor, 'base64url').toString('latin1').split('.')
  if (!/^\d{1,15}$/.test(createdAtMs) || !isId(id)) {
    throw new MosaikError('E_INPUT', 'cursor: take it from "next" of the page before')
  }
  return { createdAtMs: Number(createdAtMs), id }
}
