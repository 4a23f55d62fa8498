import type { StoryboardPlan } from '../../domain/storyboard.ts'
import type { MediaInput } from '../../ports/media.ts'
import { MosaikError } from '../../domain/errors.ts'
import { storyboardArguments } from './arguments.ts'
import { knownKeyFrameGapMs } from './copy-check.ts'
import { runForBytes } from './run.ts'
import type { ToolHost } from './run.ts'

/** Reading a long recording from end to end takes its time; more than this is not worth a nicety. */
const STORYBOARD_WALL_MS = 20 * 60_000
export const STORYBOARD_OUTPUT_BYTES = 4 * 1024 * 1024

/** Decoding every picture takes longer than all the rest of a film that is only remuxed: where key frames are near enough, they do. */
export function withKeyFrames(input: MediaInput, plan: StoryboardPlan): StoryboardPlan {
  const gapMs = knownKeyFrameGapMs(input, plan.videoStream)
  const keyFramesOnly = plan.keyFramesOnly || (gapMs !== undefined && gapMs > 0 && gapMs <= plan.intervalMs)
  return { ...plan, keyFramesOnly }
}

/** The plan's small pictures in one JPEG, in one run of the tool. */
export async function makeStoryboard(
  host: ToolHost,
  input: MediaInput,
  plan: StoryboardPlan,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const jpeg = await runForBytes(
    host,
    {
      program: 'ffmpeg',
      argumentList: (url) => storyboardArguments(url, host.limits, withKeyFrames(input, plan)),
      input,
      wallMs: STORYBOARD_WALL_MS,
      outputBytes: STORYBOARD_OUTPUT_BYTES,
    },
    signal,
  )
  if (jpeg.byteLength === 0) throw new MosaikError('E_MEDIA_UNREADABLE', 'no picture could be decoded')
  return new Uint8Array(jpeg)
}
