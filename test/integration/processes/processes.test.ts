import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Group } from '../../../src/main/groups.ts'
import { mediaFixture, removeMediaFixtures } from '../../support/media-fixtures.ts'
import { createBucket } from '../../support/services/buckets.ts'
import { needs } from '../../support/services/service.ts'
import { Member, mosaik, uploadFile } from './fleet.ts'

// The many-machines form as it is run: processes from workers/, real PostgreSQL, Redis with a password, five S3 nodes of two kinds.

const MIB = 1024 * 1024
/** Large enough that a store can be caught in the middle. */
const LARGE_BYTES = 40 * MIB
const TITLE = 'Quarterly numbers of the Kestrel project'
const PASSPHRASE = `passphrase-${randomBytes(8).toString('hex')}`
const REDIS_PASSWORD = `redis-${randomBytes(8).toString('hex')}`

interface RecordingView {
  readonly state: string
  readonly generation: number
  readonly reason: unknown
}

describe('a vault of many processes', () => {
  const postgres = needs('postgres')
  const redis = needs('redis', { instance: 'processes' })
  const ceph = needs('ceph', { nodes: 3 })
  const swift = needs('swift', { nodes: 2 })
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-processes-'))
  const members: Member[] = []
  let environment: NodeJS.ProcessEnv = {}
  let database: pg.Client
  let list: Redis
  let api: Member
  let url = ''
  let host = ''
  let operator = ''

  const start = (group: Group): Member => {
    const member = new Member(group, environment)
    members.push(member)
    return member
  }
  const call = async (method: string, path: string, body?: unknown, token = host): Promise<Response> =>
    await fetch(`${url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  const recording = async (id: string): Promise<RecordingView> =>
    (await (await call('GET', `/recordings/${id}`)).json()) as RecordingView
  const until = async <T>(what: string, look: () => Promise<T | undefined>, timeoutMs = 80_000): Promise<T> => {
    const end = performance.now() + timeoutMs
    for (;;) {
      const found = await look()
      if (found !== undefined) return found
      if (performance.now() > end) {
        throw new Error(`${what} did not happen:\n${members.map((one) => `${one.group}\n${one.output}`).join('\n')}`)
      }
      await sleep(50)
    }
  }
  const untilState = async (id: string, ...states: string[]): Promise<RecordingView> =>
    await until(`${id} ${states.join(' or ')}`, async () => {
      const now = await recording(id)
      return states.includes(now.state) ? now : undefined
    })
  /** One of the store workers, once it has sealed some of the recording; the others stand still then. */
  const storing = async (workers: readonly Member[], sinceBytes: ReadonlyMap<Member, number>): Promise<Member> =>
    await until('a store under way', async () => {
      for (const worker of workers) {
        const sealed = (await worker.metric('mosaik_sealed_bytes_total')) - (sinceBytes.get(worker) ?? 0)
        if (sealed > 2 * MIB) return worker
      }
      return undefined
    })
  const sealedNow = async (workers: readonly Member[]): Promise<Map<Member, number>> => {
    const counts = new Map<Member, number>()
    for (const worker of workers) counts.set(worker, await worker.metric('mosaik_sealed_bytes_total'))
    return counts
  }
  const originalHash = async (id: string): Promise<string> => {
    const response = await call('GET', `/recordings/${id}/original`)
    expect(response.status).toBe(200)
    const hash = createHash('sha256')
    for await (const chunk of response.body ?? []) hash.update(chunk as Uint8Array)
    return hash.digest('hex')
  }
  const rows = async (text: string, ...values: unknown[]): Promise<Record<string, unknown>[]> =>
    (await database.query<Record<string, unknown>>(text, values)).rows

  beforeAll(async () => {
    if (![postgres, redis, ceph, swift].every(({ available }) => available)) return
    const databaseUrl = await postgres.get().createDatabase()
    database = new pg.Client({ connectionString: databaseUrl })
    await database.connect()
    const bare = new Redis(redis.get().url)
    await bare.config('SET', 'requirepass', REDIS_PASSWORD)
    bare.disconnect()
    const redisUrl = `redis://:${REDIS_PASSWORD}@127.0.0.1:${redis.get().port}`
    list = new Redis(redisUrl)
    environment = {
      PATH: process.env['PATH'],
      MOSAIK_DATA: folder,
      MOSAIK_PORT: '0',
      MOSAIK_DATABASE_URL: databaseUrl,
      MOSAIK_REDIS_URL: redisUrl,
      MOSAIK_PASSPHRASE: PASSPHRASE,
      MOSAIK_THREADS: '2',
    }
    await mosaik(environment, 'setup', '--name', 'Provider')
    ;[host, operator] = (await Promise.all(
      (['host', 'operator'] as const).map(async (role) => {
        const { token } = await mosaik<{ token: string }>(environment, 'token', 'add', role)
        return token
      }),
    )) as [string, string]
    api = start('api')
    url = String((await api.line('process.ready'))['url'])
    const nodes = [...ceph.get().nodes.slice(0, 3), ...swift.get().nodes.slice(0, 2)]
    await Promise.all(
      nodes.map(async (node, i) => {
        const settings = await createBucket(node)
        const owner = { country: 'DE', operator: `Provider ${i}`, parent: `Parent ${i}`, site: `Site ${i}` }
        const response = await call('POST', '/nodes', { name: `store-${i}`, ...owner, settings }, operator)
        if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
      }),
    )
  })

  afterAll(async () => {
    for (const member of members) member.kill('SIGKILL')
    await Promise.all(members.map((member) => member.exit()))
    list?.disconnect()
    await database?.end()
    rmSync(folder, { recursive: true, force: true })
    await removeMediaFixtures()
  })

  test('a deposit becomes ready and plays; workers die, stop and are replaced; Redis is emptied; nothing is lost or doubled', async () => {
    let stores = [start('store'), start('store')]
    const transcode = start('transcode')
    const upkeep = start('upkeep')
    await Promise.all([...stores, transcode, upkeep].map((member) => member.line('process.ready')))
    for (const member of [api, ...stores, transcode, upkeep]) {
      expect((await member.get('/readyz')).status, member.output).toBe(200)
    }

    // Killed in the middle of a store: its lease runs out while the rest goes on.
    const large = randomBytes(LARGE_BYTES)
    let sealed = await sealedNow(stores)
    const second = await uploadFile(url, host, large, { filename: 'second.bin', title: TITLE, host: 'anna' })
    const killed = await storing(stores, sealed)
    killed.kill('SIGKILL')
    const killedAtMs = performance.now()
    expect(await killed.exit()).toMatchObject({ signal: 'SIGKILL' })
    stores = [...stores.filter((worker) => worker !== killed), start('store')]
    await Promise.all(stores.map((worker) => worker.line('process.ready')))

    // Upload by tus, ready, a link that plays.
    const meeting = new Uint8Array(readFileSync(await mediaFixture('faststart.mp4')))
    const first = await uploadFile(url, host, meeting, { filename: 'meeting.mp4', title: TITLE, host: 'anna' })
    expect(await untilState(first, 'ready', 'failed', 'unplayable')).toMatchObject({ state: 'ready' })
    const link = (await (await call('POST', `/recordings/${first}/links`, {})).json()) as { id: string; url: string }
    const token = new URL(link.url).hash.slice(1)
    const play = async (): Promise<number> => {
      const exchange = await fetch(`${url}/s/exchange`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token }),
      })
      if (exchange.status !== 200) return exchange.status
      const { grant } = (await exchange.json()) as { grant: string }
      const headers = { cookie: (exchange.headers.get('set-cookie') ?? '').split(';')[0] ?? '' }
      const view = (await (await fetch(`${url}/s/${grant}/recording.json`, { headers })).json()) as {
        title: string
        renditions: { playlist: string }[]
      }
      expect(view.title).toBe(TITLE)
      const playlist = await (
        await fetch(`${url}/s/${grant}/${view.renditions[0]?.playlist ?? ''}`, { headers })
      ).text()
      expect(playlist).toContain('#EXT-X-BYTERANGE')
      const media = (view.renditions[0]?.playlist ?? '').replace('.m3u8', '.mp4')
      const bytes = await fetch(`${url}/s/${grant}/${media}`, { headers: { ...headers, range: 'bytes=4-7' } })
      expect(await bytes.text()).toBe('ftyp')
      return bytes.status
    }
    expect(await play()).toBe(206)

    // Stopped in the middle of another, and Redis emptied: the next one takes it within seconds, long before a lease runs out.
    sealed = await sealedNow(stores)
    const third = await uploadFile(url, host, large, { filename: 'third.bin', title: TITLE, host: 'anna' })
    const stopped = await storing(stores, sealed)
    stopped.kill('SIGTERM')
    const stoppedAtMs = performance.now()
    const last = stores.find((worker) => worker !== stopped) as Member
    await list.flushall()
    expect(await stopped.exit(), stopped.output).toEqual({ code: 0, signal: null })
    const stopMs = performance.now() - stoppedAtMs
    expect(stopped.output).toContain('work.handed-back')
    await until('the work taken over', async () => {
      const [row] = await rows("select fence, state from work where recording = $1 and stage = 'store'", third)
      return Number(row?.['fence']) > 1 ? true : undefined
    })
    const takenMs = performance.now() - stoppedAtMs
    expect(stopMs).toBeLessThan(15_000)
    expect(takenMs).toBeLessThan(20_000)

    // The api is replaced while that goes on.
    api.kill('SIGTERM')
    expect(await api.exit(), api.output).toEqual({ code: 0, signal: null })
    api = start('api')
    url = String((await api.line('process.ready'))['url'])
    expect(await play()).toBe(206)

    // Random bytes are no media: safe, with a reason.
    for (const id of [third, second]) {
      const end = await untilState(id, 'unplayable', 'ready', 'failed')
      expect(end, JSON.stringify(end)).toMatchObject({ state: 'unplayable' })
    }
    const recoveredMs = performance.now() - killedAtMs
    process.stdout.write(
      `processes: SIGTERM to exit ${Math.round(stopMs)} ms, taken over after ${Math.round(takenMs)} ms; after kill -9 done in ${Math.round(recoveredMs)} ms\n`,
    )
    const sha256 = createHash('sha256').update(large).digest('hex')
    expect(await originalHash(second)).toBe(sha256)
    expect(await originalHash(third)).toBe(sha256)

    // Nothing twice: one receipt, one stored attempt of the original, its five fragments and no others, one row of work a stage.
    expect(await rows('select count(*)::int as count from recordings')).toEqual([{ count: 3 }])
    for (const id of [first, second, third]) {
      expect(await rows('select count(*)::int as count from receipts where recording = $1', id)).toEqual([{ count: 1 }])
      expect(
        await rows(
          "select count(*)::int as count from attempts where recording = $1 and kind = 'original' and state = 'stored'",
          id,
        ),
      ).toEqual([{ count: 1 }])
      const work = await rows('select stage, count(*)::int as count from work where recording = $1 group by stage', id)
      expect(work.every(({ count }) => count === 1)).toBe(true)
    }

    // The state of the organisation is written by upkeep, from what the api changed.
    const generation = async (): Promise<number> =>
      Number((await rows('select state_generation::int as generation from organisations'))[0]?.['generation'])
    const before = await generation()
    expect(before).toBeGreaterThan(0)
    expect((await call('DELETE', `/links/${link.id}`)).ok).toBe(true)
    await until('a new state', async () => ((await generation()) > before ? true : undefined), 20_000)
    expect(await play()).not.toBe(206)

    // Metrics tell what happened, and nothing else.
    expect(
      await upkeep.metric('mosaik_catalog_call_seconds_count', { part: 'installation', outcome: 'ok' }),
    ).toBeGreaterThan(0)
    expect((await upkeep.get('/metrics')).text).toContain('mosaik_work_open')
    expect(await transcode.metric('mosaik_work_seconds_count', { stage: 'transcode', outcome: 'done' })).toBe(3)
    expect(await api.metric('mosaik_unwraps_total', { purpose: 'play' })).toBeGreaterThan(0)
    expect(await api.metric('mosaik_open_streams')).toBe(0)
    expect(await last.metric('mosaik_node_call_seconds_count', { call: 'write', outcome: 'ok' })).toBeGreaterThan(0)
    const pages = await Promise.all(
      [api, last, transcode, upkeep].map(async (member) => (await member.get('/metrics')).text),
    )
    for (const page of pages) {
      expect(page).not.toContain('Kestrel')
      expect(page).not.toContain(first)
    }

    // All stop in order; nothing was said that should not be.
    const rest = [api, last, transcode, upkeep]
    for (const member of rest) member.kill('SIGTERM')
    for (const member of rest) expect(await member.exit(), member.output).toEqual({ code: 0, signal: null })
    const said = members.map((member) => member.output).join('\n')
    for (const secret of [PASSPHRASE, REDIS_PASSWORD, host, operator, token, 'Kestrel', 'ExperimentalWarning']) {
      expect(said).not.toContain(secret)
    }
    const faults = members.flatMap(({ lines }) => lines).filter(({ level }) => level === 'error')
    expect(faults).toEqual([])
  })
})
