import type { Router } from 'express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { roles } from '../../../src/domain/roles.ts'
import { createApi } from '../../../src/http/api/api.ts'
import { createUploads } from '../../../src/http/uploads/uploads.ts'
import { apiStage, healthReport } from './api-stage.ts'
import { Conformance, type JsonDocument } from './conformance.ts'

type Stage = Awaited<ReturnType<typeof apiStage>>
type Fields = Readonly<Record<string, unknown>>

let stage: Stage
let document: JsonDocument

beforeAll(async () => {
  stage = await apiStage()
  document = (await stage.plain('GET', '/openapi.json')).body as unknown as JsonDocument
})
afterAll(() => stage.close())

/** Every object in the document, with where it stands. */
function* objectsOf(value: unknown, at = ''): Generator<readonly [string, Fields]> {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) yield [at, value as Fields]
  for (const [name, inner] of Object.entries(value)) yield* objectsOf(inner, `${at}/${name}`)
}

/** Method and path of all that a router serves, as OpenAPI writes them; `*` for what is left for all methods. */
function routesOf(router: Router): string[] {
  return router.stack.flatMap(({ route }) => {
    if (route === undefined) return []
    const path = route.path.replace(/:(\w+)/g, '{$1}')
    return route.stack.map(({ method }) => `${(method ?? '*').toLowerCase()} ${path}`)
  })
}

describe('the document', () => {
  it('names every route of the server, and the server has every operation of it', () => {
    const told = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method} ${path}`),
    )
    const served = new Set(routesOf(createApi(stage.apiOptions)).filter((route) => !route.startsWith('*')))
    const ofTus = told.filter((route) => / \/uploads/.test(route))
    expect([...served].sort()).toEqual([...told.filter((route) => !ofTus.includes(route)), 'get /openapi.json'].sort())
    expect(ofTus.sort()).toEqual(
      ['delete', 'get', 'head', 'patch'].map((method) => `${method} /uploads/{id}`).concat('post /uploads'),
    )
    // what tus does not do, our own router in front of it does
    expect(routesOf(createUploads({ ...stage.apiOptions } as never))).toContain('get /{id}')
  })

  it('is OpenAPI 3.1 whose references lead somewhere and whose names are unique', () => {
    expect(document.openapi).toBe('3.1.0')
    const ids = Object.values(document.paths).flatMap((item) =>
      Object.values(item).map(({ operationId }) => operationId),
    )
    expect(new Set(ids).size).toBe(ids.length)
    for (const [at, { $ref }] of objectsOf(document)) {
      if (typeof $ref !== 'string') continue
      expect(document.components.schemas, at).toHaveProperty($ref.replace('#/components/schemas/', ''))
    }
    for (const [at, fields] of objectsOf(document)) {
      expect(fields, at).not.toHaveProperty('$id')
      expect(fields, at).not.toHaveProperty('$schema')
    }
  })

  it('has German words wherever it has English ones', () => {
    for (const [at, fields] of objectsOf(document)) {
      if (at.endsWith('/properties')) continue
      if (typeof fields['summary'] === 'string') expect(fields['x-summary-de'], at).toBeTypeOf('string')
      const isListOfCodes = typeof fields['description'] === 'string' && /^E_/.test(fields['description'])
      if (typeof fields['description'] === 'string' && !isListOfCodes) {
        expect(fields['x-description-de'], at).toBeTypeOf('string')
      }
    }
  })

  it('needs no token, is the same for all, and says nothing of this vault', async () => {
    const answer = await stage.plain('GET', '/openapi.json')
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(answer.bytes.toString()).not.toContain(stage.first)
    expect((await stage.plain('GET', '/openapi.json/')).status).toBe(200)
  })

  it('tells for every operation who may', () => {
    for (const [path, item] of Object.entries(document.paths)) {
      for (const [method, told] of Object.entries(item)) {
        const allowed = (told as unknown as Fields)['x-roles'] as string[]
        expect(allowed.length, `${method} ${path}`).toBeGreaterThan(0)
        for (const role of allowed) expect(roles).toContain(role)
      }
    }
  })
})

describe('an answer that is not what the document says', () => {
  it('does not leave, and the log says which field it was and never its value', async () => {
    const other = await apiStage({ health: { ...healthReport, ...{ secretAccessKey: 'hunter2' } } })
    const operator = await other.caller('operator', other.first)
    const answer = await operator('GET', '/nodes/health')
    expect(answer).toMatchObject({ status: 500, body: { code: 'E_INTERNAL' } })
    expect(answer.bytes.toString()).not.toContain('hunter2')
    expect(other.log.lines.join()).toContain('getHealth')
    expect(other.log.lines.join()).toContain('unrecognized_keys')
    expect(other.log.lines.join()).not.toContain('hunter2')
    await other.close()
  })
})

describe('the conformance check itself', () => {
  it('finds a status, a field and a media type that the document does not tell', () => {
    const conformance = new Conformance(document)
    const answer = (status: number, body: unknown, type = 'application/json') => ({
      ...{ status, body, bytes: Buffer.from(JSON.stringify(body)) },
      headers: new Headers({ 'content-type': type }),
    })
    const links = `/recordings/${'a'.repeat(32)}/links`
    expect(() => conformance.check('GET', links, answer(200, { links: [] }))).not.toThrow()
    expect(() => conformance.check('GET', links, answer(203, { links: [] }))).toThrow()
    expect(() => conformance.check('GET', links, answer(200, { links: [{}] }))).toThrow()
    expect(() => conformance.check('GET', links, answer(200, { links: [], more: 1 }))).toThrow()
    expect(() => conformance.check('GET', links, answer(200, { links: [] }, 'text/html'))).toThrow()
    expect(() => conformance.check('GET', links, answer(404, { code: 'E_RECORDING_UNKNOWN' }))).toThrow()
    expect(() => conformance.check('GET', '/nowhere', answer(200, {}))).toThrow()
  })
})
