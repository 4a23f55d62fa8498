import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kysely, PostgresDialect, sql, type Dialect } from 'kysely'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { Database, type DialectName } from '../../../src/adapters/sql-catalog/database.ts'
import { migrate, migrations } from '../../../src/adapters/sql-catalog/migrate.ts'
import { openPostgresCatalog, openSqliteCatalog } from '../../../src/adapters/sql-catalog/open.ts'
import type { Tables } from '../../../src/adapters/sql-catalog/schema.ts'
import { sqliteDialect } from '../../../src/adapters/sql-catalog/sqlite-dialect.ts'
import type { Catalog } from '../../../src/ports/catalog.ts'
import { available, service } from '../../support/services/start-service.ts'
import { aRecording, newId } from './fixtures.ts'
import { testClock } from './sqlite-catalog.ts'

/** Rows as they were before titles had tables of their own. */
async function fillOld(dialect: DialectName, kysely: Kysely<Tables>): Promise<string> {
  await migrate(
    new Database(dialect, kysely, testClock()),
    migrations.filter(({ version }) => version < 5),
  )
  const organisation = newId()
  await sql`insert into organisations (id, name, scheme, placement_rule, created_at_ms, state_generation)
    values (${organisation}, 'o', '{}', 'none', 1, 0)`.execute(kysely)
  for (const [at, title, words] of [
    [1, 'Weekly Meeting', ' weekly meeting'],
    [2, 'meeting, meeting', ' meeting meeting'],
    [3, '!', ''],
  ] as const) {
    await sql`insert into recordings (id, organisation, state, title, title_words, host_id, source_kind, created_at_ms,
        updated_at_ms, scheme, generation)
      values (${newId()}, ${organisation}, 'ready', ${title}, ${words}, 'h', 'file', ${at}, ${at}, '{}', 0)`.execute(
      kysely,
    )
  }
  await fillOldWork(kysely, organisation)
  return organisation
}

const oldInputs = {
  file: { kind: 'file', path: "/in/a's.mp4", sizeBytes: 5, deleteAfterReceipt: true, captionsPath: '/in/ä"\\.vtt' },
  bareFile: { kind: 'file', path: '/in/b.mp4', captionsPath: null, people: { hostName: 'Ada', participants: [] } },
  upload: { kind: 'upload', upload: 'u', captionsUpload: 'c', people: null },
  bareUpload: { kind: 'upload', upload: 'u', captionsUpload: null },
  vault: { kind: 'vault' },
}

/** Work as it was when a recording had one file of captions beside it. */
async function fillOldWork(kysely: Kysely<Tables>, organisation: string): Promise<void> {
  const { rows } = await sql<{ id: string }>`select id from recordings limit 1`.execute(kysely)
  for (const [stage, input] of Object.entries(oldInputs)) {
    await sql`insert into work (id, recording, organisation, stage, state, input, attempts_count, run_at_ms, fence, done_units)
      values (${newId()}, ${rows[0]?.id}, ${organisation}, ${stage}, 'pending', ${JSON.stringify(input)}, 0, 1, 0, 0)`.execute(
      kysely,
    )
  }
}

async function expectCaptions(catalog: Catalog, organisation: string): Promise<void> {
  const works = []
  for (const { id } of await catalog.recordings.list({ organisation, limit: 10 }))
    works.push(...(await catalog.work.ofRecording(id)))
  const { captionsPath, ...file } = oldInputs.file
  const { captionsPath: _none, ...bareFile } = oldInputs.bareFile
  const { captionsUpload, ...upload } = oldInputs.upload
  const { captionsUpload: _neither, ...bareUpload } = oldInputs.bareUpload
  expect(Object.fromEntries(works.map(({ stage, input }) => [stage, input]))).toEqual({
    file: { ...file, captions: [{ path: captionsPath, sizeBytes: -1, modifiedAtMs: 0 }] },
    bareFile: { ...bareFile, captions: [] },
    upload: { ...upload, captionsUploads: [captionsUpload] },
    bareUpload: { ...bareUpload, captionsUploads: [] },
    vault: { kind: 'vault' },
  })
}

async function expectFound(catalog: Catalog, organisation: string): Promise<void> {
  await catalog.migrate()
  await expectCaptions(catalog, organisation)
  await catalog.recordings.create(aRecording(organisation, { title: 'Another meeting', atMs: 4 }))
  const titles = async (search: string): Promise<string[]> =>
    (await catalog.recordings.list({ organisation, search, limit: 10 })).map(({ title }) => title)
  expect(await titles('meet')).toEqual(['Another meeting', 'meeting, meeting', 'Weekly Meeting'])
  expect(await titles('meeting we')).toEqual(['Weekly Meeting'])
  expect(await titles('')).toEqual(['Another meeting', '!', 'meeting, meeting', 'Weekly Meeting'])
}

describe('a catalog of an older release', () => {
  test('SQLite: after the migration titles are found, and new ones; captions are lists', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mosaik-catalog-'))
    try {
      const path = join(folder, 'catalog.sqlite')
      const old = new Kysely<Tables>({ dialect: sqliteDialect(path) })
      const organisation = await fillOld('sqlite', old)
      await old.destroy()
      const catalog = openSqliteCatalog(path, testClock())
      await expectFound(catalog, organisation)
      await catalog.close()
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test('PostgreSQL: the same', async (context) => {
    context.skip(!available('postgres'), 'PostgreSQL is not on this machine')
    const url = await (await service('postgres')).createDatabase()
    const dialect: Dialect = new PostgresDialect({ pool: new pg.Pool({ connectionString: url }) })
    const old = new Kysely<Tables>({ dialect })
    const organisation = await fillOld('postgres', old)
    await old.destroy()
    const catalog = openPostgresCatalog(url, testClock())
    await expectFound(catalog, organisation)
    await catalog.close()
  })
})
