/**
 * Every argument list the media tool is ever given, and the only file that knows fluent-ffmpeg.
 *
 * fluent-ffmpeg is archived. It is used for one thing, to put options of inputs and outputs in the order ffmpeg wants
 * them (`_getArguments`, which is typed and does not start anything); it never runs a process here. To replace it,
 * rewrite `command` below: its callers only see lists of text. ffprobe, which it builds no arguments for, is done by
 * hand.
 */
import fluent from 'fluent-ffmpeg'
import type { StoryboardPlan } from '../../domain/storyboard.ts'
import type { RenditionPlan } from '../../ports/media.ts'

/** A key frame is forced this often when we encode; a media segment is one such group. */
export const SEGMENT_SECONDS = 4
/** Sound waits in memory for a picture for as long, where pictures are rare: some 50 MB. */
const SPARSE_WAIT_SECONDS = 3600

/**
 * Containers that may be read: recordings, and nothing that can name another file or address (no hls, dash, concat,
 * sdp, image2, lavfi …). Names as ffmpeg's demuxers carry them.
 */
export const FORMAT_WHITELIST =
  'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,mp3,wav,w64,aiff,flv,live_flv,avi,asf,mpegts,mpeg,aac,ac3,eac3,flac'

/** Limits the tool itself keeps, in front of those of the process. */
export interface ToolLimits {
  readonly maxAllocationBytes: number
  readonly maxPixels: number
  readonly threads: number
}

type Options = readonly (string | number)[]

function flat(options: Options): string[] {
  return options.map(String)
}

/** The first output goes to standard output, further ones to `pipe:3` and so on, as `ToolRun` has them. */
function command(inputs: readonly (readonly [url: string, options: Options])[], outputs: readonly Options[]): string[] {
  const builder = fluent()
  // Options are handed over one by one: given as a list, fluent-ffmpeg splits those with a space in them.
  for (const [url, options] of inputs) builder.input(url).inputOptions(...flat(options))
  for (const [i, options] of outputs.entries()) {
    builder.output(`pipe:${String(i === 0 ? 1 : i + 2)}`).outputOptions(...flat(options))
  }
  return builder._getArguments().filter((argument) => argument !== '-y')
}

/** What applies to all reading, by ffmpeg and ffprobe alike. */
function reading(limits: ToolLimits): Options {
  return [
    ...['-hide_banner', '-loglevel', 'error', '-max_alloc', limits.maxAllocationBytes],
    ...['-protocol_whitelist', 'http,tcp', '-format_whitelist', FORMAT_WHITELIST],
    ...['-probesize', 16 * 1024 * 1024, '-analyzeduration', '15M', '-max_streams', 64],
  ]
}

function ffmpegReading(limits: ToolLimits): Options {
  return ['-nostdin', '-nostats', ...reading(limits), '-max_pixels', limits.maxPixels, '-threads', limits.threads]
}

/** Nothing of the original's titles, of this machine, or of the time goes into an output. */
const anonymous: Options = [
  ...['-map_metadata', '-1', '-map_metadata:s', '-1', '-map_chapters', '-1'],
  ...['-fflags', '+bitexact', '-flags:v', '+bitexact', '-flags:a', '+bitexact'],
]

/** ffprobe: format and streams as JSON; of the tags only those we use. */
export function probeArguments(url: string, limits: ToolLimits): string[] {
  const entries = [
    'format=format_name,duration,bit_rate,start_time',
    'stream=index,codec_type,codec_name,profile,width,height,sample_aspect_ratio,pix_fmt,sample_rate,bit_rate,duration,avg_frame_rate,r_frame_rate',
    'stream_tags=language,title,rotate,BPS,BPS-eng',
    'stream_disposition=default,attached_pic,timed_thumbnails',
    'stream_side_data=rotation',
  ]
  return flat([...reading(limits), '-of', 'json', '-show_entries', entries.join(':'), url])
}

/** ffprobe: kind, stream, time and length of every packet, for files that do not say how long they are. */
export function scanArguments(url: string, limits: ToolLimits): string[] {
  const entries = 'packet=codec_type,stream_index,pts_time,dts_time,duration_time'
  return flat([...reading(limits), '-of', 'csv=p=0', '-show_entries', entries, url])
}

/**
 * ffprobe: lines of "packet" with stream, time, length and flags, in one place of the file after the other; of its key frames, decoded,
 * also "frame" with stream, width and height.
 */
export function placesArguments(
  url: string,
  limits: ToolLimits,
  startsMs: readonly number[],
  lengthMs: number,
): string[] {
  // From the beginning without a jump: not every damaged file allows one.
  const places = startsMs.map((startMs) => `${startMs === 0 ? '' : seconds(startMs)}%+${seconds(lengthMs)}`)
  return flat([
    ...reading(limits),
    ...['-skip_frame:v', 'nokey', '-of', 'csv=p=1', '-show_entries'],
    'packet=stream_index,pts_time,dts_time,duration_time,flags:frame=stream_index,width,height',
    ...['-read_intervals', places.join(','), url],
  ])
}

/** How a rendition is made once its source was looked at. */
export interface ChosenRendition extends RenditionPlan {
  /**
   * Frames are seconds or minutes apart: nothing on the way keeps some back, and sound waits for them. What is ahead of the first picture all
   * comes into the first fragment, whose header would else be too large (see `fragments`).
   */
  readonly isSparse: boolean
}

/** Small pictures that come out of the run of a rendition whose picture is copied: nothing else is decoded in it. */
export interface PicturesAlongside {
  readonly poster: PosterPlan
  readonly storyboard: StoryboardPlan | undefined
}

/** ffmpeg: renditions as fragmented MP4 out of one reading, an output each; behind them poster and storyboard, if they come along. */
export function renditionsArguments(
  url: string,
  limits: ToolLimits,
  renditions: readonly ChosenRendition[],
  pictures?: PicturesAlongside,
): string[] {
  const storyboard = pictures?.storyboard
  return command(
    [
      [url, [...ffmpegReading(limits), ...(storyboard === undefined ? [] : decodingFor(storyboard))]],
      ...(pictures === undefined ? [] : [[url, posterReading(limits, pictures.poster)] as const]),
    ],
    [
      ...renditions.map((rendition) => renditionOutput(limits, rendition)),
      ...(pictures === undefined ? [] : [posterOutput(pictures.poster, 1)]),
      ...(storyboard === undefined ? [] : [storyboardOutput(storyboard)]),
    ],
  )
}

function renditionOutput(limits: ToolLimits, plan: ChosenRendition): Options {
  return [
    ...maps([plan.videoStream, plan.audioStream]),
    ...anonymous,
    // Sound that begins late holds back the picture in memory until then.
    ...['-max_muxing_queue_size', 4096, '-muxing_queue_data_threshold', 256 * 1024 * 1024],
    ...(plan.videoMode === 'copy' ? ['-c:v', 'copy'] : []),
    ...(plan.videoMode === 'encode'
      ? [
          ...encodeVideo(plan, limits),
          ...(plan.isSparse ? ['-tune', 'zerolatency', '-max_interleave_delta', SPARSE_WAIT_SECONDS * 1_000_000] : []),
        ]
      : []),
    // Sound from MPEG-TS carries its description in each packet; MP4 wants it once. Others pass through unchanged.
    ...(plan.audioMode === 'copy' ? ['-c:a', 'copy', '-bsf:a', 'aac_adtstoasc'] : []),
    ...(plan.audioMode === 'encode' ? encodeAudio(plan) : []),
    ...fragments(plan.videoStream !== null),
    ...['-f', 'mp4'],
  ]
}

function maps(streams: readonly (number | null)[]): Options {
  return [...streams.flatMap((index) => (index === null ? [] : ['-map', `0:${String(index)}`])), '-dn', '-sn']
}

const DEINTERLACE = "scale=w='max(iw,4)':h='max(ih,4)',yadif=deint=interlaced,"

/**
 * H.264 that everything plays. Frames keep the times they have (recordings of calls have varying frame rates), at most
 * 60 a second, 30 of a small picture; a key frame every four seconds and nowhere else, so that all renditions have the same segments. No
 * B-frames: without an edit list they delay the first picture by two frames, which at one frame a second is long.
 * yadif keeps a frame back, and wants three lines and columns at least.
 */
function encodeVideo(plan: ChosenRendition, limits: ToolLimits): Options {
  const kbit = (bitsPerSecond: number): string => `${String(Math.round(bitsPerSecond / 1000))}k`
  return [
    ...['-filter:v', `${plan.isSparse ? '' : DEINTERLACE}${fitted(plan.width, plan.height)},setsar=1,format=yuv420p`],
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'high', '-crf', 23, '-bf', 0],
    ...['-maxrate', kbit(plan.videoBitsPerSecond), '-bufsize', kbit(plan.videoBitsPerSecond * 2)],
    ...['-fps_mode', 'vfr', '-fpsmax', Math.min(plan.width, plan.height) < 720 ? 30 : 60],
    ...['-force_key_frames', `expr:gte(t,n_forced*${String(SEGMENT_SECONDS)})`, '-sc_threshold', 0, '-g', 6000],
    ...['-threads:v', limits.threads],
  ]
}

/**
 * Scales a picture into the size; one of another shape, which comes when a recording changes its size on the way, keeps
 * its shape between black bars. A difference in shape of a fiftieth is the rounding of our even sizes. `dar` knows of
 * pixels that are not square; the filter begins anew with each size.
 */
function fitted(width: number, height: number): string {
  const [w, h] = [String(width), String(height)]
  const sameShape = `lt(abs(dar*${h}/${w}-1),0.02)`
  const across = `if(${sameShape},${w},max(2,min(${w},2*round(${h}*dar/2))))`
  const down = `if(${sameShape},${h},max(2,min(${h},2*round(${w}/dar/2))))`
  return `scale=w='${across}':h='${down}':flags=bicubic,pad=${w}:${h}:-1:-1`
}

/**
 * AAC stereo; holes in the sound become silence, so that it stays with the picture. Not `async=1000`, which would also
 * stretch: with `first_pts` its times fall back to zero after some minutes (ffmpeg 5.1).
 */
function encodeAudio(plan: RenditionPlan): Options {
  return [
    ...['-filter:a', 'aresample=async=1:first_pts=0', '-c:a', 'aac', '-ac', 2, '-ar', 48_000],
    ...['-b:a', plan.audioBitsPerSecond],
  ]
}

/**
 * A fragment begins at a key frame. `delay_moov`: the initialisation section waits for the first packets, because some
 * inputs (MPEG-TS) only then tell what their sound is. No edit list, which players of fragments do not read: times are
 * shifted to begin at zero instead (of what begins later, the first sample is prolonged). Sound on its own is not
 * shifted, it has the clock of the renditions with a picture; `frag_discont` keeps its beginning. No index at the end:
 * ours replaces it.
 *
 * Long groups of pictures, and sound after the last picture, are cut by time as well (the index puts what does not
 * begin with a key frame together again): a fragment's header that does not fit into ffmpeg's buffer of 32 KiB comes
 * out of a pipe with a size of zero.
 */
function fragments(hasVideo: boolean): Options {
  const flags = `+empty_moov+delay_moov+default_base_moof+skip_trailer${hasVideo ? '+frag_keyframe' : '+frag_discont'}`
  const longestSeconds = hasVideo ? 2 * SEGMENT_SECONDS : SEGMENT_SECONDS
  return [
    ...['-movflags', flags, '-use_editlist', 0],
    ...['-avoid_negative_ts', hasVideo ? 'make_zero' : 'make_non_negative'],
    ...['-frag_duration', longestSeconds * 1_000_000],
  ]
}

export interface PosterPlan {
  readonly streamIndex: number
  readonly atMs: number
  readonly width: number
  readonly height: number
  readonly skipDark: boolean
}

/** ffmpeg: one JPEG from about `atMs`; with `skipDark`, the first picture from there on that is not black, or none. */
export function posterArguments(url: string, limits: ToolLimits, poster: PosterPlan): string[] {
  return command([[url, posterReading(limits, poster)]], [posterOutput(poster, 0)])
}

function posterReading(limits: ToolLimits, { atMs }: PosterPlan): Options {
  return [...ffmpegReading(limits), '-ss', seconds(atMs), '-t', 30]
}

function posterOutput(poster: PosterPlan, input: number): Options {
  const scaled = `scale=${String(poster.width)}:${String(poster.height)}:flags=bicubic,setsar=1,format=yuvj420p`
  const bright = 'fps=2,signalstats,metadata=mode=select:key=lavfi.signalstats.YAVG:value=12:function=greater'
  return [
    ...['-map', `${String(input)}:${String(poster.streamIndex)}`, ...anonymous],
    ...['-filter:v', poster.skipDark ? `${scaled},${bright}` : scaled],
    ...['-frames:v', 1, '-c:v', 'mjpeg', '-q:v', 3, '-f', 'mjpeg'],
  ]
}

/**
 * ffmpeg: small pictures at even distances, side by side in one JPEG. Frames are repeated where the film has none for a
 * while, and after its last one, so that the n-th picture belongs to the n-th interval.
 */
export function storyboardArguments(url: string, limits: ToolLimits, plan: StoryboardPlan): string[] {
  return command([[url, [...ffmpegReading(limits), ...decodingFor(plan)]]], [storyboardOutput(plan)])
}

function decodingFor({ keyFramesOnly }: StoryboardPlan): Options {
  return keyFramesOnly ? ['-skip_frame:v', 'nokey'] : []
}

function storyboardOutput(plan: StoryboardPlan): Options {
  const small = `scale=${String(plan.tileWidth)}:${String(plan.tileHeight)}:flags=bicubic,setsar=1,format=yuvj420p`
  const paced = `fps=1000/${String(plan.intervalMs)}:start_time=0`
  const toTheEnd = `tpad=stop_mode=clone:stop=${String(plan.tilesCount)}`
  const tiled = `tile=${String(plan.columns)}x${String(plan.rows)}:nb_frames=${String(plan.tilesCount)}`
  return [
    ...['-map', `0:${String(plan.videoStream)}`, ...anonymous],
    ...['-filter:v', `${paced},${small},${toTheEnd},${tiled}`],
    ...['-frames:v', 1, '-c:v', 'mjpeg', '-q:v', 5, '-f', 'mjpeg'],
  ]
}

/** ffmpeg: one text track as WebVTT. */
export function captionArguments(url: string, limits: ToolLimits, streamIndex: number): string[] {
  const text = ['-map', `0:${String(streamIndex)}`, ...anonymous, '-c:s', 'webvtt', '-f', 'webvtt']
  return command([[url, ffmpegReading(limits)]], [text])
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3)
}
