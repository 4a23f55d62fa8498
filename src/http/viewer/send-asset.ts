import { createHmac } from 'node:crypto'
import type { Request, Response } from 'express'
import { MosaikError } from '../../domain/errors.ts'
import type { ManifestAsset } from '../../domain/recording.ts'
import type { AssetReader } from '../../ports/vault-reader.ts'
import { parseRange, rangeApplies } from '../range.ts'

/** How an asset goes out. */
export interface AssetDelivery {
  readonly reader: AssetReader
  readonly mediaType: string
  /** Strong entity tag with its quotes; must not be derivable from the content alone. */
  readonly etag: string
  /** Content-Disposition; absent: shown in place. */
  readonly disposition?: string | undefined
  /** Told what is going to be read, before it is: throws when it is too much. */
  readonly bill?: (startBytes: number, endBytes: number) => Promise<void>
  /** Aborts the reading; an answer that has begun is then broken off. */
  readonly signal: AbortSignal
}

/**
 * An entity tag for one asset in one session: the same for each request, so that If-Range works over several API processes,
 * and without meaning for anyone else.
 *
 * @param secret known to one session only.
 */
export function sessionEtag(secret: string, asset: ManifestAsset): string {
  const mac = createHmac('sha256', secret).update(`mosaik/v1/etag ${asset.id}`).update(asset.sha256).digest('base64url')
  return `"${mac.slice(0, 22)}"`
}

/**
 * Answers GET or HEAD for an asset: 200, 206 or 416. The first bytes are read before the status is sent, so that a recording that
 * cannot be read is an honest 503; a failure after that ends the connection before the promised length.
 *
 * @throws whatever the reader throws; the caller answers or, once headers are out, breaks off.
 */
export async function sendAsset(request: Request, response: Response, delivery: AssetDelivery): Promise<void> {
  const { reader, etag, mediaType, disposition, bill, signal } = delivery
  const sizeBytes = reader.asset.contentBytes
  const ranged = request.method === 'GET' && rangeApplies(request.get('if-range'), etag)
  const range = parseRange(ranged ? request.get('range') : undefined, sizeBytes)

  response.setHeader('Accept-Ranges', 'bytes')
  if (range.kind === 'unsatisfiable') {
    response.setHeader('Content-Range', `bytes */${sizeBytes}`)
    throw new MosaikError('E_OBJECT_RANGE', 'the range cannot be given', { sizeBytes })
  }
  const [startBytes, endBytes] = range.kind === 'part' ? [range.startBytes, range.endBytes] : [0, sizeBytes]
  const lengthBytes = endBytes - startBytes
  const isHead = request.method === 'HEAD'
  if (!isHead) await bill?.(startBytes, endBytes)
  const body =
    isHead || lengthBytes === 0 ? undefined : reader.read(startBytes, endBytes, signal)[Symbol.asyncIterator]()
  try {
    const first = await body?.next()
    response.statusCode = range.kind === 'part' ? 206 : 200
    response.setHeader('Content-Type', mediaType)
    response.setHeader('Content-Length', lengthBytes)
    response.setHeader('ETag', etag)
    if (disposition !== undefined) response.setHeader('Content-Disposition', disposition)
    if (range.kind === 'part') response.setHeader('Content-Range', `bytes ${startBytes}-${endBytes - 1}/${sizeBytes}`)
    if (body !== undefined) await pump(response, reader, body, first, lengthBytes, signal)
    response.end()
  } finally {
    await body?.return?.()
  }
}

/** Writes one chunk after the other, each only when the one before has room. */
async function pump(
  response: Response,
  reader: AssetReader,
  body: AsyncIterator<Uint8Array<ArrayBuffer>>,
  first: IteratorResult<Uint8Array<ArrayBuffer>> | undefined,
  lengthBytes: number,
  signal: AbortSignal,
): Promise<void> {
  let sentBytes = 0
  for (let step = first; step !== undefined && step.done !== true; step = await body.next()) {
    signal.throwIfAborted()
    const chunk = step.value
    sentBytes += chunk.length
    if (sentBytes > lengthBytes) break
    // After a failure the socket may still hold it.
    const written = (error?: Error | null): void => {
      if (!error) reader.recycle(chunk)
    }
    if (!response.write(chunk, written)) await drained(response, signal)
  }
  signal.throwIfAborted()
  if (sentBytes !== lengthBytes) throw new MosaikError('E_INTERNAL', 'an asset gave more or fewer bytes than it has')
}

/** Resolves when there is room again; rejects when the stream is to end, also while a viewer reads nothing at all. */
function drained(response: Response, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      response.off('drain', settle)
      response.off('close', settle)
      signal.removeEventListener('abort', settle)
      if (signal.aborted) reject(signal.reason as Error)
      else if (response.destroyed) reject(new MosaikError('E_ABORTED', 'the viewer left'))
      else resolve()
    }
    response.on('drain', settle)
    response.on('close', settle)
    signal.addEventListener('abort', settle)
    if (signal.aborted || response.destroyed) settle()
  })
}
