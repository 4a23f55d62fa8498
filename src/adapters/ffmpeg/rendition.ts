import { MosaikError } from '../../domain/errors.ts'
import type { PlaybackIndex } from '../../domain/recording.ts'
import type { MediaInfo, MediaInput, RenditionOutput, RenditionPlan } from '../../ports/media.ts'
import { freeAtOnce } from '../free-at-once.ts'
import { renditionsArguments, type ChosenRendition } from './arguments.ts'
import { findCopyObstacles } from './copy-check.ts'
import { FragmentIndexer } from './fmp4-index.ts'
import { NO_PICTURES, picturesAlongside } from './pictures-alongside.ts'
import { runTogether } from './run.ts'
import type { ToolHost, ToolOutput } from './run.ts'

/** Shared slides, and nothing that moves. */
const SPARSE_FRAMES_PER_SECOND = 1
const SLACK_BYTES = 16 * 1024 * 1024
const SLACK_MS = 10 * 60_000
/** Encoding on a busy small machine, from slow stores, still has to end some day. */
const WALL_FACTOR = 20

/**
 * Prepares renditions; ffmpeg starts when the first one's bytes are asked for, so those that nobody reads leave nothing
 * behind. Of a copy that would play badly, that stream is encoded instead.
 */
export async function makeRenditions(
  host: ToolHost,
  input: MediaInput,
  info: MediaInfo,
  plans: readonly RenditionPlan[],
  progress: (doneMs: number) => void,
  signal: AbortSignal,
): Promise<RenditionOutput[]> {
  const chosen: ChosenRendition[] = []
  for (const plan of plans) {
    const picture = info.streams.find(({ index }) => index === plan.videoStream)
    const isSparse = (picture?.framesPerSecond ?? SPARSE_FRAMES_PER_SECOND) < SPARSE_FRAMES_PER_SECOND
    chosen.push({ ...(await chooseModes(host, input, info, plan, signal)), isSparse })
  }
  const alongside = chosen.some(({ videoMode }) => videoMode === 'copy') ? picturesAlongside(input, info) : NO_PICTURES
  const [mostBytes = 0, ...furtherBytes] = chosen.map((plan) => outputLimit(input, info, plan))
  const run = {
    program: 'ffmpeg' as const,
    argumentList: (url: string) => renditionsArguments(url, host.limits, chosen, alongside.plans),
    input,
    wallMs: info.durationMs * WALL_FACTOR + SLACK_MS,
    outputBytes: mostBytes,
    furtherBytes: [...furtherBytes, ...alongside.furtherBytes],
  }
  const outputs = runTogether(host, run, signal)
  const kept = alongside.keep(outputs.splice(chosen.length))
  return outputs.map((bytes, i) => new Rendition(bytes, i === 0 ? progress : () => undefined, kept))
}

class Rendition implements RenditionOutput {
  readonly bytes: AsyncIterable<Uint8Array>
  #index: PlaybackIndex | undefined

  constructor(output: ToolOutput, progress: (doneMs: number) => void, ended: Promise<void>) {
    this.bytes = this.#indexed(output, progress, ended)
  }

  async *#indexed(output: ToolOutput, progress: (doneMs: number) => void, ended: Promise<void>): ToolOutput {
    const indexer = new FragmentIndexer()
    for await (const chunk of output) {
      indexer.push(chunk, progress)
      yield chunk
      freeAtOnce(chunk)
    }
    if (indexer.segmentCount === 0) {
      throw new MosaikError('E_MEDIA_UNREADABLE', 'no picture and no sound could be read from the file')
    }
    this.#index = indexer.finish()
    await ended
  }

  index(): PlaybackIndex {
    if (this.#index === undefined) throw new MosaikError('E_INTERNAL', 'the index of a rendition is known at its end')
    return this.#index
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
