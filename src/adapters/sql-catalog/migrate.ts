import { sql, type Transaction } from 'kysely'
import { MosaikError } from '../../domain/errors.ts'
import type { Database, DialectName } from './database.ts'
import { first } from './migrations/0001-first.ts'
import { upkeep } from './migrations/0002-upkeep.ts'
import { linkPasscodes } from './migrations/0003-link-passcodes.ts'
import { epochs } from './migrations/0004-epochs.ts'
import { titleWordTables } from './migrations/0005-title-words.ts'
import { sharings } from './migrations/0006-sharings.ts'
import { stateMemory } from './migrations/0007-state-memory.ts'
import { severalCaptions } from './migrations/0008-several-captions.ts'
import { wrongPasscodes } from './migrations/0009-wrong-passcodes.ts'
import type { Migration } from './migrations/migration.ts'
import type { Tables } from './schema.ts'

export const migrations: readonly Migration[] = [
  first,
  upkeep,
  linkPasscodes,
  epochs,
  titleWordTables,
  sharings,
  stateMemory,
  severalCaptions,
  wrongPasscodes,
]

/** Version of the schema that this release reads and writes. */
export const schemaVersion = Math.max(...migrations.map((migration) => migration.version))

const words: Record<DialectName, Readonly<Record<string, string>>> = {
  sqlite: {
    id: 'text',
    int: 'integer',
    bytes: 'blob',
    serial: 'integer primary key autoincrement',
    table: ' strict',
  },
  postgres: {
    // Compared byte by byte, as SQLite does.
    id: 'text collate "C"',
    int: 'bigint',
    bytes: 'bytea',
    serial: 'bigint generated always as identity primary key',
    table: '',
  },
}

/** Any number of our own; the same in every release. */
const postgresLock = 0x6d6f7361

/**
 * Brings the schema up to this release, in one transaction under the database's own lock: of several processes one does
 * it, the others find it done.
 * @param steps all of them; fewer make the schema of an older release.
 * @throws E_CONFIG when the schema is newer than this release.
 */
export async function migrate(database: Database, steps: readonly Migration[] = migrations): Promise<void> {
  await database.transaction('bring the catalog up to date', async (trx) => {
    if (database.dialect === 'postgres') {
      await sql`set local statement_timeout = 0`.execute(trx)
      await sql`select pg_advisory_xact_lock(${sql.lit(postgresLock)})`.execute(trx)
    }
    await sql`create table if not exists schema_version (version integer not null primary key)`.execute(trx)
    const found = await sql<{ version: number | null }>`select max(version) as version from schema_version`.execute(trx)
    const present = found.rows[0]?.version ?? 0
    if (present > schemaVersion) {
      throw new MosaikError(
        'E_CONFIG',
        `the catalog has schema ${present} and this release knows ${schemaVersion}: run the newer release again, or restore the backup that was made before it`,
        { present, known: schemaVersion },
      )
    }
    for (const migration of steps) {
      if (migration.version > present) await apply(trx, database.dialect, migration)
    }
  })
}

async function apply(trx: Transaction<Tables>, dialect: DialectName, migration: Migration): Promise<void> {
  const fill = (text: string): string =>
    text.replace(/\{(\w+)\}/g, (_, name: string) => {
      const fragment = migration.fragments?.[name] ?? migration.fragmentsOf?.[dialect][name]
      if (fragment !== undefined) return fill(fragment)
      const word = words[dialect][name]
      if (word === undefined) throw new Error(`{${name}} in migration ${migration.version} means nothing`)
      return word
    })
  for (const statement of migration.statements) {
    const text = typeof statement === 'string' ? statement : statement[dialect]
    if (text !== undefined) await sql.raw(fill(text)).execute(trx)
  }
  await sql`insert into schema_version (version) values (${sql.lit(migration.version)})`.execute(trx)
}
