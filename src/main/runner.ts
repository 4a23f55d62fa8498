import { MosaikError, isMosaikError, type ErrorCode } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { StageContext, StageOutcome } from '../pipeline/stage.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Fence, WorkRow, WorkStage } from '../ports/catalog/recordings.ts'
import type { Clock, Log, Random } from '../ports/system.ts'

/** One line of the queue table: who does a stage, how many at once, how often, how long between tries. */
export interface QueueSpec {
  readonly stage: WorkStage
  readonly concurrency: number
  readonly leaseMs: number
  /** Tries before the work counts as failed; trouble of nodes is tried for ever. */
  readonly maxAttempts: number
  readonly handler: (context: StageContext) => Promise<StageOutcome>
  /** Called when the work will be tried again, while the lease still holds: says on the recording what it waits for. */
  readonly waiting: (work: WorkRow, reason: Reason, fence: Fence) => Promise<void>
  /** Called when the work has failed for good, while the lease still holds; again when the process dies before that is written down. */
  readonly failed: (work: WorkRow, reason: Reason, fence: Fence) => Promise<void>
}

/** Why, for people. */
export interface Reason {
  readonly code: ErrorCode
  readonly message: string
}

export interface RunnerPorts {
  readonly catalog: Catalog
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Tells the queue of work; losing it loses nothing, the sweep finds it. */
  readonly announce: (work: Pick<WorkRow, 'id' | 'stage' | 'fence'>, delayMs: number) => void
}

/** Errors that wait for the world to get better, however long that takes. */
const patient: ReadonlySet<ErrorCode> = new Set([
  'E_NODES_TOO_FEW',
  'E_SHARES_TOO_FEW',
  'E_PLACEMENT_RULE',
  'E_NODE_UNREACHABLE',
  'E_CATALOG_UNREACHABLE',
  'E_KEYRING_LOCKED',
  'E_KEYRING_RATE',
  'E_ABORTED',
  'E_LEASE_LOST',
])
const FIRST_DELAY_MS = 1_000
const MAX_DELAY_MS = 60_000
/** What waits for something to return is to go on soon after it has. */
const MAX_PATIENT_DELAY_MS = 15_000

/**
 * Runs one piece of work: claim, keep the lease, run the stage, write what came of it. Safe to call twice for the same work, by any
 * number of processes: only one holds the lease, and writes of one that lost it are refused.
 */
export async function runWork(ports: RunnerPorts, spec: QueueSpec, workId: Id, shutdown: AbortSignal): Promise<void> {
  if (shutdown.aborted) return
  const { catalog, clock, log } = ports
  const work = await catalog.work.claim(workId, clock.nowMs(), spec.leaseMs)
  if (!work) return
  const lease = new AbortController()
  const signal = AbortSignal.any([shutdown, lease.signal])
  const fence = { work: work.id, fence: work.fence }
  const progress = { doneUnits: work.doneUnits, totalUnits: work.totalUnits }
  const renewing = keepLease(ports, spec, fence, progress, lease)
  const startedAtMs = clock.monotonicMs()
  try {
    const recording = await catalog.recordings.get(work.recording, undefined)
    if (!recording) {
      throw new MosaikError('E_RECORDING_UNKNOWN', 'there is no such recording (any more)', {
        recording: work.recording,
      })
    }
    const outcome = await spec.handler({
      recording,
      work,
      fence,
      signal,
      // Whole units: the catalog takes no others, and a lease that cannot be renewed is lost.
      progress: (doneUnits, totalUnits) =>
        Object.assign(progress, {
          doneUnits: Math.floor(doneUnits),
          totalUnits: totalUnits === null ? null : Math.floor(totalUnits),
        }),
    })
    const next: WorkRow[] = []
    for (const { stage, input } of outcome.next) {
      const id = Array.from(ports.random.bytes(16), (byte) => byte.toString(16).padStart(2, '0')).join('')
      next.push(await catalog.work.add({ id, recording: work.recording, stage, input, runAtMs: clock.nowMs() }, fence))
    }
    await catalog.work.renew(fence, clock.nowMs(), spec.leaseMs, {
      doneUnits: progress.totalUnits ?? progress.doneUnits,
      totalUnits: progress.totalUnits,
    })
    await catalog.work.finish(fence, clock.nowMs())
    for (const row of next) if (row.state === 'pending') ports.announce(row, 0)
    log.info('work.done', {
      work: work.id,
      stage: work.stage,
      recording: work.recording,
      elapsedMs: Math.round(clock.monotonicMs() - startedAtMs),
    })
  } catch (error) {
    await workFailed(ports, spec, work, lease.signal.aborted ? lease.signal.reason : error, shutdown.aborted)
  } finally {
    lease.abort(new MosaikError('E_ABORTED', 'the work has ended'))
    await renewing
  }
}

async function keepLease(
  ports: RunnerPorts,
  spec: QueueSpec,
  fence: { readonly work: Id; readonly fence: number },
  progress: { readonly doneUnits: number; readonly totalUnits: number | null },
  lease: AbortController,
): Promise<void> {
  const everyMs = Math.min(1_000, spec.leaseMs / 3)
  let lastRenewedMs = ports.clock.monotonicMs()
  let lastProgress = -1
  while (!lease.signal.aborted) {
    try {
      await ports.clock.sleep(everyMs, lease.signal)
    } catch {
      return
    }
    const nowMs = ports.clock.monotonicMs()
    if (progress.doneUnits === lastProgress && nowMs - lastRenewedMs < spec.leaseMs / 3) continue
    try {
      await ports.catalog.work.renew(fence, ports.clock.nowMs(), spec.leaseMs, { ...progress })
      lastRenewedMs = nowMs
      lastProgress = progress.doneUnits
    } catch (error) {
      const code = isMosaikError(error) ? error.code : 'E_INTERNAL'
      if (code !== 'E_LEASE_LOST') ports.log.warn('work.renew-failed', { work: fence.work, code })
      // A catalog that does not answer is not a lost lease, until the lease has run out.
      if (isMosaikError(error, 'E_LEASE_LOST') || nowMs - lastRenewedMs > spec.leaseMs) {
        lease.abort(new MosaikError('E_LEASE_LOST', 'another worker has taken over this work', {}, error))
      }
    }
  }
}

async function workFailed(
  ports: RunnerPorts,
  spec: QueueSpec,
  work: WorkRow,
  error: unknown,
  shuttingDown: boolean,
): Promise<void> {
  const { catalog, clock, log } = ports
  const reason = reasonOf(error, shuttingDown)
  const fields = {
    work: work.id,
    stage: work.stage,
    recording: work.recording,
    code: reason.code,
    attempt: work.attemptsCount,
  }
  if (isMosaikError(error, 'E_LEASE_LOST')) {
    log.warn('work.lease-lost', fields)
    return
  }
  // Tries that only waited for nodes, or were handed back, do not use the others up: what comes after them gets one more.
  const isUsedUp = work.attemptsCount >= spec.maxAttempts && !(work.error && patient.has(work.error.code))
  const isHopeless = isMosaikError(error) && error.retry === 'never'
  const isFinal = !shuttingDown && !patient.has(reason.code) && (isHopeless || isUsedUp)
  const delayMs = shuttingDown ? 0 : retryDelayMs(work.attemptsCount, patient.has(reason.code), ports.random)
  if (shuttingDown) log.info('work.handed-back', fields)
  else log.warn(isFinal ? 'work.failed' : 'work.retry', { ...detailOf(error), ...fields, delayMs })
  const nowMs = clock.nowMs()
  const fence = { work: work.id, fence: work.fence }
  try {
    // Before the work's own row: whoever dies in between leaves a lease that runs out, not a recording that says nothing.
    if (isFinal) await spec.failed(work, reason, fence)
    else if (!shuttingDown) await spec.waiting(work, reason, fence)
    await catalog.work.fail(fence, nowMs, reason, isFinal ? null : nowMs + delayMs)
    if (!isFinal && !shuttingDown) ports.announce(work, delayMs)
  } catch (failure) {
    // The lease runs out and the sweep takes over.
    log.error('work.fail-not-written', {
      ...fields,
      cause: isMosaikError(failure) ? failure.code : 'unexpected',
    })
  }
}

function reasonOf(error: unknown, shuttingDown: boolean): Reason {
  if (shuttingDown) return { code: 'E_ABORTED', message: 'the vault was stopped; it goes on when the vault runs again' }
  if (isMosaikError(error)) return { code: error.code, message: error.message }
  return { code: 'E_INTERNAL', message: 'an unexpected fault; the log says more' }
}

/**
 * What the log says of an error; its message, which may name a file, is in the catalog. Of one that is not ours its kind and where it was thrown: its message may quote what it choked on, a
 * credential in JSON for example.
 */
function detailOf(error: unknown): Readonly<Record<string, unknown>> {
  if (isMosaikError(error)) return { ...causeOf(error.cause), ...error.fields }
  return causeOf(error)
}

function causeOf(error: unknown): Readonly<Record<string, unknown>> {
  if (!(error instanceof Error)) return {}
  if (isMosaikError(error)) return { cause: error.code }
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  const { code } = error as NodeJS.ErrnoException
  return {
    cause: typeof code === 'string' ? `${error.name} ${code}` : error.name,
    at: frames.slice(0, 8).map((line) => line.trim()),
  }
}

function retryDelayMs(attemptsCount: number, isPatient: boolean, random: Random): number {
  const maxMs = isPatient ? MAX_PATIENT_DELAY_MS : MAX_DELAY_MS
  const delayMs = Math.min(maxMs, FIRST_DELAY_MS * 2 ** Math.min(10, attemptsCount - 1))
  return Math.round(delayMs * (0.5 + random.fraction() / 2))
}
