import { planStoryboard, type StoryboardPlan } from '../../domain/storyboard.ts'
import type { MediaInfo, MediaInput } from '../../ports/media.ts'
import type { PicturesAlongside } from './arguments.ts'
import { POSTER_OUTPUT_BYTES, posterTries } from './poster.ts'
import type { ToolOutput } from './run.ts'
import { STORYBOARD_OUTPUT_BYTES, withKeyFrames } from './storyboard.ts'

/** The small pictures that a run of renditions is to make on the way, outputs behind those of the renditions. */
export interface Alongside {
  readonly plans: PicturesAlongside | undefined
  readonly furtherBytes: readonly number[]
  /** Takes the outputs as the run goes; ends when they are kept, or when it failed, and never throws. */
  keep(outputs: readonly ToolOutput[]): Promise<void>
}

/** For a run that makes none, and for an input of which none can be made, or which failed with them. */
export const NO_PICTURES: Alongside = { plans: undefined, furtherBytes: [], keep: () => Promise.resolve() }

interface KeptPictures {
  readonly poster: Uint8Array
  readonly storyboard: Uint8Array | undefined
  readonly storyboardPlan: StoryboardPlan | undefined
}

/** What runs have made on their way, until it is asked for: some hundred kilobytes a film. */
const kept = new WeakMap<MediaInput, KeptPictures>()

/** Inputs of which a run with pictures failed. */
const failed = new WeakSet<MediaInput>()

/** Poster and storyboard of a film cost a run of the tool each, which is more than the pictures themselves when another one reads the film anyway. */
export function picturesAlongside(input: MediaInput, info: MediaInfo): Alongside {
  const [poster] = posterTries(info)
  if (poster === undefined || failed.has(input)) return NO_PICTURES
  const storyboardPlan = planStoryboard(info)
  const storyboard = storyboardPlan && withKeyFrames(input, storyboardPlan)
  return {
    plans: { poster, storyboard },
    furtherBytes: [POSTER_OUTPUT_BYTES, ...(storyboard === undefined ? [] : [STORYBOARD_OUTPUT_BYTES])],
    async keep(outputs) {
      try {
        const [first = EMPTY, second] = await Promise.all(outputs.map(wholeOf))
        kept.set(input, { poster: first, storyboard: second, storyboardPlan })
      } catch {
        // The renditions say what was wrong. Should it have been the pictures, the next run does without them.
        failed.add(input)
      }
    },
  }
}

const EMPTY = new Uint8Array(0)

async function wholeOf(output: ToolOutput): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of output) chunks.push(chunk)
  return new Uint8Array(Buffer.concat(chunks))
}

/** The poster that a run has made on its way; undefined where none has, or where its first try found no picture that is not black. */
export function keptPoster(input: MediaInput): Uint8Array | undefined {
  const poster = kept.get(input)?.poster
  return poster?.byteLength === 0 ? undefined : poster
}

/** The storyboard that a run has made on its way, if it is of this plan. */
export function keptStoryboard(input: MediaInput, plan: StoryboardPlan): Uint8Array | undefined {
  const pictures = kept.get(input)
  const isThis = JSON.stringify(pictures?.storyboardPlan) === JSON.stringify(plan)
  return isThis && pictures?.storyboard?.byteLength !== 0 ? pictures?.storyboard : undefined
}
