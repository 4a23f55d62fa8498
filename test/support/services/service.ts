import { beforeAll, beforeEach, it } from 'vitest'
import type { ServiceKind, ServiceOptions, Services } from './kinds.ts'
import { service } from './start-service.ts'
import { starters } from './starters.ts'

export type {
  S3Node,
  S3Service,
  RedisService,
  PostgresService,
  ServiceKind,
  ServiceOptions,
  Services,
} from './kinds.ts'
export { available, service } from './start-service.ts'

/** A service that a suite needs; `get` is for tests and hooks that run after the suite's `needs`. */
export interface Needed<T> {
  readonly available: boolean
  /** @throws when the service was not started */
  get(): T
  /**
   * Defines tests whose hooks use the service. Where it is missing, one test stands for them, and is skipped with the
   * reason (or fails, in CI).
   */
  define(tests: () => void): void
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
    define: (tests) => {
      if (missing === undefined) tests()
      else it(`with ${kind}`, () => {})
    },
  }
}
