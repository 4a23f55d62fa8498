import { describe, expect, it } from 'vitest'
import type { PlannableStream } from '../../../src/domain/media-plan.ts'
import { planStoryboard, storyboardCues } from '../../../src/domain/storyboard.ts'

const video: PlannableStream = {
  ...{ index: 1, type: 'video', codec: 'h264', profile: null, language: 'und', title: '', width: 1920, height: 1080 },
  ...{ pixelFormat: null, bitsPerSecond: null, rotationDegrees: 0 },
}
const plan = (durationMs: number, size: { width?: number; height?: number } = {}) =>
  planStoryboard({ format: 'mov', durationMs, streams: [{ ...video, ...size }] })

describe('a storyboard', () => {
  it.each([
    [60_000, 60, 1000],
    [100_000, 100, 1000],
    [100_001, 51, 2000],
    [3_600_000, 100, 36_000],
    [7_322_500, 99, 74_000],
    [86_400_000, 100, 864_000],
  ])('of %i ms has %i pictures, one every %i ms', (durationMs, tilesCount, intervalMs) => {
    expect(plan(durationMs)).toMatchObject({ tilesCount, intervalMs, columns: 10, rows: Math.ceil(tilesCount / 10) })
  })

  it.each([
    [{ width: 1280, height: 720 }, 160, 90],
    [{ width: 640, height: 480 }, 160, 120],
    [{ width: 720, height: 1280 }, 68, 120],
    [{ width: 5000, height: 10 }, 160, 2],
    [{ width: 40, height: 40 }, 120, 120],
  ])('of %o has small pictures of %i by %i', (size, tileWidth, tileHeight) => {
    expect(plan(60_000, size)).toMatchObject({ tileWidth, tileHeight })
  })

  it('is not made of sound, nor where there is one picture', () => {
    expect(
      planStoryboard({ format: 'mov', durationMs: 60_000, streams: [{ ...video, type: 'audio' }] }),
    ).toBeUndefined()
    expect(plan(1000)).toBeUndefined()
    expect(plan(0)).toBeUndefined()
    expect(plan(Number.NaN)).toBeUndefined()
  })

  it('names each picture by time and place', () => {
    const text = storyboardCues(plan(7_322_500)!, 7_322_500)
    const cues = text.split('\n\n')
    expect(cues[0]).toBe('WEBVTT')
    expect(cues).toHaveLength(100)
    expect(cues[1]).toBe('00:00:00.000 --> 00:01:14.000\nstoryboard.jpg#xywh=0,0,160,90')
    expect(cues[12]).toBe('00:13:34.000 --> 00:14:48.000\nstoryboard.jpg#xywh=160,90,160,90')
    expect(cues[99]).toBe('02:00:52.000 --> 02:02:02.500\nstoryboard.jpg#xywh=1280,810,160,90\n')
  })
})
