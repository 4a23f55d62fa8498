import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createFfmpegTool } from '../../src/adapters/ffmpeg/tool.ts'
import { planRenditions } from '../../src/domain/media-plan.ts'
import type { PlaybackIndex } from '../../src/domain/recording.ts'
import { planStoryboard, storyboardCues } from '../../src/domain/storyboard.ts'
import { captionsTrackName, soundTrackName } from '../../src/domain/track.ts'
import type { AssetSource } from '../integration/viewer/memory-vault.ts'
import { fileInput, testHost } from '../support/media-fixtures.ts'
import { renditionAlone } from '../support/rendition.ts'

const run = promisify(execFile)

/** Colours of the corner that tells the time: one for ten seconds, as `#rrggbb` and as a person names them. */
export const TIME_COLOURS = [
  { name: 'red', rgb: [220, 30, 30] },
  { name: 'green', rgb: [30, 180, 30] },
  { name: 'blue', rgb: [30, 30, 220] },
  { name: 'yellow', rgb: [220, 220, 30] },
  { name: 'magenta', rgb: [220, 30, 220] },
  { name: 'cyan', rgb: [30, 220, 220] },
] as const
export const FILM_SECONDS = 60

/**
 * A film of one minute in two sizes and as sound alone, whose upper left corner has another colour every ten seconds and in which something moves; with
 * poster, storyboard and captions in two languages.
 */
export async function makeFilm(): Promise<AssetSource[]> {
  const folder = await mkdtemp(join(tmpdir(), 'mosaik-watch-'))
  try {
    const corner = TIME_COLOURS.map(({ rgb }, index) => {
      const hex = rgb.map((value) => value.toString(16).padStart(2, '0')).join('')
      const during = `between(t\\,${index * 10}\\,${index * 10 + 9.999})`
      return `drawbox=x=0:y=0:w=iw/4:h=ih/4:color=0x${hex}:t=fill:enable='${during}'`
    }).join(',')
    const people = [
      ...['x=352:y=32:w=272:h=153:color=0x2f9b93', 'x=656:y=32:w=272:h=153:color=0xd98a3d'],
      'x=960:y=32:w=288:h=153:color=0x6d8fd0',
    ]
      .map((place) => `drawbox=${place}:t=fill`)
      .join(',')
    const original = join(folder, 'original.mp4')
    await ffmpeg(
      ...[
        '-f',
        'lavfi',
        '-i',
        `gradients=s=1280x720:r=25:d=${FILM_SECONDS}:c0=0x12302f:c1=0x22385c:seed=7:speed=0.002`,
      ],
      ...['-f', 'lavfi', '-i', `sine=f=330:d=${FILM_SECONDS}`],
      ...['-f', 'lavfi', '-i', `color=0xe9ecef:s=180x180:r=25:d=${FILM_SECONDS}`],
      ...[
        '-filter_complex',
        `[0]${people},${corner}[scene];[scene][2]overlay=x='550+440*sin(t)':y='400+60*cos(3*t)',format=yuv420p[film]`,
      ],
      ...[
        '-map',
        '[film]',
        '-map',
        '1',
        '-c:v',
        'libx264',
        '-preset',
        'ultrafast',
        '-crf',
        '30',
        '-pix_fmt',
        'yuv420p',
        '-g',
        '50',
      ],
      ...['-c:a', 'aac', '-b:a', '64k', '-shortest', original],
    )
    const poster = join(folder, 'poster.jpg')
    await ffmpeg('-ss', '3', '-i', original, '-frames:v', '1', '-q:v', '4', poster)
    const big = await rendition(folder, original, '720p', 1280, 720, ['-c', 'copy'])
    const small = await rendition(folder, original, '360p', 640, 360, [
      ...['-vf', 'scale=640:360', '-c:v', 'libx264', '-preset', 'ultrafast', '-crf', '30', '-g', '50', '-c:a', 'copy'],
    ])
    return [
      { kind: 'original', name: 'Wochenrunde März.mp4', mediaType: 'video/mp4', content: await readFile(original) },
      big,
      small,
      await rendition(folder, original, 'audio', 0, 0, ['-vn', '-c:a', 'copy']),
      { kind: 'poster', name: 'poster', mediaType: 'image/jpeg', content: await readFile(poster) },
      ...(await storyboardOf(original)),
      captions('de', (second) => `Guten Tag, es ist Sekunde ${second}.\nSchön, dass Sie <i>alle</i> da sind.`),
      captions('en', (second) => `Good morning, this is second ${second}.`),
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Ten seconds of sound without a picture, as the media tool of the vault makes them. */
export async function makeSound(): Promise<AssetSource[]> {
  const folder = await mkdtemp(join(tmpdir(), 'mosaik-watch-'))
  try {
    const original = join(folder, 'sound.ogg')
    await ffmpeg('-f', 'lavfi', '-i', 'sine=f=330:d=10', '-c:a', 'libopus', original)
    return [
      { kind: 'original', name: 'Telefonat.ogg', mediaType: 'audio/ogg', content: await readFile(original) },
      ...(await ownRenditions(original)),
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Eight seconds of film, as the media tool of the vault makes them; green throughout. */
export async function makeOwnFilm(): Promise<AssetSource[]> {
  const folder = await mkdtemp(join(tmpdir(), 'mosaik-watch-'))
  try {
    const original = join(folder, 'green.mkv')
    await ffmpeg(
      ...['-f', 'lavfi', '-i', 'color=0x1eb41e:s=640x360:r=25:d=8', '-f', 'lavfi', '-i', 'sine=f=330:d=8'],
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', original],
    )
    return [
      { kind: 'original', name: 'green.mkv', mediaType: 'video/x-matroska', content: await readFile(original) },
      ...(await ownRenditions(original)),
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Twelve seconds with two sounds, German (330 Hz) and English by an interpreter (1200 Hz), and captions in both languages, all of it inside one
 * MKV and taken out by the media tool of the vault.
 */
export async function makeTracks(kind: 'film' | 'sound'): Promise<AssetSource[]> {
  const folder = await mkdtemp(join(tmpdir(), 'mosaik-watch-'))
  try {
    const captions = await Promise.all(
      ['Guten Tag zusammen', 'Good morning everybody'].map(async (words, i) => {
        const path = join(folder, `${String(i)}.srt`)
        await writeFile(path, `1\n00:00:00,000 --> 00:00:12,000\n${words}\n`)
        return path
      }),
    )
    const original = join(folder, 'tracks.mkv')
    const picture = ['-f', 'lavfi', '-i', 'testsrc2=s=360x640:r=25:d=12']
    const tones = ['330', '1200'].flatMap((hertz) => ['-f', 'lavfi', '-i', `sine=f=${hertz}:sample_rate=48000:d=12`])
    const words = captions.flatMap((path) => ['-i', path])
    const order = kind === 'film' ? [2, 0, 1, 3, 4] : [0, 1]
    await ffmpeg(
      ...[...tones, ...(kind === 'film' ? [...picture, ...words] : [])],
      ...order.flatMap((input) => ['-map', String(input)]),
      ...['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '50', '-c:a', 'aac', '-c:s', 'srt'],
      ...['-metadata:s:a:0', 'language=ger', '-metadata:s:a:1', 'language=eng', '-metadata:s:a:1', 'title=Interpreter'],
      ...(kind === 'film' ? ['-metadata:s:s:0', 'language=ger', '-metadata:s:s:1', 'language=eng'] : []),
      original,
    )
    const tool = await createFfmpegTool(testHost())
    const { signal } = new AbortController()
    const input = await fileInput(original)
    const { streams } = await tool.probe(input, signal)
    const texts = streams.filter(({ type }) => type === 'text')
    return [
      { kind: 'original', name: 'tracks.mkv', mediaType: 'video/x-matroska', content: await readFile(original) },
      ...(await ownRenditions(original)),
      ...(await Promise.all(
        texts.map(async (stream): Promise<AssetSource> => ({
          ...{ kind: 'captions', name: captionsTrackName(stream), mediaType: 'text/vtt' },
          content: await tool.captions(input, stream.index, signal),
        })),
      )),
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function ownRenditions(original: string): Promise<AssetSource[]> {
  const tool = await createFfmpegTool(testHost())
  const { signal } = new AbortController()
  const input = await fileInput(original)
  const info = await tool.probe(input, signal)
  const made: AssetSource[] = []
  for (const plan of planRenditions(info)) {
    const output = await renditionAlone(tool, input, info, plan, () => undefined, signal)
    const chunks: Uint8Array[] = []
    for await (const chunk of output.bytes) chunks.push(Uint8Array.from(chunk))
    const mediaType = plan.videoStream === null ? 'audio/mp4' : 'video/mp4'
    made.push({
      ...{
        kind: 'rendition',
        name: plan.track === null ? plan.name : soundTrackName(plan.track),
        mediaType,
        content: Buffer.concat(chunks),
      },
      playback: output.index(),
    })
  }
  return made
}

/** The storyboard, by the vault's own tool. */
async function storyboardOf(original: string): Promise<AssetSource[]> {
  const tool = await createFfmpegTool(testHost())
  const { signal } = new AbortController()
  const input = await fileInput(original)
  const info = await tool.probe(input, signal)
  const plan = planStoryboard(info)
  if (plan === undefined) throw new Error('the film has no storyboard')
  const cues = new TextEncoder().encode(storyboardCues(plan, info.durationMs))
  return [
    {
      ...{ kind: 'storyboard', name: 'sprite', mediaType: 'image/jpeg' },
      content: await tool.storyboard(input, plan, signal),
    },
    { kind: 'storyboard', name: 'thumbnails', mediaType: 'text/vtt', content: cues },
  ]
}

/** A rendition whose index is read off ffmpeg's own HLS playlist of byte ranges. */
async function rendition(
  folder: string,
  original: string,
  name: string,
  width: number,
  height: number,
  encode: readonly string[],
): Promise<AssetSource> {
  const playlist = join(folder, `${name}.m3u8`)
  await ffmpeg(
    ...['-i', original, ...encode, '-f', 'hls', '-hls_time', '2', '-hls_playlist_type', 'vod'],
    ...['-hls_segment_type', 'fmp4', '-hls_flags', 'single_file', '-hls_segment_filename', join(folder, `${name}.mp4`)],
    playlist,
  )
  const lines = await readFile(playlist, 'utf8')
  const content = await readFile(join(folder, `${name}.mp4`))
  const initBytes = Number(/EXT-X-MAP:.*BYTERANGE="(\d+)@0"/.exec(lines)?.[1])
  const segments = [...lines.matchAll(/#EXTINF:([\d.]+),\s+#EXT-X-BYTERANGE:(\d+)@(\d+)/g)].map(
    ([, seconds, length, offset]) => [Number(offset), Number(length), Math.round(Number(seconds) * 1e6)] as const,
  )
  const playback: PlaybackIndex = {
    codecs: height === 0 ? 'mp4a.40.2' : `${height > 360 ? 'avc1.42c01f' : 'avc1.42c01e'},mp4a.40.2`,
    width,
    height,
    bandwidthBitsPerSecond: Math.max(...segments.map(([, length, us]) => (length * 8e6) / us)),
    durationMs: Math.round(segments.reduce((sum, [, , us]) => sum + us, 0) / 1000),
    initBytes,
    segments,
  }
  return { kind: 'rendition', name, mediaType: height === 0 ? 'audio/mp4' : 'video/mp4', content, playback }
}

function captions(language: string, words: (second: number) => string): AssetSource {
  const time = (second: number): string =>
    `00:${String(Math.floor(second / 60)).padStart(2, '0')}:${String(second % 60).padStart(2, '0')}.000`
  const cues = Array.from({ length: FILM_SECONDS / 4 }, (_, index) => {
    const second = index * 4
    return `${time(second)} --> ${time(second + 4)}\n${words(second)}\n`
  })
  const content = new TextEncoder().encode(`WEBVTT\n\n${cues.join('\n')}`)
  return { kind: 'captions', name: language, mediaType: 'text/vtt', content }
}

async function ffmpeg(...args: readonly string[]): Promise<void> {
  await run('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...args], { timeout: 120_000 })
}
