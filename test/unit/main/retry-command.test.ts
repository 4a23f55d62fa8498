import { afterAll, beforeAll, expect, it } from 'vitest'
import { VaultClient } from '../../../src/main/client.ts'
import { retryRecording } from '../../../src/main/commands/recordings.ts'
import { Screen } from '../../../src/main/screen.ts'
import { apiStage } from '../http-api/api-stage.ts'

/** Keeps what a command says. */
class KeepingScreen extends Screen {
  readonly results: { words: string; data: unknown }[] = []
  override result(words: string, data: unknown): void {
    this.results.push({ words, data })
  }
}

let stage: Awaited<ReturnType<typeof apiStage>>
beforeAll(async () => {
  stage = await apiStage()
})
afterAll(() => stage.close())

it('`retry` says what is tried again, and with nothing to try it says so and is no error', async () => {
  const client = new VaultClient(stage.url, { host: (await stage.caller('host', stage.first)).token })
  const screen = new KeepingScreen(false)
  const { id, work } = await stage.addRecording(stage.first)
  await retryRecording(client, screen, id)
  const claimed = await stage.catalog.work.claim(work, stage.clock.nowMs(), 1_000)
  const reason = { code: 'E_SOURCE_UNREADABLE', message: 'gone' } as const
  await stage.catalog.work.fail({ work, fence: claimed!.fence }, stage.clock.nowMs(), reason, null)
  await retryRecording(client, screen, id)
  const note = 'there is nothing to try again: no work of this recording has failed'
  expect(screen.results).toEqual([
    { words: note, data: { recording: id, stages: [], note } },
    { words: `${id} is tried again: store`, data: { recording: id, stages: ['store'], note: null } },
  ])
})
