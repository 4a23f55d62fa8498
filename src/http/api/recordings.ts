import { Router, type Request, type RequestHandler, type Response } from 'express'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import { toHex } from '../../domain/ids.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { RecordingRow, WorkRow } from '../../ports/catalog/recordings.ts'
import type { Clock, Random } from '../../ports/system.ts'
import type { VaultReader } from '../../ports/vault-reader.ts'
import { attachment, sendJson } from '../headers.ts'
import { sendAsset, sessionEtag } from '../viewer/send-asset.ts'
import { allow, callerOf } from './authenticate.ts'
import { idOf, parsed, unknownRecording } from './parsed.ts'
import { cursorAfter, cursorPlace, isMoving, isoTime, recordingDetailOf, recordingItemOf } from './recording-view.ts'
import { listQuery, nothing } from './recordings-schema.ts'

/** What the routes of recordings need. */
export interface RecordingRoutesOptions {
  readonly catalog: Pick<Catalog, 'recordings' | 'work'>
  readonly reader: VaultReader
  readonly clock: Clock
  readonly random: Random
  /** Tells the queue of work that is due; losing it loses nothing, the sweep finds it. */
  readonly announce: (work: Pick<WorkRow, 'id' | 'stage' | 'fence'>, delayMs: number) => void
}

/** The caller's recording named in the path. Another organisation's does not exist. @throws E_RECORDING_UNKNOWN */
export async function recordingOf(request: Request, catalog: Pick<Catalog, 'recordings'>): Promise<RecordingRow> {
  const id = idOf(request.params['id'], unknownRecording)
  const row = await catalog.recordings.get(id, callerOf(request).organisation)
  if (row === undefined) throw unknownRecording()
  return row
}

/** `/recordings`: list, one, its timeline, receipt and original, another try, and the deletion that is refused. */
export function recordingRoutes(options: RecordingRoutesOptions): Router {
  const { catalog, reader } = options
  const router = Router({ caseSensitive: true })

  router.get('/recordings', allow('host', 'officer'), async (request, response) => {
    const { search, state, host, limit, cursor } = parsed(listQuery, request.query, 'the query')
    const rows = await catalog.recordings.list({
      organisation: callerOf(request).organisation,
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
    sendJson(response, 200, { recordings, next: rows.length > limit && last ? cursorAfter(last) : null })
  })

  router.get('/recordings/:id', allow('host', 'officer'), async (request, response) => {
    const row = await recordingOf(request, catalog)
    sendJson(response, 200, recordingDetailOf(row, await catalog.work.ofRecording(row.id)))
  })

  router.get('/recordings/:id/events', allow('host', 'officer', 'auditor'), async (request, response) => {
    const { id } = await recordingOf(request, catalog)
    const events = await catalog.recordings.events(id)
    sendJson(response, 200, {
      events: events.map(({ atMs, kind, fields }) => ({ at: isoTime(atMs), kind, fields })),
    })
  })

  router.get('/recordings/:id/receipt', allow('host', 'auditor'), async (request, response) => {
    const { id } = await recordingOf(request, catalog)
    const receipt = await catalog.recordings.receipt(id)
    if (receipt === undefined) {
      throw new MosaikError('E_ASSET_UNKNOWN', 'there is no receipt yet: it comes when the recording is stored')
    }
    sendBytes(response, receipt, `${id}.receipt`)
  })

  router.post('/recordings/:id/retry', allow('host', 'operator'), retry(options))

  router.delete('/recordings/:id', allow('host'), async (request) => {
    await recordingOf(request, catalog)
    throw new MosaikError(
      'E_CONFLICT',
      'nothing was deleted: deletion waits for retention rules, and this release does not have them yet; revoke links to end access',
    )
  })

  router.get('/recordings/:id/original', allow('host'), sendOriginal(catalog, reader))
  return router
}

/** Lets failed work run again. Work that runs or waits is left alone. */
function retry({ catalog, clock, random, announce }: RecordingRoutesOptions): RequestHandler {
  return async (request, response) => {
    parsed(nothing, request.body, 'the body')
    const row = await recordingOf(request, catalog)
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
    if (due.length === 0) throw nothingFailed(row)
    // The state goes first: work that is claimed at once must not be overwritten by what is said here.
    if (row.state === 'failed') await catalog.recordings.update(row.id, { state: 'received', reason: null }, nowMs)
    if (row.state === 'unplayable' && due.some(({ stage }) => stage === 'transcode')) {
      await catalog.recordings.update(row.id, { state: 'stored', reason: null }, nowMs)
    }
    for (const { id, state } of due) if (state === 'failed') await catalog.work.retry(id, nowMs)
    await catalog.recordings.addEvent(row.id, nowMs, 'retry', { stages: due.map(({ stage }) => stage).join(', ') })
    for (const one of due) announce(one, 0)
    sendJson(response, 202, { id: row.id, work: due.map(({ id, stage }) => ({ id, stage })) })
  }
}

/** A stage may have failed several times, a row each: only the last of them is taken up, and only when no other row stands. */
function isLatestOfStage(work: readonly WorkRow[]): (row: WorkRow) => boolean {
  return (row) =>
    !work.some(({ stage, state }) => stage === row.stage && state !== 'failed') &&
    work.findLast(({ stage }) => stage === row.stage)?.id === row.id
}

function nothingFailed({ state }: RecordingRow): MosaikError {
  return new MosaikError(
    'E_CONFLICT',
    state === 'unplayable'
      ? 'there is nothing to try again: the transcoder read the recording to its end and found it unplayable; the original is safe and can be downloaded'
      : 'there is nothing to try again: no work of this recording has failed',
  )
}

/** The original, byte-exact, whole or a range. Plaintext leaves only segment by segment, each verified. */
function sendOriginal(catalog: Pick<Catalog, 'recordings'>, reader: VaultReader): RequestHandler {
  return async (request, response) => {
    const row = await recordingOf(request, catalog)
    const { organisation, tokenSha256 } = callerOf(request)
    const abort = new AbortController()
    response.once('close', () => abort.abort(new MosaikError('E_ABORTED', 'the client left')))
    try {
      const opened = await reader.open(organisation, row.id, 'download', abort.signal)
      const original = opened.manifest.assets.find(({ kind }) => kind === 'original')
      if (original === undefined) throw new MosaikError('E_ASSET_UNKNOWN', 'there is no original')
      const isMedia = /^(?:video|audio)\/[a-z0-9.+-]+$/i.test(original.mediaType)
      await sendAsset(request, response, {
        reader: opened.asset(original.id),
        mediaType: isMedia ? original.mediaType : 'application/octet-stream',
        etag: sessionEtag(toHex(tokenSha256), original),
        disposition: attachment(original.name),
        signal: abort.signal,
      })
    } catch (error) {
      const cause: unknown = abort.signal.aborted ? abort.signal.reason : error
      if (!isMosaikError(cause, 'E_ABORTED')) throw cause
    }
  }
}

function sendBytes(response: Response, bytes: Uint8Array, name: string): void {
  response.statusCode = 200
  response.setHeader('Content-Type', 'application/octet-stream')
  response.setHeader('Content-Length', bytes.length)
  response.setHeader('Content-Disposition', attachment(name))
  response.end(response.req.method === 'HEAD' ? undefined : bytes)
}
