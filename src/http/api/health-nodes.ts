import { Router } from 'express'
import type { HealthSource } from '../../ports/health.ts'
import { sendJson } from '../headers.ts'
import { allow } from './authenticate.ts'

/** `/nodes/health`: what the doctor sees. */
export function healthRoutes({ health }: { readonly health: HealthSource }): Router {
  const router = Router({ caseSensitive: true })
  router.get('/nodes/health', allow('operator'), async (_request, response) => {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    sendJson(response, 200, await health.report(gone.signal))
  })
  return router
}
