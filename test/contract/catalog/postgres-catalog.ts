import pg from 'pg'
import { openPostgresCatalog } from '../../../src/adapters/sql-catalog/open.ts'
import type { Catalog } from '../../../src/ports/catalog.ts'
import type { PostgresService } from '../../support/services/service.ts'
import type { CatalogUnderTest } from './fixtures.ts'
import { testClock } from './sqlite-catalog.ts'

const originals = new Map<string, Promise<string>>()

/** The url of a migrated database that nobody is connected to; copying it takes less time than migrating another. */
function original(server: PostgresService): Promise<string> {
  let url = originals.get(server.url)
  if (url === undefined) {
    url = server.createDatabase().then(async (created) => {
      const catalog = openPostgresCatalog(created, testClock())
      await catalog.migrate()
      await catalog.close()
      return created
    })
    originals.set(server.url, url)
  }
  return url
}

/** An empty, migrated database on the server. */
export async function postgresForTest(
  server: PostgresService,
): Promise<CatalogUnderTest & { readonly url: string; close(): Promise<void> }> {
  const url = await server.createDatabase(await original(server))
  const clock = testClock()
  const opened: Catalog[] = []
  const open = (): Catalog => {
    const catalog = openPostgresCatalog(url, clock)
    opened.push(catalog)
    return catalog
  }
  const catalog = open()
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const query = async (sql: string): Promise<Record<string, unknown>[]> =>
    (await client.query<Record<string, unknown>>(sql.replaceAll('BYTES', 'bytea'))).rows
  return {
    url,
    catalog,
    clock,
    another: async () => open(),
    query,
    explain: async (sql) => (await query(`explain ${sql}`)).map((row) => String(row['QUERY PLAN'])).join('\n'),
    close: async () => {
      await client.end()
      for (const one of opened) await one.close()
    },
  }
}
