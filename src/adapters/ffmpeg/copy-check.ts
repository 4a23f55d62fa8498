import type { MediaInfo, MediaInput, RenditionPlan } from '../../ports/media.ts'
import { placeArguments } from './arguments.ts'
import { csvLines, finiteNumber } from './probe.ts'
import { runTool } from './run.ts'
import type { ToolHost } from './run.ts'

/** Seeking jumps to key frames: further apart than this, a copy would be a poor thing to watch. */
const KEY_FRAME_MAX_MS = 20_000
/** Browsers play sound on without the hole, and it leaves the picture behind: when encoded, silence is filled in. */
const HOLE_MAX_MS = 500
const PLACE_MS = 50_000
const PLACE_WALL_MS = 10 * 60_000
const PLACE_OUTPUT_BYTES = 64 * 1024 * 1024

/** Why a source had better not be copied although its coding would allow it. */
export type CopyObstacle = 'key frames too far apart' | 'sound begins late' | 'sound with holes'

/**
 * Looks at the packets in up to three places of the file, not at all of it: to read everything twice from the vault
 * would cost more than a rare long segment does. It has to be decided beforehand, because the bytes of a copy are on
 * their way into the vault while its index is still growing.
 */
export async function findCopyObstacle(
  host: ToolHost,
  input: MediaInput,
  info: MediaInfo,
  plan: RenditionPlan,
  signal: AbortSignal,
): Promise<CopyObstacle | undefined> {
  const isShort = info.durationMs <= 4 * PLACE_MS
  for (const share of isShort ? [0] : [0, 0.4, 0.8]) {
    const startMs = Math.round(info.durationMs * share)
    const lengthMs = isShort ? info.durationMs + 1000 : PLACE_MS
    const obstacle = await lookAtPlace(host, input, plan, startMs, lengthMs, signal)
    if (obstacle !== undefined) return obstacle
  }
  return undefined
}

async function lookAtPlace(
  host: ToolHost,
  input: MediaInput,
  plan: RenditionPlan,
  startMs: number,
  lengthMs: number,
  signal: AbortSignal,
): Promise<CopyObstacle | undefined> {
  const run = {
    program: 'ffprobe' as const,
    argumentList: (url: string) => placeArguments(url, host.limits, startMs, lengthMs),
    input,
    wallMs: PLACE_WALL_MS,
    outputBytes: PLACE_OUTPUT_BYTES,
  }
  let keyFrameMs: number | undefined
  let pictureStartMs: number | undefined
  let soundStartMs: number | undefined
  let soundEndMs: number | undefined
  for await (const [stream, pts, dts, duration, flags] of csvLines(runTool(host, run, signal))) {
    const at = finiteNumber(pts) ?? finiteNumber(dts)
    if (at === undefined) continue
    const ms = at * 1000
    if (stream === String(plan.videoStream)) {
      pictureStartMs = Math.min(pictureStartMs ?? ms, ms)
      if (keyFrameMs === undefined || flags?.startsWith('K') === true) keyFrameMs = ms
      if (ms - keyFrameMs > KEY_FRAME_MAX_MS) return 'key frames too far apart'
    } else if (stream === String(plan.audioStream)) {
      soundStartMs ??= ms
      if (soundEndMs !== undefined && ms - soundEndMs > HOLE_MAX_MS) return 'sound with holes'
      soundEndMs = ms + (finiteNumber(duration) ?? 0) * 1000
    }
  }
  if (startMs > 0 || pictureStartMs === undefined || soundStartMs === undefined) return undefined
  return soundStartMs - pictureStartMs > HOLE_MAX_MS ? 'sound begins late' : undefined
}
