import { captionsMaxBytes, normaliseCaptions } from '../../domain/captions.ts'
import type { MediaInput, MediaTool } from '../../ports/media.ts'
import type { Clock, Log, Random } from '../../ports/system.ts'
import { captionArguments } from './arguments.ts'
import { keptPoster, keptStoryboard } from './pictures-alongside.ts'
import { makePoster } from './poster.ts'
import { mediaLimits, probeMedia } from './probe.ts'
import { makeRenditions } from './rendition.ts'
import { runForBytes } from './run.ts'
import type { ToolHost } from './run.ts'
import { DEFAULT_SEARCH_PATH, detectConfinement, findPrograms } from './sandbox.ts'
import { makeStoryboard } from './storyboard.ts'

/** What the ffmpeg tool is made of. Everything below `log` has a default that suits a server. */
export interface FfmpegToolOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Folders that ffmpeg and its helpers are looked for in, and the PATH they get. */
  readonly searchPath?: string
  /** Where folders (mode 0700) for sockets are made; the path has to be short. Default "/tmp". */
  readonly socketFolder?: string
  /** Threads of one decoder, and of one encoder. Default 2. */
  readonly threads?: number
  /** Address space of one run. Default 4 GiB. */
  readonly memoryBytes?: number
  /** "auto" takes bubblewrap where it works; "bubblewrap" demands it. */
  readonly confinement?: 'auto' | 'bubblewrap' | 'loopback'
}

const GIB = 1024 ** 3
const CAPTIONS_WALL_MS = 60 * 60_000

/**
 * The media tool on ffmpeg: finds it, finds out how it can be confined, and says both in the log.
 *
 * @throws E_SETUP naming what to install; or that it cannot be confined, when bubblewrap is demanded.
 */
export async function createFfmpegTool(options: FfmpegToolOptions): Promise<MediaTool> {
  const searchPath = options.searchPath ?? DEFAULT_SEARCH_PATH
  const memoryBytes = options.memoryBytes ?? 4 * GIB
  const programs = await findPrograms(searchPath)
  const { confinement, reason, startMs } = await detectConfinement({
    programs,
    clock: options.clock,
    searchPath,
    socketFolder: options.socketFolder ?? '/tmp',
    memoryBytes,
    wanted: options.confinement ?? 'auto',
  })
  options.log.info('media.confinement', { confinement: confinement.name, reason, startMs: Math.round(startMs) })
  const host: ToolHost = {
    clock: options.clock,
    random: options.random,
    log: options.log,
    programs,
    confinement,
    searchPath,
    limits: {
      maxAllocationBytes: Math.min(GIB, memoryBytes),
      maxPixels: mediaLimits.pixels,
      threads: options.threads ?? 2,
    },
  }
  return {
    confinement: confinement.name,
    probe: (input, signal) => probeMedia(host, input, signal),
    renditions: (input, info, plans, progress, signal) => makeRenditions(host, input, info, plans, progress, signal),
    poster: async (input, info, signal) => keptPoster(input) ?? (await makePoster(host, input, info, signal)),
    storyboard: async (input, plan, signal) =>
      keptStoryboard(input, plan) ?? (await makeStoryboard(host, input, plan, signal)),
    captions: (input, streamIndex, signal) => extractCaptions(host, input, streamIndex, signal),
  }
}

async function extractCaptions(
  host: ToolHost,
  input: MediaInput,
  streamIndex: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const text = await runForBytes(
    host,
    {
      program: 'ffmpeg',
      argumentList: (url) => captionArguments(url, host.limits, streamIndex),
      input,
      wallMs: CAPTIONS_WALL_MS,
      outputBytes: captionsMaxBytes,
    },
    signal,
  )
  return normaliseCaptions(text, { skipBadCues: true })
}
