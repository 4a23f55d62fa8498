import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFfmpegTool } from '../../../src/adapters/ffmpeg/tool.ts'
import { describeFile } from '../../../src/adapters/file-source.ts'
import type { ManifestAsset } from '../../../src/domain/recording.ts'
import * as hostile from '../../support/hostile-media.ts'
import * as fixtures from '../../support/media-fixtures.ts'
import * as odd from '../../support/odd-media.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

/** Files from elsewhere, odd and hostile, each through the whole vault: deposited, stored, read back and transcoded. */
const never = new AbortController().signal
const host = fixtures.testHost()
const secrets: string[] = []
let vault: TestVault
let socketFolder: string
let listener: Server
let visits = 0
let address: string

beforeAll(async () => {
  listener = createServer((_, response) => {
    visits++
    response.end('#EXTM3U\n')
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  address = `http://127.0.0.1:${String((listener.address() as AddressInfo).port)}`
  socketFolder = join(await fixtures.fixtureFolder(), 's')
  await mkdir(socketFolder)
  const random = {
    ...host.random,
    bytes(length: number) {
      const bytes = host.random.bytes(length)
      secrets.push(Buffer.from(bytes).toString('hex'))
      return bytes
    },
  }
  // In the sandbox the other tests run: here many files are to be tried, and it takes longer than they do.
  const media = await createFfmpegTool({ ...host, random, socketFolder, confinement: 'loopback' })
  vault = await makeTestVault({ media, threads: 0 })
})
afterAll(async () => {
  await vault.close()
  listener.close()
  await fixtures.removeMediaFixtures()
})

async function readAsset(recording: string, asset: ManifestAsset): Promise<Buffer> {
  const opened = await vault.reader.open(vault.organisation, recording, 'play', never)
  const chunks: Uint8Array[] = []
  for await (const chunk of opened.asset(asset.id).read(0, asset.contentBytes, never)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Puts a file into the vault, and says what became of it; the original is there byte for byte. */
async function through(path: string) {
  const recording = await vault.deposit(path, await describeFile(path))
  await vault.runOnce(await vault.workOf(recording, 'store'))
  await vault.runOnce(await vault.workOf(recording, 'transcode'))
  const row = await vault.catalog.recordings.get(recording, vault.organisation)
  const { manifest } = await vault.reader.open(vault.organisation, recording, 'play', never)
  const [original] = manifest.assets
  if (original === undefined) throw new Error('no original')
  expect((await readAsset(recording, original)).equals(await readFile(path)), 'the original').toBe(true)
  expect(await vault.catalog.recordings.receipt(recording)).toBeDefined()
  const renditions = manifest.assets.filter(({ kind }) => kind === 'rendition')
  return {
    state: row?.state,
    reason: row?.reason ?? null,
    durationMs: row?.durationMs ?? 0,
    assets: manifest.assets,
    renditions: renditions.map(({ name, playback }) =>
      playback?.height === 0 ? name : `${name} ${String(playback?.width)}x${String(playback?.height)}`,
    ),
    read: (asset: ManifestAsset) => readAsset(recording, asset),
    events: await vault.catalog.recordings.events(recording),
  }
}

interface Plays {
  /** Names, and sizes of those with a picture. */
  readonly renditions: readonly string[]
  readonly durationMs?: number
  readonly frames?: number
  /** Of a recording that is ready and has a reason. */
  readonly says?: RegExp
}

/** Ready, with these renditions; the first one decodes to its end. */
async function plays(path: string, expected: Plays) {
  const found = await through(path)
  expect(found).toMatchObject({ state: 'ready', renditions: expected.renditions })
  if (expected.says === undefined) expect(found.reason).toBeNull()
  else expect(found.reason?.message).toMatch(expected.says)
  const durationMs = expected.durationMs ?? 2000
  expect(Math.abs(found.durationMs - durationMs), `${String(found.durationMs)} ms`).toBeLessThan(250)
  const rendition = found.assets.find(({ kind }) => kind === 'rendition')
  if (!rendition?.playback) throw new Error('no rendition')
  const decoded = await fixtures.playAsHls('odd', await found.read(rendition), rendition.playback)
  if (rendition.playback.width > 0) {
    expect(decoded.contrast, 'not one colour').toBeGreaterThan(40)
    if (expected.frames !== undefined) expect(Math.abs(decoded.frames - expected.frames)).toBeLessThanOrEqual(2)
  } else {
    expect(Math.abs(decoded.soundMs - durationMs)).toBeLessThan(250)
  }
  return found
}

/** Unplayable, with a reason in words. */
async function refused(path: string, says: RegExp, code = /^E_MEDIA_(UNREADABLE|UNSUPPORTED|LIMIT)$/) {
  const { state, reason, renditions } = await through(path)
  expect({ state, renditions }).toEqual({ state: 'unplayable', renditions: [] })
  expect(reason?.message).toMatch(says)
  expect(reason?.code).toMatch(code)
}

function check(name: string, run: () => Promise<unknown>): void {
  // Waiting for its turn counts too.
  test.concurrent(name, { timeout: 15 * 60_000 }, async () => {
    await fixtures.takingTurns(run)
  })
}

const small = ['90p 160x90', 'audio']
const good: Record<odd.OddName, Plays> = {
  'one-frame-a-second.mp4': { renditions: small, frames: 5, durationMs: 5000 },
  'slides.mp4': { renditions: small, frames: 10, durationMs: 300_000 },
  'rare-slides.webm': { renditions: small, frames: 6, durationMs: 600_000 },
  'rare-slides-to-encode.mp4': { renditions: small, frames: 6, durationMs: 600_000 },
  'two-lines.mp4': { renditions: ['2p 64x2', 'audio'], frames: 20 },
  'two-lines.mkv': { renditions: ['2p 64x2', 'audio'], frames: 20 },
  'two-columns.mp4': { renditions: ['2p 2x64', 'audio'], frames: 20 },
  'two-columns-of-wide-pixels.mkv': { renditions: ['64p 64x64', 'audio'], frames: 20 },
  'portrait.mp4': { renditions: ['90p 90x160', 'audio'], frames: 20 },
  'anamorphic.ts': { renditions: ['144p 256x144', 'audio'], frames: 50 },
  'interlaced.ts': { renditions: ['144p 180x144', 'audio'] },
  'four-four-four.mkv': { renditions: small, frames: 20 },
  'hevc-ten-bit.mkv': { renditions: small, frames: 20 },
  'av1.mp4': { renditions: small, frames: 20 },
  'alpha.webm': { renditions: small, frames: 20 },
  'alpha.mov': { renditions: small, frames: 20 },
  'png.mov': { renditions: small, frames: 20 },
  'prores.mov': { renditions: small, frames: 20 },
  'mjpeg.avi': { renditions: small, frames: 20 },
  'theora.ogg': { renditions: small, frames: 20 },
  'phone.3gp': { renditions: ['144p 176x144', 'audio'], frames: 20 },
  'program-stream.mpg': { renditions: ['144p 180x144', 'audio'], frames: 50 },
  'stream.ts': { renditions: small, frames: 20 },
  'index-at-end.mov': { renditions: small, frames: 20 },
  'no-sound.mp4': { renditions: ['90p 160x90'], frames: 20 },
  'five-one-aac.mp4': { renditions: small, frames: 20 },
  'telephone.wav': { renditions: ['audio'] },
  'telephone.mp4': { renditions: small, frames: 20 },
  'sound.ogg': { renditions: ['audio'] },
  'sound.flac': { renditions: ['audio'] },
  'sound.aac': { renditions: ['audio'] },
  'alac.m4a': { renditions: ['audio'] },
  'late-picture.mkv': { renditions: small, frames: 10 },
  'negative-times.mkv': { renditions: small, frames: 20 },
  'begins-late.mkv': { renditions: small, frames: 20 },
  // The edit list hides the first 0.3 s.
  'edit-list.mp4': { renditions: small, durationMs: 1700 },
  'clock-wraps.ts': { renditions: small, frames: 20 },
  'half-a-minute-later.ts': { renditions: small, frames: 20 },
  'begins-late.ts': { renditions: small, frames: 20 },
  'one-frame.mp4': { renditions: ['90p 160x90'], frames: 1, durationMs: 100 },
  'still-and-sound.mp4': { renditions: small, frames: 1, durationMs: 4000 },
  'cover.mp3': { renditions: ['audio'] },
  'four-k.mp4': { renditions: ['360p 640x360', '720p 1280x720', '1080p 1920x1080'], frames: 5, durationMs: 1000 },
  'time-code.mov': { renditions: small, frames: 20 },
}

describe('odd, and they play', () => {
  for (const [name, expected] of Object.entries(good)) {
    check(name, async () => plays(await odd.oddMedia(name as odd.OddName), expected))
  }

  check('turned by a quarter', async () => plays(await odd.turned(), { renditions: ['90p 90x160'], frames: 20 }))

  check('trimmed on a phone: what was cut away is not shown', async () => {
    await plays(await odd.trimmed(), { renditions: small, frames: 15, durationMs: 1500 })
  })

  check('a recorder that was restarted: MPEG-TS behind MPEG-TS', async () => {
    await plays(await odd.behindEachOther('stream.ts', 'stream.ts'), { renditions: small, durationMs: 4000 })
  })

  check('a recorder that was away for half a minute: what is there is the whole', async () => {
    const path = await odd.behindEachOther('stream.ts', 'half-a-minute-later.ts')
    await plays(path, { renditions: small, durationMs: 4000 })
  })

  check('MP3 behind MP3', async () => {
    await plays(await odd.behindEachOther('cover.mp3', 'cover.mp3'), { renditions: ['audio'], durationMs: 4000 })
  })

  check('several sounds: the default one first, one that ends early', async () => {
    const renditions = ['90p 160x90', 'audio 1 en', 'audio 2 de', 'audio 3 fr Interprète']
    const { read, assets } = await plays(await odd.manySounds(), { renditions, frames: 20 })
    for (const [name, hertz] of [
      ['90p', 880],
      ['audio 1 en', 880],
      ['audio 2 de', 440],
    ] as const) {
      const asset = assets.find((one) => one.name === name)
      const path = await fixtures.once(`${name}.mp4`, async (out) => writeFile(out, asset ? await read(asset) : ''))
      expect(await pitchOf(path), name).toBe(hertz)
    }
  })

  for (const kind of ['mkv', 'mp4'] as const) {
    check(`captions in three languages in ${kind}, one of them hostile`, async () => {
      const { assets, read } = await plays(await odd.captioned(kind), { renditions: small })
      const captions = assets.filter((asset) => asset.kind === 'captions')
      expect(captions.map(({ name }) => name)).toEqual(['de', 'en', 'fr'])
      const [german = '', english = '', french = ''] = await Promise.all(
        captions.map(async (asset) => (await read(asset)).toString()),
      )
      expect(german).toMatch(/^WEBVTT\n\n00:00:00\.2\d\d --> 00:00:01\.5\d\d\nGrüße <i>aus<\/i> dem Tresor\n$/)
      expect(english).toContain('\nGood morning\n')
      expect(french).toContain('Salut')
      expect(french).not.toMatch(/<script|onclick|Salut.*-->/)
    })
  }

  for (let tenths = 1; tenths < 10; tenths++) {
    check(`MPEG-TS cut off after ${String(tenths)} tenths`, async () => {
      const { state, reason } = await through(await odd.cutOff('stream.ts', tenths))
      expect(['ready', 'unplayable']).toContain(state)
      if (state === 'unplayable') expect(reason?.code).toBe('E_MEDIA_UNREADABLE')
    })
    check(`MP4 with its index at the end cut off after ${String(tenths)} tenths`, async () => {
      await refused(await odd.cutOff('index-at-end.mov', tenths), /ends early/)
    })
  }

  check('a name that a shell or a page would stumble over', async () => {
    const name = `-i "$(id)' <b>&%2e%00;..\\ 📹\u202egpj .mp4`
    const path = await fixtures.once(name, async (out) =>
      writeFile(out, await readFile(await odd.oddMedia('no-sound.mp4'))),
    )
    const { assets } = await plays(path, { renditions: ['90p 160x90'] })
    expect(assets[0]?.name).toBe(name)
  })
})

/** The strongest tone of a file, to the nearest ten hertz, by its crossings of zero. */
async function pitchOf(path: string): Promise<number> {
  const raw = await fixtures.ffmpegOutput(
    '-i',
    path,
    '-ss',
    '0.5',
    '-t',
    '1',
    '-ac',
    '1',
    '-ar',
    '8000',
    '-f',
    's16le',
    'pipe:1',
  )
  let crossings = 0
  for (let at = 2; at + 1 < raw.length; at += 2)
    if (raw.readInt16LE(at - 2) < 0 && raw.readInt16LE(at) >= 0) crossings++
  return Math.round((crossings * 16_000) / raw.length / 10) * 10
}

describe('hostile, and they are refused', () => {
  const texts: Record<string, { text: () => string; says: RegExp }> = {
    'text.mp4': { text: () => 'Notes of the meeting\n'.repeat(50), says: /text, not media/ },
    'page.mp4': { text: () => '<!DOCTYPE html><html><body>Sign in</body></html>', says: /web page/ },
    'archive.mp4': { text: () => 'PK\x03\x04'.padEnd(500, '\x01'), says: /ZIP/ },
    'list.mp4': {
      text: () => `#EXTM3U\n#EXTINF:8,\n${address}/a.ts\n#EXTINF:8,\nfile:///etc/passwd\n`,
      says: /playlist/,
    },
    'concat.mp4': { text: () => `ffconcat version 1.0\nfile '/etc/passwd'\nfile '${address}/b.mp4'\n`, says: /concat/ },
    'session.sdp': { text: () => 'v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n', says: /SDP/ },
    'list.xspf': {
      text: () =>
        `<?xml version="1.0"?>\n<playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList><track><location>${address}/c.mp4</location></track></trackList></playlist>`,
      says: /playlist/,
    },
    'picture.svg': {
      text: () => `<svg xmlns="http://www.w3.org/2000/svg"><image href="${address}/d.png"/></svg>`,
      says: /picture, not/,
    },
    'list.pls': { text: () => `[playlist]\nFile1=${address}/e.mp3\n`, says: /playlist/ },
    'captions.mp4': { text: () => 'WEBVTT\n\n00:01.000 --> 00:02.000\nx\n', says: /captions/ },
    'empty.mp4': { text: () => '\x00', says: /zeros|broken/ },
  }
  for (const [name, { text, says }] of Object.entries(texts)) {
    check(name, async () => refused(await fixtures.textFixture(name, text()), says))
  }

  const files: Record<string, { make: () => Promise<string>; says: RegExp }> = {
    'a still picture that calls itself a film': {
      make: () =>
        fixtures.once('still.mp4', async (path) => {
          const png = await fixtures.ffmpegOutput(
            ...[
              '-f',
              'lavfi',
              '-i',
              'testsrc2=size=64x64:duration=1',
              '-frames:v',
              '1',
              '-c:v',
              'png',
              '-f',
              'image2pipe',
              'pipe:1',
            ],
          )
          await writeFile(path, png)
        }),
      says: /picture, not a recording/,
    },
    'bytes without sense': {
      make: () => fixtures.once('noise.webm', (path) => writeFile(path, host.random.bytes(50_000))),
      says: /broken|not media/,
    },
    'encrypted pictures and sound': { make: odd.encrypted, says: /could be (decoded|read)|broken/ },
    '17000 pixels wide': { make: () => fixtures.mediaFixture('absurd-width.mov'), says: /too large/ },
    'days of nothing': { make: () => fixtures.mediaFixture('endless.mkv'), says: /48 hours/ },
    '10,000 streams': { make: hostile.manyStreamsFixture, says: /64 streams/ },
    'boxes in boxes': { make: () => hostile.nestedFixture('udta'), says: /broken|not media/ },
    'a bomb that says it is small': { make: () => hostile.bombFixture(16_000, 640), says: /too large/ },
    'data and no media': {
      make: () =>
        fixtures.once('only-data.mov', async (path) =>
          fixtures.ffmpeg('-i', await odd.oddMedia('time-code.mov'), '-map', '0:d', '-c', 'copy', path),
        ),
      says: /neither picture nor sound/,
    },
  }
  for (const [name, { make, says }] of Object.entries(files)) {
    check(name, async () => refused(await make(), says))
  }

  check('QuickTime that says its data lies in another file: that one is not read', async () => {
    const { state } = await through(await odd.elsewhere(await odd.oddMedia('portrait.mp4')))
    expect(['ready', 'unplayable']).toContain(state)
  })
})

test('afterwards nobody was called, nothing runs on, and nothing lies about', async () => {
  expect(visits).toBe(0)
  for (const entry of (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))) {
    const commandLine = await readFile(`/proc/${entry}/cmdline`, 'latin1').catch(() => '')
    expect(secrets.some((secret) => commandLine.includes(secret))).toBe(false)
  }
  expect(await readdir(socketFolder)).toEqual([])
  expect(host.logged.filter(({ fields }) => /127\.0\.0\.1|Interpr|Tresor/.test(JSON.stringify(fields)))).toEqual([])
})
