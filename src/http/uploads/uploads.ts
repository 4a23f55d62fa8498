import { Server, type ServerOptions } from '@tus/server'
import { Router, type Request, type Response } from 'express'
import { MosaikError, isMosaikError, type ErrorCode } from '../../domain/errors.ts'
import { isId, toHex } from '../../domain/ids.ts'
import type { TokenCatalog, UploadRow } from '../../ports/catalog/access.ts'
import type { RateCounter, RateLimit } from '../../ports/rate-counter.ts'
import type { Random } from '../../ports/system.ts'
import { setApiHeaders } from '../api/api.ts'
import { allow, authenticate, callerOf, endWithToken } from '../api/authenticate.ts'
import { sendJson } from '../headers.ts'
import { problemHandler, problemOf, type Problem } from '../problem.ts'
import { captionsOf, checkLength, settle, type FinishPorts } from './finish.ts'
import { UploadLocker } from './locker.ts'
import { checkedMetadata } from './metadata.ts'
import { UploadStore } from './upload-store.ts'

/** What uploads need. */
export interface UploadsOptions extends FinishPorts {
  readonly tokens: Pick<TokenCatalog, 'tokenByHash'>
  readonly random: Random
  readonly rates: RateCounter
  /** Its path goes in front of the `Location` of new uploads. */
  readonly publicUrl: string
  /** Largest upload; 256 GiB when left out. */
  readonly maxBytes?: number
  /** Requests of one token; generous when left out. */
  readonly rateLimit?: RateLimit
}

/** Answer header that names the recording a finished upload became. */
export const RECORDING_HEADER = 'Mosaik-Recording'

const MOUNT_PATH = '/api/v1/uploads'
const MAX_BYTES = 256 * 1024 ** 3
/** How long a request may still work after another one wants its upload. */
const DRAIN_MS = 1_000
const SWEEP_EVERY_MS = 10 * 60_000

type Hook = Parameters<NonNullable<ServerOptions['onIncomingRequest']>>[0]

/**
 * Resumable uploads, tus 1.0.0: mount it at `/api/v1/uploads`, before any body parser. Roles: host. Only the token that began an upload
 * goes on with it; to others it does not exist. When the last byte is sealed the recording is deposited, once.
 */
export function createUploads(options: UploadsOptions): Router {
  const { clock, log, tokens, rates, rateLimit } = options
  const locker = new UploadLocker(clock)
  const store = new UploadStore(options, (upload) => locker.isHeld(upload))
  const problems = new WeakSet<object>()
  const server = tusServer(options, store, locker, problems)
  let sweptAtMs = Number.NEGATIVE_INFINITY

  /** Now and then with a request, in the background: nothing waits for it. */
  function sweepSometimes(): void {
    const nowMs = clock.monotonicMs()
    if (nowMs - sweptAtMs < SWEEP_EVERY_MS) return
    sweptAtMs = nowMs
    store.deleteExpired().catch((error: unknown) => {
      log.warn('upload.sweep-failed', { cause: isMosaikError(error) ? error.code : 'unknown' })
    })
  }

  const router = Router({ caseSensitive: true })
  router.use((_request, response, next) => {
    setApiHeaders(response)
    next()
  })
  router.use(authenticate({ tokens, rates, clock, log, rateLimit }), allow('host'))
  router.get('/:id', async (request, response, next) => {
    // Express gives HEAD to GET's handlers too: that one is tus's own.
    if (request.method === 'HEAD') return next()
    const row = await settle(options, await ownUpload(options, request, request.params.id))
    const offsetBytes = row.state === 'receiving' ? await options.spool.offsetBytes(row.id) : row.lengthBytes
    sendJson(response, 200, viewOf(row, offsetBytes ?? row.offsetBytes))
  })
  router.get('/', () => {
    throw unknownUpload()
  })
  router.use(async (request, response) => {
    if (request.method === 'POST') sweepSometimes()
    // tus takes a HEAD of a complete upload for the end of it: the recording must be there by then.
    if (request.method === 'HEAD') await settle(options, await ownUpload(options, request, request.path.slice(1)))
    if (request.method === 'POST' || request.method === 'PATCH') endWithToken(request)
    nameProblems(request, response, problems)
    await server.handle(request, response)
  })
  router.use(uploadProblems(problemHandler({ audience: 'member', log })))
  return router
}

function tusServer(
  options: UploadsOptions,
  store: UploadStore,
  locker: UploadLocker,
  problems: WeakSet<object>,
): Server {
  const { uploads, random, log } = options
  const pathPrefix = new URL(options.publicUrl).pathname.replace(/\/+$/, '')
  return new Server({
    path: MOUNT_PATH,
    datastore: store,
    locker,
    lockDrainTimeout: DRAIN_MS,
    maxSize: options.maxBytes ?? MAX_BYTES,
    disableTerminationForFinishedUploads: true,
    // No other site has business here: no CORS headers at all.
    allowedOrigins: () => false,
    namingFunction: () => toHex(random.bytes(16)),
    // Without the host: a vault may be reached by several names.
    generateUrl: (_request, { id }) => `${pathPrefix}${MOUNT_PATH}/${id}`,
    getFileIdFromRequest: (_request, lastPath) => (lastPath !== undefined && isId(lastPath) ? lastPath : undefined),

    async onIncomingRequest(hook, id) {
      if (hook.method !== 'POST') await ownUpload(options, requestOf(hook), id)
    },

    async onUploadCreate(hook, upload) {
      const { organisation, token } = callerOf(requestOf(hook))
      const metadata = checkedMetadata(upload.metadata ?? {})
      if (upload.size !== undefined) checkLength(upload.size, { metadata })
      if (metadata['captionsUpload'] !== undefined) {
        const { missing } = await captionsOf(uploads, { metadata, organisation, owner: token })
        if (missing.length > 0) {
          throw new MosaikError('E_INPUT', 'captionsUpload: there is no complete upload of captions with this id')
        }
      }
      store.expect(upload.id, { organisation, token })
      return { metadata }
    },

    async onUploadFinish(hook, upload) {
      const row = await settle(options, await ownUpload(options, requestOf(hook), upload.id))
      log.info('upload.complete', { upload: row.id, recording: row.recording, lengthBytes: row.lengthBytes })
      return row.recording === null ? {} : { headers: { [RECORDING_HEADER]: row.recording } }
    },

    onResponseError(hook, error) {
      const problem = problemOfTus(error)
      if (problem.status >= 500) {
        log.error('upload.failed', { code: problem.code, ...(isMosaikError(error) ? error.fields : {}) })
      }
      problems.add(requestOf(hook))
      return { status_code: problem.status, body: JSON.stringify(problem) }
    },
  })
}

/** The caller's own upload. Another token's does not exist. */
async function ownUpload({ uploads }: UploadsOptions, request: Request, id: string | undefined): Promise<UploadRow> {
  const row = id !== undefined && isId(id) ? await uploads.upload(id) : undefined
  const { token, organisation } = callerOf(request)
  if (row === undefined || row.owner !== token || row.organisation !== organisation || row.state === 'aborted') {
    throw unknownUpload()
  }
  return row
}

/** Not there, or somebody else's: the same answer. */
class UnknownUpload extends Error {
  readonly status_code = 404
  readonly body = 'there is no such upload'
}

function unknownUpload(): Error {
  return new UnknownUpload('there is no such upload')
}

/** The request of Express behind the one that tus hands to its hooks. */
function requestOf(hook: Hook): Request {
  const request = hook.runtime?.node?.req
  if (request === undefined) throw new MosaikError('E_INTERNAL', 'tus gave a request of another kind')
  return request as unknown as Request
}

const wordsOfStatus: Readonly<Record<number, string>> = {
  400: 'the request is not valid as tus 1.0.0 has it',
  403: 'a header that tus 1.0.0 needs is missing: Upload-Offset, or Content-Type: application/offset+octet-stream',
  404: 'there is no such upload',
  409: 'the upload stands at another byte: ask where with HEAD, and go on from there',
  410: 'the upload was untouched for a day and is gone: begin anew',
  413: 'this is more than the upload may have',
}

const codesOfStatus: Readonly<Record<number, ErrorCode>> = {
  404: 'E_UPLOAD_UNKNOWN',
  409: 'E_CONFLICT',
  410: 'E_UPLOAD_UNKNOWN',
  413: 'E_TOO_LARGE',
}

/** A problem for what tus, or a hook of ours, threw. Words of unknown errors are never shown. */
function problemOfTus(error: unknown): Problem {
  const status = typeof error === 'object' && error !== null && 'status_code' in error ? error.status_code : undefined
  if (isMosaikError(error) || typeof status !== 'number' || status >= 500) return problemOf(error, 'member')
  const known: Problem = problemOf(new MosaikError(codesOfStatus[status] ?? 'E_INPUT', ''), 'member')
  return { ...known, status, detail: wordsOfStatus[status] ?? wordsOfStatus[400] ?? '' }
}

/** For errors thrown outside tus: `UnknownUpload` becomes its 404, the rest goes to `next`. */
function uploadProblems(next: ReturnType<typeof problemHandler>): ReturnType<typeof problemHandler> {
  return (error: unknown, request, response, pass) => {
    if (!(error instanceof UnknownUpload) || response.headersSent) return next(error, request, response, pass)
    const body = Buffer.from(JSON.stringify(problemOfTus(error)), 'utf8')
    response.statusCode = 404
    response.setHeader('Content-Type', 'application/problem+json')
    response.setHeader('Content-Length', body.length)
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}

/** tus sends texts; what is a problem document is called one. */
function nameProblems(request: Request, response: Response, problems: WeakSet<object>): void {
  const writeHead = response.writeHead.bind(response) as (...parts: unknown[]) => Response
  response.writeHead = ((status: number, statusText: string, headers: string[]) => {
    const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-type')
    if (problems.has(request) && at >= 0) headers[at + 1] = 'application/problem+json'
    return writeHead(status, statusText, headers)
  }) as typeof response.writeHead
}

function viewOf({ id, state, lengthBytes, recording }: UploadRow, offsetBytes: number) {
  return { id, state, offsetBytes, lengthBytes, recording }
}
