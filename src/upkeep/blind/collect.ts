import { isMosaikError } from '../../domain/errors.ts'
import type { LayoutCatalog } from '../../ports/catalog/layout.ts'
import type { NodePool } from '../../ports/node-pool.ts'
import type { Clock, Log } from '../../ports/system.ts'

export interface CollectPorts {
  readonly layout: LayoutCatalog
  readonly pool: NodePool
  readonly clock: Clock
  readonly log: Log
}

/** Readers pin a sharing: what was superseded stays at least this long (docs/FORMAT.md, docs/ARCHITECTURE.md "Ordering"). */
export const COLLECT_AFTER_MS = 15 * 60 * 1000
/** Intents that nobody works on any more fail after this long. */
const STALE_INTENT_MS = 60 * 60 * 1000
const BATCH = 200

export interface Collected {
  readonly deleted: number
  /** Left for the next round: the node did not answer. */
  readonly left: number
}

/**
 * Deletes objects whose own row says failed or superseded, and nothing else: an object that the catalog does not know is never touched.
 * A row ends as `deleted` only when the node confirmed.
 *
 * @param afterMs how long ago the row must have changed.
 */
export async function collect(
  ports: CollectPorts,
  signal: AbortSignal,
  afterMs = COLLECT_AFTER_MS,
): Promise<Collected> {
  const nowMs = ports.clock.nowMs()
  const stale = await ports.layout.failStaleIntents(nowMs - Math.max(afterMs, STALE_INTENT_MS))
  if (stale > 0) ports.log.warn('collect.stale-intents', { count: stale })
  let deleted = 0
  const deadNodes = new Set<string>()
  let left = 0
  while (true) {
    const rows = await ports.layout.collectable(nowMs - afterMs, BATCH + left)
    const fresh = rows.slice(left)
    if (fresh.length === 0) return { deleted, left }
    for (const row of fresh) {
      signal.throwIfAborted()
      if (deadNodes.has(row.node)) {
        left++
        continue
      }
      try {
        const store = await ports.pool.store(row.node)
        await store.delete(row.key, signal)
        await ports.layout.setObjectState(row.node, row.key, 'deleted')
        deleted++
      } catch (error) {
        signal.throwIfAborted()
        if (!isMosaikError(error)) throw error
        deadNodes.add(row.node)
        left++
        ports.log.warn('collect.node-failed', { node: row.node, code: error.code })
      }
    }
  }
}
