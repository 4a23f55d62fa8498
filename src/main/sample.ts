import { spawn } from 'node:child_process'
import { access, constants, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MosaikError } from '../domain/errors.ts'

/** The sample's files. */
export interface SampleRecording {
  readonly videoPath: string
  readonly captionsPath: string
  readonly durationMs: number
}

const SECONDS = 60
const SEARCH_PATH = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin'
const FONTS = [
  '/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf',
  '/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf',
  '/usr/share/fonts/truetype/liberation/LiberationMono-Regular.ttf',
  '/usr/share/fonts/TTF/DejaVuSansMono.ttf',
  '/System/Library/Fonts/Menlo.ttc',
]

const remarks = [
  'Good morning, and welcome to the weekly meeting.',
  'This recording is made up: the picture is a test pattern.',
  'The sound is a tone that rises every ten seconds.',
  'Jump anywhere: these captions follow.',
  'Pull the plug on two of the five nodes, and play it again.',
  'That is all for today. Thank you.',
]

/**
 * Makes a recording to try the vault with: a minute of 1280x720 with motion, sound and a running clock, H.264 and AAC
 * in MP4, as meeting systems deliver it; and captions in WebVTT beside it.
 *
 * @param outPath ends in ".mp4"; the captions get the same name with ".vtt". Files that are there are replaced.
 * @throws E_SETUP when ffmpeg is missing, E_MEDIA_TOOL when it fails
 */
export async function makeSampleRecording(outPath: string): Promise<SampleRecording> {
  const captionsPath = outPath.replace(/\.mp4$/i, '') + '.vtt'
  const part = `${outPath}.part`
  try {
    await runFfmpeg(sampleArguments(await findFont(), part))
    await rename(part, outPath)
  } finally {
    await rm(part, { force: true })
  }
  await writeFile(captionsPath, sampleCaptions())
  return { videoPath: outPath, captionsPath, durationMs: SECONDS * 1000 }
}

/** The captions of the sample: one every ten seconds. */
export function sampleCaptions(): string {
  const step = SECONDS / remarks.length
  const time = (seconds: number): string => `00:00:${String(seconds).padStart(2, '0')}.000`
  const cues = remarks.map((text, i) => `${time(i * step + 1)} --> ${time((i + 1) * step - 1)}\n${text}\n`)
  return ['WEBVTT\n', ...cues].join('\n')
}

function sampleArguments(font: string | undefined, outPath: string): string[] {
  // Colours and motion of the whole picture, with a clock: a lost or doubled second is seen at once.
  const clock =
    font === undefined
      ? ''
      : `,drawtext=fontfile=${font}:text='%{pts\\:hms}':fontsize=72:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=16:x=(w-tw)/2:y=h-th-48`
  const sound = `aevalsrc='0.2*sin(2*PI*(220+55*floor(t/10))*t)':s=48000:d=${String(SECONDS)}`
  return [
    ...['-nostdin', '-hide_banner', '-loglevel', 'error', '-y'],
    ...['-f', 'lavfi', '-i', `testsrc2=size=1280x720:rate=25:duration=${String(SECONDS)}`],
    ...['-f', 'lavfi', '-i', sound],
    ...['-filter_complex', `[0:v]format=yuv420p${clock}[v];[1:a]aformat=channel_layouts=stereo[a]`],
    ...['-map', '[v]', '-map', '[a]', '-c:v', 'libx264', '-preset', 'ultrafast', '-profile:v', 'main'],
    ...['-crf', '30', '-maxrate', '2500k', '-bufsize', '5000k', '-g', '50', '-c:a', 'aac', '-b:a', '96k'],
    ...['-movflags', '+faststart', '-f', 'mp4', outPath],
  ]
}

async function findFont(): Promise<string | undefined> {
  for (const path of FONTS) if (await exists(path, constants.R_OK)) return path
  return undefined
}

async function exists(path: string, mode: number): Promise<boolean> {
  try {
    await access(path, mode)
    return true
  } catch {
    return false
  }
}

async function findFfmpeg(): Promise<string> {
  for (const folder of SEARCH_PATH.split(':')) {
    const path = join(folder, 'ffmpeg')
    if (await exists(path, constants.X_OK)) return path
  }
  throw new MosaikError('E_SETUP', 'ffmpeg was not found: install the package ffmpeg')
}

async function runFfmpeg(args: readonly string[]): Promise<void> {
  const program = await findFfmpeg()
  await new Promise<void>((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: SEARCH_PATH } })
    let tail = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      tail = (tail + text).slice(-500)
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve()
      else reject(new MosaikError('E_MEDIA_TOOL', `ffmpeg could not make the sample: ${tail.trim()}`))
    })
  })
}
