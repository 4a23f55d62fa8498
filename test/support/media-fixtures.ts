import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, mkdir, mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PlaybackIndex } from '../../src/domain/recording.ts'
import type { MediaInput } from '../../src/ports/media.ts'
import type { Clock, Log, Random } from '../../src/ports/system.ts'

/** Seconds of most fixtures. */
export const FIXTURE_SECONDS = 6

const seconds = String(FIXTURE_SECONDS)
const picture = (size: string, rate = 10): string[] => [
  ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${String(rate)}:duration=${seconds}`],
]
const tone = (hertz = 440): string[] => [
  ...['-f', 'lavfi', '-i', `sine=frequency=${String(hertz)}:sample_rate=48000:duration=${seconds}`],
]
/** Silence, and after two seconds a tone. */
const laterTone = ['-af', "volume=0:enable='lt(t,2)'"]
const h264 = [
  '-c:v',
  'libx264',
  '-preset',
  'ultrafast',
  '-profile:v',
  'main',
  '-pix_fmt',
  'yuv420p',
  '-g',
  '20',
  '-crf',
  '30',
]
const aac = ['-c:a', 'aac', '-b:a', '64k']
const vp8 = ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '500k']
const vp9 = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '500k', '-pix_fmt', 'yuv420p']

/** Files as meeting systems make them, and the arguments ffmpeg makes them with; the name is the file's. */
const recipes = {
  'index-at-end.mp4': [...picture('1280x720', 25), ...tone(), ...h264, ...aac],
  'late-sound.mp4': [...[...picture('640x360'), '-itsoffset', '3', ...tone(), '-t', seconds, ...h264, ...aac]],
  'bit-late.mkv': [...picture('320x180'), '-itsoffset', '0.4', ...tone(), '-t', seconds, ...h264, ...aac],
  'sound-goes-on.mp4': [
    ...['-f', 'lavfi', '-i', 'testsrc2=size=640x360:rate=25:duration=2', '-f', 'lavfi', '-i', 'sine=duration=120'],
    ...[...h264, ...aac],
  ],
  'faststart.mp4': [...picture('640x360'), ...tone(), ...h264, ...aac, '-movflags', '+faststart'],
  'full-hd.mp4': [...picture('1920x1080'), ...tone(), ...h264, ...aac],
  'sixty.mp4': [...['-f', 'lavfi', '-i', 'testsrc2=size=1920x1080:rate=60:duration=1', '-c:v', 'mpeg4', '-b:v', '20M']],
  'fragmented.mp4': [...picture('640x360'), ...tone(), ...h264, ...aac, '-movflags', '+frag_keyframe+empty_moov'],
  'h264.mkv': [...picture('854x480'), ...tone(), ...h264, ...aac],
  'vp9.webm': [...picture('640x360'), ...tone(), ...vp9, '-c:a', 'libopus'],
  'vp8.webm': [...picture('640x360'), ...tone(), ...vp8, '-c:a', 'libopus'],
  'odd.webm': [...picture('641x361'), ...tone(), ...vp9, '-c:a', 'libopus'],
  'small.mp4': [...picture('319x239'), ...tone(), '-c:v', 'mpeg4', ...aac],
  'varying-rate.mkv': [
    ...picture('640x360', 30),
    ...tone(),
    ...['-vf', "select='if(lt(t,4),1,not(mod(n,10)))'", '-fps_mode', 'vfr', ...h264, ...aac],
  ],
  'sound.m4a': [...tone(), ...aac],
  'sound.ogg': [...tone(), '-c:a', 'libopus'],
  'sound.mp3': [...tone(), '-c:a', 'libmp3lame'],
  'sound.wav': [...tone()],
  'silent.mp4': [...picture('640x360'), ...h264],
  'two-sounds.mkv': [
    ...[...picture('640x360'), ...tone(300), ...tone(1000), '-map', '0', '-map', '1', '-map', '2', ...h264, ...aac],
    ...['-disposition:a:0', '0', '-disposition:a:1', 'default'],
  ],
  'ten-bit.mp4': [
    ...[...picture('640x360'), ...tone(), '-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p10le', ...aac],
  ],
  'hevc.mp4': [
    ...[...picture('640x360'), ...tone(), '-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=0'],
    ...aac,
  ],
  'flash.flv': [...picture('640x360'), ...tone(), ...h264, ...aac],
  'old.avi': [...picture('640x480'), ...tone(), '-c:v', 'mpeg4', '-c:a', 'libmp3lame'],
  'opus.mkv': [...picture('640x360'), ...tone(), ...laterTone, ...h264, '-c:a', 'libopus'],
  'vp9-aac.mkv': [...picture('640x360'), ...tone(), ...laterTone, ...vp9, ...aac],
  'pcm.mov': [...picture('640x360'), ...tone(), ...h264, '-c:a', 'pcm_s16le'],
  'stream.ts': [...picture('1280x720'), ...tone(), ...h264, ...aac],
  'windows.wmv': [...picture('640x360'), ...tone(), '-c:v', 'wmv2', '-c:a', 'wmav2'],
  'wide-pixels.mp4': [...picture('360x360'), ...tone(), '-vf', 'setsar=16/9', ...h264, ...aac],
  'black-beginning.mp4': [
    ...[...picture('640x360'), ...tone(), '-vf', "drawbox=t=fill:color=black:enable='lt(t,4)'", ...h264, ...aac],
  ],
  'rare-key-frames.mp4': [
    ...['-f', 'lavfi', '-i', 'testsrc2=size=320x180:rate=10:duration=50', ...h264, '-g', '1000'],
    ...['-sc_threshold', '0'],
  ],
  'absurd-width.mov': ['-f', 'lavfi', '-i', 'color=size=17000x64:rate=1:duration=2', '-c:v', 'png'],
  'endless.mkv': [
    ...['-f', 'lavfi', '-i', 'testsrc2=size=64x64:rate=1:duration=3', '-vf', 'setpts=N*100000/TB'],
    ...['-fps_mode', 'vfr', '-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p'],
  ],
} as const satisfies Record<string, readonly string[]>

/** The name of a file that ffmpeg makes. */
export type FixtureName = keyof typeof recipes

let running = 0
const waiting: (() => void)[] = []

/** For tests that run side by side: at most two of these at a time, or they would only wait for each other. */
export async function takingTurns<T>(run: () => Promise<T>): Promise<T> {
  if (running >= 2) await new Promise<void>((resolve) => waiting.push(resolve))
  else running++
  try {
    return await run()
  } finally {
    const next = waiting.shift()
    if (next === undefined) running--
    else next()
  }
}

const made = new Map<string, Promise<string>>()
let folder: Promise<string> | undefined

/** A folder of this run, removed by `removeMediaFixtures`. */
export function fixtureFolder(): Promise<string> {
  return (folder ??= mkdtemp(join(tmpdir(), 'media-fixtures-')))
}

/** Removes all fixtures of this process. */
export async function removeMediaFixtures(): Promise<void> {
  if (folder !== undefined) await rm(await folder, { recursive: true, force: true })
  folder = undefined
  made.clear()
}

/** The path of a fixture; made at the first call. */
export function mediaFixture(name: FixtureName): Promise<string> {
  return once(name, (path) => ffmpeg(...recipes[name], path))
}

/** A fixture that is made from others; `make` writes the file. */
export function once(name: string, make: (path: string) => Promise<unknown>): Promise<string> {
  const known = made.get(name)
  if (known !== undefined) return known
  const path = fixtureFolder().then(async (at) => {
    const file = join(at, name)
    await make(file)
    return file
  })
  made.set(name, path)
  return path
}

/** The first `share` of another fixture's bytes. */
export function truncatedFixture(name: FixtureName, share: number): Promise<string> {
  return once(`truncated-${name}`, async (path) => {
    const whole = await readFile(await mediaFixture(name))
    await writeFile(path, whole)
    await truncate(path, Math.floor(whole.byteLength * share))
  })
}

/** A file of text with any name. */
export function textFixture(name: string, text: string): Promise<string> {
  return once(name, (path) => writeFile(path, text))
}

/** MKV as a program writes it that cannot go back and fill in the length. */
export function liveFixture(): Promise<string> {
  return once('live.mkv', async (path) => {
    const bytes = await ffmpegOutput('-i', await mediaFixture('h264.mkv'), '-c', 'copy', '-f', 'matroska', 'pipe:1')
    await writeFile(path, bytes)
  })
}

/** A telephone held upright: the picture lies on its side in the file and is to be turned (the matrix of `tkhd`). */
export function rotatedFixture(): Promise<string> {
  return once('rotated.mp4', async (path) => {
    const bytes = await readFile(await mediaFixture('faststart.mp4'))
    const tkhd = bytes.indexOf('tkhd')
    const quarterTurn = [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]
    quarterTurn.forEach((value, i) => bytes.writeInt32BE(value, tkhd + 4 + 40 + 4 * i))
    await writeFile(path, bytes)
  })
}

/** MPEG-TS in which a picture of 640x360 becomes a white one of 480x480 half-way. */
export function sizeChangeFixture(): Promise<string> {
  return once('size-change.ts', async (path) => {
    const half = (source: string, offset: string): Promise<Buffer> =>
      ffmpegOutput(
        ...[
          '-f',
          'lavfi',
          '-i',
          `${source}:rate=10:duration=3`,
          '-f',
          'lavfi',
          '-i',
          'sine=duration=3',
          ...h264,
          ...aac,
        ],
        ...['-output_ts_offset', offset, '-f', 'mpegts', 'pipe:1'],
      )
    await writeFile(path, await half('testsrc2=size=640x360', '0'))
    await appendFile(path, await half('color=white:size=480x480', '3'))
  })
}

/** MKV or MP4 with captions inside. */
export function captionedFixture(name: 'captions.mkv' | 'captions.mp4'): Promise<string> {
  return once(name, async (path) => {
    const srt = await textFixture(
      'captions.srt',
      '1\n00:00:01,000 --> 00:00:03,000\nGrüße aus dem <i>Tresor</i>\n\n2\n00:00:04,000 --> 00:00:06,500\nzwei & drei\n',
    )
    const codec = name.endsWith('mkv') ? 'subrip' : 'mov_text'
    await ffmpeg('-i', await mediaFixture('faststart.mp4'), '-i', srt, '-c', 'copy', '-c:s', codec, path)
  })
}

/** Runs ffmpeg over local files: for making and for checking, not the tool under test. */
export async function ffmpeg(...args: string[]): Promise<void> {
  await ffmpegOutput('-y', ...args)
}

/** The same; answers with what it wrote to standard output. */
export function ffmpegOutput(...args: string[]): Promise<Buffer> {
  return outputs('ffmpeg', [...quietly, ...args]).then(([first]) => first)
}

const quietly = ['-nostdin', '-hide_banner', '-loglevel', 'error']

/** What a program writes to its descriptors 1, 3 and 4. */
function outputs(program: string, args: readonly string[]): Promise<[Buffer, Buffer, Buffer]> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'] })
    const collect = (fd: number): Buffer[] => {
      const chunks: Buffer[] = []
      child.stdio[fd as 1]?.on('data', (chunk: Buffer) => chunks.push(chunk))
      return chunks
    }
    const collected = [collect(1), collect(3), collect(4)] as const
    let complaint = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (complaint += text))
    child.on('error', reject)
    child.on('close', (code) => {
      const [first, second, third] = collected
      if (code === 0) resolve([Buffer.concat(first), Buffer.concat(second), Buffer.concat(third)])
      else reject(new Error(`${program} ended with ${String(code)}: ${complaint.slice(-1000)}`))
    })
  })
}

/** A file on disk as an input, counting what is read of it. */
export async function fileInput(
  path: string,
): Promise<MediaInput & { readonly reads: { count: number; bytes: number } }> {
  const { size } = await stat(path)
  const reads = { count: 0, bytes: 0 }
  return {
    sizeBytes: size,
    reads,
    async *read(startBytes, endBytes, signal) {
      reads.count++
      const file = await open(path)
      try {
        for (let at = startBytes; at < endBytes;) {
          signal.throwIfAborted()
          const chunk = new Uint8Array(Math.min(65_536, endBytes - at))
          const { bytesRead } = await file.read(chunk, 0, chunk.byteLength, at)
          reads.bytes += bytesRead
          at += bytesRead
          yield chunk.subarray(0, bytesRead)
        }
      } finally {
        await file.close()
      }
    },
  }
}

/** Time, randomness and a log that remembers, for the tool under test. */
export function testHost(): { clock: Clock; random: Random; log: Log; logged: { event: string; fields: unknown }[] } {
  const logged: { event: string; fields: unknown }[] = []
  const note = (event: string, fields?: unknown): void => {
    logged.push({ event, fields })
  }
  return {
    clock: {
      nowMs: () => Date.now(),
      monotonicMs: () => performance.now(),
      sleep: (delayMs, signal) =>
        new Promise((resolve, reject) => {
          const timer = setTimeout(resolve, delayMs)
          signal?.addEventListener('abort', () => {
            clearTimeout(timer)
            reject(signal.reason as Error)
          })
        }),
    },
    random: {
      bytes: (length) => new Uint8Array(randomBytes(length)),
      entropy: (length) => new Uint8Array(randomBytes(length)),
      fraction: () => 0.5,
    },
    log: { info: note, warn: note, error: note },
    logged,
  }
}

/** What a player sees. */
export interface Decoded {
  readonly frames: number
  readonly pictureMs: number
  readonly soundMs: number
  /** When the sound is first heard; NaN when it never is. */
  readonly soundFromMs: number
  /** Between the darkest and the brightest point of a frame, on average over the frames; 0 is one colour. */
  readonly contrast: number
  readonly firstPictureMs: number
}

/** Writes the playlist of a rendition beside it, as the API will, and plays it to the end. */
export async function playAsHls(name: string, bytes: Uint8Array, index: PlaybackIndex): Promise<Decoded> {
  const at = join(await fixtureFolder(), `hls-${name}-${randomBytes(4).toString('hex')}`)
  await mkdir(at)
  await writeFile(join(at, 'rendition.mp4'), bytes)
  await writeFile(join(at, 'list.m3u8'), playlist(index))
  const list = ['-allowed_extensions', 'ALL', '-i', join(at, 'list.m3u8')]
  const side = 32
  const picture = [...grayFrames(side), ...['-map', '0:v', '-c', 'copy', '-f', 'framecrc', 'pipe:3']]
  const heard = ['-map', '0:a', '-ac', '1', '-ar', '8000', '-f', 's16le', 'pipe:4']
  const args = [...(index.width === 0 ? [] : picture), ...(index.codecs.includes('mp4a') ? heard : [])]
  const [gray, packets, sound] = await outputs('ffmpeg', [...quietly, ...list, ...args])
  const frames = gray.byteLength / (side * side)
  const times = packetTimes(packets.toString())
  return {
    frames,
    pictureMs: times.length === 0 ? 0 : Math.round(((times.at(-1) ?? 0) - (times[0] ?? 0)) * 1000),
    soundMs: Math.round(sound.length / 16),
    soundFromMs: soundStart(sound),
    contrast: contrastOf(gray, side * side),
    firstPictureMs: Math.round((times[0] ?? 0) * 1000),
  }
}

/** When something is heard first, of samples at 8 kHz, in milliseconds. */
export function soundStart(samples: Buffer): number {
  for (let at = 0; at + 1 < samples.byteLength; at += 2) if (Math.abs(samples.readInt16LE(at)) > 500) return at / 16
  return Number.NaN
}

function grayFrames(side: number): string[] {
  const size = `${String(side)}:${String(side)}`
  return ['-map', '0:v', '-vf', `scale=${size},format=gray`, '-fps_mode', 'passthrough', '-f', 'rawvideo', 'pipe:1']
}

/** Presentation times in seconds, out of ffmpeg's "framecrc": stream, dts, pts, … in the time base that "#tb" says. */
function packetTimes(text: string): number[] {
  const [, numerator, denominator] = /^#tb 0: (\d+)\/(\d+)$/m.exec(text) ?? []
  const tick = Number(numerator) / Number(denominator)
  return text
    .split('\n')
    .filter((line) => /^0,/.test(line))
    .map((line) => Number(line.split(',')[2]) * tick)
    .sort((a, b) => a - b)
}

function contrastOf(frames: Buffer, frameBytes: number): number {
  const count = Math.floor(frames.byteLength / frameBytes)
  let sum = 0
  for (let i = 0; i < count; i++) {
    const frame = frames.subarray(i * frameBytes, (i + 1) * frameBytes)
    sum += Math.max(...frame) - Math.min(...frame)
  }
  return count === 0 ? 0 : sum / count
}

/** An HLS media playlist over one file. */
export function playlist(index: PlaybackIndex): string {
  const longest = Math.ceil(Math.max(...index.segments.map(([, , duration]) => duration)) / 1_000_000)
  const segments = index.segments.map(([offset, bytes, duration]) =>
    [
      `#EXTINF:${(duration / 1_000_000).toFixed(6)},`,
      `#EXT-X-BYTERANGE:${String(bytes)}@${String(offset)}`,
      'rendition.mp4',
    ].join('\n'),
  )
  return [
    ...['#EXTM3U', '#EXT-X-VERSION:7', `#EXT-X-TARGETDURATION:${String(longest)}`, '#EXT-X-PLAYLIST-TYPE:VOD'],
    `#EXT-X-MAP:URI="rendition.mp4",BYTERANGE="${String(index.initBytes)}@0"`,
    ...[...segments, '#EXT-X-ENDLIST', ''],
  ].join('\n')
}
