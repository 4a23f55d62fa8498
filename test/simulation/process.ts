import { MosaikError } from '../../src/domain/errors.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import type { Log } from '../../src/ports/system.ts'
import type { Seeded } from './seeded.ts'
import { SimulatedClock, type SimulatedTime } from './time.ts'
import type { Weather } from './weather.ts'

export interface WorldView {
  readonly time: SimulatedTime
  readonly chance: Seeded
  readonly weather: () => Weather
  readonly trace: (line: string) => void
  readonly log: (process: string, level: string, event: string, fields: Readonly<Record<string, unknown>>) => void
}

/** Most time that the catalog takes for a call. */
const CATALOG_MS = 4

/**
 * One process of a simulated vault. It may die at every call of a port: then nothing that it awaits ever comes back, and all that it had in
 * memory is gone, while what it had begun outside may still happen.
 */
export class SimulatedProcess {
  readonly name: string
  readonly clock: SimulatedClock
  readonly log: Log
  readonly #world: WorldView
  readonly #died: () => void
  #isDead = false

  /** @param died told once, at the moment of death. */
  constructor(name: string, world: WorldView, died: () => void) {
    this.name = name
    this.#world = world
    this.#died = died
    this.clock = this.#mortalClock()
    const say =
      (level: string) =>
      (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
        world.log(name, level, event, fields)
    this.log = { info: say('info'), warn: say('warn'), error: say('error') }
  }

  get isDead(): boolean {
    return this.#isDead
  }

  kill(where: string): void {
    if (this.#isDead) return
    this.#isDead = true
    this.#world.trace(`${this.name} dies ${where}`)
    this.#died()
  }

  /** One call of a port. `what` is for the trace. */
  async call<T>(what: string, run: () => Promise<T>): Promise<T> {
    if (this.#isDead) return await never()
    this.#maybeDie(`before ${what}`)
    if (this.#isDead) return await never()
    try {
      return await run()
    } finally {
      if (!this.#isDead) this.#maybeDie(`after ${what}`)
      // A dead process sees neither the answer nor the error.
      if (this.#isDead) await never()
    }
  }

  /** The catalog as this process reaches it. */
  catalog(catalog: Catalog): Catalog {
    const parts = Object.entries(catalog).map(([part, calls]) =>
      typeof calls === 'object' ? [part, this.#catalogPart(part, calls as Calls)] : [part, calls],
    )
    return Object.fromEntries(parts)
  }

  /** Any port that is made of asynchronous calls alone. */
  port<T extends object>(name: string, port: T): T {
    return new Proxy(port, {
      get: (target, method) => {
        const call = Reflect.get(target, method, target) as unknown
        if (typeof call !== 'function') return call
        return (...given: unknown[]) =>
          this.call(`${name}.${String(method)}`, async () => (await call.apply(target, given)) as unknown)
      },
    })
  }

  #catalogPart(part: string, calls: Calls): Calls {
    const { chance, time, trace, weather } = this.#world
    const wrapped = Object.entries(calls).map(([method, run]) => [
      method,
      (...given: unknown[]) =>
        this.call(`catalog.${part}.${method}`, async () => {
          const failing = chance.chance(weather().catalog) ? chance.pick(['before', 'after']) : undefined
          if (chance.chance(0.3)) await time.sleep(chance.fraction() * CATALOG_MS)
          // It does not begin what nobody asks for any more.
          if (this.#isDead) return await never()
          const answer = failing === 'before' ? undefined : await run(...given)
          if (failing === undefined) return answer
          trace(`${this.name}: catalog.${part}.${method} fails ${failing} its commit`)
          throw new MosaikError('E_CATALOG_UNREACHABLE', "the catalog's database does not answer as it should")
        }),
    ])
    return Object.fromEntries(wrapped) as Calls
  }

  #maybeDie(where: string): void {
    const { chance, weather } = this.#world
    if (chance.chance(weather().death)) this.kill(where)
  }

  #mortalClock(): SimulatedClock {
    const isDead = (): boolean => this.#isDead
    class MortalClock extends SimulatedClock {
      override async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
        try {
          await super.sleep(delayMs, signal)
        } finally {
          if (isDead()) await never()
        }
      }
    }
    return new MortalClock(this.#world.time)
  }
}

type Calls = Record<string, (...given: unknown[]) => Promise<unknown>>

export function never(): Promise<never> {
  return new Promise(() => undefined)
}
