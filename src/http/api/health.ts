import { Router } from 'express'
import { sendJson } from '../headers.ts'

/** What the health routes need. */
export interface HealthOptions {
  /**
   * Plain words for everything that keeps the vault from serving; none when it is ready. They are shown to anyone: no names, no addresses.
   */
  readonly check: () => Promise<readonly string[]>
}

/** `/healthz`: the process is up. `/readyz`: it can serve. Both without a token; mount it at the root of the app. */
export function createHealth({ check }: HealthOptions): Router {
  const router = Router({ caseSensitive: true })
  router.use(['/healthz', '/readyz'], (_request, response, next) => {
    response.setHeader('Cache-Control', 'no-store')
    next()
  })
  router.get('/healthz', (_request, response) => sendJson(response, 200, { status: 'up' }))
  router.get('/readyz', async (_request, response) => {
    let troubles: readonly string[]
    try {
      troubles = await check()
    } catch {
      troubles = ['the check itself failed']
    }
    if (troubles.length === 0) sendJson(response, 200, { status: 'ready' })
    else sendJson(response, 503, { status: 'not ready', troubles })
  })
  return router
}
