import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openMemoryCatalog } from '../../../src/adapters/sql-catalog/open.ts'
import { RUN_FILE, requireVault } from '../../../src/main/client.ts'
import { deposit } from '../../../src/main/commands/deposit.ts'
import type { Screen } from '../../../src/main/screen.ts'
import { issueToken, renewLocalToken } from '../../../src/main/tokens.ts'
import { random } from '../access/stage.ts'

const data = mkdtempSync(join(tmpdir(), 'mosaik-local-token-'))
afterAll(() => rmSync(data, { recursive: true }))

describe('the token for clients on this machine', () => {
  it('has a new secret at each start and stays who it was', async () => {
    const clock = { nowMs: () => 5, monotonicMs: () => 5, sleep: () => Promise.resolve() }
    const catalog = openMemoryCatalog(clock)
    await catalog.migrate()
    const organisation = 'aa'.repeat(16)
    const scheme = { k: 3, n: 5, t: 1 } as const
    await catalog.installation.addOrganisation({
      ...{ id: organisation, name: 'default', createdAtMs: 1, scheme, placementRule: 'none' },
      ...{ stateGeneration: 0, stateSha256: null },
    })
    const ports = { tokens: catalog.tokens, clock, random }
    const other = await issueToken(ports, { organisation, role: 'operator', name: `this machine: ${hostname()}` })
    const first = await renewLocalToken(ports, organisation, 'host')
    await catalog.tokens.revokeToken(first.id, 7)
    const second = await renewLocalToken(ports, organisation, 'host')
    expect(second.id).toBe(first.id)
    expect(second.token).not.toBe(first.token)
    const found = (token: string) =>
      catalog.tokens.tokenByHash(new Uint8Array(createHash('sha256').update(token).digest()))
    expect(await found(first.token)).toBeUndefined()
    expect(await found(second.token)).toMatchObject({ id: first.id, role: 'host', revokedAtMs: null })
    expect(await found(other.token)).toMatchObject({ role: 'operator' })
    await catalog.close()
  })
})

describe('an upload from the command line', () => {
  it('goes on when the vault was started again in the middle, with the token of then', async () => {
    let good = 'first'
    const content = Buffer.alloc(300_000, 7)
    let received: Buffer = Buffer.alloc(0)
    const recording = '0b'.repeat(16)
    const server = createServer((request, response) => {
      void (async () => {
        response.setHeader('Tus-Resumable', '1.0.0')
        const isKnown = request.headers.authorization === `Bearer ${good}`
        const body = await bodyOf(request)
        if (!isKnown) return response.writeHead(401).end()
        if (request.method === 'POST') return response.writeHead(201, { location: '/api/v1/uploads/1' }).end()
        if (request.method === 'HEAD') {
          return response.writeHead(200, { 'upload-offset': received.length, 'upload-length': content.length }).end()
        }
        if (request.method === 'GET') return response.end(JSON.stringify({ recording }))
        if (good === 'first') {
          received = body.subarray(0, 100_000)
          good = 'second'
          leave(good)
          return request.socket.destroy()
        }
        received = Buffer.concat([received, body])
        return response.writeHead(204, { 'upload-offset': received.length }).end()
      })()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const leave = (token: string): void =>
      writeFileSync(
        join(data, RUN_FILE),
        JSON.stringify({ pid: process.pid, url, tokens: { host: token, operator: 'o', admin: 'a' } }),
      )
    leave(good)
    const path = join(data, 'film.mp4')
    writeFileSync(path, content)
    const results: unknown[] = []
    const screen = {
      bars: () => undefined,
      clearBars: () => undefined,
      result: (_: string, value: unknown) => results.push(value),
    }
    await deposit(requireVault({ data }), screen as unknown as Screen, path, { host: 'h', captions: [], wait: false })
    expect(results).toEqual([{ recording }])
    expect(received.equals(content)).toBe(true)
    server.closeAllConnections()
    server.close()
  })
})

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
