import { once } from 'node:events'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * What becomes of a request: an error of S3 in place of its answer (the server never hears of it), `lost` (it is done, and nobody is
 * told), `cut` (both ends are broken off in the middle of its body), `hold` (nobody ever answers).
 */
export type RequestFault = { readonly status: number; readonly name: string } | 'lost' | 'cut' | 'hold'

export interface FaultProxy {
  readonly endpoint: string
  /** Requests that came. */
  requests: number
  /** Asked for each request; undefined: it passes. */
  rule: ((method: string, path: string) => RequestFault | undefined) | undefined
  close(): Promise<void>
}

/** An HTTP proxy before an S3 server. It keeps the Host header, which is signed. */
export async function startFaultProxy(endpoint: string): Promise<FaultProxy> {
  const target = new URL(endpoint)
  const server = createServer((incoming, outgoing) => {
    proxy.requests++
    const fault = proxy.rule?.(incoming.method ?? '', incoming.url ?? '')
    incoming.on('error', () => undefined)
    outgoing.on('error', () => undefined)
    if (fault === 'hold') incoming.resume()
    else if (typeof fault === 'object') refuse(incoming, outgoing, fault)
    else forward(incoming, outgoing, fault)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: 0,
    rule: undefined,
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }

  function refuse(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    { status, name }: { status: number; name: string },
  ) {
    incoming.resume()
    incoming.on('end', () => {
      outgoing.writeHead(status, { 'content-type': 'application/xml' })
      outgoing.end(`<?xml version="1.0"?><Error><Code>${name}</Code><Message>as the test wants it</Message></Error>`)
    })
  }

  function forward(incoming: IncomingMessage, outgoing: ServerResponse, fault: 'lost' | 'cut' | undefined): void {
    const { hostname, port } = target
    const { method, url, headers } = incoming
    const upstream = request({ hostname, port, method, path: url, headers })
    const breakOff = (): void => {
      upstream.destroy()
      outgoing.destroy()
    }
    upstream.on('error', breakOff)
    outgoing.on('close', () => upstream.destroy())
    upstream.on('response', (answer) => {
      if (fault !== undefined) {
        answer.resume()
        answer.on('end', breakOff)
        return
      }
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.on('error', breakOff)
      answer.pipe(outgoing)
    })
    if (fault !== 'cut') {
      incoming.pipe(upstream)
      return
    }
    const halfBytes = Number(headers['content-length'] ?? 0) / 2
    let sentBytes = 0
    if (halfBytes === 0) breakOff()
    else
      incoming.on('data', (chunk: Buffer) => {
        sentBytes += chunk.length
        if (sentBytes < halfBytes) upstream.write(chunk)
        else breakOff()
      })
  }
  return proxy
}
