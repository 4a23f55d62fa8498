import { sql, type RawBuilder, type SqlBool } from 'kysely'
import type { Id } from '../../domain/ids.ts'
import type { Database } from './database.ts'
import { titleWords } from './title-words.ts'

/** Conditions on `recordings` that hold for the titles sought. */
export interface TitleConditions {
  readonly organisation: RawBuilder<SqlBool>
  readonly conditions: readonly RawBuilder<SqlBool>[]
}

/**
 * Up to so many hits SQLite sorts what the word index finds. Above it, hits are so frequent that walking the newest
 * recordings meets a page of them soon. (PostgreSQL knows from its statistics which is which.)
 */
const maxSortedHits = 2000

/**
 * Titles that hold every word of `search` as a word or as the beginning of one. Blank finds all; a search of nothing but
 * punctuation finds none.
 */
export async function findTitles(
  database: Database,
  organisation: Id,
  search: string,
): Promise<TitleConditions | 'none'> {
  const ofOrganisation = sql<SqlBool>`organisation = ${organisation}`
  if (search.trim() === '') return { organisation: ofOrganisation, conditions: [] }
  const words = titleWords(search)
  if (words.length === 0) return 'none'

  if (database.dialect === 'postgres') {
    const terms = words.map((word) => `'${word}':*`).join(' & ')
    return { organisation: ofOrganisation, conditions: [sql<SqlBool>`title_terms @@ ${terms}::tsquery`] }
  }

  // Letters, marks and digits only: nothing in a word means anything to FTS5, or needs escaping.
  const match = `organisation : "${organisation}" AND title_words : (${words.map((word) => `"${word}" *`).join(' AND ')})`
  const found = await sql<{ hits: number }>`select count(*) as hits from
    (select 1 from recordings_title where recordings_title match ${match} limit ${sql.lit(maxSortedHits + 1)})`.execute(
    database.kysely,
  )
  if ((found.rows[0]?.hits ?? 0) <= maxSortedHits) {
    return {
      // The plus keeps SQLite from walking the organisation's whole list in search of few hits.
      organisation: sql<SqlBool>`+organisation = ${organisation}`,
      conditions: [sql<SqlBool>`seq in (select rowid from recordings_title where recordings_title match ${match})`],
    }
  }
  return {
    organisation: ofOrganisation,
    conditions: words.map((word) => sql<SqlBool>`instr(title_words, ${` ${word}`}) > 0`),
  }
}
