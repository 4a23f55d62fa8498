import { writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFfmpegTool } from '../../../src/adapters/ffmpeg/tool.ts'
import { endsEarly, planRenditions } from '../../../src/domain/media-plan.ts'
import type { PlaybackIndex } from '../../../src/domain/recording.ts'
import type { MediaInfo, MediaInput, MediaTool, RenditionPlan } from '../../../src/ports/media.ts'
import * as fixtures from '../../support/media-fixtures.ts'
import type { FixtureName } from '../../support/media-fixtures.ts'
import { renditionAlone } from '../../support/rendition.ts'

const DURATION_MS = fixtures.FIXTURE_SECONDS * 1000
const { signal } = new AbortController()
/** As it is confined here, and without the sandbox, which takes longer than most of these files do. */
let confined: MediaTool
let tool: MediaTool
const host = fixtures.testHost()

beforeAll(async () => {
  confined = await createFfmpegTool(host)
  tool = await createFfmpegTool({ ...host, confinement: 'loopback' })
})
afterAll(fixtures.removeMediaFixtures)

async function render(
  input: MediaInput,
  info: MediaInfo,
  plan: RenditionPlan,
  by = tool,
): Promise<{ bytes: Buffer; index: PlaybackIndex; progress: number[] }> {
  const progress: number[] = []
  const output = await renditionAlone(by, input, info, plan, (doneMs) => progress.push(doneMs), signal)
  const chunks: Uint8Array[] = []
  for await (const chunk of output.bytes) chunks.push(Uint8Array.from(chunk))
  return { bytes: Buffer.concat(chunks), index: output.index(), progress }
}

/** What is done with picture and sound, and the size: "720p copy/encode 1280x720". */
function describePlan({ name, videoMode, audioMode, width, height }: RenditionPlan): string {
  return `${name} ${videoMode}/${audioMode} ${String(width)}x${String(height)}`
}

/** Side by side, two at a time: they wait for processes more than they work. */
function check(name: string, run: () => Promise<void>): void {
  test.concurrent(name, () => fixtures.takingTurns(run))
}

interface Expected {
  /** As `describePlan` says; of a file with pictures only those with one. */
  readonly renditions: readonly string[]
  readonly frames?: number
  /** When the sound is first heard, counted from the first picture. */
  readonly soundFromMs?: number
  /** Makes sound on its own too, and all of it in the sandbox. */
  readonly thorough?: boolean
  readonly durationMs?: number
}

async function checkPlays(path: string, expected: Expected): Promise<void> {
  const by = expected.thorough === true ? confined : tool
  const input = await fixtures.fileInput(path)
  const info = await by.probe(input, signal)
  const durationMs = expected.durationMs ?? DURATION_MS
  expect(info.durationMs).toBeGreaterThan(durationMs - 300)
  expect(info.durationMs).toBeLessThan(durationMs + 300)
  const plans = planRenditions(info)
  const pictures = plans.filter(({ videoMode }) => videoMode !== 'none')
  expect((pictures.length > 0 ? pictures : plans).map(describePlan)).toEqual(expected.renditions)
  const hasSound = info.streams.some(({ type }) => type === 'audio')
  expect(/^audio( \d)?$/.test(plans.at(-1)?.name ?? ''), 'sound on its own').toBe(hasSound)
  for (const plan of expected.thorough === true || pictures.length === 0 ? plans : pictures) {
    const { bytes, index, progress } = await render(input, info, plan, by)
    const last = index.segments.at(-1) ?? [0, 0, 0]
    expect(last[0] + last[1], 'the index reaches to the end').toBe(bytes.byteLength)
    expect(index.segments[0]?.[0], 'and begins after the initialisation section').toBe(index.initBytes)
    expect([index.width, index.height]).toEqual([plan.width, plan.height])
    expect(Math.abs(index.durationMs - durationMs)).toBeLessThan(500)
    expect(endsEarly(info, index)).toBeUndefined()
    expect(progress.at(-1)).toBeGreaterThan(durationMs * 0.9)
    expect(index.bandwidthBitsPerSecond).toBeGreaterThan(10_000)
    const summed = index.segments.reduce((sum, [, , duration]) => sum + duration, 0)
    expect(Math.abs(summed / 1000 - index.durationMs)).toBeLessThan(5)

    const played = await fixtures.playAsHls(plan.name, bytes, index)
    if (plan.videoStream !== null) {
      expect(index.codecs).toMatch(/^avc1\.[0-9a-f]{6}(,mp4a\.40\.2)?$/)
      expect(Math.abs(played.pictureMs - durationMs), 'pictures to the end').toBeLessThan(600)
      expect(played.contrast, 'not one colour').toBeGreaterThan(40)
      expect(played.firstPictureMs, 'begins at about zero').toBeLessThan(150)
      if (expected.frames !== undefined) expect(Math.abs(played.frames - expected.frames)).toBeLessThanOrEqual(2)
    }
    if (plan.audioStream !== null) expect(Math.abs(played.soundMs - durationMs)).toBeLessThan(400)
    if (expected.soundFromMs !== undefined) {
      expect(Math.abs(played.soundFromMs - played.firstPictureMs - expected.soundFromMs)).toBeLessThan(60)
    }
  }
}

const whole: Record<
  Exclude<
    FixtureName,
    | 'absurd-width.mov'
    | 'endless.mkv'
    | 'black-beginning.mp4'
    | 'rare-key-frames.mp4'
    | 'sound-goes-on.mp4'
    | 'sixty.mp4'
    | 'bit-late.mkv'
  >,
  Expected
> = {
  'index-at-end.mp4': {
    renditions: ['720p copy/copy 1280x720', '360p encode/copy 640x360'],
    frames: 150,
    thorough: true,
  },
  'late-sound.mp4': { renditions: ['360p copy/copy 640x360'], frames: 60, soundFromMs: 3000 },
  'faststart.mp4': { renditions: ['360p copy/copy 640x360'], frames: 60 },
  'fragmented.mp4': { renditions: ['360p copy/copy 640x360'], frames: 60 },
  'full-hd.mp4': {
    renditions: ['1080p copy/copy 1920x1080', '360p encode/copy 640x360', '720p encode/copy 1280x720'],
    frames: 60,
  },
  'h264.mkv': { renditions: ['480p copy/copy 854x480', '360p encode/copy 640x360'], frames: 60 },
  'vp9.webm': { renditions: ['360p encode/encode 640x360'], frames: 60, thorough: true },
  'vp8.webm': { renditions: ['360p encode/encode 640x360'], frames: 60 },
  'odd.webm': { renditions: ['360p encode/encode 640x360'], frames: 60 },
  'small.mp4': { renditions: ['238p encode/copy 318x238'], frames: 60 },
  'varying-rate.mkv': { renditions: ['360p copy/copy 640x360'], frames: 126 },
  'sound.m4a': { renditions: ['audio none/copy 0x0'] },
  'sound.ogg': { renditions: ['audio none/encode 0x0'], thorough: true },
  'sound.mp3': { renditions: ['audio none/encode 0x0'] },
  'sound.wav': { renditions: ['audio none/encode 0x0'] },
  'silent.mp4': { renditions: ['360p copy/none 640x360'], frames: 60 },
  'two-sounds.mkv': { renditions: ['360p copy/copy 640x360'], frames: 60 },
  'ten-bit.mp4': { renditions: ['360p encode/copy 640x360'], frames: 60 },
  'hevc.mp4': { renditions: ['360p encode/copy 640x360'], frames: 60 },
  'flash.flv': { renditions: ['360p copy/copy 640x360'], frames: 60 },
  'old.avi': { renditions: ['360p encode/encode 480x360', '480p encode/encode 640x480'], frames: 60 },
  'opus.mkv': { renditions: ['360p copy/encode 640x360'], frames: 60, soundFromMs: 2000 },
  'vp9-aac.mkv': { renditions: ['360p encode/copy 640x360'], frames: 60, soundFromMs: 2000 },
  'pcm.mov': { renditions: ['360p copy/encode 640x360'], frames: 60 },
  'stream.ts': { renditions: ['720p copy/copy 1280x720', '360p encode/copy 640x360'], frames: 60, thorough: true },
  'windows.wmv': { renditions: ['360p encode/encode 640x360'], frames: 60 },
  'wide-pixels.mp4': { renditions: ['360p copy/copy 640x360'], frames: 60 },
}

describe('what meeting systems make', () => {
  for (const [name, expected] of Object.entries(whole)) {
    check(name, async () => {
      await checkPlays(await fixtures.mediaFixture(name as FixtureName), expected)
    })
  }

  check('sound on its own has the clock of the picture, copied too', async () => {
    const input = await fixtures.fileInput(await fixtures.mediaFixture('bit-late.mkv'))
    const info = await tool.probe(input, signal)
    for (const audioMode of ['copy', 'encode'] as const) {
      const plan = planRenditions(info).at(-1)
      if (plan?.audioMode !== 'copy') throw new Error('no copy planned')
      const { bytes, index } = await render(input, info, { ...plan, audioMode })
      expect(index.codecs).toBe('mp4a.40.2')
      const path = await fixtures.once(`bit-late-${audioMode}.mp4`, (out) => writeFile(out, bytes))
      // As decoded, with times: from a beginning that is not zero ffmpeg fills in nothing.
      const sound = await fixtures.ffmpegOutput(
        ...['-copyts', '-i', path, '-af', 'aresample=async=1:first_pts=0', '-ac', '1', '-ar', '8000'],
        ...['-f', 's16le', 'pipe:1'],
      )
      expect(Math.abs(fixtures.soundStart(sound) - 400), audioMode).toBeLessThan(60)
    }
  })

  check('sound that has to be encoded leaves the picture untouched', async () => {
    const path = await fixtures.mediaFixture('opus.mkv')
    const input = await fixtures.fileInput(path)
    const info = await tool.probe(input, signal)
    const [plan] = planRenditions(info)
    if (plan === undefined) throw new Error('no plan')
    const { bytes } = await render(input, info, plan)
    const copy = await fixtures.once('opus-copy.mp4', (out) => writeFile(out, bytes))
    const picture = (file: string): Promise<Buffer> =>
      fixtures.ffmpegOutput('-i', file, '-map', '0:v', '-c', 'copy', '-f', 'data', 'pipe:1')
    expect((await picture(copy)).equals(await picture(path))).toBe(true)
  })

  check('sound that goes on after the last picture is in the index too', async () => {
    const input = await fixtures.fileInput(await fixtures.mediaFixture('sound-goes-on.mp4'))
    const info = await tool.probe(input, signal)
    for (const mode of ['copy', 'encode'] as const) {
      const [plan] = planRenditions(info)
      if (plan === undefined) throw new Error('no plan')
      const { bytes, index } = await render(input, info, {
        ...plan,
        videoMode: mode,
        audioMode: plan.audioStream === null ? 'none' : mode,
      })
      expect(index.segments.length).toBeGreaterThan(10)
      const last = index.segments.at(-1) ?? [0, 0, 0]
      expect(last[0] + last[1]).toBe(bytes.byteLength)
      const played = await fixtures.playAsHls('goes-on', bytes, index)
      expect(played.frames).toBe(50)
      expect(Math.abs(played.soundMs - 120_000)).toBeLessThan(400)
    }
  })

  check('1080p with 60 frames a second: kept where it is large, and done in a sane time', async () => {
    const input = await fixtures.fileInput(await fixtures.mediaFixture('sixty.mp4'))
    const info = await tool.probe(input, signal)
    const plans = planRenditions(info)
    expect(plans.map(({ name }) => name)).toEqual(['360p', '720p', '1080p'])
    const begun = performance.now()
    for (const [plan, frames] of [[plans[0], 30] as const, [plans[2], 60] as const]) {
      if (plan === undefined) throw new Error('no plan')
      const { bytes, index } = await render(input, info, plan)
      const played = await fixtures.playAsHls(plan.name, bytes, index)
      expect(Math.abs(played.frames - frames), plan.name).toBeLessThanOrEqual(2)
      expect(Math.abs(played.pictureMs - 1000)).toBeLessThan(100)
    }
    expect(performance.now() - begun, 'a busy machine with two processors').toBeLessThan(60_000)
  })

  check('a picture that changes its size is encoded in its first one, and keeps its shape', async () => {
    const input = await fixtures.fileInput(await fixtures.sizeChangeFixture())
    const info = await tool.probe(input, signal)
    const [plan] = planRenditions(info)
    if (plan === undefined) throw new Error('no plan')
    expect(describePlan(plan)).toBe('360p copy/copy 640x360')
    const { bytes, index } = await render(input, info, plan)
    expect(host.logged.some(({ fields }) => JSON.stringify(fields).includes('picture changes its size'))).toBe(true)
    expect([index.width, index.height]).toEqual([640, 360])
    const path = await fixtures.once('size-changed.mp4', (out) => writeFile(out, bytes))
    const gray = await fixtures.ffmpegOutput('-i', path, '-vf', 'format=gray', '-f', 'rawvideo', 'pipe:1')
    expect(Math.abs(gray.byteLength / (640 * 360) - 60)).toBeLessThanOrEqual(2)
    // The second half is a white square: 360 of 640 columns, in the middle, over the whole height.
    const last = gray.subarray(gray.byteLength - 640 * 360)
    for (const row of [2, 180, 357]) {
      const bright = [100, 130, 150, 320, 490, 510, 540].map((column) => (last[row * 640 + column] ?? 0) > 128)
      expect(bright, `row ${String(row)}`).toEqual([false, false, true, true, true, false, false])
    }
  })

  check('a picture to be turned', async () => {
    await checkPlays(await fixtures.rotatedFixture(), { renditions: ['360p encode/copy 360x640'], frames: 60 })
  })

  check('varying frame rate, encoded: no frame is doubled', async () => {
    const input = await fixtures.fileInput(await fixtures.mediaFixture('varying-rate.mkv'))
    const info = await tool.probe(input, signal)
    const [plan] = planRenditions(info)
    if (plan === undefined) throw new Error('no plan')
    const { bytes, index } = await render(input, info, { ...plan, videoMode: 'encode', audioMode: 'encode' })
    const played = await fixtures.playAsHls('varying', bytes, index)
    expect(Math.abs(played.frames - 126)).toBeLessThanOrEqual(2)
    expect(Math.abs(played.pictureMs - DURATION_MS)).toBeLessThan(600)
  })

  check('no length in the file: it is counted', async () => {
    await checkPlays(await fixtures.liveFixture(), {
      renditions: ['480p copy/copy 854x480', '360p encode/copy 640x360'],
      frames: 60,
    })
  })

  check('of two sounds the one marked as default', async () => {
    const input = await fixtures.fileInput(await fixtures.mediaFixture('two-sounds.mkv'))
    expect(planRenditions(await tool.probe(input, signal))[0]?.audioStream).toBe(2)
  })

  check('key frames too far apart: a copy becomes an encoding', async () => {
    const input = await fixtures.fileInput(await fixtures.mediaFixture('rare-key-frames.mp4'))
    const info = await tool.probe(input, signal)
    const [plan] = planRenditions(info)
    if (plan === undefined) throw new Error('no plan')
    expect(plan.videoMode).toBe('copy')
    const { index } = await render(input, info, plan)
    expect(index.segments.length).toBeGreaterThan(10)
    expect(host.logged.some(({ event }) => event === 'media.copy-becomes-encode')).toBe(true)
  })

  for (const [what, sound, keyFrames, reasons] of [
    ['is as it should be', 'anull', 'gte(t,n_forced*4)', []],
    ['has a hole in its sound', "aselect='not(between(t,250,255))'", 'gte(t,n_forced*4)', ['sound with holes']],
    ['has no key frames', 'anull', 'lt(t,244)*gte(t,n_forced*4)', ['key frames too far apart']],
  ] as const) {
    check(`a long recording is looked at in three places: the last one ${what}`, async () => {
      const path = await fixtures.once(`three-places-${what.replaceAll(' ', '-')}.mkv`, async (out) => {
        const inputs = ['testsrc2=size=160x90:rate=5:duration=300', 'sine=duration=300'].flatMap((one) => [
          ...['-f', 'lavfi', '-i', one],
        ])
        const video = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '9999']
        const rare = ['-sc_threshold', '0', '-force_key_frames', `expr:${keyFrames}`]
        await fixtures.ffmpeg(...inputs, ...video, ...rare, '-af', sound, '-c:a', 'aac', out)
      })
      const own = fixtures.testHost()
      const looking = await createFfmpegTool({ ...own, confinement: 'loopback' })
      const input = await fixtures.fileInput(path)
      const info = await looking.probe(input, signal)
      const [plan] = planRenditions(info)
      expect(plan && [plan.videoMode, plan.audioMode]).toEqual(['copy', 'copy'])
      await renditionAlone(looking, input, info, plan!, () => undefined, signal)
      const told = own.logged.filter(({ event }) => event === 'media.copy-becomes-encode')
      expect(told.map(({ fields }) => (fields as { reason: string }).reason)).toEqual(reasons)
    })
  }

  check('nothing of the original’s titles or of this machine is in a rendition', async () => {
    const path = await fixtures.once('titled.mp4', async (out) => {
      const titled = ['-metadata', 'title=CANARY-TITLE', '-metadata:s:v', 'handler_name=CANARY-TRACK']
      await fixtures.ffmpeg('-i', await fixtures.mediaFixture('faststart.mp4'), '-c', 'copy', ...titled, out)
    })
    const input = await fixtures.fileInput(path)
    const info = await tool.probe(input, signal)
    expect(JSON.stringify(info)).not.toContain('CANARY')
    for (const mode of ['copy', 'encode'] as const) {
      const plan = planRenditions(info)[0]
      if (plan === undefined) throw new Error('no plan')
      const first = await render(input, info, {
        ...plan,
        videoMode: mode,
        audioMode: plan.audioStream === null ? 'none' : mode,
      })
      expect(first.bytes.includes('CANARY')).toBe(false)
      expect(
        (
          await render(input, info, { ...plan, videoMode: mode, audioMode: plan.audioStream === null ? 'none' : mode })
        ).bytes.equals(first.bytes),
        'the same twice',
      ).toBe(true)
    }
  })
})

describe('posters and captions', () => {
  check('a poster is a JPEG of at most 1280', async () => {
    const input = await fixtures.fileInput(await fixtures.mediaFixture('full-hd.mp4'))
    const jpeg = await tool.poster(input, await tool.probe(input, signal), signal)
    expect(Buffer.from(jpeg ?? []).subarray(0, 3)).toEqual(Buffer.from([0xff, 0xd8, 0xff]))
    expect(await lookAt(jpeg)).toMatchObject({ size: '1280x720' })
  })

  check('it is not black when a later picture is not', async () => {
    const input = await fixtures.fileInput(await fixtures.mediaFixture('black-beginning.mp4'))
    const jpeg = await tool.poster(input, await tool.probe(input, signal), signal)
    expect((await lookAt(jpeg)).brightness).toBeGreaterThan(40)
  })

  check('none without a picture', async () => {
    const input = await fixtures.fileInput(await fixtures.mediaFixture('sound.mp3'))
    expect(await tool.poster(input, await tool.probe(input, signal), signal)).toBeUndefined()
  })

  for (const name of ['captions.mkv', 'captions.mp4'] as const) {
    check(`text track of ${name}`, async () => {
      const input = await fixtures.fileInput(await fixtures.captionedFixture(name))
      const info = await tool.probe(input, signal)
      const track = info.streams.find(({ type }) => type === 'text')
      const vtt = Buffer.from(await confined.captions(input, track?.index ?? -1, signal)).toString()
      // ffmpeg moves everything by the priming of AAC when it makes the MKV.
      expect(vtt.replaceAll(/\.021(?= -->|\n)/g, '.000').replace('06.521', '06.500')).toBe(
        'WEBVTT\n\n00:00:01.000 --> 00:00:03.000\nGrüße aus dem <i>Tresor</i>\n\n' +
          '00:00:04.000 --> 00:00:06.500\nzwei &amp; drei\n',
      )
    })
  }
})

async function lookAt(jpeg: Uint8Array | undefined): Promise<{ size: string; brightness: number }> {
  const path = await fixtures.once(`poster-${String(jpeg?.byteLength)}.jpg`, (out) => writeFile(out, jpeg ?? ''))
  const gray = await fixtures.ffmpegOutput('-i', path, '-vf', 'scale=16:16,format=gray', '-f', 'rawvideo', 'pipe:1')
  const header = Buffer.from(jpeg ?? [])
  const start = header.indexOf(Buffer.from([0xff, 0xc0]))
  return {
    size: `${String(header.readUInt16BE(start + 7))}x${String(header.readUInt16BE(start + 5))}`,
    brightness: gray.reduce((sum, value) => sum + value, 0) / gray.byteLength,
  }
}
