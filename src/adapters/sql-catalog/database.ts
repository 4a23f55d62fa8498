import type { Kysely, Transaction } from 'kysely'
import type { Clock } from '../../ports/system.ts'
import { isTransient, toMosaikError } from './errors.ts'
import type { Tables } from './schema.ts'

export type DialectName = 'sqlite' | 'postgres'

/** Tries of a transaction that the database itself broke off (deadlock, serialisation). */
const maxTries = 5

/** What the parts of the catalog work with: the database, and errors in the house's words. */
export class Database {
  readonly dialect: DialectName
  readonly kysely: Kysely<Tables>
  readonly #clock: Pick<Clock, 'nowMs'>

  constructor(dialect: DialectName, kysely: Kysely<Tables>, clock: Pick<Clock, 'nowMs'>) {
    this.dialect = dialect
    this.kysely = kysely
    this.#clock = clock
  }

  /** For the columns whose time no caller hands in. */
  nowMs(): number {
    return this.#clock.nowMs()
  }

  /** One statement. @param what it does, as it ends the sentence "could not …". */
  async run<T>(what: string, statement: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    try {
      return await statement(this.kysely)
    } catch (error) {
      throw toMosaikError(error, what)
    }
  }

  /**
   * Several statements, all or none. `body` runs again when the database breaks it off because of another transaction,
   * so it does nothing but statements.
   */
  async transaction<T>(what: string, body: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.kysely.transaction().execute(body)
      } catch (error) {
        if (tries >= maxTries || !isTransient(error)) throw toMosaikError(error, what)
      }
    }
  }
}
