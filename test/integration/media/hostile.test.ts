import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFfmpegTool } from '../../../src/adapters/ffmpeg/tool.ts'
import { endsEarly, planRenditions } from '../../../src/domain/media-plan.ts'
import type { ErrorCode } from '../../../src/domain/errors.ts'
import { isMosaikError, MosaikError } from '../../../src/domain/errors.ts'
import type { MediaInfo, MediaTool } from '../../../src/ports/media.ts'
import * as hostile from '../../support/hostile-media.ts'
import * as fixtures from '../../support/media-fixtures.ts'
import { renditionAlone } from '../../support/rendition.ts'

const { signal } = new AbortController()
const host = fixtures.testHost()
const tools: MediaTool[] = []
let listener: Server
let visits = 0
let listenerUrl: string
let canaryPath: string

beforeAll(async () => {
  listener = createServer((_, response) => {
    visits++
    response.end('#EXTM3U\n')
  })
  await new Promise<void>((resolve) => {
    listener.listen(0, '127.0.0.1', resolve)
  })
  listenerUrl = `http://127.0.0.1:${String((listener.address() as AddressInfo).port)}`
  canaryPath = await fixtures.mediaFixture('faststart.mp4')
  for (const confinement of ['auto', 'loopback'] as const) tools.push(await createFfmpegTool({ ...host, confinement }))
})
afterAll(async () => {
  listener.close()
  await fixtures.removeMediaFixtures()
})

/** A text that names other files and addresses, for each confinement; the file's name lies about it. */
const decoys: Record<string, () => string> = {
  hls: () =>
    `#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\n${listenerUrl}/a.ts\n#EXTINF:8,\nfile://${canaryPath}\n#EXT-X-ENDLIST\n`,
  concat: () => `ffconcat version 1.0\nfile '${canaryPath}'\nfile '${listenerUrl}/b.mp4'\n`,
  sdp: () =>
    'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n',
  dash: () =>
    `<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT8S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>${listenerUrl}/c.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>\n`,
}
const words: Record<string, RegExp> = {
  hls: /playlist \(HLS\)/,
  concat: /concat/,
  sdp: /SDP/,
  dash: /DASH/,
}
/** What a caller would have to believe of the file to transcode it in spite of its probe. */
const believed: MediaInfo = {
  format: 'mov,mp4,m4a,3gp,3g2,mj2',
  durationMs: 8000,
  streams: [
    {
      ...{ index: 0, type: 'video', codec: 'vp9', profile: null, language: 'und', title: '', width: 640, height: 360 },
      ...{ pixelFormat: 'yuv420p', bitsPerSecond: null, rotationDegrees: 0 },
    },
  ],
}

/** Side by side, two at a time: they wait for processes more than they work. */
function check(name: string, run: () => Promise<void>): void {
  test.concurrent(name, () => fixtures.takingTurns(run))
}

async function failure(run: Promise<unknown>): Promise<MosaikError> {
  try {
    await run
  } catch (error) {
    if (isMosaikError(error)) return error
    throw error
  }
  throw new Error('it did not fail')
}

async function renderAll(tool: MediaTool, path: string, info: MediaInfo): Promise<number> {
  const input = await fixtures.fileInput(path)
  let bytes = 0
  for (const plan of planRenditions(info)) {
    const output = await renditionAlone(tool, input, info, plan, () => undefined, signal)
    for await (const chunk of output.bytes) bytes += chunk.byteLength
  }
  return bytes
}

describe('files that name other files', () => {
  for (const [name, text] of Object.entries(decoys)) {
    // Its own name never reaches the tool.
    check(`${name}: nothing is read`, async () => {
      const path = await fixtures.textFixture(`${name}.mp4`, text())
      for (const tool of tools) {
        const input = await fixtures.fileInput(path)
        const refused = await failure(tool.probe(input, signal))
        expect(refused.code).toBe('E_MEDIA_UNREADABLE')
        expect(refused.message).toMatch(words[name] ?? /./)
        expect(await failure(renderAll(tool, path, believed))).toMatchObject({ code: 'E_MEDIA_UNREADABLE' })
        await failure(tool.poster(input, believed, signal))
        await failure(tool.captions(input, 0, signal))
      }
      expect(visits).toBe(0)
    })
  }
})

describe('broken files', () => {
  const broken: Record<string, { make: () => Promise<string>; code: ErrorCode; says: RegExp }> = {
    'no bytes': { make: () => fixtures.textFixture('zero.mp4', ''), code: 'E_MEDIA_UNREADABLE', says: /empty/ },
    'one byte': {
      make: () => fixtures.textFixture('one.mp4', '\x01'),
      code: 'E_MEDIA_UNREADABLE',
      says: /broken|not media/,
    },
    'cut off before its index': {
      make: () => fixtures.truncatedFixture('index-at-end.mp4', 0.7),
      code: 'E_MEDIA_UNREADABLE',
      says: /ends early/,
    },
    text: {
      make: () => fixtures.textFixture('text.mp4', 'Grüße\n'.repeat(500)),
      code: 'E_MEDIA_UNREADABLE',
      says: /text, not media/,
    },
    'a web page': {
      make: () => fixtures.textFixture('page.mp4', '<!DOCTYPE html><html><body>Sign in</body></html>'),
      code: 'E_MEDIA_UNREADABLE',
      says: /web page/,
    },
    zeros: {
      make: () => fixtures.once('zeros.mkv', (path) => writeFile(path, new Uint8Array(100_000))),
      code: 'E_MEDIA_UNREADABLE',
      says: /zeros/,
    },
    'noise behind a beginning of MP4': {
      make: () =>
        fixtures.once('noise.mp4', async (path) => {
          const bytes = await readFile(await fixtures.mediaFixture('index-at-end.mp4'))
          for (let i = 64, x = 1; i < bytes.length; i++) bytes[i] = (x = (x * 1103515245 + 12345) & 0x7fffffff) >> 16
          await writeFile(path, bytes)
        }),
      code: 'E_MEDIA_UNREADABLE',
      says: /cannot be used/,
    },
    'a picture 17000 wide': {
      make: () => fixtures.mediaFixture('absurd-width.mov'),
      code: 'E_MEDIA_LIMIT',
      says: /too large: 17000x64/,
    },
    'longer than two days': {
      make: () => fixtures.mediaFixture('endless.mkv'),
      code: 'E_MEDIA_LIMIT',
      says: /48 hours/,
    },
    '10,000 streams': { make: hostile.manyStreamsFixture, code: 'E_MEDIA_LIMIT', says: /more than 64 streams/ },
    '100,000 boxes in each other': {
      make: () => hostile.nestedFixture('udta'),
      code: 'E_MEDIA_UNREADABLE',
      says: /broken, or not media/,
    },
    '100,000 tracks in each other': {
      make: () => hostile.nestedFixture('trak'),
      code: 'E_MEDIA_UNREADABLE',
      says: /neither picture nor sound/,
    },
    'a few kilobytes that become 16000 by 16000': {
      make: () => hostile.bombFixture(16_000),
      code: 'E_MEDIA_LIMIT',
      says: /too large: 16000x16000/,
    },
    'the same, and its container says 640': {
      make: () => hostile.bombFixture(16_000, 640),
      code: 'E_MEDIA_LIMIT',
      says: /too large: 16000x16000/,
    },
    'only captions': {
      make: () =>
        fixtures.once('only-captions.mkv', async (path) => {
          await fixtures.ffmpeg(
            '-i',
            await fixtures.captionedFixture('captions.mkv'),
            '-map',
            '0:s',
            '-c',
            'copy',
            path,
          )
        }),
      code: 'E_MEDIA_UNREADABLE',
      says: /neither picture nor sound/,
    },
  }
  for (const [name, { make, code, says }] of Object.entries(broken)) {
    check(name, async () => {
      const input = await fixtures.fileInput(await make())
      for (const tool of tools) {
        const error = await failure(tool.probe(input, signal))
        expect(error).toMatchObject({ code })
        expect(error.message).toMatch(says)
        expect(JSON.stringify(error.fields)).not.toMatch(/http|127\.0|[0-9a-f]{32}/)
      }
    })
  }

  check('cut off, with its index in front: what is there plays, and the reason is known', async () => {
    const path = await fixtures.truncatedFixture('faststart.mp4', 0.5)
    const [tool] = tools
    if (tool === undefined) throw new Error('no tool')
    const input = await fixtures.fileInput(path)
    const info = await tool.probe(input, signal)
    const [plan] = planRenditions(info)
    if (plan === undefined) throw new Error('no plan')
    for (const mode of ['copy', 'encode'] as const) {
      const output = await renditionAlone(
        tool,
        input,
        info,
        { ...plan, videoMode: mode, audioMode: mode },
        () => undefined,
        signal,
      )
      const chunks: Uint8Array[] = []
      for await (const chunk of output.bytes) chunks.push(Uint8Array.from(chunk))
      expect(endsEarly(info, output.index())).toMatch(/ends early: [234] of 6 seconds/)
      const played = await fixtures.playAsHls(`cut-${mode}`, Buffer.concat(chunks), output.index())
      expect(played.frames).toBeGreaterThan(20)
    }
  })

  check('damaged in the middle: no crash, and what comes out plays', async () => {
    const path = await fixtures.once('damaged.mkv', async (out) => {
      const bytes = await readFile(await fixtures.mediaFixture('h264.mkv'))
      bytes.fill(0xa5, bytes.length >> 1, (bytes.length >> 1) + 20_000)
      await writeFile(out, bytes)
    })
    for (const tool of tools) {
      const info = await tool.probe(await fixtures.fileInput(path), signal)
      expect(await renderAll(tool, path, info)).toBeGreaterThan(10_000)
    }
  })
})

describe('the vault cannot be read', () => {
  test('its own error comes out, not one about the file, and not a short rendition', async () => {
    const path = await fixtures.mediaFixture('faststart.mp4')
    const file = await fixtures.fileInput(path)
    const lost = new MosaikError('E_SHARES_TOO_FEW', 'three of five nodes are away')
    const failing = {
      sizeBytes: file.sizeBytes,
      async *read(start: number, end: number, stop: AbortSignal) {
        let at = start
        for await (const chunk of file.read(start, end, stop)) {
          if (at + chunk.byteLength > file.sizeBytes / 2) throw lost
          at += chunk.byteLength
          yield chunk
        }
      },
    }
    for (const tool of tools) {
      const info = await tool.probe(file, signal)
      for (const mode of ['copy', 'encode'] as const) {
        const [plan] = planRenditions(info)
        if (plan === undefined) throw new Error('no plan')
        const error = await failure(
          (async () => {
            const output = await renditionAlone(
              tool,
              failing,
              info,
              { ...plan, videoMode: mode, audioMode: mode },
              () => undefined,
              signal,
            )
            for await (const chunk of output.bytes) void chunk
          })(),
        )
        expect(error).toBe(lost)
      }
    }
  })
})

test('a picture believed to be small that becomes 16000 by 16000 is stopped while it is made', async () => {
  const path = await hostile.bombFixture(16_000, 640)
  const png = { ...believed, streams: believed.streams.map((stream) => ({ ...stream, codec: 'png' })) }
  for (const tool of tools) {
    expect(await failure(renderAll(tool, path, png))).toMatchObject({ code: 'E_MEDIA_LIMIT' })
  }
})

test('a header that promises 10^6 seconds: what is there is counted, and plays', async () => {
  const path = await hostile.promisesFixture()
  const [tool] = tools
  if (tool === undefined) throw new Error('no tool')
  const info = await tool.probe(await fixtures.fileInput(path), signal)
  expect(Math.abs(info.durationMs - 2000)).toBeLessThan(100)
  expect(await renderAll(tool, path, info)).toBeGreaterThan(1000)
})

test('100 damaged files: each ends in a clear state, nothing is left running', { timeout: 900_000 }, async () => {
  const secrets: string[] = []
  const random = {
    ...host.random,
    bytes(length: number) {
      const bytes = host.random.bytes(length)
      secrets.push(Buffer.from(bytes).toString('hex'))
      return bytes
    },
  }
  const tool = await createFfmpegTool({ ...host, random, confinement: 'loopback' })
  const seeds = await Promise.all((await hostile.seeds()).map((path) => readFile(path)))
  const next = hostile.numbersFrom(20_260_301)
  const ends = new Map<string, number>()
  const note = (end: string): Map<string, number> => ends.set(end, (ends.get(end) ?? 0) + 1)

  async function tryOut(bytes: Buffer): Promise<string> {
    const input = {
      sizeBytes: bytes.byteLength,
      async *read(start: number, end: number) {
        await Promise.resolve()
        yield new Uint8Array(bytes.subarray(start, end))
      },
    }
    try {
      const info = await tool.probe(input, signal)
      const plan = planRenditions(info)[0]
      if (plan === undefined) return 'nothing to play'
      const output = await renditionAlone(tool, input, info, plan, () => undefined, AbortSignal.timeout(10_000))
      for await (const chunk of output.bytes) void chunk
      return output.index().segments.length > 0 ? 'plays' : 'empty'
    } catch (error) {
      if (isMosaikError(error)) return error.code
      throw error
    }
  }
  const files = Array.from({ length: 100 }, (_, i) => hostile.mutate(seeds[i % seeds.length] ?? Buffer.alloc(0), next))
  await Promise.all(files.map((bytes) => fixtures.takingTurns(async () => note(await tryOut(bytes)))))

  expect([...ends.values()].reduce((sum, count) => sum + count, 0)).toBe(100)
  expect(
    [...ends.keys()].filter((end) => !/^(plays|nothing to play|E_MEDIA_(UNREADABLE|UNSUPPORTED|LIMIT))$/.test(end)),
  ).toEqual([])
  expect(ends.get('plays') ?? 0, 'damage that leaves a part').toBeGreaterThan(20)
  expect(ends.get('E_MEDIA_UNREADABLE') ?? 0).toBeGreaterThan(5)
  for (const entry of (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))) {
    const commandLine = await readFile(`/proc/${entry}/cmdline`, 'latin1').catch(() => '')
    expect(secrets.some((secret) => commandLine.includes(secret))).toBe(false)
  }
})

test('what takes too long is stopped', async () => {
  const impatient = { ...host.clock, sleep: (_: number, stop?: AbortSignal) => host.clock.sleep(300, stop) }
  const tool = await createFfmpegTool({ ...host, clock: impatient, confinement: 'loopback' })
  const input = await fixtures.fileInput(await fixtures.mediaFixture('faststart.mp4'))
  const stuck = {
    ...input,
    async *read(start: number, end: number, stop: AbortSignal) {
      await new Promise((_, reject) => {
        stop.addEventListener('abort', () => {
          reject(new Error('stopped'))
        })
      })
      yield* input.read(start, end, stop)
    },
  }
  expect(await failure(tool.probe(stuck, signal))).toMatchObject({ code: 'E_MEDIA_LIMIT' })
})

test('what is missing is named', async () => {
  const folder = join(await fixtures.fixtureFolder(), 'nothing-here')
  const error = await failure(createFfmpegTool({ ...host, searchPath: folder }))
  expect(error.code).toBe('E_SETUP')
  expect(error.message).toMatch(/install the package ffmpeg/)
})
