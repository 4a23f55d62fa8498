import { Router, type RequestHandler, type Response } from 'express'
import { MosaikError } from '../../domain/errors.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { RateCounter, RateLimit } from '../../ports/rate-counter.ts'
import type { Log } from '../../ports/system.ts'
import { sendJson } from '../headers.ts'
import { problemHandler } from '../problem.ts'
import { uploadDescriptions } from '../uploads/described.ts'
import { accessOperations, type AccessOperationsOptions } from './access.ts'
import { allow, allowProvider, authenticate, providerCheck } from './authenticate.ts'
import { downloadOperations, type DownloadOperationsOptions } from './downloads.ts'
import { linkOperations, type LinkOperationsOptions } from './links.ts'
import { nodeLifeOperations } from './node-life.ts'
import { nodeOperations } from './nodes.ts'
import { openApiDocument } from './openapi.ts'
import type { Operation } from './operation.ts'
import { readJson } from './parsed.ts'
import { policyOperations } from './policy.ts'
import { recordingOperations, type RecordingOperationsOptions } from './recordings.ts'
import { workOperations } from './work.ts'

type NodeOptions = Parameters<typeof nodeOperations>[0]

/** What the API needs. */
export interface ApiOptions
  extends
    RecordingOperationsOptions,
    DownloadOperationsOptions,
    LinkOperationsOptions,
    NodeOptions,
    Omit<AccessOperationsOptions, 'isProvider'> {
  readonly catalog: Pick<Catalog, 'installation' | 'recordings' | 'work' | 'links' | 'tokens' | 'audit'>
  readonly log: Log
  readonly rates: RateCounter
  /** Requests of one token; generous when left out. */
  readonly rateLimit?: RateLimit
}

/** All operations that `createApi` serves, in the order of the document. */
export function apiOperations(
  options: ApiOptions,
  isProvider = providerCheck(options.catalog.installation),
): readonly Operation[] {
  return [
    ...recordingOperations(options),
    ...downloadOperations(options),
    ...linkOperations(options),
    ...workOperations(options),
    ...nodeOperations(options),
    ...nodeLifeOperations(options),
    ...policyOperations(options),
    ...accessOperations({ ...options, isProvider }),
  ]
}

/**
 * The host API: mount it at `/api/v1`. Routes, checks of what comes in and goes out, and `openapi.json` are all made of one list of
 * operations. Bearer tokens by role and organisation, JSON in and out, problems as RFC 9457 has them.
 */
export function createApi(options: ApiOptions): Router {
  const { catalog, rates, clock, log, rateLimit, publicUrl } = options
  const isProvider = providerCheck(catalog.installation)
  const operations = apiOperations(options, isProvider)
  const document = openApiDocument(
    [...operations, ...uploadDescriptions],
    `${new URL(publicUrl).pathname.replace(/\/+$/, '')}/api/v1`,
  )
  const router = Router({ caseSensitive: true })
  router.use((_request, response, next) => {
    setApiHeaders(response)
    next()
  })
  // It is the same for everyone, and holds nothing of this vault.
  router.get('/openapi.json', (_request, response) => sendJson(response, 200, document))
  router.use(authenticate({ tokens: catalog.tokens, rates, clock, log, rateLimit }))
  router.use(...readJson())
  for (const { method, path, roles, isOfProvider = false, handle } of operations) {
    const guards: RequestHandler[] = [allow(...roles), ...(isOfProvider ? [allowProvider(isProvider)] : [])]
    router[method](routeOf(path), ...guards, handle)
  }
  for (const [path, there] of Map.groupBy(operations, ({ path }) => path)) {
    router.all(routeOf(path), refuseMethod(there))
  }
  router.use(() => {
    throw new MosaikError('E_ROUTE', 'there is no such route; /api/v1/openapi.json lists them')
  })
  router.use(problemHandler({ audience: 'member', log }))
  return router
}

/** Headers of every answer of the API. */
export function setApiHeaders(response: Response): void {
  response.removeHeader('X-Powered-By')
  response.setHeader('Cache-Control', 'no-store')
  response.setHeader('X-Content-Type-Options', 'nosniff')
  response.setHeader('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'")
  response.setHeader('Referrer-Policy', 'no-referrer')
}

/** `/recordings/{id}` as Express writes it. */
function routeOf(path: string): string {
  return path.replace(/\{(\w+)\}/g, ':$1')
}

function refuseMethod(there: readonly Operation[]): RequestHandler {
  const methods = there.map(({ method }) => method.toUpperCase())
  const allowed = [...methods, ...(methods.includes('GET') ? ['HEAD'] : [])].join(', ')
  return (_request, response) => {
    response.setHeader('Allow', allowed)
    throw new MosaikError('E_METHOD', `this is for ${allowed}`)
  }
}
