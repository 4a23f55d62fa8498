import { gzipSync } from 'node:zlib'
import type { RequestHandler } from 'express'

/** A built page (`scripts/build-player.ts`), read by the caller. */
export interface BuiltPage {
  readonly html: Uint8Array
  readonly script: Uint8Array
  readonly style: Uint8Array
}

/** The watch page, and hls.js beside it. */
export interface WatchPage extends BuiltPage {
  /** With what a choice between sounds takes. */
  readonly hls: Uint8Array
  readonly hlsLight: Uint8Array
}

/** Serves one file of the page from memory, packed when the browser likes. It is the same for everyone: no token ever comes here. */
export function serveFile(file: Uint8Array, mediaType: string): RequestHandler {
  const plain = Buffer.from(file)
  const packed = gzipSync(plain)
  return (request, response) => {
    const pack = request.acceptsEncodings('gzip') === 'gzip'
    const body = pack ? packed : plain
    response.setHeader('Content-Type', mediaType)
    response.setHeader('Vary', 'Accept-Encoding')
    if (pack) response.setHeader('Content-Encoding', 'gzip')
    response.setHeader('Content-Length', body.length)
    response.end(request.method === 'HEAD' ? undefined : body)
  }
}
