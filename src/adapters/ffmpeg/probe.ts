import { z } from 'zod'
import { isMosaikError, MosaikError } from '../../domain/errors.ts'
import { languageTag, trackTitle } from '../../domain/track.ts'
import type { MediaInfo, MediaInput, MediaStream } from '../../ports/media.ts'
import { probeArguments, scanArguments } from './arguments.ts'
import { lookAtBeginning } from './look.ts'
import { runForBytes, runTool } from './run.ts'
import type { ToolHost } from './run.ts'

/** What a file may be at most before we touch it. */
export const mediaLimits = {
  sidePixels: 16_384,
  /** More than 8K, which has 33 million; a decoder keeps up to a score of pictures. */
  pixels: 40_000_000,
  durationMs: 48 * 3_600_000,
} as const

const PROBE_WALL_MS = 2 * 60_000
/** A scan reads the whole file, from stores that may be slow. */
const SCAN_WALL_MS = 2 * 3_600_000
const PROBE_OUTPUT_BYTES = 4 * 1024 * 1024
/** 48 hours of 60 frames and 50 sound packets a second, 40 characters each. */
const SCAN_OUTPUT_BYTES = 1024 * 1024 * 1024

/** Containers whose clock may jump in the middle: what they say of their length is the difference of first and last time. */
const jumpingFormats: readonly string[] = ['mpegts', 'mpeg']
/** ffmpeg closes a jump that is larger (`-dts_delta_threshold`), and so does the scan. */
const JUMP_SECONDS = 10

/** Text tracks that can become WebVTT; pictures of text (DVD, Blu-ray, DVB) cannot. */
const textCodecs = ['subrip', 'srt', 'ass', 'ssa', 'mov_text', 'webvtt', 'text']

const numeric = z.union([z.string(), z.number()]).transform(Number)

const streamSchema = z.object({
  index: z.number().int().nonnegative(),
  codec_type: z.string().optional(),
  codec_name: z.string().optional(),
  profile: z.union([z.string(), z.number()]).transform(String).optional(),
  width: z.number().int().optional(),
  height: z.number().int().optional(),
  sample_aspect_ratio: z.string().optional(),
  pix_fmt: z.string().optional(),
  sample_rate: numeric.optional(),
  bit_rate: numeric.optional(),
  duration: numeric.optional(),
  avg_frame_rate: z.string().optional(),
  r_frame_rate: z.string().optional(),
  tags: z.record(z.string(), z.string()).optional(),
  disposition: z.record(z.string(), z.number()).optional(),
  side_data_list: z.array(z.object({ rotation: z.number().optional() })).optional(),
})

const probeSchema = z.object({
  streams: z.array(streamSchema).default([]),
  format: z
    .object({ format_name: z.string().optional(), duration: numeric.optional(), start_time: numeric.optional() })
    .optional(),
})

type RawStream = z.infer<typeof streamSchema>

/** Looks into a file. Streams come in order of preference: of each type, those marked as default first. */
export async function probeMedia(host: ToolHost, input: MediaInput, signal: AbortSignal): Promise<MediaInfo> {
  if (input.sizeBytes === 0) throw new MosaikError('E_MEDIA_UNREADABLE', 'the file is empty')
  const info = await runProbe(host, input, signal)
  const { streams, format } = info
  if (!streams.some(({ type }) => type === 'video' || type === 'audio')) {
    throw new MosaikError('E_MEDIA_UNREADABLE', 'the file has neither picture nor sound', { format })
  }
  checkSizes(streams)
  // A header may be wrong, or lie: what is there counts then.
  const said = info.durationMs
  const believable = said !== undefined && said <= mediaLimits.durationMs && !jumpingFormats.includes(format)
  const durationMs = believable ? said : await scanDuration(host, input, format, signal)
  if (durationMs > mediaLimits.durationMs) {
    throw new MosaikError('E_MEDIA_LIMIT', 'the recording is longer than 48 hours', { format, durationMs })
  }
  return { format, streams, durationMs }
}

async function runProbe(
  host: ToolHost,
  input: MediaInput,
  signal: AbortSignal,
): Promise<{ format: string; durationMs: number | undefined; streams: MediaStream[] }> {
  let json: Buffer
  try {
    json = await runForBytes(
      host,
      {
        program: 'ffprobe',
        argumentList: (url) => probeArguments(url, host.limits),
        input,
        wallMs: PROBE_WALL_MS,
        outputBytes: PROBE_OUTPUT_BYTES,
      },
      signal,
    )
  } catch (error) {
    if (!isMosaikError(error, 'E_MEDIA_UNREADABLE', 'E_MEDIA_TOOL')) throw error
    const words = await lookAtBeginning(input, signal)
    if (words === undefined) throw error
    throw new MosaikError('E_MEDIA_UNREADABLE', words, error.fields, error)
  }
  const parsed = probeSchema.safeParse(parseJson(json))
  if (!parsed.success) throw new MosaikError('E_MEDIA_TOOL', 'ffprobe answered something we do not understand')
  const { streams, format } = parsed.data
  const seconds = Math.max(
    ...[format?.duration, ...streams.filter(isPlayable).map((stream) => stream.duration)].map((value) =>
      value !== undefined && Number.isFinite(value) ? value : 0,
    ),
  )
  // Matroska says when it ends; where it does not begin at zero, that is not how long it is.
  const start = format?.format_name?.startsWith('matroska') === true ? (format.start_time ?? 0) : 0
  const length = start > 0 && start < seconds ? seconds - start : seconds
  return {
    format: format?.format_name ?? '',
    durationMs: length > 0 ? Math.round(length * 1000) : undefined,
    streams: [...streams]
      .sort((a, b) => (b.disposition?.['default'] ?? 0) - (a.disposition?.['default'] ?? 0))
      .map(toStream),
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}

function isPlayable(stream: RawStream): boolean {
  return stream.codec_type === 'video' || stream.codec_type === 'audio'
}

/** A cover picture is a video stream of one frame; it is no picture of a meeting. */
function typeOf(stream: RawStream): MediaStream['type'] {
  const isCover = stream.disposition?.['attached_pic'] === 1 || stream.disposition?.['timed_thumbnails'] === 1
  if (stream.codec_name === undefined) return 'other'
  if (stream.codec_type === 'video') return isCover ? 'other' : 'video'
  // Announced, and nothing of it is there: the file ends before.
  if (stream.codec_type === 'audio') return stream.sample_rate === 0 ? 'other' : 'audio'
  return stream.codec_type === 'subtitle' && textCodecs.includes(stream.codec_name) ? 'text' : 'other'
}

function toStream(stream: RawStream): MediaStream {
  const type = typeOf(stream)
  const rotationDegrees = type === 'video' ? rotationOf(stream) : 0
  const [across, down] = (stream.sample_aspect_ratio ?? '').split(':').map(Number)
  const aspect = across !== undefined && down !== undefined && across > 0 && down > 0 ? across / down : 1
  const width = type === 'video' ? Math.round((stream.width ?? 0) * aspect) : 0
  const height = type === 'video' ? (stream.height ?? 0) : 0
  const frames = type === 'video' ? frameRateOf(stream) : 0
  const onItsSide = rotationDegrees % 180 === 90
  const bits = stream.bit_rate ?? Number(stream.tags?.['BPS'] ?? stream.tags?.['BPS-eng'])
  return {
    index: stream.index,
    type,
    codec: stream.codec_name ?? 'unknown',
    profile: stream.profile ?? null,
    language: languageTag(stream.tags?.['language']),
    title: type === 'audio' || type === 'text' ? trackTitle(stream.tags?.['title']) : '',
    width: onItsSide ? height : width,
    height: onItsSide ? width : height,
    pixelFormat: stream.pix_fmt ?? null,
    bitsPerSecond: Number.isFinite(bits) && bits > 0 ? bits : null,
    rotationDegrees,
    ...(frames > 0 ? { framesPerSecond: frames } : {}),
  }
}

/** 0 when it is not known. Of rare pictures in WebM the average is nonsense; the rate that fits all their times is not. */
function frameRateOf({ avg_frame_rate: average, r_frame_rate: fitting }: RawStream): number {
  const rates = [average, fitting].map((rate) => {
    const [count = NaN, perSeconds = NaN] = (rate ?? '').split('/').map(Number)
    return count / perSeconds
  })
  const known = rates.filter((rate) => rate > 0 && Number.isFinite(rate))
  return known.length === 0 ? 0 : Math.min(...known)
}

/** To the nearest quarter turn, 0 … 270. */
function rotationOf(stream: RawStream): number {
  const matrix = stream.side_data_list?.find(({ rotation }) => rotation !== undefined)?.rotation
  const degrees = matrix ?? Number(stream.tags?.['rotate'] ?? 0)
  if (!Number.isFinite(degrees)) return 0
  return (((Math.round(degrees / 90) * 90) % 360) + 360) % 360
}

function checkSizes(streams: readonly MediaStream[]): void {
  for (const { type, width, height, codec, index } of streams) {
    if (type !== 'video') continue
    const fields = { stream: index, codec, width, height }
    if (width > mediaLimits.sidePixels || height > mediaLimits.sidePixels || width * height > mediaLimits.pixels) {
      throw new MosaikError('E_MEDIA_LIMIT', `the picture is too large: ${String(width)}x${String(height)}`, fields)
    }
    if (width < 2 || height < 2) {
      throw new MosaikError('E_MEDIA_UNREADABLE', 'the picture has no size: the file ends early, or is broken', fields)
    }
  }
}

/**
 * Reads the times of all packets of a file that does not say how long it is (written live, or cut off, or with a clock that jumps).
 * The result is as long as what ffmpeg makes of it.
 */
async function scanDuration(host: ToolHost, input: MediaInput, format: string, signal: AbortSignal): Promise<number> {
  let first = Infinity
  let last = -Infinity
  let closed = 0
  const ends = new Map<string, number>()
  const mayJump = jumpingFormats.includes(format)
  const run = {
    program: 'ffprobe' as const,
    argumentList: (url: string) => scanArguments(url, host.limits),
    input,
    wallMs: SCAN_WALL_MS,
    outputBytes: SCAN_OUTPUT_BYTES,
  }
  for await (const [kind, stream = '', pts, dts, duration] of csvLines(runTool(host, run, signal))) {
    const at = finiteNumber(pts) ?? finiteNumber(dts)
    if (at === undefined) continue
    const length = finiteNumber(duration) ?? 0
    if (mayJump && (kind === 'video' || kind === 'audio')) {
      const jump = at - closed - (ends.get(stream) ?? at - closed)
      if (Math.abs(jump) > JUMP_SECONDS) closed += jump
      ends.set(stream, at - closed + length)
    }
    first = Math.min(first, at - closed)
    last = Math.max(last, at - closed + length)
  }
  const durationMs = Math.round((last - first) * 1000)
  if (!Number.isFinite(durationMs) || durationMs <= 0) {
    throw new MosaikError('E_MEDIA_UNREADABLE', 'the file has no length: it ends early, or holds a single picture')
  }
  return durationMs
}

/** A number that ffprobe printed, or `undefined` for what is none. */
export function finiteNumber(text: string | undefined): number | undefined {
  const value = Number(text === '' ? undefined : text)
  return Number.isFinite(value) ? value : undefined
}

/** Lines of comma-separated values. */
export async function* csvLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string[], void, void> {
  let rest = ''
  for await (const chunk of chunks) {
    const parts = (rest + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1')).split('\n')
    rest = parts.pop() ?? ''
    for (const line of parts) yield line.split(',')
  }
  if (rest !== '') yield rest.split(',')
}
