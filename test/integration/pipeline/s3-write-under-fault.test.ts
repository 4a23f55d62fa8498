import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HeadObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { createCodecTools } from '../../../src/adapters/segment-engine/codec-tools.ts'
import type { Id } from '../../../src/domain/ids.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import type { S3Settings } from '../../../src/ports/node-driver.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { repair } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import { Seeded } from '../../simulation/seeded.ts'
import { rawClient } from '../../support/services/buckets.ts'
import { startFaultProxy, type FaultProxy, type RequestFault } from '../../support/services/fault-proxy.ts'
import { needsS3Nodes } from '../../support/services/s3-vault.ts'
import type { TestVault } from '../../support/test-vault.ts'
import { movableClock, never } from '../../support/upkeep-stage.ts'

const HOUR_MS = 3_600_000
const NEEDED = 4
/** A share of the first has two parts; those of the others go in one request. */
const SIZES = [18 * 2 ** 20, 300_000, 1_000, 40_000, 5_000]

const s3 = needsS3Nodes()

const clock = movableClock()
const proxies: FaultProxy[] = []
let buckets: readonly S3Settings[]
let leftovers: (node: Id) => Promise<string[]>
let vault: TestVault

beforeAll(async () => {
  if (!s3.available) return
  const options = { clock, s3Limits: { idleMs: 5_000, backOffMs: 20 } }
  ;({ vault, buckets, leftovers } = await s3.makeVault(5, options, async (endpoint, i) => {
    proxies[i] = await startFaultProxy(endpoint)
    return proxies[i].endpoint
  }))
})
afterAll(async () => {
  await vault?.close()
  for (const proxy of proxies) await proxy.close()
})

let deposits = 0
async function deposit(sizeBytes: number): Promise<Id> {
  const path = join(vault.folder, `${deposits++}.bin`)
  writeFileSync(path, randomBytes(sizeBytes))
  return await vault.deposit(path, await describeFile(path))
}

const objectsOf = async (recording: Id) =>
  (await vault.catalog.upkeep.surveyed(recording))!.objects.filter(({ state }) => state === 'stored')

/** What a server has under a name, asked past the proxy. */
async function sizeOf(node: Id, key: string): Promise<number | undefined> {
  const nodes = await vault.installation.nodes()
  const bucket = buckets[nodes.findIndex(({ id }) => id === node)]!
  const client = rawClient(bucket)
  try {
    return (await client.send(new HeadObjectCommand({ Bucket: bucket.bucket, Key: `vault/${key}` }))).ContentLength
  } finally {
    client.destroy()
  }
}

/** Runs the store work until it is done; looks after each run that nothing is called stored below k + 1. */
async function store(recording: Id, mostRuns: number): Promise<void> {
  for (let run = 1; run <= mostRuns; run++) {
    clock.movedMs += 120_000
    await vault.runOnce(await vault.workOf(recording, 'store'))
    if ((await vault.recordings.get(recording, undefined))!.state !== 'stored') {
      expect(await vault.recordings.receipt(recording)).toBeUndefined()
      continue
    }
    const objects = await objectsOf(recording)
    for (const kind of ['fragment', 'manifest']) {
      const rows = objects.filter(({ role }) => role.kind === kind)
      expect(new Set(rows.map(({ index }) => index)).size).toBeGreaterThanOrEqual(NEEDED)
      for (const { node, key, sizeBytes } of rows) expect(await sizeOf(node, key)).toBe(sizeBytes)
    }
    return
  }
  const { reason } = (await vault.recordings.get(recording, undefined))!
  throw new Error(`it never was stored: ${reason?.message}`)
}

async function storeAll(mostRuns: number): Promise<{ recordings: Id[]; requests: number }> {
  for (const proxy of proxies) proxy.requests = 0
  const recordings: Id[] = []
  for (const sizeBytes of SIZES) recordings.push(await deposit(sizeBytes))
  for (const recording of recordings) await store(recording, mostRuns)
  return { recordings, requests: proxies.reduce((sum, { requests }) => sum + requests, 0) }
}

/** Calm again: repair completes, the collector collects, and nothing is left over. */
async function expectWhole(recordings: readonly Id[]): Promise<void> {
  for (const proxy of proxies) proxy.rule = undefined
  const ports = { ...vault, tools: createCodecTools(), signer: shareSigner(vault.keyring) }
  clock.movedMs += 2 * HOUR_MS
  await survey(ports, never)
  await repair(ports, { bytesPerSecond: Infinity }, never)
  clock.movedMs += 2 * HOUR_MS
  expect((await collect(vault, never)).left).toBe(0)
  for (const recording of recordings) expect(await objectsOf(recording)).toHaveLength(10)
  expect(await fsck({ ...ports, leftovers }, never)).toMatchObject({ violations: [], unreachable: [] })
}

/** Fails three in ten requests, the first answers to "begin" and "complete" among them; where it `holds`, the first part or object is never answered. */
function thirtyPercent(chance: Seeded, holds: boolean): FaultProxy['rule'] {
  const kinds: RequestFault[] = [
    { status: 503, name: 'SlowDown' },
    { status: 500, name: 'InternalError' },
    'lost',
    'cut',
  ]
  const done = new Set<string>()
  const isFirst = (step: string): boolean => !done.has(step) && done.add(step) !== undefined
  return (method, path) => {
    if (method === 'POST' && isFirst(path.includes('uploads') ? 'begin' : 'complete')) return 'lost'
    if (method === 'PUT' && holds && isFirst('hold')) return 'hold'
    return chance.chance(0.3) ? chance.pick(kinds) : undefined
  }
}

describe('writing to S3 nodes of two kinds through a bad network', { timeout: 600_000 }, () => {
  s3.define(() => {
    it('three in ten calls fail, or lose their answer: at most three times the requests, whole, nothing left', async () => {
      const calm = await storeAll(1)
      await expectWhole(calm.recordings)
      // One node of each kind is silent once, at the same time.
      proxies.forEach((proxy, i) => (proxy.rule = thirtyPercent(new Seeded(i + 1), i === 0 || i === 3)))
      const stormy = await storeAll(50)
      expect(stormy.requests).toBeGreaterThan(calm.requests)
      expect(stormy.requests).toBeLessThanOrEqual(3 * calm.requests)
      await expectWhole([...calm.recordings, ...stormy.recordings])
    })

    it.each([
      ['a full disk', { status: 507, name: 'InsufficientStorage' }, 'E_NODE_FULL'],
      ['a quota', { status: 403, name: 'QuotaExceeded' }, 'E_NODE_FULL'],
      ['withdrawn rights', { status: 403, name: 'AccessDenied' }, 'E_NODE_REFUSED'],
    ] as const)('%s: stored on four and completed later; on two nodes it waits and says so', async (_, fault, code) => {
      const writes: FaultProxy['rule'] = (method) => (method === 'PUT' || method === 'POST' ? fault : undefined)
      proxies[4]!.rule = writes
      const large = await deposit(SIZES[0]!)
      await store(large, 1)
      expect((await objectsOf(large)).length).toBe(8)
      proxies[1]!.rule = writes
      const small = await deposit(SIZES[1]!)
      await expect(store(small, 1)).rejects.toThrow(code)
      expect((await vault.recordings.get(small, undefined))!.reason!.code).toBe('E_NODES_TOO_FEW')
      for (const proxy of proxies) proxy.rule = undefined
      await store(small, 1)
      await expectWhole([large, small])
    })
  })
})
