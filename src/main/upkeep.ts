import type { HpkePrimitives } from '../crypto/kem.ts'
import { isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { acceptsWrites } from '../domain/node.ts'
import { commitState, type CommitStatePorts } from '../pipeline/commit-state.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Spool } from '../ports/spool.ts'
import type { Clock, Log } from '../ports/system.ts'
import { collect, type CollectPorts } from '../upkeep/blind/collect.ts'
import { spreadCards, type CardPorts } from './organisations.ts'

export interface UpkeepPorts extends CollectPorts, CommitStatePorts, CardPorts {
  readonly catalog: Catalog
  readonly primitives: HpkePrimitives
  readonly spool: Spool
  readonly clock: Clock
  readonly log: Log
}

/** What goes on beside the recordings' own work. */
export interface Upkeep {
  /** The organisation's state has changed: written within seconds. Without an organisation: all of them. */
  stateChanged(organisation?: Id): void
  close(): Promise<void>
}

/** What of it this process does. */
export interface UpkeepDuties {
  /** Organisation states, cards, collector, ended sessions. One process does it; a second one at the same time does no harm. */
  readonly vault: boolean
  /** Keys of the spool: where its disk is. */
  readonly spool: boolean
  /** Looks into the catalog for what changes organisation states: other processes cannot say it here. */
  readonly watch: boolean
}

const TICK_MS = 2_000
const WATCH_EVERY_MS = 5_000
const STATE_EVERY_MS = 10 * 60_000
/** After a state that could not be written: every try spends a number, and signs shares that are thrown away. Doubled up to a state's own time. */
const STATE_RETRY_MS = 5_000
const COLLECT_EVERY_MS = 60_000
const CARDS_EVERY_MS = 60_000
const SPOOL_EVERY_MS = 60 * 60_000

/** Writes organisation states on change and at least every ten minutes while the vault runs, puts missing cards onto nodes, collects, turns spool keys, forgets ended sessions. */
export function startUpkeep(ports: UpkeepPorts, duties: UpkeepDuties): Upkeep {
  const stop = new AbortController()
  const dirty = new Set<Id>()
  /** Organisations whose state could not be written, and when it is tried again. */
  const retries = new Map<Id, { readonly delayMs: number; readonly atMs: number }>()
  let allDirty = false
  /** What the states say that changes, as it was last seen, by organisation. */
  const seen = new Map<Id, string>()
  const startedAtMs = ports.clock.monotonicMs()
  const lastMs = { state: startedAtMs, cards: startedAtMs, watch: -Infinity, collect: -Infinity, spool: -Infinity }

  const attempt = async (what: string, task: () => Promise<unknown>): Promise<boolean> => {
    try {
      await task()
      return true
    } catch (error) {
      if (!stop.signal.aborted) {
        const fields = isMosaikError(error) ? { code: error.code, ...error.fields } : { code: 'E_INTERNAL' }
        ports.log.warn(`upkeep.${what}-failed`, fields)
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
    if (allDirty || due('state', STATE_EVERY_MS)) {
      for (const { id } of await ports.catalog.installation.organisations()) dirty.add(id)
      allDirty = false
    }
    for (const organisation of [...dirty]) {
      if (stop.signal.aborted) return
      const retry = retries.get(organisation)
      if (retry && retry.atMs > ports.clock.monotonicMs()) continue
      // Before the write: what changes while it runs makes it dirty again.
      dirty.delete(organisation)
      if (await attempt('state', () => commitState(ports, organisation, stop.signal))) {
        retries.delete(organisation)
        continue
      }
      dirty.add(organisation)
      const delayMs = Math.min(STATE_EVERY_MS, retry ? 2 * retry.delayMs : STATE_RETRY_MS)
      retries.set(organisation, { delayMs, atMs: ports.clock.monotonicMs() + delayMs })
    }
  }

  const spreadMissingCards = async (): Promise<void> => {
    for (const node of await ports.pool.nodes()) {
      if (acceptsWrites(node) && ports.pool.isHealthy(node.id)) await spreadCards(ports, node.id)
    }
  }

  const lookForChanges = async (): Promise<void> => {
    const nodes = (await ports.catalog.installation.nodes()).map(
      ({ id, name, state, country, operator, parent, site }) => [id, name, state, country, operator, parent, site],
    )
    for (const { id } of await ports.catalog.installation.organisations()) {
      const now = JSON.stringify([nodes, await ports.catalog.links.revokedLinks(id)])
      if (seen.get(id) !== now) dirty.add(id)
      seen.set(id, now)
    }
  }

  /** After a rebuild nothing is deleted until somebody says so. */
  const collectUnlessFrozen = async (): Promise<void> => {
    if (!(await ports.catalog.upkeep.isFlagged('deletions-frozen'))) await collect(ports, stop.signal)
  }

  const keepVault = async (): Promise<void> => {
    if (duties.watch && due('watch', WATCH_EVERY_MS)) await attempt('watch', lookForChanges)
    await attempt('state', writeStates)
    if (due('cards', CARDS_EVERY_MS)) await attempt('cards', spreadMissingCards)
    if (due('collect', COLLECT_EVERY_MS)) await attempt('collect', collectUnlessFrozen)
    await attempt('sessions', () => ports.catalog.links.dropExpiredSessions(ports.clock.nowMs()))
  }

  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      if (duties.vault) await keepVault()
      if (duties.spool && due('spool', SPOOL_EVERY_MS)) await attempt('spool', () => ports.spool.rotateKeys())
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
