import { neededFragments } from '../pipeline/store-asset.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Clock, Log } from '../ports/system.ts'
import { newestState, type NewestStatePorts } from '../retrieve/newest-state.ts'

/**
 * How the catalog stands to what lies on the nodes. `behind`: a node bears a newer state of an organisation than the catalog knows; it is a
 * backup, and acting on it could destroy recordings. `unknown`: so many nodes are silent that all shares of a newer state may lie there.
 */
export type Standing = 'level' | 'behind' | 'unknown'

export interface StandingPorts extends NewestStatePorts {
  readonly catalog: Pick<Catalog, 'installation'>
  readonly clock: Pick<Clock, 'sleep'>
  readonly log: Log
}

/** A node that has not told in this time counts as silent. */
const LOOK_MS = 30_000
/** Once enough have told to know it, the others have so long: a start does not wait for a node that hangs. */
const LATE_MS = 3_000
/** As long as it is unknown. */
export const LOOK_AGAIN_MS = 15_000
/** A catalog may be put back under a process that runs, and nodes that were away bring their news. */
export const LOOK_EVERY_MS = 10 * 60_000

/** Looks at all nodes once. */
export async function catalogStanding({ log, ...ports }: Omit<StandingPorts, 'clock'>): Promise<Standing> {
  let standing: Standing = 'level'
  for (const { id, stateGeneration, scheme } of await ports.catalog.installation.organisations()) {
    const isEnough = new AbortController()
    const limit = AbortSignal.any([AbortSignal.timeout(LOOK_MS), isEnough.signal])
    const { generation, silentNodes } = await newestState(ports, id, limit, (openNodes) => {
      if (openNodes < neededFragments(scheme)) setTimeout(() => isEnough.abort(), LATE_MS).unref()
    })
    if (generation > stateGeneration) {
      // Upkeep may have written one meanwhile; it takes the number from the catalog first.
      const now = await ports.catalog.installation.organisation(id)
      if (now && generation > now.stateGeneration) {
        const fields = { organisation: id, catalogState: now.stateGeneration, nodesState: generation }
        log.error('catalog.behind-nodes', fields)
        return 'behind'
      }
    }
    if (silentNodes >= neededFragments(scheme)) standing = 'unknown'
  }
  return standing
}

/**
 * Looks again and again, and tells each change, until the catalog is behind: only a restart after a merge goes on from there.
 *
 * @param first what the first look said.
 * @param turned its trouble is logged; a turn to `level` is told again then.
 */
export function watchStanding(
  ports: StandingPorts,
  first: Standing,
  turned: (standing: Standing) => Promise<void>,
): { close(): Promise<void> } {
  const stop = new AbortController()
  let known = first
  const loop = async (): Promise<void> => {
    while (known !== 'behind') {
      const waitMs = known === 'unknown' ? LOOK_AGAIN_MS : LOOK_EVERY_MS
      await ports.clock.sleep(waitMs, stop.signal).catch(() => undefined)
      if (stop.signal.aborted) return
      try {
        const now = await catalogStanding(ports)
        // Nodes that fall silent later take nothing back of what was seen.
        if (now === known || now === 'unknown') continue
        await turned(now)
        known = now
      } catch (error) {
        ports.log.warn('catalog.standing-failed', { cause: error instanceof Error ? error.name : typeof error })
      }
    }
  }
  const running = loop()
  return {
    async close() {
      stop.abort()
      await running
    },
  }
}
