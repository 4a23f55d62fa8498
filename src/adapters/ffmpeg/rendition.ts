import { MosaikError } from '../../domain/errors.ts'
import type { PlaybackIndex } from '../../domain/recording.ts'
import type { MediaInfo, MediaInput, RenditionOutput, RenditionPlan } from '../../ports/media.ts'
import { freeAtOnce } from '../free-at-once.ts'
import { renditionArguments } from './arguments.ts'
import { findCopyObstacles } from './copy-check.ts'
import { FragmentIndexer } from './fmp4-index.ts'
import { runTool } from './run.ts'
import type { ToolHost } from './run.ts'

/** Shared slides, and nothing that moves. */
const SPARSE_FRAMES_PER_SECOND = 1
const SLACK_BYTES = 16 * 1024 * 1024
const SLACK_MS = 10 * 60_000
/** Encoding on a busy small machine, from slow stores, still has to end some day. */
const WALL_FACTOR = 20

/**
 * Prepares one rendition; ffmpeg starts when its bytes are asked for, so a rendition that nobody reads leaves nothing
 * behind. Of a copy that would play badly, that stream is encoded instead.
 */
export async function makeRendition(
  host: ToolHost,
  input: MediaInput,
  info: MediaInfo,
  plan: RenditionPlan,
  progress: (doneMs: number) => void,
  signal: AbortSignal,
): Promise<RenditionOutput> {
  const chosen = await chooseModes(host, input, info, plan, signal)
  const picture = info.streams.find(({ index }) => index === chosen.videoStream)
  const isSparse = (picture?.framesPerSecond ?? SPARSE_FRAMES_PER_SECOND) < SPARSE_FRAMES_PER_SECOND
  const indexer = new FragmentIndexer()
  let index: PlaybackIndex | undefined

  async function* bytes(): AsyncGenerator<Uint8Array, void, void> {
    const run = {
      program: 'ffmpeg' as const,
      argumentList: (url: string) => renditionArguments(url, host.limits, chosen, isSparse),
      input,
      wallMs: info.durationMs * WALL_FACTOR + SLACK_MS,
      outputBytes: outputLimit(input, info, chosen),
    }
    for await (const chunk of runTool(host, run, signal)) {
      indexer.push(chunk, progress)
      yield chunk
      freeAtOnce(chunk)
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

async function chooseModes(
  host: ToolHost,
  input: MediaInput,
  info: MediaInfo,
  plan: RenditionPlan,
  signal: AbortSignal,
): Promise<RenditionPlan> {
  if (plan.videoMode !== 'copy' && plan.audioMode !== 'copy') return plan
  const { video, audio } = await findCopyObstacles(host, input, info, plan, signal)
  let chosen = plan
  if (plan.videoMode === 'copy' && video !== undefined) {
    host.log.info('media.copy-becomes-encode', { rendition: plan.name, stream: 'video', reason: video })
    chosen = { ...chosen, videoMode: 'encode' }
  }
  if (plan.audioMode === 'copy' && audio !== undefined) {
    host.log.info('media.copy-becomes-encode', { rendition: plan.name, stream: 'audio', reason: audio })
    chosen = { ...chosen, audioMode: 'encode' }
  }
  return chosen
}

/** What an honest run can write at most. */
function outputLimit(input: MediaInput, info: MediaInfo, plan: RenditionPlan): number {
  const copiedBytes = plan.videoMode === 'copy' || plan.audioMode === 'copy' ? input.sizeBytes * 1.5 : 0
  const bitsPerSecond =
    (plan.videoMode === 'encode' ? plan.videoBitsPerSecond : 0) +
    (plan.audioMode === 'encode' ? plan.audioBitsPerSecond : 0)
  return Math.ceil(copiedBytes + ((bitsPerSecond * info.durationMs) / 8000) * 2) + SLACK_BYTES
}
