import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { basename } from 'node:path'
import { Upload, type UploadOptions } from 'tus-js-client'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { captionsMaxBytes } from '../../../src/domain/captions.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import { sourceAccess } from '../../../src/main/source-access.ts'
import { uploadView } from '../../../src/http/uploads/metadata-schema.ts'
import { bytesOf } from '../../support/bytes.ts'
import { HeldClock } from '../../support/held-clock.ts'
import { metadataOf, uploadStage } from './upload-stage.ts'

const DAY_MS = 24 * 3_600_000
const content = bytesOf(3_000_000)
const metadata = { filename: 'Weekly meeting.mp4', host: 'ada', hostName: 'Ada L.', source: 'cli' }
const octets = { 'content-type': 'application/offset+octet-stream' }

let stage: Awaited<ReturnType<typeof uploadStage>>
beforeEach(async () => {
  stage = await uploadStage()
})
afterEach(() => stage.close())

/** Sends with the client that the command line uses; resolves with the upload's id. */
async function sendAll(bytes: Uint8Array, options: Partial<UploadOptions> = {}): Promise<string> {
  return await new Promise((resolve, reject) => {
    const upload = new Upload(Buffer.from(bytes), {
      endpoint: stage.endpoint,
      headers: { authorization: `Bearer ${stage.token}` },
      retryDelays: [0, 200, 1_500],
      metadata,
      onSuccess: () => resolve(basename(new URL(upload.url ?? '').pathname)),
      onError: reject,
      ...options,
    })
    upload.start()
  })
}

async function create(lengthBytes: number, more: Record<string, string> = metadata): Promise<string> {
  const answer = await stage.send('POST', '', { 'upload-length': String(lengthBytes), ...metadataOf(more) })
  expect(answer.status).toBe(201)
  expect(answer.headers.get('location')).toMatch(/^\/api\/v1\/uploads\/[0-9a-f]{32}$/)
  return basename(answer.headers.get('location') ?? '')
}

const patch = (id: string, offset: number, body: Uint8Array, headers: Record<string, string> = {}) =>
  stage.send('PATCH', `/${id}`, { ...octets, 'upload-offset': String(offset), ...headers }, body)

const view = async (id: string) => uploadView.parse((await stage.send('GET', `/${id}`)).body)

async function recordings() {
  return await stage.catalog.recordings.list({ organisation: stage.organisation, limit: 100 })
}

describe('tus-js-client', () => {
  it('uploads in chunks, and one recording comes of it', async () => {
    const sha256 = createHash('sha256').update(content).digest('hex')
    const startedAt = '2026-11-23T08:00:00+01:00'
    const id = await sendAll(content, { chunkSize: 700_000, metadata: { ...metadata, startedAt, sha256 } })
    const seen = await view(id)
    expect(seen).toMatchObject({ state: 'complete', offsetBytes: content.length, lengthBytes: content.length })
    const [recording, ...others] = await recordings()
    expect(others).toEqual([])
    expect(recording).toMatchObject({
      ...{ id: seen.recording, title: 'Weekly meeting', hostId: 'ada', sourceKind: 'cli', externalId: id },
      startedAtMs: Date.parse(startedAt),
    })
    const [work] = await stage.catalog.work.ofRecording(seen.recording ?? '')
    expect(work).toMatchObject({ stage: 'store', input: { kind: 'upload', upload: id, captionsUploads: [] } })
    expect(stage.announced).toEqual([work?.id])
    expect((await stage.catalog.uploads.upload(id))?.metadata).toMatchObject({ filename: 'Weekly meeting.mp4', sha256 })
    expect(Buffer.compare(await stage.stored(id, content.length), content)).toBe(0)
  })

  it('sends the first bytes with the creation, and learns the recording from the answer', async () => {
    let recording: string | undefined
    const id = await sendAll(content, {
      uploadDataDuringCreation: true,
      onAfterResponse: (_request, response) => void (recording = response.getHeader('Mosaik-Recording') ?? recording),
    })
    expect(recording).toBe((await view(id)).recording)
  })

  it('goes on after the connection was cut', async () => {
    let sockets = 0
    stage.server.on('connection', (socket) => {
      sockets += 1
      let seenBytes = 0
      if (sockets <= 2)
        socket.on('data', (chunk: Buffer) => void ((seenBytes += chunk.length) > 900_000 && socket.destroy()))
    })
    const id = await sendAll(content)
    expect(sockets).toBeGreaterThan(1)
    expect(Buffer.compare(await stage.stored(id, content.length), content)).toBe(0)
    expect(await recordings()).toHaveLength(1)
  })

  it('learns the length at the end', async () => {
    const id = await sendAll(content, { uploadLengthDeferred: true, chunkSize: 1_000_000 })
    expect(await view(id)).toMatchObject({ lengthBytes: content.length, state: 'complete' })
    expect(Buffer.compare(await stage.stored(id, content.length), content)).toBe(0)
  })

  it('gives an upload up', async () => {
    const id = await create(content.length)
    await patch(id, 0, content.slice(0, 1_000))
    await Upload.terminate(`${stage.endpoint}/${id}`, { headers: { authorization: `Bearer ${stage.token}` } })
    expect((await stage.send('HEAD', `/${id}`)).status).toBe(404)
    expect(await stage.spool.offsetBytes(id)).toBe(0)
    expect(await stage.catalog.uploads.upload(id)).toBeUndefined()
  })
})

describe('an upload', () => {
  it('keeps what arrived before the connection was cut', async () => {
    const id = await create(content.length)
    await stage.cutPatch(id, 0, content.length, content.slice(0, 800_000))
    const head = await stage.send('HEAD', `/${id}`)
    expect(head.status).toBe(200)
    const offset = Number(head.headers.get('upload-offset'))
    expect(offset).toBeGreaterThan(500_000)
    expect(offset).toBeLessThanOrEqual(800_000)
    expect(head.headers.get('upload-length')).toBe(String(content.length))
    expect((await patch(id, offset, content.slice(offset))).status).toBe(204)
    expect(Buffer.compare(await stage.stored(id, content.length), content)).toBe(0)
  })

  it('refuses bytes for another place', async () => {
    const id = await create(100)
    await patch(id, 0, content.slice(0, 40))
    for (const offset of [0, 39, 41]) {
      const answer = await patch(id, offset, content.slice(offset, offset + 5))
      expect(answer).toMatchObject({ status: 409, body: { code: 'E_CONFLICT', status: 409 } })
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
    }
    expect(await view(id)).toMatchObject({ offsetBytes: 40, state: 'receiving', recording: null })
  })

  it('does not exist for another token, of whatever role', async () => {
    const id = await create(100)
    const other = { authorization: `Bearer ${await stage.addToken()}` }
    const operator = { authorization: `Bearer ${await stage.addToken('operator')}` }
    for (const method of ['GET', 'HEAD', 'PATCH', 'DELETE']) {
      const headers = method === 'PATCH' ? { ...octets, 'upload-offset': '0' } : {}
      const body = method === 'PATCH' ? content.slice(0, 5) : undefined
      const foreign = await stage.send(method, `/${id}`, { ...headers, ...other }, body)
      const unknown = await stage.send(method, `/${'0'.repeat(32)}`, { ...headers, ...other }, body)
      expect(foreign.status, method).toBe(404)
      expect({ status: unknown.status, text: unknown.text }).toEqual({ status: foreign.status, text: foreign.text })
      expect((await stage.send(method, `/${id}`, { ...headers, ...operator }, body)).status).toBe(403)
      expect((await stage.send(method, `/${id}`, { ...headers, authorization: 'Bearer x' }, body)).status).toBe(401)
    }
    expect(await view(id)).toMatchObject({ offsetBytes: 0 })
  })

  it('is written by one request at a time', async () => {
    const id = await create(content.length)
    const both = await Promise.all([patch(id, 0, content), patch(id, 0, content)])
    expect(both.map(({ status }) => status).toSorted()).toEqual([204, 409])
    expect(Buffer.compare(await stage.stored(id, content.length), content)).toBe(0)
    expect(await recordings()).toHaveLength(1)
  })

  it('is freed from a request that hangs when another one wants it', async () => {
    const id = await create(content.length)
    const hanging = stage.cutPatch(id, 0, content.length, new Uint8Array(0))
    const answer = await patch(id, 0, content)
    expect(answer.status).toBe(204)
    await hanging
  })

  it('makes one recording, however often it is finished', async () => {
    const id = await create(1_000)
    const first = await patch(id, 0, content.slice(0, 1_000))
    expect(first.headers.get('mosaik-recording')).toMatch(/^[0-9a-f]{32}$/)
    const again = await patch(id, 1_000, new Uint8Array(0))
    expect(again).toMatchObject({ status: 204 })
    expect(again.headers.get('mosaik-recording')).toBe(first.headers.get('mosaik-recording'))
    expect(await recordings()).toHaveLength(1)
    expect((await stage.send('DELETE', `/${id}`)).status).toBe(400)
    expect((await stage.stored(id, 1_000)).length).toBe(1_000)
  })

  it('that was cut off between its last byte and its deposit is deposited when it is asked for', async () => {
    for (const method of ['HEAD', 'GET']) {
      const id = await create(500)
      await stage.spool.append(
        id,
        0,
        (async function* () {
          yield await Promise.resolve(content.slice(0, 500))
        })(),
      )
      expect((await stage.send(method, `/${id}`)).status).toBe(200)
      expect((await view(id)).recording).not.toBeNull()
    }
    expect(await recordings()).toHaveLength(2)
  })

  it('that was cut off between its deposit and its row keeps its bytes', async () => {
    const id = await create(500)
    await patch(id, 0, content.slice(0, 500))
    const { recording } = await view(id)
    // As a crash leaves it: no recording in the row.
    await stage.catalog.uploads.updateUpload(id, { recording: null, state: 'receiving' }, stage.clock.nowMs())
    expect(await view(id)).toMatchObject({ state: 'complete', recording })
    expect((await stage.stored(id, 500)).length).toBe(500)
  })

  it('that its job has consumed before the answer was sent is still answered', async () => {
    const id = await create(500)
    const update = stage.catalog.uploads.updateUpload
    stage.catalog.uploads.updateUpload = async (upload, change, atMs) => {
      if (change.recording !== undefined) await stage.catalog.uploads.removeUpload(upload)
      await update(upload, change, atMs)
    }
    const answer = await patch(id, 0, content.slice(0, 500))
    expect(answer.status).toBe(204)
    expect(answer.headers.get('mosaik-recording')).toMatch(/^[0-9a-f]{32}$/)
  })

  it('whose deposit died before its row said so tells of its recording after its job is done', async () => {
    const id = await create(500)
    await patch(id, 0, content.slice(0, 500))
    const { recording } = await view(id)
    const [work] = await stage.catalog.work.ofRecording(recording!)
    await stage.catalog.uploads.updateUpload(id, { recording: null }, stage.clock.nowMs())
    const sources = sourceAccess(stage.catalog, stage.spool, stage.clock)
    await sources.release(work!.input, recording!)
    expect(await view(id)).toMatchObject({ state: 'consumed', recording })
    await stage.catalog.uploads.removeUpload(id)
    await sources.release(work!.input, recording!)
  })

  it('of something that is there already finds it, and keeps no second copy', async () => {
    const named = { ...metadata, externalId: 'meeting 42' }
    const first = await create(500, named)
    await patch(first, 0, content.slice(0, 500))
    const second = await create(300, named)
    const answer = await patch(second, 0, content.slice(0, 300))
    expect(answer.headers.get('mosaik-recording')).toBe((await view(first)).recording)
    expect(await view(second)).toMatchObject({ state: 'consumed', offsetBytes: 300 })
    expect(await stage.spool.offsetBytes(second)).toBe(0)
    expect(await stage.spool.offsetBytes(first)).toBe(500)
    expect(await recordings()).toHaveLength(1)
  })

  it('brings its captions along', async () => {
    const captions = await create(100, { kind: 'captions', filename: 'a.vtt' })
    const early = await stage.send('POST', '', {
      'upload-length': '5',
      ...metadataOf({ ...metadata, captionsUpload: captions }),
    })
    expect(early).toMatchObject({ status: 400, body: { detail: expect.stringMatching(/captionsUpload/) as string } })
    const done = await patch(captions, 0, content.slice(0, 100))
    expect(done.status).toBe(204)
    expect(done.headers.get('mosaik-recording')).toBeNull()
    expect(await recordings()).toEqual([])
    const others = await create(100, { kind: 'captions', filename: 'a.de.vtt' })
    const half = await stage.send('POST', '', {
      'upload-length': '5',
      ...metadataOf({ ...metadata, captionsUpload: `${captions},${others}` }),
    })
    expect(half).toMatchObject({ status: 400, body: { detail: expect.stringMatching(/captionsUpload/) as string } })
    await patch(others, 0, content.slice(0, 100))
    const id = await create(500, { ...metadata, captionsUpload: `${captions}, ${others}` })
    await patch(id, 0, content.slice(0, 500))
    const { recording } = await view(id)
    const [work] = await stage.catalog.work.ofRecording(recording ?? '')
    expect(work?.input).toMatchObject({ upload: id, captionsUploads: [captions, others] })
    for (const one of [captions, others]) expect((await view(one)).recording).toBe(recording)
  })
})

describe('an upload whose token is revoked', () => {
  it.each(['PATCH', 'POST'])(
    'is broken off within five seconds (%s); what came before stays sealed',
    async (method) => {
      const clock = new HeldClock()
      // tus compares the day of an upload with the machine's own
      const held = await uploadStage({
        clock: {
          nowMs: () => Date.now(),
          monotonicMs: () => clock.monotonicMs(),
          sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
        },
      })
      try {
        const created = await held.send('POST', '', { 'upload-length': '2000000', ...metadataOf(metadata) })
        const id = basename(created.headers.get('location') ?? '')
        const request = httpRequest(method === 'PATCH' ? `${held.endpoint}/${id}` : held.endpoint, {
          method,
          headers: {
            ...{ authorization: `Bearer ${held.token}`, 'tus-resumable': '1.0.0', 'content-length': '2000000' },
            ...(method === 'PATCH'
              ? { 'upload-offset': '0' }
              : { 'upload-length': '2000000', ...metadataOf(metadata) }),
            ...octets,
          },
        })
        const broken = new Promise((resolve) => {
          request.once('error', resolve)
          request.once('response', ({ statusCode }) => resolve(`answered with ${statusCode}`))
        })
        let isBroken = false
        void broken.then(() => (isBroken = true))
        request.write(content.slice(0, 1_000_000))
        await expect.poll(() => clock.sleepersCount).toBeGreaterThan(0)
        await clock.advance(20_000, 500)
        expect(isBroken).toBe(false)
        const [token] = await held.catalog.tokens.tokens(held.organisation)
        await held.catalog.tokens.revokeToken(token!.id, clock.nowMs())
        await clock.advance(4_999, 500)
        expect(await broken).toMatchObject({ code: 'ECONNRESET' })
        await expect.poll(() => clock.sleepersCount).toBe(0)
        expect((await held.send('HEAD', `/${id}`)).status).toBe(401)
        if (method === 'PATCH') await expect.poll(() => held.spool.offsetBytes(id)).toBeGreaterThan(0)
      } finally {
        await held.close()
      }
    },
  )
})

describe('creation refuses in plain words', () => {
  it.each([
    ['nothing at all', '0', metadata, 422, /empty/],
    ['no host', '5', { filename: 'a.mp4' }, 400, /host/],
    ['no file name', '5', { host: 'ada' }, 400, /filename/],
    ['an unknown field', '5', { ...metadata, colour: 'red' }, 400, /no field "colour"/],
    ['another kind', '5', { ...metadata, kind: 'poster' }, 400, /kind/],
    ['a time without a zone', '5', { ...metadata, startedAt: '2026-11-23T08:00:00' }, 400, /startedAt.*zone/],
    ['a hash that is none', '5', { ...metadata, sha256: 'abc' }, 400, /sha256/],
    ['captions that are no id', '5', { ...metadata, captionsUpload: '../x' }, 400, /captionsUpload/],
    ['captions twice', '5', { ...metadata, captionsUpload: Array(2).fill('0'.repeat(32)).join() }, 400, /twice/],
    ['captions that do not exist', '5', { ...metadata, captionsUpload: '0'.repeat(32) }, 400, /captionsUpload/],
    ['huge captions', String(captionsMaxBytes + 1), { kind: 'captions' }, 400, /captions must have at most/],
    ['a title with control characters', '5', { ...metadata, title: 'a\u0000b' }, 400, /title/],
    ['more than the vault takes', String(2 ** 40), metadata, 413, /more than/],
  ] as const)('%s', async (_what, length, texts, status, words) => {
    const answer = await stage.send('POST', '', { 'upload-length': length, ...metadataOf(texts) })
    expect(answer).toMatchObject({ status, body: { status } })
    expect(answer.body['detail']).toMatch(words)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(await stage.catalog.uploads.uploads('receiving', Number.MAX_SAFE_INTEGER)).toEqual([])
  })

  it('zero bytes also when the length comes later', async () => {
    const answer = await stage.send('POST', '', { 'upload-defer-length': '1', ...metadataOf(metadata) })
    const id = basename(answer.headers.get('location') ?? '')
    const empty = await patch(id, 0, new Uint8Array(0), { 'upload-length': '0' })
    expect(empty).toMatchObject({ status: 422, body: { code: 'E_SOURCE_EMPTY' } })
    expect(await recordings()).toEqual([])
  })

  it('a path in the file name', async () => {
    const id = await create(5, { ...metadata, filename: '../../etc/passwd' })
    expect((await stage.catalog.uploads.upload(id))?.metadata['filename']).toBe('passwd')
  })

  it('more bytes than promised', async () => {
    const id = await create(5)
    expect((await patch(id, 0, content.slice(0, 6))).status).toBe(413)
  })
})

describe('after a day', () => {
  it('an untouched upload is gone, one that waits for its job stays', async () => {
    const begun = await create(1_000)
    await patch(begun, 0, content.slice(0, 10))
    const captions = await create(10, { kind: 'captions' })
    await patch(captions, 0, content.slice(0, 10))
    const whole = await create(500)
    await patch(whole, 0, content.slice(0, 500))
    const cut = await create(300)
    await stage.spool.append(
      cut,
      0,
      (async function* () {
        yield await Promise.resolve(content.slice(0, 300))
      })(),
    )
    stage.move(DAY_MS + 60_000)
    const fresh = await create(100)
    await expect.poll(() => stage.catalog.uploads.upload(begun)).toBeUndefined()
    await expect.poll(() => stage.catalog.uploads.upload(captions)).toBeUndefined()
    expect(await stage.spool.offsetBytes(begun)).toBe(0)
    await expect.poll(async () => (await stage.catalog.uploads.upload(cut))?.recording).toMatch(/^[0-9a-f]{32}$/)
    expect((await stage.stored(whole, 500)).length).toBe(500)
    expect((await view(fresh)).state).toBe('receiving')
  })
})

describe('trouble', () => {
  it('of the disk is a 503 in plain words, and the upload stands where it stood', async () => {
    await stage.close()
    stage = await uploadStage()
    const id = await create(1_000)
    await patch(id, 0, content.slice(0, 10))
    stage.spool.append = () => Promise.reject(new MosaikError('E_SPOOL', 'the disk of the spool is full: make room'))
    const answer = await patch(id, 10, content.slice(10, 20))
    expect(answer).toMatchObject({
      status: 503,
      body: { code: 'E_SPOOL', detail: 'the disk of the spool is full: make room' },
    })
    expect(await view(id)).toMatchObject({ offsetBytes: 10 })
  })

  it('leaves no trace of content or token on the disk or in the log', async () => {
    const canary = 'CANARY-of-the-content-0123456789'
    const bytes = Buffer.alloc(600_000, canary)
    const id = await sendAll(bytes)
    expect((await view(id)).recording).not.toBeNull()
    for (const secret of [canary, stage.token]) {
      const found = execFileSync('sh', ['-c', 'grep -rlaF -- "$1" "$2" || true', 'sh', secret, stage.folder]).toString()
      expect(found).toBe('')
      expect(stage.log.lines.join('\n')).not.toContain(secret)
    }
  })
})
