import { isMosaikError } from '../../domain/errors.ts'
import type { MediaInfo, MediaInput, RenditionPlan } from '../../ports/media.ts'
import { placesArguments } from './arguments.ts'
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
/** The tool ends a place at its first packet behind the end; sound and picture do not keep step to the millisecond. */
const PLACE_SLACK_MS = 1000
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
  let obstacles: CopyObstacles & Looked
  try {
    obstacles = await lookAtPlaces(host, input, streams, { places, lengthMs }, signal)
  } catch (error) {
    // Whether it is of any use, encoding it will show.
    if (!isMosaikError(error, 'E_MEDIA_UNREADABLE', 'E_MEDIA_TOOL')) throw error
    return { video: 'cannot be looked at', audio: 'cannot be looked at' }
  }
  known.set(key, obstacles)
  return obstacles
}

interface Streams {
  readonly video: number | null
  readonly audio: number | null
}

/** In one run of the tool, which names no place: a time behind the end of one place is of the next. Earlier places go first in what is found. */
async function lookAtPlaces(
  host: ToolHost,
  input: MediaInput,
  streams: Streams,
  { places, lengthMs }: { readonly places: readonly number[]; readonly lengthMs: number },
  signal: AbortSignal,
): Promise<CopyObstacles & Looked> {
  const run = {
    program: 'ffprobe' as const,
    argumentList: (url: string) => placesArguments(url, host.limits, places, lengthMs),
    input,
    wallMs: places.length * PLACE_WALL_MS,
    outputBytes: places.length * PLACE_OUTPUT_BYTES,
  }
  let look = new PlaceLook(streams, true)
  const looks = [look]
  let endMs: number | undefined
  for await (const [kind, stream, ...fields] of csvLines(runTool(host, run, signal))) {
    if (kind === 'frame') look.addFrame(stream, fields)
    if (kind !== 'packet') continue
    const [pts, dts] = fields
    const at = finiteNumber(pts) ?? finiteNumber(dts)
    if (at === undefined) continue
    const ms = at * 1000
    // The first place is counted from where the file begins, which need not be zero.
    endMs ??= ms + lengthMs
    while (ms > endMs + PLACE_SLACK_MS && looks.length < places.length) {
      endMs = places[looks.length]! + lengthMs
      look = new PlaceLook(streams, false)
      looks.push(look)
    }
    look.addPacket(stream, ms, fields)
  }
  let obstacles: CopyObstacles & Looked = {}
  for (const ofPlace of looks.map((place) => place.obstacles())) {
    const keyFrameGapMs = Math.max(obstacles.keyFrameGapMs ?? 0, ofPlace.keyFrameGapMs)
    obstacles = { ...ofPlace, ...obstacles, keyFrameGapMs }
  }
  return obstacles
}

/** Packets and decoded frames of one place go by. */
class PlaceLook {
  readonly #streams: Streams
  readonly #isBeginning: boolean
  #hasHidden = false
  #keyFrameMs: number | undefined
  #keyFrameGapMs = 0
  #pictureStartMs: number | undefined
  #soundStartMs: number | undefined
  #soundEndMs: number | undefined
  #holeMs = 0
  #hiddenSoundMs = 0
  readonly #sizes = new Set<string>()
  #keyFramesCount = 0
  #soundsCount = 0
  #isSoundDecoded = false

  constructor(streams: Streams, isBeginning: boolean) {
    this.#streams = streams
    this.#isBeginning = isBeginning
  }

  addFrame(stream: string | undefined, fields: readonly string[]): void {
    if (stream === String(this.#streams.video)) this.#sizes.add(fields.slice(0, 2).join('x'))
    if (stream === String(this.#streams.audio)) this.#isSoundDecoded = true
  }

  addPacket(stream: string | undefined, ms: number, [, , duration, flags]: readonly string[]): void {
    if (stream === String(this.#streams.video)) {
      // Cut away by an edit list (phones trim so): a copy without edit lists would show it again.
      if (flags?.includes('D') === true) this.#hasHidden = true
      this.#pictureStartMs = Math.min(this.#pictureStartMs ?? ms, ms)
      if (flags?.startsWith('K') === true) this.#keyFramesCount++
      if (this.#keyFrameMs === undefined || flags?.startsWith('K') === true) this.#keyFrameMs = ms
      this.#keyFrameGapMs = Math.max(this.#keyFrameGapMs, ms - this.#keyFrameMs)
    } else if (stream === String(this.#streams.audio)) {
      this.#soundsCount++
      this.#soundStartMs ??= ms
      if (this.#soundEndMs !== undefined) this.#holeMs = Math.max(this.#holeMs, ms - this.#soundEndMs)
      const soundMs = (finiteNumber(duration) ?? 0) * 1000
      this.#soundEndMs = ms + soundMs
      if (flags?.includes('D') === true) this.#hiddenSoundMs += soundMs
    }
  }

  obstacles(): CopyObstacles & Required<Looked> {
    const beginsLate =
      this.#isBeginning &&
      this.#pictureStartMs !== undefined &&
      this.#soundStartMs !== undefined &&
      this.#soundStartMs - this.#pictureStartMs > HOLE_MAX_MS
    return {
      keyFrameGapMs: this.#keyFrameGapMs,
      ...(this.#sizes.size > 1 ? { video: 'picture changes its size' as const } : {}),
      ...(this.#hasHidden ? { video: 'pictures that are not to be seen' as const } : {}),
      ...(this.#keyFrameGapMs > KEY_FRAME_MAX_MS ? { video: 'key frames too far apart' as const } : {}),
      // Encrypted or broken: a copy would be as bad, and nobody would know.
      ...(this.#keyFramesCount > 0 && this.#sizes.size === 0 ? { video: 'cannot be decoded' as const } : {}),
      ...(beginsLate ? { audio: 'sound begins late' as const } : {}),
      ...(!beginsLate && this.#holeMs > HOLE_MAX_MS ? { audio: 'sound with holes' as const } : {}),
      ...(this.#hiddenSoundMs > PRIMING_MAX_MS ? { audio: 'sounds that are not to be heard' as const } : {}),
      ...(this.#soundsCount > FEW_SOUNDS && !this.#isSoundDecoded ? { audio: 'cannot be decoded' as const } : {}),
    }
  }
}
