import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { openSqliteCatalog } from '../../../src/adapters/sql-catalog/open.ts'
import type { Catalog } from '../../../src/ports/catalog.ts'
import { day, type CatalogUnderTest } from './fixtures.ts'

/** A clock that stands still until it is set. */
export function testClock(): CatalogUnderTest['clock'] {
  let nowMs = day
  return {
    nowMs: () => nowMs,
    set: (ms) => {
      nowMs = ms
    },
  }
}

/** A new folder with an empty, migrated SQLite catalog in it. */
export async function sqliteForTest(): Promise<CatalogUnderTest & { readonly path: string; close(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-catalog-'))
  const path = join(folder, 'catalog.sqlite')
  const clock = testClock()
  const opened: Catalog[] = []
  const open = (): Catalog => {
    const catalog = openSqliteCatalog(path, clock)
    opened.push(catalog)
    return catalog
  }
  const catalog = open()
  await catalog.migrate()
  const query = async (sql: string): Promise<Record<string, unknown>[]> => {
    const database = new DatabaseSync(path, { timeout: 5000 })
    try {
      return database.prepare(sql.replaceAll('BYTES', 'blob')).all()
    } finally {
      database.close()
    }
  }
  return {
    path,
    catalog,
    clock,
    another: async () => open(),
    query,
    explain: async (sql) => (await query(`explain query plan ${sql}`)).map((row) => String(row['detail'])).join('\n'),
    close: async () => {
      for (const one of opened) await one.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
