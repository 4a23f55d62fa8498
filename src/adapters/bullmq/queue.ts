import { once } from 'node:events'
import { Queue, Worker, type WorkerOptions } from 'bullmq'
import type { Redis } from 'ioredis'
import { MosaikError } from '../../domain/errors.ts'
import type { WorkStage } from '../../ports/catalog/recordings.ts'
import type { Job, JobQueue } from '../../ports/jobs.ts'
import type { Clock, Log } from '../../ports/system.ts'
import { causeOf, connectRedis, RedisWatch } from './connection.ts'
import { jobId, readPayload, toPayload, type JobPayload } from './payload.ts'

/** The name of every job; the queue says what it is. */
const jobName = 'work'

/** Events that Redis keeps of a queue, for whoever looks at it with a tool. */
const keptEvents = 100

export interface BullQueueOptions {
  /** redis://… or rediss://…, or the absolute path of a Unix socket. */
  readonly url: string
  readonly clock: Pick<Clock, 'sleep'>
  readonly log: Log
  /** Keeps several installations on one Redis apart. Default `mosaik`. */
  readonly prefix?: string
  /** Longest wait for Redis in `enqueue`, `ping` and `drained`, in milliseconds. Default 5,000. */
  readonly answerWithinMs?: number
  /** A running job's lock; a worker that was killed is noticed after it. Default 30,000. */
  readonly lockMs?: number
  /** How often locks that ran out are looked for. Default 15,000. */
  readonly stalledEveryMs?: number
  /** Longest wait in `close` for handlers that were aborted. Default 30,000. */
  readonly closeWithinMs?: number
}

/**
 * The job list on Redis, through BullMQ. BullMQ never retries and keeps no finished job: both are the catalog's business.
 * While Redis is away nothing here rejects but `enqueue`, `ping` and `drained`; connections come back by themselves.
 *
 * It opens without Redis too; `ping` says whether it is there.
 *
 * @throws E_CONFIG when the address cannot be read.
 */
export async function createBullQueue(options: BullQueueOptions): Promise<JobQueue> {
  return new BullJobQueue(options)
}

interface RunningWorker {
  readonly worker: Worker<JobPayload, void>
  readonly connection: Redis
}

class BullJobQueue implements JobQueue {
  readonly #options: Required<BullQueueOptions>
  readonly #watch: RedisWatch
  /** For calls that somebody waits for: they fail rather than wait without end. */
  readonly #asking: Redis
  readonly #queues = new Map<WorkStage, Queue<JobPayload, void>>()
  readonly #workers = new Map<WorkStage, RunningWorker>()
  readonly #running = new Set<Promise<void>>()
  readonly #shutdown = new AbortController()
  #connecting: Promise<unknown> | undefined
  #closed: Promise<void> | undefined

  constructor(options: BullQueueOptions) {
    this.#options = {
      prefix: 'mosaik',
      answerWithinMs: 5000,
      lockMs: 30_000,
      stalledEveryMs: 15_000,
      closeWithinMs: 30_000,
      ...options,
    }
    this.#watch = new RedisWatch(options.url, options.log)
    this.#asking = connectRedis(options.url, this.#watch, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: null,
      commandTimeout: this.#options.answerWithinMs,
    })
  }

  async enqueue(
    stage: WorkStage,
    job: Job,
    { delayMs = 0 }: { readonly delayMs?: number | undefined } = {},
  ): Promise<void> {
    await this.#ask(`enqueue work for ${stage}`, async () =>
      (await this.#queue(stage)).add(jobName, toPayload(job), {
        jobId: jobId(job),
        delay: Math.max(0, Math.ceil(delayMs)),
        attempts: 1,
        removeOnComplete: true,
        removeOnFail: true,
      }),
    )
  }

  process(stage: WorkStage, concurrency: number, handler: (job: Job, signal: AbortSignal) => Promise<void>): void {
    if (this.#workers.has(stage)) {
      throw new MosaikError('E_CONFIG', `the stage ${stage} has a handler in this process already`, { stage })
    }
    if (this.#closed) throw closedError()
    const connection = connectRedis(this.#options.url, this.#watch, { maxRetriesPerRequest: null })
    const settings: WorkerOptions = {
      connection,
      concurrency,
      prefix: this.#options.prefix,
      lockDuration: this.#options.lockMs,
      stalledInterval: this.#options.stalledEveryMs,
      // Whether work that kills its worker runs again is for the catalog to say, not for BullMQ.
      maxStalledCount: 1000,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
      // A quarter of the time that a lost worker may go unnoticed; also how soon a broken wait is taken up again.
      drainDelay: 2,
      runRetryDelay: 1000,
    }
    const worker = new Worker<JobPayload, void>(
      stage,
      async ({ data }) => {
        const run = this.#run(stage, data, handler)
        this.#running.add(run)
        await run.finally(() => this.#running.delete(run))
      },
      settings,
    )
    worker.on('error', (error) => this.#workerError(stage, error))
    worker.on('stalled', (id) => this.#options.log.warn('queue.worker-lost', { stage, job: id }))
    this.#workers.set(stage, { worker, connection })
  }

  async drained(signal?: AbortSignal): Promise<void> {
    const stages: readonly WorkStage[] = ['store', 'transcode', 'release']
    for (;;) {
      let open = 0
      for (const stage of stages) {
        const counts = await this.#ask('count jobs', async () =>
          (await this.#queue(stage)).getJobCounts('waiting', 'active', 'delayed', 'prioritized'),
        )
        for (const count of Object.values(counts)) open += count
      }
      if (open === 0) return
      await this.#options.clock.sleep(50, signal)
    }
  }

  async ping(): Promise<void> {
    await this.#ask('reach Redis', () => this.#asking.ping())
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#watch.close()
    this.#shutdown.abort(new MosaikError('E_ABORTED', 'the process is shutting down'))
    const { closeWithinMs, answerWithinMs } = this.#options
    const workers = [...this.#workers.values()]
    // Takes nothing new from here on, and waits for its handlers to end and to be noted as ended.
    const ended = Promise.allSettled(workers.map(({ worker }) => worker.close()))
    await this.#within(closeWithinMs, Promise.allSettled([...this.#running]))
    await this.#within(this.#watch.away ? 100 : answerWithinMs, ended)
    const queues = Promise.allSettled([...this.#queues.values()].map((queue) => queue.close()))
    await this.#within(this.#watch.away ? 100 : answerWithinMs, queues)
    for (const { worker, connection } of workers) {
      // Ends the waiting connection too, when Redis never let it close.
      worker.disconnect().catch(() => undefined)
      connection.disconnect()
    }
    this.#asking.disconnect()
  }

  async #run(
    stage: WorkStage,
    data: unknown,
    handler: (job: Job, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { log } = this.#options
    const job = readPayload(data)
    if ('refused' in job) {
      log.warn('queue.job-dropped', { stage, reason: job.refused })
      return
    }
    // Taken in the moment of closing: the row is still due, another worker or the sweep sees it.
    if (this.#shutdown.signal.aborted) return
    try {
      await handler(job, this.#shutdown.signal)
    } catch (error) {
      log.error('queue.handler-failed', { stage, work: job.workId, code: causeOf(error) })
    }
  }

  async #queue(stage: WorkStage): Promise<Queue<JobPayload, void>> {
    let queue = this.#queues.get(stage)
    if (!queue) {
      queue = new Queue<JobPayload, void>(stage, {
        connection: this.#asking,
        prefix: this.#options.prefix,
        streams: { events: { maxLen: keptEvents } },
      })
      // What concerns a call rejects the call; what concerns the connection is told by the watch.
      queue.on('error', () => undefined)
      this.#queues.set(stage, queue)
    }
    try {
      await queue.waitUntilReady()
    } catch (error) {
      // BullMQ asks for the version once and never again: a queue that got no answer then would be deaf for good.
      if (this.#queues.get(stage) === queue) this.#queues.delete(stage)
      queue.close().catch(() => undefined)
      throw error
    }
    return queue
  }

  /** Asks Redis now or, when the connection is just being made, as soon as it stands. */
  async #ask<T>(what: string, call: () => Promise<T>): Promise<T> {
    if (this.#closed) throw closedError()
    const { answerWithinMs } = this.#options
    try {
      await this.#connected(answerWithinMs)
      const answer = await this.#within(answerWithinMs, call())
      if (!answer) throw new Error('timed out')
      return answer.value
    } catch (error) {
      throw this.#watch.unreachable(what, error)
    }
  }

  async #connected(withinMs: number): Promise<void> {
    if (this.#asking.status === 'ready') return
    // However many ask, one listens.
    this.#connecting ??= once(this.#asking, 'ready').finally(() => (this.#connecting = undefined))
    if (!(await this.#within(withinMs, this.#connecting))) throw new Error('timed out')
  }

  /** The value in time, or `undefined`; a rejection after its time is nobody's. */
  async #within<T>(ms: number, promise: Promise<T>): Promise<{ readonly value: T } | undefined> {
    const timer = new AbortController()
    const inTime = promise.then((value) => ({ value }))
    inTime.catch(() => undefined)
    try {
      const tooLate = this.#options.clock.sleep(ms, timer.signal).then(() => undefined)
      tooLate.catch(() => undefined)
      return await Promise.race([inTime, tooLate])
    } finally {
      timer.abort()
    }
  }

  #workerError(stage: WorkStage, error: unknown): void {
    const { code } = error as { code?: unknown }
    // BullMQ's own codes are negative: the job or its lock is gone, because Redis was emptied or another worker took over.
    if (typeof code === 'number' && code < 0) this.#options.log.info('queue.job-gone', { stage, code })
    else if (!this.#watch.away && !this.#closed) this.#options.log.warn('queue.error', { stage, cause: causeOf(error) })
  }
}

function closedError(): MosaikError {
  return new MosaikError('E_ABORTED', 'the job queue is closed')
}
