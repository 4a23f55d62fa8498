import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { roles, type Role } from '../../../src/domain/roles.ts'
import { apiStage, newId, nodeReport, parts, type Call } from './api-stage.ts'

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

interface Told {
  readonly operationId: string
  readonly 'x-roles': readonly Role[]
  readonly 'x-provider-only': boolean
}

/** What those get who may, by operation: one that is missing here fails the test. */
const expected: Readonly<Record<string, { readonly status: number; readonly body?: unknown }>> = {
  listRecordings: { status: 200 },
  getRecording: { status: 200 },
  getTimeline: { status: 200 },
  getReceipt: { status: 404 },
  retryRecording: { status: 202, body: {} },
  deleteRecording: { status: 409 },
  downloadOriginal: { status: 200 },
  listDownloads: { status: 200 },
  download: { status: 200 },
  createLink: { status: 201, body: {} },
  listLinks: { status: 200 },
  revokeLink: { status: 204 },
  listWork: { status: 200 },
  listNodes: { status: 200 },
  addNode: { status: 400, body: {} },
  getHealth: { status: 200 },
  probeNode: { status: 200, body: {} },
  changeNode: { status: 200, body: { state: 'read-only' } },
  getDrain: { status: 200 },
  drainNode: { status: 202 },
  pauseDrain: { status: 409 },
  getDismissal: { status: 200 },
  dismissNode: { status: 202 },
  pauseDismissals: { status: 200 },
  setNodeCredentials: { status: 204, body: { accessKeyId: 'id', secretAccessKey: 'secret' } },
  removeNode: { status: 204 },
  reshareRecording: { status: 202, body: {} },
  reshareAll: { status: 202, body: { scheme: { k: 2, n: 3, t: 1 } } },
  getReshare: { status: 200 },
  pauseReshare: { status: 200 },
  previewRebalance: { status: 200 },
  getRebalance: { status: 200 },
  rebalance: { status: 202, body: {} },
  pauseRebalance: { status: 200 },
  getPolicy: { status: 200 },
  setPolicy: { status: 503, body: {} },
  whoami: { status: 200 },
  listAudit: { status: 200 },
  listOrganisations: { status: 200 },
  createOrganisation: { status: 400, body: {} },
  listTokens: { status: 200 },
  createToken: { status: 400, body: {} },
  revokeToken: { status: 204 },
}

describe('every operation, as every role of two organisations', () => {
  it('is for those of its roles; others are told so; what is of the other organisation does not exist', async () => {
    const document = (await stage.plain('GET', '/openapi.json')).body as unknown as {
      paths: Record<string, Record<string, Told>>
    }
    const others = {} as Record<Role, Call>
    for (const role of roles) others[role] = await stage.caller(role, stage.second)
    const operations = Object.entries(document.paths)
      .filter(([path]) => !path.startsWith('/uploads'))
      .flatMap(([path, item]) => Object.entries(item).map(([method, told]) => ({ path, method, ...told })))
    expect(operations.map(({ operationId }) => operationId).sort()).toEqual(Object.keys(expected).sort())

    for (const { path, method, operationId, ...told } of operations) {
      const { status, body } = expected[operationId]!
      for (const role of roles) {
        const what = `${operationId} as ${role}`
        const real = await realPath(path)
        const own = await callers[role](method.toUpperCase(), real, body)
        if (!told['x-roles'].includes(role)) {
          expect(own, what).toMatchObject({ status: 403, body: { code: 'E_FORBIDDEN' } })
        } else expect(own.status, what).toBe(status)
        expect(own.headers.get('cache-control')).toBe('no-store')

        const foreign = await others[role](method.toUpperCase(), await realPath(path), body)
        const isForbidden = !told['x-roles'].includes(role) || told['x-provider-only']
        if (isForbidden) {
          expect(foreign, what).toMatchObject({ status: 403, body: { code: 'E_FORBIDDEN' } })
        } else if (path.includes('{')) {
          expect(foreign.status, what).toBe(404)
          // word for word what an id says that nobody has, and what is no id
          for (const id of [newId(), 'nonsense']) {
            const unknown = await others[role](method.toUpperCase(), path.replaceAll(/\{\w+\}/g, id), body)
            expect(unknown.body, what).toEqual(foreign.body)
          }
        } else expect(foreign.status, what).toBe(status)
      }
    }
  })

  /** The path with things of the first organisation in it. */
  async function realPath(path: string): Promise<string> {
    const id = path.startsWith('/nodes')
      ? nodeReport.id
      : path.startsWith('/tokens')
        ? (await stage.caller('host', stage.first)).tokenId
        : path.startsWith('/links')
          ? (await stage.links.create({ organisation: stage.first, recording })).link.id
          : recording
    return path.replace('{id}', id).replace('{asset}', parts.video.id)
  }

  it('changes nothing of the other organisation', async () => {
    const { link } = await stage.links.create({ organisation: stage.first, recording })
    const victim = await stage.caller('host', stage.first)
    const [host, admin] = [await stage.caller('host', stage.second), await stage.caller('admin', stage.second)]
    await host('DELETE', `/links/${link.id}`)
    await admin('DELETE', `/tokens/${victim.tokenId}`)
    expect((await stage.catalog.links.link(link.id))?.revokedAtMs).toBeNull()
    expect((await victim('GET', '/whoami')).status).toBe(200)
    for (const asked of [stage.first, newId()]) {
      const listed = await admin('GET', `/tokens?organisation=${asked}`)
      expect(listed).toMatchObject({ status: 404, body: { code: 'E_ORGANISATION_UNKNOWN' } })
      const made = await admin('POST', '/tokens', { role: 'host', name: 'mine', organisation: asked })
      expect(made.body).toEqual(listed.body)
    }
    expect((await host('GET', '/recordings')).body).toEqual({ recordings: [], next: null })
    const [operator, auditor] = [
      await stage.caller('operator', stage.second),
      await stage.caller('auditor', stage.second),
    ]
    await stage.catalog.audit.addAudit({
      ...{ atMs: 1, organisation: stage.first, kind: 'unwrap', subject: null, fields: { purpose: 'play' } },
    })
    expect((await operator('GET', '/work')).body).toEqual({ work: [] })
    expect((await auditor('GET', '/audit')).body).toEqual({ entries: [] })
    expect((await callers.auditor('GET', '/audit?limit=1')).body).toMatchObject({
      entries: [{ kind: 'unwrap', fields: { purpose: 'play' } }],
    })
  })
})

describe('organisations and tokens', () => {
  it("are made by the provider's admin, and the new ones work at once, for their own organisation only", async () => {
    const made = await callers.admin('POST', '/organisations', { name: 'Customer', placementRule: 'strict' })
    expect(made).toMatchObject({
      status: 201,
      body: { name: 'Customer', isProvider: false, placementRule: 'strict', scheme: { k: 3, n: 5, t: 1 } },
    })
    const organisation = made.body['id'] as string
    const { body } = await callers.admin('GET', '/organisations')
    expect((body['organisations'] as { isProvider: boolean }[]).map(({ isProvider }) => isProvider)).toEqual([
      ...[true, false, false],
    ])
    const token = await callers.admin('POST', '/tokens', { role: 'admin', name: 'their admin', organisation })
    expect(token.status).toBe(201)
    const theirs: Call = (method, path, sent) =>
      stage.plain(method, path, sent, { authorization: `Bearer ${String(token.body['token'])}` })
    expect((await theirs('GET', '/whoami')).body).toMatchObject({ role: 'admin', organisation: { id: organisation } })
    expect((await theirs('POST', '/organisations', { name: 'More' })).status).toBe(403)
    stage.move(1000)
    const host = await theirs('POST', '/tokens', { role: 'host', name: 'their host' })
    const listed = await theirs('GET', '/tokens')
    expect(listed.body).toMatchObject({ tokens: [{ name: 'their admin' }, { name: 'their host', revokedAt: null }] })
    expect(listed.bytes.toString()).not.toContain(String(host.body['token']))
    expect((await theirs('DELETE', `/tokens/${String(host.body['id'])}`)).status).toBe(204)
    expect((await theirs('DELETE', `/tokens/${String(host.body['id'])}`)).status).toBe(204)
    const ended = await stage.plain('GET', '/whoami', undefined, {
      authorization: `Bearer ${String(host.body['token'])}`,
    })
    expect(ended.status).toBe(401)
    // the provider's admin sees and ends theirs
    expect((await callers.admin('DELETE', `/tokens/${String(token.body['id'])}`)).status).toBe(204)
    expect((await theirs('GET', '/whoami')).status).toBe(401)
  })

  it.each([
    [{ name: '' }, /name/],
    [{ name: 'x', scheme: { k: 9, n: 5, t: 1 } }, undefined],
    [{ name: 'x', scheme: { k: 3, n: 5 } }, /scheme\.t/],
    [{ name: 'x', nodes: [] }, /no field "nodes"/],
  ])('refuses an organisation like %j', async (body, words) => {
    const answer = await callers.admin('POST', '/organisations', body)
    if (words === undefined) return
    expect(answer).toMatchObject({ status: 400, body: { code: 'E_INPUT' } })
    expect(answer.body['detail']).toMatch(words)
  })

  it.each([
    [{ role: 'root', name: 'x' }, /role/],
    [{ role: 'host' }, /name/],
    [{ role: 'host', name: 'x', token: 'my own' }, /no field "token"/],
    [{ role: 'host', name: 'x', organisation: 'theirs' }, /organisation/],
  ])('refuses a token like %j', async (body, words) => {
    const answer = await callers.admin('POST', '/tokens', body)
    expect(answer).toMatchObject({ status: 400, body: { code: 'E_INPUT' } })
    expect(answer.body['detail']).toMatch(words)
  })
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
