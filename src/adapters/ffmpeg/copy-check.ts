import { isMosaikError } from '../../domain/errors.ts'
import type { MediaInfo, MediaInput, RenditionPlan } from '../../ports/media.ts'
import { placeArguments } from './arguments.ts'
import { csvLines, finiteNumber } from './probe.ts'
import { runTool } from './run.ts'
import type { ToolHost } from './run.ts'

/** Seeking jumps to key frames: further apart than this, a copy would be a poor thing to watch. */
const KEY_FRAME_MAX_MS = 20_000
/** Browsers play sound on without the hole, and it leaves the picture behind: when encoded, silence is filled in. */
const HOLE_MAX_MS = 500
/** What a coder of sound needs to get going is hidden too, and may be copied: it is short. */
const PRIMING_MAX_MS = 150
/** A decoder of sound may swallow its first packets. */
const FEW_SOUNDS = 4
const PLACE_MS = 50_000
const PLACE_WALL_MS = 10 * 60_000
const PLACE_OUTPUT_BYTES = 64 * 1024 * 1024

/** Why a stream had better not be copied although its coding would allow it; undefined where nothing speaks against it. */
export interface CopyObstacles {
  readonly video?:
    | 'key frames too far apart'
    | 'picture changes its size'
    | 'pictures that are not to be seen'
    | 'cannot be decoded'
    | 'cannot be looked at'
  readonly audio?:
    | 'sound begins late'
    | 'sound with holes'
    | 'sounds that are not to be heard'
    | 'cannot be decoded'
    | 'cannot be looked at'
}

/** What was found of an input, so that several renditions of it look once. */
const found = new WeakMap<MediaInput, Map<string, CopyObstacles & Looked>>()

interface Looked {
  /** Longest time between key frames in the places that were looked at. */
  readonly keyFrameGapMs?: number
}

/** How far apart the key frames of a picture are, when it was looked at because it may be copied. */
export function knownKeyFrameGapMs(input: MediaInput, videoStream: number): number | undefined {
  for (const [key, { keyFrameGapMs }] of found.get(input) ?? []) {
    if ((JSON.parse(key) as { video: number | null }).video === videoStream) return keyFrameGapMs
  }
  return undefined
}

/**
 * Looks at the packets in up to three places of the file, not at all of it: to read everything twice from the vault
 * would cost more than a rare long segment does. It has to be decided beforehand, because the bytes of a copy are on
 * their way into the vault while its index is still growing.
 *
 * Sound is compared with the first picture of the file also where the plan has none: all renditions have the same clock.
 */
export async function findCopyObstacles(
  host: ToolHost,
  input: MediaInput,
  info: MediaInfo,
  plan: RenditionPlan,
  signal: AbortSignal,
): Promise<CopyObstacles> {
  const streams = {
    video: plan.videoStream ?? info.streams.find(({ type }) => type === 'video')?.index ?? null,
    audio: plan.audioStream,
  }
  const known = found.get(input) ?? new Map<string, CopyObstacles & Looked>()
  found.set(input, known)
  const key = JSON.stringify(streams)
  const before = known.get(key)
  if (before !== undefined) return before

  const isShort = info.durationMs <= 4 * PLACE_MS
  const places = isShort ? [0] : [0, 0.4, 0.8].map((share) => Math.round(info.durationMs * share))
  const lengthMs = isShort ? info.durationMs + 1000 : PLACE_MS
  const looks = await Promise.allSettled(
    places.map((startMs) => lookAtPlace(host, input, streams, startMs, lengthMs, signal)),
  )
  let obstacles: CopyObstacles & Looked = {}
  for (const look of looks) {
    if (look.status === 'fulfilled') {
      const keyFrameGapMs = Math.max(obstacles.keyFrameGapMs ?? 0, look.value.keyFrameGapMs)
      obstacles = { ...look.value, ...obstacles, keyFrameGapMs }
    } else {
      // Whether it is of any use, encoding it will show.
      if (!isMosaikError(look.reason, 'E_MEDIA_UNREADABLE', 'E_MEDIA_TOOL')) throw look.reason
      return { video: 'cannot be looked at', audio: 'cannot be looked at' }
    }
  }
  known.set(key, obstacles)
  return obstacles
}

async function lookAtPlace(
  host: ToolHost,
  input: MediaInput,
  streams: { readonly video: number | null; readonly audio: number | null },
  startMs: number,
  lengthMs: number,
  signal: AbortSignal,
): Promise<CopyObstacles & Required<Looked>> {
  const run = {
    program: 'ffprobe' as const,
    argumentList: (url: string) => placeArguments(url, host.limits, startMs, lengthMs),
    input,
    wallMs: PLACE_WALL_MS,
    outputBytes: PLACE_OUTPUT_BYTES,
  }
  let hasHidden = false
  let keyFrameMs: number | undefined
  let keyFrameGapMs = 0
  let pictureStartMs: number | undefined
  let soundStartMs: number | undefined
  let soundEndMs: number | undefined
  let holeMs = 0
  let hiddenSoundMs = 0
  const sizes = new Set<string>()
  let keyFramesCount = 0
  let soundsCount = 0
  let isSoundDecoded = false
  for await (const [kind, stream, ...fields] of csvLines(runTool(host, run, signal))) {
    if (kind === 'frame' && stream === String(streams.video)) sizes.add(fields.slice(0, 2).join('x'))
    if (kind === 'frame' && stream === String(streams.audio)) isSoundDecoded = true
    if (kind !== 'packet') continue
    const [pts, dts, duration, flags] = fields
    const at = finiteNumber(pts) ?? finiteNumber(dts)
    if (at === undefined) continue
    const ms = at * 1000
    if (stream === String(streams.video)) {
      // Cut away by an edit list (phones trim so): a copy without edit lists would show it again.
      if (flags?.includes('D') === true) hasHidden = true
      pictureStartMs = Math.min(pictureStartMs ?? ms, ms)
      if (flags?.startsWith('K') === true) keyFramesCount++
      if (keyFrameMs === undefined || flags?.startsWith('K') === true) keyFrameMs = ms
      keyFrameGapMs = Math.max(keyFrameGapMs, ms - keyFrameMs)
    } else if (stream === String(streams.audio)) {
      soundsCount++
      soundStartMs ??= ms
      if (soundEndMs !== undefined) holeMs = Math.max(holeMs, ms - soundEndMs)
      const soundMs = (finiteNumber(duration) ?? 0) * 1000
      soundEndMs = ms + soundMs
      if (flags?.includes('D') === true) hiddenSoundMs += soundMs
    }
  }
  const beginsLate =
    startMs === 0 &&
    pictureStartMs !== undefined &&
    soundStartMs !== undefined &&
    soundStartMs - pictureStartMs > HOLE_MAX_MS
  return {
    keyFrameGapMs,
    ...(sizes.size > 1 ? { video: 'picture changes its size' as const } : {}),
    ...(hasHidden ? { video: 'pictures that are not to be seen' as const } : {}),
    ...(keyFrameGapMs > KEY_FRAME_MAX_MS ? { video: 'key frames too far apart' as const } : {}),
    // Encrypted or broken: a copy would be as bad, and nobody would know.
    ...(keyFramesCount > 0 && sizes.size === 0 ? { video: 'cannot be decoded' as const } : {}),
    ...(beginsLate ? { audio: 'sound begins late' as const } : {}),
    ...(!beginsLate && holeMs > HOLE_MAX_MS ? { audio: 'sound with holes' as const } : {}),
    ...(hiddenSoundMs > PRIMING_MAX_MS ? { audio: 'sounds that are not to be heard' as const } : {}),
    ...(soundsCount > FEW_SOUNDS && !isSoundDecoded ? { audio: 'cannot be decoded' as const } : {}),
  }
}
