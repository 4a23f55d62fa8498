import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, beforeEach } from 'vitest'
import type { ServiceKind, ServiceOptions, Services, Starter } from './kinds.ts'
import { reservePorts, runFolder, withLock } from './run-folder.ts'
import { starters, type Instance } from './starters.ts'

export type {
  S3Node,
  S3Service,
  RedisService,
  PostgresService,
  ServiceKind,
  ServiceOptions,
  Services,
} from './kinds.ts'

/** True when the programs of that server are on this machine. */
export function available(kind: ServiceKind): boolean {
  return starters[kind].missing() === undefined
}

/**
 * Starts a real server, or attaches to the one that a test of this run has started. It lives until the run ends.
 * @throws when its programs are missing or it does not start
 */
export async function service<K extends ServiceKind>(kind: K, options: ServiceOptions = {}): Promise<Services[K]> {
  const starter: Starter<K> = starters[kind]
  const missing = starter.missing()
  if (missing !== undefined) throw new Error(`${kind} cannot be started: ${missing}`)
  const run = runFolder()
  const name = `${kind}-${options.instance ?? 'shared'}`
  return withLock(run, name, async () => {
    const { firstPort } = await instanceOf(run, name, kind)
    return starter.start(join(run, name), firstPort, options)
  })
}

/** A service that a suite needs; `get` is for tests and hooks that run after the suite's `needs`. */
export interface Needed<T> {
  readonly available: boolean
  /** @throws when the service was not started */
  get(): T
}

/**
 * Says, inside a `describe` or at the top of a file, that its tests need a server: it is started before them. Where its
 * programs are missing the tests are skipped with the reason; with `CI` set they fail.
 */
export function needs<K extends ServiceKind>(kind: K, options: ServiceOptions = {}): Needed<Services[K]> {
  const missing = starters[kind].missing()
  let started: Services[K] | undefined
  beforeAll(async () => {
    if (missing === undefined) started = await service(kind, options)
    else if (process.env['CI'] !== undefined && process.env['CI'] !== '')
      throw new Error(`in CI ${kind} may not be skipped: ${missing}`)
  })
  beforeEach((context) => {
    if (missing !== undefined) context.skip(`${kind} is not here: ${missing}`)
  })
  return {
    available: missing === undefined,
    get: () => {
      if (started === undefined) throw new Error(`${kind} was not started`)
      return started
    },
  }
}

async function instanceOf(run: string, name: string, kind: ServiceKind): Promise<Instance> {
  const path = join(run, `${name}.json`)
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as Instance
  const instance: Instance = { kind, firstPort: await reservePorts() }
  writeFileSync(path, JSON.stringify(instance))
  return instance
}
