import type { PlaybackIndex } from './recording.ts'
import type { SoundTrack } from './track.ts'

/** What planning needs to know of a stream; ports/media's MediaStream has it. */
export interface PlannableStream {
  readonly index: number
  readonly type: 'video' | 'audio' | 'text' | 'other'
  readonly codec: string
  readonly profile: string | null
  /** RFC 5646; "und" when unknown. */
  readonly language: string
  /** As the file calls the track; '' when it does not. */
  readonly title: string
  /** Displayed size, after rotation and with square pixels. */
  readonly width: number
  readonly height: number
  readonly pixelFormat: string | null
  readonly bitsPerSecond: number | null
  readonly rotationDegrees: number
}

/** What planning needs to know of a file; ports/media's MediaInfo has it. Streams in order of preference. */
export interface PlannableMedia {
  readonly format: string
  readonly durationMs: number
  readonly streams: readonly PlannableStream[]
}

/** What is done with a stream: remuxed as it is, encoded anew, or there is none. */
export type StreamMode = 'copy' | 'encode' | 'none'

/** A rendition to make; the same shape as ports/media's RenditionPlan. */
export interface PlannedRendition {
  readonly name: string
  readonly track: SoundTrack | null
  readonly videoMode: StreamMode
  readonly audioMode: StreamMode
  readonly width: number
  readonly height: number
  readonly videoStream: number | null
  readonly audioStream: number | null
  readonly videoBitsPerSecond: number
  readonly audioBitsPerSecond: number
}

/** One step of the ladder: the length of the shorter side, and the most bits a second its picture may take. */
export interface Rung {
  readonly lines: number
  readonly videoBitsPerSecond: number
  readonly audioBitsPerSecond: number
}

/** Largest first. A rung is made only from a source at least as large; another rung is another line here. */
export const ladder: readonly Rung[] = [
  { lines: 1080, videoBitsPerSecond: 5_000_000, audioBitsPerSecond: 128_000 },
  { lines: 720, videoBitsPerSecond: 2_500_000, audioBitsPerSecond: 128_000 },
  { lines: 360, videoBitsPerSecond: 800_000, audioBitsPerSecond: 96_000 },
]

/** A rung needs a source this much smaller than the next larger rendition, or it is not worth its space. */
const WORTHWHILE = 0.8
/** Source pictures of up to this multiple of the rung's bits are copied; above, phones would stall. */
const COPY_MAX_RATE = 4
/** The same for sound beside a picture that is encoded. */
const SOUND_COPY_MAX_RATE = 2
/** No rendition is longer on one side: decoders in telephones end here. */
const SIDE_MAX = 4096
const AUDIO_BITS_PER_SECOND = 128_000
/** So many sound tracks of a recording can be chosen: each is a rendition. */
export const SOUND_TRACKS_MAX = 8

const copyableFormats = ['mov', 'mp4', 'matroska', 'webm', 'flv', 'mpegts']
const copyableProfiles = ['baseline', 'constrained baseline', 'main', 'high']
const copyablePixels = ['yuv420p', 'yuvj420p']

/**
 * The renditions to make of a recording, in the order of work: the cheapest one to watch first (a copy, else the
 * smallest), sound on its own last: of each sound track one, the first of which goes with the picture too. Never larger
 * than the source; remuxed instead of encoded where every browser can play the source as it is. Empty when there is
 * neither picture nor sound.
 */
export function planRenditions(media: PlannableMedia): PlannedRendition[] {
  const video = media.streams.find((stream) => stream.type === 'video')
  const sounds = media.streams.filter((stream) => stream.type === 'audio').slice(0, SOUND_TRACKS_MAX)
  const audio = sounds[0] ?? null
  if (video === undefined) return planSounds(media, sounds, Infinity)

  const shorter = Math.min(video.width, video.height)
  const top = ladder[0]
  if (top === undefined || shorter < 2) return []
  const plans: PlannedRendition[] = []

  // The source's own size, when it lies between rungs or below them all, or can be copied as it is.
  const fits = shorter <= top.lines
  const rung = nearestRung(shorter)
  const copies = fits && isCopyablePicture(media, video, rung)
  if (copies || (fits && !ladder.some(({ lines }) => isNear(shorter, lines)))) {
    plans.push(planVideo(media, video, audio, { ...rung, lines: shorter }, copies ? 'copy' : 'encode'))
  }
  for (const step of ladder) {
    const above = plans.at(-1)
    if (step.lines > shorter) continue
    if (above !== undefined && step.lines > Math.min(above.width, above.height) * WORTHWHILE) continue
    plans.push(planVideo(media, video, audio, step, 'encode'))
  }
  plans.sort((a, b) => workRank(a) - workRank(b))
  // For those who listen on a telephone, or have no bandwidth for a picture.
  return [...plans, ...planSounds(media, sounds, AUDIO_BITS_PER_SECOND * SOUND_COPY_MAX_RATE)]
}

/**
 * Which of `planRenditions` come out of one run of the tool, in the order of work: a picture that is copied takes all sounds on their own along,
 * which else are a run of their own; a picture that is encoded is alone, so that hours of work hang on nothing else.
 */
export function plansByRun<Plan extends PlannedRendition>(plans: readonly Plan[]): Plan[][] {
  const sounds = plans.filter(({ videoStream }) => videoStream === null)
  const runs = plans.filter(({ videoStream }) => videoStream !== null).map((picture) => [picture])
  const copied = runs.find(([picture]) => picture?.videoMode === 'copy')
  if (copied !== undefined) copied.push(...sounds)
  else if (sounds.length > 0) runs.push(sounds)
  return runs
}

function workRank({ videoMode, width, height }: PlannedRendition): number {
  return videoMode === 'copy' ? 0 : Math.min(width, height)
}

/** A source a little larger than a rung is served by that rung. */
function isNear(shorter: number, lines: number): boolean {
  return shorter >= lines && shorter * WORTHWHILE < lines
}

/** The smallest rung that is at least as large, else the largest: its bit rates suit. */
function nearestRung(lines: number): Rung {
  const rung = ladder.findLast((step) => step.lines >= lines) ?? ladder[0]
  if (rung === undefined) throw new RangeError('the ladder is empty')
  return rung
}

function isCopyablePicture(media: PlannableMedia, video: PlannableStream, rung: Rung): boolean {
  return (
    hasCopyableFormat(media) &&
    video.codec === 'h264' &&
    video.rotationDegrees === 0 &&
    video.width % 2 === 0 &&
    video.height % 2 === 0 &&
    copyableProfiles.includes(video.profile?.toLowerCase() ?? '') &&
    copyablePixels.includes(video.pixelFormat ?? '') &&
    (video.bitsPerSecond ?? 0) <= rung.videoBitsPerSecond * COPY_MAX_RATE &&
    Math.max(video.width, video.height) <= SIDE_MAX
  )
}

/** AVI is not among them: it keeps no times for frames out of order. */
function hasCopyableFormat(media: PlannableMedia): boolean {
  return media.format.split(',').some((name) => copyableFormats.includes(name))
}

/** Sound is copied where every browser plays it, and its container gives each packet a time. */
function soundMode(media: PlannableMedia, audio: PlannableStream | null, maxBitsPerSecond: number): StreamMode {
  if (audio === null) return 'none'
  const copies =
    hasCopyableFormat(media) &&
    audio.codec === 'aac' &&
    ['lc', 'he-aac'].includes(audio.profile?.toLowerCase() ?? '') &&
    (audio.bitsPerSecond ?? 0) <= maxBitsPerSecond
  return copies ? 'copy' : 'encode'
}

function planVideo(
  media: PlannableMedia,
  video: PlannableStream,
  audio: PlannableStream | null,
  rung: Rung,
  videoMode: 'copy' | 'encode',
): PlannedRendition {
  const size = scaledSize(video.width, video.height, rung.lines)
  return {
    name: `${String(Math.min(size.width, size.height))}p`,
    track: null,
    videoMode,
    // Beside a picture that is untouched the sound is small, whatever it is.
    audioMode: soundMode(media, audio, videoMode === 'copy' ? Infinity : rung.audioBitsPerSecond * SOUND_COPY_MAX_RATE),
    ...size,
    videoStream: video.index,
    audioStream: audio?.index ?? null,
    videoBitsPerSecond: rung.videoBitsPerSecond,
    audioBitsPerSecond: audio === null ? 0 : rung.audioBitsPerSecond,
  }
}

/** Each sound on its own; of several the names tell which it is. */
function planSounds(
  media: PlannableMedia,
  sounds: readonly PlannableStream[],
  copyMaxBitsPerSecond: number,
): PlannedRendition[] {
  return sounds.map((audio, i) => ({
    name: sounds.length === 1 ? 'audio' : `audio ${String(i + 1)}`,
    track: sounds.length === 1 ? null : { number: i + 1, language: audio.language, title: audio.title },
    videoMode: 'none',
    audioMode: soundMode(media, audio, copyMaxBitsPerSecond),
    width: 0,
    height: 0,
    videoStream: null,
    audioStream: audio.index,
    videoBitsPerSecond: 0,
    audioBitsPerSecond: AUDIO_BITS_PER_SECOND,
  }))
}

/** The largest even size with the same shape whose shorter side is at most `lines`; never larger than the source. */
export function scaledSize(width: number, height: number, lines: number): { width: number; height: number } {
  const scale = Math.min(1, lines / Math.min(width, height), SIDE_MAX / Math.max(width, height))
  return { width: evenSide(width, scale), height: evenSide(height, scale) }
}

function evenSide(side: number, scale: number): number {
  const nearest = Math.round((side * scale) / 2) * 2
  return Math.max(2, nearest > side ? nearest - 2 : nearest)
}

/** A rendition may be this much shorter than the source said, for frames that were never complete. */
const SHORT_BY_MS = 2_000

/**
 * The reason to show when a source says it is longer than what could be read of it: it was cut off, but a part plays.
 * `undefined` when it is whole.
 */
export function endsEarly(
  media: Pick<PlannableMedia, 'durationMs'>,
  made: Pick<PlaybackIndex, 'durationMs'>,
): string | undefined {
  if (made.durationMs >= media.durationMs * 0.98 - SHORT_BY_MS) return undefined
  const seconds = (ms: number): string => String(Math.round(ms / 1000))
  return `the file ends early: ${seconds(made.durationMs)} of ${seconds(media.durationMs)} seconds could be read`
}
