import { describe, expect, test } from 'vitest'
import { newId, organisationIn, type CatalogUnderTest } from './fixtures.ts'

/** The statements that run all day, and the index that each must read. */
export function planSuite(underTest: () => CatalogUnderTest): void {
  const statements: readonly (readonly [what: string, sql: string, index: string | RegExp])[] = [
    ['due', `select * from work where due_at_ms <= 5 order by due_at_ms, id limit 10`, 'work_due'],
    ['unfinished', `select stage, state, due_at_ms from work where due_at_ms is not null`, 'work_due'],
    [
      'words of a beginning',
      `select id from title_words where organisation = 'ORG' and word >= 'w7' and word < 'w8' order by word limit 33`,
      'title_words_of_organisation',
    ],
    [
      'newest of a word',
      `select recordings.* from title_hits join recordings on recordings.id = title_hits.recording
        where title_hits.word = 1 and (title_hits.created_at_ms, title_hits.recording) < (2900, 'a')
        order by title_hits.created_at_ms desc, title_hits.recording desc limit 50`,
      /title_hits_pkey|title_hits USING PRIMARY KEY/,
    ],
    [
      'list, newest first',
      `select * from recordings where organisation = 'ORG' order by created_at_ms desc, id desc limit 50`,
      'recordings_newest',
    ],
    [
      'list, next page',
      `select * from recordings where organisation = 'ORG' and (created_at_ms, id) < (500, 'a')
        order by created_at_ms desc, id desc limit 50`,
      'recordings_newest',
    ],
    [
      'list of a state',
      `select * from recordings where organisation = 'ORG' and state = 'failed' order by created_at_ms desc, id desc limit 50`,
      'recordings_newest_of_state',
    ],
    [
      'list of a host',
      `select * from recordings where organisation = 'ORG' and host_id = 'h7' order by created_at_ms desc, id desc limit 50`,
      'recordings_newest_of_host',
    ],
    [
      'collectable',
      `select * from objects where state in ('failed', 'superseded') and changed_at_ms < 5 order by changed_at_ms limit 10`,
      'objects_collectable',
    ],
    ['fragments', `select * from objects where attempt = 'a' and state = 'stored'`, 'objects_of_attempt'],
    ['manifest shares', `select * from objects where recording = 'r' and generation = 2`, 'objects_of_recording'],
    ['exposures', `select * from objects where sharing = 's'`, 'objects_of_sharing'],
    ['links', `select * from links where recording = 'r' order by created_at_ms`, 'links_of_recording'],
    ['stale intents', `select * from objects where state = 'intent' and created_at_ms < 5`, 'objects_begun'],
  ]

  describe('plans', () => {
    test('each read of every day goes through its index', async () => {
      const { catalog, query, explain } = underTest()
      const organisation = await organisationIn(catalog)
      await fill(query, organisation)
      for (const [what, sql, index] of statements) {
        const plan = await explain(sql.replaceAll('ORG', organisation))
        expect(plan, what).toMatch(index)
        expect(plan, what).not.toMatch(
          /SCAN (recordings|work|objects|links|title_words|title_hits)\b(?! USING)|Seq Scan/,
        )
        expect(plan, what).not.toMatch(/TEMP B-TREE|Sort Key: created_at_ms/)
      }
    })
  })
}

/** So many rows that a database that counts them prefers an index. Plain SQL that both databases understand. */
async function fill(query: CatalogUnderTest['query'], organisation: string): Promise<void> {
  const numbers = `with recursive n (i) as (select 1 union all select i + 1 from n where i < 3000)`
  const id = (table: string): string => `substr('${newId()}', 1, 20) || cast(100000000000 + i as text)${table}`
  await query(`insert into recordings (id, organisation, state, title, title_words, host_id, source_kind, created_at_ms,
      updated_at_ms, scheme, generation)
    ${numbers} select ${id('')}, '${organisation}', case when i % 100 = 0 then 'failed' else 'ready' end, 'title', ' title',
      'h' || cast(i % 50 as text), 'file', i, i, '{}', 0 from n`)
  await query(
    `insert into title_words (organisation, word) ${numbers} select '${organisation}', 'w' || cast(i as text) from n`,
  )
  // A word in every other title.
  await query(
    `insert into title_hits (word, created_at_ms, recording) select created_at_ms % 2, created_at_ms, id from recordings`,
  )
  await query(`insert into work (id, recording, organisation, stage, state, input, attempts_count, run_at_ms, fence,
      done_units, due_at_ms)
    select 'w' || substr(id, 2), id, organisation, 'store', 'done', '{}', 1, 1, 1, 0,
      case when created_at_ms % 100 = 0 then created_at_ms end from recordings`)
  await query(`insert into nodes (id, name, driver, state, country, operator, parent, site, owner_epoch, settings,
      capabilities, added_at_ms) values ('n', 'n', 's3', 'active', 'DE', 'o', 'p', 's', 1, '{}', '{}', 0)`)
  await query(`insert into attempts (id, organisation, recording, asset, kind, state, wrapped_verify_key, scheme)
    select id, organisation, id, id, 'original', 'stored', cast('' as BYTES), '{}' from recordings`)
  await query(`insert into objects (node, key, organisation, recording, kind, attempt, extent, generation, sharing,
      share_index, state, created_at_ms, changed_at_ms, first_epoch)
    select 'n', 'f/' || id, organisation, id, 'fragment', id, 0, null, id, 0,
      case created_at_ms % 100 when 0 then 'failed' when 1 then 'intent' else 'stored' end, created_at_ms, created_at_ms, 1
      from recordings`)
  await query(`insert into objects (node, key, organisation, recording, kind, generation, sharing, share_index, state,
      created_at_ms, changed_at_ms, first_epoch)
    select 'n', 'm/' || id, organisation, id, 'manifest', created_at_ms % 3, 's' || id, 0, 'stored', 1, 1, 1 from recordings`)
  await query(`insert into links (id, organisation, recording, created_at_ms, expires_at_ms, views_count, allow_download)
    select id, organisation, id, 1, 1, 0, 0 from recordings`)
  await query('analyze')
}
