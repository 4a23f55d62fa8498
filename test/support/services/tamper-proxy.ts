import { createServer, connect, type Socket } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

/** `up`: from client to server. */
export type Direction = 'up' | 'down'

/**
 * What becomes of a piece of a connection: other bytes, `'cut'` (both ends are reset), `'hold'` (nothing more passes in
 * that direction), or undefined (as it is). `seenBytes` passed before it in that direction of that connection.
 */
export type TamperRule = (chunk: Buffer, direction: Direction, seenBytes: number) => Buffer | 'cut' | 'hold' | undefined

export interface TamperProxy {
  /** Give this to the client in place of the server's. */
  readonly endpoint: string
  /** Asked for every piece; undefined: everything passes. */
  rule: TamperRule | undefined
  close(): Promise<void>
}

/** A TCP proxy before a server that damages, cuts or holds what passes. */
export async function startTamperProxy(endpoint: string): Promise<TamperProxy> {
  const { hostname, port } = new URL(endpoint)
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    pipe(client, upstream, 'up')
    pipe(upstream, client, 'down')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy: TamperProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    rule: undefined,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }

  function pipe(from: Socket, to: Socket, direction: Direction): void {
    sockets.add(from)
    let seenBytes = 0
    from.on('data', (chunk: Buffer) => {
      const verdict = proxy.rule?.(chunk, direction, seenBytes) ?? chunk
      seenBytes += chunk.length
      if (verdict === 'hold') from.pause()
      else if (verdict === 'cut') {
        from.destroy()
        to.destroy()
      } else if (!to.write(verdict)) {
        from.pause()
        to.once('drain', () => from.resume())
      }
    })
    from.on('end', () => to.end())
    from.on('error', () => to.destroy())
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
  }
  return proxy
}

/** A rule that flips a bit wherever `run` bytes of value `byte` pass in that direction: fill the test's body with them. */
export function flipInside(direction: Direction, byte: number, run = 64): TamperRule {
  const pattern = Buffer.alloc(run, byte)
  return (chunk, at) => {
    const index = at === direction ? chunk.indexOf(pattern) : -1
    if (index < 0) return undefined
    const damaged = Buffer.from(chunk)
    damaged[index] = byte ^ 1
    return damaged
  }
}
