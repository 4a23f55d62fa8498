import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { nodeClock } from '../../../src/adapters/node-system.ts'
import { MemoryRateCounter } from '../../../src/adapters/memory-rate-counter.ts'
import { openSpoolFiles } from '../../../src/adapters/spool-files.ts'
import { openSqliteCatalog } from '../../../src/adapters/sql-catalog/open.ts'
import { toHex, type Id } from '../../../src/domain/ids.ts'
import type { Role } from '../../../src/domain/roles.ts'
import { createUploads, type UploadsOptions } from '../../../src/http/uploads/uploads.ts'
import { createIntake } from '../../../src/pipeline/intake.ts'
import { createSpool } from '../../../src/pipeline/spool.ts'
import type { Clock, Random } from '../../../src/ports/system.ts'
import { ListeningLog } from '../../unit/http-api/api-stage.ts'
import { collect, MemorySpoolKeys, NEVER } from '../../unit/spool/spool-stage.ts'

const random: Random = {
  bytes: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  entropy: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  fraction: () => 0.5,
}
const newId = (): Id => toHex(random.bytes(16))

/** Uploads over real HTTP, a real spool on disk and a real SQLite catalog. The clock is the real one, moved on by hand. */
export async function uploadStage(options: Partial<UploadsOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-uploads-'))
  let aheadMs = 0
  const clock: Clock = {
    ...nodeClock,
    nowMs: () => nodeClock.nowMs() + aheadMs,
    monotonicMs: () => nodeClock.monotonicMs() + aheadMs,
  }
  const catalog = openSqliteCatalog(join(folder, 'catalog.sqlite'), clock)
  await catalog.migrate()
  const log = new ListeningLog()
  const keys = new MemorySpoolKeys()
  const spool = createSpool({
    files: openSpoolFiles(join(folder, 'spool')),
    keys,
    primitives: nodePrimitives,
    random,
  })
  const announced: Id[] = []
  const { installation, recordings } = catalog
  const intake = createIntake({
    installation,
    recordings,
    clock,
    random,
    announce: ({ id }) => void announced.push(id),
  })
  const uploads = createUploads({
    ...{ uploads: catalog.uploads, tokens: catalog.tokens, catalog, spool, intake, clock, random, log },
    rates: new MemoryRateCounter(clock),
    publicUrl: 'https://vault.example',
    ...options,
  })
  const app = express()
  app.use('/api/v1/uploads', uploads)
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/uploads`

  const organisation = newId()
  await catalog.installation.addOrganisation({
    ...{ id: organisation, name: 'one', scheme: { k: 3, n: 5, t: 1 }, placementRule: 'none' },
    ...{ createdAtMs: clock.nowMs(), stateGeneration: 0, stateSha256: null },
  })

  async function addToken(role: Role = 'host'): Promise<string> {
    const token = `mosaik-${toHex(random.bytes(32))}`
    await catalog.tokens.addToken({
      ...{ id: newId(), organisation, role, name: role },
      tokenSha256: new Uint8Array(createHash('sha256').update(token).digest()),
      ...{ createdAtMs: clock.nowMs(), revokedAtMs: null },
    })
    return token
  }
  const token = await addToken()

  return {
    ...{ folder, catalog, log, spool, keys, clock, endpoint, organisation, token, addToken, announced, server },
    move: (byMs: number) => void (aheadMs += byMs),
    /** One request, as bare as it can be made. */
    async send(method: string, path: string, headers: Record<string, string> = {}, body?: Uint8Array) {
      const response = await fetch(`${endpoint}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'tus-resumable': '1.0.0', ...headers },
        ...(body === undefined ? {} : { body: body as BodyInit }),
      })
      const text = await response.text()
      const isJson = response.headers.get('content-type')?.includes('json') === true
      const parsed = (isJson && text !== '' ? JSON.parse(text) : {}) as Record<string, unknown>
      return { status: response.status, headers: response.headers, body: parsed, text }
    },
    /** Sends the start of a PATCH and then cuts the connection. */
    async cutPatch(id: Id, offset: number, promisedBytes: number, sent: Uint8Array): Promise<void> {
      await new Promise<void>((resolve) => {
        const request = httpRequest(`${endpoint}/${id}`, {
          method: 'PATCH',
          headers: {
            ...{ authorization: `Bearer ${token}`, 'tus-resumable': '1.0.0', 'upload-offset': String(offset) },
            ...{ 'content-type': 'application/offset+octet-stream', 'content-length': String(promisedBytes) },
          },
        })
        request.on('error', () => resolve())
        request.write(sent, () => setTimeout(() => request.destroy(new Error('cut')), 100))
      })
    },
    /** The bytes as the store job would read them. */
    async stored(id: Id, lengthBytes: number): Promise<Buffer> {
      return await collect(spool.read(id, 'x', lengthBytes, undefined).open(NEVER))
    },
    async close() {
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
      await catalog.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Upload-Metadata of these texts. */
export function metadataOf(texts: Record<string, string>): Record<string, string> {
  const pairs = Object.entries(texts).map(([name, text]) => `${name} ${Buffer.from(text).toString('base64')}`)
  return { 'upload-metadata': pairs.join(',') }
}
