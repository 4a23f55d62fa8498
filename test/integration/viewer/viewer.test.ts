import { randomBytes } from 'node:crypto'
import http from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Manifest } from '../../../src/domain/recording.ts'
import { organisation, startViewerServer, type ViewerServer } from './viewer-server.ts'

const film = randomBytes(3_000_000)
const original = randomBytes(1_000_000)
const text = (words: string): Uint8Array => new TextEncoder().encode(words)
const page = {
  ...{ html: text('<!doctype html><title>watch</title>'), script: text('go()'), style: text('a{}') },
  ...{ hls: text('whole()'), hlsLight: text('light()') },
}

let server: ViewerServer
let manifest: Manifest

function deposit(target: ViewerServer, title = 'Geheime Sitzung'): Manifest {
  return target.vault.add(organisation, title, [
    { kind: 'original', name: '../Sitzung „März“.mp4', mediaType: 'text/html', content: original },
    {
      ...{ kind: 'rendition', name: '720p', mediaType: 'video/mp4', content: film },
      playback: {
        ...{ codecs: 'avc1.64001f,mp4a.40.2', width: 1280, height: 720, bandwidthBitsPerSecond: 2_000_000 },
        ...{ durationMs: 4000, initBytes: 1000 },
        segments: [
          [1000, 1_499_500, 2_000_000],
          [1_500_500, 1_499_500, 2_000_000],
        ],
      },
    },
    { kind: 'poster', name: 'poster', mediaType: 'image/svg+xml', content: text('poster') },
    { kind: 'captions', name: 'de', mediaType: 'text/html', content: text('WEBVTT\n') },
    { kind: 'storyboard', name: 'sprite', mediaType: 'text/html', content: text('small pictures') },
    { kind: 'storyboard', name: 'thumbnails', mediaType: 'text/html', content: text('WEBVTT\n\nstoryboard.jpg') },
  ])
}

beforeAll(async () => {
  server = await startViewerServer({ page })
  manifest = deposit(server)
})
afterAll(() => server.close())
beforeEach(() => {
  Object.assign(server.vault, {
    isDown: false,
    isStalled: false,
    failAfterBytes: Number.POSITIVE_INFINITY,
    chunkDelayMs: 0,
    state: 'ready',
  })
})

const asset = (kind: string): string => manifest.assets.find((candidate) => candidate.kind === kind)?.id ?? ''

function exchange(token: unknown, headers: Record<string, string> = {}, at = server): Promise<Response> {
  return fetch(`${at.origin}/s/exchange`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ token }),
  })
}

/** A viewer who has gone through the exchange. */
async function viewer(terms = {}, recording = manifest) {
  const { token, id } = await server.link(recording, terms)
  const response = await exchange(token)
  expect(response.status).toBe(200)
  const { grant } = (await response.json()) as { grant: string }
  const cookie = response.headers.get('set-cookie')?.split(';')[0] ?? ''
  const get = (part: string, init: { method?: string; headers?: Record<string, string>; signal?: AbortSignal } = {}) =>
    fetch(`${server.origin}/s/${grant}/${part}`, { ...init, headers: { cookie, ...init.headers } })
  return { token, id, grant, cookie, get }
}

const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer())

describe('the watch page', () => {
  it('is led to from the root, also below a path', async () => {
    const below = await startViewerServer({ publicUrl: 'https://vault.example/recordings/' })
    const { status, headers } = await fetch(below.origin, { redirect: 'manual' })
    await below.close()
    expect([status, headers.get('location')]).toEqual([302, '/recordings/s'])
    expect(headers.get('referrer-policy')).toBe('no-referrer')
  })

  it('is the same for all, and looking at it changes nothing', async () => {
    const { token } = await server.link(manifest, { maxViews: 1 })
    const before = server.catalog.calls.length
    const scripts = ['/s/watch.js', '/s/hls.js', '/s/hls-light.js']
    for (const path of ['/s', `/s?x=${'y'.repeat(20)}`, '/s/watch.css', ...scripts]) {
      for (const method of ['GET', 'HEAD']) expect((await fetch(server.origin + path, { method })).status).toBe(200)
    }
    expect(await (await fetch(`${server.origin}/s`)).text()).toContain('watch')
    expect(server.catalog.calls).toHaveLength(before)
    expect((await exchange(token)).status).toBe(200)
  })

  it('is reached with a slash at the end too', async () => {
    const response = await fetch(`${server.origin}/s/`, { redirect: 'manual' })
    expect([response.status, response.headers.get('location')]).toEqual([308, '../s'])
  })
})

describe('the headers', () => {
  it('are on every answer, good or bad', async () => {
    const { get } = await viewer()
    const answers = [
      await fetch(`${server.origin}/s`),
      await fetch(`${server.origin}/s/nothing`),
      await exchange('junk'),
      await get('recording.json'),
      await get('alive'),
      await get(`${asset('rendition')}.mp4`, { headers: { range: 'bytes=0-9' } }),
      await get('nothing'),
    ]
    for (const { headers, url } of answers) {
      expect(headers.get('cache-control'), url).toBe('private, no-store')
      expect(headers.get('referrer-policy'), url).toBe('no-referrer')
      expect(headers.get('x-content-type-options'), url).toBe('nosniff')
      expect(headers.get('cross-origin-resource-policy'), url).toBe('same-origin')
      expect(headers.get('content-security-policy'), url).toMatch(/default-src 'none'.*frame-ancestors 'none'/)
      expect(headers.get('content-security-policy'), url).not.toContain('unsafe')
      expect(headers.get('x-powered-by'), url).toBeNull()
      expect(headers.get('access-control-allow-origin'), url).toBeNull()
    }
  })

  it('have a Secure cookie and HSTS where the vault is reached by https, bound to the path of the vault', async () => {
    const secure = await startViewerServer({ publicUrl: 'https://vault.example/rec/' })
    const { token } = await secure.link(deposit(secure))
    const response = await exchange(token, {}, secure)
    const { grant } = (await response.json()) as { grant: string }
    expect(response.headers.get('set-cookie')).toMatch(
      new RegExp(`^mosaik_view=[\\w-]{43}; Path=/rec/s/${grant}; HttpOnly; SameSite=Strict; Secure$`),
    )
    expect(response.headers.get('strict-transport-security')).toContain('max-age')
    await secure.close()
  })
})

describe('the exchange', () => {
  interface Told {
    readonly grant: string
    readonly recording: { readonly renditions: readonly { readonly playlist: string }[] }
    readonly playlists: Readonly<Record<string, string>>
  }

  it('tells the recording and its playlists with the grant, as they are told on their own', async () => {
    const { token } = await server.link(manifest)
    const response = await exchange(token)
    const { grant, recording, playlists } = (await response.json()) as Told
    const headers = { cookie: response.headers.get('set-cookie')?.split(';')[0] ?? '' }
    const asked = await fetch(`${server.origin}/s/${grant}/recording.json`, { headers })
    expect(recording).toEqual(await asked.json())
    expect(recording).toMatchObject({ title: 'Geheime Sitzung', state: 'ready' })
    const named = recording.renditions.map(({ playlist }) => playlist)
    expect(Object.keys(playlists).toSorted()).toEqual(['master.m3u8', ...named].toSorted())
    for (const [file, content] of Object.entries(playlists)) {
      const one = await fetch(`${server.origin}/s/${grant}/${file}`, { headers })
      expect(content).toBe(await one.text())
    }
  })

  it('leaves long playlists to be asked for', async () => {
    const segments = Array.from({ length: 400 }, (_, i) => [1000 + i * 100, 100, 4_000_000] as const)
    const long = server.vault.add(organisation, 'Long', [
      {
        ...{ kind: 'rendition', name: '720p', mediaType: 'video/mp4', content: film },
        playback: {
          ...{ codecs: 'avc1.64001f,mp4a.40.2', width: 1280, height: 720, bandwidthBitsPerSecond: 2_000_000 },
          ...{ durationMs: 1_600_000, initBytes: 1000, segments },
        },
      },
    ])
    const { token } = await server.link(long)
    const { playlists } = (await (await exchange(token)).json()) as Told
    expect(Object.keys(playlists)).toEqual(['master.m3u8'])
  })

  it('answers with the grant alone when nodes are away, or answer late', async () => {
    for (const trouble of [{ isDown: true }, { isStalled: true }]) {
      Object.assign(server.vault, trouble)
      const { token } = await server.link(manifest, { maxViews: 1 })
      const response = await exchange(token)
      expect([response.status, await response.json()]).toEqual([
        200,
        { grant: expect.any(String), recording: null, playlists: {} },
      ])
    }
  })

  it('answers the same, byte for byte, to unknown, expired, revoked, spent and malformed', async () => {
    const revoked = await server.link(manifest)
    await server.links.revoke(revoked.id)
    const expired = await server.link(manifest, { ttlMs: 1 })
    const spent = await server.link(manifest, { maxViews: 1 })
    await exchange(spent.token)
    const forged = spent.token.slice(0, -5) + 'AAAAA'
    const other = await startViewerServer()
    const unknown = await other.link(manifest)
    await other.close()
    const answers = await Promise.all(
      [revoked.token, expired.token, spent.token, forged, unknown.token, '', 'rv1.x.y.z'].map(async (token) => {
        const response = await exchange(token)
        const headers = [...response.headers].filter(([name]) => name !== 'date')
        return JSON.stringify([response.status, await response.text(), headers])
      }),
    )
    expect(new Set(answers).size).toBe(1)
    expect(answers[0]).toContain('404')
    expect(answers[0]).toContain('application/problem+json')
  })

  it('asks for the passcode after a good token only, and locks after five wrong ones', async () => {
    const passcode = 'Äpfel im Garten'
    const post = (token: string, given?: string) =>
      fetch(`${server.origin}/s/exchange`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token, passcode: given }),
      })
    const { token, id } = await server.link(manifest, { passcode })
    const needed = await post(token)
    expect([needed.status, needed.headers.get('set-cookie')]).toEqual([403, null])
    expect(await needed.json()).toMatchObject({ code: 'E_LINK_PASSCODE', detail: 'Not allowed.' })
    expect((await post(token, passcode)).status).toBe(200)
    for (let i = 0; i < 5; i++) expect((await post(token, `wrong ${i}`)).status).toBe(403)
    const locked = await post(token, passcode)
    expect(locked.status).toBe(429)
    expect(await locked.json()).toMatchObject({ code: 'E_LINK_LOCKED' })
    expect(Number(locked.headers.get('retry-after'))).toBeGreaterThan(890)
    expect((await server.catalog.link(id))?.viewsCount).toBe(1)

    // a link that is gone answers as if it had never had one
    await server.links.revoke(id)
    const plain = await server.link(manifest)
    await server.links.revoke(plain.id)
    const answers = await Promise.all([post(token), post(token, passcode), post(plain.token)])
    const bodies = await Promise.all(answers.map((answer) => answer.text()))
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404])
    expect(new Set(bodies).size).toBe(1)
    expect(server.logLines.join('\n')).not.toMatch(/wrong \d|pfel/)
    expect(server.logLines.join('\n')).toContain(`"event":"view.passcode","link":"${id}","code":"E_LINK_PASSCODE"`)
  })

  it('counts views atomically', async () => {
    const { token, id } = await server.link(manifest, { maxViews: 2 })
    const statuses = await Promise.all(Array.from({ length: 9 }, async () => (await exchange(token)).status))
    expect(statuses.sort()).toEqual([200, 200, 404, 404, 404, 404, 404, 404, 404])
    expect((await server.links.list(manifest.recording)).find((link) => link.id === id)?.viewsCount).toBe(2)
  })

  it('takes nothing from other sites', async () => {
    const { token } = await server.link(manifest, { maxViews: 1 })
    expect((await exchange(token, { origin: 'https://evil.example' })).status).toBe(403)
    expect((await exchange(token, { origin: 'null' })).status).toBe(403)
    expect((await exchange(token, { 'sec-fetch-site': 'cross-site' })).status).toBe(403)
    expect((await exchange(token, { 'sec-fetch-site': 'same-site' })).status).toBe(403)
    expect((await exchange(token, { origin: server.origin, 'sec-fetch-site': 'same-origin' })).status).toBe(200)
  })

  it.each([
    ['no JSON', 'application/json', '{"tok', 400],
    ['a form', 'application/x-www-form-urlencoded', 'token=x', 415],
    ['another field', 'application/json', '{"token":"x","y":1}', 400],
    ['a number', 'application/json', '{"token":1}', 400],
    ['too much', 'application/json', JSON.stringify({ token: 'x'.repeat(9000) }), 413],
  ])('refuses %s', async (_what, contentType, body, status) => {
    const headers = { 'content-type': contentType }
    const response = await fetch(`${server.origin}/s/exchange`, { method: 'POST', headers, body })
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
  })

  it('is not to be had by GET', async () => {
    expect((await fetch(`${server.origin}/s/exchange`)).status).toBe(404)
  })

  it('is given ten times a minute to one address', async () => {
    const limited = await startViewerServer({ exchangeRateLimit: { maxCount: 10, windowMs: 60_000 } })
    const statuses: number[] = []
    for (let i = 0; i < 12; i++) statuses.push((await exchange('junk', {}, limited)).status)
    expect(statuses).toEqual([...Array<number>(10).fill(404), 429, 429])
    const response = await exchange('junk', {}, limited)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(50)
    expect(await response.json()).toMatchObject({ code: 'E_RATE_LIMIT', status: 429 })
    await limited.close()
  })
})

describe('the recording', () => {
  it('is described without names of people, and without the original where it may not be had', async () => {
    const { get } = await viewer()
    const response = await get('recording.json')
    const words = await response.text()
    expect(JSON.parse(words)).toMatchObject({
      title: 'Geheime Sitzung',
      startedAt: '2026-11-20T09:30:00.000Z',
      durationMs: 4000,
      state: 'ready',
      renditions: [{ name: '720p', width: 1280, height: 720, download: null }],
      captions: [{ language: 'de', url: `${asset('captions')}.vtt` }],
      poster: `${asset('poster')}.jpg`,
      storyboard: 'storyboard.vtt',
      allowDownload: false,
      download: null,
    })
    expect(words).not.toMatch(/canary/i)
    expect(words).not.toContain(asset('original'))
    expect(response.headers.get('etag')).toBeNull()
  })

  it('has playlists whose addresses lead on', async () => {
    const { get } = await viewer()
    const master = await (await get('master.m3u8')).text()
    const rendition = master.split('\n').find((line) => line !== '' && !line.startsWith('#')) ?? ''
    const media = await get(rendition)
    expect(media.headers.get('content-type')).toBe('application/vnd.apple.mpegurl')
    const lines = (await media.text()).split('\n')
    const uri = lines.find((line) => line !== '' && !line.startsWith('#')) ?? ''
    const [length = 0, offset = 0] = /BYTERANGE:(\d+)@(\d+)/.exec(lines.join('\n'))?.slice(1).map(Number) ?? []
    const segment = await get(uri, { headers: { range: `bytes=${offset}-${offset + length - 1}` } })
    expect(segment.status).toBe(206)
    expect((await bytesOf(segment)).equals(film.subarray(offset, offset + length))).toBe(true)
    const captions = await (await get(/URI="([^"]+)"/.exec(master)?.[1] ?? '')).text()
    expect(captions).toContain(`${asset('captions')}.vtt`)
  })

  it('gives its parts types of ours, whatever a source said', async () => {
    const { get } = await viewer()
    expect((await get(`${asset('captions')}.vtt`)).headers.get('content-type')).toBe('text/vtt; charset=utf-8')
    expect((await get(`${asset('poster')}.jpg`)).headers.get('content-type')).toBe('image/jpeg')
    expect((await get(asset('rendition'))).headers.get('content-type')).toBe('video/mp4')
  })

  it('keeps the original for links that allow its download', async () => {
    const without = await viewer()
    expect((await without.get('download')).status).toBe(403)
    expect((await without.get(asset('original'))).status).toBe(404)
    const allowed = await viewer({ allowDownload: true })
    expect((await allowed.get(asset('original'))).status).toBe(404)
    const response = await allowed.get('download')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('application/octet-stream')
    expect(response.headers.get('content-disposition')).toBe(
      `attachment; filename="Sitzung Marz.mp4"; filename*=UTF-8''Sitzung%20%E2%80%9EM%C3%A4rz%E2%80%9C.mp4`,
    )
    expect((await bytesOf(response)).equals(original)).toBe(true)
    expect(server.vault.purposes.at(-1)).toBe('download')
  })

  it('has its small pictures beside the text that names them', async () => {
    const { get } = await viewer()
    const cues = await get('storyboard.vtt')
    expect(cues.headers.get('content-type')).toBe('text/vtt; charset=utf-8')
    const sprite = await get((await cues.text()).split('\n').at(-1) ?? '')
    expect(sprite.headers.get('content-type')).toBe('image/jpeg')
    expect(await sprite.text()).toBe('small pictures')
    for (const name of ['storyboard.png', 'storyboard.', 'storyboard.constructor', asset('storyboard')])
      expect((await get(name)).status).toBe(404)
  })

  it('is to be had as one MP4 by links that allow its download', async () => {
    const without = await viewer()
    expect((await without.get(`${asset('rendition')}.download`)).status).toBe(403)
    const { get } = await viewer({ allowDownload: true })
    const { renditions } = (await (await get('recording.json')).json()) as {
      renditions: { download: { url: string; contentBytes: number } }[]
    }
    expect(renditions[0]?.download.contentBytes).toBe(film.length)
    const response = await get(renditions[0]?.download.url ?? '')
    expect(response.headers.get('content-type')).toBe('video/mp4')
    expect(response.headers.get('content-disposition')).toBe(
      `attachment; filename="Geheime Sitzung (720p).mp4"; filename*=UTF-8''Geheime%20Sitzung%20%28720p%29.mp4`,
    )
    expect((await bytesOf(response)).equals(film)).toBe(true)
    expect(server.vault.purposes.at(-1)).toBe('download')
    // no way around the original's own
    for (const kind of ['original', 'poster', 'captions'])
      expect((await get(`${asset(kind)}.download`)).status).toBe(404)
  })

  it('says whether it is being prepared or cannot be played, and is gone when it could not be stored', async () => {
    const bare = server.vault.add(organisation, 'Ohne Bild', [
      { kind: 'original', name: 'a.mp4', mediaType: 'video/mp4', content: original },
    ])
    const { get } = await viewer({ allowDownload: true }, bare)
    for (const [state, told] of [
      ['transcoding', 'preparing'],
      ['stored', 'preparing'],
      ['unplayable', 'unplayable'],
    ] as const) {
      server.vault.state = state
      const view = await (await get('recording.json')).json()
      expect(view).toMatchObject({ title: 'Ohne Bild', state: told, renditions: [], storyboard: null })
      expect((await get('download')).status).toBe(200)
      expect((await get('master.m3u8')).status).toBe(409)
    }
    server.vault.state = 'storing'
    expect((await get('recording.json')).status).toBe(409)
    server.vault.state = 'failed'
    expect((await get('recording.json')).status).toBe(404)
  })

  it('of one grant is closed to the cookie of another', async () => {
    const [a, b] = [await viewer(), await viewer()]
    const crossed = await fetch(`${server.origin}/s/${a.grant}/recording.json`, { headers: { cookie: b.cookie } })
    const bare = await fetch(`${server.origin}/s/${a.grant}/recording.json`)
    const unknown = await fetch(`${server.origin}/s/${'0'.repeat(32)}/recording.json`, {
      headers: { cookie: a.cookie },
    })
    const bodies = await Promise.all([crossed, bare, unknown].map((response) => response.text()))
    expect([crossed.status, bare.status, unknown.status]).toEqual([404, 404, 404])
    expect(new Set(bodies).size).toBe(1)
  })

  it('says plainly when there are too few nodes, and names none', async () => {
    const { get } = await viewer()
    server.vault.isDown = true
    for (const part of ['recording.json', 'master.m3u8', `${asset('rendition')}.mp4`]) {
      const response = await get(part)
      const words = await response.text()
      expect(response.status).toBe(503)
      expect(response.headers.get('retry-after')).toBe('5')
      expect(JSON.parse(words)).toMatchObject({ code: 'E_SHARES_TOO_FEW', missingNodesCount: 3 })
      expect(words).not.toMatch(/north|south|east\b/)
    }
  })
})

describe('ranges', () => {
  const size = film.length
  it.each([
    ['bytes=0-0', 206, [0, 1]],
    ['bytes=100-199', 206, [100, 200]],
    [`bytes=${size - 10}-`, 206, [size - 10, size]],
    ['bytes=-10', 206, [size - 10, size]],
    ['bytes=1000000-2500000', 206, [1_000_000, 2_500_001]],
    [`bytes=${size}-`, 416, undefined],
    ['bytes=0-1,5-6', 416, undefined],
    ['nonsense', 200, [0, size]],
  ] as const)('%s', async (range, status, slice) => {
    const { get } = await viewer()
    const response = await get(`${asset('rendition')}.mp4`, { headers: { range } })
    const body = await bytesOf(response)
    expect(response.status).toBe(status)
    expect(response.headers.get('accept-ranges')).toBe('bytes')
    if (slice === undefined) {
      expect(response.headers.get('content-range')).toBe(`bytes */${size}`)
      expect(response.headers.get('content-type')).toBe('application/problem+json')
    } else {
      expect(body.equals(film.subarray(slice[0], slice[1]))).toBe(true)
      const contentRange = status === 206 ? `bytes ${slice[0]}-${slice[1] - 1}/${size}` : null
      expect(response.headers.get('content-range')).toBe(contentRange)
    }
  })

  it('HEAD tells the size and reads nothing', async () => {
    const { get } = await viewer()
    const before = server.vault.givenBytes
    const response = await get(`${asset('rendition')}.mp4`, { method: 'HEAD', headers: { range: 'bytes=0-5' } })
    expect([response.status, response.headers.get('content-length')]).toEqual([200, String(size)])
    expect(server.vault.givenBytes).toBe(before)
  })

  it('are billed in segments that they open for less than they hold; a whole file is nearly free', async () => {
    const limited = await startViewerServer({ segmentRateLimit: { maxCount: 20, windowMs: 60_000 } })
    const recording = deposit(limited)
    const id = recording.assets.find(({ kind }) => kind === 'rendition')?.id ?? ''
    const session = async () => {
      const response = await exchange((await limited.link(recording)).token, {}, limited)
      const { grant } = (await response.json()) as { grant: string }
      const cookie = response.headers.get('set-cookie')?.split(';')[0] ?? ''
      return async (range?: string) => {
        const headers = { cookie, ...(range === undefined ? {} : { range }) }
        const answer = await fetch(`${limited.origin}/s/${grant}/${id}.mp4`, { headers })
        await answer.arrayBuffer()
        return answer
      }
    }
    const [nibbler, other] = [await session(), await session()]
    const statuses: number[] = []
    for (let i = 0; i < 22; i++) statuses.push((await nibbler(`bytes=${i * 100_000}-${i * 100_000}`)).status)
    expect(statuses).toEqual([...Array<number>(20).fill(206), 429, 429])
    const refused = await nibbler('bytes=0-0')
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50)
    for (let i = 0; i < 15; i++) expect((await other()).status).toBe(200)
    await limited.close()
  })

  it('keep to If-Range; the tag is stable in a session, differs between sessions, and is no hash', async () => {
    const [a, b] = [await viewer(), await viewer()]
    const part = `${asset('rendition')}.mp4`
    const tagOf = async (get: typeof a.get) => (await get(part, { method: 'HEAD' })).headers.get('etag') ?? ''
    const tag = await tagOf(a.get)
    expect(tag).toMatch(/^"[\w-]{22}"$/)
    expect(await tagOf(a.get)).toBe(tag)
    expect(await tagOf(b.get)).not.toBe(tag)
    const ask = async (ifRange: string) =>
      (await a.get(part, { headers: { range: 'bytes=0-9', 'if-range': ifRange } })).status
    expect([await ask(tag), await ask('"other"'), await ask(`W/${tag}`)]).toEqual([206, 200, 200])
  })
})

describe('streams', () => {
  /** Reads by node:http, which tells an end from a break. */
  function pull(path: string, cookie: string) {
    const request = http.get(server.origin + path, { headers: { cookie } })
    const state = { status: 0, bytes: 0, complete: false, endedAtMs: 0 }
    const ended = new Promise<typeof state>((resolve) => {
      const end = (): void => {
        state.endedAtMs ||= performance.now()
        resolve(state)
      }
      request.on('error', end)
      request.on('response', (response) => {
        state.status = response.statusCode ?? 0
        response.on('data', (chunk: Buffer) => (state.bytes += chunk.length))
        response.on('close', () => {
          state.complete = response.complete
          end()
        })
        response.on('error', end)
      })
    })
    return { request, state, ended }
  }

  it('break off when nodes fall away midway: fewer bytes than promised, never wrong ones', async () => {
    const { grant, cookie } = await viewer()
    server.vault.failAfterBytes = 1_000_000
    const { ended } = pull(`/s/${grant}/${asset('rendition')}`, cookie)
    const state = await ended
    expect(state).toMatchObject({ status: 200, complete: false })
    expect(state.bytes).toBeLessThan(film.length)
    expect(server.logLines.some((line) => line.includes('view.broken') && line.includes('E_SHARES_TOO_FEW'))).toBe(true)
  })

  it('stop within five seconds of a revocation', async () => {
    const { grant, cookie, id, get } = await viewer()
    server.vault.chunkDelayMs = 250
    const { state, ended } = pull(`/s/${grant}/${asset('rendition')}`, cookie)
    await sleep(700)
    expect(state.bytes).toBeGreaterThan(0)
    const revokedAtMs = performance.now()
    await server.links.revoke(id)
    expect((await ended).complete).toBe(false)
    expect(state.endedAtMs - revokedAtMs).toBeLessThan(5_000)
    expect((await get('recording.json')).status).toBe(404)
    await expect.poll(() => server.vault.runningReads).toBe(0)
  })

  it('give a slow viewer nothing more of what waits in the buffers when the link is revoked', async () => {
    const long = server.vault.add(organisation, 'revoked', [
      { kind: 'original', name: 'long.mp4', mediaType: 'video/mp4', content: Buffer.alloc(64_000_000) },
    ])
    const { grant, cookie, id } = await viewer({ allowDownload: true }, long)
    const { hostname, port } = new URL(server.origin)
    const socket = connect(Number(port), hostname)
    socket.write(`GET /s/${grant}/download HTTP/1.1\r\nHost: ${hostname}:${port}\r\nCookie: ${cookie}\r\n\r\n`)
    const ended = new Promise((resolve) => {
      socket.once('end', () => resolve('in order'))
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    })
    await new Promise((resolve) => socket.once('readable', resolve))
    await server.links.revoke(id)
    await expect.poll(() => server.vault.runningReads, { timeout: 10_000 }).toBe(0)
    socket.resume()
    expect(await ended).toBe('ECONNRESET')
    socket.destroy()
  })

  it('stop reading when the viewer leaves, and wait when the viewer does not read', async () => {
    // more than the buffers of two sockets hold
    const long = server.vault.add(organisation, 'long', [
      { kind: 'original', name: 'long.mp4', mediaType: 'video/mp4', content: Buffer.alloc(64_000_000) },
    ])
    const { grant, cookie } = await viewer({ allowDownload: true }, long)
    const before = server.vault.givenBytes
    const request = http.get(`${server.origin}/s/${grant}/download`, { headers: { cookie } })
    request.on('error', () => undefined)
    const response = await new Promise<http.IncomingMessage>((resolve) => request.on('response', resolve))
    response.pause()
    // the sockets' buffers fill, then nothing is read any more
    let given = -1
    while (server.vault.givenBytes - before !== given) {
      given = server.vault.givenBytes - before
      await sleep(300)
    }
    expect(given).toBeLessThan(64_000_000)
    expect(server.vault.runningReads).toBe(1)
    request.destroy()
    await expect.poll(() => server.vault.runningReads).toBe(0)
  })

  it('are eight at a time in one session', async () => {
    const { get } = await viewer()
    server.vault.chunkDelayMs = 400
    const abort = new AbortController()
    const answers = Array.from({ length: 10 }, () => get(asset('rendition'), { signal: abort.signal }))
    const statuses = (await Promise.all(answers)).map((response) => response.status)
    expect(statuses.filter((status) => status === 429)).toHaveLength(2)
    abort.abort()
    await expect.poll(() => server.vault.runningReads).toBe(0)
    server.vault.chunkDelayMs = 0
    expect((await get(asset('poster'))).status).toBe(200)
  })
})

describe('what is logged', () => {
  it('holds no token, no cookie, no title', async () => {
    const { token, cookie, get } = await viewer()
    await get('recording.json')
    const all = [...server.logLines, ...server.requestLines].join('\n')
    expect(server.logLines.length).toBeGreaterThan(3)
    expect(all).not.toContain(token.slice(12, 60))
    expect(all).not.toMatch(/rv1\./)
    expect(all).not.toContain(cookie.split('=')[1])
    expect(all).not.toContain('Geheime')
  })
})
