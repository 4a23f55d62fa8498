import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { MosaikError } from '../../domain/errors.ts'
import type { VaultClient } from '../client.ts'
import type { Screen } from '../screen.ts'

/** A recording as `/api/v1/recordings/:id` shows it, as far as the command line reads it. */
export const recordingView = z.object({
  id: z.string(),
  title: z.string(),
  state: z.string(),
  createdAt: z.string(),
  contentBytes: z.number().nullable(),
  durationMs: z.number().nullable(),
  progress: z.object({ store: z.number().nullable(), transcode: z.number().nullable() }),
  reason: z.object({ code: z.string(), message: z.string() }).nullable(),
})
export type RecordingView = z.infer<typeof recordingView>

const POLL_MS = 250

/** Follows a recording with one bar for store and one for transcode until it plays, or cannot. @throws E_SOURCE_UNREADABLE … with the vault's reason when it failed */
export async function waitForRecording(client: VaultClient, screen: Screen, id: string): Promise<RecordingView> {
  while (true) {
    const recording = recordingView.parse(await client.get('host', `/recordings/${id}`))
    const { state, progress, reason } = recording
    const isStored = state !== 'received' && state !== 'storing' && state !== 'failed'
    const waiting = reason && !isStored ? reason.message : ''
    screen.bars([
      { label: 'store', fraction: isStored ? 1 : (progress.store ?? 0), note: waiting },
      { label: 'transcode', fraction: state === 'ready' ? 1 : (progress.transcode ?? 0), note: '' },
    ])
    if (state === 'ready') {
      screen.keepBars()
      return recording
    }
    if (state === 'failed' || state === 'unplayable') {
      screen.clearBars()
      const what = state === 'failed' ? 'could not be stored' : 'is safe, but cannot be played'
      throw new MosaikError('E_MEDIA_UNREADABLE', `${id} ${what}: ${reason?.message ?? 'no reason is known'}`, {
        state,
      })
    }
    await sleep(POLL_MS)
  }
}
