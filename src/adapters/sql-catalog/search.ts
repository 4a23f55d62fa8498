import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely'
import type { Id } from '../../domain/ids.ts'
import type { RecordingQuery } from '../../ports/catalog/recordings.ts'
import type { DialectName } from './database.ts'
import type { Row, Tables } from './schema.ts'
import { titleWords } from './title-words.ts'

/** A beginning that fits no more words than this is read word by word, each in the order of the list. */
const maxMergedWords = 32
/** One that fits more, and fewer titles than this, is collected and sorted. */
const maxSortedHits = 5000
/** How far hits are counted, to begin with the rarest word. */
const maxCountedHits = 20_000
/** Words of one insert. */
const maxInsertedWords = 500

/** Above every character of a word. */
const last = '\u{10ffff}'

type Recording = Row<'recordings'>

/** A word of the search, and what it may be the beginning of. */
interface Beginning {
  readonly text: string
  /** Ids of the words, at most one more than `maxMergedWords`. */
  readonly words: readonly number[]
  /** Up to `maxCountedHits`. */
  readonly hitsCount: number
}

/** Enters a new recording's title. Call once a recording, in the transaction that adds it. */
export async function indexTitle(
  trx: Kysely<Tables>,
  recording: Pick<Recording, 'id' | 'organisation' | 'title' | 'created_at_ms'>,
): Promise<void> {
  const { organisation } = recording
  // Sorted: two transactions that add the same words wait for each other in one order only.
  const words = [...new Set(titleWords(recording.title))].toSorted()
  for (let i = 0; i < words.length; i += maxInsertedWords) {
    const some = words.slice(i, i + maxInsertedWords)
    await trx
      .insertInto('title_words')
      .values(some.map((word) => ({ organisation, word })))
      .onConflict((conflict) => conflict.columns(['organisation', 'word']).doNothing())
      .execute()
    await trx
      .insertInto('title_hits')
      .columns(['word', 'created_at_ms', 'recording'])
      .expression((eb) =>
        eb
          .selectFrom('title_words')
          .select((own) => ['id', own.val(recording.created_at_ms).as('at'), own.val(recording.id).as('recording')])
          .where('organisation', '=', organisation)
          .where('word', 'in', some),
      )
      .execute()
  }
}

/**
 * Recordings whose titles hold every word of `query.search` as a word or as the beginning of one, newest first. A search of
 * nothing but punctuation finds none.
 */
export async function searchTitles(
  db: Kysely<Tables>,
  dialect: DialectName,
  query: RecordingQuery & { readonly search: string },
  limit: number,
): Promise<Recording[]> {
  const texts = [...new Set(titleWords(query.search))]
  const beginnings: Beginning[] = []
  const longest = texts.filter((text) => !texts.some((other) => other !== text && other.startsWith(text)))
  for (const text of longest) {
    const beginning = await look(db, query.organisation, text, longest.length === 1)
    if (beginning.words.length === 0) return []
    beginnings.push(beginning)
  }
  const [rarest] = beginnings.toSorted((a, b) => a.hitsCount - b.hitsCount || a.words.length - b.words.length)
  if (rarest === undefined || limit === 0) return []
  const others = beginnings.filter((beginning) => beginning !== rarest)
  const withHits = (): RawBuilder<SqlBool> => conditionsOf(query, dialect, others, inHits)
  const statement =
    rarest.words.length <= maxMergedWords
      ? merged(rarest.words, withHits(), limit)
      : rarest.hitsCount <= maxSortedHits
        ? sorted(fits(query.organisation, rarest.text), withHits(), limit)
        : walked(query.organisation, conditionsOf(query, dialect, beginnings, inRecordings), limit)
  return (await statement.execute(db)).rows
}

/** @param isAlone there is nothing to compare its hits with: they are counted as far as the way of reading depends on them. */
async function look(db: Kysely<Tables>, organisation: Id, text: string, isAlone: boolean): Promise<Beginning> {
  const found = await db
    .selectFrom('title_words')
    .select('id')
    .where(fits(organisation, text))
    .orderBy('word')
    .limit(maxMergedWords + 1)
    .execute()
  const words = found.map(({ id }) => id)
  const isMerged = words.length <= maxMergedWords
  if (words.length === 0 || (isAlone && isMerged)) return { text, words, hitsCount: 0 }
  const hits = isMerged
    ? sql`select 1 from title_hits where word in (${sql.join(words)})`
    : sql`select 1 from title_words join title_hits on title_hits.word = title_words.id where ${fits(organisation, text)}`
  const { rows } = await sql<{
    hits: number
  }>`select count(*) as hits from (${hits} limit ${sql.lit(isAlone ? maxSortedHits + 1 : maxCountedHits)}) as counted`.execute(
    db,
  )
  return { text, words, hitsCount: Number(rows[0]?.hits ?? 0) }
}

function fits(organisation: Id, text: string): RawBuilder<SqlBool> {
  return sql<SqlBool>`(organisation = ${organisation} and title_words.word >= ${text} and title_words.word < ${text + last})`
}

/** What else must hold of a row of `recordings`. @param place where the time and id of the row are read. */
function conditionsOf(
  { hostId, state, after }: RecordingQuery,
  dialect: DialectName,
  beginnings: readonly Beginning[],
  place: RawBuilder<unknown>,
): RawBuilder<SqlBool> {
  const position = sql.raw(dialect === 'postgres' ? 'strpos' : 'instr')
  const all = beginnings.map(({ text }) => sql<SqlBool>`${position}(recordings.title_words, ${` ${text}`}) > 0`)
  if (hostId !== undefined) all.push(sql<SqlBool>`recordings.host_id = ${hostId}`)
  if (state !== undefined) all.push(sql<SqlBool>`recordings.state = ${state}`)
  if (after) all.push(sql<SqlBool>`(${place}) < (${after.createdAtMs}, ${after.id})`)
  return all.length === 0 ? sql<SqlBool>`1 = 1` : sql<SqlBool>`${sql.join(all, sql` and `)}`
}

const inHits = sql`title_hits.created_at_ms, title_hits.recording`
const inRecordings = sql`recordings.created_at_ms, recordings.id`

/** The newest of each word's newest: no page holds others. */
function merged(words: readonly number[], conditions: RawBuilder<SqlBool>, limit: number): RawBuilder<Recording> {
  const newestOfEach = words.map(
    (
      word,
    ) => sql`select * from (select recordings.* from title_hits join recordings on recordings.id = title_hits.recording
      where title_hits.word = ${sql.lit(word)} and ${conditions}
      order by title_hits.created_at_ms desc, title_hits.recording desc limit ${sql.lit(limit)}) as newest`,
  )
  return sql`select * from (${sql.join(newestOfEach, sql` union `)}) as found
    order by created_at_ms desc, id desc limit ${sql.lit(limit)}`
}

/** All that the beginning finds, sorted. */
function sorted(fitting: RawBuilder<SqlBool>, conditions: RawBuilder<SqlBool>, limit: number): RawBuilder<Recording> {
  return sql`select recordings.* from (select distinct title_hits.created_at_ms, title_hits.recording
      from title_words join title_hits on title_hits.word = title_words.id where ${fitting}) as title_hits
    join recordings on recordings.id = title_hits.recording where ${conditions}
    order by title_hits.created_at_ms desc, title_hits.recording desc limit ${sql.lit(limit)}`
}

/** The list itself, read until the page is full: where hits are frequent, that is soon. */
function walked(organisation: Id, conditions: RawBuilder<SqlBool>, limit: number): RawBuilder<Recording> {
  return sql`select * from recordings where organisation = ${organisation} and ${conditions}
    order by created_at_ms desc, id desc limit ${sql.lit(limit)}`
}
