import type { SimulationKeys } from './keys.ts'
import { finish, judge, retryByHand } from './judge.ts'
import { rotate, startClients, storm, watch } from './storm.ts'
import { World } from './world.ts'

/** What came of one simulated world. */
export interface Simulated {
  readonly seed: number
  readonly violations: readonly string[]
  /** Hash of everything that happened. */
  readonly trace: string
  readonly recordings: number
  readonly deaths: number
  readonly events: number
  readonly reads: number
  readonly failedReads: number
  readonly wrongBytes: number
  /** Simulated time from the end of the storm until nothing was left to do. */
  readonly recoveryMs: number
  readonly simulatedMs: number
}

const STORM_ENDS_WITHIN_MS = 3_600_000

/** One world: a vault at work in a storm, then calm, then judgement. The same seed gives the same world, to the last call. */
export async function simulate(
  seed: number,
  keys: SimulationKeys,
  onTrace?: (line: string) => void,
): Promise<Simulated> {
  const world = new World(seed, keys, onTrace)
  let recoveryMs = 0
  try {
    await world.begin()
    const stormMs = world.chance.between(30_000, 90_000)
    let isOver = false
    startClients(world, world.chance.between(1, 4), stormMs / 2)
    const stormy = storm(world, () => isOver)
    void watch(world, () => isOver)
    await world.time.run(stormMs, () => false)
    isOver = true
    // What somebody is doing about a lost node is part of it.
    await world.drive('the storm', STORM_ENDS_WITHIN_MS, stormy)
    world.clearUp()
    world.trace('the storm is over')
    if (world.wantsRotation) await world.drive('the rotation', STORM_ENDS_WITHIN_MS, rotate(world))
    recoveryMs = await finish(world)
    if (await retryByHand(world)) await finish(world)
    world.stop()
    await judge(world)
  } catch (error) {
    world.violate('broke-off', error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  await world.catalog.close()
  const { deaths, events, reads, failedReads, wrongBytes } = world.figures
  return {
    ...{ seed, violations: world.violations, trace: world.traceDigest(), recordings: world.deposits.length },
    ...{ deaths, events, reads, failedReads, wrongBytes, recoveryMs, simulatedMs: world.time.nowMs },
  }
}
