import type { Id } from '../domain/ids.ts'
import type { WorkStage } from './catalog/recordings.ts'

/** A hint that work may be due. The catalog's row is the truth: whoever gets the hint claims the work, or finds nothing to do. */
export interface Job {
  readonly workId: Id
  /**
   * Which run of the work it is for (the row's fence, or its count of attempts): a hint for the same run is kept once, one
   * for a later run is another.
   */
  readonly attempt: number
}

/**
 * A to-do list between processes. Every implementation passes `test/contract/jobs`.
 *
 * It may lose everything at any moment and may hand a job out twice; it decides nothing. A job is gone when its handler
 * has ended, however it ended: the catalog says when work runs again, and a sweep enqueues it.
 */
export interface JobQueue {
  /**
   * Lets a worker of the stage know, now or after `delayMs`. The same job again while the first waits or runs is one job.
   * @throws E_INTERNAL when the list does not answer within seconds; nothing is lost, the sweep will find the work.
   */
  enqueue(stage: WorkStage, job: Job, options?: { readonly delayMs?: number | undefined }): Promise<void>

  /**
   * Hands the stage's jobs to `handler`, at most `concurrency` at a time in this process, from now until `close`. While the
   * list is away it waits, and goes on by itself. What a handler throws is logged.
   *
   * @param handler its signal is aborted by `close`: it should then stop soon.
   * @throws E_CONFIG when the stage has a handler in this process already.
   */
  process(stage: WorkStage, concurrency: number, handler: (job: Job, signal: AbortSignal) => Promise<void>): void

  /** Resolves when no job of any stage waits, is delayed, or runs anywhere; rejects with the signal's reason. */
  drained(signal?: AbortSignal): Promise<void>

  /** Resolves when the list answers. @throws E_INTERNAL */
  ping(): Promise<void>

  /** Takes nothing new, aborts what runs and waits for it, releases the connections. Never rejects; can be repeated. */
  close(): Promise<void>
}
