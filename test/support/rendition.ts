import type { MediaInfo, MediaInput, MediaTool, RenditionOutput, RenditionPlan } from '../../src/ports/media.ts'

/** One rendition in a run of its own. */
export async function renditionAlone(
  tool: MediaTool,
  input: MediaInput,
  info: MediaInfo,
  plan: RenditionPlan,
  progress: (doneMs: number) => void,
  signal: AbortSignal,
): Promise<RenditionOutput> {
  const [output] = await tool.renditions(input, info, [plan], progress, signal)
  if (output === undefined) throw new Error('no rendition for the plan')
  return output
}

/** Renditions of a pretended tool, each made by itself. */
export function eachAlone(
  make: (
    plan: RenditionPlan,
    ...given: Parameters<MediaTool['renditions']>
  ) => RenditionOutput | Promise<RenditionOutput>,
): MediaTool['renditions'] {
  return (...given) => Promise.all(given[2].map(async (plan) => await make(plan, ...given)))
}
