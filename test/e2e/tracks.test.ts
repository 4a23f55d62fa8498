import { join } from 'node:path'
import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Manifest } from '../../src/domain/recording.ts'
import { organisation } from '../integration/viewer/viewer-server.ts'
import { missing, pressControl, startWatchBrowser, type WatchBrowser } from './watch-browser.ts'
import { makeTracks } from './watch-media.ts'

const pictures = process.env['MOSAIK_SCREENSHOTS']
let opened: WatchBrowser | undefined
let context: BrowserContext | undefined
let film: Manifest
let sound: Manifest
const complaints: string[] = []

beforeAll(async () => {
  opened = await startWatchBrowser()
  film = opened?.server.vault.add(organisation, 'Jahrestagung', await makeTracks('film')) as Manifest
  sound = opened?.server.vault.add(organisation, 'Jahrestagung, Ton', await makeTracks('sound')) as Manifest
})
afterAll(() => opened?.close())
beforeEach(({ skip }) => {
  if (missing !== undefined) skip(`${missing} is not here`)
  complaints.length = 0
})
afterEach(async () => {
  await context?.close()
  context = undefined
})

/** The page, playing; and an ear at its video element. */
async function watch(manifest: Manifest, options: BrowserContextOptions = {}): Promise<Page> {
  const { server, browser } = opened as WatchBrowser
  const { url } = await server.link(manifest, { allowDownload: true })
  context ??= await browser.newContext({ locale: 'de-DE', viewport: { width: 1280, height: 800 }, ...options })
  const page = await context.newPage()
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complaints.push(message.text())
  })
  await page.goto(url)
  await page.getByRole('button', { name: /^(Ansehen|View)$/ }).click()
  await expect.poll(() => currentTime(page), { timeout: 20_000 }).toBeGreaterThan(0.3)
  await page.evaluate(async () => {
    const video = document.querySelector('video') as HTMLVideoElement
    video.loop = true
    const hearing = new AudioContext()
    await hearing.resume()
    const ear = hearing.createAnalyser()
    ear.fftSize = 8192
    hearing.createMediaElementSource(video).connect(ear).connect(hearing.destination)
    Object.assign(window, { ear, rate: hearing.sampleRate })
  })
  return page
}

const currentTime = (page: Page): Promise<number> =>
  page.evaluate(() => document.querySelector('video')?.currentTime ?? -1)

/** The loudest tone that is played, to the nearest hundred hertz. */
async function pitch(page: Page): Promise<number> {
  return page.evaluate(() => {
    const { ear, rate } = window as unknown as { ear: AnalyserNode; rate: number }
    const strengths = new Float32Array(ear.frequencyBinCount)
    ear.getFloatFrequencyData(strengths)
    const loudest = strengths.reduce((best, strength, i) => (strength > (strengths[best] ?? 0) ? i : best), 0)
    if ((strengths[loudest] ?? -Infinity) < -60) return 0
    return Math.round((loudest * rate) / ear.fftSize / 100) * 100
  })
}

const picture = async (page: Page, name: string): Promise<void> => {
  if (pictures !== undefined) await page.screenshot({ path: join(pictures, `${name}.png`), animations: 'disabled' })
}

describe('sounds and captions in several languages', () => {
  it('plays the sound that is chosen, keeps the choice, and shows captions of either language', async () => {
    const page = await watch(film)
    await expect.poll(() => pitch(page), { timeout: 20_000 }).toBe(300)
    await pressControl(page.getByRole('button', { name: 'Einstellungen' }))
    const choice = page.getByRole('combobox', { name: 'Tonspur' })
    expect(await choice.locator('option').allTextContents()).toEqual(['Deutsch', 'Englisch – Interpreter'])
    await choice.selectOption({ label: 'Englisch – Interpreter' })
    await expect.poll(() => pitch(page), { timeout: 20_000 }).toBe(1200)
    await page.getByRole('combobox', { name: 'Untertitel' }).selectOption({ label: 'Englisch' })
    await expect.poll(() => page.locator('#captions').textContent()).toContain('Good morning everybody')
    await picture(page, 'tracks')
    // the picture goes on meanwhile, and a seek keeps the sound
    await page.keyboard.press('Escape')
    await page.evaluate(() => ((document.querySelector('video') as HTMLVideoElement).currentTime = 6))
    await expect.poll(() => currentTime(page), { timeout: 20_000 }).toBeGreaterThan(6.3)
    await expect.poll(() => pitch(page), { timeout: 20_000 }).toBe(1200)
    await pressControl(page.getByRole('button', { name: 'Einstellungen' }))
    await choice.selectOption({ label: 'Deutsch' })
    await expect.poll(() => pitch(page), { timeout: 20_000 }).toBe(300)
    await choice.selectOption({ label: 'Englisch – Interpreter' })
    expect(complaints).toEqual([])

    // the next visit of this browser begins with it
    const again = await watch(film)
    await expect.poll(() => pitch(again), { timeout: 20_000 }).toBe(1200)
    await again.getByText('Herunterladen', { exact: true }).click()
    const download = again.waitForEvent('download')
    await again.getByRole('link', { name: /^M4A, Englisch – Interpreter/ }).click()
    expect((await download).suggestedFilename()).toBe('Jahrestagung (en Interpreter).m4a')
  })

  it('lets choose where there is no picture', async () => {
    const page = await watch(sound)
    await expect.poll(() => pitch(page), { timeout: 20_000 }).toBe(300)
    await pressControl(page.getByRole('button', { name: 'Einstellungen' }))
    await page.getByRole('combobox', { name: 'Tonspur' }).selectOption({ label: 'Englisch – Interpreter' })
    await expect.poll(() => pitch(page), { timeout: 20_000 }).toBe(1200)
    expect(complaints).toEqual([])
  })

  it('fits a picture upright on a phone, in English', async () => {
    const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }
    const page = await watch(film, { ...phone, locale: 'en-GB' })
    const [width, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
    expect(width).toBe(inner)
    const box = await page.locator('video').boundingBox()
    expect(box?.height ?? 0).toBeLessThanOrEqual(844)
    await page.locator('video').tap()
    await pressControl(page.getByRole('button', { name: 'Settings' }), 'tap')
    expect(await page.getByRole('combobox', { name: 'Audio track' }).locator('option').allTextContents()).toEqual([
      'German',
      'English – Interpreter',
    ])
    await picture(page, 'phone-tracks')
    expect(complaints).toEqual([])
  })
})
