import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import {
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  type TransactionSettings,
} from 'kysely'

/** Statements that are kept prepared; the least recently used one goes first. */
const maxPreparedStatements = 256

/** SQLite blocks the whole process while it waits for another one's lock: it waits this long, then we let others run. */
const busyTimeoutMs = 40
const busyPauseMs = 20
/** Together about fifteen seconds; then the error goes out. */
const busyTries = 250

/** Pages of the file kept in memory, in KiB; the default of 2 MiB does not even hold the inner pages of a large catalog's indexes. */
const cacheKib = 64 * 1024

const SQLITE_BUSY = 5

/**
 * SQLite for Kysely over Node's own `node:sqlite`: one connection, one user at a time. A transaction takes the write lock
 * when it begins (`begin immediate`), so that what it has read stays true until it commits.
 *
 * @param path of the file; its folder exists. `:memory:` for none.
 */
export function sqliteDialect(path: string): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new NodeSqliteDriver(path),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  }
}

class NodeSqliteDriver implements Driver {
  readonly #path: string
  readonly #turns = new Turns()
  #connection: SqliteConnection | undefined

  constructor(path: string) {
    this.#path = path
  }

  async init(): Promise<void> {
    const database = new DatabaseSync(this.#path, {
      timeout: busyTimeoutMs,
      enableForeignKeyConstraints: true,
      enableDoubleQuotedStringLiterals: false,
    })
    try {
      // Changing to WAL needs the file alone for a moment: another process may be doing the same.
      await retryBusy(() => database.exec('pragma journal_mode = wal'))
      // FULL: a commit is on disk when it returns. secure_delete: names dropped from a row do not stay in free pages.
      await retryBusy(() =>
        database.exec(`pragma synchronous = full; pragma secure_delete = on; pragma cache_size = ${-cacheKib}`),
      )
    } catch (error) {
      database.close()
      throw error
    }
    this.#connection = new SqliteConnection(database)
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    await this.#turns.take()
    return this.#connection as SqliteConnection
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    await (connection as SqliteConnection).begin(settings.accessMode === 'read only' ? 'begin' : 'begin immediate')
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    ;(connection as SqliteConnection).end('commit')
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    ;(connection as SqliteConnection).end('rollback')
  }

  async releaseConnection(): Promise<void> {
    this.#turns.give()
  }

  async destroy(): Promise<void> {
    await this.#turns.take()
    this.#connection?.close()
    this.#connection = undefined
    this.#turns.give()
  }
}

interface Prepared {
  readonly statement: StatementSync
  /** True when it answers with rows: select, returning. */
  readonly answers: boolean
}

class SqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, Prepared>()

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#database.isTransaction) return this.#execute<R>(query)
    // One statement is one transaction: nothing has happened when it was refused, so it may be tried again.
    return await retryBusy(() => this.#execute<R>(query))
  }

  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('streaming would hold the only connection; read in pages')
  }

  async begin(statement: string): Promise<void> {
    await retryBusy(() => this.#database.exec(statement))
  }

  end(statement: 'commit' | 'rollback'): void {
    // SQLite has already rolled back by itself after a full disk or an I/O error.
    if (statement === 'rollback' && !this.#database.isTransaction) return
    this.#database.exec(statement)
  }

  close(): void {
    this.#statements.clear()
    this.#database.close()
  }

  #execute<R>(query: CompiledQuery): QueryResult<R> {
    const { statement, answers } = this.#prepare(query.sql)
    const parameters = query.parameters as readonly SQLInputValue[]
    if (answers) return { rows: statement.all(...parameters) as R[] }
    const { changes } = statement.run(...parameters)
    return { rows: [], numAffectedRows: BigInt(changes) }
  }

  #prepare(sql: string): Prepared {
    let prepared = this.#statements.get(sql)
    if (prepared) {
      this.#statements.delete(sql)
    } else {
      const statement = this.#database.prepare(sql)
      prepared = { statement, answers: statement.columns().length > 0 }
      if (this.#statements.size >= maxPreparedStatements) {
        for (const oldest of this.#statements.keys()) {
          this.#statements.delete(oldest)
          break
        }
      }
    }
    this.#statements.set(sql, prepared)
    return prepared
  }
}

/** First come, first served. */
class Turns {
  #taken = false
  readonly #waiting: (() => void)[] = []

  async take(): Promise<void> {
    if (!this.#taken) {
      this.#taken = true
      return
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  give(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#taken = false
  }
}

/** Runs `action` again while another process holds the file's lock. */
async function retryBusy<T>(action: () => T): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return action()
    } catch (error) {
      if (tries >= busyTries || !isBusy(error)) throw error
    }
    await wait(busyPauseMs)
  }
}

function isBusy(error: unknown): boolean {
  const code = (error as { errcode?: unknown }).errcode
  return typeof code === 'number' && (code & 0xff) === SQLITE_BUSY
}
