import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import pg from 'pg'
import { nodeClock } from '../../src/adapters/node-system.ts'
import { openPostgresCatalog, openSqliteCatalog } from '../../src/adapters/sql-catalog/open.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import { Skipped, percentile, type Measurement, type Row } from './row.ts'
import { available, service } from '../../test/support/services/start-service.ts'

const ORGANISATION = '0a'.repeat(16)
const FIRST_MS = 1_600_000_000_000
const LINK_EVERY = 10
const HOSTS = 1000
const CALLS = 300

/** Words of title `n`: one that all have, one of a thousandth of them, one of few, one of its own. */
const WORDS = [`'meeting'`, `'w' || (n % 1000)`, `'p' || (n % 7919)`, `'n' || n`]

/** Fills the tables with numbers 1 … count; `series` and `hex` are what the two databases spell differently. */
function statements(series: string, hex: (n: string) => string): string[] {
  const scheme = `'{"k":3,"n":5,"t":1}'`
  const words = WORDS.join(` || ' ' || `)
  const time = `${FIRST_MS} + n * 60000`
  return [
    `insert into organisations (id, name, scheme, placement_rule, created_at_ms, state_generation)
     values ('${ORGANISATION}', 'bench', ${scheme}, 'none', ${FIRST_MS}, 0)`,
    `insert into recordings (id, organisation, state, title, title_words, host_id, source_kind, external_id, started_at_ms,
       created_at_ms, updated_at_ms, stored_at_ms, content_bytes, duration_ms, scheme, generation, reason)
     select ${hex('n')}, '${ORGANISATION}', 'ready', ${words}, ' ' || ${words}, 'host-' || (n % ${HOSTS}), 'test', 'x' || n, null,
       ${time}, ${time}, ${time}, 1000000000, 3600000, ${scheme}, 1, null
     from ${series}`,
    ...WORDS.flatMap((word) => [
      `insert into title_words (organisation, word) select distinct '${ORGANISATION}', ${word} from ${series}`,
      `insert into title_hits (word, created_at_ms, recording) select id, ${time}, ${hex('n')} from ${series}
       join title_words on organisation = '${ORGANISATION}' and word = ${word} order by 1, 2`,
    ]),
    `insert into links (id, organisation, recording, created_at_ms, expires_at_ms, revoked_at_ms, views_count, max_views, allow_download)
     select ${hex('n')}, '${ORGANISATION}', ${hex('n')}, ${FIRST_MS}, ${10 * FIRST_MS}, null, 0, null, 0 from ${series} where n % ${LINK_EVERY} = 0`,
  ]
}

function hexOf(n: number): string {
  return n.toString(16).padStart(32, '0')
}

/** The slowest kind of question's p99, in milliseconds. */
async function slowest(catalog: Catalog, count: number): Promise<{ worstMs: number; detail: string }> {
  const organisation = ORGANISATION
  const pick = (): number => 1 + Math.floor(Math.random() * count)
  const kinds: Record<string, () => Promise<unknown>> = {
    newest: () => catalog.recordings.list({ organisation, limit: 50 }),
    page: () => {
      const n = pick()
      return catalog.recordings.list({
        ...{ organisation, limit: 50 },
        after: { createdAtMs: FIRST_MS + n * 60_000, id: hexOf(n) },
      })
    },
    host: () => catalog.recordings.list({ organisation, limit: 50, hostId: `host-${pick() % HOSTS}` }),
    'search all': () => catalog.recordings.list({ organisation, limit: 50, search: 'meeting' }),
    'search letter': () => catalog.recordings.list({ organisation, limit: 50, search: 'w' }),
    'search beginning': () => catalog.recordings.list({ organisation, limit: 50, search: `w${pick() % 100}` }),
    'search some': () => catalog.recordings.list({ organisation, limit: 50, search: `meet w${pick() % 1000}` }),
    'search rare': () => catalog.recordings.list({ organisation, limit: 50, search: `meeting p${pick() % 7919}` }),
    'search one': () => catalog.recordings.list({ organisation, limit: 50, search: `n${pick()}` }),
    'search none': () =>
      catalog.recordings.list({ organisation, limit: 50, search: `w${pick() % 1000} p${pick() % 7919}` }),
    link: async () => {
      const link = await catalog.links.link(hexOf(LINK_EVERY * (1 + Math.floor(Math.random() * (count / LINK_EVERY)))))
      if (link === undefined) throw new Error('a link is missing')
    },
  }
  const p99: [string, number][] = []
  for (const [name, ask] of Object.entries(kinds)) {
    for (let i = 0; i < 20; i++) await ask()
    const times: number[] = []
    for (let i = 0; i < CALLS; i++) {
      const began = performance.now()
      await ask()
      times.push(performance.now() - began)
    }
    p99.push([name, percentile(times, 0.99)])
  }
  return {
    worstMs: Math.max(...p99.map(([, ms]) => ms)),
    detail: p99.map(([name, ms]) => `${name} ${ms.toFixed(1)}`).join(', '),
  }
}

function row(name: string, count: number, measured: { worstMs: number; detail: string }): Row[] {
  const peer = `${count.toLocaleString('en')} recordings`
  return [{ name, value: measured.worstMs, unit: 'ms, less is better', goal: 50, peer, detail: measured.detail }]
}

/** List, search and link lookup in a full catalog. */
export const catalogMeasurements: Measurement[] = [
  {
    names: ['catalog.sqlite.p99-ms'],
    unit: 'ms, less is better',
    async run({ folder, isFull }): Promise<Row[]> {
      const count = isFull ? 1_000_000 : 100_000
      const path = join(folder, 'catalog.sqlite')
      const catalog = openSqliteCatalog(path, nodeClock)
      await catalog.migrate()
      const database = new DatabaseSync(path)
      const series = `(with recursive series (n) as (select 1 union all select n + 1 from series where n < ${count}) select n from series)`
      for (const text of statements(series, (n) => `printf('%032x', ${n})`)) database.exec(text)
      database.close()
      const measured = await slowest(catalog, count)
      await catalog.close()
      return row('catalog.sqlite.p99-ms', count, measured)
    },
  },
  {
    names: ['catalog.postgres.p99-ms'],
    unit: 'ms, less is better',
    async run({ isFull }): Promise<Row[]> {
      if (!available('postgres')) throw new Skipped('PostgreSQL is not on this machine')
      const count = isFull ? 1_000_000 : 100_000
      const url = await (await service('postgres')).createDatabase()
      const catalog = openPostgresCatalog(url, nodeClock)
      await catalog.migrate()
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      const series = `(select n from generate_series(1::bigint, ${count}::bigint) as n) as numbers`
      for (const text of statements(series, (n) => `lpad(to_hex(${n}), 32, '0')`)) await client.query(text)
      await client.query('vacuum analyze')
      await client.end()
      const measured = await slowest(catalog, count)
      await catalog.close()
      return row('catalog.postgres.p99-ms', count, measured)
    },
  },
]
