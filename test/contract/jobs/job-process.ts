import { nodeClock } from '../../../src/adapters/node-system.ts'
import { createBullQueue } from '../../../src/adapters/bullmq/queue.ts'

/** A worker in a process of its own, started by jobs.test.ts: takes one job and never ends it. */
const [url = '', prefix = ''] = process.argv.slice(2)
const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
const queue = await createBullQueue({ url, prefix, clock: nodeClock, log, lockMs: 1000, stalledEveryMs: 500 })
queue.process('store', 1, async (job) => {
  process.stdout.write(`${job.workId}\n`)
  await new Promise(() => undefined)
})
