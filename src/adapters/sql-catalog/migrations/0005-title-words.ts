import type { Migration } from './migration.ts'

/**
 * The words of titles in tables of our own, alike in both databases: a word's recordings lie in the order of lists, so that
 * a search reads as many rows as its page has, however frequent the word is. FTS5 and GIN collect all titles with a word's
 * beginning first.
 */
export const titleWordTables: Migration = {
  version: 5,
  statements: [
    `create table title_words (id {serial}, organisation {id} not null, word {id} not null){table}`,
    `create unique index title_words_of_organisation on title_words (organisation, word)`,
    {
      sqlite: `create table title_hits ({title_hits}) strict, without rowid`,
      postgres: `create table title_hits ({title_hits})`,
    },
    `insert into title_words (organisation, word) select distinct organisation, word from {titles} order by 1, 2`,
    `insert into title_hits (word, created_at_ms, recording)
      select distinct title_words.id, created_at_ms, recording from {titles}
      join title_words on title_words.organisation = titles.organisation and title_words.word = titles.word order by 1, 2, 3`,
    { sqlite: `drop trigger recordings_title_insert` },
    { sqlite: `drop trigger recordings_title_delete` },
    { sqlite: `drop trigger recordings_title_update` },
    { sqlite: `drop table recordings_title` },
    { postgres: `drop index recordings_title` },
    { postgres: `alter table recordings drop column title_terms` },
    { postgres: `analyze title_words` },
    { postgres: `analyze title_hits` },
  ],
  fragments: {
    title_hits: `word {int} not null, created_at_ms {int} not null, recording {id} not null,
      primary key (word, created_at_ms, recording)`,
    titles: `(select recordings.id as recording, organisation, created_at_ms, words.value as word from recordings, {words}) as titles`,
  },
  fragmentsOf: {
    // Words are letters, marks and digits: nothing in them means anything to JSON.
    sqlite: {
      words: `json_each('["' || replace(ltrim(title_words), ' ', '","') || '"]') as words where title_words <> ''`,
    },
    postgres: { words: `unnest(string_to_array(ltrim(title_words, ' '), ' ')) as words (value)` },
  },
}
