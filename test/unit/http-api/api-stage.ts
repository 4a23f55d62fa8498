import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'
import { createLinks } from '../../../src/access/links.ts'
import { MemoryRateCounter } from '../../../src/adapters/memory-rate-counter.ts'
import { openSqliteCatalog } from '../../../src/adapters/sql-catalog/open.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import { toHex, type Id } from '../../../src/domain/ids.ts'
import type { ManifestAsset } from '../../../src/domain/recording.ts'
import type { Role } from '../../../src/domain/roles.ts'
import { createApi, type ApiOptions } from '../../../src/http/api/api.ts'
import { issueToken } from '../../../src/main/tokens.ts'
import { createHealth } from '../../../src/http/api/health.ts'
import { Conformance } from './conformance.ts'
import type { HealthReport } from '../../../src/ports/health.ts'
import type { OrganisationRow } from '../../../src/ports/catalog/access.ts'
import type { NodeLife } from '../../../src/ports/node-life.ts'
import type { NodeOperations, NodeReport } from '../../../src/ports/node-operations.ts'
import type { RateLimit } from '../../../src/ports/rate-counter.ts'
import type { Clock, Log, Random } from '../../../src/ports/system.ts'
import type { VaultReader } from '../../../src/ports/vault-reader.ts'

export const random: Random = {
  bytes: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  entropy: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  fraction: () => 0.5,
}
export const newId = (): Id => toHex(random.bytes(16))

/** A log that remembers everything it was told, for canary searches. */
export class ListeningLog implements Log {
  readonly lines: string[] = []
  info = (event: string, fields?: unknown): void => void this.lines.push(`info ${event} ${JSON.stringify(fields)}`)
  warn = (event: string, fields?: unknown): void => void this.lines.push(`warn ${event} ${JSON.stringify(fields)}`)
  error = (event: string, fields?: unknown): void => void this.lines.push(`error ${event} ${JSON.stringify(fields)}`)
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown>
  readonly bytes: Buffer
}

export type Call = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>

/** Serves a router on a free port. */
export async function serve(mount: (app: express.Express) => void): Promise<{ url: string; close(): Promise<void> }> {
  const app = express()
  mount(app)
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export const original = new Uint8Array(randomBytes(5_000))

function originalAsset(): ManifestAsset {
  return {
    id: newId(),
    kind: 'original',
    mediaType: 'video/mp4',
    name: 'Board meeting.mp4',
    contentBytes: original.length,
    sha256: new Uint8Array(32),
    inline: null,
    sealed: null,
    playback: null,
  }
}

/** What a recording has beside its original. */
export const parts = {
  video: {
    ...originalAsset(),
    ...{ kind: 'rendition', name: '720p', mediaType: 'video/mp4' },
    playback: {
      ...{ codecs: 'avc1.64001f', width: 1280, height: 720, bandwidthBitsPerSecond: 1, durationMs: 1, initBytes: 1 },
      segments: [],
    },
  },
  captions: { ...originalAsset(), kind: 'captions', name: 'de', mediaType: 'text/html' },
  poster: { ...originalAsset(), kind: 'poster', name: 'poster', mediaType: 'image/jpeg' },
} as const satisfies Record<string, ManifestAsset>

export function memoryReader(): VaultReader {
  const assets: ManifestAsset[] = [originalAsset(), parts.video, parts.captions, parts.poster]
  return {
    open: (_organisation, recording) => {
      if (recording.startsWith('00'))
        return Promise.reject(new MosaikError('E_RECORDING_NOT_READY', 'nothing stored yet'))
      return Promise.resolve({
        manifest: { title: 'Board / meeting', assets } as never,
        asset: (id) => ({
          asset: assets.find((asset) => asset.id === id)!,
          async *read(startBytes: number, endBytes: number) {
            yield await Promise.resolve(original.slice(startBytes, endBytes))
          },
          recycle: () => undefined,
        }),
      })
    },
  }
}

export const nodeReport: NodeReport = {
  id: 'ee'.repeat(16),
  name: 'north',
  driver: 's3',
  state: 'active',
  country: 'DE',
  operator: 'North GmbH',
  parent: 'North GmbH',
  site: 'Hamburg',
  settings: { endpoint: 'https://s3.north.example' },
  capabilities: { conditionalPut: true },
  objectsCount: 3,
  bytes: 900,
  trouble: null,
}

export const healthReport: HealthReport = {
  atMs: 0,
  nodes: [
    {
      ...{ id: 'ee'.repeat(16), name: 'north', driver: 's3', state: 'active', country: 'DE' },
      ...{ operator: 'North GmbH', parent: 'North GmbH', site: 'Hamburg', trouble: null, isHealthy: true },
      ...{ freeBytes: null, objectsCount: 3, bytes: 900, capabilities: {} },
    },
  ],
  ...{ advice: [], confinement: 'bubblewrap', kernel: 'relaxed', isReadOnly: false, areDeletionsFrozen: false },
  ...{ backlog: [{ kind: 'missing', count: 1, oldestAtMs: 5 }], repairEtaMs: 60_000 },
  scrub: {
    passStartedAtMs: null,
    passEndedAtMs: null,
    startedAtMs: null,
    done: null,
    isRunning: false,
    auditedAtMs: null,
  },
  durability: {
    assumptions: { annualNodeLoss: 0.01, repairDays: 7 },
    schemes: [{ scheme: { k: 3, n: 5, t: 1 }, annualLossChance: 1e-9 }],
  },
  losses: [{ what: 'node', name: 'north', nodesCount: 1, recordingsLost: 0, recordingsOnTheEdge: 0 }],
  ...{ recordingsCounted: 1, isSample: false },
}

/** Notes what becomes of nodes. */
function lifeOf(asked: unknown[]): Omit<NodeLife, 'change'> {
  const noted = (what: string) => (id?: unknown) => {
    asked.push({ what, id })
    return Promise.resolve()
  }
  const progress = {
    ...{ node: nodeReport.id, name: nodeReport.name, state: 'draining' as const, isPaused: false },
    ...{ objectsLeft: 3, bytesLeft: 300, sharesWaiting: 2, sharingsExposed: 2, undeletedObjects: 2 },
    ...{ etaMs: 60_000, waitsFor: null },
  }
  return {
    setCredentials: noted('credentials'),
    drain: noted('drain'),
    // As of a node that nobody drains.
    pauseDrain: () => Promise.reject(new MosaikError('E_CONFLICT', 'the node is active')),
    dismiss: noted('dismiss'),
    pauseDismissals: noted('pauseDismissals'),
    remove: noted('remove'),
    progress: (id) =>
      id === nodeReport.id
        ? Promise.resolve(progress)
        : Promise.reject(new MosaikError('E_NODE_UNKNOWN', 'there is no such node')),
    reshare: (of, scheme) => {
      asked.push({ of, scheme })
      return Promise.resolve(1)
    },
    pauseReshares: noted('pauseReshares'),
    reshareProgress: () => Promise.resolve({ isPaused: false, waiting: [{ kind: 'scheme', count: 2 }], etaMs: 1000 }),
    previewRebalance: () =>
      Promise.resolve({
        transfers: [{ from: 'a', to: 'b', objectsCount: 1, bytes: 10 }],
        ...{ objectsCount: 1, bytes: 10, resharings: 0 },
      }),
    rebalance: noted('rebalance'),
    pauseRebalance: noted('pauseRebalance'),
    rebalanceView: () =>
      Promise.resolve({
        ...{ state: 'running' as const, bytesPerSecond: 10, startedAtMs: 1, endedAtMs: null, movedObjects: 0 },
        ...{ movedBytes: 0, plannedObjects: 1, plannedBytes: 10, resharings: 0, etaMs: 1000 },
      }),
  }
}

function memoryNodes(asked: unknown[]): NodeOperations {
  let changed: NodeReport = nodeReport
  return {
    list: () => Promise.resolve([changed]),
    add: (request) => {
      asked.push(request)
      return Promise.resolve({ ...nodeReport, name: request.name })
    },
    probe: (id) =>
      id === nodeReport.id
        ? Promise.resolve(nodeReport)
        : Promise.reject(new MosaikError('E_NODE_UNKNOWN', 'there is no such node')),
    setState: (id, state) => {
      asked.push({ id, state })
      return Promise.resolve()
    },
    change: (id, change) => {
      if (id !== nodeReport.id) return Promise.reject(new MosaikError('E_NODE_UNKNOWN', 'there is no such node'))
      asked.push({ id, change })
      changed = { ...changed, state: change.state ?? changed.state }
      return Promise.resolve()
    },
    ...lifeOf(asked),
  }
}

/** The API over a real SQLite catalog, two organisations with a token a role each, and a vault in memory. */
export async function apiStage(
  options: {
    rateLimit?: RateLimit
    health?: HealthReport
    also?: (app: express.Express) => void
    clock?: Clock
    reader?: VaultReader
  } = {},
) {
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-api-'))
  let nowMs = Date.UTC(2026, 10, 23, 12)
  const clock: Clock = options.clock ?? {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: () => Promise.reject(new Error('nothing sleeps here')),
  }
  const catalog = openSqliteCatalog(join(folder, 'catalog.sqlite'), clock)
  await catalog.migrate()
  const log = new ListeningLog()
  const announced: { id: Id; stage: string }[] = []
  const changed: Id[] = []
  const asked: unknown[] = []
  const troubles: string[] = []
  const links = createLinks({
    catalog: catalog.links,
    keyring: { linkKey: () => Promise.resolve(new Uint8Array(32).fill(7)) },
    passcodes: {
      hash: (passcode) => Promise.resolve(`hash of ${passcode}`),
      verify: (passcode, hash) => Promise.resolve(hash === `hash of ${passcode}`),
    },
    clock,
    random,
  })
  const apiOptions: ApiOptions = {
    catalog,
    rates: new MemoryRateCounter(clock),
    health: { report: () => Promise.resolve(options.health ?? healthReport) },
    access: {
      async createOrganisation({ name, ...policy }) {
        nowMs += 1000
        return await addOrganisation(name, policy)
      },
      issueToken: (owner) => issueToken({ tokens: catalog.tokens, clock, random }, owner),
    },
    links,
    reader: options.reader ?? memoryReader(),
    nodes: memoryNodes(asked),
    clock,
    random,
    log,
    publicUrl: 'https://vault.example',
    announce: ({ id, stage }) => void announced.push({ id, stage }),
    linksChanged: (organisation) => void changed.push(organisation),
    ...(options.rateLimit === undefined ? {} : { rateLimit: options.rateLimit }),
  }
  const api = createApi(apiOptions)
  const { url, close } = await serve((app) => {
    app.use(createHealth({ check: () => Promise.resolve(troubles) }))
    options.also?.(app)
    app.use('/api/v1', api)
  })

  const conformance = new Conformance((await send(url, 'GET', '/openapi.json')).body)

  /** Every answer in every test is held to the document. */
  const plain: Call = async (method, path, body, headers) => {
    const answer = await send(url, method, path, body, headers)
    if (!/^\/(health|ready|openapi)/.test(path)) conformance.check(method, path, answer)
    return answer
  }

  async function addOrganisation(
    name?: string,
    policy: Pick<OrganisationRow, 'scheme' | 'placementRule'> = {
      scheme: { k: 3, n: 5, t: 1 },
      placementRule: 'none',
    },
  ): Promise<Id> {
    const id = newId()
    await catalog.installation.addOrganisation({
      ...{ id, name: name ?? `organisation ${id.slice(0, 4)}`, ...policy },
      ...{ createdAtMs: nowMs, stateGeneration: 0, stateSha256: null },
    })
    return id
  }

  /** Calls as the holder of a fresh token. */
  async function caller(role: Role, organisation: Id): Promise<Call & { token: string; tokenId: Id }> {
    const token = `mosaik-${toHex(random.bytes(32))}`
    const tokenId = newId()
    const tokenSha256 = new Uint8Array(createHash('sha256').update(token).digest())
    await catalog.tokens.addToken({
      ...{ id: tokenId, organisation, role, name: `a ${role}`, tokenSha256 },
      ...{ createdAtMs: nowMs, revokedAtMs: null },
    })
    const call: Call = (method, path, body, headers) =>
      plain(method, path, body, { authorization: `Bearer ${token}`, ...headers })
    return Object.assign(call, { token, tokenId })
  }

  async function addRecording(
    organisation: Id,
    title = 'Weekly meeting',
    hostId = 'ada',
  ): Promise<{ id: Id; work: Id }> {
    nowMs += 1000
    const id = `1${newId().slice(1)}`
    const work = newId()
    await catalog.recordings.create({
      ...{ id, organisation, title, hostId, sourceKind: 'cli', externalId: id, startedAtMs: null },
      ...{ scheme: { k: 3, n: 5, t: 1 }, atMs: nowMs, work: { id: work, stage: 'store', input: { kind: 'vault' } } },
    })
    return { id, work }
  }

  const first = await addOrganisation()
  nowMs += 1000
  const second = await addOrganisation()
  return {
    ...{ catalog, clock, log, links, announced, changed, asked, troubles, first, second, url, folder },
    ...{ caller, addRecording, apiOptions, plain, conformance },
    move: (byMs: number) => void (nowMs += byMs),
    async close() {
      await close()
      await catalog.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function send(
  url: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(
    `${url}${path.startsWith('/health') || path.startsWith('/ready') ? '' : '/api/v1'}${path}`,
    {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    },
  )
  const bytes = Buffer.from(await response.arrayBuffer())
  const isJson = response.headers.get('content-type')?.includes('json') === true
  return {
    status: response.status,
    headers: response.headers,
    body: isJson && bytes.length > 0 ? (JSON.parse(bytes.toString()) as Record<string, unknown>) : {},
    bytes,
  }
}
