import { mkdtempSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type Browser, type Locator } from 'playwright-core'
import { buildPlayer } from '../../scripts/build-player.ts'
import { startViewerServer, type ViewerServer } from '../integration/viewer/viewer-server.ts'
import { findProgram } from '../support/services/commands.ts'

const browserPath = process.env['MOSAIK_CHROMIUM'] ?? findProgram('chromium') ?? findProgram('google-chrome')

/** What is not here of what the page is tried with; `undefined`: all is. */
export const missing =
  browserPath === undefined ? 'chromium' : findProgram('ffmpeg') === undefined ? 'ffmpeg' : undefined

/** The watch page as it is built, behind the viewer's router, and a browser. */
export interface WatchBrowser {
  readonly server: ViewerServer
  readonly browser: Browser
  /** A folder that goes with it. */
  readonly scratch: string
  close(): Promise<void>
}

/** @throws in CI when something is missing: there the watch page may not be skipped. */
export async function startWatchBrowser(): Promise<WatchBrowser | undefined> {
  if (missing !== undefined) {
    if ((process.env['CI'] ?? '') !== '')
      throw new Error(`in CI the watch page may not be skipped: ${missing} is not here`)
    return undefined
  }
  const scratch = mkdtempSync(join(tmpdir(), 'mosaik-watch-page-'))
  const folder = await buildPlayer(join(scratch, 'page'))
  const read = (name: string): Promise<Uint8Array> => readFile(join(folder, name))
  const page = {
    ...{ html: await read('index.html'), script: await read('watch.js'), style: await read('watch.css') },
    ...{ hls: await read('hls.js'), hlsLight: await read('hls-light.js') },
  }
  const server = await startViewerServer({ page })
  const browser = await chromium.launch({
    executablePath: browserPath ?? '',
    args: [
      ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--mute-audio'],
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  })
  return {
    ...{ server, browser, scratch },
    async close() {
      await browser.close()
      await server.close()
      await rm(scratch, { recursive: true, force: true })
    },
  }
}

/** Presses a control of the player, which hides its controls after a few seconds of a machine's time: moved about until it is done. */
export async function pressControl(control: Locator, by: 'click' | 'tap' = 'click'): Promise<void> {
  const stage = control.page().locator('#stage')
  const wake = (): void => void stage.dispatchEvent('pointermove').catch(() => undefined)
  wake()
  const waking = setInterval(wake, 400)
  try {
    await control[by]()
  } finally {
    clearInterval(waking)
  }
}
