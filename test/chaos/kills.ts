import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Seeded } from '../simulation/seeded.ts'
import type { Cluster } from './cluster.ts'
import { steps, type StepWatch } from './steps.ts'

/** How long somebody waits for one of some steps before killing all the same: longer than the collector sleeps. */
const STEP_WAIT_MS = 70_000
const MOST_AWAY_MS = 4_000
const START_TRIES = 30
const START_EVERY_MS = 1_000

/** What was killed, for the report. */
export type Kill =
  | 'random-process'
  | 'at-step'
  | 'all-processes'
  | 'redis-with-file'
  | 'redis-empty'
  | 'postgres'
  | 'node'
  | 'storage-server'

const draws: readonly Kill[] = [
  ...Array<Kill>(5).fill('random-process'),
  ...Array<Kill>(8).fill('at-step'),
  ...Array<Kill>(2).fill('node'),
  ...Array<Kill>(2).fill('storage-server'),
  ...(['all-processes', 'redis-with-file', 'redis-empty', 'postgres'] as const),
]

/** What kills need to know of each other. */
export interface Killing {
  readonly cluster: Cluster
  readonly watch: StepWatch
  readonly chance: Seeded
  /** How often it was killed at each step. */
  readonly steps: Record<string, number>
  /** Gives the vault something to do; of a playable one renditions are made. */
  readonly offer: (isPlayable: boolean) => void
  /** What starts again later. */
  readonly background: Set<Promise<unknown>>
}

/** Kills something, and starts again what does not start itself. Resolves when it is dead, with what it was. */
export async function killSomething(killing: Killing): Promise<Kill> {
  const { cluster, watch, chance, steps: counts, background } = killing
  const kill = chance.pick(draws)
  const awayMs = chance.between(200, MOST_AWAY_MS)
  const later = (start: () => Promise<void>): void => {
    const running = sleep(awayMs).then(() => startAgain(start))
    background.add(running)
    void running.finally(() => background.delete(running))
  }
  switch (kill) {
    case 'random-process':
      cluster.killOne(chance.between(0, 99))
      break
    case 'at-step': {
      // All those at which it was killed least often: many at first, and at last the one that is left.
      const least = Math.min(...steps.map(({ name }) => counts[name] ?? 0))
      const rare = steps.filter(({ name }) => (counts[name] ?? 0) === least)
      const waiting = watch.next(new Set(rare.map(({ name }) => name)), STEP_WAIT_MS)
      killing.offer(rare.some(({ group }) => group === 'transcode'))
      if (rare.some(({ name }) => name.startsWith('state-'))) await cluster.hurry('state')
      if (rare.some(({ name }) => name === 'object-deleted')) await cluster.hurry('deletions')
      const done = await waiting
      const step = rare.find(({ name }) => name === done) ?? rare[0]!
      cluster.kill(step.group)
      const name = done ?? 'none of those waited for'
      counts[name] = (counts[name] ?? 0) + 1
      break
    }
    case 'all-processes':
      cluster.killAll()
      break
    case 'node':
    case 'storage-server': {
      const server = kill === 'node' ? chance.pick(cluster.nodes) : chance.pick(cluster.backends)
      await server.kill()
      later(() => server.start())
      break
    }
    case 'postgres':
      await cluster.postgres.kill()
      later(() => cluster.postgres.start())
      break
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
      break
    }
  }
  return kill
}

/** A server may need another one that is away as well: it is started until it runs, as a service manager would. @throws what it said last */
async function startAgain(start: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await start()
    } catch (error) {
      if (tries === START_TRIES) throw error
      await sleep(START_EVERY_MS)
    }
  }
}
