import type { Request, RequestHandler } from 'express'
import { z } from 'zod'
import type { Links, ViewerSession } from '../../access/links.ts'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import { PASSCODE_MAX_CHARS } from '../../domain/link.ts'
import type { RateCounter, RateLimit } from '../../ports/rate-counter.ts'
import type { Log } from '../../ports/system.ts'
import { sendJson } from '../headers.ts'
import { RateLimited } from '../problem.ts'
import { networkOf } from './rate-limit.ts'
import type { ToldRecording } from './recording-view.ts'
import { sessionCookie } from './session-cookie.ts'

/** Largest body of an exchange; a token has about 130 characters, a passcode may have letters of four bytes. */
export const EXCHANGE_MAX_BYTES = 4096

const bodySchema = z.strictObject({
  token: z.string().max(EXCHANGE_MAX_BYTES),
  passcode: z
    .string()
    .max(4 * PASSCODE_MAX_CHARS)
    .optional(),
})

/** What the exchange needs. */
export interface ExchangeOptions {
  readonly links: Links
  readonly log: Log
  readonly rates: RateCounter
  readonly publicUrl: URL
  readonly rateLimit: RateLimit
  /** What the new session would ask for next, when that is known soon; never rejects. */
  readonly describe: (session: ViewerSession) => Promise<ToldRecording>
}

/** First handler of an exchange: refuses other sites and those who try too often, before a byte of the body is read. */
export function admitExchange({ rates, publicUrl, rateLimit, log }: ExchangeOptions): RequestHandler {
  return async (request, _response, next) => {
    const waitMs = await rates.attempt('exchange', networkOf(request.ip ?? ''), rateLimit)
    if (waitMs > 0) {
      log.warn('view.throttled', { waitMs })
      throw new RateLimited(waitMs)
    }
    if (!isSameOrigin(request, publicUrl))
      throw new MosaikError('E_FORBIDDEN', 'an exchange comes from the watch page only')
    if (!request.is('application/json'))
      throw new MosaikError('E_CONTENT_TYPE', 'send JSON, with Content-Type: application/json')
    next()
  }
}

/** Second handler, behind the JSON parser: token in; out come cookie, grant, the recording's description and playlists, which saves the page its ways. */
export function exchangeToken({ links, log, publicUrl, describe }: ExchangeOptions): RequestHandler {
  const basePath = publicUrl.pathname.replace(/\/+$/, '')
  const secure = publicUrl.protocol === 'https:'

  async function exchanged(token: string, passcode: string | undefined): Promise<ViewerSession | undefined> {
    try {
      return await links.exchange(token, passcode)
    } catch (error) {
      if (isMosaikError(error, 'E_LINK_PASSCODE', 'E_LINK_LOCKED') && passcode !== undefined)
        log.warn('view.passcode', { ...error.fields, code: error.code })
      throw error
    }
  }

  return async (request, response) => {
    const body = bodySchema.safeParse(request.body)
    if (!body.success)
      throw new MosaikError(
        'E_INPUT',
        'the body is {"token": "…", "passcode": "…"} as application/json; without a passcode where the link has none',
      )
    const session = await exchanged(body.data.token, body.data.passcode)
    if (session === undefined) {
      log.info('view.refused')
      throw new MosaikError('E_LINK_INVALID', 'this link is not valid')
    }
    log.info('view.granted', { link: session.link })
    response.setHeader('Set-Cookie', sessionCookie(session, basePath, secure))
    sendJson(response, 200, { grant: session.grant, ...(await describe(session)) })
  }
}

/**
 * True when the request comes from our own page or from a program that is no browser. Browsers always send Origin with a POST; the
 * host is compared too, because a vault may be reached by several names.
 */
function isSameOrigin(request: Request, publicUrl: URL): boolean {
  const site = request.get('sec-fetch-site')
  if (site !== undefined && site !== 'same-origin') return false
  const origin = request.get('origin')
  if (origin === undefined || origin === publicUrl.origin) return true
  return URL.canParse(origin) && new URL(origin).host === request.get('host')
}
