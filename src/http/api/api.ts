import { Router, type Response } from 'express'
import type { Links } from '../../access/links.ts'
import type { Id } from '../../domain/ids.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { WorkRow } from '../../ports/catalog/recordings.ts'
import type { HealthSource } from '../../ports/health.ts'
import type { NodeOperations } from '../../ports/node-operations.ts'
import type { Clock, Log, Random } from '../../ports/system.ts'
import type { VaultReader } from '../../ports/vault-reader.ts'
import { sendJson } from '../headers.ts'
import { problemHandler, sendProblem } from '../problem.ts'
import type { RateLimit } from '../viewer/rate-limit.ts'
import { authenticate, callerOf } from './authenticate.ts'
import { healthRoutes } from './health-nodes.ts'
import { linkRoutes } from './links.ts'
import { nodeRoutes } from './nodes.ts'
import { readJson } from './parsed.ts'
import { drainRoutes } from './operations.ts'
import { policyRoutes } from './policy.ts'
import { recordingRoutes } from './recordings.ts'
import { workRoutes } from './work.ts'

/** What the API needs. */
export interface ApiOptions {
  readonly catalog: Pick<Catalog, 'installation' | 'recordings' | 'work' | 'links' | 'tokens'>
  readonly links: Links
  readonly reader: VaultReader
  readonly nodes: NodeOperations
  readonly health?: HealthSource
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Where viewers reach the vault, without a slash at the end. */
  readonly publicUrl: string
  /** Tells the queue of work that is due now. */
  readonly announce: (work: Pick<WorkRow, 'id' | 'stage' | 'fence'>, delayMs: number) => void
  /** Told after a link was revoked. */
  readonly linksChanged: (organisation: Id) => void
  /** Requests of one token; generous when left out. */
  readonly rateLimit?: RateLimit
}

/** The host API: mount it at `/api/v1`. Bearer tokens by role and organisation, JSON in and out, problems as RFC 9457 has them. */
export function createApi(options: ApiOptions): Router {
  const { catalog, clock, log, rateLimit } = options
  const router = Router({ caseSensitive: true })
  router.use((_request, response, next) => {
    setApiHeaders(response)
    next()
  })
  router.use(authenticate({ tokens: catalog.tokens, clock, rateLimit }))
  router.use(...readJson())

  router.get('/whoami', async (request, response) => {
    const { token, name, role, organisation } = callerOf(request)
    const row = await catalog.installation.organisation(organisation)
    sendJson(response, 200, { token, name, role, organisation: { id: organisation, name: row?.name ?? null } })
  })
  router.use(recordingRoutes(options))
  router.use(linkRoutes(options))
  router.use(policyRoutes(options))
  const { health, nodes } = options
  if (health) router.use(healthRoutes({ health }), drainRoutes({ health, nodes }))
  router.use(nodeRoutes(options))
  router.use(workRoutes(options))
  router.use((_request, response) => sendNotFound(response, 'there is no such route'))
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

/** 404 for what is neither a recording nor a node. */
export function sendNotFound(response: Response, detail: string): void {
  const type = 'urn:mosaik:error:E_INPUT'
  sendProblem(response, { type, title: 'Not found', status: 404, code: 'E_INPUT', detail, retry: 'never' })
}
