import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MosaikError } from '../domain/errors.ts'
import type { Config } from './config.ts'

/** A port that is listened on. Who answers may change. */
export interface Door {
  /** As clients on this machine reach it, without a slash at the end. */
  readonly url: string
  /** From now on `listener` answers, and nobody else. */
  answerWith(listener: RequestListener): void
  /** Takes nothing new; running requests get a few seconds. */
  close(): Promise<void>
}

/** Running requests get this long when the vault shuts down. */
const GRACE_MS = 5_000

/** Listens where the settings say. @throws E_CONFIG when the port is taken */
export async function openDoor(config: Pick<Config, 'host' | 'port'>): Promise<Door> {
  // An upload may take hours; what its headers take is limited still.
  const server = createServer({ requestTimeout: 0 })
  const { port } = await new Promise<AddressInfo>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new MosaikError(
          'E_CONFIG',
          error.code === 'EADDRINUSE'
            ? `port ${config.port} of ${config.host} is taken; choose another with --port or MOSAIK_PORT`
            : `cannot listen on ${config.host}:${config.port} (${error.code ?? 'unknown'})`,
          {},
          error,
        ),
      ),
    )
    server.listen(config.port, config.host, () => resolve(server.address() as AddressInfo))
  })
  return {
    url: `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`,
    answerWith(listener) {
      server.removeAllListeners('request')
      server.on('request', listener)
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
        setTimeout(() => server.closeAllConnections(), GRACE_MS).unref()
      }),
  }
}
