import express, { Router, type Request, type Response } from 'express'
import type { Links, ViewerSession } from '../../access/links.ts'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { Link } from '../../domain/link.ts'
import type { RecordingCatalog } from '../../ports/catalog/recordings.ts'
import type { RateCounter, RateLimit } from '../../ports/rate-counter.ts'
import type { Clock, Log } from '../../ports/system.ts'
import type { AssetReader, VaultReader } from '../../ports/vault-reader.ts'
import { attachment, sendJson, sendText, setViewerHeaders } from '../headers.ts'
import { RateLimited, problemHandler } from '../problem.ts'
import { EXCHANGE_MAX_BYTES, admitExchange, exchangeToken } from './exchange.ts'
import { EXCHANGE_RATE_LIMIT, SEGMENT_RATE_LIMIT, wastedSegments } from './rate-limit.ts'
import {
  downloadMediaType,
  inlineMediaType,
  isPlayable,
  masterPlaylistOf,
  mediaPlaylistOf,
  recordingView,
  shortPlaylistsOf,
  renditionFile,
  storyboardPart,
  type ToldRecording,
} from './recording-view.ts'
import { sendAsset, sessionEtag } from './send-asset.ts'
import { cookieSecretOf } from './session-cookie.ts'
import { serveFile, type WatchPage } from './watch-page.ts'

/** What the viewer's router needs. */
export interface ViewerRouterOptions {
  readonly links: Links
  readonly reader: VaultReader
  /** Asked how a recording is that cannot be played. */
  readonly recordings: Pick<RecordingCatalog, 'get'>
  readonly log: Log
  readonly clock: Pick<Clock, 'sleep'>
  readonly rates: RateCounter
  /** Where viewers reach the vault. With https cookies are Secure; its path is the prefix under which the router is reached. */
  readonly publicUrl: string
  readonly page: WatchPage
  /** Wasted segments by session; default 1,200 a minute. */
  readonly segmentRateLimit?: RateLimit
  /** Exchanges by address; default 10 a minute. The address is `request.ip`: set "trust proxy" on the app behind a proxy. */
  readonly exchangeRateLimit?: RateLimit
}

const HLS = 'application/vnd.apple.mpegurl'
const assetPattern = /^([0-9a-f]{32})(?:\.(m3u8|mp4|vtt|jpg|download))?$/
/** Bodies that one session may have open at once: a player needs one or two. */
const MAX_STREAMS = 8
const STREAMS_FULL_WAIT_MS = 1_000
/** An exchange counts a view, so its answer does not wait for slow nodes: who loses it has lost the view. */
const DESCRIBE_WITHIN_MS = 300

/** One request of a viewer whose session was found good. */
interface Visit {
  readonly request: Request
  readonly response: Response
  readonly link: Link
  readonly grant: string
  readonly cookieSecret: string
  readonly abort: AbortController
}

/**
 * Everything a viewer meets, under `/s`: the watch page, the exchange of a token for a session, and the recording behind it. Mount it at
 * the root of the app.
 */
export function createViewerRouter(options: ViewerRouterOptions): Router {
  const { links, log, page, exchangeRateLimit = EXCHANGE_RATE_LIMIT } = options
  const publicUrl = new URL(options.publicUrl)
  const secure = publicUrl.protocol === 'https:'
  const describe = (session: ViewerSession): Promise<ToldRecording> => describeSoon(options, session)
  const exchange = { ...options, publicUrl, rateLimit: exchangeRateLimit, describe }
  const visits = visitHandlers(options)
  const router = Router({ caseSensitive: true, strict: true })

  router.get('/', (_request, response) => {
    setViewerHeaders(response, secure)
    response.statusCode = 302
    response.setHeader('Location', `${publicUrl.pathname.replace(/\/+$/, '')}/s`)
    response.end()
  })
  router.use('/s', (_request, response, next) => {
    setViewerHeaders(response, secure)
    next()
  })
  router.get('/s', serveFile(page.html, 'text/html; charset=utf-8'))
  router.get('/s/watch.js', serveFile(page.script, 'text/javascript; charset=utf-8'))
  router.get('/s/hls.js', serveFile(page.hls, 'text/javascript; charset=utf-8'))
  router.get('/s/hls-light.js', serveFile(page.hlsLight, 'text/javascript; charset=utf-8'))
  router.get('/s/watch.css', serveFile(page.style, 'text/css; charset=utf-8'))
  // browsers carry the fragment over; relative, because the vault may lie under a path
  router.get('/s/', (_request, response) => {
    response.statusCode = 308
    response.setHeader('Location', '../s')
    response.end()
  })
  router.post(
    '/s/exchange',
    admitExchange(exchange),
    express.json({ limit: EXCHANGE_MAX_BYTES, type: 'application/json' }),
    exchangeToken(exchange),
  )
  router.get('/s/:grant/:file', async (request, response) => {
    const { grant, file } = request.params
    const cookieSecret = cookieSecretOf(request.get('cookie'))
    const link = await links.session(grant, cookieSecret)
    if (link === undefined) throw new MosaikError('E_LINK_INVALID', 'this link is not valid')
    const abort = new AbortController()
    response.once('close', () => abort.abort(new MosaikError('E_ABORTED', 'the viewer left')))
    try {
      await visits({ request, response, link, grant, cookieSecret, abort }, file)
    } catch (error) {
      const reason: unknown = abort.signal.aborted ? abort.signal.reason : error
      if (isMosaikError(reason, 'E_ABORTED')) return
      if (response.headersSent) {
        log.warn('view.broken', { link: link.id, code: isMosaikError(reason) ? reason.code : 'E_INTERNAL' })
        // An orderly end would still send the megabytes that a slow viewer leaves in this machine's buffers.
        if (isMosaikError(reason, 'E_LINK_INVALID')) response.socket?.resetAndDestroy()
      }
      throw reason
    }
  })
  router.use('/s', () => {
    throw new MosaikError('E_LINK_INVALID', 'there is nothing here')
  })
  router.use('/s', problemHandler({ audience: 'viewer', log }))
  return router
}

/** What a new session leads to; nothing when that is not known soon, or when there is more to say: `recording.json` says it. */
async function describeSoon(
  { links, reader, clock }: ViewerRouterOptions,
  { grant, cookieSecret }: ViewerSession,
): Promise<ToldRecording> {
  const nothing: ToldRecording = { recording: null, playlists: {} }
  const over = new AbortController()
  const read = async (): Promise<ToldRecording> => {
    const link = await links.session(grant, cookieSecret)
    if (link === undefined) return nothing
    const { manifest } = await reader.open(link.organisation, link.recording, 'play', over.signal)
    if (!isPlayable(manifest)) return nothing
    return { recording: recordingView(manifest, link, false), playlists: shortPlaylistsOf(manifest) }
  }
  try {
    const late = clock.sleep(DESCRIBE_WITHIN_MS, over.signal).then(() => nothing)
    return await Promise.race([read(), late])
  } catch {
    return nothing
  } finally {
    over.abort(new MosaikError('E_ABORTED', 'the exchange has been answered'))
  }
}

/** Answers to a session: by the last part of the path. */
function visitHandlers({
  links,
  reader,
  recordings,
  rates,
  segmentRateLimit = SEGMENT_RATE_LIMIT,
}: ViewerRouterOptions): (visit: Visit, file: string) => Promise<void> {
  const streams = new Map<string, number>()

  /** Opens anew for each request: keys stay in memory no longer than that. */
  async function open({ link, abort }: Visit, purpose: 'play' | 'download') {
    try {
      return await reader.open(link.organisation, link.recording, purpose, abort.signal)
    } catch (error) {
      // what could never be stored will not be there by waiting
      if (isMosaikError(error, 'E_RECORDING_NOT_READY') && (await stateOf(link)) === 'failed')
        throw new MosaikError('E_LINK_INVALID', 'this recording was never stored')
      throw error
    }
  }

  async function stateOf(link: Link) {
    return (await recordings.get(link.recording, link.organisation))?.state
  }

  /** Streams an asset under the eyes of the session. */
  async function stream(visit: Visit, asset: AssetReader, mediaType: string, disposition?: string): Promise<void> {
    const { request, response, grant, cookieSecret, abort } = visit
    const running = streams.get(grant) ?? 0
    if (running >= MAX_STREAMS) throw new RateLimited(STREAMS_FULL_WAIT_MS)
    streams.set(grant, running + 1)
    const guard = links.guard(grant, cookieSecret, abort)
    try {
      const etag = sessionEtag(cookieSecret, asset.asset)
      await sendAsset(request, response, {
        ...{ reader: asset, mediaType, etag, disposition, signal: abort.signal },
        bill: async (startBytes, endBytes) => {
          const count = wastedSegments(startBytes, endBytes)
          const waitMs = await rates.attempt('segments', grant, segmentRateLimit, count)
          if (waitMs > 0) throw new RateLimited(waitMs)
        },
      })
    } finally {
      guard.stop()
      const left = (streams.get(grant) ?? 1) - 1
      if (left === 0) streams.delete(grant)
      else streams.set(grant, left)
    }
  }

  return async (visit, file) => {
    const { response, link } = visit
    if (file === 'alive') {
      response.statusCode = 204
      response.end()
      return
    }
    if (file === 'recording.json') {
      const { manifest } = await open(visit, 'play')
      const isUnplayable = !isPlayable(manifest) && (await stateOf(link)) === 'unplayable'
      sendJson(response, 200, recordingView(manifest, link, isUnplayable))
      return
    }
    if (file === 'master.m3u8') {
      sendText(response, 200, HLS, masterPlaylistOf((await open(visit, 'play')).manifest))
      return
    }
    if (file === 'download') {
      if (!link.allowDownload) throw new MosaikError('E_FORBIDDEN', 'this link does not allow the download')
      const opened = await open(visit, 'download')
      const original = opened.manifest.assets.find(({ kind }) => kind === 'original')
      if (original === undefined) throw new MosaikError('E_ASSET_UNKNOWN', 'there is no original')
      await stream(visit, opened.asset(original.id), downloadMediaType(original), attachment(original.name))
      return
    }
    if (file.startsWith('storyboard.')) {
      const opened = await open(visit, 'play')
      const part = storyboardPart(opened.manifest, file)
      if (part === undefined) throw new MosaikError('E_ASSET_UNKNOWN', 'there is no storyboard')
      await stream(visit, opened.asset(part.id), part.mediaType)
      return
    }
    const [, assetId, extension] = assetPattern.exec(file) ?? []
    if (assetId !== undefined && extension === 'download') {
      if (!link.allowDownload) throw new MosaikError('E_FORBIDDEN', 'this link does not allow the download')
      const opened = await open(visit, 'download')
      const { name, mediaType } = renditionFile(opened.manifest, assetId)
      await stream(visit, opened.asset(assetId), mediaType, attachment(name))
      return
    }
    if (assetId === undefined) throw new MosaikError('E_ASSET_UNKNOWN', 'there is no such part')
    const opened = await open(visit, 'play')
    if (extension === 'm3u8') {
      sendText(response, 200, HLS, mediaPlaylistOf(opened.manifest, assetId))
      return
    }
    const asset = opened.asset(assetId)
    const mediaType = inlineMediaType(asset.asset)
    if (mediaType === undefined) throw new MosaikError('E_ASSET_UNKNOWN', 'originals are downloaded, not played')
    await stream(visit, asset, mediaType)
  }
}
