import { describe, expect, test } from 'vitest'
import {
  SOUND_TRACKS_MAX,
  endsEarly,
  ladder,
  planRenditions,
  plansByRun,
  scaledSize,
} from '../../../src/domain/media-plan.ts'
import type { PlannableMedia, PlannableStream } from '../../../src/domain/media-plan.ts'

const video: PlannableStream = {
  index: 0,
  type: 'video',
  codec: 'h264',
  profile: 'High',
  language: 'und',
  title: '',
  width: 1280,
  height: 720,
  pixelFormat: 'yuv420p',
  bitsPerSecond: 2_000_000,
  rotationDegrees: 0,
}
const audio: PlannableStream = {
  ...{
    index: 1,
    type: 'audio',
    codec: 'aac',
    profile: 'LC',
    language: 'und',
    title: '',
    width: 0,
    height: 0,
    pixelFormat: null,
  },
  ...{ bitsPerSecond: 96_000, rotationDegrees: 0 },
}

function media(...streams: PlannableStream[]): PlannableMedia {
  return { format: 'mov,mp4,m4a,3gp,3g2,mj2', durationMs: 60_000, streams }
}

/** Those with a picture. */
function short(from: PlannableMedia): string[] {
  return planRenditions(from)
    .filter(({ videoMode }) => videoMode !== 'none')
    .map(({ name, videoMode, width, height }) => `${name} ${videoMode} ${String(width)}x${String(height)}`)
}

function modes(from: PlannableMedia): string[] {
  return planRenditions(from).map(({ name, videoMode, audioMode }) => `${name} ${videoMode}/${audioMode}`)
}

describe('runs of the tool', () => {
  const runs = (from: PlannableMedia): string[] =>
    plansByRun(planRenditions(from)).map((plans) => plans.map(({ name }) => name).join(' + '))
  const second = { ...audio, index: 2, title: 'Interpreter' }

  test('a picture that is copied takes the sounds along; one that is encoded has a run of its own', () => {
    expect(runs(media(video, audio, second))).toEqual(['720p + audio 1 + audio 2', '360p'])
    expect(runs(media({ ...video, codec: 'vp9' }, audio, second))).toEqual(['360p', '720p', 'audio 1 + audio 2'])
    expect(runs(media(audio, second))).toEqual(['audio 1 + audio 2'])
    expect(runs(media(video))).toEqual(['720p', '360p'])
    expect(runs(media())).toEqual([])
  })
})

describe('sizes', () => {
  test.each([
    [1920, 1080, ['360p encode 640x360', '720p encode 1280x720', '1080p encode 1920x1080']],
    [3840, 2160, ['360p encode 640x360', '720p encode 1280x720', '1080p encode 1920x1080']],
    [1280, 720, ['360p encode 640x360', '720p encode 1280x720']],
    [1920, 1200, ['360p encode 576x360', '720p encode 1152x720', '1080p encode 1728x1080']],
    [1440, 900, ['360p encode 576x360', '720p encode 1152x720', '900p encode 1440x900']],
    [1366, 768, ['360p encode 640x360', '720p encode 1280x720']],
    [1281, 721, ['360p encode 640x360', '720p encode 1280x720']],
    [854, 480, ['360p encode 640x360', '480p encode 854x480']],
    [641, 361, ['360p encode 640x360']],
    [640, 360, ['360p encode 640x360']],
    [319, 239, ['238p encode 318x238']],
    [720, 1280, ['360p encode 360x640', '720p encode 720x1280']],
    [1080, 1920, ['360p encode 360x640', '720p encode 720x1280', '1080p encode 1080x1920']],
    [3, 3, ['2p encode 2x2']],
    [16_000, 20, ['6p encode 4096x6']],
  ])('%d x %d', (width, height, expected) => {
    expect(short(media({ ...video, codec: 'vp9', width, height }, audio))).toEqual(expected)
  })

  test('never larger than the source, always even, never the same name twice', () => {
    for (let width = 2; width < 2200; width += 37) {
      for (let height = 2; height < 2200; height += 41) {
        for (const codec of ['h264', 'vp9']) {
          const plans = planRenditions(media({ ...video, codec, width, height }))
          expect(plans.length).toBeGreaterThan(0)
          expect(new Set(plans.map(({ name }) => name)).size).toBe(plans.length)
          for (const plan of plans) {
            expect(plan.width % 2 === 0 && plan.height % 2 === 0).toBe(true)
            expect(plan.width <= width && plan.height <= height).toBe(true)
            expect(Math.min(plan.width, plan.height)).toBeLessThanOrEqual(ladder[0]?.lines ?? 0)
          }
        }
      }
    }
  })

  test('scaling keeps the shape', () => {
    expect(scaledSize(1440, 1080, 720)).toEqual({ width: 960, height: 720 })
    expect(scaledSize(2560, 1080, 720)).toEqual({ width: 1706, height: 720 })
  })
})

describe('copying', () => {
  test('what every browser plays is copied as its own rung', () => {
    expect(short(media(video, audio))).toEqual(['720p copy 1280x720', '360p encode 640x360'])
    expect(short(media({ ...video, width: 640, height: 360, bitsPerSecond: 500_000 }, audio))).toEqual([
      '360p copy 640x360',
    ])
    expect(short(media({ ...video, width: 1920, height: 1080 }, audio))).toEqual([
      ...['1080p copy 1920x1080', '360p encode 640x360', '720p encode 1280x720'],
    ])
    expect(short(media(video))).toEqual(['720p copy 1280x720', '360p encode 640x360'])
  })

  test.each<[string, Partial<PlannableStream>]>([
    ['another coding', { codec: 'hevc' }],
    ['ten bits', { profile: 'High 10', pixelFormat: 'yuv420p10le' }],
    ['4:4:4', { profile: 'High 4:4:4 Predictive', pixelFormat: 'yuv444p' }],
    ['no profile', { profile: null }],
    ['turned', { rotationDegrees: 90 }],
    ['odd', { height: 719 }],
    ['too many bits', { bitsPerSecond: 30_000_000 }],
    ['larger than the ladder', { width: 2560, height: 1440 }],
  ])('not copied: %s', (_, change) => {
    expect(planRenditions(media({ ...video, ...change }, audio)).every(({ videoMode }) => videoMode !== 'copy')).toBe(
      true,
    )
  })

  test('not out of AVI', () => {
    expect(modes({ ...media(video, audio), format: 'avi' })).toContain('720p encode/encode')
  })

  test.each(['opus', 'vorbis', 'pcm_s16le'])('a picture stays untouched beside %s', (codec) => {
    expect(modes(media(video, { ...audio, codec, profile: null }))).toEqual([
      '720p copy/encode',
      '360p encode/encode',
      'audio none/encode',
    ])
  })

  test('sound is copied beside a picture that has to be encoded, unless it is large', () => {
    const vp9 = { ...video, codec: 'vp9' }
    expect(modes(media(vp9, audio))).toEqual(['360p encode/copy', '720p encode/copy', 'audio none/copy'])
    expect(modes(media(vp9, { ...audio, bitsPerSecond: 250_000 }))).toEqual([
      '360p encode/encode',
      '720p encode/copy',
      'audio none/copy',
    ])
    expect(modes(media(video, { ...audio, bitsPerSecond: 500_000 }))).toEqual([
      '720p copy/copy',
      '360p encode/encode',
      'audio none/encode',
    ])
    expect(modes(media(vp9, { ...audio, profile: 'HE-AACv2' }))[0]).toBe('360p encode/encode')
    expect(modes(media(vp9))).toEqual(['360p encode/none', '720p encode/none'])
  })
})

describe('streams', () => {
  test('sound only', () => {
    expect(modes(media(audio))).toEqual(['audio none/copy'])
    expect(modes(media({ ...audio, codec: 'opus' }))).toEqual(['audio none/encode'])
  })
  test('sound on its own beside a picture, last', () => {
    const plans = planRenditions(media(video, audio))
    expect(plans.at(-1)).toMatchObject({ name: 'audio', videoStream: null, audioStream: 1, width: 0, height: 0 })
    expect(planRenditions(media(video)).some(({ name }) => name === 'audio')).toBe(false)
  })
  test('neither picture nor sound', () => {
    expect(planRenditions(media({ ...audio, type: 'text' }))).toEqual([])
  })
  test('the first sound in order of preference', () => {
    const [plan] = planRenditions(media(video, { ...audio, index: 2 }, audio))
    expect(plan).toMatchObject({ videoStream: 0, audioStream: 2 })
  })
  test('no sound', () => {
    expect(planRenditions(media(video))[0]).toMatchObject({ audioStream: null, audioBitsPerSecond: 0 })
  })
})

test('a rendition much shorter than the source says why', () => {
  const index = { codecs: '', width: 0, height: 0, bandwidthBitsPerSecond: 0, initBytes: 0, segments: [] }
  expect(endsEarly(media(video), { ...index, durationMs: 59_000 })).toBeUndefined()
  expect(endsEarly(media(video), { ...index, durationMs: 31_000 })).toBe(
    'the file ends early: 31 of 60 seconds could be read',
  )
})

describe('several sounds', () => {
  const sound = (index: number, language: string, title = ''): PlannableStream => ({ ...audio, index, language, title })

  test('each on its own, in order, behind the pictures, which have the first', () => {
    const plans = planRenditions(media(video, sound(2, 'de'), sound(1, 'en', 'Interpreter')))
    expect(plans.map(({ name, track, audioStream }) => [name, track, audioStream])).toEqual([
      ['720p', null, 2],
      ['360p', null, 2],
      ['audio 1', { number: 1, language: 'de', title: '' }, 2],
      ['audio 2', { number: 2, language: 'en', title: 'Interpreter' }, 1],
    ])
  })

  test('also without a picture; one alone has no number', () => {
    expect(planRenditions(media(sound(0, 'de'), sound(1, 'en'))).map(({ name }) => name)).toEqual([
      'audio 1',
      'audio 2',
    ])
    expect(planRenditions(media(sound(0, 'de'))).map(({ name, track }) => [name, track])).toEqual([['audio', null]])
  })

  test('not more than can sensibly be chosen from', () => {
    const many = Array.from({ length: 60 }, (_, i) => sound(i + 1, 'und'))
    expect(planRenditions(media(video, ...many))).toHaveLength(2 + SOUND_TRACKS_MAX)
  })
})
