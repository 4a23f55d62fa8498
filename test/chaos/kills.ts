import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Seeded } from '../simulation/seeded.ts'
import type { Cluster } from './cluster.ts'
import { steps, type StepWatch } from './steps.ts'

/** How long somebody waits for a step before killing all the same. */
const STEP_WAIT_MS = 6_000

/** What was killed, for the report. */
export type Kill =
  'random-process' | 'at-step' | 'all-processes' | 'redis-with-file' | 'redis-empty' | 'postgres' | 'node'

const draws: readonly Kill[] = [
  ...Array<Kill>(5).fill('random-process'),
  ...Array<Kill>(8).fill('at-step'),
  ...Array<Kill>(2).fill('node'),
  ...(['all-processes', 'redis-with-file', 'redis-empty', 'postgres'] as const),
]

/**
 * Kills something, and starts again what does not start itself. Resolves when that has been done, with what it was.
 * @param restarted called whenever something runs again
 */
export async function killSomething(
  cluster: Cluster,
  watch: StepWatch,
  chance: Seeded,
  background: Set<Promise<unknown>>,
): Promise<{ readonly kill: Kill; readonly at: string }> {
  const kill = chance.pick(draws)
  const awayMs = chance.between(200, 4000)
  const later = (task: () => Promise<void>): void => {
    const running = sleep(awayMs).then(task)
    background.add(running)
    void running.finally(() => background.delete(running))
  }
  switch (kill) {
    case 'random-process':
      return { kill, at: cluster.killOne(chance.between(0, 99)) }
    case 'at-step': {
      const step = chance.pick(steps)
      const isDone = await watch.next(step.name, STEP_WAIT_MS)
      cluster.kill(step.group)
      return { kill, at: isDone ? step.name : `not ${step.name}` }
    }
    case 'all-processes':
      cluster.killAll()
      return { kill, at: 'all' }
    case 'node': {
      const number = chance.between(0, cluster.nodes.length - 1)
      const node = cluster.nodes[number]!
      await node.kill()
      later(() => node.start())
      return { kill, at: `store-${number}` }
    }
    case 'postgres':
      await cluster.postgres.kill()
      later(() => cluster.postgres.start())
      return { kill, at: 'postgres' }
    case 'redis-with-file':
    case 'redis-empty': {
      const folder = await cluster.withRedis(async (client) => {
        // Its file is a little older than what it knows when it dies.
        if (kill === 'redis-with-file') await client.save()
        return String((await client.config('GET', 'dir'))[1])
      })
      await sleep(chance.between(0, 1000))
      await cluster.redis.kill()
      if (kill === 'redis-empty' && folder) rmSync(join(folder, 'dump.rdb'), { force: true })
      later(() => cluster.redis.start())
      return { kill, at: 'redis' }
    }
  }
}
