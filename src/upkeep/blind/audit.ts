import { objectName } from '../../format/object-names.ts'
import type { Id } from '../../domain/ids.ts'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import { GroupCheck, type Scrubbed, type ScrubPorts } from './group-check.ts'
import { shareGroups } from './share-groups.ts'
import { Bandwidth, TaskLease } from './task-lease.ts'

/**
 * A sample: of each node one fragment in a thousand, at least one, and one manifest share; of each fragment one block, recombined with k
 * others. One that was stopped counts as none.
 *
 * @returns `undefined` when another process is at it, or when the last one ended less than `everyMs` ago.
 */
export async function audit(
  ports: ScrubPorts,
  options: { readonly bytesPerSecond: number; readonly everyMs: number },
  signal: AbortSignal,
): Promise<Scrubbed | undefined> {
  const { catalog, clock } = ports
  const lease = await TaskLease.claim({ upkeep: catalog.upkeep, clock }, 'audit')
  if (!lease) return undefined
  try {
    const lastMs = Number(lease.progress['atMs'] ?? 0)
    const nowMs = clock.nowMs()
    // A clock that went back must not put it off for as long.
    if (nowMs - lastMs < options.everyMs && lastMs <= nowMs) return undefined
    const reader = new GroupCheck(ports, new Bandwidth(clock, options.bytesPerSecond), () => lease.beat())
    for (const { node, objectsCount } of await catalog.layout.nodeUsage()) {
      for (let i = 0; i < Math.ceil(objectsCount / OBJECTS_A_SAMPLE); i++) {
        for (const kind of ['fragment', 'manifest-share'] as const) {
          signal.throwIfAborted()
          const row = await randomObject(ports, node, objectName(kind, ports.random.bytes(16)))
          if (row === undefined || row.recording === null) continue
          const one = await catalog.upkeep.surveyed(row.recording)
          const group = one && shareGroups(one).find(({ rows }) => rows.some(({ key }) => key === row.key))
          if (group) await reader.checkSample(group, row, signal)
          await lease.beat()
        }
      }
    }
    lease.progress = { atMs: clock.nowMs() }
    return reader.result
  } finally {
    await lease.end()
  }
}

const OBJECTS_A_SAMPLE = 1000

/** Names are random: what follows a random name is a random object. */
async function randomObject(ports: ScrubPorts, node: Id, from: string): Promise<ObjectRow | undefined> {
  const prefix = from.slice(0, 2)
  const next = await ports.catalog.upkeep.objectsOn(node, prefix, from, 20)
  const rows = next.length > 0 ? next : await ports.catalog.upkeep.objectsOn(node, prefix, undefined, 20)
  return rows.find(({ state }) => state === 'stored')
}
