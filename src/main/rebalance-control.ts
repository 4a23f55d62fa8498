import { MosaikError } from '../domain/errors.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { NodeLife } from '../ports/node-life.ts'
import type { Clock } from '../ports/system.ts'
import { planRebalance, REBALANCE_TASK, rebalanceProgress } from '../upkeep/blind/rebalance.ts'
import { askUpkeep, REBALANCE_REQUEST } from './upkeep-requests.ts'

/** Bytes a second that a rebalance may read and write when nothing else is said. */
export const REBALANCE_BYTES_PER_SECOND = 10 * 2 ** 20
const LEAST_BYTES_PER_SECOND = 64 * 1024

/** What an operator wants of a rebalance. */
export interface RebalanceWish {
  readonly isWanted: boolean
  readonly bytesPerSecond: number
}

export async function rebalanceWish({
  upkeep,
}: Pick<Catalog, 'upkeep'>): Promise<RebalanceWish & { readonly atMs: number }> {
  const { isWanted, bytesPerSecond, atMs } = (await upkeep.task(REBALANCE_REQUEST))?.progress ?? {}
  return {
    isWanted: isWanted === true,
    bytesPerSecond: typeof bytesPerSecond === 'number' ? bytesPerSecond : REBALANCE_BYTES_PER_SECOND,
    atMs: typeof atMs === 'number' ? atMs : 0,
  }
}

/** Begins, pauses and shows the rebalance, which upkeep does. */
export function rebalanceControl({
  catalog,
  clock,
}: {
  readonly catalog: Catalog
  readonly clock: Clock
}): Pick<NodeLife, 'previewRebalance' | 'rebalance' | 'pauseRebalance' | 'rebalanceView'> {
  return {
    async previewRebalance(signal) {
      const names = new Map((await catalog.installation.nodes()).map(({ id, name }) => [id, name]))
      const { transfers, ...rest } = await planRebalance({ catalog }, signal)
      return {
        ...rest,
        transfers: transfers.map((one) => ({
          ...one,
          from: names.get(one.from) ?? one.from,
          to: names.get(one.to) ?? one.to,
        })),
      }
    },

    async rebalance(bytesPerSecond) {
      if (bytesPerSecond !== undefined && !(bytesPerSecond >= LEAST_BYTES_PER_SECOND)) {
        throw new MosaikError('E_INPUT', `the bandwidth must be at least ${LEAST_BYTES_PER_SECOND} bytes a second`)
      }
      const before = await rebalanceWish(catalog)
      await askUpkeep(catalog.upkeep, REBALANCE_REQUEST, clock.nowMs(), {
        isWanted: true,
        bytesPerSecond: bytesPerSecond ?? before.bytesPerSecond,
      })
    },

    async pauseRebalance() {
      const { bytesPerSecond } = await rebalanceWish(catalog)
      await askUpkeep(catalog.upkeep, REBALANCE_REQUEST, clock.nowMs(), { isWanted: false, bytesPerSecond })
    },

    async rebalanceView() {
      const { isWanted, bytesPerSecond } = await rebalanceWish(catalog)
      const progress = rebalanceProgress((await catalog.upkeep.task(REBALANCE_TASK))?.progress)
      const isUnderWay = progress.startedAtMs !== null && progress.endedAtMs === null
      const state = isWanted ? ('running' as const) : isUnderWay ? ('paused' as const) : ('idle' as const)
      const left = Math.max(0, (progress.plannedBytes ?? 0) - progress.movedBytes)
      const k = Math.max(2, ...(await catalog.installation.organisations()).map(({ scheme }) => scheme.k))
      return {
        ...{ state, bytesPerSecond, ...progress },
        etaMs: state === 'running' && isUnderWay ? Math.ceil((left * (k + 1) * 1000) / bytesPerSecond) : null,
      }
    },
  }
}
