import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import type { ErrorCode } from '../../../src/domain/errors.ts'
import type { PlaybackIndex } from '../../../src/domain/recording.ts'
import type { MediaInfo, MediaTool, RenditionPlan } from '../../../src/ports/media.ts'
import { eachAlone } from '../../support/rendition.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

const info: MediaInfo = {
  format: 'matroska,webm',
  durationMs: 60_000,
  streams: [
    {
      ...{
        index: 0,
        type: 'video',
        codec: 'vp9',
        profile: null,
        language: 'und',
        title: '',
        width: 1920,
        height: 1080,
      },
      ...{ pixelFormat: 'yuv420p', bitsPerSecond: null, rotationDegrees: 0 },
    },
  ],
}

/** How renditions end: after so many milliseconds, or with an error. Those without an entry are whole. */
let ends: Record<string, number | ErrorCode>
let made: string[]

const tool: MediaTool = {
  confinement: 'none',
  probe: () => Promise.resolve(info),
  renditions: eachAlone((plan) => pretend(plan)),
  poster: () => Promise.resolve(undefined),
  storyboard: () => Promise.reject(new MosaikError('E_MEDIA_UNSUPPORTED', 'not here')),
  captions: () => Promise.reject(new MosaikError('E_MEDIA_UNSUPPORTED', 'not here')),
}

function pretend(plan: RenditionPlan): { bytes: AsyncIterable<Uint8Array>; index: () => PlaybackIndex } {
  made.push(plan.name)
  const end = ends[plan.name] ?? info.durationMs
  async function* bytes(): AsyncGenerator<Uint8Array, void, void> {
    yield new Uint8Array(100).fill(1)
    await Promise.resolve()
    if (typeof end === 'string') throw new MosaikError(end, 'it broke')
    yield new Uint8Array(100).fill(2)
  }
  return {
    bytes: bytes(),
    index: () => ({
      ...{ codecs: 'avc1.640028', width: plan.width, height: plan.height, bandwidthBitsPerSecond: 1000, initBytes: 50 },
      durationMs: Number(end),
      segments: [[50, 150, Number(end) * 1000]],
    }),
  }
}

describe('what becomes of a recording', () => {
  let vault: TestVault
  let folder: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mosaik-stage-'))
    vault = await makeTestVault({ media: tool, threads: 0 })
  })
  afterAll(async () => {
    await vault.close()
    rmSync(folder, { recursive: true, force: true })
  })
  beforeEach(() => {
    made = []
    ends = {}
  })

  async function run(name: string) {
    const path = join(folder, name)
    writeFileSync(path, `bytes of ${name}`)
    const recording = await vault.deposit(path, await describeFile(path))
    await vault.runDue()
    const row = await vault.catalog.recordings.get(recording, vault.organisation)
    const { manifest } = await vault.reader.open(vault.organisation, recording, 'play', new AbortController().signal)
    const events = await vault.catalog.recordings.events(recording)
    return {
      row,
      renditions: manifest.assets.filter(({ kind }) => kind === 'rendition').map(({ name: is }) => is),
      events: (kind: string) => events.filter((event) => event.kind === kind).map(({ fields }) => fields),
    }
  }

  test('whole: ready, without a reason', async () => {
    const { row, renditions, events } = await run('whole')
    expect(row).toMatchObject({ state: 'ready', reason: null, durationMs: 60_000 })
    expect(renditions).toEqual(made)
    expect(events('ends-early')).toEqual([])
  })

  test('ends early: ready, with the reason, and as long as what plays', async () => {
    ends = { '720p': 31_000, '360p': 31_200 }
    const { row, events } = await run('early')
    const message = 'the file ends early: 31 of 60 seconds could be read'
    expect(row).toMatchObject({
      ...{ state: 'ready', durationMs: expect.any(Number) as number },
      reason: { code: 'E_MEDIA_UNREADABLE', message },
    })
    expect(events('ends-early')).toContainEqual({ rendition: '720p', message })
    expect(events('ends-early')).toContainEqual({ rendition: '360p', message })
  })

  test('one that fails leaves the others, and is named', async () => {
    ends = { '360p': 'E_MEDIA_LIMIT' }
    const { row, renditions, events } = await run('one-fails')
    expect(row).toMatchObject({ state: 'ready', reason: { code: 'E_MEDIA_LIMIT', message: '360p: it broke' } })
    expect(renditions).toEqual(made.filter((name) => name !== '360p'))
    expect(renditions.length).toBeGreaterThan(0)
    expect(events('rendition-failed')).toEqual([{ rendition: '360p', code: 'E_MEDIA_LIMIT', message: 'it broke' }])
  })

  test('that a part is missing says more than that a size is', async () => {
    ends = { '360p': 'E_MEDIA_LIMIT', '720p': 20_000 }
    expect((await run('both')).row?.reason?.message).toBe('the file ends early: 20 of 60 seconds could be read')
  })

  test('all fail: unplayable, and the original is there', async () => {
    for (const name of ['1080p', '720p', '360p', 'audio']) ends[name] = 'E_MEDIA_UNREADABLE'
    const { row, renditions } = await run('none')
    expect(row).toMatchObject({ state: 'unplayable', reason: { code: 'E_MEDIA_UNREADABLE', message: 'it broke' } })
    expect(renditions).toEqual([])
  })
})
