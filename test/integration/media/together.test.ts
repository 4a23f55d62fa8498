import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { renditionsArguments } from '../../../src/adapters/ffmpeg/arguments.ts'
import { runTogether } from '../../../src/adapters/ffmpeg/run.ts'
import { DEFAULT_SEARCH_PATH, detectConfinement, findPrograms } from '../../../src/adapters/ffmpeg/sandbox.ts'
import { createFfmpegTool } from '../../../src/adapters/ffmpeg/tool.ts'
import { planRenditions, plansByRun } from '../../../src/domain/media-plan.ts'
import { planStoryboard } from '../../../src/domain/storyboard.ts'
import type { MediaInfo, MediaInput, MediaTool, RenditionOutput, RenditionPlan } from '../../../src/ports/media.ts'
import * as fixtures from '../../support/media-fixtures.ts'
import { renditionAlone } from '../../support/rendition.ts'

const { signal } = new AbortController()
const host = fixtures.testHost()
/** Each run of a tool takes a secret of its own, which its arguments hold. */
const secrets: string[] = []
const counting = {
  ...host,
  random: {
    ...host.random,
    bytes(length: number) {
      const bytes = host.random.bytes(length)
      secrets.push(Buffer.from(bytes).toString('hex'))
      return bytes
    },
  },
}
const tools = new Map<string, MediaTool>()

beforeAll(async () => {
  for (const confinement of ['auto', 'loopback'] as const) {
    tools.set(confinement, await createFfmpegTool({ ...counting, confinement }))
  }
})
afterAll(fixtures.removeMediaFixtures)

/** A picture with a key frame a second and two sounds, of a minute and a half. */
function film(): Promise<string> {
  return fixtures.once('two-sounds.mp4', (out) => {
    const pictures = ['-f', 'lavfi', '-i', 'testsrc2=s=320x180:r=10:d=90']
    const sounds = ['440', '880'].flatMap((tone) => ['-f', 'lavfi', '-i', `sine=f=${tone}:d=90`])
    const maps = ['-map', '0', '-map', '1', '-map', '2', '-metadata:s:a:1', 'language=fra']
    const coding = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '10', '-c:a', 'aac']
    return fixtures.ffmpeg(...pictures, ...sounds, ...maps, ...coding, out)
  })
}

interface Prepared {
  readonly input: MediaInput
  readonly info: MediaInfo
  readonly plans: readonly RenditionPlan[]
}

async function prepared(tool: MediaTool, path: string): Promise<Prepared> {
  const input = await fixtures.fileInput(path)
  const info = await tool.probe(input, signal)
  const [plans = []] = plansByRun(planRenditions(info))
  return { input, info, plans }
}

async function wholeOf({ bytes }: RenditionOutput, each?: () => Promise<void>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) {
    chunks.push(Uint8Array.from(chunk))
    await each?.()
  }
  return Buffer.concat(chunks)
}

/** Processes of ours that name an input. */
async function ffmpegs(): Promise<number[]> {
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const command = await readFile(`/proc/${name}/cmdline`, 'latin1').catch(() => '')
    if (secrets.some((secret) => command.includes(secret))) found.push(Number(name))
  }
  return found
}

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code

describe.each(['auto', 'loopback'])('one run, %s', (confinement) => {
  test('gives each rendition and each picture as a run of its own does, and is the only one', async () => {
    const tool = tools.get(confinement)!
    const { input, info, plans } = await prepared(tool, await film())
    expect(plans.map(({ videoMode, audioMode }) => `${videoMode}/${audioMode}`)).toEqual([
      ...['copy/copy', 'none/copy', 'none/copy'],
    ])
    const before = secrets.length
    const progress: number[] = []
    const outputs = await tool.renditions(input, info, plans, (doneMs) => progress.push(doneMs), signal)
    const looked = secrets.length - before
    const together = await Promise.all(outputs.map((output) => wholeOf(output)))
    const board = planStoryboard(info)!
    const pictures = [await tool.poster(input, info, signal), await tool.storyboard(input, board, signal)]
    expect(secrets.length - before).toBe(looked + 1)
    expect(progress.at(-1)).toBeGreaterThan(85_000)

    const other = await prepared(tool, await film())
    for (const [i, plan] of plans.entries()) {
      const alone = await renditionAlone(tool, other.input, info, plan, () => undefined, signal)
      expect(together[i]!.equals(await wholeOf(alone)), plan.name).toBe(true)
      expect(outputs[i]!.index()).toEqual(alone.index())
    }
    const fresh = await fixtures.fileInput(await film())
    expect(Buffer.from((await tool.poster(fresh, info, signal))!).equals(pictures[0]!)).toBe(true)
    // Looked at, its key frames are near enough; unseen, it would be decoded whole.
    const alone = await tool.storyboard(fresh, { ...board, keyFramesOnly: true }, signal)
    expect(Buffer.from(alone).equals(pictures[1]!)).toBe(true)
  })

  test('waits for who takes one of them late, and loses nothing', async () => {
    const tool = tools.get(confinement)!
    const { input, info, plans } = await prepared(tool, await film())
    const [first, second, third] = await tool.renditions(input, info, plans, () => undefined, signal)
    const [one, two, three] = await Promise.all([
      wholeOf(first!),
      wholeOf(second!, () => host.clock.sleep(10)),
      wholeOf(third!),
    ])
    expect([one.length, two.length, three.length].every((length) => length > 500_000)).toBe(true)
    const alone = await renditionAlone(tool, input, info, plans[1]!, () => undefined, signal)
    expect(two.equals(await wholeOf(alone))).toBe(true)
  })

  test('leaving one of them ends it for all', async () => {
    const tool = tools.get(confinement)!
    const { input, info, plans } = await prepared(tool, await film())
    const [first, second, third] = await tool.renditions(input, info, plans, () => undefined, signal)
    const left = async (): Promise<void> => {
      for await (const chunk of second!.bytes) if (chunk.length > 0) break
    }
    const [one, two, three] = await Promise.allSettled([wholeOf(first!), left(), wholeOf(third!)])
    expect([one.status, two.status, three.status]).toEqual(['rejected', 'fulfilled', 'rejected'])
    expect(() => first!.index()).toThrow(/known at its end/)
    expect(await ffmpegs()).toEqual([])
  })

  test('an abort, and a tool that is killed, is the end of each with that reason', async () => {
    const tool = tools.get(confinement)!
    const { input, info, plans } = await prepared(tool, await film())
    for (const code of ['E_ABORTED', 'E_MEDIA_TOOL']) {
      const stop = new AbortController()
      const outputs = await tool.renditions(input, info, plans, () => undefined, stop.signal)
      let isDone = false
      const end = async (): Promise<void> => {
        if (isDone) return
        isDone = true
        if (code === 'E_ABORTED') stop.abort()
        else for (const pid of await ffmpegs()) process.kill(pid, 'SIGKILL')
      }
      const all = await Promise.allSettled(outputs.map((output) => wholeOf(output, end)))
      for (const one of all) expect(one.status === 'rejected' && codeOf(one.reason)).toBe(code)
      expect(await ffmpegs()).toEqual([])
      expect(outputs.map((output) => codeOf(failureOf(() => output.index())))).toEqual(plans.map(() => 'E_INTERNAL'))
    }
  })
})

test('who waits for a run that never begins is told of an abort', async () => {
  const tool = tools.get('loopback')!
  const { input, info, plans } = await prepared(tool, await film())
  const stop = new AbortController()
  const [, second] = await tool.renditions(input, info, plans, () => undefined, stop.signal)
  const waiting = wholeOf(second!)
  setImmediate(() => stop.abort())
  await expect(waiting).rejects.toMatchObject({ code: 'E_ABORTED' })
  expect(await ffmpegs()).toEqual([])
})

test('pictures that break the run do so once: the next one does without them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mosaik-together-'))
  try {
    const real = (await findPrograms(DEFAULT_SEARCH_PATH)).ffmpeg
    const script = `#!/bin/sh\ncase "$*" in *"-f mp4 "*mjpeg*) exit 1;; esac\nexec ${real} "$@"\n`
    await writeFile(join(folder, 'ffmpeg'), script, { mode: 0o755 })
    const searchPath = `${folder}:${DEFAULT_SEARCH_PATH}`
    const tool = await createFfmpegTool({ ...counting, confinement: 'loopback', searchPath })
    const { input, info, plans } = await prepared(tool, await film())
    const broken = await tool.renditions(input, info, plans, () => undefined, signal)
    for (const one of await Promise.allSettled(broken.map((output) => wholeOf(output)))) {
      expect(one.status === 'rejected' && codeOf(one.reason)).toBe('E_MEDIA_TOOL')
    }
    const outputs = await tool.renditions(input, info, plans, () => undefined, signal)
    for (const whole of await Promise.all(outputs.map((output) => wholeOf(output)))) {
      expect(whole.length).toBeGreaterThan(500_000)
    }
    expect((await tool.poster(input, info, signal))!.byteLength).toBeGreaterThan(1000)
  } finally {
    await rm(folder, { recursive: true })
  }
})

function failureOf(act: () => unknown): unknown {
  try {
    return act()
  } catch (error) {
    return error
  }
}

test('an output that grows too large is the end of all, and they say so', async () => {
  const programs = await findPrograms(DEFAULT_SEARCH_PATH)
  const { confinement } = await detectConfinement({
    ...{ programs, clock: host.clock, searchPath: DEFAULT_SEARCH_PATH },
    ...{ socketFolder: '/tmp', memoryBytes: 4 * 1024 ** 3, wanted: 'auto' },
  })
  const limits = { maxAllocationBytes: 1024 ** 3, maxPixels: 1_000_000, threads: 2 }
  const { input, plans } = await prepared(tools.get('auto')!, await film())
  const outputs = runTogether(
    { ...{ ...counting, programs, confinement, limits }, searchPath: DEFAULT_SEARCH_PATH },
    {
      program: 'ffmpeg',
      argumentList: (url) =>
        renditionsArguments(
          url,
          limits,
          plans.map((plan) => ({ ...plan, isSparse: false })),
        ),
      ...{ input, wallMs: 60_000, outputBytes: 1e9, furtherBytes: [1e9, 100_000] },
    },
    signal,
  )
  const all = await Promise.allSettled(outputs.map((bytes) => wholeOf({ bytes, index: () => undefined as never })))
  for (const one of all) {
    expect(one).toMatchObject({
      status: 'rejected',
      reason: { code: 'E_MEDIA_LIMIT', message: 'ffmpeg wrote more than 100000 bytes' },
    })
  }
})

test('where all is black for half a minute the poster is looked for by itself', async () => {
  const tool = tools.get('loopback')!
  const path = await fixtures.once('dark.mp4', (out) =>
    fixtures.ffmpeg(
      ...['-f', 'lavfi', '-i', 'color=black:s=320x180:r=10:d=50', '-c:v', 'libx264', '-preset', 'ultrafast'],
      ...['-pix_fmt', 'yuv420p', '-g', '10', out],
    ),
  )
  const { input, info, plans } = await prepared(tool, path)
  const [output] = await tool.renditions(input, info, plans, () => undefined, signal)
  expect((await wholeOf(output!)).length).toBeGreaterThan(0)
  const before = secrets.length
  expect((await tool.poster(input, info, signal))!.byteLength).toBeGreaterThan(100)
  expect(secrets.length - before).toBe(2)
  await tool.storyboard(input, planStoryboard(info)!, signal)
  expect(secrets.length - before).toBe(2)
})

test('a picture that has to be encoded takes no small pictures along: they are made by themselves', async () => {
  const tool = tools.get('loopback')!
  const { input, info, plans } = await prepared(tool, await film())
  const encoded = plans.map((plan) => ({
    ...plan,
    ...(plan.videoStream === null ? {} : { videoMode: 'encode' as const }),
  }))
  const outputs = await tool.renditions(input, info, encoded, () => undefined, signal)
  await Promise.all(outputs.map((output) => wholeOf(output)))
  const before = secrets.length
  await tool.poster(input, info, signal)
  await tool.storyboard(input, planStoryboard(info)!, signal)
  expect(secrets.length - before).toBe(2)
})
