import { mkdtempSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { buildPlayer } from '../../scripts/build-player.ts'
import { createDocsPage } from '../../src/http/api/docs-page.ts'
import { findProgram } from '../support/services/commands.ts'
import { takingTurns } from '../support/media-fixtures.ts'
import { apiStage } from '../unit/http-api/api-stage.ts'
import { seriousFaults } from './axe.ts'

const browserPath = process.env['MOSAIK_CHROMIUM'] ?? findProgram('chromium') ?? findProgram('google-chrome')
const mayNotSkip = (process.env['CI'] ?? '') !== ''
/** Where the documented pictures go: `MOSAIK_SCREENSHOTS=docs/screenshots npm test -- test/e2e/api-docs.test.ts` makes them again. */
const pictures = process.env['MOSAIK_SCREENSHOTS']
const usual = { locale: 'en-GB', viewport: { width: 1280, height: 900 } }
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }
const scratch = mkdtempSync(join(tmpdir(), 'mosaik-api-docs-'))

let stage: Awaited<ReturnType<typeof apiStage>>
let browser: Browser
let context: BrowserContext | undefined
const complaints: string[] = []
const requests: string[] = []

beforeAll(async () => {
  if (browserPath === undefined) {
    if (mayNotSkip) throw new Error('in CI the API page may not be skipped: chromium is not here')
    return
  }
  const folder = join(await buildPlayer(join(scratch, 'watch')), '../docs')
  const read = (name: string): Promise<Uint8Array> => readFile(join(folder, name))
  const page = { html: await read('index.html'), script: await read('docs.js'), style: await read('docs.css') }
  stage = await apiStage({
    also: (app) => {
      app.use((request, _response, next) => {
        requests.push(`${request.method} ${request.url}`)
        next()
      })
      app.use('/api', createDocsPage({ page, publicUrl: 'http://vault.example/' }))
    },
  })
  browser = await chromium.launch({
    executablePath: browserPath,
    args: [
      ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  })
})

afterAll(async () => {
  await browser?.close()
  await stage?.close()
  await rm(scratch, { recursive: true, force: true })
})

beforeEach(({ skip }) => {
  if (browserPath === undefined) skip('chromium is not here')
  complaints.length = 0
  requests.length = 0
})

afterEach(async () => {
  await context?.close()
  context = undefined
})

/** A browser of its own with the page in it; English, 1280 by 900, unless told. Its context is closed after the test. */
async function visit(options: BrowserContextOptions = {}, path = '/api/docs'): Promise<Page> {
  context = await browser.newContext({ ...usual, ...options })
  return await open(context, path, complaints)
}

async function open(own: BrowserContext, path: string, complained: string[]): Promise<Page> {
  const page = await own.newPage()
  page.on('pageerror', (error) => complained.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      complained.push(message.text())
  })
  await page.goto(`${stage.url}${path}`)
  await page.locator('details.operation').first().waitFor()
  return page
}

async function picture(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: join(pictures ?? scratch, `${name}.png`), animations: 'disabled' })
}

describe('the page of the API in Chromium', () => {
  it('shows every operation of the document, and finds them', async () => {
    const page = await visit()
    const { body } = await stage.plain('GET', '/openapi.json')
    const paths = body['paths'] as Record<string, Record<string, { operationId: string }>>
    const ids = Object.values(paths).flatMap((item) => Object.values(item).map(({ operationId }) => operationId))
    const shown = await page.locator('details.operation').evaluateAll((boxes) => boxes.map(({ id }) => id))
    expect(shown.sort()).toEqual(ids.sort())
    await picture(page, 'api')
    await page.getByRole('searchbox').fill('link nowhere')
    expect(await page.locator('details.operation:visible').count()).toBe(0)
    await page.getByText('Nothing of that name.').waitFor()
    await page.getByRole('searchbox').fill('delete link')
    expect(await page.locator('details.operation:visible').evaluateAll((boxes) => boxes.map(({ id }) => id))).toEqual([
      'revokeLink',
    ])
    expect(complaints).toEqual([])
  })

  it('tells of an operation who may, what goes in and what comes out', async () => {
    const page = await visit({}, '/api/docs#createLink')
    const box = page.locator('#createLink')
    await box.getByText('How often it may be opened').waitFor()
    expect(await box.locator('.role').allTextContents()).toEqual(['host'])
    for (const text of [
      'expiresIn',
      'maxViews',
      'allowDownload',
      'passcode',
      'expiresAt',
      '201',
      '401',
      '415',
      '429',
    ]) {
      expect(await box.getByText(text, { exact: true }).count(), text).toBeGreaterThan(0)
    }
    await picture(page, 'api-operation')
    await page.locator('#listLinks > summary').click()
    const views = page.locator('#listLinks li', { has: page.getByText('maxViews', { exact: true }) }).last()
    expect(await views.locator('.kind').first().textContent()).toBe('number or null')
    expect(complaints).toEqual([])
  })

  it('tries a real call with a token, which goes nowhere else', async () => {
    const { id } = await stage.addRecording(stage.first, 'A meeting to be found')
    const host = await stage.caller('host', stage.first)
    const page = await visit({ locale: 'de-DE', colorScheme: 'dark' })
    await page.getByLabel('Token, um Aufrufe zu versuchen').fill(host.token)
    const box = page.locator('#getRecording')
    await box.locator('> summary').click()
    await box.getByText('Ausprobieren').click()
    await box.getByLabel('id', { exact: true }).fill(id)
    await box.getByRole('button', { name: 'Senden' }).click()
    await box.getByText('A meeting to be found').waitFor()
    expect(await box.locator('.answer code').first().textContent()).toBe('200 OK')
    await page.getByRole('searchbox').fill('getRecording')
    await picture(page, 'api-try-dark')
    await page.getByRole('searchbox').fill('')

    const make = page.locator('#createLink')
    await make.locator('> summary').click()
    await make.getByText('Ausprobieren').click()
    await make.getByLabel('id', { exact: true }).fill('0'.repeat(32))
    await make.getByRole('button', { name: 'Senden' }).click()
    await make.getByText('E_RECORDING_UNKNOWN').last().waitFor()
    const download = page.locator('#downloadOriginal')
    await download.locator('> summary').click()
    await download.getByText('Ausprobieren').click()
    await download.getByLabel('id', { exact: true }).fill(id)
    await download.getByRole('button', { name: 'Senden' }).click()
    await download.getByText('1024 Bytes, video/mp4').waitFor()
    const kept = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
    )
    expect(kept).not.toContain(host.token)
    expect(requests.join('\n')).not.toContain(host.token)
    expect(stage.log.lines.join('\n')).not.toContain(host.token)
    expect(complaints).toEqual([])
  })

  it('changes its language, and keeps open what was open', async () => {
    const page = await visit({}, '/api/docs#listNodes')
    await page.getByRole('button', { name: 'Deutsch' }).click()
    await page.getByRole('heading', { name: 'Schnittstelle für Gastgeber' }).waitFor()
    expect(await page.locator('html').getAttribute('lang')).toBe('de')
    expect(await page.locator('#listNodes').evaluate((box) => (box as HTMLDetailsElement).open)).toBe(true)
    await page.locator('#listNodes').getByText('der Organisation des Anbieters').waitFor()
  })

  for (const locale of ['de-DE', 'en-GB']) {
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const device of ['desktop', 'phone'] as const) {
        it.concurrent(
          `has no serious fault, and fits: ${locale}, ${colorScheme}, ${device}`,
          { timeout: 15 * 60_000 },
          async () => {
            // Waiting for its turn counts too.
            await takingTurns(async () => {
              const own = await browser.newContext({
                ...usual,
                locale,
                colorScheme,
                ...(device === 'phone' ? phone : {}),
              })
              const complained: string[] = []
              const page = await open(own, '/api/docs#getHealth', complained)
              await page.locator('#getHealth .fields').first().waitFor()
              for (const id of ['listRecordings', 'createLink', 'addNode', 'createUpload']) {
                await page.locator(`#${id} > summary`).click()
                const tried = page.locator(`#${id} .tryout > summary`)
                if ((await tried.count()) > 0) await tried.click()
              }
              expect(await seriousFaults(page)).toEqual([])
              const [whole, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
              expect(whole).toBe(seen)
              if (device === 'phone' && locale === 'de-DE') {
                await page.locator('#createLink').scrollIntoViewIfNeeded()
                await page.evaluate(() => document.getElementById('createLink')?.scrollIntoView())
                await picture(page, colorScheme === 'dark' ? 'api-phone-dark' : 'api-phone-de')
              }
              expect(complained).toEqual([])
              await own.close()
            })
          },
        )
      }
    }
  }

  it('is led to from /api, and from /api/v1 by a browser only', async () => {
    const page = await visit()
    expect(page.url()).toBe(`${stage.url}/api/docs`)
    const ask = (path: string, accept: string) =>
      fetch(`${stage.url}${path}`, { redirect: 'manual', headers: { accept } })
    for (const path of ['/api/', '/api/docs/', '/api/v1', '/api/v1/']) {
      const answer = await ask(path, 'text/html,*/*;q=0.8')
      expect([answer.status, answer.headers.get('location')], path).toEqual([302, '/api/docs'])
    }
    expect((await ask('/api/v1/', 'application/json')).status).toBe(401)
    const { headers } = await ask('/api/docs', 'text/html')
    expect(headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'self'/)
    expect(headers.get('content-security-policy')).not.toContain('unsafe')
  })
})
