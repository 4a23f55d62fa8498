import { isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { commitState, type CommitStatePorts } from '../pipeline/commit-state.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Spool } from '../ports/spool.ts'
import type { Clock, Log } from '../ports/system.ts'
import { collect, type CollectPorts } from '../upkeep/blind/collect.ts'

export interface UpkeepPorts extends CollectPorts, CommitStatePorts {
  readonly catalog: Catalog
  readonly spool: Spool
  readonly clock: Clock
  readonly log: Log
}

/** What goes on beside the recordings' own work, in the process that has the keys. */
export interface Upkeep {
  /** The organisation's state has changed: written within seconds. Without an organisation: all of them. */
  stateChanged(organisation?: Id): void
  close(): Promise<void>
}

const TICK_MS = 2_000
const STATE_EVERY_MS = 10 * 60_000
const COLLECT_EVERY_MS = 60_000
const SPOOL_EVERY_MS = 60 * 60_000

/** Writes organisation states on change and at least every ten minutes while the vault runs, collects, turns spool keys, forgets ended sessions. */
export function startUpkeep(ports: UpkeepPorts): Upkeep {
  const stop = new AbortController()
  const dirty = new Set<Id>()
  let allDirty = false
  const lastMs = { state: ports.clock.monotonicMs(), collect: -Infinity, spool: -Infinity }

  const attempt = async (what: string, task: () => Promise<unknown>): Promise<boolean> => {
    try {
      await task()
      return true
    } catch (error) {
      if (!stop.signal.aborted) {
        const cause = error instanceof Error ? error.message : String(error)
        ports.log.warn(`upkeep.${what}-failed`, { code: isMosaikError(error) ? error.code : 'E_INTERNAL', cause })
      }
      return false
    }
  }

  const due = (what: keyof typeof lastMs, everyMs: number): boolean => {
    const nowMs = ports.clock.monotonicMs()
    if (nowMs - lastMs[what] < everyMs) return false
    lastMs[what] = nowMs
    return true
  }

  const writeStates = async (): Promise<void> => {
    const everyone = allDirty || due('state', STATE_EVERY_MS)
    allDirty = false
    const organisations = everyone ? (await ports.catalog.installation.organisations()).map(({ id }) => id) : [...dirty]
    dirty.clear()
    for (const organisation of organisations) {
      if (stop.signal.aborted) return
      const isWritten = await attempt('state', () => commitState(ports, organisation, stop.signal))
      if (!isWritten) dirty.add(organisation)
    }
  }

  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await attempt('state', writeStates)
      if (due('collect', COLLECT_EVERY_MS)) await attempt('collect', () => collect(ports, stop.signal))
      if (due('spool', SPOOL_EVERY_MS)) await attempt('spool', () => ports.spool.rotateKeys())
      await attempt('sessions', () => ports.catalog.links.dropExpiredSessions(ports.clock.nowMs()))
      await ports.clock.sleep(TICK_MS, stop.signal).catch(() => undefined)
    }
  }

  const running = loop()
  return {
    stateChanged(organisation) {
      if (organisation === undefined) allDirty = true
      else dirty.add(organisation)
    },
    async close() {
      stop.abort()
      await running
    },
  }
}
