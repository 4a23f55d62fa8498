import { createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import { createArgon2Passcodes } from '../../../src/adapters/argon2-passcode.ts'
import { MemoryRateCounter } from '../../../src/adapters/memory-rate-counter.ts'
import { createLinks, type LinkTerms, type Links } from '../../../src/access/links.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import type { Manifest } from '../../../src/domain/recording.ts'
import { createViewerRouter } from '../../../src/http/viewer/router.ts'
import type { WatchPage } from '../../../src/http/viewer/watch-page.ts'
import type { RateLimit } from '../../../src/ports/rate-counter.ts'
import type { Clock, Log, Random } from '../../../src/ports/system.ts'
import { MemoryLinks } from '../../support/memory-links.ts'
import { MemoryVault } from './memory-vault.ts'

/** A viewer's router in a real Express on a port of its own, over a vault and a catalog in memory. */
export interface ViewerServer {
  readonly origin: string
  readonly vault: MemoryVault
  readonly catalog: MemoryLinks
  readonly links: Links
  /** All that was logged, as JSON lines. */
  readonly logLines: string[]
  /** Method and URL of all requests, as an access log would have them. */
  readonly requestLines: string[]
  link(manifest: Manifest, terms?: LinkTerms): Promise<{ id: string; token: string; url: string }>
  close(): Promise<void>
}

export const organisation = '0a'.repeat(16)

/** @param publicUrl another address than the real one, for example with https. */
export async function startViewerServer(
  options: { page?: WatchPage; publicUrl?: string; exchangeRateLimit?: RateLimit; segmentRateLimit?: RateLimit } = {},
): Promise<ViewerServer> {
  const logLines: string[] = []
  const requestLines: string[] = []
  const keep =
    (level: string) =>
    (event: string, fields: object = {}): void => {
      logLines.push(JSON.stringify({ level, event, ...fields }))
    }
  const log: Log = { info: keep('info'), warn: keep('warn'), error: keep('error') }
  const clock: Clock = {
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    sleep: (delayMs, signal) => sleep(delayMs, undefined, signal === undefined ? {} : { signal }),
  }
  const random: Random = {
    bytes: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
    entropy: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
    fraction: () => Math.random(),
  }
  const seed = randomBytes(32)
  const keyring = {
    linkKey: (asked: string, kid: string) => {
      if (asked !== organisation) throw new MosaikError('E_KEYRING_KEY_UNKNOWN', 'no such organisation')
      return Promise.resolve(new Uint8Array(createHmac('sha256', seed).update(kid).digest()))
    },
  }
  const vault = new MemoryVault()
  const catalog = new MemoryLinks()
  const passcodes = createArgon2Passcodes(random, { memoryKib: 1024, passes: 1 })
  const links = createLinks({ catalog, keyring, passcodes, clock, random })

  const app = express()
  app.use((request, _response, next) => {
    requestLines.push(`${request.method} ${request.url}`)
    next()
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const empty = new Uint8Array()
  app.use(
    createViewerRouter({
      ...{ links, reader: vault, recordings: vault, log, clock, rates: new MemoryRateCounter(clock) },
      publicUrl: options.publicUrl ?? origin,
      page: options.page ?? { html: empty, script: empty, style: empty, hls: empty, hlsLight: empty },
      ...(options.segmentRateLimit === undefined ? {} : { segmentRateLimit: options.segmentRateLimit }),
      exchangeRateLimit: options.exchangeRateLimit ?? { maxCount: 1_000, windowMs: 60_000 },
    }),
  )
  return {
    ...{ origin, vault, catalog, links, logLines, requestLines },
    async link(manifest, terms) {
      const target = { organisation: manifest.organisation, recording: manifest.recording }
      const { link, token, urlPath } = await links.create(target, terms)
      return { id: link.id, token, url: origin + urlPath }
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
