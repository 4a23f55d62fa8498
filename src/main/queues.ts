import { releaseSource } from '../pipeline/release-source.ts'
import { storeOriginal, type StoreOriginalPorts } from '../pipeline/store-original.ts'
import { transcode, type TranscodePorts } from '../pipeline/transcode.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { WorkRow, WorkStage } from '../ports/catalog/recordings.ts'
import type { JobQueue } from '../ports/jobs.ts'
import type { Clock, Log, Random } from '../ports/system.ts'
import { runWork, type QueueSpec, type RunnerPorts } from './runner.ts'

/**
 * The table of queues: every stage, once. A stage without a line, or two lines for one stage, does not compile.
 */
export function queueTable(
  ports: StoreOriginalPorts & TranscodePorts & { readonly catalog: Catalog },
): Readonly<Record<WorkStage, QueueSpec>> {
  const { catalog, clock } = ports
  return {
    store: {
      stage: 'store',
      concurrency: 2,
      leaseMs: 30_000,
      maxAttempts: 5,
      handler: (context) => storeOriginal(ports, context),
      waiting: async (work, reason, fence) => {
        if (await isPast(catalog, work)) return
        await catalog.recordings.update(work.recording, { state: 'received', reason }, clock.nowMs(), fence)
      },
      failed: async (work, reason, fence) => {
        if (await isPast(catalog, work)) return
        const nowMs = clock.nowMs()
        await catalog.recordings.update(work.recording, { state: 'failed', reason }, nowMs, fence)
        await catalog.recordings.addEvent(work.recording, nowMs, 'failed', { ...reason })
      },
    },
    transcode: {
      stage: 'transcode',
      concurrency: 1,
      leaseMs: 30_000,
      maxAttempts: 3,
      handler: (context) => transcode(ports, context),
      waiting: async (work, reason, fence) => {
        if (await isPast(catalog, work)) return
        await catalog.recordings.update(work.recording, { state: 'stored', reason }, clock.nowMs(), fence)
      },
      failed: async (work, reason, fence) => {
        if (await isPast(catalog, work)) return
        const nowMs = clock.nowMs()
        await catalog.recordings.update(work.recording, { state: 'unplayable', reason }, nowMs, fence)
        await catalog.recordings.addEvent(work.recording, nowMs, 'unplayable', { ...reason })
      },
    },
    release: {
      stage: 'release',
      concurrency: 2,
      leaseMs: 30_000,
      maxAttempts: 10,
      handler: (context) => releaseSource(ports, context),
      waiting: () => Promise.resolve(),
      failed: (work, reason) =>
        catalog.recordings.addEvent(work.recording, clock.nowMs(), 'source-kept', { ...reason }),
    },
  }
}

/** True when the stage has committed and only what comes after it failed: the recording says where it is already. */
async function isPast(catalog: Catalog, work: WorkRow): Promise<boolean> {
  const recording = await catalog.recordings.get(work.recording, undefined)
  return work.stage === 'store' ? (recording?.generation ?? 0) > 0 : recording?.state === 'ready'
}

export interface WorkerPorts {
  readonly catalog: Catalog
  readonly queue: JobQueue
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

const SWEEP_EVERY_MS = 5_000
const SWEEP_BATCH = 200

/** The workers of some stages in this process, and the sweep that finds work which the queue has forgotten. */
export interface Workers {
  /** Finishes nothing new; resolves when what runs has been handed back. */
  close(): Promise<void>
}

/** Tells the queue of work, now or after a delay; never rejects: what is lost is found by the sweep. */
export function announcer(ports: Pick<WorkerPorts, 'queue' | 'log'>): RunnerPorts['announce'] {
  return (work, delayMs) => {
    ports.queue.enqueue(work.stage, { workId: work.id, attempt: work.fence }, { delayMs }).catch((error: unknown) => {
      ports.log.warn('queue.announce-failed', {
        work: work.id,
        cause: error instanceof Error ? error.message : 'unknown',
      })
    })
  }
}

/** Starts the workers of `stages`. Call once a process. */
export function startWorkers(
  ports: WorkerPorts,
  table: Readonly<Record<WorkStage, QueueSpec>>,
  stages: readonly WorkStage[],
): Workers {
  const shutdown = new AbortController()
  const running = new Set<Promise<void>>()
  const runner: RunnerPorts = { ...ports, announce: announcer(ports) }
  for (const stage of stages) {
    const spec = table[stage]
    ports.queue.process(stage, spec.concurrency, async ({ workId }) => {
      const run = runWork(runner, spec, workId, shutdown.signal)
      running.add(run)
      try {
        await run
      } finally {
        running.delete(run)
      }
    })
  }
  const sweeping = sweep(ports, runner.announce, shutdown.signal)
  return {
    async close() {
      shutdown.abort()
      await Promise.allSettled([...running, sweeping])
    },
  }
}

/** Re-enqueues from the catalog what is due: emptying Redis loses nothing (docs/ARCHITECTURE.md "Truth"). */
async function sweep(ports: WorkerPorts, announce: RunnerPorts['announce'], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      for (const work of await ports.catalog.work.due(ports.clock.nowMs(), SWEEP_BATCH)) announce(work, 0)
    } catch (error) {
      ports.log.warn('sweep.failed', { cause: error instanceof Error ? error.message : String(error) })
    }
    await ports.clock.sleep(SWEEP_EVERY_MS, signal).catch(() => undefined)
  }
}
