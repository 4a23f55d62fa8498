import type { Door } from './door.ts'
import { startHttp, type HttpPorts } from './http-server.ts'

/** The doors of a process of the group `api`. */
export interface Doors {
  /** As viewers reach them. */
  readonly publicUrl: string
  /** As a client on this machine reaches them. */
  readonly url: string
  /** Takes nothing new; requests that run get a few seconds. */
  close(): Promise<void>
}

/** Opens the doors, and says in the log what will make its links useless to others. */
export async function serve(ports: HttpPorts, open?: Door): Promise<Doors> {
  const { config, log } = ports
  const server = await startHttp(ports, open)
  if (config.publicUrl === undefined) {
    log.warn('http.no-public-url', {
      url: server.url,
      advice: 'set MOSAIK_PUBLIC_URL: links name the address that this process listens on',
    })
  }
  return server
}
