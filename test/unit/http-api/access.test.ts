import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { roles, type Role } from '../../../src/domain/roles.ts'
import { apiStage, newId, nodeReport, type Call } from './api-stage.ts'

type Stage = Awaited<ReturnType<typeof apiStage>>

let stage: Stage
let recording: string
const callers = {} as Record<Role, Call & { token: string }>

beforeAll(async () => {
  stage = await apiStage()
  recording = (await stage.addRecording(stage.first)).id
  for (const role of roles) callers[role] = await stage.caller(role, stage.first)
})
afterAll(() => stage.close())

/** Every route with those it is for; everyone else gets 403. The status is what those get. */
const table: readonly [method: string, path: string, allowed: readonly Role[], status: number, body?: unknown][] = [
  ['GET', '/whoami', ['host', 'officer', 'operator', 'auditor'], 200],
  ['GET', '/recordings', ['host', 'officer'], 200],
  ['GET', '/recordings/:id', ['host', 'officer'], 200],
  ['GET', '/recordings/:id/events', ['host', 'officer', 'auditor'], 200],
  ['GET', '/recordings/:id/receipt', ['host', 'auditor'], 404],
  ['GET', '/recordings/:id/original', ['host'], 200],
  ['POST', '/recordings/:id/retry', ['host', 'operator'], 409, {}],
  ['DELETE', '/recordings/:id', ['host'], 409],
  ['POST', '/recordings/:id/links', ['host'], 201, {}],
  ['GET', '/recordings/:id/links', ['host'], 200],
  ['DELETE', `/links/${'ab'.repeat(16)}`, ['host'], 404],
  ['GET', '/nodes', ['operator'], 200],
  ['POST', '/nodes', ['operator'], 400, {}],
  ['POST', `/nodes/${nodeReport.id}/probe`, ['operator'], 200, {}],
  ['PATCH', `/nodes/${nodeReport.id}`, ['operator'], 200, { state: 'read-only' }],
  ['GET', '/work', ['operator'], 200],
]

describe('roles', () => {
  for (const [method, path, allowed, status, body] of table) {
    it.each(roles)(`${method} ${path} as %s`, async (role) => {
      const answer = await callers[role](method, path.replace(':id', recording), body)
      if (allowed.includes(role)) expect(answer.status).toBe(status)
      else expect(answer).toMatchObject({ status: 403, body: { code: 'E_FORBIDDEN' } })
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(answer.headers.get('etag') === null || path.endsWith('original')).toBe(true)
    })
  }
})

describe('tokens', () => {
  it.each([
    [{}],
    [{ authorization: 'Bearer' }],
    [{ authorization: 'Bearer ' }],
    [{ authorization: `Bearer ${'x'.repeat(600)}` }],
    [{ authorization: 'Bearer wrong' }],
    [{ authorization: 'Basic d3Jvbmc6d3Jvbmc=' }],
  ] as Record<string, string>[][])('%j is nobody', async (headers) => {
    for (const path of ['/recordings', '/nodes', '/no-such-route', `/recordings/${recording}`]) {
      const answer = await stage.plain('GET', path, undefined, headers)
      expect(answer).toMatchObject({ status: 401, body: { code: 'E_UNAUTHORIZED', status: 401 } })
      expect(answer.headers.get('www-authenticate')).toBe('Bearer')
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
    }
  })

  it('are looked up by their hash, never as they are, and end when revoked', async () => {
    const call = await stage.caller('host', stage.first)
    expect((await call('GET', '/whoami')).body).toMatchObject({
      role: 'host',
      token: call.tokenId,
      organisation: { id: stage.first },
    })
    const hash = createHash('sha256').update(call.token).digest()
    expect(
      (await stage.plain('GET', '/whoami', undefined, { authorization: `Bearer ${hash.toString('hex')}` })).status,
    ).toBe(401)
    await stage.catalog.tokens.revokeToken(call.tokenId, stage.clock.nowMs())
    expect((await call('GET', '/whoami')).status).toBe(401)
  })

  it('never come into the log', () => {
    for (const role of roles) expect(stage.log.lines.join('\n')).not.toContain(callers[role].token)
  })

  it('are slowed down when they ask too often, each for itself', async () => {
    const small = await apiStage({ rateLimit: { maxCount: 3, windowMs: 60_000 } })
    try {
      const eager = await small.caller('host', small.first)
      const calm = await small.caller('host', small.first)
      for (let i = 0; i < 3; i++) expect((await eager('GET', '/whoami')).status).toBe(200)
      const refused = await eager('GET', '/whoami')
      expect(refused).toMatchObject({ status: 429, body: { code: 'E_RATE_LIMIT', retry: 'later' } })
      expect(Number(refused.headers.get('retry-after'))).toBe(60)
      expect((await calm('GET', '/whoami')).status).toBe(200)
      small.move(60_000)
      expect((await eager('GET', '/whoami')).status).toBe(200)
    } finally {
      await small.close()
    }
  })
})

describe("another organisation's things", () => {
  it('do not exist', async () => {
    const stranger = await stage.caller('host', stage.second)
    const made = await callers.host('POST', `/recordings/${recording}/links`, {})
    const link = made.body['id'] as string
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/events'],
      ['GET', '/receipt'],
      ['GET', '/original'],
      ['GET', '/links'],
      ['POST', '/links'],
      ['POST', '/retry'],
      ['DELETE', ''],
    ] as const) {
      const body = method === 'POST' ? {} : undefined
      const foreign = await stranger(method, `/recordings/${recording}${path}`, body)
      const unknown = await stranger(method, `/recordings/${newId()}${path}`, body)
      const nonsense = await stranger(method, `/recordings/nonsense${path}`, body)
      expect(foreign).toMatchObject({ status: 404, body: { code: 'E_RECORDING_UNKNOWN' } })
      expect(unknown.body).toEqual(foreign.body)
      expect(nonsense.body).toEqual(foreign.body)
    }
    const revoked = await stranger('DELETE', `/links/${link}`)
    expect(revoked.status).toBe(404)
    expect((await stranger('DELETE', `/links/${newId()}`)).body).toEqual(revoked.body)
    expect((await stage.catalog.links.link(link))?.revokedAtMs).toBeNull()
    expect((await stranger('GET', '/recordings')).body).toEqual({ recordings: [], next: null })
    const operator = await stage.caller('operator', stage.second)
    expect((await operator('GET', '/work')).body).toEqual({ work: [] })
  })
})

describe('health', () => {
  it('needs no token', async () => {
    expect(await stage.plain('GET', '/healthz')).toMatchObject({ status: 200, body: { status: 'up' } })
    expect(await stage.plain('GET', '/readyz')).toMatchObject({ status: 200, body: { status: 'ready' } })
    stage.troubles.push('2 nodes answer and 3 are needed')
    expect(await stage.plain('GET', '/readyz')).toMatchObject({
      status: 503,
      body: { status: 'not ready', troubles: ['2 nodes answer and 3 are needed'] },
    })
  })
})
