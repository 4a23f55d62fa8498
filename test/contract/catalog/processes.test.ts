import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { openPostgresCatalog, openSqliteCatalog } from '../../../src/adapters/sql-catalog/open.ts'
import { needs } from '../../support/services/service.ts'
import { aRecording, day, newId, organisationIn, outcome, storing } from './fixtures.ts'
import { postgresForTest } from './postgres-catalog.ts'
import { sqliteForTest } from './sqlite-catalog.ts'

const program = join(import.meta.dirname, 'catalog-process.ts')

interface Child {
  readonly output: Promise<string>
  /** Resolves at its first line. */
  readonly begun: Promise<void>
  kill(): void
}

function start(...args: readonly string[]): Child {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  let errors = ''
  const begun = new Promise<void>((resolve) => child.stdout.once('data', () => resolve()))
  child.stdout.on('data', (chunk) => (text += String(chunk)))
  child.stderr.on('data', (chunk) => (errors += String(chunk)))
  const output = new Promise<string>((resolve, reject) =>
    child.once('close', (code, signal) => {
      if (code === 0 || signal === 'SIGKILL') resolve(text)
      else reject(new Error(`${args[0]} ended with ${code ?? signal}: ${errors}`))
    }),
  )
  return { output, begun, kill: () => child.kill('SIGKILL') }
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'mosaik-catalog-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

describe('one SQLite file, several processes', () => {
  test('a new file, and what SQLite puts beside it, is its owner’s alone', async () => {
    const path = join(folder(), 'catalog.sqlite')
    const before = process.umask(0)
    onTestFinished(() => void process.umask(before))
    const catalog = openSqliteCatalog(path, { nowMs: () => day })
    await catalog.migrate()
    for (const name of [path, `${path}-wal`, `${path}-shm`]) expect(statSync(name).mode & 0o777, name).toBe(0o600)
    await catalog.close()
    expect(() => openSqliteCatalog(join(path, 'no', 'folder'), { nowMs: () => day })).toThrow(/folder/)
  })

  test('a file that is no catalog is refused in words', async () => {
    const path = join(folder(), 'catalog.sqlite')
    writeFileSync(path, 'this is not a database, and it is long enough to be looked at'.repeat(50))
    const catalog = openSqliteCatalog(path, { nowMs: () => day })
    expect(await outcome(catalog.migrate())).toBe('E_CONFIG')
  })

  test('four processes migrate an empty file at once', async () => {
    const path = join(folder(), 'catalog.sqlite')
    await Promise.all(Array.from({ length: 4 }, () => start('migrate', path).output))
    const catalog = openSqliteCatalog(path, { nowMs: () => day })
    await catalog.migrate()
    await catalog.ping()
    await organisationIn(catalog)
    await catalog.close()
  })

  test('two processes claim the same work: each piece is won once', async () => {
    const { catalog, path, close } = await sqliteForTest()
    onTestFinished(close)
    const organisation = await organisationIn(catalog)
    const works: string[] = []
    for (let i = 0; i < 60; i++) {
      const recording = aRecording(organisation)
      await catalog.recordings.create(recording)
      works.push(recording.work.id)
    }
    const children = [start('claim', path, ...works), start('claim', path, ...[...works].reverse())]
    const won = (await Promise.all(children.map((child) => child.output))).map((text) => JSON.parse(text) as string[])
    expect(won.flat().sort()).toEqual([...works].sort())
  })

  test('whoever holds the lock for a while is waited for, and others go on meanwhile', async () => {
    const { catalog, path, close } = await sqliteForTest()
    onTestFinished(close)
    const { work, fence } = await storing(catalog)
    const holder = new DatabaseSync(path)
    holder.exec('begin immediate')
    let ticks = 0
    const ticking = setInterval(() => ticks++, 10)
    const finished = catalog.work.finish(fence, day)
    await wait(600)
    clearInterval(ticking)
    holder.exec('rollback')
    holder.close()
    await finished
    expect((await catalog.work.get(work))?.state).toBe('done')
    expect(ticks).toBeGreaterThan(5)
  })

  test('killed at any moment, the file is whole: every recording has its work, every batch of objects all its rows', async () => {
    const { catalog, path, close, query } = await sqliteForTest()
    onTestFinished(close)
    const organisation = await organisationIn(catalog)
    for (const afterMs of [3, 40, 170]) {
      const child = start('write', path, organisation)
      await child.begun
      await wait(afterMs)
      child.kill()
      await child.output
      expect(await query('pragma integrity_check')).toEqual([{ integrity_check: 'ok' }])
      expect(await query('pragma foreign_key_check')).toEqual([])
      expect(await query('select id from recordings where id not in (select recording from work)')).toEqual([])
      expect(await query('select attempt from objects group by attempt having count(*) <> 300')).toEqual([])
      expect(await query(`select * from objects where state <> 'intent'`)).toEqual([])
      const recording = aRecording(organisation, { title: 'after the crash' })
      await catalog.recordings.create(recording)
      const found = await catalog.recordings.list({ organisation, search: 'crash', limit: 10 })
      expect(found.some((row) => row.id === recording.id)).toBe(true)
    }
  })

  test('people who were dropped from a row are nowhere in the file', async () => {
    const { catalog, path, close, query } = await sqliteForTest()
    onTestFinished(close)
    const { fence } = await storing(catalog)
    await query('pragma wal_checkpoint(truncate)')
    expect(readFileSync(path).includes('Fingerhut')).toBe(true)
    await catalog.work.finish(fence, day)
    await query('pragma wal_checkpoint(truncate)')
    expect(readFileSync(path).includes('Fingerhut')).toBe(false)
    expect(statSync(`${path}-wal`).size).toBe(0)
  })

  test('a schema newer than this release is refused and left alone', async () => {
    const { path, close, query } = await sqliteForTest()
    onTestFinished(close)
    await query('insert into schema_version (version) values (9999)')
    const catalog = openSqliteCatalog(path, { nowMs: () => day })
    expect(await outcome(catalog.migrate())).toBe('E_CONFIG')
    await catalog.close()
  })
})

describe('PostgreSQL with faults', () => {
  const server = needs('postgres', { instance: 'catalog-faults' })
  afterEach(async () => await server.get().start())

  test('four processes migrate an empty database at once', async () => {
    const url = await server.get().createDatabase()
    await Promise.all(Array.from({ length: 4 }, () => start('migrate', url).output))
  })

  test('a schema newer than this release is refused', async () => {
    const { catalog, query, close } = await postgresForTest(server.get())
    onTestFinished(close)
    await query('insert into schema_version (version) values (9999)')
    expect(await outcome(catalog.migrate())).toBe('E_CONFIG')
  })

  test('connections that the server cuts under our hands end calls, not the process; the next call works', async () => {
    const { catalog, query, close } = await postgresForTest(server.get())
    onTestFinished(close)
    const { recording, fence } = await storing(catalog)
    const cut = `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`
    const calls = Array.from({ length: 60 }, (_, i) =>
      outcome(catalog.recordings.update(recording, { contentBytes: i }, day + i, fence)),
    )
    await query(cut)
    const results = await Promise.all(calls)
    for (const result of results) expect([undefined, 'E_CATALOG_UNREACHABLE']).toContain(result)
    await catalog.ping()
    await query(cut)
    await wait(50)
    await catalog.ping()
  })

  test('when the server is gone calls say so, and work again when it is back', async () => {
    const url = await server.get().createDatabase()
    const catalog = openPostgresCatalog(url, { nowMs: () => day })
    onTestFinished(() => catalog.close())
    await catalog.migrate()
    const organisation = await organisationIn(catalog)
    await server.get().kill()
    const error = await catalog.ping().catch((caught: unknown) => caught)
    expect(error).toMatchObject({ code: 'E_CATALOG_UNREACHABLE', retry: 'later' })
    expect(error).toHaveProperty('cause')
    expect(await outcome(catalog.installation.organisation(organisation))).toBe('E_CATALOG_UNREACHABLE')
    await server.get().start()
    expect(await catalog.installation.organisation(organisation)).toMatchObject({ id: organisation })
  })

  test('a wrong database is a matter of configuration', async () => {
    const catalog = openPostgresCatalog(server.get().url.replace(/postgres$/, `no_${newId()}`), { nowMs: () => day })
    onTestFinished(() => catalog.close())
    expect(await outcome(catalog.ping())).toBe('E_CONFIG')
  })
})
