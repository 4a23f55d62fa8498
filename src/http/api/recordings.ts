import type { Response } from 'express'
import { MosaikError } from '../../domain/errors.ts'
import { toHex } from '../../domain/ids.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { RecordingRow, WorkRow } from '../../ports/catalog/recordings.ts'
import type { Clock, Random } from '../../ports/system.ts'
import { attachment } from '../headers.ts'
import { operation, streamed, type ApiCall, type Operation } from './operation.ts'
import { idOf, unknownRecording } from './parsed.ts'
import { cursorAfter, cursorPlace, isMoving, isoTime, recordingDetailOf, recordingItemOf } from './recording-view.ts'
import { eventList, listQuery, recordingDetail, recordingList, retryAnswer } from './recordings-schema.ts'

/** What the operations of recordings need. */
export interface RecordingOperationsOptions {
  readonly catalog: Pick<Catalog, 'recordings' | 'work'>
  readonly clock: Clock
  readonly random: Random
  /** Tells the queue of work that is due; losing it loses nothing, the sweep finds it. */
  readonly announce: (work: Pick<WorkRow, 'id' | 'stage' | 'fence'>, delayMs: number) => void
}

/** The caller's recording named in the path. Another organisation's does not exist. @throws E_RECORDING_UNKNOWN */
export async function recordingOf(
  { params, caller }: Pick<ApiCall, 'params' | 'caller'>,
  catalog: Pick<Catalog, 'recordings'>,
): Promise<RecordingRow> {
  const id = idOf(params['id'], unknownRecording)
  const row = await catalog.recordings.get(id, caller.organisation)
  if (row === undefined) throw unknownRecording()
  return row
}

/** `/recordings`: list, one, its timeline and receipt, another try, and the deletion that is refused. */
export function recordingOperations(options: RecordingOperationsOptions): Operation[] {
  const { catalog } = options
  return [
    operation(
      {
        ...{ id: 'listRecordings', method: 'get', path: '/recordings', tag: 'recordings' },
        summary: { en: 'Lists and searches recordings', de: 'Listet und sucht Aufzeichnungen' },
        about: {
          en: 'Newest first. `next` of a page is the `cursor` of the following one.',
          de: 'Die neuesten zuerst. `next` einer Seite ist `cursor` der folgenden.',
        },
        roles: ['host', 'officer'],
        query: listQuery,
        answer: { status: 200, says: { en: 'A page of them.', de: 'Eine Seite davon.' }, json: recordingList },
      },
      async ({ caller, query: { search, state, host, limit, cursor } }) => {
        const rows = await catalog.recordings.list({
          organisation: caller.organisation,
          limit: limit + 1,
          ...(search === undefined ? {} : { search }),
          ...(state === undefined ? {} : { state }),
          ...(host === undefined ? {} : { hostId: host }),
          ...(cursor === undefined ? {} : { after: cursorPlace(cursor) }),
        })
        const page = rows.slice(0, limit)
        const last = page.at(-1)
        const recordings = []
        for (const row of page) {
          recordings.push(recordingItemOf(row, isMoving(row) ? await catalog.work.ofRecording(row.id) : []))
        }
        return { recordings, next: rows.length > limit && last ? cursorAfter(last) : null }
      },
    ),
    operation(
      {
        ...{ id: 'getRecording', method: 'get', path: '/recordings/{id}', tag: 'recordings' },
        summary: { en: 'Shows a recording and its work', de: 'Zeigt eine Aufzeichnung und die Arbeit daran' },
        roles: ['host', 'officer'],
        problems: ['E_RECORDING_UNKNOWN'],
        answer: { status: 200, says: { en: 'The recording.', de: 'Die Aufzeichnung.' }, json: recordingDetail },
      },
      async (call) => {
        const row = await recordingOf(call, catalog)
        return recordingDetailOf(row, await catalog.work.ofRecording(row.id))
      },
    ),
    operation(
      {
        ...{ id: 'getTimeline', method: 'get', path: '/recordings/{id}/events', tag: 'recordings' },
        summary: { en: 'Tells what happened, with reasons', de: 'Erzählt, was geschah, mit Gründen' },
        roles: ['host', 'officer', 'auditor'],
        problems: ['E_RECORDING_UNKNOWN'],
        answer: {
          status: 200,
          says: { en: 'Its events, oldest first.', de: 'Seine Ereignisse, die ältesten zuerst.' },
          json: eventList,
        },
      },
      async (call) => {
        const { id } = await recordingOf(call, catalog)
        const events = await catalog.recordings.events(id)
        return { events: events.map(({ atMs, kind, fields }) => ({ at: isoTime(atMs), kind, fields })) }
      },
    ),
    streamed(
      {
        ...{ id: 'getReceipt', method: 'get', path: '/recordings/{id}/receipt', tag: 'recordings' },
        summary: {
          en: 'Gives the signed receipt of the stored original',
          de: 'Gibt die unterschriebene Quittung des gespeicherten Originals',
        },
        roles: ['host', 'auditor'],
        problems: ['E_RECORDING_UNKNOWN', 'E_ASSET_UNKNOWN'],
        answer: {
          ...{ status: 200, bytes: 'application/octet-stream', isRanged: false },
          says: { en: 'Bytes as FORMAT.md §9 has them.', de: 'Bytes nach FORMAT.md §9.' },
        },
      },
      async (call, _request, response) => {
        const { id } = await recordingOf(call, catalog)
        const receipt = await catalog.recordings.receipt(id)
        if (receipt === undefined) {
          throw new MosaikError('E_ASSET_UNKNOWN', 'there is no receipt yet: it comes when the recording is stored')
        }
        sendBytes(response, receipt, `${id}.receipt`)
      },
    ),
    operation(
      {
        ...{ id: 'retryRecording', method: 'post', path: '/recordings/{id}/retry', tag: 'recordings' },
        summary: { en: 'Tries failed work again', de: 'Versucht gescheiterte Arbeit noch einmal' },
        roles: ['host', 'operator'],
        problems: ['E_RECORDING_UNKNOWN', 'E_CONFLICT'],
        answer: {
          status: 202,
          says: {
            en: 'What is tried again; perhaps nothing.',
            de: 'Was noch einmal versucht wird; vielleicht nichts.',
          },
          json: retryAnswer,
        },
      },
      (call) => retry(options, call),
    ),
    operation(
      {
        ...{ id: 'deleteRecording', method: 'delete', path: '/recordings/{id}', tag: 'recordings' },
        summary: { en: 'Asks for deletion; is refused', de: 'Bittet um Löschung; wird abgelehnt' },
        about: {
          en: 'Deletion waits for retention rules, which this release does not have. Revoke links to end access.',
          de: 'Löschen setzt Aufbewahrungsregeln voraus, die diese Fassung nicht hat. Links zu widerrufen beendet den Zugang.',
        },
        roles: ['host', 'officer'],
        problems: ['E_RECORDING_UNKNOWN', 'E_RETENTION'],
        answer: { status: 204, says: { en: 'Never in this release.', de: 'In dieser Fassung nie.' } },
      },
      async (call) => {
        await recordingOf(call, catalog)
        throw new MosaikError(
          'E_RETENTION',
          'nothing was deleted: deletion waits for retention rules, and this release does not have them yet; revoke links to end access',
        )
      },
    ),
  ]
}

/** Lets failed work run again. Work that runs or waits is left alone. */
async function retry({ catalog, clock, random, announce }: RecordingOperationsOptions, call: ApiCall) {
  const row = await recordingOf(call, catalog)
  const work = await catalog.work.ofRecording(row.id)
  const nowMs = clock.nowMs()
  const due: WorkRow[] = work.filter(({ state }) => state === 'failed').filter(isLatestOfStage(work))
  if (due.length === 0 && row.state === 'unplayable') {
    const id = toHex(random.bytes(16))
    const stands = await catalog.work.add({
      id,
      recording: row.id,
      stage: 'transcode',
      input: { kind: 'vault' },
      runAtMs: nowMs,
    })
    if (stands.id === id) due.push(stands)
  }
  if (due.length === 0) return { id: row.id, work: [], note: nothingFailed(row, work) }
  // The state goes first: work that is claimed at once must not be overwritten by what is said here.
  if (row.state === 'failed') await catalog.recordings.update(row.id, { state: 'received', reason: null }, nowMs)
  if (row.state === 'unplayable' && due.some(({ stage }) => stage === 'transcode')) {
    await catalog.recordings.update(row.id, { state: 'stored', reason: null }, nowMs)
  }
  for (const { id, state } of due) if (state === 'failed') await catalog.work.retry(id, nowMs)
  await catalog.recordings.addEvent(row.id, nowMs, 'retry', { stages: due.map(({ stage }) => stage).join(', ') })
  for (const one of due) announce(one, 0)
  return { id: row.id, work: due.map(({ id, stage }) => ({ id, stage })), note: null }
}

/** A stage may have failed several times, a row each: only the last of them is taken up, and only when no other row stands. */
function isLatestOfStage(work: readonly WorkRow[]): (row: WorkRow) => boolean {
  return (row) =>
    !work.some(({ stage, state }) => stage === row.stage && state !== 'failed') &&
    work.findLast(({ stage }) => stage === row.stage)?.id === row.id
}

/** Why there is nothing to try again. */
function nothingFailed({ state }: RecordingRow, work: readonly WorkRow[]): string {
  const again = work.find((one) => one.state === 'failed' && !isLatestOfStage(work)(one))?.stage
  const later = work.findLast((one) => one.stage === again && one.state !== 'failed')
  if (later !== undefined && later.state !== 'done') {
    return `there is nothing to try again: ${later.stage} failed, and another try of it ${later.state === 'running' ? 'is running' : 'is waiting'}`
  }
  return state === 'unplayable'
    ? 'there is nothing to try again: the transcoder read the recording to its end and found it unplayable; the original is safe and can be downloaded'
    : 'there is nothing to try again: no work of this recording has failed'
}

function sendBytes(response: Response, bytes: Uint8Array, name: string): void {
  response.statusCode = 200
  response.setHeader('Content-Type', 'application/octet-stream')
  response.setHeader('Content-Length', bytes.length)
  response.setHeader('Content-Disposition', attachment(name))
  response.end(response.req.method === 'HEAD' ? undefined : bytes)
}
