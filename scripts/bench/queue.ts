import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Redis } from 'ioredis'
import { createBullQueue } from '../../src/adapters/bullmq/queue.ts'
import { nodeClock, nodeRandom } from '../../src/adapters/node-system.ts'
import { openSqliteCatalog } from '../../src/adapters/sql-catalog/open.ts'
import { announcer, startWorkers } from '../../src/main/queues.ts'
import type { QueueSpec } from '../../src/main/runner.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import type { JobQueue } from '../../src/ports/jobs.ts'
import { aRecording, organisationIn } from '../../test/contract/catalog/fixtures.ts'
import { available, service } from '../../test/support/services/start-service.ts'
import { silentLog } from '../../test/support/test-vault.ts'
import { Skipped, type Measurement, type Row } from './row.ts'

const JOBS = 10_000
/** Before the count begins: connections, prepared statements and compiled code are there by then. */
const WARM_JOBS = 1000
const UNIT = 'MB, less is better'
const MB = 1_000_000

const spec: QueueSpec = {
  ...{ stage: 'store', concurrency: 8, leaseMs: 30_000, maxAttempts: 1 },
  handler: () => Promise.resolve({ next: [] }),
  waiting: () => Promise.resolve(),
  failed: () => Promise.resolve(),
}

/** Puts so much work into the catalog and tells the queue of it, as intake does. */
async function addWork(catalog: Catalog, queue: JobQueue, organisation: string, count: number): Promise<void> {
  const announce = announcer({ queue, log: silentLog })
  for (let i = 0; i < count; i++) {
    const recording = aRecording(organisation, { atMs: nodeClock.nowMs() })
    await catalog.recordings.create(recording)
    announce({ id: recording.work.id, stage: 'store', fence: 0 }, 0)
  }
}

async function untilDone(catalog: Catalog): Promise<void> {
  while ((await catalog.work.backlog(nodeClock.nowMs())).length > 0) await sleep(50)
}

/** Bytes in use: of this process after a collection, and of Redis. */
async function memory(redis: Redis): Promise<{ process: number; redis: number }> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 3; i++) {
    collect()
    await sleep(50)
  }
  const { heapUsed, external } = process.memoryUsage()
  const used = /used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]
  return { process: heapUsed + external, redis: Number(used) }
}

/** Whether ten thousand jobs, once they are done, have left anything in memory. */
export const queueMeasurements: Measurement[] = [
  {
    names: ['queue.growth-mb'],
    unit: UNIT,
    async run({ folder }): Promise<Row[]> {
      if (!available('redis')) throw new Skipped('redis is not on this machine')
      const { url } = await service('redis', { instance: 'bench-queue' })
      const redis = new Redis(url)
      const catalog = openSqliteCatalog(join(folder, 'catalog.sqlite'), nodeClock)
      await catalog.migrate()
      const organisation = await organisationIn(catalog)
      const queue = await createBullQueue({ url, clock: nodeClock, log: silentLog })
      const ports = { catalog, queue, clock: nodeClock, random: nodeRandom(), log: silentLog }
      const workers = startWorkers(ports, { store: spec, transcode: spec, release: spec }, ['store'])
      await addWork(catalog, queue, organisation, WARM_JOBS)
      await untilDone(catalog)
      const before = await memory(redis)
      const began = performance.now()
      await addWork(catalog, queue, organisation, JOBS)
      await untilDone(catalog)
      const seconds = (performance.now() - began) / 1000
      const after = await memory(redis)
      await workers.close()
      await queue.close()
      await catalog.close()
      redis.disconnect()
      const [ours, theirs] = [(after.process - before.process) / MB, (after.redis - before.redis) / MB]
      const detail = `process ${ours.toFixed(1)}, Redis ${theirs.toFixed(1)}; ${Math.round(JOBS / seconds)} jobs a second`
      const peer = `the same process ${JOBS.toLocaleString('en')} jobs earlier`
      return [
        { name: 'queue.growth-mb', value: Math.max(0, ours) + Math.max(0, theirs), unit: UNIT, goal: 10, peer, detail },
      ]
    },
  },
]
