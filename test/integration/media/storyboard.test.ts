import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFfmpegTool } from '../../../src/adapters/ffmpeg/tool.ts'
import { planStoryboard, type StoryboardPlan } from '../../../src/domain/storyboard.ts'
import type { MediaTool } from '../../../src/ports/media.ts'
import * as fixtures from '../../support/media-fixtures.ts'

const { signal } = new AbortController()
let tool: MediaTool
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mosaik-storyboard-'))
  tool = await createFfmpegTool(fixtures.testHost())
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A film that is red for four seconds, then green, then blue. */
function film(name: string, size: string, encode: readonly string[]): string {
  const path = join(folder, name)
  const colours = ['red', 'lime', 'blue'].flatMap((colour) => [
    '-f',
    'lavfi',
    '-i',
    `color=${colour}:s=${size}:r=25:d=4`,
  ])
  const joined = ['-filter_complex', '[0][1][2]concat=n=3:v=1:a=0,format=yuv420p']
  execFileSync('ffmpeg', ['-nostdin', '-v', 'error', '-y', ...colours, ...joined, ...encode, path])
  return path
}

/** The colour in the middle of each small picture, as the most of red, green and blue. */
function middles(jpeg: Uint8Array, plan: StoryboardPlan): string {
  const path = join(folder, 'sprite.jpg')
  writeFileSync(path, jpeg)
  const width = plan.columns * plan.tileWidth
  const raw = ['-f', 'rawvideo', '-pix_fmt', 'rgb24', 'pipe:1']
  const pixels = execFileSync('ffmpeg', ['-v', 'error', '-i', path, ...raw], { maxBuffer: 64 * 1024 * 1024 })
  expect(pixels.length).toBe(width * plan.rows * plan.tileHeight * 3)
  return Array.from({ length: plan.tilesCount }, (_, tile) => {
    const x = (tile % plan.columns) * plan.tileWidth + plan.tileWidth / 2
    const y = Math.floor(tile / plan.columns) * plan.tileHeight + plan.tileHeight / 2
    const rgb = [0, 1, 2].map((part) => pixels[(y * width + x) * 3 + part] ?? 0)
    return 'rgb'[rgb.indexOf(Math.max(...rgb))]
  }).join('')
}

async function storyboard(path: string, change: Partial<StoryboardPlan> = {}) {
  const input = await fixtures.fileInput(path)
  const found = planStoryboard(await tool.probe(input, signal))
  if (found === undefined) throw new Error('no plan')
  const plan = { ...found, ...change }
  return { plan, jpeg: await tool.storyboard(input, plan, signal) }
}

test('each small picture is of its time, in rows of ten', async () => {
  const { plan, jpeg } = await storyboard(film('wide.mp4', '1280x720', ['-c:v', 'libx264', '-preset', 'ultrafast']))
  expect(plan).toMatchObject({ tileWidth: 160, tileHeight: 90, columns: 10, rows: 2, tilesCount: 12, intervalMs: 1000 })
  expect(middles(jpeg, plan)).toBe('rrrrggggbbbb')
})

test('also of VP8 upright, and of few key frames', async () => {
  const vp8 = ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '16', '-b:v', '100k', '-g', '500']
  const { plan, jpeg } = await storyboard(film('upright.webm', '180x320', vp8))
  expect(plan).toMatchObject({ tileWidth: 68, tileHeight: 120 })
  expect(middles(jpeg, plan)).toBe('rrrrggggbbbb')
})

test('by key frames alone, as for long recordings, the pictures keep their times', async () => {
  const path = film('keys.mp4', '640x360', [
    '-c:v',
    'libx264',
    '-preset',
    'ultrafast',
    '-g',
    '50',
    '-sc_threshold',
    '0',
  ])
  const { plan, jpeg } = await storyboard(path, { keyFramesOnly: true })
  expect(middles(jpeg, plan)).toBe('rrrrggggbbbb')
})
