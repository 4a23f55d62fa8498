import { rebalance } from '../upkeep/blind/rebalance.ts'
import type { RepairPorts } from '../upkeep/blind/repair.ts'
import { rebalanceWish } from './rebalance-control.ts'
import { askUpkeep, REBALANCE_REQUEST } from './upkeep-requests.ts'

/** So that repair has its turn in between. */
const SLICE_MS = 60_000

/** Evens out the nodes for a while, when an operator wants it. What was begun before is gone on with. */
export async function rebalanceIfWanted(ports: RepairPorts, signal: AbortSignal): Promise<void> {
  const { catalog, clock, log } = ports
  const wish = await rebalanceWish(catalog)
  if (!wish.isWanted) return
  const isSame = async (): Promise<boolean> => (await rebalanceWish(catalog)).atMs === wish.atMs
  const untilMs = clock.monotonicMs() + SLICE_MS
  const goesOn = async (): Promise<boolean> => clock.monotonicMs() < untilMs && (await isSame())
  const result = await rebalance(ports, { bytesPerSecond: wish.bytesPerSecond, goesOn }, signal)
  if (!result?.isDone || !(await isSame())) return
  log.info('rebalance.ended')
  const { bytesPerSecond } = wish
  await askUpkeep(catalog.upkeep, REBALANCE_REQUEST, clock.nowMs(), { isWanted: false, bytesPerSecond })
}
