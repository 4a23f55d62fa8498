import { isMosaikError } from '../domain/errors.ts'
import { rebalanceIfWanted } from './upkeep-rebalance.ts'
import { REPAIR_BYTES_PER_SECOND, SURVEY_REQUEST } from './upkeep-requests.ts'
import { repair, type RepairPorts } from '../upkeep/blind/repair.ts'
import { audit } from '../upkeep/blind/audit.ts'
import type { ScrubPorts } from '../upkeep/blind/group-check.ts'
import { scrub, type ScrubProgress } from '../upkeep/blind/scrub.ts'
import { survey } from '../upkeep/blind/survey.ts'

export interface HealthPorts extends ScrubPorts, RepairPorts {
  /** Every byte is looked at within this time: a pass takes at most half of it, and one begins every half of it. */
  readonly scrubPeriodMs: number
}

const TICK_MS = 5_000
export const DAY_MS = 24 * 3_600_000
const SURVEY_EVERY_MS = 3_600_000
/** After a start, and after something changed. */
const SURVEY_FIRST_MS = 60_000
const REPAIR_EVERY_MS = 30_000
const AUDIT_EVERY_MS = DAY_MS
const AUDIT_LOOK_MS = 60_000
const SCRUB_LEAST_BYTES_PER_SECOND = 1024 * 1024
/** So that a pass ends in time in spite of nights and restarts. */
const SCRUB_MARGIN = 1.25

/** Scrub, audit, survey and repair in the background of a process that has the upkeep. */
export interface HealthUpkeep {
  close(): Promise<void>
}

/**
 * Bytes a second at which a full pass, begun half a period before its end is due, takes in what is left of it in the time that is left. One
 * that was stopped for long hurries, and one that is late already takes a twentieth of the period.
 */
export function scrubBytesPerSecond(
  totalBytes: number,
  periodMs: number,
  { startedAtMs, done }: ScrubProgress,
  nowMs: number,
): number {
  const leftMs = Math.max(periodMs / 20, Math.min(periodMs / 2, startedAtMs + periodMs / 2 - nowMs))
  return Math.max(SCRUB_LEAST_BYTES_PER_SECOND, (SCRUB_MARGIN * totalBytes * (1 - done) * 1000) / leftMs)
}

/**
 * Looks after what is stored: what a write left out within minutes, a sample every day, everything within the scrub's period, and repair of what was
 * found within half a minute. Times are in the catalog, so that restarts lose none.
 */
export function startHealthUpkeep(ports: HealthPorts): HealthUpkeep {
  const stop = new AbortController()
  const { signal } = stop
  const { catalog, clock, log, scrubPeriodMs } = ports

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

  const looking = async (): Promise<void> => {
    let surveyAtMs = clock.monotonicMs() + SURVEY_FIRST_MS
    let seen = ''
    while (!signal.aborted) {
      await attempt('nodes', async () => {
        // Draining, dismissal and a change of hands make work for repair, whichever process heard of it.
        const rows = await catalog.installation.nodes()
        const now = JSON.stringify([
          // Somebody may also have asked for a look.
          (await catalog.upkeep.task(SURVEY_REQUEST))?.progress['atMs'] ?? 0,
          ...rows.map(({ id, state, operator, parent, site }) => [id, state, operator, parent, site]),
        ])
        if (seen !== '' && seen !== now) surveyAtMs = clock.monotonicMs()
        seen = now
      })
      if (clock.monotonicMs() >= surveyAtMs) {
        surveyAtMs = clock.monotonicMs() + SURVEY_EVERY_MS
        await attempt('survey', () => survey(ports, signal))
      }
      await clock.sleep(TICK_MS, signal).catch(() => undefined)
    }
  }

  const auditing = async (): Promise<void> => {
    const options = { bytesPerSecond: SCRUB_LEAST_BYTES_PER_SECOND, everyMs: AUDIT_EVERY_MS }
    while (!signal.aborted) {
      await attempt('audit', async () => {
        const result = await audit(ports, options, signal)
        if (result) log.info('audit.ended', { ...result })
      })
      await clock.sleep(AUDIT_LOOK_MS, signal).catch(() => undefined)
    }
  }

  const scrubbing = async (): Promise<void> => {
    while (!signal.aborted) {
      await attempt('scrub', async () => {
        const progress = (await catalog.upkeep.task('scrub'))?.progress ?? {}
        const startedAtMs = Number(progress['passStartedAtMs'] ?? 0)
        const isUnderWay = progress['startedAtMs'] !== undefined
        if (!isUnderWay && clock.nowMs() - startedAtMs < scrubPeriodMs / 2 && startedAtMs <= clock.nowMs()) return
        const usage = await catalog.layout.nodeUsage()
        const totalBytes = usage.reduce((sum, { bytes }) => sum + bytes, 0)
        const bytesPerSecond = (progress: ScrubProgress): number =>
          scrubBytesPerSecond(totalBytes, scrubPeriodMs, progress, clock.nowMs())
        const result = await scrub(ports, { bytesPerSecond }, signal)
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
      await attempt('rebalance', () => rebalanceIfWanted(ports, signal))
    }
  }

  const running = Promise.all([looking(), auditing(), scrubbing(), repairing()])
  return {
    async close() {
      stop.abort()
      await running
    },
  }
}
