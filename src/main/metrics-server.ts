import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { PrometheusMetrics } from '../adapters/metrics.ts'
import { MosaikError } from '../domain/errors.ts'
import type { Log } from '../ports/system.ts'

export interface MetricsServer {
  /** host:port */
  readonly address: string
  close(): Promise<void>
}

/** The operator's own door: `/metrics`, `/healthz`, `/readyz`, on an address of its own. @throws E_CONFIG when it is taken */
export async function startMetricsServer(
  address: string,
  ports: {
    readonly metrics: Pick<PrometheusMetrics, 'contentType' | 'text'>
    /** Words for what keeps this process from its work; none when it is ready. */
    readonly check: () => Promise<readonly string[]>
    /** What `/healthz` says of a process that is up and sealed. */
    readonly health?: () => object
    readonly log: Log
  },
): Promise<MetricsServer> {
  const colon = address.lastIndexOf(':')
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '')
  const answer = async (path: string, response: ServerResponse): Promise<void> => {
    response.setHeader('Cache-Control', 'no-store')
    if (path === '/metrics') {
      response.setHeader('Content-Type', ports.metrics.contentType)
      response.end(await ports.metrics.text())
    } else if (path === '/healthz') {
      json(response, 200, ports.health?.() ?? { status: 'up' })
    } else if (path === '/readyz') {
      const troubles = await ports.check()
      if (troubles.length === 0) json(response, 200, { status: 'ready' })
      else json(response, 503, { status: 'not ready', ...ports.health?.(), troubles })
    } else {
      json(response, 404, { status: 'there is no such page' })
    }
  }
  const server = createServer((request, response) => {
    if (request.method !== 'GET') return json(response, 405, { status: 'only GET' })
    answer((request.url ?? '/').split('?')[0] ?? '/', response).catch((error: unknown) => {
      ports.log.warn('metrics.failed', { cause: error instanceof Error ? error.name : 'unknown' })
      if (!response.headersSent) json(response, 500, { status: 'failed' })
      else response.destroy()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'is taken' : `cannot be listened on (${error.code ?? 'unknown'})`
      reject(new MosaikError('E_CONFIG', `the address for metrics, ${address}, ${why}`, {}, error))
    })
    server.listen(Number(address.slice(colon + 1)), host, resolve)
  })
  // What runs beside the vault never keeps it alive.
  server.unref()
  return {
    address: `${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.statusCode = status
  response.setHeader('Content-Type', 'application/json')
  response.end(`${JSON.stringify(body)}\n`)
}
