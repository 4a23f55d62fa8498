import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Group } from '../../../src/main/groups.ts'
import { needs } from '../../support/services/service.ts'
import { Member, mosaik } from './fleet.ts'

// What a process says, and with which code it ends, when it cannot begin.

describe('a process that cannot begin', () => {
  const postgres = needs('postgres')
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-start-up-'))
  const empty = join(folder, 'empty')
  const data = join(folder, 'data')
  let environment: NodeJS.ProcessEnv = {}

  beforeAll(async () => {
    if (!postgres.available) return
    mkdirSync(empty)
    environment = {
      PATH: process.env['PATH'],
      MOSAIK_DATA: data,
      MOSAIK_PORT: '0',
      MOSAIK_DATABASE_URL: await postgres.get().createDatabase(),
      // Nothing listens there.
      MOSAIK_REDIS_URL: 'redis://:a-password@127.0.0.1:1',
      MOSAIK_PASSPHRASE: 'the right passphrase',
    }
    await mosaik(environment, 'setup')
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const ending = async (group: Group, change: NodeJS.ProcessEnv) => {
    const member = new Member(group, { ...environment, ...change })
    const { code } = await member.exit()
    return { code, words: member.output.split('\n').find((line) => line.startsWith('mosaik: ')), output: member.output }
  }

  test('settings, keyring, passphrase, Redis, database: each says what to do', async () => {
    const [unknown, keyring, passphrase, redis, database] = await Promise.all([
      ending('upkeep', { MOSAIK_TREADS: '4' }),
      ending('upkeep', { MOSAIK_DATA: empty }),
      ending('upkeep', { MOSAIK_PASSPHRASE: 'another passphrase' }),
      ending('transcode', {}),
      ending('upkeep', { MOSAIK_DATABASE_URL: 'postgres://mosaik:a-password@127.0.0.1:1/mosaik' }),
    ])
    expect(unknown).toMatchObject({ code: 2 })
    expect(unknown.words).toContain('MOSAIK_TREADS')
    expect(keyring).toMatchObject({ code: 2 })
    expect(keyring.words).toContain('run `mosaik setup`')
    expect(passphrase).toMatchObject({ code: 1 })
    expect(passphrase.words).toContain('E_KEYRING_PASSPHRASE')
    expect(redis).toMatchObject({ code: 1 })
    expect(redis.words).toContain('Redis at redis://127.0.0.1:1 does not answer')
    expect(database).toMatchObject({ code: 1 })
    expect(database.words).toContain('E_CATALOG_UNREACHABLE')
    for (const { output } of [unknown, keyring, passphrase, redis, database]) {
      expect(output).not.toContain('a-password')
      expect(output).not.toContain('passphrase"')
    }
  })

  test('a spool that is not the installation’s', async () => {
    const marker = join(data, 'spool', 'mosaik-spool')
    renameSync(marker, join(folder, 'marker'))
    const { code, words } = await ending('store', {})
    expect(code).toBe(2)
    expect(words).toContain('mount the volume')
    // The next set-up mends it.
    await mosaik(environment, 'setup')
    expect((await ending('store', {})).words).toContain('Redis')
  })

  test.each([
    ['thrown', "throw new Error('a-' + 'secret')", 'process.uncaught'],
    ['rejected', "void Promise.reject(new Error('a-' + 'secret'))", 'process.unhandled'],
  ])('an error that nobody caught, %s: kind and place are logged, the process ends with 1', async (_, code, event) => {
    const fault = encodeURIComponent(`process.on('SIGUSR2', () => { ${code} })`).replaceAll("'", '%27')
    const member = new Member('upkeep', { ...environment, NODE_OPTIONS: `--import=data:text/javascript,${fault}` })
    await member.line('process.ready')
    member.kill('SIGUSR2')
    expect(await member.exit(), member.output).toEqual({ code: 1, signal: null })
    expect(member.lines.at(-1)).toMatchObject({ event, level: 'error', code: 'E_INTERNAL', cause: 'Error' })
    expect(member.output).not.toContain('a-secret')
  })

  test('a second signal ends at once', async () => {
    const member = new Member('upkeep', environment)
    await member.line('process.ready')
    member.kill('SIGSTOP')
    member.kill('SIGTERM')
    member.kill('SIGINT')
    member.kill('SIGCONT')
    expect(await member.exit(), member.output).toEqual({ code: 1, signal: null })
    expect(member.output).toContain('process.stopped-at-once')
  })
})
