import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Manifest } from '../../src/domain/recording.ts'
import { organisation, type ViewerServer } from '../integration/viewer/viewer-server.ts'
import { takingTurns } from '../support/media-fixtures.ts'
import { seriousFaults } from './axe.ts'
import { missing, pressControl, startWatchBrowser, type WatchBrowser } from './watch-browser.ts'
import { FILM_SECONDS, TIME_COLOURS, makeFilm, makeOwnFilm, makeSound } from './watch-media.ts'

/**
 * Where the pictures go that the documentation shows; those of all states lie in a folder that is removed unless
 * `MOSAIK_SCREENSHOTS_ALL` names one. To make them again:
 * `MOSAIK_SCREENSHOTS=docs/screenshots npm test -- test/e2e/watch.test.ts`
 */
const pictures = process.env['MOSAIK_SCREENSHOTS']
const allPictures = process.env['MOSAIK_SCREENSHOTS_ALL']
const documented = new Set([
  ...['gate', 'passcode', 'captions', 'settings', 'preview', 'sound', 'unplayable', 'dark-playing'],
  ...['phone-gate', 'phone-playing', 'phone-preview', 'phone-dark', 'phone-passcode-de'],
])
const TITLE = 'Wochenrunde: Entwurf & Zahlen für März'

const usual = { locale: 'de-DE', viewport: { width: 1280, height: 800 } }

let opened: WatchBrowser | undefined
let server: ViewerServer
let manifest: Manifest
let browser: Browser
let context: BrowserContext | undefined
const complaints: string[] = []
let scratch: string

beforeAll(async () => {
  opened = await startWatchBrowser()
  if (opened === undefined) return
  ;({ server, browser, scratch } = opened)
  manifest = server.vault.add(organisation, TITLE, await makeFilm())
})

afterAll(() => opened?.close())

beforeEach(({ skip }) => {
  if (missing !== undefined) skip(`${missing} is not here`)
  Object.assign(server.vault, {
    ...{ isDown: false, failAfterBytes: Number.POSITIVE_INFINITY, chunkDelayMs: 0, state: 'ready' },
  })
  complaints.length = 0
})

afterEach(async () => {
  await context?.close()
  context = undefined
})

/** A browser of its own with the page at an address; German, 1280 by 800, unless told. Its context is closed after the test. */
async function visit(url: string, options: BrowserContextOptions = {}): Promise<Page> {
  context = await browser.newContext({ ...usual, ...options })
  return await open(url, context)
}

async function open(url: string, own: BrowserContext): Promise<Page> {
  const page = await own.newPage()
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
  const folder = pictures !== undefined && documented.has(name) ? pictures : (allPictures ?? scratch)
  await page.screenshot({ path: join(folder, `${name}.png`), animations: 'disabled' })
}

async function view(page: Page): Promise<void> {
  await page.getByRole('button', { name: /^(Ansehen|View)$/ }).click()
  await playsOn(page)
}

/** Waits until the picture moves. @param own what a test that runs beside others expects with */
async function playsOn(page: Page, own = expect): Promise<void> {
  const start = await currentTime(page)
  await own.poll(() => currentTime(page), { timeout: 20_000 }).toBeGreaterThan(start + 0.3)
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

/** The colour in the corner of the small picture on show, as decoded. */
async function tileCorner(page: Page): Promise<number[]> {
  return page.evaluate(() => {
    const sprite = document.querySelector('#seek-picture img') as HTMLImageElement
    const [, x = '', y = ''] = /translate\(-(\d+)px, -(\d+)px\)/.exec(sprite.style.transform) ?? []
    const canvas = document.createElement('canvas')
    const ink = canvas.getContext('2d') as CanvasRenderingContext2D
    ink.drawImage(sprite, -Number(x), -Number(y))
    return Array.from(ink.getImageData(20, 11, 1, 1).data.slice(0, 3))
  })
}

async function withoutFaults(page: Page, state: string): Promise<void> {
  expect(await seriousFaults(page), state).toEqual([])
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
    await pressControl(page.getByRole('button', { name: 'Einstellungen' }))
    await page.getByRole('combobox', { name: 'Untertitel' }).selectOption({ label: 'Englisch' })
    await expect.poll(() => words.textContent()).toContain('Good morning')
    await picture(page, 'settings')
    await page.keyboard.press('Escape')
    await pressControl(page.getByRole('button', { name: 'Untertitel' }))
    await expect.poll(() => words.textContent()).toBe('')
    expect(complaints).toEqual([])
  })

  it('changes quality and speed at once', async () => {
    const { url } = await server.link(manifest)
    const page = await visit(url)
    await view(page)
    await pressControl(page.getByRole('button', { name: 'Einstellungen' }))
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
    await pressControl(page.getByRole('button', { name: 'Settings' }), 'tap')
    await picture(page, 'phone-settings')
    for (const name of [/^Pause/, /^Settings/, /^Full screen/]) {
      const box = await page.getByRole('button', { name }).boundingBox()
      expect(Math.min(box?.width ?? 0, box?.height ?? 0)).toBeGreaterThanOrEqual(40)
    }
    await page.keyboard.press('Escape')
    await page.getByText('Download', { exact: true }).tap()
    await picture(page, 'phone-downloads')
    for (const [link, file] of [
      [/^Original/, 'Wochenrunde März.mp4'],
      [/^MP4, 360p/, `${TITLE.replace(':', '_')} (360p).mp4`],
    ] as const) {
      const download = page.waitForEvent('download')
      await page.getByRole('link', { name: link }).tap()
      expect((await download).suggestedFilename()).toBe(file)
    }
    expect(complaints).toEqual([])
  })

  it('asks for the passcode, says when it is wrong, and closes after five', async () => {
    const { url, id } = await server.link(manifest, { passcode: 'Äpfel im Garten' })
    const page = await visit(url)
    await page.getByRole('button', { name: 'Ansehen' }).click()
    await page.getByText('mit einem Kenncode geschützt').first().waitFor()
    const field = page.getByLabel('Kenncode', { exact: true })
    expect(await field.evaluate((found) => found === document.activeElement)).toBe(true)
    await page.keyboard.press('Enter')
    await page.getByText('Bitte geben Sie den Kenncode ein.').waitFor()
    await field.fill('falsch geraten')
    await page.keyboard.press('Enter')
    await page.getByText('Das ist nicht der Kenncode.').waitFor()
    await page.getByRole('button', { name: 'Kenncode zeigen' }).click()
    expect(await field.getAttribute('type')).toBe('text')
    await picture(page, 'passcode')
    await field.fill('Äpfel im Garten ')
    await page.getByRole('button', { name: 'Öffnen' }).click()
    await playsOn(page)
    expect(await field.inputValue()).toBe('')
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]))
    expect(kept).not.toContain('pfel')
    // going on after a pause asks for nothing again
    await server.catalog.dropExpiredSessions(Number.MAX_SAFE_INTEGER)

    const other = await (await browser.newContext({ locale: 'en-GB' })).newPage()
    await other.goto(url)
    await other.getByRole('button', { name: 'View' }).click()
    for (let i = 0; i < 4; i++) {
      await other.getByLabel('Passcode', { exact: true }).fill(`wrong one ${i}`)
      await other.keyboard.press('Enter')
      await other.getByText('This is not the passcode.').waitFor()
      await expect
        .poll(() => other.locator('#passcode').evaluate((input) => input === document.activeElement))
        .toBe(true)
    }
    await other.getByLabel('Passcode', { exact: true }).fill('Äpfel im Garten')
    await other.keyboard.press('Enter')
    await other.getByText('Too many wrong passcodes').first().waitFor()
    expect(await other.locator('#cover-text').textContent()).toContain('in 15 min')
    await other.context().close()
    expect((await server.catalog.link(id))?.viewsCount).toBe(1)
    expect(server.logLines.join('\n')).not.toMatch(/pfel|falsch|wrong one/)
    expect(complaints).toEqual([])
  })

  it('shows small pictures of the place where the pointer is', async () => {
    const fetches = () => server.requestLines.filter((line) => line.endsWith('/storyboard.jpg')).length
    const before = fetches()
    const { url } = await server.link(manifest)
    const page = await visit(url)
    await view(page)
    const bar = (await page.locator('#seek').boundingBox())!
    const shown = page.locator('#seek-picture')
    for (const [share, name] of [
      [0.75, 'magenta'],
      [0.4, 'blue'],
      [0.001, 'red'],
      [0.999, 'cyan'],
    ] as const) {
      // a hand is never quite still: the pictures may come after the pointer did
      let tremble = 0
      const look = async (): Promise<boolean> => {
        await page.mouse.move(bar.x + bar.width * share, bar.y + bar.height / 2 + (tremble++ % 2))
        return await shown.isVisible()
      }
      await expect.poll(look, { timeout: 20_000 }).toBe(true)
      expect(colourName(await tileCorner(page))).toBe(name)
      const hint = (await page.locator('#seek-hint').boundingBox())!
      const stage = (await page.locator('#stage').boundingBox())!
      expect(hint.x).toBeGreaterThanOrEqual(stage.x)
      expect(hint.x + hint.width).toBeLessThanOrEqual(stage.x + stage.width)
    }
    await page.mouse.move(bar.x + bar.width * 0.62, bar.y + bar.height / 2)
    expect(await page.locator('#seek-time').textContent()).toBe('0:37')
    await picture(page, 'preview')
    await page.mouse.move(bar.x + bar.width / 2, bar.y - 200)
    await shown.waitFor({ state: 'hidden' })
    // looking does not seek, and one picture serves all
    expect(await currentTime(page)).toBeLessThan(20)
    expect(fetches()).toBe(before + 1)
    expect(complaints).toEqual([])
  })

  it('shows them under a finger too', async () => {
    const { url } = await server.link(manifest)
    const page = await visit(url, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true })
    await page.getByRole('button', { name: 'Ansehen' }).tap()
    await playsOn(page)
    await page.locator('video').tap()
    const bar = (await page.locator('#seek').boundingBox())!
    const finger = await page.context().newCDPSession(page)
    const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', share: number) =>
      finger.send('Input.dispatchTouchEvent', {
        type,
        touchPoints: type === 'touchEnd' ? [] : [{ x: bar.x + bar.width * share, y: bar.y + bar.height / 2 }],
      })
    await touch('touchStart', 0.2)
    await touch('touchMove', 0.5)
    await touch('touchMove', 0.6)
    await page.locator('#seek-picture').waitFor()
    expect(colourName(await tileCorner(page))).toBe('yellow')
    await picture(page, 'phone-preview')
    await touch('touchEnd', 0.6)
    await page.locator('#seek-hint').waitFor({ state: 'hidden' })
    await expect.poll(() => currentTime(page)).toBeGreaterThan(34)
  })

  it('gives a file that plays by itself, here and in ffmpeg', async () => {
    const own = server.vault.add(organisation, 'Grün', await makeOwnFilm())
    const { url } = await server.link(own, { allowDownload: true })
    const page = await visit(url)
    await view(page)
    await page.getByText('Herunterladen', { exact: true }).click()
    const link = page.getByRole('link', { name: /^MP4, 360p/ })
    const address = (await link.getAttribute('href')) ?? ''
    const download = page.waitForEvent('download')
    await link.click()
    expect((await download).suggestedFilename()).toBe('Grün (360p).mp4')
    const file = join(scratch, 'download.mp4')
    await (await download).saveAs(file)
    const asked = ['-count_frames', '-select_streams', 'v:0', '-show_entries', 'stream=nb_read_frames:format=duration']
    const counted = execFileSync('ffprobe', ['-v', 'error', ...asked, '-of', 'csv=p=0', file]).toString()
    expect(counted.trim().split('\n')).toEqual(['200', expect.stringMatching(/^[78]\.\d+$/)])
    // the bare file in a bare element: it plays, knows its length, and can be sought
    const bare = await page.evaluate(async (source) => {
      const video = document.createElement('video')
      video.muted = true
      video.src = source
      await new Promise((resolve, reject) => {
        video.onloadeddata = resolve
        video.onerror = () => reject(new Error(video.error?.message))
      })
      video.currentTime = 6
      await new Promise((resolve) => (video.onseeked = resolve))
      const canvas = document.createElement('canvas')
      const ink = canvas.getContext('2d') as CanvasRenderingContext2D
      ink.drawImage(video, 0, 0)
      return { length: video.duration, at: video.currentTime, colour: Array.from(ink.getImageData(9, 9, 1, 1).data) }
    }, address)
    expect(bare.at).toBe(6)
    expect(bare.length).toBeGreaterThan(7.5)
    expect(colourName(bare.colour)).toBe('green')
  })

  it('plays sound alone on a stage of its own', async () => {
    const sound = server.vault.add(organisation, 'Telefonat mit der Hausverwaltung', await makeSound())
    const { url } = await server.link(sound, { allowDownload: true })
    const page = await visit(url)
    await view(page)
    expect(await page.locator('.bars').isVisible()).toBe(true)
    expect((await page.locator('#stage').boundingBox())?.height).toBeLessThan(320)
    expect(await page.getByRole('button', { name: /^Vollbild/ }).count()).toBe(0)
    await pressControl(page.getByRole('button', { name: 'Einstellungen' }))
    expect(await page.getByRole('combobox', { name: 'Qualität' }).count()).toBe(0)
    expect(await page.getByRole('combobox', { name: 'Tempo' }).isVisible()).toBe(true)
    await page.keyboard.press('Escape')
    await picture(page, 'sound')
    // the bar stays: there is nothing that it hides
    await page.mouse.move(5, 5)
    await page.waitForTimeout(3_200)
    expect(await page.locator('#controls').evaluate((bar) => getComputedStyle(bar).opacity)).toBe('1')
    await page.getByText('Herunterladen', { exact: true }).click()
    const download = page.waitForEvent('download')
    await page.getByRole('link', { name: /^M4A/ }).click()
    expect((await download).suggestedFilename()).toBe('Telefonat mit der Hausverwaltung.m4a')
    expect(complaints).toEqual([])
  })

  it('says of a recording that cannot be played that it is safe, and waits for one that is being prepared', async () => {
    const bare = server.vault.add(organisation, 'Notizen', [
      { kind: 'original', name: 'notes.mp4', mediaType: 'video/mp4', content: new Uint8Array(5000) },
    ])
    const { url } = await server.link(bare, { allowDownload: true })
    const page = await visit(url)
    server.vault.state = 'transcoding'
    await page.getByRole('button', { name: 'Ansehen' }).click()
    await page.getByText('Die Aufzeichnung wird noch vorbereitet').first().waitFor()
    server.vault.state = 'unplayable'
    await page.getByText('Diese Aufzeichnung lässt sich nicht abspielen').first().waitFor({ timeout: 15_000 })
    await page.getByText('Sie ist sicher aufbewahrt').waitFor()
    expect(await page.locator('h1').textContent()).toBe('Notizen')
    await page.getByText('Herunterladen', { exact: true }).click()
    expect(await page.getByRole('link').allTextContents()).toEqual([expect.stringMatching(/^Original \(5.kB\)$/)])
    await picture(page, 'unplayable')
  })

  for (const locale of ['de-DE', 'en-GB'] as const) {
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const device of ['desktop', 'phone'] as const) {
        it.concurrent(
          `has no serious fault for those who see or hear otherwise: ${locale}, ${colorScheme}, ${device}`,
          // Waiting for its turn counts too.
          { timeout: 15 * 60_000 },
          async ({ expect }) => {
            await takingTurns(async () => {
              const phone = {
                viewport: { width: 390, height: 844 },
                deviceScaleFactor: 2,
                isMobile: true,
                hasTouch: true,
              }
              const { url } = await server.link(manifest, { allowDownload: true, passcode: 'open sesame' })
              const own = await browser.newContext({
                ...usual,
                locale,
                colorScheme,
                ...(device === 'phone' ? phone : {}),
              })
              const page = await open(url, own)
              await page.locator('#begin').waitFor()
              await withoutFaults(page, 'gate')
              await page.locator('#begin').click()
              await page.locator('#passcode').fill('wrong one')
              await page.keyboard.press('Enter')
              await page.locator('#passcode-fault:not(:empty)').waitFor()
              await withoutFaults(page, 'passcode')
              const [asked, stage] = [
                await page.locator('.cover-inner').boundingBox(),
                await page.locator('#stage').boundingBox(),
              ]
              expect(asked!.y, 'the question fits the stage').toBeGreaterThanOrEqual(stage!.y)
              expect(asked!.y + asked!.height).toBeLessThanOrEqual(stage!.y + stage!.height)
              if (device === 'phone' && colorScheme === 'light')
                await picture(page, `phone-passcode-${locale.slice(0, 2)}`)
              await page.locator('#passcode').fill('open sesame')
              await page.keyboard.press('Enter')
              await playsOn(page, expect)
              await page.keyboard.press('c')
              await pressControl(page.locator('#settings-toggle'))
              await page.locator('#downloads-label').click()
              await pressControl(page.locator('#settings-toggle'))
              await withoutFaults(page, 'playing')
              if (device === 'phone' && colorScheme === 'dark') await picture(page, 'phone-dark')
              await page.goto(`${server.origin}/s#rv1.half`)
              await withoutFaults(page, 'message')
              await own.close()
            })
          },
        )
      }
    }
  }

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
    await page.locator('#play[aria-label="Abspielen"]').waitFor({ state: 'attached' })
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
    await page.locator('#play[aria-label="Abspielen"]').waitFor({ state: 'attached' })
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
