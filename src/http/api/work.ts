import type { RecordingState } from '../../domain/recording.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { WorkRow } from '../../ports/catalog/recordings.ts'
import { operation, type Operation } from './operation.ts'
import { isoTime, progressOf } from './recording-view.ts'
import { workList, workQuery } from './work-schema.ts'

/** States whose recordings may have work that is not done; failed ones first. */
const states: readonly RecordingState[] = ['failed', 'unplayable', 'storing', 'transcoding', 'stored', 'received']

/** `/work`: what failed, runs and waits in the operator's organisation, without a word about what was recorded. */
export function workOperations({ catalog }: { readonly catalog: Pick<Catalog, 'recordings' | 'work'> }): Operation[] {
  return [
    operation(
      {
        ...{ id: 'listWork', method: 'get', path: '/work', tag: 'work', roles: ['operator'] },
        summary: { en: 'What failed, runs and waits', de: 'Was gescheitert ist, läuft und wartet' },
        query: workQuery,
        answer: { status: 200, says: { en: 'Failed work first.', de: 'Gescheitertes zuerst.' }, json: workList },
      },
      async ({ caller: { organisation }, query: { limit } }) => {
        const open: WorkRow[] = []
        for (const state of states) {
          for (const { id } of await catalog.recordings.list({ organisation, state, limit })) {
            open.push(...(await catalog.work.ofRecording(id)).filter((work) => work.state !== 'done'))
          }
        }
        return { work: open.map(workItemOf) }
      },
    ),
  ]
}

function workItemOf(row: WorkRow) {
  const { id, recording, stage, state, attemptsCount, runAtMs, error } = row
  return {
    ...{ id, recording, stage, state: state as 'pending' | 'running' | 'failed', attemptsCount },
    runAt: isoTime(runAtMs),
    progress: progressOf(row),
    error: error && { code: error.code, message: namesNothing(error.code) ? error.message : null },
  }
}

/** Errors of sources, input and media may carry a path or a title. */
function namesNothing(code: string): boolean {
  return !/^E_(SOURCE|INPUT|MEDIA|FORMAT|INTERNAL)/.test(code)
}
