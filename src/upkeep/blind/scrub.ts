import type { TaskProgress } from '../../ports/catalog/upkeep.ts'
import { GroupCheck, type Scrubbed, type ScrubPorts } from './group-check.ts'
import { shareGroups } from './share-groups.ts'
import { Bandwidth, TaskLease } from './task-lease.ts'

const SURVEY_PAGE = 20

/**
 * One full pass: every block's tag, every manifest share's signature, samples of k + 1 shares recombined. Needs verify keys and public keys,
 * and cannot decrypt. What is wrong becomes a finding. Goes on where it, or another process, was stopped.
 *
 * @returns `undefined` when another process is at it.
 */
export async function scrub(
  ports: ScrubPorts,
  options: { readonly bytesPerSecond: number | ((progress: ScrubProgress) => number) },
  signal: AbortSignal,
): Promise<Scrubbed | undefined> {
  const lease = await TaskLease.claim({ upkeep: ports.catalog.upkeep, clock: ports.clock }, 'scrub')
  if (!lease) return undefined
  const progress = progressOf(lease.progress, ports.clock.nowMs())
  const { bytesPerSecond: rate } = options
  const bandwidth = new Bandwidth(ports.clock, typeof rate === 'number' ? rate : rate(progress))
  const reader = new GroupCheck(ports, bandwidth, () => lease.beat())
  const { startedAtMs } = progress
  const { after: startAfter = null } = lease.progress
  let after = typeof startAfter === 'string' ? startAfter : undefined
  let group = typeof lease.progress['group'] === 'string' ? lease.progress['group'] : ''
  lease.progress = { ...lease.progress, startedAtMs }
  const noted = Number(lease.progress['shares'] ?? 0)
  try {
    if (after === undefined && group === '') await reader.checkCards(signal)
    let page = await ports.catalog.upkeep.survey(after, SURVEY_PAGE)
    while (page.length > 0) {
      for (const one of page) {
        for (const next of shareGroups(one)) {
          if (next.name <= group) continue
          signal.throwIfAborted()
          await reader.checkWhole(next, signal)
          lease.progress = { ...lease.progress, group: next.name, shares: noted + reader.result.shares }
          await lease.beat()
        }
        after = one.recording.id
        group = ''
        lease.progress = { ...lease.progress, after, group: null }
        await lease.beat()
      }
      page = await ports.catalog.upkeep.survey(after, SURVEY_PAGE)
    }
    const { shares = 0 } = lease.progress
    lease.progress = { passStartedAtMs: startedAtMs, passEndedAtMs: ports.clock.nowMs(), passShares: shares }
  } finally {
    await lease.end()
  }
  return reader.result
}

/** How far a pass is. */
export interface ScrubProgress {
  readonly startedAtMs: number
  /** 0 … 1: recordings are looked at in order of their ids, which are random. */
  readonly done: number
}

/** Of a pass that is under way, else of one that begins. */
export function progressOf({ after, startedAtMs }: TaskProgress, nowMs: number): ScrubProgress {
  return {
    startedAtMs: typeof startedAtMs === 'number' ? startedAtMs : nowMs,
    done: typeof after === 'string' ? Number.parseInt(after.slice(0, 8), 16) / 2 ** 32 : 0,
  }
}
