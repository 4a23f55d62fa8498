import { MosaikError } from '../../domain/errors.ts'
import type { PlaybackIndex } from '../../domain/recording.ts'
import type { MediaInfo, MediaInput, RenditionOutput, RenditionPlan } from '../../ports/media.ts'
import { renditionArguments } from './arguments.ts'
import { findCopyObstacle } from './copy-check.ts'
import { FragmentIndexer } from './fmp4-index.ts'
import { runTool } from './run.ts'
import type { ToolHost } from './run.ts'

const SLACK_BYTES = 16 * 1024 * 1024
const SLACK_MS = 10 * 60_000
/** Encoding on a busy small machine, from slow stores, still has to end some day. */
const WALL_FACTOR = 20

/**
 * Prepares one rendition; ffmpeg starts when its bytes are asked for, so a rendition that nobody reads leaves nothing
 * behind. A copy that would play badly is encoded instead.
 */
export async function makeRendition(
  host: ToolHost,
  input: MediaInput,
  info: MediaInfo,
  plan: RenditionPlan,
  progress: (doneMs: number) => void,
  signal: AbortSignal,
): Promise<RenditionOutput> {
  const chosen = await chooseMode(host, input, info, plan, signal)
  const indexer = new FragmentIndexer()
  let index: PlaybackIndex | undefined

  async function* bytes(): AsyncGenerator<Uint8Array, void, void> {
    const run = {
      program: 'ffmpeg' as const,
      argumentList: (url: string) => renditionArguments(url, host.limits, chosen),
      input,
      wallMs: info.durationMs * WALL_FACTOR + SLACK_MS,
      outputBytes: outputLimit(input, info, chosen),
    }
    for await (const chunk of runTool(host, run, signal)) {
      indexer.push(chunk, progress)
      yield chunk
    }
    if (indexer.segmentCount === 0) {
      throw new MosaikError('E_MEDIA_UNREADABLE', 'no picture and no sound could be read from the file')
    }
    index = indexer.finish()
  }

  const generator = bytes()
  return {
    bytes: generator,
    index() {
      if (index === undefined) throw new MosaikError('E_INTERNAL', 'the index of a rendition is known at its end')
      return index
    },
  }
}

async function chooseMode(
  host: ToolHost,
  input: MediaInput,
  info: MediaInfo,
  plan: RenditionPlan,
  signal: AbortSignal,
): Promise<RenditionPlan> {
  if (plan.mode === 'encode') return plan
  const reason = await findCopyObstacle(host, input, info, plan, signal)
  if (reason === undefined) return plan
  host.log.info('media.copy-becomes-encode', { rendition: plan.name, reason })
  return { ...plan, mode: 'encode' }
}

/** What an honest run can write at most. */
function outputLimit(input: MediaInput, info: MediaInfo, plan: RenditionPlan): number {
  if (plan.mode === 'copy') return input.sizeBytes * 1.5 + SLACK_BYTES
  const bitsPerSecond = plan.videoBitsPerSecond + plan.audioBitsPerSecond
  return Math.ceil(((bitsPerSecond * info.durationMs) / 8000) * 2) + SLACK_BYTES
}
