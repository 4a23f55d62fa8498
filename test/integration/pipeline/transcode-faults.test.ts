import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { nodeClock } from '../../../src/adapters/node-system.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import type { Id } from '../../../src/domain/ids.ts'
import { INLINE_MAX_BYTES, type PlaybackIndex } from '../../../src/domain/recording.ts'
import type { MediaInfo, MediaTool } from '../../../src/ports/media.ts'
import { createVaultReader } from '../../../src/retrieve/open-recording.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { MemoryStore, failAll } from '../../support/memory-store.ts'
import { RUN_SEGMENTS } from '../../../src/ports/segment-engine.ts'
import { eachAlone, renditionAlone } from '../../support/rendition.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

const never = new AbortController().signal
const content = randomBytes(3 * 262_112)
const stream = {
  profile: null,
  language: 'und',
  title: '',
  pixelFormat: 'yuv420p',
  bitsPerSecond: null,
  rotationDegrees: 0,
}
const film: MediaInfo = {
  format: 'matroska,webm',
  durationMs: 4000,
  streams: [
    { ...stream, index: 0, type: 'video', codec: 'vp9', width: 1280, height: 720 },
    { ...stream, index: 1, type: 'audio', codec: 'opus', width: 0, height: 0 },
  ],
}
const index: PlaybackIndex = {
  codecs: 'avc1.64001f',
  width: 1280,
  height: 720,
  bandwidthBitsPerSecond: 1000,
  durationMs: 4000,
  initBytes: 100,
  segments: [[100, 1900, 4_000_000]],
}

let vault: TestVault
let nodes: MemoryStore[]
let recording: Id
let tool: MediaTool

beforeEach(async () => {
  nodes = [1, 2, 3, 4, 5].map((number) => new MemoryStore({ label: `memory-${number}` }))
  tool = workingTool()
  const media: MediaTool = {
    confinement: 'none',
    probe: (...given) => tool.probe(...given),
    renditions: (...given) => tool.renditions(...given),
    poster: (...given) => tool.poster(...given),
    captions: (...given) => tool.captions(...given),
    storyboard: (...given) => tool.storyboard(...given),
  }
  vault = await makeTestVault({ memory: nodes, threads: 0, media })
  const path = join(vault.folder, 'meeting.webm')
  writeFileSync(path, content)
  recording = await vault.deposit(path, await describeFile(path))
  await vault.runOnce(await vault.workOf(recording, 'store'))
})
afterEach(() => vault.close())

/** Makes renditions of 2000 bytes that tell their names. */
function workingTool(): MediaTool {
  return {
    confinement: 'none',
    probe: () => Promise.resolve(film),
    renditions: eachAlone((plan) => ({
      bytes: (async function* () {
        yield new Uint8Array(2000).fill(plan.name.charCodeAt(0))
      })(),
      index: () => index,
    })),
    poster: () => Promise.resolve(new Uint8Array(INLINE_MAX_BYTES + 1).fill(7)),
    captions: () => Promise.reject(new MosaikError('E_MEDIA_UNSUPPORTED', 'no captions')),
    storyboard: () => Promise.reject(new MosaikError('E_MEDIA_UNSUPPORTED', 'no storyboard')),
  }
}

async function run(): Promise<void> {
  await vault.runOnce(await vault.workOf(recording, 'transcode'))
}

const row = async () => (await vault.recordings.get(recording, vault.organisation))!

async function assetNames(): Promise<string[]> {
  const { manifest } = await vault.reader.open(vault.organisation, recording, 'play', never)
  return manifest.assets.map(({ name }) => name)
}

/** What lies on the nodes is what the catalog calls stored. */
async function expectNoOrphans(): Promise<void> {
  for (const node of nodes) node.fault = undefined
  await nodeClock.sleep(5)
  expect((await collect(vault, never, 0)).left).toBe(0)
  const usage = await vault.layout.nodeUsage()
  const counts = nodes.map(({ objects }) => objects.size - 1)
  expect(counts).toEqual(usage.map(({ objectsCount }) => objectsCount))
  const { manifest } = await vault.reader.open(vault.organisation, recording, 'play', never)
  const attempts = manifest.assets.filter(({ sealed }) => sealed).length
  // Fragments of what the manifest names, its own share, and the card.
  expect(counts).toEqual(nodes.map(() => attempts + 2))
}

describe('transcoding', () => {
  it('names everything it made in one generation; a poster that is too large for the manifest lies beside it', async () => {
    await run()
    expect(await row()).toMatchObject({ state: 'ready', generation: 2, reason: null, durationMs: 4000 })
    expect(await assetNames()).toEqual(['meeting.webm', '360p', '720p', 'audio', 'poster'])
    await expectNoOrphans()
    // Twice is once.
    await run()
    expect((await row()).generation).toBe(2)
  })

  it('one rendition that fails half-way costs only itself, says so, and leaves nothing', async () => {
    const working = workingTool()
    tool = {
      ...working,
      renditions: eachAlone((plan, input, info, _plans, progress, signal) => {
        if (plan.name !== '720p') return renditionAlone(working, input, info, plan, progress, signal)
        return {
          bytes: (async function* () {
            yield new Uint8Array(300_000)
            throw new MosaikError('E_MEDIA_LIMIT', 'it takes too long')
          })(),
          index: () => index,
        }
      }),
    }
    await run()
    expect(await row()).toMatchObject({
      state: 'ready',
      reason: { code: 'E_MEDIA_LIMIT', message: '720p: it takes too long' },
    })
    expect(await assetNames()).toEqual(['meeting.webm', '360p', 'audio', 'poster'])
    await expectNoOrphans()
  })

  describe('renditions that come out of one run', () => {
    const [picture, sound] = film.streams
    const copied = { ...film, format: 'mov,mp4', streams: [{ ...picture!, codec: 'h264', profile: 'High' }, sound!] }
    let asked: string[]
    /** A run of which the rendition `bad` breaks behind its first bytes, and with it the others. */
    function breaking(bad: string, error: MosaikError): MediaTool {
      return {
        ...workingTool(),
        probe: () => Promise.resolve(copied),
        renditions: (_input, _info, plans, _progress, signal) => {
          asked.push(plans.map(({ name }) => name).join(' + '))
          const broken = Promise.withResolvers<never>()
          broken.promise.catch(() => undefined)
          const outputs = plans.map(({ name }) => ({
            bytes: (async function* () {
              yield new Uint8Array(300_000).fill(name.charCodeAt(0))
              if (name === bad) broken.reject(error)
              if (plans.some((plan) => plan.name === bad)) {
                await Promise.race([
                  broken.promise,
                  new Promise((_, reject) => signal.addEventListener('abort', reject)),
                ])
              }
            })(),
            index: () => index,
          }))
          return Promise.resolve(outputs)
        },
      }
    }
    beforeEach(() => {
      asked = []
    })

    it('are made by themselves when the run fails, and only the one whose fault it is is missing', async () => {
      tool = breaking('audio', new MosaikError('E_MEDIA_UNREADABLE', 'the sound is broken'))
      await run()
      expect(asked).toEqual(['720p + audio', '720p', 'audio', '360p'])
      expect(await row()).toMatchObject({
        state: 'ready',
        reason: { code: 'E_MEDIA_UNREADABLE', message: 'audio: the sound is broken' },
      })
      expect(await assetNames()).toEqual(['meeting.webm', '720p', '360p', 'poster'])
      const events = await vault.recordings.events(recording)
      expect(events.filter(({ kind }) => kind === 'rendition-failed').map(({ fields }) => fields)).toEqual([
        { rendition: 'audio', code: 'E_MEDIA_UNREADABLE', message: 'the sound is broken' },
      ])
      await expectNoOrphans()
    })

    it('are none when a crashed tool only needs another try, and there is nothing to say of it', async () => {
      tool = breaking('', new MosaikError('E_MEDIA_TOOL', 'ffmpeg crashed'))
      let tries = 0
      const { renditions } = tool
      tool = {
        ...tool,
        renditions: (...given) =>
          tries++ === 0 ? Promise.reject(new MosaikError('E_MEDIA_TOOL', 'ffmpeg crashed')) : renditions(...given),
      }
      await run()
      expect(asked).toEqual(['720p', 'audio', '360p'])
      expect(await row()).toMatchObject({ state: 'ready', reason: null })
      expect(await assetNames()).toEqual(['meeting.webm', '720p', '360p', 'audio', 'poster'])
      await expectNoOrphans()
    })

    it('get a second try also when there is only one: the small pictures may be what broke it', async () => {
      const { probe, renditions } = breaking('', new MosaikError('E_MEDIA_TOOL', 'ffmpeg crashed'))
      let tries = 0
      tool = {
        ...workingTool(),
        probe: async (...given) => ({ ...(await probe(...given)), streams: copied.streams.slice(0, 1) }),
        renditions: (...given) =>
          tries++ === 0 ? Promise.reject(new MosaikError('E_MEDIA_TOOL', 'ffmpeg crashed')) : renditions(...given),
      }
      await run()
      expect(asked).toEqual(['720p', '360p'])
      expect(await row()).toMatchObject({ state: 'ready', reason: null })
      await expectNoOrphans()
    })

    it('say what went wrong first, not what followed from it: nodes that fail are no fault of the film', async () => {
      for (const node of nodes.slice(0, 3)) {
        node.fault = ({ call }) => (call === 'create' ? { fail: 'E_NODE_FULL' } : undefined)
      }
      // The picture never ends by itself: only because its run is given up.
      tool = breaking('720p', new MosaikError('E_INTERNAL', 'never said'))
      const { renditions } = tool
      tool = {
        ...tool,
        renditions: async (input, info, plans, progress, signal) => {
          const [, short] = await workingTool().renditions(input, info, plans, progress, signal)
          const [long] = await renditions(input, info, plans.toReversed(), progress, signal)
          return [long!, short!]
        },
      }
      await run()
      expect(asked).toEqual(['audio + 720p'])
      expect(await row()).toMatchObject({ state: 'stored', reason: { code: 'E_NODES_TOO_FEW' } })
      await expectNoOrphans()
    })
  })

  it('a file without picture and sound is unplayable with that reason, and safe', async () => {
    tool = { ...workingTool(), probe: () => Promise.resolve({ ...film, streams: [] }) }
    await run()
    expect(await row()).toMatchObject({ state: 'unplayable', generation: 1, reason: { code: 'E_MEDIA_UNREADABLE' } })
    expect((await vault.workOf(recording, 'transcode')).state).toBe('done')
    await expectNoOrphans()
  })

  it('waits for nodes with a reason, stays safe meanwhile, and goes on by itself', async () => {
    for (const node of nodes.slice(0, 2)) {
      node.fault = ({ call }) => (call === 'create' ? { fail: 'E_NODE_FULL' } : undefined)
    }
    await run()
    expect(await row()).toMatchObject({ state: 'stored', generation: 1, reason: { code: 'E_NODES_TOO_FEW' } })
    expect((await row()).reason!.message).toContain('E_NODE_FULL')
    await expectNoOrphans()
    await nodeClock.sleep(1_000)
    await run()
    expect(await row()).toMatchObject({ state: 'ready', reason: null })
    await expectNoOrphans()
  })

  it('nodes that go away while the original is read are no fault of the film', async () => {
    tool = {
      ...workingTool(),
      probe: async (input, signal) => {
        for (const node of nodes.slice(0, 3)) node.fault = failAll()
        for await (const chunk of input.read(0, input.sizeBytes, signal)) expect(chunk.length).toBeGreaterThan(0)
        return film
      },
    }
    await run()
    expect(await row()).toMatchObject({ state: 'stored', reason: { code: 'E_SHARES_TOO_FEW' } })
    expect((await vault.workOf(recording, 'transcode')).state).toBe('pending')
    await expectNoOrphans()
  })

  it('a crash after the commit leaves a recording that is ready, and the next run does nothing', async () => {
    const { recordings } = vault.catalog
    const view = {
      ...vault.catalog,
      recordings: {
        ...recordings,
        addEvent: (...given: Parameters<typeof recordings.addEvent>) =>
          given[2] === 'ready'
            ? Promise.reject(new MosaikError('E_INTERNAL', 'no answer'))
            : recordings.addEvent(...given),
      },
    }
    const { runWork } = await import('../../../src/main/runner.ts')
    const work = await vault.workOf(recording, 'transcode')
    await runWork({ ...vault, announce: () => undefined }, vault.tableWith(view).transcode, work.id, never)
    // Not "stored" again, although the work will run once more.
    expect(await row()).toMatchObject({ state: 'ready', generation: 2 })
    await nodeClock.sleep(1_000)
    await run()
    expect(await row()).toMatchObject({ state: 'ready', generation: 2 })
    await expectNoOrphans()
  })
})

describe('opening while a new generation is stored', () => {
  it('takes the new one when the shares of the old one are on their way out', async () => {
    const stale = await row()
    await run()
    let asked = 0
    const { recordings } = vault.catalog
    const racing = createVaultReader({
      ...vault,
      recordings: {
        ...recordings,
        get: (...given) => (asked++ === 0 ? Promise.resolve(stale) : recordings.get(...given)),
      },
    })
    const { manifest } = await racing.open(vault.organisation, recording, 'play', never)
    expect(manifest.generation).toBe(2)
  })
})

describe('the collector', () => {
  it('goes on past an object that a node will not give up, and leaves silent nodes to the next round', async () => {
    tool = {
      ...workingTool(),
      renditions: () => Promise.reject(new MosaikError('E_MEDIA_LIMIT', 'too long')),
      poster: () => Promise.resolve(undefined),
    }
    for (let i = 0; i < 3; i++) {
      const path = join(vault.folder, `wrong-${i}.mp4`)
      writeFileSync(path, content)
      const wrong = await vault.deposit(path, { ...(await describeFile(path)), sha256: 'ab'.repeat(32) })
      await vault.runOnce(await vault.workOf(wrong, 'store'))
    }
    const before = nodes.map(({ objects }) => objects.size)
    const locked = [...nodes[0]!.objects.keys()].filter((key) => key.startsWith('f/'))[1]!
    nodes[0]!.fault = ({ call, key }) => (call === 'delete' && key === locked ? { fail: 'E_NODE_REFUSED' } : undefined)
    nodes[1]!.fault = failAll()
    await nodeClock.sleep(5)
    const { deleted, left } = await collect(vault, never, 0)
    expect(left).toBe(1 + 3)
    expect(deleted).toBe(5 * 3 - 4)
    expect(nodes[0]!.objects.size).toBe(before[0]! - 2)
    for (const node of nodes) node.fault = undefined
    expect(await collect(vault, never, 0)).toEqual({ deleted: 4, left: 0 })
    expect(await collect(vault, never, 0)).toEqual({ deleted: 0, left: 0 })
  })

  it('is not held up by a node that never answers', async () => {
    const path = join(vault.folder, 'wrong.mp4')
    writeFileSync(path, content)
    const wrong = await vault.deposit(path, { ...(await describeFile(path)), sha256: 'ab'.repeat(32) })
    await vault.runOnce(await vault.workOf(wrong, 'store'))
    nodes[2]!.fault = ({ call }) => (call === 'delete' ? 'stall' : undefined)
    await nodeClock.sleep(5)
    const quick = { ...vault.clock, sleep: (ms: number, signal?: AbortSignal) => nodeClock.sleep(ms / 600, signal) }
    expect(await collect({ ...vault, clock: quick }, never, 0)).toEqual({ deleted: 4, left: 1 })
  })

  it('gives up and deletes nothing with a clock that is not the catalog’s', async () => {
    const path = join(vault.folder, 'wrong.mp4')
    writeFileSync(path, content)
    const wrong = await vault.deposit(path, { ...(await describeFile(path)), sha256: 'ab'.repeat(32) })
    await vault.runOnce(await vault.workOf(wrong, 'store'))
    await nodeClock.sleep(5)
    const said: string[] = []
    const log = { ...vault.log, error: (event: string) => void said.push(event) }
    for (const offMs of [86_400_000, -86_400_000]) {
      const off = { ...vault.clock, nowMs: () => vault.clock.nowMs() + offMs }
      expect(await collect({ ...vault, log, clock: off }, never, 0)).toEqual({ deleted: 0, left: 0 })
    }
    expect(said).toEqual(['collect.clock-differs', 'collect.clock-differs'])
    expect(await collect(vault, never, 0)).toEqual({ deleted: 5, left: 0 })
  })

  it('never touches what the catalog does not know', async () => {
    nodes[0]!.objects.set(`f/${'ab'.repeat(16)}`, new Uint8Array(5))
    await nodeClock.sleep(5)
    await collect(vault, never, 0)
    expect(nodes[0]!.objects.has(`f/${'ab'.repeat(16)}`)).toBe(true)
  })
})

describe('the pipeline', () => {
  it('keeps the engine busy: as many runs of segments in flight as it can take', async () => {
    let flying = 0
    let most = 0
    const enough = Promise.withResolvers<undefined>()
    const engine = {
      ...vault.engine,
      parallelism: 6,
      splitter: (...given: Parameters<typeof vault.engine.splitter>) => {
        const real = vault.engine.splitter(...given)
        return {
          close: () => real.close(),
          split: async (...call: Parameters<typeof real.split>) => {
            most = Math.max(most, ++flying)
            // Held until as many came as shall, and a moment longer, in which one too many could come.
            if (flying >= 6) void nodeClock.sleep(50).then(() => enough.resolve(undefined))
            await enough.promise
            flying--
            return await real.split(...call)
          },
        }
      },
    }
    const path = join(vault.folder, 'long.mp4')
    writeFileSync(path, randomBytes(20 * RUN_SEGMENTS * 262_112))
    const long = await vault.deposit(path, await describeFile(path))
    const work = await vault.workOf(long, 'store')
    const { runWork } = await import('../../../src/main/runner.ts')
    const table = vault.tableWith(vault.catalog, { engine })
    await runWork({ ...vault, announce: () => undefined }, table.store, work.id, never)
    expect((await vault.recordings.get(long, vault.organisation))!.state).toBe('stored')
    expect(most).toBeGreaterThanOrEqual(6)
    expect(most).toBeLessThanOrEqual(7)
  })
})
