import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { createBullQueue, type BullQueueOptions } from '../../../src/adapters/bullmq/queue.ts'
import { nodeClock } from '../../../src/adapters/node-system.ts'
import type { Job, JobQueue } from '../../../src/ports/jobs.ts'
import type { Log } from '../../../src/ports/system.ts'
import { needs } from '../../support/services/service.ts'

interface Entry {
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

const server = needs('redis', { instance: 'jobs' })
const newId = (): string => randomBytes(16).toString('hex')
const aJob = (attempt = 0): Job => ({ workId: newId(), attempt })

async function until(what: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> {
  for (let waited = 0; waited < withinMs; waited += 20) {
    if (await what()) return
    await wait(20)
  }
  throw new Error('it did not come to pass')
}

function memoryLog(): Log & { readonly entries: Entry[]; events(): string[] } {
  const entries: Entry[] = []
  const add = (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
    void entries.push({ event, fields })
  return { entries, events: () => entries.map((entry) => entry.event), info: add, warn: add, error: add }
}

describe('the job queue on Redis', () => {
  let prefix = 'x'
  const open = async (options: Partial<BullQueueOptions> = {}): Promise<JobQueue> => {
    const queue = await createBullQueue({
      url: server.get().url,
      clock: nodeClock,
      log: memoryLog(),
      prefix,
      answerWithinMs: 2000,
      closeWithinMs: 3000,
      ...options,
    })
    onTestFinished(() => queue.close())
    return queue
  }
  const raw = async <T>(use: (client: Redis) => Promise<T>): Promise<T> => {
    const client = new Redis(server.get().url)
    try {
      return await use(client)
    } finally {
      client.disconnect()
    }
  }
  /** A worker that notes what it is given. */
  const noting = (queue: JobQueue, concurrency = 1): Job[] => {
    const seen: Job[] = []
    queue.process('store', concurrency, async (job) => void seen.push(job))
    return seen
  }
  afterEach(async () => {
    prefix = `t${newId().slice(0, 8)}`
    const redis = server.get()
    await redis.resume()
    await redis.start()
    await raw((client) => client.flushall())
  })

  test('hands each job to one worker, of its stage, in order', async () => {
    const [one, two] = [await open(), await open()]
    const [first, second] = [noting(one), noting(two)]
    const others: Job[] = []
    one.process('transcode', 1, async (job) => void others.push(job))
    const jobs = Array.from({ length: 30 }, () => aJob(3))
    for (const job of jobs) await two.enqueue('store', job)
    await two.enqueue('transcode', jobs[0] as Job)
    await two.drained()
    const key = (job: Job): string => job.workId
    expect([...first, ...second].map(key).sort()).toEqual(jobs.map(key).sort())
    expect([...first, ...second][0]?.attempt).toBe(3)
    expect(others).toEqual([jobs[0]])
    await one.ping()
  })

  test('a single worker takes them in order', async () => {
    const queue = await open()
    const jobs = Array.from({ length: 10 }, () => aJob())
    for (const job of jobs) await queue.enqueue('store', job)
    const seen = noting(queue)
    await queue.drained()
    expect(seen).toEqual(jobs)
  })

  test('the same job again while it waits, is delayed or runs is one; a later attempt is another', async () => {
    const queue = await open()
    const job = aJob()
    const [began, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const seen: Job[] = []
    await queue.enqueue('store', job)
    await queue.enqueue('store', job)
    const delayed = aJob()
    await queue.enqueue('store', delayed, { delayMs: 1500 })
    await queue.enqueue('store', delayed)
    queue.process('store', 3, async (given) => {
      seen.push(given)
      began.resolve()
      await release.promise
    })
    await began.promise
    await queue.enqueue('store', job)
    const later = { ...job, attempt: 1 }
    await queue.enqueue('store', later)
    await until(() => seen.length === 2)
    release.resolve()
    await queue.drained()
    expect(seen).toEqual([job, later, delayed])
    // Finished and forgotten: it may come again.
    await queue.enqueue('store', job)
    await until(() => seen.length === 4)
  })

  test('never more at a time than the concurrency', async () => {
    const queue = await open()
    let [now, most] = [0, 0]
    queue.process('store', 3, async () => {
      most = Math.max(most, ++now)
      await wait(20)
      now--
    })
    await Promise.all(Array.from({ length: 20 }, () => queue.enqueue('store', aJob())))
    await queue.drained()
    expect(most).toBe(3)
  })

  test('a delayed job comes after its delay and not before', async () => {
    const queue = await open()
    const seen = noting(queue)
    const began = performance.now()
    await queue.enqueue('store', aJob(), { delayMs: 700 })
    await queue.drained()
    expect(seen).toHaveLength(1)
    expect(performance.now() - began).toBeGreaterThan(690)
    expect(performance.now() - began).toBeLessThan(3000)
  })

  test('a handler that throws is logged and not run again; Redis keeps nothing of any job', async () => {
    const log = memoryLog()
    const queue = await open({ log })
    let runs = 0
    queue.process('store', 2, async () => {
      runs += 1
      if (runs % 2 === 0) throw new Error('a title that nobody may see')
    })
    for (let i = 0; i < 20; i++) await queue.enqueue('store', aJob())
    await queue.drained()
    expect(runs).toBe(20)
    expect(log.events().filter((event) => event === 'queue.handler-failed')).toHaveLength(10)
    expect(JSON.stringify(log.entries)).not.toContain('title')
    const keys = await raw((client) => client.keys(`${prefix}:store:*`))
    expect(keys.filter((key) => /[0-9a-f]{32}/.test(key))).toEqual([])
    expect(keys.filter((key) => /:(completed|failed)$/.test(key))).toEqual([])
  })

  test('ids and numbers are all that Redis sees', async () => {
    const queue = await open()
    const job = aJob(7)
    await queue.enqueue('store', job)
    const stored = await raw((client) => client.hgetall(`${prefix}:store:${job.workId}-7`))
    expect(JSON.parse(stored['data'] ?? '')).toEqual({ version: 1, work: job.workId, attempt: 7 })
  })

  test('what another release or somebody else put there is dropped with a line in the log', async () => {
    const log = memoryLog()
    const queue = await open({ log })
    const { Queue } = await import('bullmq')
    const connection = new Redis(server.get().url, { maxRetriesPerRequest: null })
    const foreign = new Queue('store', { connection, prefix })
    onTestFinished(async () => {
      await foreign.close()
      connection.disconnect()
    })
    for (const data of [
      { version: 2, work: newId(), attempt: 0, more: true },
      { version: 1, work: 'not an id', attempt: 0 },
      { version: 1, work: newId(), attempt: 0, unknown: 1 },
      null,
      'text',
    ]) {
      await foreign.add('work', data)
    }
    const seen = noting(queue)
    const job = aJob()
    await queue.enqueue('store', job)
    await queue.drained()
    expect(seen).toEqual([job])
    const dropped = log.entries.filter((entry) => entry.event === 'queue.job-dropped')
    expect(dropped).toHaveLength(5)
    expect(dropped[0]?.fields).toEqual({ stage: 'store', reason: 'version 2' })
  })

  test('Redis emptied while workers wait: they take what is enqueued afterwards', async () => {
    const queue = await open()
    const seen = noting(queue, 2)
    await queue.enqueue('store', aJob())
    await queue.drained()
    for (let round = 0; round < 3; round++) {
      // While they wait, and just after they have begun to wait again.
      await wait(round * 300)
      await raw((client) => client.flushall())
      const job = aJob()
      await queue.enqueue('store', job)
      await until(() => seen.some((found) => found.workId === job.workId), 8000)
    }
    expect(seen).toHaveLength(4)
  })

  test('Redis emptied, scripts too, while a job runs: it ends in peace, and the next one comes', async () => {
    const log = memoryLog()
    const queue = await open({ log })
    const [began, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const seen: Job[] = []
    queue.process('store', 1, async (job) => {
      seen.push(job)
      began.resolve()
      await release.promise
    })
    await queue.enqueue('store', aJob())
    await began.promise
    await raw(async (client) => {
      await client.flushall()
      await client.script('FLUSH')
    })
    release.resolve()
    const next = aJob()
    await queue.enqueue('store', next)
    await until(() => seen.length === 2)
    await queue.drained()
    expect(seen[1]).toEqual(next)
  })

  test('Redis killed and started again, empty: one line away, one line back; workers go on', async () => {
    const log = memoryLog()
    const queue = await open({ log })
    const seen = noting(queue, 2)
    await queue.enqueue('store', aJob())
    await queue.drained()
    await server.get().kill()
    const failed = await queue.enqueue('store', aJob()).catch((error: unknown) => error)
    expect(failed).toMatchObject({
      code: 'E_INTERNAL',
      retry: 'later',
      message: expect.stringContaining('Redis') as string,
    })
    await wait(2500)
    await server.get().start()
    const job = aJob()
    await until(() =>
      queue.enqueue('store', job).then(
        () => true,
        () => false,
      ),
    )
    await until(() => seen.some((found) => found.workId === job.workId))
    expect(log.events().filter((event) => event === 'queue.redis-away')).toHaveLength(1)
    expect(log.events().filter((event) => event === 'queue.redis-back')).toHaveLength(1)
    expect(log.entries.length).toBeLessThan(6)
  })

  test('Redis that takes connections and never answers: calls end in time, and it all goes on afterwards', async () => {
    const queue = await open()
    const seen = noting(queue)
    await queue.ping()
    // Not used before: what it learns on first use it must be able to learn later.
    await server.get().pause()
    const began = performance.now()
    await expect(queue.enqueue('store', aJob())).rejects.toMatchObject({ code: 'E_INTERNAL' })
    expect(performance.now() - began).toBeLessThan(4000)
    await server.get().resume()
    const job = aJob()
    await until(() =>
      queue.enqueue('store', job).then(
        () => true,
        () => false,
      ),
    )
    await until(() => seen.some((found) => found.workId === job.workId))
  })

  test('opened while Redis is away: says so, takes part when it comes; closes while it is away', async () => {
    await server.get().kill()
    const log = memoryLog()
    const queue = await open({ log })
    const seen = noting(queue)
    await expect(queue.ping()).rejects.toMatchObject({ code: 'E_INTERNAL' })
    await expect(queue.drained()).rejects.toMatchObject({ code: 'E_INTERNAL' })
    expect(log.events()).toEqual(['queue.redis-away'])
    const closing = await open()
    noting(closing)
    const began = performance.now()
    await closing.close()
    expect(performance.now() - began).toBeLessThan(2500)
    await server.get().start()
    await until(() =>
      queue.enqueue('store', aJob()).then(
        () => true,
        () => false,
      ),
    )
    await until(() => seen.length === 1)
  })

  test('the job of a worker that was killed is seen again by another', async () => {
    const job = aJob()
    const child = spawn(process.execPath, [join(import.meta.dirname, 'job-process.ts'), server.get().url, prefix], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    const taken = new Promise<string>((resolve) => child.stdout.once('data', (text) => resolve(String(text).trim())))
    const queue = await open({ lockMs: 1000, stalledEveryMs: 500 })
    await queue.enqueue('store', job)
    expect(await taken).toBe(job.workId)
    const seen = noting(queue)
    await wait(2500)
    expect(seen).toEqual([])
    child.kill('SIGKILL')
    await until(() => seen.length === 1)
    expect(seen).toEqual([job])
  })

  test('close takes nothing new, aborts what runs and waits for it', async () => {
    const queue = await open()
    const began = Promise.withResolvers<void>()
    let ended = false
    const seen: Job[] = []
    queue.process('store', 1, async (job, signal) => {
      seen.push(job)
      began.resolve()
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      await wait(200)
      ended = true
    })
    await queue.enqueue('store', aJob())
    await queue.enqueue('store', aJob())
    await began.promise
    await Promise.all([queue.close(), queue.close()])
    expect(ended).toBe(true)
    expect(seen).toHaveLength(1)
    await expect(queue.enqueue('store', aJob())).rejects.toMatchObject({ code: 'E_ABORTED' })
    const next = await open()
    const left = noting(next)
    await until(() => left.length === 1)
  })

  test('a handler that does not heed its signal holds close up for so long and no longer', async () => {
    const queue = await open({ closeWithinMs: 500, answerWithinMs: 500 })
    const began = Promise.withResolvers<void>()
    queue.process('store', 1, async () => {
      began.resolve()
      await wait(20_000, undefined, { ref: false })
    })
    await queue.enqueue('store', aJob())
    await began.promise
    const before = performance.now()
    await queue.close()
    expect(performance.now() - before).toBeLessThan(3000)
  })

  test('a stage has one handler; an address is a URL; a password stays out of sight', async () => {
    const log = memoryLog()
    const queue = await open({ log, url: server.get().url.replace('//', '//:geheim@') })
    noting(queue)
    expect(() => noting(queue)).toThrow(expect.objectContaining({ code: 'E_CONFIG' }) as Error)
    await expect(open({ url: 'localhost:6379' })).rejects.toMatchObject({ code: 'E_CONFIG' })
    const error = await queue.ping().catch((caught: unknown) => caught)
    expect(JSON.stringify([log.entries, String(error), error])).not.toContain('geheim')
  })

  test('a Redis that would throw jobs away is named in the log, once', async () => {
    await raw((client) => client.config('SET', 'maxmemory-policy', 'allkeys-lru'))
    onTestFinished(() => raw((client) => client.config('SET', 'maxmemory-policy', 'noeviction')).then(() => undefined))
    const log = memoryLog()
    const queue = await open({ log })
    noting(queue)
    await queue.ping()
    await until(() => log.events().includes('queue.redis-evicts'))
    await wait(200)
    expect(log.entries).toHaveLength(1)
    expect(log.entries[0]?.fields['policy']).toBe('allkeys-lru')
  })
})
