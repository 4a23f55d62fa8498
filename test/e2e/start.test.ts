import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { chromium, type Browser, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findProgram } from '../support/services/commands.ts'

const repository = new URL('../../', import.meta.url).pathname
const browserPath = process.env['MOSAIK_CHROMIUM'] ?? findProgram('chromium') ?? findProgram('google-chrome')
const missing = [
  ...(browserPath === undefined ? ['chromium'] : []),
  ...['ffmpeg', 'redis-server'].filter((name) => !findProgram(name)),
]
/** Where the pictures go that people look at. */
const pictures = process.env['MOSAIK_SCREENSHOTS']
const scratch = mkdtempSync(join(tmpdir(), 'mosaik-start-'))
const data = join(scratch, 'data')

let vault: ChildProcess | undefined
let browser: Browser | undefined
let output = ''

/** Without settings of the tests' own. */
function vaultEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MOSAIK_')))
}

/** `npm start` without its set-up, on a data folder of its own. */
function startVault(...args: string[]): ChildProcess {
  output = ''
  const child = spawn(join(repository, 'bin/mosaik'), ['start', '--data', data, '--port', '0', ...args], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: vaultEnvironment(),
  })
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  return child
}

async function until<Value>(what: string, look: () => Value | undefined | null, withinMs: number): Promise<Value> {
  for (const end = Date.now() + withinMs; Date.now() < end; await sleep(100)) {
    const found = look()
    if (found) return found
    if (vault?.exitCode !== null && vault !== undefined)
      throw new Error(`the vault ended with ${vault.exitCode} before: ${what}\n${output}`)
  }
  throw new Error(`not within ${withinMs} ms: ${what}\n${output}`)
}

async function cli(...args: string[]): Promise<{ code: number | null; out: string }> {
  const child = spawn(join(repository, 'bin/mosaik'), args, {
    cwd: repository,
    env: { ...vaultEnvironment(), MOSAIK_DATA: data },
  })
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (out += chunk.toString()))
  return await new Promise((resolve) => child.once('close', (code) => resolve({ code, out })))
}

async function watch(url: string): Promise<Page> {
  const context = await browser!.newContext({ locale: 'en-GB', viewport: { width: 1280, height: 800 } })
  const page = await context.newPage()
  await page.goto(url)
  await page.getByRole('button', { name: 'View' }).click()
  await moves(page)
  return page
}

const timeOf = (page: Page): Promise<number> => page.evaluate(() => document.querySelector('video')?.currentTime ?? -1)

async function moves(page: Page): Promise<void> {
  const from = await timeOf(page)
  await expect.poll(() => timeOf(page), { timeout: 30_000 }).toBeGreaterThan(from + 0.5)
}

/** Digest of the decoded frame on show. */
async function frame(page: Page): Promise<number[]> {
  return await page.evaluate(() => {
    const canvas = document.createElement('canvas')
    canvas.width = 64
    canvas.height = 36
    const ink = canvas.getContext('2d') as CanvasRenderingContext2D
    ink.drawImage(document.querySelector('video') as HTMLVideoElement, 0, 0, 64, 36)
    return Array.from(ink.getImageData(0, 0, 64, 36).data)
  })
}

async function seek(page: Page, seconds: number): Promise<void> {
  await page.evaluate((to) => {
    ;(document.querySelector('video') as HTMLVideoElement).currentTime = to
  }, seconds)
  await moves(page)
  expect(await timeOf(page)).toBeGreaterThanOrEqual(seconds)
}

/** A short film with a recognisable text in its bytes. */
function makeFilm(canary: string): string {
  const path = join(scratch, 'weekly.mkv')
  execFileSync('ffmpeg', [
    ...'-v error -y -f lavfi -i testsrc2=size=640x360:rate=25:duration=4 -f lavfi -i sine=duration=4'.split(' '),
    ...'-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -metadata'.split(' '),
    `comment=${canary}`,
    path,
  ])
  return path
}

/** Files below a folder that hold one of the texts, as it is or in hexadecimal or base64. */
function findOnDisk(folder: string, texts: readonly string[]): string[] {
  const needles = texts.flatMap((text) => [
    text,
    Buffer.from(text).toString('hex'),
    Buffer.from(text).toString('base64').slice(0, -4),
  ])
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  expect(files.length).toBeGreaterThan(20)
  return files
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => {
      const bytes = readFileSync(path)
      return needles.some((needle) => bytes.includes(needle))
    })
}

beforeAll(async () => {
  if (missing.length > 0) {
    if (process.env['CI']) throw new Error(`in CI this may not be skipped: ${missing.join(', ')}`)
    return
  }
  browser = await chromium.launch({
    executablePath: browserPath ?? '',
    args: [
      ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--mute-audio'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  })
})
afterAll(async () => {
  vault?.kill('SIGKILL')
  await browser?.close()
  await sleep(500)
  rmSync(scratch, { recursive: true, force: true })
})

describe('a newcomer starts the vault', () => {
  it('deposits the sample, plays and seeks it, with two of five nodes unplugged, after kill -9, and after a restart', async ({
    skip,
  }) => {
    if (missing.length > 0) skip(`not here: ${missing.join(', ')}`)
    vault = startVault()
    const url = await until('a link', () => /Watch it: (\S+)/.exec(output)?.[1], 240_000)
    expect(output).toContain('Five folders on one machine protect against nothing but a lost folder')
    expect(output).not.toMatch(/mosaik-recovery-1-/)

    const page = await watch(url)
    const early = await frame(page)
    await seek(page, 40)
    const late = await frame(page)
    expect(late).not.toEqual(early)
    expect(new Set(late).size).toBeGreaterThan(20)
    if (pictures) await page.screenshot({ path: join(pictures, 'start-playing.png') })

    const folders = readdirSync(join(data, 'nodes')).map((name) => join(data, 'nodes', name))
    for (const folder of folders.slice(0, 2)) renameSync(folder, `${folder}.unplugged`)
    await seek(page, 10)
    await page.context().close()
    const listed = await cli('nodes', 'ls')
    expect(listed.out.match(/E_NODE_UNREACHABLE/g)).toHaveLength(2)

    vault.kill('SIGKILL')
    await sleep(500)
    vault = startVault('--no-sample')
    await until('it serves', () => output.includes('Serving'), 60_000)
    const recording = /^([0-9a-f]{32})\b.*Sample meeting/m.exec((await cli('ls')).out)?.[1]
    expect(recording).toBeDefined()
    const again = /http\S+/.exec((await cli('link', recording!, '--expires', '1h')).out)?.[0]
    const second = await watch(again!)
    await seek(second, 50)
    await second.context().close()

    for (const folder of folders.slice(0, 2)) renameSync(`${folder}.unplugged`, folder)
    const canary = `canary-${randomBytes(16).toString('hex')}`
    const film = makeFilm(canary)
    const deposited = await cli('deposit', film, '--title', 'Weekly', '--host', 'ada', '--wait')
    expect(deposited.out).toContain('is ready')

    vault.kill('SIGTERM')
    await new Promise((resolve) => vault!.once('close', resolve))
    expect(vault.exitCode).toBe(0)
    expect(existsSync(join(data, 'run.json'))).toBe(false)
    // Content, link tokens (whole, and their codes alone): nowhere on disk, in Redis' file, in the catalog or in the log.
    const tokens = [url, again!].map((link) => new URL(link).hash.slice(1))
    const secrets = [canary, ...tokens, ...tokens.map((token) => token.slice(token.lastIndexOf('.') + 1))]
    expect(readFileSync(film).includes(canary)).toBe(true)
    expect(findOnDisk(data, secrets)).toEqual([])
  })
})
