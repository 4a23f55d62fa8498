import { mkdtempSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { buildPlayer } from '../../scripts/build-player.ts'
import type { Manifest } from '../../src/domain/recording.ts'
import { organisation, startViewerServer, type ViewerServer } from '../integration/viewer/viewer-server.ts'
import { findProgram } from '../support/services/commands.ts'
import { FILM_SECONDS, TIME_COLOURS, makeFilm } from './watch-media.ts'

const browserPath = process.env['MOSAIK_CHROMIUM'] ?? findProgram('chromium') ?? findProgram('google-chrome')
const missing = browserPath === undefined ? 'chromium' : findProgram('ffmpeg') === undefined ? 'ffmpeg' : undefined
const mayNotSkip = (process.env['CI'] ?? '') !== ''
/** Where the pictures go that people look at: `MOSAIK_SCREENSHOTS`, else a folder that is removed. */
const pictures = process.env['MOSAIK_SCREENSHOTS']
const TITLE = 'Wochenrunde: Entwurf & Zahlen für März'

let server: ViewerServer
let manifest: Manifest
let browser: Browser
let context: BrowserContext | undefined
const complaints: string[] = []
const scratch = mkdtempSync(join(tmpdir(), 'mosaik-watch-page-'))

beforeAll(async () => {
  if (missing !== undefined) {
    if (mayNotSkip) throw new Error(`in CI the watch page may not be skipped: ${missing} is not here`)
    return
  }
  const folder = await buildPlayer(join(scratch, 'page'))
  const read = (name: string): Promise<Uint8Array> => readFile(join(folder, name))
  const page = { html: await read('index.html'), script: await read('watch.js'), style: await read('watch.css') }
  server = await startViewerServer({ page })
  manifest = server.vault.add(organisation, TITLE, await makeFilm())
  browser = await chromium.launch({
    executablePath: browserPath ?? '',
    args: [
      ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--mute-audio'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  })
})

afterAll(async () => {
  await browser?.close()
  await server?.close()
  await rm(scratch, { recursive: true, force: true })
})

beforeEach(({ skip }) => {
  if (missing !== undefined) skip(`${missing} is not here`)
  Object.assign(server.vault, { isDown: false, failAfterBytes: Number.POSITIVE_INFINITY, chunkDelayMs: 0 })
  complaints.length = 0
})

afterEach(async () => {
  await context?.close()
  context = undefined
})

/** A browser of its own with the page at an address; German, 1280 by 800, unless told. */
async function visit(url: string, options: BrowserContextOptions = {}): Promise<Page> {
  context = await browser.newContext({ locale: 'de-DE', viewport: { width: 1280, height: 800 }, ...options })
  const page = await context.newPage()
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    // answers that are errors are reported too: those are what some tests are about
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text())
  })
  await page.goto(url)
  return page
}

async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(pictures ?? scratch, `${name}.png`) })
}

async function view(page: Page): Promise<void> {
  await page.getByRole('button', { name: /^(Ansehen|View)$/ }).click()
  await playsOn(page)
}

/** Waits until the picture moves. */
async function playsOn(page: Page): Promise<void> {
  const start = await currentTime(page)
  await expect.poll(() => currentTime(page), { timeout: 20_000 }).toBeGreaterThan(start + 0.3)
}

const currentTime = (page: Page): Promise<number> =>
  page.evaluate(() => document.querySelector('video')?.currentTime ?? -1)

/** Decoded pixels of the frame on show: the corner's colour, and a digest of the whole. */
async function frame(page: Page) {
  return page.evaluate(() => {
    const video = document.querySelector('video') as HTMLVideoElement
    const canvas = document.createElement('canvas')
    canvas.width = 320
    canvas.height = 180
    const ink = canvas.getContext('2d') as CanvasRenderingContext2D
    ink.drawImage(video, 0, 0, 320, 180)
    const corner = Array.from(ink.getImageData(40, 22, 1, 1).data.slice(0, 3))
    const all = ink.getImageData(0, 0, 320, 180).data.filter((_, index) => index % 37 === 0)
    return { corner, all: Array.from(all), time: video.currentTime, width: video.videoWidth }
  })
}

function colourName(corner: readonly number[]): string | undefined {
  return TIME_COLOURS.find(({ rgb }) => rgb.every((value, index) => Math.abs(value - (corner[index] ?? 0)) < 48))?.name
}

describe('the watch page in Chromium', () => {
  it('waits for a press, plays moving pictures, and shows those of the place it is sent to', async () => {
    const { url, id, token } = await server.link(manifest)
    const page = await visit(url)
    await page.getByText('Eine Aufzeichnung wurde für Sie freigegeben').first().waitFor()
    await picture(page, 'gate')
    // looking at the page is no view
    expect((await server.catalog.link(id))?.viewsCount).toBe(0)
    await view(page)
    expect((await server.catalog.link(id))?.viewsCount).toBe(1)
    expect(await page.title()).toBe(`${TITLE} – Mosaik`)

    const first = await frame(page)
    await page.waitForTimeout(400)
    const second = await frame(page)
    expect(colourName(first.corner)).toBe('red')
    const moved = first.all.filter((value, index) => Math.abs(value - (second.all[index] ?? 0)) > 40).length
    expect(moved).toBeGreaterThan(30)

    // the middle of the bar
    const bar = await page.locator('#seek').boundingBox()
    await page.mouse.click((bar?.x ?? 0) + (bar?.width ?? 0) * 0.75, (bar?.y ?? 0) + (bar?.height ?? 0) / 2)
    const sought = performance.now()
    await expect
      .poll(async () => colourName((await frame(page)).corner), { timeout: 10_000, interval: 50 })
      .toBe('magenta')
    expect(performance.now() - sought).toBeLessThan(3_000)
    expect(Math.abs((await frame(page)).time - FILM_SECONDS * 0.75)).toBeLessThan(5)
    await playsOn(page)
    for (const [second, name] of [
      [5, 'red'],
      [25, 'blue'],
      [55, 'cyan'],
      [15, 'green'],
    ] as const) {
      await page.evaluate((at) => ((document.querySelector('video') as HTMLVideoElement).currentTime = at), second)
      await expect.poll(async () => colourName((await frame(page)).corner), { timeout: 10_000 }).toBe(name)
    }
    await page.mouse.move(640, 300)
    await picture(page, 'playing')

    // nothing of the token but in the body of the exchange
    const traces = [...server.requestLines, ...server.logLines].join('\n')
    expect(traces).not.toContain(token.split('.')[2])
    expect(traces).not.toContain(token.split('.')[3])
    expect(complaints).toEqual([])
  })

  it('shows captions in the language chosen', async () => {
    const { url } = await server.link(manifest)
    const page = await visit(url)
    await view(page)
    const words = page.locator('#captions')
    expect(await words.textContent()).toBe('')
    await page.keyboard.press('c')
    await expect.poll(() => words.textContent()).toContain('Guten Tag, es ist Sekunde')
    expect(await words.locator('i').textContent()).toBe('alle')
    await picture(page, 'captions')
    await page.getByRole('button', { name: 'Einstellungen' }).click()
    await page.getByRole('combobox', { name: 'Untertitel' }).selectOption('en')
    await expect.poll(() => words.textContent()).toContain('Good morning')
    await picture(page, 'settings')
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Untertitel' }).click()
    await expect.poll(() => words.textContent()).toBe('')
    expect(complaints).toEqual([])
  })

  it('changes quality and speed at once', async () => {
    const { url } = await server.link(manifest)
    const page = await visit(url)
    await view(page)
    await page.getByRole('button', { name: 'Einstellungen' }).click()
    const quality = page.getByRole('combobox', { name: 'Qualität' })
    expect(await quality.locator('option').allTextContents()).toEqual([
      expect.stringMatching(/^Automatisch \(\d+p\)$/),
      '720p',
      '360p',
    ])
    for (const [label, width] of [
      ['360p', 640],
      ['720p', 1280],
    ] as const) {
      await quality.selectOption({ label })
      await expect.poll(async () => (await frame(page)).width, { timeout: 15_000 }).toBe(width)
      await playsOn(page)
    }
    await page.getByRole('combobox', { name: 'Tempo' }).selectOption('2')
    expect(await page.evaluate(() => document.querySelector('video')?.playbackRate)).toBe(2)
    expect(complaints).toEqual([])
  })

  it('is worked by keyboard alone', async () => {
    const { url } = await server.link(manifest)
    const page = await visit(url)
    const paused = () => page.evaluate(() => document.querySelector('video')?.paused)
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await playsOn(page)
    await page.keyboard.press('k')
    expect(await paused()).toBe(true)
    await page.keyboard.press('5')
    expect(await currentTime(page)).toBeCloseTo(FILM_SECONDS / 2, 0)
    await page.keyboard.press('ArrowRight')
    expect(await currentTime(page)).toBeCloseTo(FILM_SECONDS / 2 + 5, 0)
    await page.keyboard.press('j')
    expect(await currentTime(page)).toBeCloseTo(FILM_SECONDS / 2 - 5, 0)
    await page.keyboard.press('Home')
    expect(await currentTime(page)).toBe(0)
    await page.keyboard.press('m')
    expect(await page.evaluate(() => document.querySelector('video')?.muted)).toBe(true)
    await page.keyboard.press('f')
    await expect.poll(() => page.evaluate(() => document.fullscreenElement?.id)).toBe('stage')
    await page.keyboard.press('f')
    // on a focused button the space bar presses that button, and only that
    await page.getByRole('button', { name: /^Abspielen/ }).focus()
    await page.keyboard.press(' ')
    await expect.poll(paused).toBe(false)
  })

  it('fits a phone, by touch', async () => {
    const { url } = await server.link(manifest, { allowDownload: true })
    const page = await visit(url, {
      ...{ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
      locale: 'en-GB',
    })
    await picture(page, 'phone-gate')
    await page.getByRole('button', { name: 'View' }).tap()
    await playsOn(page)
    const widths = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
    expect(widths[0]).toBe(widths[1])
    await page.locator('video').tap()
    await picture(page, 'phone-playing')
    await page.getByRole('button', { name: 'Settings' }).tap()
    await picture(page, 'phone-settings')
    for (const name of [/^Pause/, /^Settings/, /^Full screen/]) {
      const box = await page.getByRole('button', { name }).boundingBox()
      expect(Math.min(box?.width ?? 0, box?.height ?? 0)).toBeGreaterThanOrEqual(40)
    }
    const download = page.waitForEvent('download')
    await page.getByRole('link', { name: /Download original/ }).tap()
    expect((await download).suggestedFilename()).toBe('Wochenrunde März.mp4')
    expect(complaints).toEqual([])
  })

  it('is dark where the device is', async () => {
    const { url } = await server.link(manifest)
    const page = await visit(url, { colorScheme: 'dark' })
    await picture(page, 'dark-gate')
    await view(page)
    await page.keyboard.press('c')
    await page.mouse.move(640, 300)
    await picture(page, 'dark-playing')
    const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    expect(paper).toBe('rgb(18, 22, 27)')
  })

  it('goes on by itself after too few nodes, where it was', async () => {
    const { url } = await server.link(manifest)
    const page = await visit(url)
    await view(page)
    server.vault.isDown = true
    await page.evaluate(() => ((document.querySelector('video') as HTMLVideoElement).currentTime = 44))
    await page.getByText('Vorübergehend nicht verfügbar').first().waitFor({ timeout: 15_000 })
    await picture(page, 'unavailable')
    server.vault.isDown = false
    await expect.poll(async () => colourName((await frame(page)).corner), { timeout: 25_000 }).toBe('magenta')
    await playsOn(page)
    expect(await page.locator('#cover').isVisible()).toBe(false)
    expect(await currentTime(page)).toBeGreaterThan(44)
  })

  it('opens by itself once enough nodes are back', async () => {
    const { url } = await server.link(manifest)
    const page = await visit(url)
    server.vault.isDown = true
    await page.getByRole('button', { name: 'Ansehen' }).click()
    await page.getByText('Vorübergehend nicht verfügbar').first().waitFor()
    server.vault.isDown = false
    await playsOn(page)
  })

  it('stops within five seconds when the link is revoked, and takes the picture away', async () => {
    const { url, id } = await server.link(manifest)
    const page = await visit(url)
    await view(page)
    await server.links.revoke(id)
    const revokedAtMs = performance.now()
    await page.getByText('Dieser Link gilt nicht (mehr)').first().waitFor({ timeout: 10_000 })
    expect(performance.now() - revokedAtMs).toBeLessThan(5_000)
    expect(await page.evaluate(() => document.querySelector('video')?.readyState)).toBe(0)
    expect(await page.getByText(TITLE).count()).toBe(0)
    await picture(page, 'revoked')
    await page.reload()
    await page.getByRole('button', { name: 'Ansehen' }).click()
    await page.getByText('Dieser Link gilt nicht (mehr)').first().waitFor()
  })

  it('costs no second view when it is loaded again, and remembers the place', async () => {
    const { url, id } = await server.link(manifest, { maxViews: 1 })
    const page = await visit(url)
    await view(page)
    await page.keyboard.press('5')
    await page.keyboard.press('k')
    await page.waitForTimeout(100)
    await page.reload()
    await page.getByRole('button', { name: 'Abspielen' }).first().waitFor()
    await picture(page, 'poster')
    await page.locator('#begin').click()
    await playsOn(page)
    expect(await currentTime(page)).toBeGreaterThan(28)
    expect((await server.catalog.link(id))?.viewsCount).toBe(1)

    const other = await (await browser.newContext({ locale: 'de-DE' })).newPage()
    await other.goto(url)
    await other.getByRole('button', { name: 'Ansehen' }).click()
    await other.getByText('Dieser Link gilt nicht (mehr)').first().waitFor()
    await other.context().close()
  })

  it('asks to go on after the session has lapsed, where it was', async () => {
    const { url, id } = await server.link(manifest)
    const page = await visit(url)
    await view(page)
    await page.keyboard.press('5')
    await page.keyboard.press('k')
    await page.waitForTimeout(100)
    await server.catalog.dropExpiredSessions(Number.MAX_SAFE_INTEGER)
    await page.reload()
    await page.getByText('Sie waren eine Weile nicht da').first().waitFor()
    await picture(page, 'lapsed')
    await page.getByRole('button', { name: 'Weiter ansehen' }).click()
    await playsOn(page)
    expect(await currentTime(page)).toBeGreaterThan(28)
    expect((await server.catalog.link(id))?.viewsCount).toBe(2)
  })

  it("plays by the browser's own HLS where there is no Media Source", async ({ skip }) => {
    const { url } = await server.link(manifest)
    const page = await visit(`${server.origin}/s`)
    const own = await page.evaluate(() => document.createElement('video').canPlayType('application/vnd.apple.mpegurl'))
    skip(own === '', 'this browser has no HLS of its own')
    await page.addInitScript(() => {
      for (const name of ['MediaSource', 'ManagedMediaSource', 'WebKitMediaSource'])
        Reflect.deleteProperty(window, name)
    })
    await page.goto('about:blank')
    await page.goto(url)
    await view(page)
    await page.evaluate(() => ((document.querySelector('video') as HTMLVideoElement).currentTime = 45))
    await expect.poll(async () => colourName((await frame(page)).corner), { timeout: 15_000 }).toBe('magenta')
    expect(await page.evaluate(() => document.querySelector('video')?.src)).toMatch(/master\.m3u8$/)
  })

  it('says what is missing when the address holds no token', async () => {
    const page = await visit(`${server.origin}/s#rv1.half`)
    await page.getByText('Dieser Link ist nicht vollständig').first().waitFor()
    expect(await page.getByRole('button').count()).toBe(0)
  })
})
