import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

export interface ChecksumProxy {
  readonly endpoint: string
  /** Objects and parts (method and path) that came with a right x-amz-checksum-crc32; what was sent again counts once. */
  readonly withCrc: Set<string>
  close(): Promise<void>
}

/**
 * An HTTP proxy that gives an S3 service another attitude to checksums: `crc32` refuses a wrong x-amz-checksum-crc32, as
 * newer services do; `md5` answers "stored" to another body than was signed (and stores nothing), `none` to a wrong Content-MD5 too, as the
 * worst would.
 */
export async function startChecksumProxy(endpoint: string, attitude: 'crc32' | 'md5' | 'none'): Promise<ChecksumProxy> {
  const target = new URL(endpoint)
  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch(() => outgoing.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: ChecksumProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    withCrc: new Set(),
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const pieces: Buffer[] = []
    for await (const piece of incoming) pieces.push(piece as Buffer)
    const body = Buffer.concat(pieces)
    const { 'x-amz-checksum-crc32': crc, 'content-md5': md5, 'x-amz-content-sha256': sha256 } = incoming.headers
    const digest = (algorithm: string, encoding: 'hex' | 'base64'): string =>
      createHash(algorithm).update(body).digest(encoding)
    if (attitude === 'crc32' && typeof crc === 'string') {
      if (Buffer.from(crc, 'base64').readUInt32BE() !== crc32(body)) {
        outgoing.writeHead(400, { 'content-type': 'application/xml' })
        outgoing.end('<?xml version="1.0"?><Error><Code>BadDigest</Code><Message>wrong checksum</Message></Error>')
        return
      }
      proxy.withCrc.add(`${incoming.method} ${incoming.url}`)
    }
    const isOther = /^[0-9a-f]{64}$/.test(String(sha256)) && sha256 !== digest('sha256', 'hex')
    const isWrong = md5 !== undefined && md5 !== digest('md5', 'base64')
    if ((attitude !== 'crc32' && isOther) || (attitude === 'none' && isWrong)) {
      outgoing.writeHead(200, { etag: '"0"', 'content-length': 0 })
      outgoing.end()
      return
    }
    const { hostname, port } = target
    const { method, url, headers } = incoming
    const upstream = request({ hostname, port, method, path: url, headers })
    upstream.end(body)
    const [answer] = (await once(upstream, 'response')) as [IncomingMessage]
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(outgoing)
  }
  return proxy
}
