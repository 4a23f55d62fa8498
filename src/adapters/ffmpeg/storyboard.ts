import type { StoryboardPlan } from '../../domain/storyboard.ts'
import type { MediaInput } from '../../ports/media.ts'
import { MosaikError } from '../../domain/errors.ts'
import { storyboardArguments } from './arguments.ts'
import { knownKeyFrameGapMs } from './copy-check.ts'
import { runForBytes } from './run.ts'
import type { ToolHost } from './run.ts'

/** Reading a long recording from end to end takes its time; more than this is not worth a nicety. */
const STORYBOARD_WALL_MS = 20 * 60_000
const STORYBOARD_OUTPUT_BYTES = 4 * 1024 * 1024

/** The plan's small pictures in one JPEG, in one run of the tool. */
export async function makeStoryboard(
  host: ToolHost,
  input: MediaInput,
  plan: StoryboardPlan,
  signal: AbortSignal,
): Promise<Uint8Array> {
  // Decoding every picture takes longer than all the rest of a film that is only remuxed.
  const gapMs = knownKeyFrameGapMs(input, plan.videoStream)
  const keyFramesOnly = plan.keyFramesOnly || (gapMs !== undefined && gapMs > 0 && gapMs <= plan.intervalMs)
  const jpeg = await runForBytes(
    host,
    {
      program: 'ffmpeg',
      argumentList: (url) => storyboardArguments(url, host.limits, { ...plan, keyFramesOnly }),
      input,
      wallMs: STORYBOARD_WALL_MS,
      outputBytes: STORYBOARD_OUTPUT_BYTES,
    },
    signal,
  )
  if (jpeg.byteLength === 0) throw new MosaikError('E_MEDIA_UNREADABLE', 'no picture could be decoded')
  return new Uint8Array(jpeg)
}
