import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ErrorCode } from '../../../src/domain/errors.ts'
import type { z } from 'zod'
import { createdLink, linkList } from '../../../src/http/api/links-schema.ts'
import { nodeList, nodeReport as nodeReportSchema } from '../../../src/http/api/nodes-schema.ts'
import {
  downloadList,
  eventList,
  recordingDetail,
  recordingList,
  retryAnswer,
} from '../../../src/http/api/recordings-schema.ts'
import { workList } from '../../../src/http/api/work-schema.ts'
import { recordingView } from '../../../src/main/commands/wait.ts'
import { apiStage, newId, nodeReport, original, parts, type Call } from './api-stage.ts'

type Stage = Awaited<ReturnType<typeof apiStage>>

let stage: Stage
let host: Call
let operator: Call

beforeAll(async () => {
  stage = await apiStage()
  host = await stage.caller('host', stage.first)
  operator = await stage.caller('operator', stage.first)
})
afterAll(() => stage.close())

async function fail(work: string, code: ErrorCode, message: string): Promise<void> {
  const claimed = await stage.catalog.work.claim(work, stage.clock.nowMs(), 30_000)
  if (!claimed) throw new Error('nothing to claim')
  await stage.catalog.work.fail({ work, fence: claimed.fence }, stage.clock.nowMs(), { code, message }, null)
}

describe('the list', () => {
  it('is paged newest first, searched and filtered', async () => {
    const titles = ['Budget one', 'Budget two', 'Garden', 'Budget three', 'Budget four']
    for (const title of titles) await stage.addRecording(stage.first, title, title === 'Garden' ? 'grace' : 'ada')
    const seen: string[] = []
    let next: string | null = ''
    while (next !== null) {
      const path: string = `/recordings?search=budget&limit=2${next === '' ? '' : `&cursor=${next}`}`
      const page: z.infer<typeof recordingList> = recordingList.parse((await host('GET', path)).body)
      seen.push(...page.recordings.map(({ title }) => title))
      next = page.next
    }
    expect(seen).toEqual(['Budget four', 'Budget three', 'Budget two', 'Budget one'])
    const grace = recordingList.parse((await host('GET', '/recordings?host=grace')).body)
    expect(grace.recordings.map(({ title }) => title)).toEqual(['Garden'])
    expect((await host('GET', '/recordings?state=ready')).body).toEqual({ recordings: [], next: null })
  })

  it.each([
    ['colour=red', /no field "colour"/],
    ['limit=0', /limit/],
    ['limit=1000', /limit/],
    ['state=gone', /state/],
    ['cursor=bm9uc2Vuc2U', /cursor/],
    ['search=a&search=b', /search/],
  ])('refuses ?%s by name', async (query, words) => {
    const answer = await host('GET', `/recordings?${query}`)
    expect(answer).toMatchObject({ status: 400, body: { code: 'E_INPUT' } })
    expect(answer.body['detail']).toMatch(words)
  })
})

describe('a recording', () => {
  it('shows its work and how far it has come, as the command line reads it', async () => {
    const { id, work } = await stage.addRecording(stage.first)
    const claimed = await stage.catalog.work.claim(work, stage.clock.nowMs(), 30_000)
    const fence = { work, fence: claimed?.fence ?? 0 }
    await stage.catalog.work.renew(fence, stage.clock.nowMs(), 30_000, { doneUnits: 25, totalUnits: 100 })
    const { body } = await host('GET', `/recordings/${id}`)
    expect(recordingDetail.parse(body)).toMatchObject({
      ...{ id, state: 'received', storedAt: null, reason: null, progress: { store: 0.25, transcode: null } },
      work: [{ id: work, stage: 'store', state: 'running', attemptsCount: 1, error: null }],
    })
    recordingView.parse(body)
    await stage.catalog.recordings.update(
      id,
      { state: 'ready', storedAtMs: stage.clock.nowMs(), durationMs: 60_000 },
      1,
    )
    expect(recordingDetail.parse((await host('GET', `/recordings/${id}`)).body)).toMatchObject({
      ...{ state: 'ready', storedAt: new Date(stage.clock.nowMs()).toISOString(), durationMs: 60_000 },
      progress: { store: 1, transcode: 1 },
    })
  })

  it('has a timeline, and a receipt once there is one', async () => {
    const { id } = await stage.addRecording(stage.first)
    await stage.catalog.recordings.addEvent(id, 1_000, 'stored', { fragments: 5 })
    expect(eventList.parse((await host('GET', `/recordings/${id}/events`)).body)).toEqual({
      events: [{ at: '1970-01-01T00:00:01.000Z', kind: 'stored', fields: { fragments: 5 } }],
    })
    expect((await host('GET', `/recordings/${id}/receipt`)).status).toBe(404)
    const receipt = Uint8Array.of(1, 2, 3)
    await stage.catalog.recordings.putReceipt(id, receipt, 1_000)
    const answer = await host('GET', `/recordings/${id}/receipt`)
    expect(answer).toMatchObject({ status: 200, bytes: Buffer.from(receipt) })
    expect(answer.headers.get('content-type')).toBe('application/octet-stream')
  })

  it('is not deleted, and says why', async () => {
    const { id } = await stage.addRecording(stage.first)
    const answer = await host('DELETE', `/recordings/${id}`)
    expect(answer).toMatchObject({ status: 409, body: { code: 'E_RETENTION', retry: 'never' } })
    expect(answer.headers.get('retry-after')).toBeNull()
    expect(answer.body['detail']).toMatch(/retention/)
    expect((await host('GET', `/recordings/${id}`)).status).toBe(200)
  })

  it('gives its original, whole and in part', async () => {
    const { id } = await stage.addRecording(stage.first)
    const whole = await host('GET', `/recordings/${id}/original`)
    expect(whole).toMatchObject({ status: 200, bytes: Buffer.from(original) })
    expect(whole.headers.get('content-disposition')).toContain('Board meeting.mp4')
    expect(whole.headers.get('cache-control')).toBe('no-store')
    const part = await host('GET', `/recordings/${id}/original`, undefined, { range: 'bytes=100-199' })
    expect(part).toMatchObject({ status: 206, bytes: Buffer.from(original.slice(100, 200)) })
    expect(part.headers.get('content-range')).toBe(`bytes 100-199/${original.length}`)
    expect((await host('GET', `/recordings/${id}/original`, undefined, { range: 'bytes=9000-' })).status).toBe(416)
    expect((await host('HEAD', `/recordings/${id}/original`)).bytes).toHaveLength(0)
  })
})

describe('downloads', () => {
  it('are the original, each rendition as MP4, and captions; whole and in part', async () => {
    const { id } = await stage.addRecording(stage.first)
    const { downloads } = downloadList.parse((await host('GET', `/recordings/${id}/downloads`)).body)
    expect(downloads).toMatchObject([
      { kind: 'original', name: 'Board meeting.mp4', mediaType: 'video/mp4', width: null },
      { kind: 'rendition', name: 'Board _ meeting (720p).mp4', mediaType: 'video/mp4', width: 1280, height: 720 },
      { kind: 'captions', name: 'de.vtt', mediaType: 'text/vtt; charset=utf-8', sizeBytes: original.length },
    ])
    for (const { id: asset, name, mediaType } of downloads) {
      const path = `/recordings/${id}/downloads/${asset}`
      const whole = await host('GET', path)
      expect(whole).toMatchObject({ status: 200, bytes: Buffer.from(original) })
      expect(whole.headers.get('content-type')).toBe(mediaType)
      expect(whole.headers.get('content-disposition')).toContain(`filename="${name}"`)
      const part = await host('GET', path, undefined, { range: 'bytes=-100' })
      expect(part).toMatchObject({ status: 206, bytes: Buffer.from(original.slice(-100)) })
      const etag = part.headers.get('etag') ?? ''
      const stale = { range: 'bytes=0-9', 'if-range': '"another"' }
      expect((await host('GET', path, undefined, stale)).status).toBe(200)
      expect((await host('GET', path, undefined, { ...stale, 'if-range': etag })).status).toBe(206)
      expect(await host('GET', path, undefined, { range: 'bytes=0-1,4-5' })).toMatchObject({
        ...{ status: 416, body: { code: 'E_OBJECT_RANGE' } },
      })
      // a tag says nothing of the content, and another token sees another one
      const other = await stage.caller('host', stage.first)
      expect((await other('HEAD', path)).headers.get('etag')).not.toBe(etag)
    }
    for (const asset of [parts.poster.id, newId(), 'nonsense']) {
      expect(await host('GET', `/recordings/${id}/downloads/${asset}`)).toMatchObject({
        ...{ status: 404, body: { code: 'E_ASSET_UNKNOWN' } },
      })
    }
  })
})

describe('another try', () => {
  /** What is said when there is nothing to try. */
  async function retried(id: string): Promise<string | null> {
    const answer = await host('POST', `/recordings/${id}/retry`)
    const { work, note } = retryAnswer.parse(answer.body)
    expect([answer.status, work]).toEqual([202, []])
    return note
  }

  it('makes failed work due again and tells the queue', async () => {
    const { id, work } = await stage.addRecording(stage.first)
    expect(await retried(id)).toMatch(/nothing to try again: no work of this recording has failed/)
    expect((await host('GET', `/recordings/${id}/events`)).body).toEqual({ events: [] })
    const reason = { code: 'E_SOURCE_UNREADABLE', message: '/in/secret-title.mp4: it may not be read' } as const
    await fail(work, reason.code, reason.message)
    await stage.catalog.recordings.update(id, { state: 'failed', reason }, stage.clock.nowMs())
    const listed = workList.parse((await operator('GET', '/work')).body)
    expect(listed.work.find((one) => one.id === work)).toMatchObject({
      state: 'failed',
      error: { code: 'E_SOURCE_UNREADABLE', message: null },
    })
    expect(JSON.stringify(listed)).not.toContain('secret-title')

    const answer = await host('POST', `/recordings/${id}/retry`, {})
    expect(answer.status).toBe(202)
    expect(retryAnswer.parse(answer.body)).toEqual({ id, work: [{ id: work, stage: 'store' }], note: null })
    expect(stage.announced).toContainEqual({ id: work, stage: 'store' })
    expect(await stage.catalog.work.get(work)).toMatchObject({ state: 'pending', error: null })
    expect((await host('GET', `/recordings/${id}`)).body).toMatchObject({ state: 'received', reason: null })
    expect((await host('GET', `/recordings/${id}/events`)).body).toMatchObject({ events: [{ kind: 'retry' }] })
    expect(await retried(id)).toMatch(/no work of this recording has failed/)
  })

  it('of work that was added anew since says so', async () => {
    const { id, work } = await stage.addRecording(stage.first)
    await fail(work, 'E_SOURCE_UNREADABLE', 'gone')
    const again = { id: newId(), recording: id, stage: 'store', input: { kind: 'vault' }, runAtMs: 0 } as const
    await stage.catalog.work.add(again)
    expect(await retried(id)).toMatch(/store failed, and another try of it is waiting/)
    await stage.catalog.work.claim(again.id, stage.clock.nowMs(), 1_000)
    expect(await retried(id)).toMatch(/another try of it is running/)
  })

  it('of a recording that was found unplayable says that nothing is left to try', async () => {
    const { id } = await stage.addRecording(stage.first)
    const transcode = { id: newId(), recording: id, stage: 'transcode', input: { kind: 'vault' }, runAtMs: 0 } as const
    await stage.catalog.work.add(transcode)
    const claimed = await stage.catalog.work.claim(transcode.id, stage.clock.nowMs(), 1_000)
    await stage.catalog.work.finish({ work: transcode.id, fence: claimed?.fence ?? 0 }, stage.clock.nowMs())
    await stage.catalog.recordings.update(id, { state: 'unplayable' }, stage.clock.nowMs())
    expect(await retried(id)).toMatch(/original is safe/)
    expect((await stage.catalog.recordings.get(id, undefined))?.state).toBe('unplayable')
  })
})

describe('links', () => {
  it('are made, listed and revoked', async () => {
    const { id } = await stage.addRecording(stage.first)
    const made = await host('POST', `/recordings/${id}/links`, { expiresIn: '12h', maxViews: 3, allowDownload: true })
    expect(made.status).toBe(201)
    const link = createdLink.parse(made.body)
    expect(link.url).toMatch(/^https:\/\/vault\.example\/s#rv1\./)
    expect(Date.parse(link.expiresAt)).toBe(stage.clock.nowMs() + 12 * 3_600_000)
    const list = async () => linkList.parse((await host('GET', `/recordings/${id}/links`)).body).links
    expect(await list()).toMatchObject([
      { id: link.id, revokedAt: null, viewsCount: 0, maxViews: 3, allowDownload: true },
    ])
    stage.changed.length = 0
    expect((await host('DELETE', `/links/${link.id}`)).status).toBe(204)
    expect(stage.changed).toEqual([stage.first])
    expect((await list())[0]?.revokedAt).not.toBeNull()
    expect(stage.log.lines.join()).not.toContain(link.url.split('#')[1])
  })

  it.each([
    [{ expiresIn: '31d' }, /at most 30 days/],
    [{ expiresIn: 'soon' }, /expiresIn must be a time like 7d/],
    [{ expiresIn: -5 }, /expiresIn/],
    [{ maxViews: 0 }, /maxViews/],
    [{ passcode: 'short' }, /6 to 128 characters/],
    [{ passcode: false }, /passcode/],
    [{ maxviews: 2 }, /no field "maxviews"/],
    [[], /the body/],
    ['{"expiresIn":', /not valid JSON/],
  ])('refuse %j', async (body, words) => {
    const { id } = await stage.addRecording(stage.first)
    const answer = await host('POST', `/recordings/${id}/links`, body)
    expect(answer).toMatchObject({ status: 400, body: { code: 'E_INPUT' } })
    expect(answer.body['detail']).toMatch(words)
  })

  it('have a passcode that is given or drawn; only a drawn one is shown, once, and none is kept', async () => {
    const { id } = await stage.addRecording(stage.first)
    const given = await host('POST', `/recordings/${id}/links`, { passcode: 'my own secret' })
    expect(given.status).toBe(201)
    expect(createdLink.parse(given.body).passcode).toBeUndefined()
    const drawn = createdLink.parse((await host('POST', `/recordings/${id}/links`, { passcode: true })).body)
    expect(drawn.passcode).toMatch(/^[a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4}$/)
    await host('POST', `/recordings/${id}/links`)
    const { body } = await host('GET', `/recordings/${id}/links`)
    const flags = linkList.parse(body).links.map(({ hasPasscode }) => hasPasscode)
    expect(flags.sort()).toEqual([false, true, true])
    expect(JSON.stringify(body)).not.toMatch(/my own secret|hash of/)
    expect(stage.log.lines.join()).not.toContain(drawn.passcode)
  })

  it('refuse forms and large bodies', async () => {
    const { id } = await stage.addRecording(stage.first)
    const path = `/recordings/${id}/links`
    const form = await host('POST', path, 'maxViews=1', { 'content-type': 'application/x-www-form-urlencoded' })
    expect(form).toMatchObject({ status: 415, body: { detail: expect.stringMatching(/application\/json/) as string } })
    expect(form.body['code']).toBe('E_CONTENT_TYPE')
    const large = await host('POST', path, { expiresIn: 'x'.repeat(70_000) })
    expect(large).toMatchObject({ status: 413, body: { code: 'E_TOO_LARGE' } })
    const packed = await host('POST', path, {}, { 'content-encoding': 'gzip' })
    expect(packed).toMatchObject({ status: 415, body: { code: 'E_CONTENT_TYPE' } })
  })
})

describe('nodes', () => {
  const request = { name: 'south', country: 'AT', operator: 'South', parent: 'South', site: 'Graz' }

  it('are listed, added, probed and set read-only', async () => {
    expect(nodeList.parse((await operator('GET', '/nodes')).body).nodes).toEqual([nodeReport])
    const settings = { driver: 'directory', path: '/srv/south' }
    const added = await operator('POST', '/nodes', { ...request, settings })
    expect(added.status).toBe(201)
    expect(nodeReportSchema.parse(added.body).name).toBe('south')
    expect(stage.asked).toContainEqual({ ...request, settings })
    expect((await operator('POST', `/nodes/${newId()}/probe`, {})).status).toBe(404)
    const changed = await operator('PATCH', `/nodes/${nodeReport.id}`, { state: 'read-only' })
    expect(changed).toMatchObject({ status: 200, body: { state: 'read-only' } })
    expect(await operator('PATCH', `/nodes/${nodeReport.id}`, { state: 'removed' })).toMatchObject({ status: 400 })
    expect(await operator('PATCH', `/nodes/${newId()}`, { state: 'active' })).toMatchObject({ status: 404 })
  })

  it('never repeat a secret in an error', async () => {
    const answer = await operator('POST', '/nodes', { ...request, secretAccessKey: 'hunter2', settings: 'hunter2' })
    expect(answer.status).toBe(400)
    expect(answer.body['detail']).toMatch(/no field "secretAccessKey"/)
    expect(answer.bytes.toString()).not.toContain('hunter2')
  })
})

describe('a request for nothing', () => {
  it('of a path that is not there is a 404', async () => {
    for (const path of ['/policies', '/', '/recordings/', '/Recordings/x', '/links']) {
      const answer = await host('GET', path)
      expect(answer, path).toMatchObject({ status: path === '/recordings/' ? 200 : 404 })
    }
    expect(await host('GET', '/policies')).toMatchObject({ body: { code: 'E_ROUTE', status: 404 } })
  })

  it('of another method is a 405 that names the right ones', async () => {
    for (const [method, path, allow] of [
      ['PUT', '/recordings', 'GET, HEAD'],
      ['POST', `/recordings/${newId()}`, 'GET, DELETE, HEAD'],
      ['OPTIONS', `/links/${newId()}`, 'DELETE'],
      ['GET', `/recordings/${newId()}/retry`, 'POST'],
    ] as const) {
      const answer = await host(method, path)
      expect(answer, path).toMatchObject({ status: 405, body: { code: 'E_METHOD', retry: 'never' } })
      expect(answer.headers.get('allow'), path).toBe(allow)
    }
  })

  it('whose path cannot be read is a 400', async () => {
    expect(await host('GET', '/recordings/%')).toMatchObject({ status: 400, body: { code: 'E_INPUT' } })
  })
})
