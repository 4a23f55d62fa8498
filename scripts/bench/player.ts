import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import express, { type Express } from 'express'
import { chromium, type Browser } from 'playwright-core'
import { createLinks } from '../../src/access/links.ts'
import { createArgon2Passcodes } from '../../src/adapters/argon2-passcode.ts'
import { MemoryRateCounter } from '../../src/adapters/memory-rate-counter.ts'
import { createViewerRouter } from '../../src/http/viewer/router.ts'
import { findProgram } from '../../test/support/services/commands.ts'
import type { TestVault } from '../../test/support/test-vault.ts'
import { buildPlayer } from '../build-player.ts'
import { film } from './media.ts'
import { LESS, Skipped, interleave, type Measurement, type Options, type Row } from './row.ts'
import { mediaTool, openBenchVault, runStage, store } from './vault.ts'

const FIRST_PICTURE_LIMIT_MS = 60_000

/** The least that plays HLS: hls.js as our page has it, from the same kind of server. */
const STATIC_PAGE = `<!doctype html><meta charset="utf-8"><title>static</title>
<video id="video" muted playsinline></video><script src="hls.js"></script><script src="play.js"></script>`
const STATIC_SCRIPT = `const video = document.getElementById('video')
const hls = new Hls({ enableWorker: false })
hls.loadSource('master.m3u8')
hls.attachMedia(video)
video.play().catch(() => undefined)`

/** Where a link is pressed: a page of another site, as that of a mail reader. */
const INBOX_PAGE = '<!doctype html><meta charset="utf-8"><title>mail</title><a id="link">your recording</a>'

/** Presses what there is to press as soon as it is there, and notes when the first picture is on the screen. */
const WATCHER = `(() => {
  let isPressed = false
  let isWatched = false
  const look = () => {
    const video = document.querySelector('video')
    if (video && !isWatched) {
      isWatched = true
      video.requestVideoFrameCallback(() => { window.firstPictureMs = performance.now() })
    }
    const begin = document.getElementById('begin')
    if (begin && !begin.hidden && begin.onclick && !isPressed) {
      isPressed = true
      begin.click()
    }
  }
  new MutationObserver(look).observe(document, { childList: true, subtree: true, attributes: true })
  document.addEventListener('DOMContentLoaded', look)
})()`

async function listening(app: Express): Promise<{ server: Server; origin: string }> {
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** The vault's watch page and all behind it, on a port of its own. */
async function watchServer(
  vault: TestVault,
  folder: string,
): Promise<{ server: Server; origin: string; link(recording: string): Promise<string> }> {
  const built = await buildPlayer(join(folder, 'page'))
  const page = (name: string): Uint8Array => new Uint8Array(readFileSync(join(built, name)))
  const links = createLinks({
    ...{ catalog: vault.catalog.links, keyring: vault.keyring, clock: vault.clock, random: vault.random },
    passcodes: createArgon2Passcodes(vault.random),
  })
  const app = express()
  const { server, origin } = await listening(app)
  app.use(
    createViewerRouter({
      ...{ links, reader: vault.reader, recordings: vault.catalog.recordings, log: vault.log },
      ...{ clock: vault.clock, rates: new MemoryRateCounter(vault.clock) },
      publicUrl: origin,
      page: {
        ...{ html: page('index.html'), script: page('watch.js'), style: page('watch.css') },
        ...{ hls: page('hls.js'), hlsLight: page('hls-light.js') },
      },
      exchangeRateLimit: { maxCount: 1000, windowMs: 60_000 },
    }),
  )
  return {
    ...{ server, origin },
    link: async (recording) =>
      origin + (await links.create({ organisation: vault.organisation, recording }, {})).urlPath,
  }
}

/** Fetches the HLS of a link as a player does, and lays it down as files. */
async function copyHls(url: string, folder: string): Promise<void> {
  const { origin, hash } = new URL(url)
  const answer = await fetch(`${origin}/s/exchange`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: hash.slice(1) }),
  })
  const { grant } = (await answer.json()) as { grant: string }
  const cookie = answer.headers
    .getSetCookie()
    .map((one) => one.split(';')[0]!)
    .join('; ')
  const take = async (name: string): Promise<Buffer> => {
    const response = await fetch(`${origin}/s/${grant}/${name}`, { headers: { cookie } })
    if (!response.ok) throw new Error(`${name}: ${response.status}`)
    const body = Buffer.from(await response.arrayBuffer())
    writeFileSync(join(folder, name), body)
    return body
  }
  const named = (text: Buffer, pattern: RegExp): string[] => [...new Set(text.toString('utf8').match(pattern) ?? [])]
  for (const playlist of named(await take('master.m3u8'), /[0-9a-f]{32}\.m3u8/g)) {
    for (const file of named(await take(playlist), /[0-9a-f]{32}\.mp4/g)) await take(file)
  }
}

/** From the moment a link on the page `from` is pressed; without one, from asking an empty tab for the address. */
async function firstPictureMs(browser: Browser, from: string | undefined, url: string): Promise<number> {
  // Playwright waits by evaluating text in the page, which the watch page's policy forbids.
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, bypassCSP: true })
  try {
    const page = await context.newPage()
    await page.addInitScript(WATCHER)
    if (from === undefined) await page.goto(url, { waitUntil: 'commit' })
    else {
      await page.goto(from)
      await page.evaluate(`link.href = ${JSON.stringify(url)}; link.click()`)
    }
    const found = await page.waitForFunction('window.firstPictureMs', undefined, {
      timeout: FIRST_PICTURE_LIMIT_MS,
      polling: 100,
    })
    return Number(await found.jsonValue())
  } finally {
    await context.close()
  }
}

async function measure({ folder, repetitions }: Options, executablePath: string): Promise<Row[]> {
  const codecs = '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 -b:v 1M -c:a aac -b:a 96k'
  const path = await film(join(folder, 'film.mp4'), 60, codecs, '640x360')
  const vault = await openBenchVault(folder, { media: await mediaTool() })
  const recording = await store(vault, path)
  await runStage(vault, recording, 'transcode')
  const ours = await watchServer(vault, folder)
  const files = join(folder, 'static')
  mkdirSync(files)
  writeFileSync(join(files, 'index.html'), STATIC_PAGE)
  writeFileSync(join(files, 'play.js'), STATIC_SCRIPT)
  const hls = createRequire(import.meta.url).resolve('hls.js/dist/hls.light.min.js')
  writeFileSync(join(files, 'hls.js'), readFileSync(hls))
  await copyHls(await ours.link(recording), files)
  writeFileSync(join(files, 'inbox.html'), INBOX_PAGE)
  const peer = await listening(express().use(express.static(files)))
  // another site than 127.0.0.1
  const inbox = `http://localhost:${new URL(peer.origin).port}/inbox.html`
  const browser = await chromium.launch({
    executablePath,
    args: [
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--mute-audio',
      '--autoplay-policy=no-user-gesture-required',
    ],
  })
  try {
    const rows: Row[] = []
    for (const [name, from, how] of [
      ['player.first-picture.vs-static', inbox, 'link pressed on a page of another site'],
      [
        'player.first-picture.empty-tab.vs-static',
        undefined,
        'address asked of an empty tab, whose process is there already',
      ],
    ] as const) {
      const [a, b] = await interleave(repetitions, [
        async () => await firstPictureMs(browser, from, await ours.link(recording)),
        () => firstPictureMs(browser, from, `${peer.origin}/index.html`),
      ])
      rows.push({
        ...{ name, value: a! / b!, unit: LESS, goal: 1.5 },
        peer: `a bare hls.js page and the same HLS from a static file server; ${how}`,
        detail: `${a!.toFixed(0)} ms : ${b!.toFixed(0)} ms`,
      })
    }
    return rows
  } finally {
    await browser.close()
    for (const { server } of [ours, peer]) {
      server.closeAllConnections()
      server.close()
    }
    await vault.close()
  }
}

export const playerMeasurements: Measurement[] = [
  {
    names: ['player.first-picture.vs-static', 'player.first-picture.empty-tab.vs-static'],
    unit: LESS,
    async run(options): Promise<Row[]> {
      const browser = process.env['MOSAIK_CHROMIUM'] ?? findProgram('chromium') ?? findProgram('google-chrome')
      if (browser === undefined) throw new Skipped('Chromium is not on this machine')
      return await measure(options, browser)
    },
  },
]
