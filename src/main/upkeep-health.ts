import { isMosaikError } from '../domain/errors.ts'
import { repair, type RepairPorts } from '../upkeep/blind/repair.ts'
import { audit, scrub, survey, type ScrubPorts } from '../upkeep/blind/scrub.ts'

export type HealthPorts = ScrubPorts & RepairPorts

const TICK_MS = 5_000
const DAY_MS = 24 * 3_600_000
const SURVEY_EVERY_MS = 3_600_000
/** After a start, and after something changed. */
const SURVEY_FIRST_MS = 60_000
const REPAIR_EVERY_MS = 30_000
const AUDIT_EVERY_MS = DAY_MS
/** Every byte is looked at within this time: a pass takes at most half of it, and one begins every half of it. */
export const SCRUB_PERIOD_MS = 30 * DAY_MS
const SCRUB_LEAST_BYTES_PER_SECOND = 1024 * 1024
/** So that a pass ends in time in spite of nights and restarts. */
const SCRUB_MARGIN = 1.25
/** Reading k sources and writing; half a gigabit a second would be felt by viewers. */
export const REPAIR_BYTES_PER_SECOND = 20 * 1024 * 1024

/** Scrub, audit, survey and repair in the background of a process that has the upkeep. */
export interface HealthUpkeep {
  close(): Promise<void>
}

/** Bytes a second at which a full pass takes half a period. */
export function scrubBytesPerSecond(totalBytes: number): number {
  return Math.max(SCRUB_LEAST_BYTES_PER_SECOND, (SCRUB_MARGIN * totalBytes * 1000) / (SCRUB_PERIOD_MS / 2))
}

/**
 * Looks after what is stored: what a write left out within minutes, a sample every day, everything within thirty days, and repair of what was
 * found within half a minute. Times are in the catalog, so that restarts lose none.
 */
export function startHealthUpkeep(ports: HealthPorts): HealthUpkeep {
  const stop = new AbortController()
  const { signal } = stop
  const { catalog, clock, log } = ports

  const attempt = async (what: string, task: () => Promise<unknown>): Promise<void> => {
    try {
      await task()
    } catch (error) {
      if (signal.aborted) return
      log.warn(
        `upkeep.${what}-failed`,
        isMosaikError(error) ? { code: error.code, ...error.fields } : { code: 'E_INTERNAL' },
      )
    }
  }

  /** True at most once in `everyMs`, over all processes. */
  const isDue = async (name: string, everyMs: number): Promise<boolean> => {
    const nowMs = clock.nowMs()
    const task = await catalog.upkeep.claimTask(name, nowMs, TICK_MS)
    if (!task) return false
    const lastMs = Number(task.progress['atMs'] ?? 0)
    // A clock that went back must not put it off for as long.
    const isTime = nowMs - lastMs >= everyMs || lastMs > nowMs
    await catalog.upkeep.noteTask(task, nowMs, 0, isTime ? { atMs: nowMs } : task.progress)
    return isTime
  }

  const looking = async (): Promise<void> => {
    let surveyAtMs = clock.monotonicMs() + SURVEY_FIRST_MS
    let seen = ''
    while (!signal.aborted) {
      await attempt('nodes', async () => {
        // Draining, dismissal and a change of hands make work for repair, whichever process heard of it.
        const rows = await catalog.installation.nodes()
        const now = JSON.stringify(
          rows.map(({ id, state, operator, parent, site }) => [id, state, operator, parent, site]),
        )
        if (seen !== '' && seen !== now) surveyAtMs = clock.monotonicMs()
        seen = now
      })
      if (clock.monotonicMs() >= surveyAtMs) {
        surveyAtMs = clock.monotonicMs() + SURVEY_EVERY_MS
        await attempt('survey', () => survey(ports, signal))
      }
      await attempt('audit', async () => {
        if (await isDue('audit', AUDIT_EVERY_MS))
          await audit(ports, { bytesPerSecond: SCRUB_LEAST_BYTES_PER_SECOND }, signal)
      })
      await clock.sleep(TICK_MS, signal).catch(() => undefined)
    }
  }

  const scrubbing = async (): Promise<void> => {
    while (!signal.aborted) {
      await attempt('scrub', async () => {
        const progress = (await catalog.upkeep.task('scrub'))?.progress ?? {}
        const startedAtMs = Number(progress['passStartedAtMs'] ?? 0)
        const isUnderWay = progress['startedAtMs'] !== undefined
        if (!isUnderWay && clock.nowMs() - startedAtMs < SCRUB_PERIOD_MS / 2 && startedAtMs <= clock.nowMs()) return
        const usage = await catalog.layout.nodeUsage()
        const totalBytes = usage.reduce((sum, { bytes }) => sum + bytes, 0)
        const result = await scrub(ports, { bytesPerSecond: scrubBytesPerSecond(totalBytes) }, signal)
        if (result) log.info('scrub.pass-ended', { ...result })
      })
      await clock.sleep(REPAIR_EVERY_MS, signal).catch(() => undefined)
    }
  }

  const repairing = async (): Promise<void> => {
    while (!signal.aborted) {
      await clock.sleep(REPAIR_EVERY_MS, signal).catch(() => undefined)
      if (signal.aborted) return
      await attempt('repair', async () => {
        const result = await repair(ports, { bytesPerSecond: REPAIR_BYTES_PER_SECOND }, signal)
        if (result && result.groups + result.waiting > 0) log.info('repair.round-ended', { ...result })
      })
    }
  }

  const running = Promise.all([looking(), scrubbing(), repairing()])
  return {
    async close() {
      stop.abort()
      await running
    },
  }
}
