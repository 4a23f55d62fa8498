import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { MosaikError } from '../../domain/errors.ts'
import type { MediaInput } from '../../ports/media.ts'

/** Where the one file is served: a Unix socket, or a free port of 127.0.0.1. Never anything the network can reach. */
export type RangeServerPlace = { readonly socketPath: string } | 'loopback'

/** One file, served to one media tool while it runs. */
export interface RangeServer {
  /** Port on 127.0.0.1; 0 on a Unix socket. */
  readonly port: number
  /** The path with the secret in it, beginning with a slash. */
  readonly secretPath: string
  /**
   * The first error of reading the file, if any. The tool only sees a connection that breaks off and may well call
   * that the end of a file: whoever runs the tool has to look here before believing it.
   */
  failure(): unknown
  /** Resolves when the tool has connected for the first time; from then on it needs no socket file any more. */
  readonly connected: Promise<void>
  /** Ends all reads and closes. Safe to repeat. */
  close(): Promise<void>
}

/** What a Range header asks of a file: bytes [start, end), the whole file, or nothing that can be served. */
export type RequestedRange = { readonly start: number; readonly end: number } | 'whole' | 'unsatisfiable'

/** Reads a Range header (RFC 9110 §14.2), single ranges only. */
export function parseRange(header: string | undefined, sizeBytes: number): RequestedRange {
  if (header === undefined) return 'whole'
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header.trim())
  const first = match?.[1] ?? ''
  const last = match?.[2] ?? ''
  if (first === '' && last === '') return 'unsatisfiable'
  if (first === '') {
    const suffixBytes = Number(last)
    if (suffixBytes === 0 || sizeBytes === 0) return 'unsatisfiable'
    return { start: Math.max(0, sizeBytes - suffixBytes), end: sizeBytes }
  }
  const start = Number(first)
  const end = last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes)
  return start >= sizeBytes || end <= start ? 'unsatisfiable' : { start, end }
}

/**
 * Serves `input` for reading at any place: GET and HEAD, single ranges, exact lengths. Upstream is read as fast as the
 * client takes it, and no longer than the client stays.
 *
 * @param secret unguessable text of the path; on the loopback address it is the only lock besides the user id below.
 * @param signal its abort ends all reads.
 */
export async function startRangeServer(
  input: MediaInput,
  place: RangeServerPlace,
  secret: string,
  signal: AbortSignal,
): Promise<RangeServer> {
  const secretPath = `/${secret}`
  const sockets = new Set<Socket>()
  const stopping = new AbortController()
  const reading = AbortSignal.any([signal, stopping.signal])
  let failure: unknown

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('connection', 'close')
    response.setHeader('cache-control', 'no-store')
    if (request.url !== secretPath || !(await isOwnUser(request.socket, place))) return finish(response, 404)
    if (request.method !== 'GET' && request.method !== 'HEAD') return finish(response, 405)

    const range = parseRange(request.headers.range, input.sizeBytes)
    response.setHeader('accept-ranges', 'bytes')
    response.setHeader('content-type', 'application/octet-stream')
    if (range === 'unsatisfiable') {
      response.setHeader('content-range', `bytes */${String(input.sizeBytes)}`)
      return finish(response, 416)
    }
    const { start, end } = range === 'whole' ? { start: 0, end: input.sizeBytes } : range
    if (range !== 'whole') {
      response.setHeader('content-range', `bytes ${String(start)}-${String(end - 1)}/${String(input.sizeBytes)}`)
    }
    response.setHeader('content-length', end - start)
    response.writeHead(range === 'whole' ? 200 : 206)
    if (request.method === 'HEAD') {
      response.end()
      return
    }
    await send(input, start, end, response, reading, (error) => (failure ??= error))
  }

  const server = createServer({ keepAlive: false }, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      failure ??= error
      response.destroy()
    })
  })
  server.maxConnections = 16
  let firstConnection: () => void = () => undefined
  const connected = new Promise<void>((resolve) => {
    firstConnection = resolve
  })
  server.on('connection', (socket) => {
    firstConnection()
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
  })
  await listen(server, place)
  const address = server.address()

  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    secretPath,
    connected,
    failure: () => failure,
    close: () =>
      new Promise((resolve) => {
        stopping.abort()
        for (const socket of sockets) socket.destroy()
        server.close(() => {
          resolve()
        })
      }),
  }
}

function listen(server: Server, place: RangeServerPlace): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(new MosaikError('E_MEDIA_TOOL', 'cannot open the socket the media tool reads from', {}, cause))
    })
    const ready = (): void => {
      resolve()
    }
    if (place === 'loopback') server.listen(0, '127.0.0.1', ready)
    else server.listen(place.socketPath, ready)
  })
}

function finish(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-length': 0 })
  response.end()
}

/** Sends bytes [start, end); says to `failed` why it could not, unless the client left. */
async function send(
  input: MediaInput,
  start: number,
  end: number,
  response: ServerResponse,
  stop: AbortSignal,
  failed: (error: unknown) => void,
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => {
    gone.abort()
  })
  let sentBytes = 0
  try {
    for await (const chunk of input.read(start, end, AbortSignal.any([stop, gone.signal]))) {
      if (gone.signal.aborted) return
      sentBytes += chunk.byteLength
      if (sentBytes > end - start) break
      // After a failure the socket may still hold it.
      const written = (error?: Error | null): void => {
        if (!error) input.recycle?.(chunk)
      }
      if (!response.write(chunk, written)) await drained(response)
    }
    if (gone.signal.aborted) return
    if (sentBytes !== end - start) {
      throw new MosaikError('E_INTERNAL', 'reading the recording gave another number of bytes than asked for')
    }
    response.end()
  } catch (error) {
    // After the client left, the read was ended by us: that is no failure of the file.
    if (!gone.signal.aborted) failed(error)
    response.destroy()
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      response.off('drain', settle)
      response.off('close', settle)
      resolve()
    }
    response.once('drain', settle)
    response.once('close', settle)
  })
}

/**
 * False when a connection over 127.0.0.1 was made by another user of this machine. Arguments of a process, the secret
 * path among them, can be read by all users, so the path alone does not keep them out. Linux tells the owner of each
 * end of a connection; where /proc is not there, the path has to do.
 */
async function isOwnUser(socket: Socket, place: RangeServerPlace): Promise<boolean> {
  const uid = process.getuid?.()
  if (place !== 'loopback' || uid === undefined) return true
  let table: string
  try {
    table = await readFile('/proc/net/tcp', 'latin1')
  } catch {
    return true
  }
  const hexPort = (port: number | undefined): string => (port ?? 0).toString(16).toUpperCase().padStart(4, '0')
  const ends = `0100007F:${hexPort(socket.remotePort)} 0100007F:${hexPort(socket.localPort)} `
  const line = table.split('\n').find((row) => row.includes(ends))
  return line !== undefined && line.trim().split(/\s+/)[7] === String(uid)
}
