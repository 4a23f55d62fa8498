import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import { withDeadline } from '../../ports/deadline.ts'
import type { LayoutCatalog, ObjectRow } from '../../ports/catalog/layout.ts'
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
/** With a clock that differs more from the catalog's nothing is old for certain: nothing is given up, nothing deleted. */
const MAX_SKEW_MS = 5 * 60 * 1000
const BATCH = 200
const DELETE_TIMEOUT_MS = 60_000
/** So many refusals in a row, and the node is left alone until the next round; a single object may well be locked. */
const MAX_REFUSALS = 10
/** Rows that a round keeps looking past; what is behind them waits. */
const MAX_LEFT = 10_000

export interface Collected {
  readonly deleted: number
  /** Left for the next round: the node did not answer, or refused. */
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
  const skewMs = nowMs - (await ports.layout.nowMs())
  if (Math.abs(skewMs) > MAX_SKEW_MS) {
    ports.log.error('collect.clock-differs', { skewMs })
    return { deleted: 0, left: 0 }
  }
  const stale = await ports.layout.failStaleIntents(nowMs - Math.max(afterMs, STALE_INTENT_MS))
  if (stale > 0) ports.log.warn('collect.stale-intents', { count: stale })
  let deleted = 0
  const refusals = new Map<Id, number>()
  let left = 0
  while (true) {
    const rows = await ports.layout.collectable(nowMs - afterMs, BATCH + left)
    const fresh = rows.slice(left)
    if (fresh.length === 0 || left >= MAX_LEFT) {
      const there = await collectDismissed(ports, nowMs - afterMs, signal)
      return { deleted: deleted + there.deleted, left: left + there.left }
    }
    for (const row of fresh) {
      signal.throwIfAborted()
      const refused = refusals.get(row.node) ?? 0
      if (refused >= MAX_REFUSALS) {
        left++
        continue
      }
      try {
        await deleteObject(ports, row, signal)
        deleted++
        refusals.delete(row.node)
      } catch (error) {
        signal.throwIfAborted()
        if (!isMosaikError(error)) throw error
        left++
        const isSilent = !isMosaikError(error, 'E_NODE_REFUSED')
        refusals.set(row.node, isSilent ? MAX_REFUSALS : refused + 1)
        ports.log.warn('collect.node-failed', { node: row.node, object: row.key, code: error.code })
      }
    }
  }
}

/** On dismissed nodes deletion is tried, and nothing relies on it: one that does not answer is left until the next round. */
async function collectDismissed(ports: CollectPorts, beforeMs: number, signal: AbortSignal): Promise<Collected> {
  let deleted = 0
  let left = 0
  for (const { id, state } of await ports.pool.nodes()) {
    if (state !== 'dismissed') continue
    const rows = await ports.layout.collectable(beforeMs, MAX_LEFT, id)
    let count = 0
    try {
      for (const row of rows) {
        signal.throwIfAborted()
        await deleteObject(ports, row, signal)
        count++
      }
    } catch (error) {
      signal.throwIfAborted()
      if (!isMosaikError(error)) throw error
      ports.log.warn('collect.dismissed-node-failed', { node: id, code: error.code, left: rows.length - count })
    }
    deleted += count
    left += rows.length - count
  }
  return { deleted, left }
}

async function deleteObject(ports: CollectPorts, { node, key }: ObjectRow, signal: AbortSignal): Promise<void> {
  const late = (): MosaikError => new MosaikError('E_NODE_UNREACHABLE', 'the node did not answer in time', { node })
  await withDeadline({ clock: ports.clock, limitMs: DELETE_TIMEOUT_MS, signal, late }, async (limited) => {
    const store = await ports.pool.storeToDelete(node)
    await store.delete(key, limited)
  })
  await ports.layout.setObjectState(node, key, 'deleted')
}
