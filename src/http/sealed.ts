import { Router, type Request, type Response } from 'express'
import { MosaikError } from '../domain/errors.ts'
import { setApiHeaders } from './api/api.ts'
import { sendJson } from './headers.ts'
import { problemOf, sendProblem } from './problem.ts'

/** How far a sealed vault is; never which shares it has. */
export interface SealedHealth {
  readonly status: 'sealed'
  readonly sharesGiven: number
  readonly sharesNeeded: number
}

/**
 * The doors of a vault that waits for its officers' shares: `/healthz` says that the process is up and sealed, `/readyz` that it cannot serve, and
 * everything else is E_VAULT_SEALED, 503. Without a token: nobody can be told apart, for the keyring is closed.
 */
export function createSealedDoors(health: () => SealedHealth): Router {
  const router = Router({ caseSensitive: true })
  router.use((_request: Request, response: Response, next) => {
    setApiHeaders(response)
    next()
  })
  router.get('/healthz', (_request, response) => sendJson(response, 200, health()))
  router.get('/readyz', (_request, response) => sendJson(response, 503, health()))
  router.use((_request: Request, response: Response) => {
    const { sharesGiven, sharesNeeded } = health()
    const words = `the vault is sealed: its officers have given ${sharesGiven} of ${sharesNeeded} shares since it started (\`npx mosaik keys unseal\`)`
    sendProblem(response, problemOf(new MosaikError('E_VAULT_SEALED', words), 'member'))
  })
  return router
}
