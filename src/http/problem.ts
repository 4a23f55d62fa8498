import type { ErrorRequestHandler, Response } from 'express'
import { errorCodes, isMosaikError, type ErrorCode, type MosaikError, type Retry } from '../domain/errors.ts'
import type { Log } from '../ports/system.ts'

/** Who reads the answer: a viewer is told plain words only, a member of the organisation what really happened. */
export type Audience = 'viewer' | 'member'

/** Body of an error answer (RFC 9457) with our stable code. */
export interface Problem {
  /** `urn:mosaik:error:` and the code. */
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: ErrorCode
  readonly detail: string
  /** Whether asking again can help. */
  readonly retry: Retry
  /** E_SHARES_TOO_FEW: how many nodes did not help; never which. */
  readonly missingNodesCount?: number
}

/** Asked too often; carries how long to wait. */
export class RateLimited extends Error {
  readonly retryAfterMs: number

  constructor(retryAfterMs: number) {
    super('too many requests')
    this.name = 'RateLimited'
    this.retryAfterMs = retryAfterMs
  }
}

/** Wait suggested with a 503 or a 409 that time can heal. */
const RETRY_AFTER_SECONDS = 5

const invalid = [400, 'The request is not valid'] as const
const unreadable = [422, 'The input cannot be used'] as const
const unavailable = [503, 'Temporarily not available'] as const
const internal = [500, 'Internal error'] as const

/** Status and title of every code: the compiler asks for a line when a code is added. */
const table: Readonly<Record<ErrorCode, readonly [status: number, title: string]>> = {
  E_FORMAT_MAGIC: unreadable,
  E_FORMAT_VERSION: unreadable,
  E_FORMAT_FIELD: unreadable,
  E_FORMAT_LENGTH: unreadable,
  E_FORMAT_CBOR: unreadable,
  E_SUITE_UNKNOWN: unreadable,
  E_SCHEME_INVALID: invalid,
  E_SHARES_TOO_FEW: unavailable,
  E_SHARES_MIXED: internal,
  E_BLOCK_TAG: unavailable,
  E_SEGMENT_TAG: unavailable,
  E_HEADER_TAG: internal,
  E_HPKE_OPEN: internal,
  E_SIGNATURE: internal,
  E_CARD_UNTRUSTED: internal,
  E_RECOVERY_KEY: invalid,
  E_NODE_UNREACHABLE: unavailable,
  E_NODE_REFUSED: unavailable,
  E_NODE_FULL: [507, 'No room left'],
  E_NODE_CORRUPT: unavailable,
  E_NODE_FOREIGN: [409, 'The node belongs to another vault'],
  E_NODE_UNSUITABLE: unreadable,
  E_NODE_UNKNOWN: [404, 'No such node'],
  E_OBJECT_ABSENT: unavailable,
  E_OBJECT_RANGE: [416, 'The range cannot be given'],
  E_PLACEMENT_RULE: [409, 'The placement rule cannot be met'],
  E_NODES_TOO_FEW: unavailable,
  E_KEYRING_LOCKED: unavailable,
  E_KEYRING_PASSPHRASE: internal,
  E_KEYRING_LOCK: internal,
  E_KEYRING_SHARE: invalid,
  E_HSM_MODULE: internal,
  E_HSM_TOKEN: internal,
  E_HSM_PIN: internal,
  E_HSM_KEY: internal,
  E_HSM_ANSWER: internal,
  E_VAULT_SEALED: [503, 'The vault is sealed'],
  E_KEYRING_KEY_UNKNOWN: internal,
  E_KEYRING_RATE: unavailable,
  E_CATALOG_UNREACHABLE: unavailable,
  E_RECORDING_UNKNOWN: [404, 'No such recording'],
  E_RECORDING_NOT_READY: [409, 'The recording is not ready yet'],
  E_ASSET_UNKNOWN: [404, 'No such part of the recording'],
  E_SOURCE_CHANGED: [409, 'The source changed'],
  E_SOURCE_UNREADABLE: unreadable,
  E_SOURCE_HASH: unreadable,
  E_SOURCE_EMPTY: unreadable,
  E_CONFLICT: [409, 'Conflict'],
  E_READ_ONLY: [503, 'The vault only plays at the moment'],
  E_RETENTION: [409, 'Nothing is deleted'],
  E_LEASE_LOST: [409, 'Conflict'],
  E_MEDIA_UNREADABLE: unreadable,
  E_MEDIA_UNSUPPORTED: unreadable,
  E_MEDIA_TOOL: internal,
  E_MEDIA_LIMIT: unreadable,
  E_LINK_INVALID: [404, 'This link is not valid'],
  E_LINK_PASSCODE: [403, 'A passcode is needed'],
  E_LINK_LOCKED: [429, 'Too many wrong passcodes'],
  E_UNAUTHORIZED: [401, 'Who are you?'],
  E_FORBIDDEN: [403, 'Not allowed'],
  E_TOKEN_UNKNOWN: [404, 'No such token'],
  E_ORGANISATION_UNKNOWN: [404, 'No such organisation'],
  E_ROUTE: [404, 'There is nothing here'],
  E_UPLOAD_UNKNOWN: [404, 'No such upload'],
  E_METHOD: [405, 'Not with this method'],
  E_TOO_LARGE: [413, 'Too large'],
  E_CONTENT_TYPE: [415, 'Another media type is needed'],
  E_INPUT: invalid,
  E_CONFIG: internal,
  E_SETUP: internal,
  E_SPOOL: unavailable,
  E_ABORTED: unavailable,
  E_INTERNAL: internal,
  E_RATE_LIMIT: [429, 'Too many requests'],
}

/** The HTTP status of a code. */
export function statusOf(code: ErrorCode): number {
  return table[code][0]
}

/** What a viewer is told, by status. One sentence for each: nothing can be told apart that should not be. */
const viewerWords: Readonly<Record<number, string>> = {
  400: 'The request is not valid.',
  403: 'Not allowed.',
  404: 'There is nothing here. A link may have expired or been withdrawn.',
  409: 'The recording is still being prepared. Please try again in a little while.',
  413: 'The request is too large.',
  415: 'The request must be JSON.',
  416: 'Only a single byte range inside the file can be given.',
  429: 'Too many attempts. Please wait a moment.',
  503: 'The recording is temporarily not available. Please try again in a little while.',
}
const FALLBACK_WORDS = 'Something went wrong on our side.'

/** Turns whatever was thrown into the answer for `audience`. Unknown errors never show their message. */
export function problemOf(error: unknown, audience: Audience): Problem {
  if (error instanceof RateLimited) return make('E_RATE_LIMIT', 'Too many attempts. Please wait a moment.')
  if (isMosaikError(error)) return ofMosaikError(error, audience)
  const refused = refusedStatus(error)
  if (refused === 413) return make('E_TOO_LARGE', viewerWords[413] ?? '')
  if (refused === 415) return make('E_CONTENT_TYPE', 'The request must be JSON: not packed, and in UTF-8.')
  if (refused !== undefined) return make('E_INPUT', 'The request could not be read.')
  return make('E_INTERNAL', FALLBACK_WORDS)
}

/** Sends a problem as `application/problem+json`; says when to come back where that helps. */
export function sendProblem(response: Response, problem: Problem, retryAfterMs?: number): void {
  const body = Buffer.from(JSON.stringify(problem), 'utf8')
  response.statusCode = problem.status
  response.setHeader('Content-Type', 'application/problem+json')
  response.setHeader('Content-Length', body.length)
  if (problem.retry === 'later' && problem.status !== 500) {
    const seconds = retryAfterMs === undefined ? RETRY_AFTER_SECONDS : Math.max(1, Math.ceil(retryAfterMs / 1000))
    response.setHeader('Retry-After', seconds)
  }
  if (problem.status === 401) response.setHeader('WWW-Authenticate', 'Bearer')
  response.end(response.req.method === 'HEAD' ? undefined : body)
}

/**
 * The last handler of a router: answers with a problem, or breaks the connection off when the answer has already begun, so that
 * nobody takes half a body for a whole one. Server faults are logged with the error's safe fields.
 */
export function problemHandler({
  audience,
  log,
}: {
  readonly audience: Audience
  readonly log: Log
}): ErrorRequestHandler {
  return (error: unknown, _request, response, _next) => {
    const problem = problemOf(error, audience)
    if (problem.status >= 500) {
      const fields = isMosaikError(error) ? error.fields : { name: error instanceof Error ? error.name : typeof error }
      log.error('http.failed', { ...fields, code: problem.code, status: problem.status })
    }
    if (response.headersSent) response.destroy()
    else sendProblem(response, problem, waitOf(error))
  }
}

/** How long to wait, where the error knows. */
function waitOf(error: unknown): number | undefined {
  if (error instanceof RateLimited) return error.retryAfterMs
  const waitMs = isMosaikError(error) ? error.fields['waitMs'] : undefined
  return typeof waitMs === 'number' ? waitMs : undefined
}

function ofMosaikError(error: MosaikError, audience: Audience): Problem {
  if (audience === 'member') {
    return withMissing(make(error.code, statusOf(error.code) === 500 ? FALLBACK_WORDS : error.message), error)
  }
  // a recording that is gone and a link that is gone are the same to someone who holds a link
  const code = error.code === 'E_RECORDING_UNKNOWN' ? 'E_LINK_INVALID' : error.code
  return withMissing(make(code, viewerWords[statusOf(code)] ?? FALLBACK_WORDS), error)
}

function withMissing(problem: Problem, { fields }: MosaikError): Problem {
  if (problem.code !== 'E_SHARES_TOO_FEW') return problem
  const names = Object.values(fields).find((value) => Array.isArray(value))
  return names === undefined ? problem : { ...problem, missingNodesCount: names.length }
}

function make(code: ErrorCode, detail: string): Problem {
  const [status, title] = table[code]
  return { type: `urn:mosaik:error:${code}`, title, status, code, detail, retry: errorCodes[code] }
}

/** 4xx that Express and its body parser throw (http-errors): the status is meant for the client. */
function refusedStatus(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('status' in error)) return undefined
  const { status } = error
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined
}
