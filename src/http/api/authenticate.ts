import { createHash } from 'node:crypto'
import type { Request, RequestHandler, Response } from 'express'
import { guardStream } from '../../access/stream-guard.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { Role } from '../../domain/roles.ts'
import type { InstallationCatalog, TokenCatalog, TokenRow } from '../../ports/catalog/access.ts'
import type { RateCounter, RateLimit } from '../../ports/rate-counter.ts'
import type { Clock, Log } from '../../ports/system.ts'
import { RateLimited } from '../problem.ts'

/** Who asks, as the token says. */
export interface Caller {
  /** Id of the token, not the token. */
  readonly token: Id
  readonly name: string
  readonly role: Role
  readonly organisation: Id
  /** Known to this token's holder and the catalog only: keys entity tags. */
  readonly tokenSha256: Uint8Array
}

/** What authentication needs. */
export interface AuthenticationOptions {
  readonly tokens: Pick<TokenCatalog, 'tokenByHash'>
  readonly rates: RateCounter
  readonly clock: Clock
  readonly log: Log
  /** Requests of one token. */
  readonly rateLimit?: RateLimit | undefined
}

/** A client that polls several recordings four times a second stays below it. */
export const API_RATE_LIMIT: RateLimit = { maxCount: 3_000, windowMs: 60_000 }

const TOKEN_MAX_CHARACTERS = 512
const bearerPattern = /^Bearer +([\x21-\x7e]+) *$/i
const requests = new WeakMap<object, { readonly caller: Caller; readonly watch: () => void }>()

/**
 * Finds the caller by the bearer token's SHA-256, which is all that the catalog has. Every request costs one hash and one look-up,
 * whatever it carried. No token, an unknown and a revoked one are the same 401.
 */
export function authenticate(options: AuthenticationOptions): RequestHandler {
  const { tokens, rates, clock, log, rateLimit = API_RATE_LIMIT } = options

  async function liveToken(tokenSha256: Uint8Array): Promise<TokenRow | undefined> {
    const row = await tokens.tokenByHash(tokenSha256)
    return row?.revokedAtMs === null ? row : undefined
  }

  /** Until the answer is out or the client has left. */
  function watch(response: Response, { token, tokenSha256 }: Caller): void {
    const over = new AbortController()
    response.once('close', () => over.abort())
    if (response.closed) return
    const isLive = async () => (await liveToken(tokenSha256)) !== undefined
    const end = () => {
      log.warn('api.broken-off', { token, code: 'E_UNAUTHORIZED' })
      // an orderly end would still send the megabytes that wait in this machine's buffers
      response.socket?.resetAndDestroy()
    }
    guardStream(clock, isLive, end, over.signal)
  }

  return async (request, response, next) => {
    const presented = bearerPattern.exec(request.headers.authorization ?? '')?.[1] ?? ''
    const usable = presented !== '' && presented.length <= TOKEN_MAX_CHARACTERS
    const hash = createHash('sha256')
      .update(usable ? presented : '')
      .digest()
    const row = await liveToken(new Uint8Array(hash))
    if (!usable || row === undefined) {
      throw new MosaikError('E_UNAUTHORIZED', 'send a valid token as "Authorization: Bearer …"')
    }
    const waitMs = await rates.attempt('api', row.id, rateLimit)
    if (waitMs > 0) throw new RateLimited(waitMs)
    const { id: token, name, role, organisation, tokenSha256 } = row
    const caller = { token, name, role, organisation, tokenSha256 }
    requests.set(request, { caller, watch: () => watch(response, caller) })
    next()
  }
}

/** The caller of a request that went through `authenticate`. @throws E_UNAUTHORIZED for one that did not */
export function callerOf(request: Request): Caller {
  return authenticated(request).caller
}

/** Has a request whose body is long, or whose answer is, broken off within 5 s of its token's revocation. */
export function endWithToken(request: Request): void {
  authenticated(request).watch()
}

function authenticated(request: Request) {
  const found = requests.get(request)
  if (found === undefined) throw new MosaikError('E_UNAUTHORIZED', 'send a valid token as "Authorization: Bearer …"')
  return found
}

/** Lets only these roles pass. @throws E_FORBIDDEN saying which role is needed */
export function allow(...roles: readonly Role[]): RequestHandler {
  return (request, _response, next) => {
    const { role } = callerOf(request)
    if (!roles.includes(role)) {
      throw new MosaikError('E_FORBIDDEN', `this needs a token of the role ${roles.join(' or ')}; yours is ${role}`)
    }
    next()
  }
}

/** Tells whether an organisation is the provider's: the first of the installation, which stays the first. */
export function providerCheck(
  installation: Pick<InstallationCatalog, 'organisations'>,
): (organisation: Id) => Promise<boolean> {
  let provider: Id | undefined
  return async (organisation) => {
    provider ??= (await installation.organisations())[0]?.id
    return organisation === provider
  }
}

/** Lets only the provider's organisation pass. @throws E_FORBIDDEN */
export function allowProvider(isProvider: ReturnType<typeof providerCheck>): RequestHandler {
  return async (request, _response, next) => {
    if (!(await isProvider(callerOf(request).organisation))) {
      throw new MosaikError('E_FORBIDDEN', "this concerns all organisations: it needs a token of the provider's own")
    }
    next()
  }
}
