import type { PlaybackIndex } from '../domain/recording.ts'
import type { StoryboardPlan } from '../domain/storyboard.ts'
import type { SoundTrack } from '../domain/track.ts'

/**
 * A file in the vault that can be read at any place. Nothing else of it is ever on a disk.
 */
export interface MediaInput {
  readonly sizeBytes: number
  /** Plaintext bytes [start, end); chunks belong to the caller. */
  read(startBytes: number, endBytes: number, signal: AbortSignal): AsyncIterable<Uint8Array<ArrayBuffer>>
  /** As `AssetReader.recycle`. */
  readonly recycle?: (chunk: Uint8Array<ArrayBuffer>) => void
}

export interface MediaStream {
  readonly index: number
  readonly type: 'video' | 'audio' | 'text' | 'other'
  /** ffmpeg's codec name, for example "h264", "aac", "vp9", "mov_text". */
  readonly codec: string
  readonly profile: string | null
  /** RFC 5646; "und" when unknown. */
  readonly language: string
  /** As the file calls the track, for sound and text; '' when it does not. Content: never log. */
  readonly title: string
  /** Displayed size after rotation and sample aspect ratio; 0 for others than video. */
  readonly width: number
  readonly height: number
  readonly pixelFormat: string | null
  readonly bitsPerSecond: number | null
  readonly rotationDegrees: number
  /** On average; absent when unknown. */
  readonly framesPerSecond?: number
}

export interface MediaInfo {
  /** ffmpeg's format names, for example "mov,mp4,m4a,3gp,3g2,mj2". */
  readonly format: string
  readonly durationMs: number
  readonly streams: readonly MediaStream[]
}

/** One rendition to make. `copy`: remuxed as it is; `none`: the stream is null. */
export interface RenditionPlan {
  /** "720p", "360p", "audio", "audio 2": holds nothing of the content. */
  readonly name: string
  /** Which of several sound tracks a rendition without a picture is. */
  readonly track: SoundTrack | null
  readonly videoMode: 'copy' | 'encode' | 'none'
  readonly audioMode: 'copy' | 'encode' | 'none'
  /** 0 without video; always even. */
  readonly width: number
  readonly height: number
  readonly videoStream: number | null
  readonly audioStream: number | null
  readonly videoBitsPerSecond: number
  readonly audioBitsPerSecond: number
}

/** The rendition as it runs: its bytes, then its index. */
export interface RenditionOutput {
  /** Fragmented MP4, one file. Ends only when the tool ended well; else it throws. A chunk is the caller's until the next one is asked for. */
  readonly bytes: AsyncIterable<Uint8Array>
  /** Byte ranges, complete once `bytes` ended. */
  index(): PlaybackIndex
}

/**
 * The media tool (ffmpeg). It reads through `input` only, writes into memory only, is limited in time, memory and output, and dies
 * with its whole process group when `signal` aborts.
 *
 * @throws E_MEDIA_UNREADABLE (not media, broken: with the reason in plain words), E_MEDIA_UNSUPPORTED, E_MEDIA_LIMIT (too long, too large, absurd), E_MEDIA_TOOL (the tool itself failed: try again)
 */
export interface MediaTool {
  probe(input: MediaInput, signal: AbortSignal): Promise<MediaInfo>
  /**
   * Renditions of one run, one for each plan, with the input read once. The run begins when the first one's bytes are asked for; they are to
   * be taken side by side, since one that nobody takes holds up the others, and when one fails or is left, all of them fail. Where it costs
   * little, the run makes poster and storyboard too, which `poster` and `storyboard` then have; when that run fails, the next one does not.
   *
   * @param progress told the time up to which the first one is made.
   */
  renditions(
    input: MediaInput,
    info: MediaInfo,
    plans: readonly RenditionPlan[],
    progress: (doneMs: number) => void,
    signal: AbortSignal,
  ): Promise<readonly RenditionOutput[]>
  /** One JPEG, at most 1280 wide. `undefined` without video. */
  poster(input: MediaInput, info: MediaInfo, signal: AbortSignal): Promise<Uint8Array | undefined>
  /** The plan's small pictures, row by row in one JPEG. */
  storyboard(input: MediaInput, plan: StoryboardPlan, signal: AbortSignal): Promise<Uint8Array>
  /** A text track of the input as WebVTT. */
  captions(input: MediaInput, streamIndex: number, signal: AbortSignal): Promise<Uint8Array>
  /** How it is confined: "bubblewrap" or "loopback"; the doctor shows it. */
  readonly confinement: string
}
