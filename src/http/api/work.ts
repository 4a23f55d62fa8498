import { Router } from 'express'
import type { RecordingState } from '../../domain/recording.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { WorkRow } from '../../ports/catalog/recordings.ts'
import { sendJson } from '../headers.ts'
import { allow, callerOf } from './authenticate.ts'
import { parsed } from './parsed.ts'
import { isoTime, progressOf } from './recording-view.ts'
import { workQuery } from './work-schema.ts'

/** States whose recordings may have work that is not done; failed ones first. */
const states: readonly RecordingState[] = ['failed', 'unplayable', 'storing', 'transcoding', 'stored', 'received']

/** `/work`: what failed, runs and waits in the operator's organisation, without a word about what was recorded. */
export function workRoutes({ catalog }: { readonly catalog: Pick<Catalog, 'recordings' | 'work'> }): Router {
  const router = Router({ caseSensitive: true })
  router.get('/work', allow('operator'), async (request, response) => {
    const { limit } = parsed(workQuery, request.query, 'the query')
    const { organisation } = callerOf(request)
    const open: WorkRow[] = []
    for (const state of states) {
      for (const { id } of await catalog.recordings.list({ organisation, state, limit })) {
        open.push(...(await catalog.work.ofRecording(id)).filter((work) => work.state !== 'done'))
      }
    }
    sendJson(response, 200, { work: open.map(workItemOf) })
  })
  return router
}

function workItemOf(row: WorkRow) {
  const { id, recording, stage, state, attemptsCount, runAtMs, error } = row
  return {
    ...{ id, recording, stage, state, attemptsCount },
    runAt: isoTime(runAtMs),
    progress: progressOf(row),
    error: error && { code: error.code, message: namesNothing(error.code) ? error.message : null },
  }
}

/** Errors of sources, input and media may carry a path or a title. */
function namesNothing(code: string): boolean {
  return !/^E_(SOURCE|INPUT|MEDIA|FORMAT|INTERNAL)/.test(code)
}
