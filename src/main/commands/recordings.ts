import { z } from 'zod'
import type { VaultClient } from '../client.ts'
import { bytesWords, table, type Screen } from '../screen.ts'
import { recordingView } from './wait.ts'

const recordingList = z.object({ recordings: z.array(recordingView) })
const eventList = z.object({
  events: z.array(z.object({ at: z.string(), kind: z.string(), fields: z.record(z.string(), z.unknown()) })),
})
const retryAnswer = z.object({ work: z.array(z.object({ stage: z.string() })), note: z.string().nullable() })

/** `mosaik ls` */
export async function listRecordings(client: VaultClient, screen: Screen, search: string | undefined): Promise<void> {
  const query = search === undefined ? '' : `?search=${encodeURIComponent(search)}`
  const { recordings } = recordingList.parse(await client.get('host', `/recordings${query}`))
  const rows = recordings.map((recording) => [
    recording.id,
    recording.createdAt.slice(0, 16).replace('T', ' '),
    recording.state,
    recording.durationMs === null ? '' : `${Math.round(recording.durationMs / 1000)} s`,
    recording.contentBytes === null ? '' : bytesWords(recording.contentBytes),
    recording.title,
  ])
  const header = ['recording', 'deposited', 'state', 'duration', 'size', 'title']
  screen.result(recordings.length === 0 ? 'no recordings' : table(header, rows), { recordings })
}

/** `mosaik show RECORDING`: state, reason and timeline. */
export async function showRecording(client: VaultClient, screen: Screen, id: string): Promise<void> {
  const path = `/recordings/${encodeURIComponent(id)}`
  const recording = recordingView.parse(await client.get('host', path))
  const { events } = eventList.parse(await client.get('host', `${path}/events`))
  const words = [
    `${recording.title} (${recording.id})`,
    `state: ${recording.state}${recording.reason ? `, ${recording.reason.message} (${recording.reason.code})` : ''}`,
    ...events.map(({ at, kind, fields }) => {
      const details = Object.entries(fields).map(([name, value]) => `${name}=${String(value)}`)
      return `  ${at}  ${kind}  ${details.join(' ')}`
    }),
  ]
  screen.result(words.join('\n'), { ...recording, events })
}

/** `mosaik retry RECORDING`: failed work becomes due again. With nothing that failed there is nothing to do, and nothing wrong. */
export async function retryRecording(client: VaultClient, screen: Screen, id: string): Promise<void> {
  const answer = retryAnswer.parse(await client.post('host', `/recordings/${encodeURIComponent(id)}/retry`))
  const stages = answer.work.map(({ stage }) => stage)
  screen.result(answer.note ?? `${id} is tried again: ${stages.join(', ')}`, {
    recording: id,
    stages,
    note: answer.note,
  })
}
