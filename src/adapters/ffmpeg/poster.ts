import { isMosaikError } from '../../domain/errors.ts'
import type { MediaInfo, MediaInput } from '../../ports/media.ts'
import { posterArguments, type PosterPlan } from './arguments.ts'
import { runForBytes } from './run.ts'
import type { ToolHost } from './run.ts'

/** No poster is wider. */
export const POSTER_MAX_WIDTH = 1280
const POSTER_MAX_HEIGHT = 1280
const POSTER_WALL_MS = 3 * 60_000
export const POSTER_OUTPUT_BYTES = 4 * 1024 * 1024

/** Where a poster is looked for, one place after the other; nowhere without video. */
export function posterTries({ durationMs, streams }: MediaInfo): PosterPlan[] {
  const video = streams.find((stream) => stream.type === 'video')
  if (video === undefined) return []
  const scale = Math.min(1, POSTER_MAX_WIDTH / video.width, POSTER_MAX_HEIGHT / video.height)
  const size = {
    streamIndex: video.index,
    width: Math.max(2, Math.round((video.width * scale) / 2) * 2),
    height: Math.max(2, Math.round((video.height * scale) / 2) * 2),
  }
  return [
    { ...size, atMs: durationMs / 10, skipDark: true },
    { ...size, atMs: durationMs / 10, skipDark: false },
    { ...size, atMs: 0, skipDark: false },
  ]
}

/**
 * One JPEG: the first picture from a tenth of the recording on that is not black; where all are black for half a
 * minute, or where the file cannot be sought, one from the beginning. `undefined` without video.
 */
export async function makePoster(
  host: ToolHost,
  input: MediaInput,
  info: MediaInfo,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  let failure: unknown
  for (const poster of posterTries(info)) {
    try {
      const jpeg = await runForBytes(
        host,
        {
          program: 'ffmpeg',
          argumentList: (url) => posterArguments(url, host.limits, poster),
          input,
          wallMs: POSTER_WALL_MS,
          outputBytes: POSTER_OUTPUT_BYTES,
        },
        signal,
      )
      if (jpeg.byteLength > 0) return new Uint8Array(jpeg)
    } catch (error) {
      // A place that cannot be decoded is no reason to look no further; being stopped is.
      if (!isMosaikError(error, 'E_MEDIA_UNREADABLE', 'E_MEDIA_TOOL')) throw error
      failure = error
    }
  }
  if (failure !== undefined) throw failure
  return undefined
}
