import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { readConfig } from '../../../src/main/config.ts'
import { groups } from '../../../src/main/groups.ts'
import { GRACE_MS } from '../../../src/main/worker-process.ts'
import { readStrictYaml, type Yaml, type YamlMap } from './strict-yaml.ts'

// Dockerfile and compose file against the entries and settings that there are. Where Docker's compose is here, it reads the file too.

const root = resolve(import.meta.dirname, '../../..')
const read = (name: string): string => readFileSync(join(root, name), 'utf8')
const asMap = (value: Yaml | undefined): YamlMap => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${String(value)} is no map`)
  return value as YamlMap
}
const asList = (value: Yaml | undefined): string[] => {
  if (!Array.isArray(value)) throw new Error(`${String(value)} is no list`)
  return value.map(String)
}

const folder = mkdtempSync(join(tmpdir(), 'mosaik-compose-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('docker-compose.yml', () => {
  const compose = asMap(readStrictYaml(read('docker-compose.yml')))
  const services = Object.entries(asMap(compose['services'])).map(([name, service]) => ({
    name,
    service: asMap(service),
  }))
  const ours = services.filter(({ service }) => service['image'] === 'mosaik')

  test('every group is a service, and every command is an entry that exists', () => {
    const entries = readdirSync(join(root, 'workers')).sort()
    expect(entries).toEqual(groups.map((group) => `${group}.ts`).sort())
    for (const { name, service } of ours) {
      const command = asList(service['command'])
      if (name === 'setup') expect(command).toEqual(['mosaik', 'setup'])
      else expect(command).toEqual(['node', `workers/${name}.ts`])
    }
    expect(ours.map(({ name }) => name).sort()).toEqual([...groups, 'setup'].sort())
  })

  test('every variable is a setting with a value that is accepted', () => {
    for (const { name, service } of ours) {
      const environment = Object.fromEntries(
        Object.entries(asMap(service['environment'])).map(([variable, value]) => [
          variable,
          interpolated(String(value)),
        ]),
      )
      const config = readConfig({}, environment)
      expect(config.databaseUrl, name).toBe('postgres://mosaik:a-password@postgres:5432/mosaik')
      expect(config.redisUrl, name).toBe('redis://:a-password@redis:6379')
      expect(config.passphrase, name).toBeUndefined()
      expect(config.passphraseFile, name).toBe('/run/secrets/passphrase')
    }
    expect(() => readConfig({}, { MOSAIK_DATBASE_URL: 'x' })).toThrow('MOSAIK_DATBASE_URL')
  })

  test('the keyring goes to all of ours, the spool to api, store and set-up only', () => {
    for (const { name, service } of ours) {
      const volumes = asList(service['volumes'])
      expect(volumes, name).toContain('keyring:/data')
      expect(volumes.includes('spool:/data/spool'), name).toBe(['setup', 'api', 'store'].includes(name))
    }
  })

  test('what is referred to is there', () => {
    const names = (section: string): string[] => Object.keys(asMap(compose[section]))
    for (const { name, service } of services) {
      for (const network of asList(service['networks'])) expect(names('networks'), name).toContain(network)
      for (const volume of asList(service['volumes'])) expect(names('volumes'), name).toContain(volume.split(':')[0])
      for (const secret of asList(service['secrets'] ?? [])) expect(names('secrets'), name).toContain(secret)
      const needs = asMap(service['depends_on'] ?? {})
      for (const [other, { condition }] of Object.entries(needs).map(([key, value]) => [key, asMap(value)] as const)) {
        const target = services.find((one) => one.name === other)?.service
        expect(target, `${name} needs ${other}`).toBeDefined()
        if (condition === 'service_healthy') expect(asMap(target?.['healthcheck'])['test'], other).toBeDefined()
      }
    }
  })

  test('health is asked where the process listens; it is given longer to stop than it takes', () => {
    for (const { name, service } of ours) {
      expect(Number.parseInt(String(service['stop_grace_period']), 10) * 1000, name).toBeGreaterThan(GRACE_MS)
      if (name === 'setup') continue
      const port = String(asMap(service['environment'])['MOSAIK_METRICS']).split(':')[1]
      expect(asList(asMap(service['healthcheck'])['test']).at(-1), name).toContain(
        `http://127.0.0.1:${String(port)}/healthz`,
      )
    }
  })

  test('Docker reads it', (context) => {
    if (spawnSync('docker', ['compose', 'version'], { stdio: 'ignore' }).status !== 0) {
      context.skip('docker compose is not here')
    }
    mkdirSync(join(folder, 'secrets'))
    cpSync(join(root, 'docker-compose.yml'), join(folder, 'docker-compose.yml'))
    const { status, stderr } = spawnSync('docker', ['compose', 'config', '--quiet'], {
      cwd: folder,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], POSTGRES_PASSWORD: 'a', REDIS_PASSWORD: 'b' },
    })
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })
})

describe('Dockerfile', () => {
  const copies = read('Dockerfile')
    .split('\n')
    .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
    .map((line) => line.split(' ').slice(1))
  const sources = [...new Set(copies.flatMap((words) => words.slice(0, -1)))]

  test('copies what exists and is not ignored', () => {
    const kept = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1))
    for (const source of sources) {
      expect(existsSync(join(root, source)), source).toBe(true)
      expect(kept, source).toContain(source)
    }
  })

  test('every entry runs in the last stage, and says what is missing', () => {
    const last =
      read('Dockerfile')
        .split(/^FROM /m)
        .at(-1) ?? ''
    for (const [, words = ''] of last.matchAll(/^COPY (?!--from)(.*)$/gm)) {
      const parts = words.split(' ')
      for (const source of parts.slice(0, -1)) {
        mkdirSync(dirname(join(folder, 'app', source)), { recursive: true })
        cpSync(join(root, source), join(folder, 'app', source), { recursive: true })
      }
    }
    for (const [, from = '', to = ''] of last.matchAll(/^COPY --from=\w+ \/app\/(\S+) (\S+)$/gm)) {
      symlinkSync(join(root, from), join(folder, 'app', to))
    }
    const options = /^ENV NODE_OPTIONS="(.*)"$/m.exec(last)?.[1] ?? ''
    expect(read('bin/mosaik')).toContain(`exec "$node" ${options} `)
    for (const group of groups) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [`workers/${group}.ts`], {
        cwd: join(folder, 'app'),
        encoding: 'utf8',
        env: { PATH: process.env['PATH'], MOSAIK_DATA: folder, NODE_OPTIONS: options },
      })
      expect(stderr, group).toBe(
        'mosaik: this process needs MOSAIK_DATABASE_URL (PostgreSQL) and MOSAIK_REDIS_URL (E_CONFIG)\n',
      )
      expect(status, group).toBe(2)
      expect(JSON.parse(stdout)).toMatchObject({ event: 'process.failed', code: 'E_CONFIG', groups: [group] })
    }
  })
})

describe('the reading of YAML', () => {
  test.each([
    ['a: 1\n b: 2', 'line 2'],
    ['a: 1\na: 2', 'twice'],
    ['a: *b', 'no such anchor'],
    ['a: no', 'quote no'],
    ['a: [1, 2', 'does not end'],
    ['a: |\n  text', 'line 1'],
    ['a: 1 # why', 'comment'],
  ])('refuses %j', (source, words) => {
    expect(() => readStrictYaml(source)).toThrow(words)
  })

  test('anchors, merges, flows', () => {
    expect(
      readStrictYaml("x: &x\n  a: 1\n  b: 'c: d'\ny:\n  <<: *x\n  a: [q, { r: 's' }]\nz:\n  - one\n  - *x\n"),
    ).toEqual({
      x: { a: 1, b: 'c: d' },
      y: { a: ['q', { r: 's' }], b: 'c: d' },
      z: ['one', { a: 1, b: 'c: d' }],
    })
  })
})

/** As compose does it: ${NAME:?}, ${NAME:-default}. */
function interpolated(text: string): string {
  return text.replace(/\$\{(\w+)(?::([?-])([^}]*))?\}/g, (_, _name: string, kind?: string, rest = '') =>
    kind === '-' ? rest : 'a-password',
  )
}
