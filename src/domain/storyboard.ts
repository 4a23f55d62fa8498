import type { PlannableMedia } from './media-plan.ts'

/** Small pictures of a recording at even distances, side by side in one picture (docs/FORMAT.md §7, "storyboard"). */
export interface StoryboardPlan {
  readonly videoStream: number
  /** Of one small picture; always even. */
  readonly tileWidth: number
  readonly tileHeight: number
  readonly columns: number
  readonly rows: number
  readonly tilesCount: number
  readonly intervalMs: number
  /** Only key frames are decoded: a long recording is looked through in seconds, and a picture is at most one key frame old. */
  readonly keyFramesOnly: boolean
}

const TILE_MAX_WIDTH = 160
const TILE_MAX_HEIGHT = 120
const MAX_TILES = 100
const MAX_COLUMNS = 10
/** Whole seconds: nobody aims closer on a seek bar. */
const INTERVAL_STEP_MS = 1000
/** Longer recordings are looked at by their key frames. */
const WHOLE_DECODE_MS = 10 * 60_000

/** Name under which the thumbnails' WebVTT refers to the sprite; a player finds it beside the text. */
export const SPRITE_FILE = 'storyboard.jpg'

/** `undefined` without video, and where there would be one picture only. */
export function planStoryboard({ durationMs, streams }: PlannableMedia): StoryboardPlan | undefined {
  const video = streams.find(({ type }) => type === 'video')
  if (video === undefined || video.width < 1 || video.height < 1) return undefined
  const intervalMs = Math.max(1, Math.ceil(durationMs / MAX_TILES / INTERVAL_STEP_MS)) * INTERVAL_STEP_MS
  const tilesCount = Math.ceil(durationMs / intervalMs)
  if (!Number.isFinite(tilesCount) || tilesCount < 2) return undefined
  const scale = Math.min(TILE_MAX_WIDTH / video.width, TILE_MAX_HEIGHT / video.height)
  const columns = Math.min(MAX_COLUMNS, tilesCount)
  return {
    videoStream: video.index,
    tileWidth: even(video.width * scale),
    tileHeight: even(video.height * scale),
    columns,
    rows: Math.ceil(tilesCount / columns),
    tilesCount,
    intervalMs,
    keyFramesOnly: durationMs > WHOLE_DECODE_MS,
  }
}

/** The WebVTT that says which part of the sprite belongs to which time, by media fragments (`#xywh=`). */
export function storyboardCues(plan: StoryboardPlan, durationMs: number): string {
  const cues = Array.from({ length: plan.tilesCount }, (_, tile) => {
    const endMs = Math.min(durationMs, (tile + 1) * plan.intervalMs)
    const x = (tile % plan.columns) * plan.tileWidth
    const y = Math.floor(tile / plan.columns) * plan.tileHeight
    const place = `${SPRITE_FILE}#xywh=${x},${y},${plan.tileWidth},${plan.tileHeight}`
    return `${clock(tile * plan.intervalMs)} --> ${clock(endMs)}\n${place}\n`
  })
  return `WEBVTT\n\n${cues.join('\n')}`
}

function even(pixels: number): number {
  return Math.max(2, Math.round(pixels / 2) * 2)
}

function clock(ms: number): string {
  const two = (count: number): string => String(count).padStart(2, '0')
  const whole = Math.floor(ms / 1000)
  const rest = String(Math.floor(ms % 1000)).padStart(3, '0')
  return `${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}.${rest}`
}
