import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { ReadableStream as WebStream } from 'node:stream/web'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { MosaikError } from '../../domain/errors.ts'
import { childEnvironment, readConfig } from '../config.ts'
import type { Screen } from '../screen.ts'
import { startVault } from '../start.ts'
import { depositSample } from './start.ts'

const SAMPLE_MS = 60_000
const TOLERANCE_MS = 500

/**
 * `mosaik start --check`: a vault of its own (folder and port too, where none are given), the sample through it, and the link fetched as a browser
 * would: token exchange, playlists, a range from the middle, every rendition decoded to the end. One last line; anything wrong ends with exit code 1 and its reason.
 */
export async function check(screen: Screen, flags: { readonly [name: string]: unknown }): Promise<void> {
  try {
    await tryEverything(screen, flags)
  } catch (error) {
    screen.failure(error, 'the check failed: ')
    process.exitCode = 1
  }
}

async function tryEverything(screen: Screen, flags: { readonly [name: string]: unknown }): Promise<void> {
  const own = flags['data'] === undefined ? mkdtempSync(join(tmpdir(), 'mosaik-check-')) : undefined
  const config = readConfig({ ...flags, data: flags['data'] ?? own, port: flags['port'] ?? 0 })
  try {
    const running = await startVault({ ...config, watch: undefined }, { askPassphrase: false }, screen)
    try {
      const { recording, url } = await depositSample(running, screen)
      const viewer = await Viewer.exchange(running.publicUrl, url)
      const durations = await checkRenditions(viewer)
      await running.vault.links.revoke((await running.vault.links.list(recording))[0]!.id)
      if ((await viewer.fetch('recording.json')).status !== 404) {
        throw new MosaikError('E_INTERNAL', 'the link still opens after it was revoked')
      }
      screen.result(`ok: stored, transcoded, played back (${durations.join(', ')}), revoked`, { ok: true, durations })
    } finally {
      await running.close()
    }
  } finally {
    if (own !== undefined) rmSync(own, { recursive: true, force: true })
  }
}

/** The link, as a browser uses it. */
class Viewer {
  readonly #base: string
  readonly #cookie: string

  private constructor(base: string, cookie: string) {
    this.#base = base
    this.#cookie = cookie
  }

  static async exchange(publicUrl: string, link: string): Promise<Viewer> {
    const { hash, origin } = new URL(link)
    const page = await fetch(`${publicUrl}/s`)
    if (!page.ok) throw wrong(`the watch page answered ${page.status}`)
    const answer = await fetch(`${publicUrl}/s/exchange`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin },
      body: JSON.stringify({ token: hash.slice(1) }),
    })
    if (!answer.ok) throw wrong(`the token exchange answered ${answer.status}`)
    const { grant } = granted.parse(await answer.json())
    const cookie = answer.headers.getSetCookie()[0]?.split(';')[0]
    if (cookie === undefined) throw wrong('the token exchange set no cookie')
    return new Viewer(`${publicUrl}/s/${grant}/`, cookie)
  }

  async fetch(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return await fetch(new URL(path, this.#base), { headers: { ...headers, cookie: this.#cookie } })
  }

  async text(path: string): Promise<string> {
    const answer = await this.fetch(path)
    if (!answer.ok) throw wrong(`${path} answered ${answer.status}`)
    return await answer.text()
  }
}

const granted = z.object({ grant: z.string() })
const viewed = z.object({
  durationMs: z.number(),
  renditions: z.array(z.object({ name: z.string(), width: z.number(), playlist: z.string() })).min(1),
  captions: z.array(z.object({ url: z.string() })).min(1),
  poster: z.string(),
})

/** Every rendition: its playlist is in the master's, a range from the middle comes exactly, all of it decodes to the recording's length. */
async function checkRenditions(viewer: Viewer): Promise<string[]> {
  const view = viewed.parse(JSON.parse(await viewer.text('recording.json')))
  const master = await viewer.text('master.m3u8')
  if (!(await viewer.text(view.captions[0]!.url)).startsWith('WEBVTT')) throw wrong('the captions are not WebVTT')
  if (!(await viewer.fetch(view.poster)).ok) throw wrong('there is no poster')
  const durations: string[] = []
  for (const { name, width, playlist } of view.renditions) {
    if (!master.includes(playlist)) throw wrong(`the master playlist does not name ${name}`)
    const media = /^#EXT-X-MAP:URI="([^"]+)"/m.exec(await viewer.text(playlist))?.[1]
    if (media === undefined) throw wrong(`the playlist of ${name} has no initialisation section`)
    await checkMiddle(viewer, media, name)
    const decodedMs = await decodedDurationMs(await viewer.fetch(media), width > 0 ? '0:v:0' : '0:a:0')
    if (Math.abs(decodedMs - SAMPLE_MS) > TOLERANCE_MS) {
      throw wrong(`${name} decodes to ${decodedMs} ms and should have ${SAMPLE_MS}`)
    }
    durations.push(`${name} ${(decodedMs / 1000).toFixed(1)} s`)
  }
  return durations
}

async function checkMiddle(viewer: Viewer, media: string, name: string): Promise<void> {
  const sizeBytes = Number(
    (await viewer.fetch(media, { range: 'bytes=0-0' })).headers.get('content-range')?.split('/')[1],
  )
  const from = Math.floor(sizeBytes / 2)
  const part = await viewer.fetch(media, { range: `bytes=${from}-${from + 99_999}` })
  const bytes = await part.arrayBuffer()
  if (part.status !== 206 || bytes.byteLength !== Math.min(100_000, sizeBytes - from)) {
    throw wrong(`a range from the middle of ${name} answered ${part.status} with ${bytes.byteLength} bytes`)
  }
}

/** Decodes a stream of a file with ffmpeg to its end and says how long it was. */
async function decodedDurationMs(answer: Response, stream: string): Promise<number> {
  if (!answer.ok || !answer.body) throw wrong(`the media answered ${answer.status}`)
  const decoder = spawn(
    'ffmpeg',
    ['-v', 'error', '-i', 'pipe:0', '-map', stream, '-progress', 'pipe:1', '-f', 'null', '-'],
    {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: childEnvironment(),
    },
  )
  let progress = ''
  decoder.stdout.setEncoding('utf8').on('data', (text: string) => (progress = (progress + text).slice(-4096)))
  const ended = new Promise<number | null>((resolve) => decoder.once('close', resolve))
  const sending = pipeline(Readable.fromWeb(answer.body as WebStream), decoder.stdin).catch((error: unknown) => error)
  const exitCode = await ended
  if (exitCode !== 0) throw wrong(`ffmpeg could not decode what the vault played (it ended with ${exitCode})`)
  const unsent = await sending
  // ffmpeg may close its input once it has seen the end of the film.
  if (unsent !== undefined && (unsent as NodeJS.ErrnoException).code !== 'EPIPE') throw unsent
  return Math.round(Number([...progress.matchAll(/^out_time_us=(\d+)$/gm)].at(-1)?.[1] ?? 0) / 1000)
}

function wrong(message: string): MosaikError {
  return new MosaikError('E_INTERNAL', message)
}
