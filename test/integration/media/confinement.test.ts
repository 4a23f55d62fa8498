import { spawn } from 'node:child_process'
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { detectConfinement, DEFAULT_SEARCH_PATH, findPrograms } from '../../../src/adapters/ffmpeg/sandbox.ts'
import type { Confinement } from '../../../src/adapters/ffmpeg/sandbox.ts'
import { createFfmpegTool } from '../../../src/adapters/ffmpeg/tool.ts'
import { planRenditions } from '../../../src/domain/media-plan.ts'
import type { MediaInfo, MediaInput, MediaTool, RenditionPlan } from '../../../src/ports/media.ts'
import * as fixtures from '../../support/media-fixtures.ts'
import { renditionAlone } from '../../support/rendition.ts'

const { signal } = new AbortController()
const host = fixtures.testHost()
let socketFolder: string
let sandbox: Confinement

/** Every secret path that was made, so that processes which know one can be found. */
const secrets: string[] = []
const random = {
  ...host.random,
  bytes(length: number) {
    const bytes = host.random.bytes(length)
    secrets.push(Buffer.from(bytes).toString('hex'))
    return bytes
  },
}

beforeAll(async () => {
  socketFolder = join(await fixtures.fixtureFolder(), 's')
  await mkdir(socketFolder)
  const detected = await detectConfinement({
    ...{ programs: await findPrograms(DEFAULT_SEARCH_PATH), clock: host.clock, searchPath: DEFAULT_SEARCH_PATH },
    ...{ socketFolder, memoryBytes: 4 * 1024 ** 3, wanted: 'auto' },
  })
  sandbox = detected.confinement
})
afterAll(fixtures.removeMediaFixtures)

/** Processes that were given one of our secret paths. */
async function toolProcesses(): Promise<number[]> {
  const found: number[] = []
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const commandLine = await readFile(`/proc/${entry}/cmdline`, 'latin1').catch(() => '')
    if (secrets.some((secret) => commandLine.includes(secret))) found.push(Number(entry))
  }
  return found
}

/** Regular files that a process could write to. */
async function writableFiles(pid: number): Promise<string[]> {
  const found: string[] = []
  for (const fd of await readdir(`/proc/${String(pid)}/fd`).catch(() => [])) {
    const target = await readlink(`/proc/${String(pid)}/fd/${fd}`).catch(() => '')
    const info = await readFile(`/proc/${String(pid)}/fdinfo/${fd}`, 'latin1').catch(() => '')
    const flags = Number.parseInt(/flags:\s*(\d+)/.exec(info)?.[1] ?? '0', 8)
    if (target.startsWith('/') && !target.startsWith('/dev/') && (flags & 3) !== 0) found.push(target)
  }
  return found
}

/** Of several that belong together the others may have ended with the first. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function prepared(
  confinement: 'auto' | 'loopback',
  name: 'full-hd.mp4' | 'index-at-end.mp4',
): Promise<{ tool: MediaTool; input: MediaInput; info: MediaInfo; plan: RenditionPlan }> {
  const tool = await createFfmpegTool({ ...host, random, confinement, socketFolder })
  const input = await fixtures.fileInput(await fixtures.mediaFixture(name))
  const info = await tool.probe(input, signal)
  const plan = planRenditions(info).find(({ name: is }) => is === '720p')
  if (plan === undefined) throw new Error('no plan')
  return { tool, input, info, plan }
}

for (const confinement of ['auto', 'loopback'] as const) {
  describe(`${confinement}: while it runs`, () => {
    test('no process of it holds a file it could write to, and no file appears', async () => {
      const { tool, input, info, plan } = await prepared(confinement, 'full-hd.mp4')
      const ours = await writableFiles(process.pid)
      const output = await renditionAlone(tool, input, info, plan, () => undefined, signal)
      let looks = 0
      for await (const chunk of output.bytes) {
        void chunk
        const pids = await toolProcesses()
        for (const pid of pids) expect(await writableFiles(pid)).toEqual([])
        expect((await writableFiles(process.pid)).filter((path) => !ours.includes(path))).toEqual([])
        for (const folder of await readdir(socketFolder)) {
          expect(await readdir(join(socketFolder, folder))).toEqual(['input'])
        }
        looks += pids.length
      }
      expect(looks).toBeGreaterThan(0)
      expect(await toolProcesses()).toEqual([])
      expect(await readdir(socketFolder)).toEqual([])
    })

    test('an abort ends it: no process, no socket, no read', async () => {
      const { tool, input, info, plan } = await prepared(confinement, 'full-hd.mp4')
      const stop = new AbortController()
      let open = 0
      const counted: MediaInput = {
        sizeBytes: input.sizeBytes,
        async *read(start, end, reading) {
          open++
          try {
            yield* input.read(start, end, reading)
          } finally {
            open--
          }
        },
      }
      const output = await renditionAlone(tool, counted, info, plan, () => undefined, stop.signal)
      const reading = (async () => {
        for await (const chunk of output.bytes) {
          void chunk
          stop.abort()
        }
      })()
      await expect(reading).rejects.toMatchObject({ code: 'E_ABORTED' })
      expect(await toolProcesses()).toEqual([])
      expect(await readdir(socketFolder)).toEqual([])
      expect(open).toBe(0)
      expect(() => output.index()).toThrow(/known at its end/)
    })

    test('a caller who stops reading ends it too', async () => {
      const { tool, input, info, plan } = await prepared(confinement, 'full-hd.mp4')
      const output = await renditionAlone(tool, input, info, plan, () => undefined, signal)
      for await (const chunk of output.bytes) {
        void chunk
        break
      }
      expect(await toolProcesses()).toEqual([])
      expect(await readdir(socketFolder)).toEqual([])
    })

    test('killed from outside: an error to try again on, no short rendition', async () => {
      const { tool } = await prepared(confinement, 'full-hd.mp4')
      const file = await fixtures.fileInput(await fixtures.mediaFixture('faststart.mp4'))
      const lastBytes = Math.floor(file.sizeBytes * 0.9)
      let isHeld = false
      // The last tenth never comes: however slow this machine is, the tool has not ended when it is killed.
      const input: MediaInput = {
        sizeBytes: file.sizeBytes,
        async *read(start, end, reading) {
          if (!isHeld || end <= lastBytes) return yield* file.read(start, end, reading)
          if (start < lastBytes) yield* file.read(start, lastBytes, reading)
          await host.clock.sleep(2 ** 31 - 1, reading)
        },
      }
      const info = await tool.probe(input, signal)
      const [plan] = planRenditions(info)
      if (plan === undefined) throw new Error('no plan')
      const output = await renditionAlone(tool, input, info, plan, () => undefined, signal)
      isHeld = true
      let killed = 0
      const reading = (async () => {
        for await (const chunk of output.bytes) {
          void chunk
          for (const pid of await toolProcesses()) {
            kill(pid)
            killed++
          }
        }
      })()
      await expect(reading).rejects.toMatchObject({ code: 'E_MEDIA_TOOL', retry: 'later' })
      expect(killed).toBeGreaterThan(0)
      expect(await toolProcesses()).toEqual([])
    })

    test('it dies when we do', async () => {
      const script = join(await fixtures.fixtureFolder(), `victim-${confinement}.ts`)
      await writeFile(script, victim(confinement, await fixtures.mediaFixture('full-hd.mp4'), socketFolder))
      const child = spawn(process.execPath, ['--no-warnings', script], { stdio: ['ignore', 'pipe', 'inherit'] })
      const secret = await new Promise<string>((resolve) => {
        child.stdout.once('data', (line: Buffer) => {
          resolve(line.toString().trim())
        })
      })
      secrets.push(secret)
      expect((await toolProcesses()).length).toBeGreaterThan(0)
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
      const deadline = Date.now() + 5000
      while ((await toolProcesses()).length > 0 && Date.now() < deadline) await host.clock.sleep(50)
      expect(await toolProcesses()).toEqual([])
    })
  })
}

/** A program that starts a rendition, says its secret, and waits for ever. */
function victim(confinement: string, path: string, folder: string): string {
  const module = (name: string): string => JSON.stringify(new URL(`../../../${name}`, import.meta.url).pathname)
  return `
import { createFfmpegTool } from ${module('src/adapters/ffmpeg/tool.ts')}
import { planRenditions } from ${module('src/domain/media-plan.ts')}
import { fileInput, testHost } from ${module('test/support/media-fixtures.ts')}
import { renditionAlone } from ${module('test/support/rendition.ts')}
const host = testHost()
let secret = ''
const random = { ...host.random, bytes: (n) => { const b = host.random.bytes(n); secret = Buffer.from(b).toString('hex'); return b } }
const tool = await createFfmpegTool({ ...host, random, confinement: '${confinement}', socketFolder: ${JSON.stringify(folder)} })
const input = await fileInput(${JSON.stringify(path)})
const signal = new AbortController().signal
const info = await tool.probe(input, signal)
const output = await renditionAlone(tool, input, info, planRenditions(info).find(({ name }) => name === '720p'), () => undefined, signal)
for await (const chunk of output.bytes) { console.log(secret); await new Promise((r) => setTimeout(r, 60_000)) }
`
}

test('without socat it is not the sandbox, and says why', async () => {
  const programs = { ...(await findPrograms(DEFAULT_SEARCH_PATH)), bwrap: '/usr/bin/bwrap', socat: undefined }
  const options = {
    ...{ programs, clock: host.clock, searchPath: DEFAULT_SEARCH_PATH },
    ...{ socketFolder, memoryBytes: 4 * 1024 ** 3 },
  }
  const { confinement, reason } = await detectConfinement({ ...options, wanted: 'auto' })
  expect([confinement.name, reason]).toEqual(['loopback', 'bubblewrap needs socat, which is not installed'])
  await expect(detectConfinement({ ...options, wanted: 'bubblewrap' })).rejects.toMatchObject({
    code: 'E_SETUP',
    message: expect.stringContaining('socat'),
  })
})

describe('the sandbox', () => {
  async function inside(...command: string[]): Promise<{ code: number; text: string }> {
    const place = await sandbox.openPlace()
    try {
      await writeFile(place.socketPath ?? '', '')
      const { file, args } = sandbox.command('/bin/sh', ['-c', command.join(' ')], place.socketPath)
      const child = spawn(file, args, {
        stdio: ['ignore', 'pipe', 'ignore'],
        env: { PATH: DEFAULT_SEARCH_PATH, SECRET: 'CANARY' },
      })
      let text = ''
      child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString()))
      const code = await new Promise<number>((resolve) => {
        child.on('close', (exitCode) => {
          resolve(exitCode ?? 1)
        })
      })
      return { code: code === 0 ? 0 : 1, text }
    } finally {
      await place.dispose()
    }
  }

  test('works on this machine, or says why not', (context) => {
    if (sandbox.name !== 'bubblewrap') context.skip('bubblewrap cannot run here')
  })

  test('shows no home, no environment, no other process, no network', async (context) => {
    if (sandbox.name !== 'bubblewrap') context.skip('bubblewrap cannot run here')
    expect((await inside('ls', '/')).text.split('\n').filter((name) => name !== '')).not.toEqual(
      expect.arrayContaining(['home', 'root', 'proc', 'var', 'work']),
    )
    expect((await inside('env')).text).not.toContain('CANARY')
    expect((await inside('cat', '/etc/passwd')).code).toBe(1)
    expect((await inside('echo $$')).text.trim()).toMatch(/^\d$/)
    expect((await inside('cat /sys/class/net/eth0/address')).code).toBe(1)
  })

  test('can write nowhere, not even in its own /tmp', async (context) => {
    if (sandbox.name !== 'bubblewrap') context.skip('bubblewrap cannot run here')
    for (const path of ['/usr/x', '/tmp/x', '/run/mosaik/x']) {
      expect((await inside(`echo 1 > ${path}`)).code, path).toBe(1)
    }
  })
})

test('the pipes of the tool block: nothing is lost to a slow reader', async () => {
  for (const confinement of ['auto', 'loopback'] as const) {
    const { tool, input, info, plan } = await prepared(confinement, 'full-hd.mp4')
    const output = await renditionAlone(tool, input, info, plan, () => undefined, signal)
    let looks = 0
    for await (const chunk of output.bytes) {
      void chunk
      for (const pid of await toolProcesses()) {
        const name = await readFile(`/proc/${String(pid)}/comm`, 'latin1').catch(() => '')
        if (name.trim() !== 'ffmpeg') continue
        const flags = /flags:\s*(\d+)/.exec(
          await readFile(`/proc/${String(pid)}/fdinfo/1`, 'latin1').catch(() => ''),
        )?.[1]
        if (flags === undefined) continue
        expect(Number.parseInt(flags, 8) & 0o4000, 'O_NONBLOCK').toBe(0)
        looks++
      }
    }
    expect(looks).toBeGreaterThan(0)
  }
})

test('memory stays bounded while a large file goes through slowly', async () => {
  const { tool } = await prepared('auto', 'index-at-end.mp4')
  const path = await fixtures.once('long.mp4', async (out) => {
    const source = await fixtures.mediaFixture('index-at-end.mp4')
    await fixtures.ffmpeg('-stream_loop', '109', '-i', source, '-c', 'copy', '-fflags', '+genpts', out)
  })
  const input = await fixtures.fileInput(path)
  const info = await tool.probe(input, signal)
  const plan = planRenditions(info)[0]
  if (plan?.videoMode !== 'copy' || plan.audioMode !== 'copy') throw new Error('no copy planned')
  expect(input.sizeBytes).toBeGreaterThan(100_000_000)
  const output = await renditionAlone(tool, input, info, plan, () => undefined, signal)
  const before = process.memoryUsage.rss()
  let highest = before
  let bytes = 0
  for await (const chunk of output.bytes) {
    bytes += chunk.byteLength
    if (bytes % 7 === 0) await host.clock.sleep(1)
    highest = Math.max(highest, process.memoryUsage.rss())
  }
  expect(bytes).toBeGreaterThan(100_000_000)
  expect(highest - before).toBeLessThan(100 * 1024 * 1024)
})
