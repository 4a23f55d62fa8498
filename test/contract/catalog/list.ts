import { describe, expect, test } from 'vitest'
import type { Id } from '../../../src/domain/ids.ts'
import type { RecordingRow } from '../../../src/ports/catalog/recordings.ts'
import { aRecording, day, newId, organisationIn, type CatalogUnderTest } from './fixtures.ts'

export function listSuite(underTest: () => CatalogUnderTest): void {
  describe('list and search', () => {
    const titled = async (titles: readonly string[]): Promise<Id> => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      for (const title of titles) await catalog.recordings.create(aRecording(organisation, { title }))
      return organisation
    }
    const found = async (organisation: Id, search: string): Promise<string[]> => {
      const rows = await underTest().catalog.recordings.list({ organisation, search, limit: 200 })
      return rows.map((row) => row.title).sort()
    }

    test('newest first, paging is stable with equal times', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const made: Pick<RecordingRow, 'id' | 'createdAtMs'>[] = []
      for (let i = 0; i < 23; i++) {
        const recording = aRecording(organisation, { atMs: day + Math.floor(i / 10) })
        await catalog.recordings.create(recording)
        made.push({ id: recording.id, createdAtMs: recording.atMs })
      }
      made.sort((a, b) => b.createdAtMs - a.createdAtMs || (a.id < b.id ? 1 : -1))
      const listed: Id[] = []
      let after: { createdAtMs: number; id: Id } | undefined
      for (;;) {
        const page = await catalog.recordings.list({ organisation, limit: 4, ...(after ? { after } : {}) })
        listed.push(...page.map((row) => row.id))
        const last = page.at(-1)
        if (page.length < 4 || !last) break
        after = { createdAtMs: last.createdAtMs, id: last.id }
        // Newer ones that arrive while somebody pages do not shift the pages.
        await catalog.recordings.create(aRecording(organisation, { atMs: day + 1000 }))
      }
      expect(listed).toEqual(made.map((row) => row.id))
    })

    test('only the organisation asked for, of the host and state asked for; at most 200', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const other = await organisationIn(catalog, 'Other')
      await catalog.recordings.create(aRecording(other))
      for (let i = 0; i < 205; i++) {
        await catalog.recordings.create(aRecording(organisation, { hostId: i < 3 ? 'anna' : 'ben', atMs: day + i }))
      }
      expect(await catalog.recordings.list({ organisation, limit: 1000 })).toHaveLength(200)
      expect(await catalog.recordings.list({ organisation, limit: 0 })).toHaveLength(0)
      const annas = await catalog.recordings.list({ organisation, hostId: 'anna', limit: 10 })
      expect(annas.map((row) => row.createdAtMs)).toEqual([day + 2, day + 1, day])
      await catalog.recordings.update(annas[1]?.id ?? '', { state: 'ready' }, day)
      expect(await catalog.recordings.list({ organisation, state: 'ready', limit: 10 })).toHaveLength(1)
      expect(await catalog.recordings.list({ organisation, state: 'ready', hostId: 'ben', limit: 10 })).toHaveLength(0)
      expect(await catalog.recordings.list({ organisation: other, limit: 10 })).toHaveLength(1)
      expect(await catalog.recordings.list({ organisation: newId(), limit: 10 })).toHaveLength(0)
    })

    test('all words must occur, in any order, without case; the beginning of a word is enough', async () => {
      const organisation = await titled(['Weekly Team Meeting', 'Team lunch', 'weekly report'])
      expect(await found(organisation, 'MEETING week')).toEqual(['Weekly Team Meeting'])
      expect(await found(organisation, 'team')).toEqual(['Team lunch', 'Weekly Team Meeting'])
      expect(await found(organisation, 'eeting')).toEqual([])
      expect(await found(organisation, 'team report')).toEqual([])
      expect(await found(organisation, '   ')).toHaveLength(3)
    })

    test('umlauts, sharp s, composed and decomposed letters, other scripts', async () => {
      const titles = [
        'Jahresübersicht Müller',
        'STRASSENBAU Süd',
        'Cafe\u0301 Zürich',
        'Совещание отдела',
        '東京会議',
        'ΟΔΟΣ',
      ]
      const organisation = await titled(titles)
      expect(await found(organisation, 'JAHRESÜBER')).toEqual([titles[0]])
      expect(await found(organisation, 'mu\u0308ller')).toEqual([titles[0]])
      expect(await found(organisation, 'muller')).toEqual([])
      expect(await found(organisation, 'straßenbau')).toEqual([titles[1]])
      expect(await found(organisation, 'café')).toEqual([titles[2]])
      expect(await found(organisation, 'СОВЕЩ')).toEqual([titles[3]])
      expect(await found(organisation, '会議')).toEqual([titles[4]])
      expect(await found(organisation, 'οδος')).toEqual([titles[5]])
    })

    test('no character of a search means more than itself', async () => {
      const titles = ['100% sure', '1000 things', 'under_score', 'underXscore', `say "hello" AND 'bye'`, 'a* NEAR b']
      const organisation = await titled(titles)
      expect(await found(organisation, '100%')).toEqual(['100% sure', '1000 things'])
      expect(await found(organisation, 'under_score')).toEqual(['under_score'])
      expect(await found(organisation, '"hello"')).toEqual([titles[4]])
      expect(await found(organisation, `"hello' OR "bye`)).toEqual([])
      expect(await found(organisation, 'near')).toEqual(['a* NEAR b'])
      for (const search of [
        '%',
        '_',
        '"',
        "'",
        '*',
        ':',
        '\\',
        '& | ! ( )',
        '$x',
        'title_words:x',
        `'; drop table recordings; --`,
      ]) {
        expect(await found(organisation, search), search).toEqual([])
      }
      expect(await found(organisation, 'word '.repeat(200))).toEqual([])
      expect(await found(organisation, 'ü'.repeat(5000))).toEqual([])
    })

    test('very long words and very many are found again', async () => {
      const long = 'ä'.repeat(3000)
      const many = Array.from({ length: 300 }, (_, i) => `w${i}`).join(' ')
      const organisation = await titled([long, many])
      expect(await found(organisation, long)).toEqual([long])
      expect(await found(organisation, 'w299 w0')).toEqual([many])
    })

    test('a search keeps to its organisation, its order and its pages, few hits or many', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const other = await organisationIn(catalog, 'Other')
      await catalog.recordings.create(aRecording(other, { title: 'needle in another house' }))
      for (let i = 0; i < 30; i++) {
        await catalog.recordings.create(
          aRecording(organisation, { title: i % 3 === 0 ? `needle ${i}` : `hay ${i}`, atMs: day + Math.floor(i / 7) }),
        )
      }
      const all = await catalog.recordings.list({ organisation, search: 'needle', limit: 200 })
      expect(all).toHaveLength(10)
      expect([...all].sort((a, b) => b.createdAtMs - a.createdAtMs || (a.id < b.id ? 1 : -1))).toEqual(all)
      const second = await catalog.recordings.list({
        organisation,
        search: 'needle',
        limit: 3,
        after: { createdAtMs: all[2]?.createdAtMs ?? 0, id: all[2]?.id ?? '' },
      })
      expect(second).toEqual(all.slice(3, 6))
    })

    test.each([
      ['few', 60],
      ['many', 5200],
    ])('the beginning of many words in %s titles, with and without another word, in pages', async (_, count) => {
      const { catalog, query } = underTest()
      const organisation = await organisationIn(catalog)
      const id = (n: string): string => `substr('${newId()}', 1, 20) || cast(100000000000 + ${n} as text)`
      const numbers = `with recursive n (i) as (select 0 union all select i + 1 from n where i < ${count - 1})`
      const title = `'word' || cast(i % 40 as text) || case when i % 20 = 3 then ' other' else '' end`
      await query(`insert into recordings (id, organisation, state, title, title_words, host_id, source_kind, created_at_ms,
          updated_at_ms, scheme, generation)
        ${numbers} select ${id('i')}, '${organisation}', 'ready', ${title}, ' ' || ${title}, 'h', 'file', i / 7, i, '{}', 0 from n`)
      for (const word of [...Array.from({ length: 40 }, (_, i) => `word${i}`), 'other']) {
        await query(`insert into title_words (organisation, word) values ('${organisation}', '${word}')`)
      }
      await query(`insert into title_hits (word, created_at_ms, recording)
        select title_words.id, created_at_ms, recordings.id from title_words join recordings
        on recordings.organisation = title_words.organisation and ' ' || title || ' ' like '% ' || title_words.word || ' %'
        where title_words.organisation = '${organisation}'`)
      const rows =
        await query(`select id, title, created_at_ms as at from recordings where organisation = '${organisation}'
        order by created_at_ms desc, id desc`)
      const both = rows.filter(({ title: text }) => String(text).endsWith('other'))
      const page = { organisation, limit: 20 }
      const ids = (found: readonly object[]): unknown[] => found.map((row) => (row as { id: unknown }).id)
      expect(ids(await catalog.recordings.list({ ...page, search: 'wor' }))).toEqual(ids(rows.slice(0, 20)))
      const last = both[1]
      const after = { createdAtMs: Number(last?.['at']), id: String(last?.['id']) }
      for (const search of ['word', 'w']) {
        const two = { ...page, search: `${search} oth` }
        expect(ids(await catalog.recordings.list(two))).toEqual(ids(both.slice(0, 20)))
        expect(ids(await catalog.recordings.list({ ...two, after }))).toEqual(ids(both.slice(2, 22)))
        const older = await catalog.recordings.list({ ...page, search, after })
        expect(ids(older)).toEqual(
          ids(rows.slice(rows.findIndex((row) => row['id'] === last?.['id']) + 1).slice(0, 20)),
        )
      }
      expect(await catalog.recordings.list({ ...page, search: 'word other', state: 'failed' })).toEqual([])
      const thirds = both.filter(({ title: text }) => text === 'word3 other')
      expect(ids(await catalog.recordings.list({ ...page, search: 'word3 other', hostId: 'h' }))).toEqual(
        ids(thirds.slice(0, 20)),
      )
    })
  })
}
