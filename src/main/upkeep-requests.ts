import { isMosaikError } from '../domain/errors.ts'
import type { TaskProgress, UpkeepCatalog } from '../ports/catalog/upkeep.ts'

/** Name of the row by which a process asks the one that has the upkeep to look at everything now. */
export const SURVEY_REQUEST = 'survey.request'
/** And to even out the nodes. */
export const REBALANCE_REQUEST = 'rebalance.request'

/** Reading k sources and writing; half a gigabit a second would be felt by viewers. */
export const REPAIR_BYTES_PER_SECOND = 20 * 1024 * 1024

const TRIES = 5

/** Notes a wish for the process that has the upkeep; a later one takes the place of an earlier one. */
export async function askUpkeep(upkeep: UpkeepCatalog, name: string, atMs: number, wish: TaskProgress): Promise<void> {
  for (let tries = 1; ; tries++) {
    const task = await upkeep.claimTask(name, atMs, 0)
    try {
      if (task) return await upkeep.noteTask(task, atMs, 0, { ...wish, atMs })
    } catch (error) {
      // Somebody else asked at the same time.
      if (!isMosaikError(error, 'E_LEASE_LOST') || tries === TRIES) throw error
    }
  }
}
