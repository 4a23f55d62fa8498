import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { S3Caller } from '../../../src/adapters/s3-store/caller.ts'
import { DEFAULT_LIMITS } from '../../../src/adapters/s3-store/client.ts'
import { headObject } from '../../../src/adapters/s3-store/reading.ts'
import { HeldClock } from '../../support/held-clock.ts'

let server: Server | undefined
let caller: S3Caller | undefined
afterEach(async () => {
  caller?.close()
  server?.closeAllConnections()
  server?.close()
  if (server) await once(server, 'close')
})

/** A node that does the same with every request; its caller never waits between two. */
async function nodeThat(does: (socket: Socket) => void): Promise<{ caller: S3Caller; requests: () => number }> {
  let requests = 0
  server = createServer((request) => {
    requests++
    does(request.socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const settings = { driver: 's3', endpoint, region: 'eu', bucket: 'vault', forcePathStyle: true } as const
  const keys = { accessKeyId: 'id', secretAccessKey: 'key' }
  const clock = Object.assign(new HeldClock(), { sleep: () => Promise.resolve() })
  const limits = { ...DEFAULT_LIMITS, idleMs: 100 }
  caller = new S3Caller({ ...settings, ...keys }, 'north', limits, { clock, random: { fraction: () => 0.5 } })
  return { caller, requests: () => requests }
}

describe('a call to an S3 node', () => {
  const never = new AbortController().signal

  it('is tried four times when its connection is broken off', async () => {
    const node = await nodeThat((socket) => socket.resetAndDestroy())
    await expect(headObject(node.caller, 'f/a', never)).rejects.toMatchObject({
      code: 'E_NODE_UNREACHABLE',
      fields: { answer: 'ECONNRESET' },
    })
    expect(node.requests()).toBe(4)
  })

  it('is tried twice when the node is silent: a stalled node must not stall a write', async () => {
    const node = await nodeThat(() => undefined)
    await expect(headObject(node.caller, 'f/a', never)).rejects.toMatchObject({ code: 'E_NODE_UNREACHABLE' })
    expect(node.requests()).toBe(2)
  })
})
