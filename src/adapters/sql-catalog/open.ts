import { closeSync, openSync } from 'node:fs'
import { Kysely, PostgresDialect, sql, type Dialect } from 'kysely'
import pg from 'pg'
import { MosaikError } from '../../domain/errors.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { Clock } from '../../ports/system.ts'
import { auditCatalog } from './audit.ts'
import { Database, type DialectName } from './database.ts'
import { installationCatalog } from './installation.ts'
import { parseInt8 } from './json.ts'
import { layoutCatalog } from './layout.ts'
import { linkCatalog } from './links.ts'
import { migrate } from './migrate.ts'
import { recordingCatalog } from './recordings.ts'
import type { Tables } from './schema.ts'
import { sqliteDialect } from './sqlite-dialect.ts'
import { tokenCatalog } from './tokens.ts'
import { upkeepCatalog } from './upkeep.ts'
import { uploadCatalog } from './uploads.ts'
import { workCatalog } from './work.ts'

/** PostgreSQL's number for int8. */
const INT8_OID = 20

/**
 * The catalog in one SQLite file, for an installation on one machine; several processes may use it. A new file is
 * readable by its owner alone.
 *
 * @param clock for the columns whose time no caller hands in.
 * @throws E_CONFIG when the file cannot be made. The schema is not touched: call `migrate`.
 */
export function openSqliteCatalog(path: string, clock: Pick<Clock, 'nowMs'>): Catalog {
  // Never opened when it exists: closing it again would drop the locks that SQLite holds on it in this process.
  try {
    closeSync(openSync(path, 'ax', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new MosaikError('E_CONFIG', `the catalog's file ${path} cannot be made; does its folder exist?`, {}, error)
    }
  }
  return catalog('sqlite', sqliteDialect(path), clock)
}

/** The catalog in this process's memory, gone with it: for tests. The schema is not touched: call `migrate`. */
export function openMemoryCatalog(clock: Pick<Clock, 'nowMs'>): Catalog {
  return catalog('sqlite', sqliteDialect(':memory:'), clock)
}

/** Limits of one process's connections to PostgreSQL. */
export interface PostgresLimits {
  readonly maxConnections: number
  /** Longest wait for a connection, in milliseconds. */
  readonly connectTimeoutMs: number
  /** Longest run of one statement, in milliseconds. */
  readonly statementTimeoutMs: number
}

const defaultLimits: PostgresLimits = { maxConnections: 10, connectTimeoutMs: 10_000, statementTimeoutMs: 60_000 }

/**
 * The catalog in PostgreSQL (14 or later), for an installation on several machines. Connects when it is first used, and
 * again after a lost connection; a call that was under way then fails with E_CATALOG_UNREACHABLE.
 *
 * @param url postgres://user:password@host:port/database
 * @param clock for the columns whose time no caller hands in.
 */
export function openPostgresCatalog(
  url: string,
  clock: Pick<Clock, 'nowMs'>,
  limits: Partial<PostgresLimits> = {},
): Catalog {
  const { maxConnections, connectTimeoutMs, statementTimeoutMs } = { ...defaultLimits, ...limits }
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    keepAlive: true,
    application_name: 'mosaik',
    types: {
      getTypeParser: ((oid: number, format?: 'text') =>
        oid === INT8_OID ? parseInt8 : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  })
  // A connection may break while it is idle, or between two statements of a transaction. Whoever uses it next meets the
  // error; without these listeners the process would end here.
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))
  return catalog('postgres', new PostgresDialect({ pool }), clock)
}

function catalog(name: DialectName, dialect: Dialect, clock: Pick<Clock, 'nowMs'>): Catalog {
  const kysely = new Kysely<Tables>({ dialect })
  const database = new Database(name, kysely, clock)
  return {
    installation: installationCatalog(database),
    recordings: recordingCatalog(database),
    work: workCatalog(database),
    layout: layoutCatalog(database),
    links: linkCatalog(database),
    tokens: tokenCatalog(database),
    uploads: uploadCatalog(database),
    audit: auditCatalog(database),
    upkeep: upkeepCatalog(database),
    async migrate() {
      await migrate(database)
    },
    async ping() {
      await database.run('reach the catalog', (db) => sql`select 1`.execute(db))
    },
    async close() {
      await kysely.destroy()
    },
  }
}
