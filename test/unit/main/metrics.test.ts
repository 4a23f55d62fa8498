import { expect, test } from 'vitest'
import { createPrometheusMetrics } from '../../../src/adapters/metrics.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import { measuredDriver, measuredEngine, measuredReader, measuredTable } from '../../../src/main/measured.ts'
import { startMetricsServer } from '../../../src/main/metrics-server.ts'
import type { QueueSpec } from '../../../src/main/runner.ts'
import type { StageContext } from '../../../src/pipeline/stage.ts'
import type { NodeDriver } from '../../../src/ports/node-driver.ts'
import type { ObjectStore } from '../../../src/ports/object-store.ts'
import type { SegmentEngine } from '../../../src/ports/segment-engine.ts'
import type { VaultReader } from '../../../src/ports/vault-reader.ts'

const signal = new AbortController().signal
const never = (): Promise<never> => Promise.reject(new Error('not in this test'))

function measuring() {
  let nowMs = 0
  const prometheus = createPrometheusMetrics()
  return {
    ...prometheus,
    clock: { monotonicMs: () => (nowMs += 1000) },
    /** Value of the sample whose labels are just these. */
    async sample(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number | undefined> {
      const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
      const line = (await prometheus.text())
        .split('\n')
        .find((text) => text.startsWith(name + (wanted.length > 0 ? `{${wanted.join(',')}}` : ' ')))
      return line === undefined ? undefined : Number(line.split(' ').at(-1))
    },
  }
}

test('calls to nodes: by node, call and outcome, bytes both ways', async () => {
  const { metrics, clock, sample } = measuring()
  const fault: { error?: Error } = {}
  const store: ObjectStore = {
    create: () =>
      Promise.resolve({
        write: () => (fault.error ? Promise.reject(fault.error) : Promise.resolve()),
        commit: () => Promise.resolve({ key: 'k', sizeBytes: 3 }),
        abort: () => Promise.resolve(),
      }),
    put: () => Promise.resolve(),
    get: () => (fault.error ? Promise.reject(fault.error) : Promise.resolve(new Uint8Array(5))),
    head: never,
    async *list() {
      yield await Promise.resolve({ key: 'k', sizeBytes: 3 })
    },
    delete: () => Promise.resolve(),
    close: () => Promise.resolve(),
  }
  const driver: NodeDriver = { probe: never, open: () => Promise.resolve(store) }
  const settings = { driver: 'directory', path: '/nowhere' } as const
  const measured = await measuredDriver(driver, metrics, clock).open(settings, {} as never, { label: 'north' })
  await measured.put('k', new Uint8Array(2), signal)
  await measured.get('k', undefined, signal)
  const writer = await measured.create('k', signal)
  await writer.write(new Uint8Array(3))
  await writer.commit()
  for await (const { key } of measured.list('', signal)) expect(key).toBe('k')
  fault.error = new MosaikError('E_NODE_UNREACHABLE', 'away')
  await expect(measured.get('k', undefined, signal)).rejects.toThrow('away')
  const dead = await measured.create('k', signal)
  await expect(dead.write(new Uint8Array(3))).rejects.toThrow('away')
  await dead.abort()
  await expect(measured.get('k', undefined, AbortSignal.abort())).rejects.toThrow('away')
  const count = (call: string, outcome: string) =>
    sample('mosaik_node_call_seconds_count', { node: 'north', call, outcome })
  expect(await count('get', 'ok')).toBe(1)
  expect(await count('get', 'E_NODE_UNREACHABLE')).toBe(1)
  expect(await count('get', 'aborted')).toBe(1)
  expect(await count('write', 'ok')).toBe(1)
  expect(await count('write', 'E_NODE_UNREACHABLE')).toBe(1)
  expect(await count('write', 'aborted')).toBeUndefined()
  expect(await count('list', 'ok')).toBe(1)
  expect(await sample('mosaik_node_bytes_total', { node: 'north', direction: 'written' })).toBe(5)
  expect(await sample('mosaik_node_bytes_total', { node: 'north', direction: 'read' })).toBe(5)
})

test('segments: bytes before they are given away, and bad blocks', async () => {
  const { metrics, sample } = measuring()
  const engine: SegmentEngine = {
    parallelism: 1,
    splitter: () => ({
      split: (_segment, plaintext) => {
        structuredClone(plaintext, { transfer: [plaintext.buffer] })
        return Promise.resolve([])
      },
      close: () => undefined,
    }),
    opener: () => ({
      open: () => Promise.resolve({ badIndices: [1, 2] }),
      openRun: () => Promise.resolve([{ plaintext: new Uint8Array(7), corruptIndices: [0], forgedIndices: [4] }]),
      close: () => undefined,
    }),
    takeMemory: () => new Uint8Array(1),
    recycle: () => undefined,
    close: () => Promise.resolve(),
  }
  const measured = measuredEngine(engine, metrics)
  await measured.splitter({} as never, {} as never).split(0, new Uint8Array(11), true)
  const opener = measured.opener({} as never, {} as never)
  await opener.open(0, true, 7, [])
  await opener.openRun([])
  expect(await sample('mosaik_sealed_bytes_total')).toBe(11)
  expect(await sample('mosaik_opened_bytes_total')).toBe(7)
  expect(await sample('mosaik_bad_blocks_total', { kind: 'tag' })).toBe(3)
  expect(await sample('mosaik_bad_blocks_total', { kind: 'forged' })).toBe(1)
})

test('streams: open while they are read, closed when their reader stops early', async () => {
  const { metrics, sample } = measuring()
  const reader: VaultReader = {
    open: () =>
      Promise.resolve({
        manifest: {} as never,
        asset: () => ({
          asset: {} as never,
          async *read() {
            for (;;) yield await Promise.resolve(new Uint8Array(10))
          },
          recycle: () => undefined,
        }),
      }),
  }
  const opened = await measuredReader(reader, metrics).open('o', 'r', 'play', signal)
  let chunks = 0
  for await (const chunk of opened.asset('a').read(0, 1000, signal)) {
    expect(chunk).toHaveLength(10)
    expect(await sample('mosaik_open_streams', { purpose: 'play' })).toBe(1)
    if (++chunks === 3) break
  }
  expect(await sample('mosaik_open_streams', { purpose: 'play' })).toBe(0)
  expect(await sample('mosaik_streamed_bytes_total', { purpose: 'play' })).toBe(30)
})

test('work: done, failed, handed back, lease lost; what waits and what failed for good', async () => {
  const { metrics, clock, sample } = measuring()
  let outcome: () => Promise<{ next: [] }> = () => Promise.resolve({ next: [] })
  const spec: QueueSpec = {
    stage: 'store',
    concurrency: 1,
    leaseMs: 1000,
    maxAttempts: 1,
    handler: () => outcome(),
    waiting: () => Promise.resolve(),
    failed: () => Promise.resolve(),
  }
  const { store } = measuredTable({ store: spec, transcode: spec, release: spec }, metrics, clock)
  const context = (reason?: MosaikError): StageContext =>
    ({ signal: reason ? AbortSignal.abort(reason) : signal }) as unknown as StageContext
  await store.handler(context())
  outcome = () => Promise.reject(new Error('broken'))
  await expect(store.handler(context())).rejects.toThrow('broken')
  await expect(store.handler(context(new MosaikError('E_LEASE_LOST', 'lost')))).rejects.toThrow('broken')
  await expect(store.handler(context(new MosaikError('E_ABORTED', 'stopped')))).rejects.toThrow('broken')
  await store.waiting({} as never, { code: 'E_NODES_TOO_FEW', message: '' }, {} as never)
  await store.failed({} as never, { code: 'E_SOURCE_HASH', message: '' }, {} as never)
  for (const ended of ['done', 'error', 'lease-lost', 'handed-back']) {
    expect(await sample('mosaik_work_seconds_count', { stage: 'store', outcome: ended }), ended).toBe(1)
  }
  expect(await sample('mosaik_work_deferred_total', { stage: 'store', code: 'E_NODES_TOO_FEW' })).toBe(1)
  expect(await sample('mosaik_work_failed_total', { stage: 'store', code: 'E_SOURCE_HASH' })).toBe(1)
})

test('backlog is asked at every scrape, and what is gone is zero no more', async () => {
  const { watchBacklog, sample } = measuring()
  let rows = [{ stage: 'store', state: 'due', count: 2, oldestDueAtMs: 1000 }] as const
  watchBacklog(
    () => Promise.resolve(rows),
    () => 4000,
  )
  expect(await sample('mosaik_work_open', { stage: 'store', state: 'due' })).toBe(2)
  expect(await sample('mosaik_work_late_seconds', { stage: 'store' })).toBe(3)
  rows = [] as never
  expect(await sample('mosaik_work_open', { stage: 'store', state: 'due' })).toBeUndefined()
})

test('its own door: metrics, health, readiness; nothing else', async () => {
  const prometheus = createPrometheusMetrics()
  const troubles: string[] = []
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  const ports = { metrics: prometheus, check: () => Promise.resolve(troubles), log }
  const server = await startMetricsServer('127.0.0.1:0', ports)
  const get = (path: string, method = 'GET') => fetch(`http://${server.address}${path}`, { method })
  expect(await (await get('/metrics')).text()).toContain('process_cpu_seconds_total')
  expect((await get('/healthz')).status).toBe(200)
  expect((await get('/readyz')).status).toBe(200)
  troubles.push('Redis does not answer')
  expect(await (await get('/readyz')).json()).toEqual({ status: 'not ready', troubles })
  expect((await get('/')).status).toBe(404)
  expect((await get('/metrics', 'POST')).status).toBe(405)
  await expect(startMetricsServer(server.address, ports)).rejects.toMatchObject({ code: 'E_CONFIG' })
  await server.close()
})
