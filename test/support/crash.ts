import type { Catalog } from '../../src/ports/catalog.ts'
import type { ObjectStore } from '../../src/ports/object-store.ts'

/**
 * A process that dies at a call: before it reaches a node or the catalog, or after it did its work and before the answer came. From then on
 * every call of that process fails; `revive` makes the next process.
 */
export class Crash {
  /** Calls so far. */
  count = 0
  #at = Infinity
  #isAfter = false
  #isDead = false

  /** The process dies at its call number `at` from now, counted from 1. */
  arm(at: number, isAfter = false): void {
    this.count = 0
    this.#at = at
    this.#isAfter = isAfter
    this.#isDead = false
  }

  get hasHappened(): boolean {
    return this.#isDead
  }

  revive(): void {
    this.arm(Infinity)
  }

  /** Puts itself before every function of a store. */
  store(store: ObjectStore): ObjectStore {
    return this.#wrapped(store)
  }

  /** Puts itself before every function of the parts of a catalog that upkeep writes to. */
  catalog(catalog: Catalog): Catalog {
    return { ...catalog, layout: this.#wrapped(catalog.layout), upkeep: this.#wrapped(catalog.upkeep) }
  }

  #wrapped<T extends object>(inner: T): T {
    return new Proxy(inner, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        return (...args: unknown[]): unknown => {
          // A listing is no promise; its pages are reads and change nothing.
          if (name === 'list') return Reflect.apply(value, target, args)
          return this.#call(() => Reflect.apply(value, target, args) as Promise<unknown>)
        }
      },
    })
  }

  async #call(run: () => Promise<unknown>): Promise<unknown> {
    this.#dieIfDead()
    const isLast = ++this.count === this.#at
    if (isLast && !this.#isAfter) this.#isDead = true
    this.#dieIfDead()
    const answer = await run()
    if (isLast) this.#isDead = true
    this.#dieIfDead()
    return isObject(answer) ? this.#wrappedWriter(answer) : answer
  }

  /** Writers die with the process too. */
  #wrappedWriter(answer: object): object {
    return 'commit' in answer && 'abort' in answer ? this.#wrapped(answer) : answer
  }

  #dieIfDead(): void {
    if (this.#isDead) throw new Error('the process died')
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
