import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { VaultReader } from '../../../src/ports/vault-reader.ts'
import { HeldClock } from '../../support/held-clock.ts'
import { apiStage, memoryReader, parts } from './api-stage.ts'

const FIRST_BYTES = 1_000

/** A vault whose files begin and then come no further. */
function stallingReader(running: { reads: number }): VaultReader {
  const { open } = memoryReader()
  return {
    async open(...what) {
      const opened = await open(...what)
      return {
        ...opened,
        asset: (id) => ({
          ...opened.asset(id),
          async *read(_startBytes: number, _endBytes: number, signal: AbortSignal) {
            running.reads += 1
            try {
              yield new Uint8Array(FIRST_BYTES)
              await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
            } finally {
              running.reads -= 1
            }
          },
        }),
      }
    },
  }
}

let clock: HeldClock
let running: { reads: number }
let stage: Awaited<ReturnType<typeof apiStage>>
beforeEach(async () => {
  clock = new HeldClock()
  running = { reads: 0 }
  stage = await apiStage({ clock, reader: stallingReader(running) })
})
afterEach(() => stage.close())

describe('a download whose token is revoked', () => {
  it.each([
    ['the original', 'original'],
    ['a rendition', `downloads/${parts.video.id}`],
  ])('ends within five seconds, and goes on until then: %s', async (_what, path) => {
    const host = await stage.caller('host', stage.first)
    const { id } = await stage.addRecording(stage.first)
    const response = await fetch(`${stage.url}/api/v1/recordings/${id}/${path}`, {
      headers: { authorization: `Bearer ${host.token}` },
    })
    expect(response.status).toBe(200)
    const body = response.body!.getReader()
    expect((await body.read()).value).toHaveLength(FIRST_BYTES)
    let hasEnded = false
    const rest = body.read().catch((error: unknown) => {
      hasEnded = true
      return error
    })
    await clock.advance(60_000, 500)
    expect([hasEnded, running.reads]).toEqual([false, 1])
    await stage.catalog.tokens.revokeToken(host.tokenId, clock.nowMs())
    await clock.advance(4_999, 500)
    expect(await rest).toBeInstanceOf(TypeError)
    await expect.poll(() => running.reads).toBe(0)
    expect(clock.sleepersCount).toBe(0)
    expect((await host('GET', `/recordings/${id}/downloads`)).status).toBe(401)
    expect(stage.log.lines.join()).toContain(`api.broken-off {"token":"${host.tokenId}"`)
    expect(stage.log.lines.join()).not.toContain(host.token)
  })

  it('is not watched any more once it has ended', async () => {
    const host = await stage.caller('host', stage.first)
    const { id } = await stage.addRecording(stage.first)
    const abort = new AbortController()
    const response = await fetch(`${stage.url}/api/v1/recordings/${id}/original`, {
      headers: { authorization: `Bearer ${host.token}` },
      signal: abort.signal,
    })
    expect(response.status).toBe(200)
    expect(clock.sleepersCount).toBe(1)
    abort.abort()
    await expect.poll(() => clock.sleepersCount).toBe(0)
  })
})
