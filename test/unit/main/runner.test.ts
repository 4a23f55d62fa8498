import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openSqliteCatalog } from '../../../src/adapters/sql-catalog/open.ts'
import { nodeRandom } from '../../../src/adapters/node-system.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import { toHex, type Id } from '../../../src/domain/ids.ts'
import { runWork, type QueueSpec, type Reason, type RunnerPorts } from '../../../src/main/runner.ts'
import type { Catalog } from '../../../src/ports/catalog.ts'
import type { StageContext } from '../../../src/pipeline/stage.ts'
import { HeldClock, settled } from '../../support/held-clock.ts'

const never = new AbortController().signal
const random = nodeRandom()
const id = (): Id => toHex(random.bytes(16))
let folder: string
let catalog: Catalog
let clock: HeldClock
let work: Id
let recording: Id
let ports: RunnerPorts
let announced: { readonly fence: number; readonly delayMs: number }[]
let logged: string[]
let told: { readonly hook: 'waiting' | 'failed'; readonly reason: Reason }[]

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mosaik-runner-'))
  clock = new HeldClock()
  catalog = openSqliteCatalog(join(folder, 'catalog.sqlite'), clock)
  await catalog.migrate()
  const organisation = id()
  const scheme = { k: 3, n: 5, t: 1 }
  await catalog.installation.addOrganisation({
    id: organisation,
    name: 'test',
    scheme,
    placementRule: 'none',
    createdAtMs: 0,
    stateGeneration: 0,
    stateSha256: null,
  })
  work = id()
  recording = id()
  await catalog.recordings.create({
    id: recording,
    organisation,
    title: 'a meeting',
    hostId: 'host',
    sourceKind: 'test',
    externalId: null,
    startedAtMs: null,
    scheme,
    atMs: clock.nowMs(),
    work: { id: work, stage: 'store', input: { kind: 'vault' } },
  })
  announced = []
  logged = []
  told = []
  const note = (event: string, fields = {}): void => void logged.push(`${event} ${JSON.stringify(fields)}`)
  ports = {
    catalog,
    clock,
    random,
    log: { info: note, warn: note, error: note },
    announce: ({ fence }, delayMs) => void announced.push({ fence, delayMs }),
  }
})
afterEach(async () => {
  await settled()
  expect(clock.sleepersCount).toBe(0)
  await catalog.close()
  rmSync(folder, { recursive: true })
})

function spec(handler: (context: StageContext) => Promise<unknown>, more: Partial<QueueSpec> = {}): QueueSpec {
  return {
    stage: 'store',
    concurrency: 1,
    leaseMs: 30_000,
    maxAttempts: 3,
    handler: async (context) => {
      await handler(context)
      return { next: [] }
    },
    waiting: (_work, reason) => Promise.resolve(void told.push({ hook: 'waiting', reason })),
    failed: (_work, reason) => Promise.resolve(void told.push({ hook: 'failed', reason })),
    ...more,
  }
}

const row = async () => (await catalog.work.get(work))!
const failing = (error: unknown) => spec(() => Promise.reject(error))
const later = (): void => void clock.advance(120_000, 120_000)

describe('runWork', () => {
  it('runs the stage once and enqueues what comes after it', async () => {
    let runs = 0
    const once = spec(() => Promise.resolve(runs++))
    const next = { ...once, handler: async () => ({ next: [{ stage: 'release', input: { kind: 'vault' } }] as const }) }
    await runWork(ports, next, work, never)
    await runWork(ports, once, work, never)
    expect(runs).toBe(0)
    expect(await row()).toMatchObject({ state: 'done', attemptsCount: 1, error: null })
    const all = await catalog.work.ofRecording(recording)
    expect(all.map(({ stage, state }) => `${stage} ${state}`).sort()).toEqual(['release pending', 'store done'])
    expect(announced).toEqual([{ fence: 0, delayMs: 0 }])
  })

  it('shows progress while it runs, and keeps the lease', async () => {
    let finish: () => void = () => undefined
    const running = runWork(
      ports,
      spec(async ({ progress }) => {
        progress(10.7, 100.2)
        await new Promise<void>((resolve) => (finish = resolve))
        progress(100, 100)
      }),
      work,
      never,
    )
    await settled()
    await clock.advance(1_000, 1_000)
    expect(await row()).toMatchObject({ state: 'running', doneUnits: 10, totalUnits: 100 })
    await clock.advance(300_000, 1_000)
    expect((await row()).leaseUntilMs).toBeGreaterThan(clock.nowMs())
    finish()
    await running
    expect(await row()).toMatchObject({ state: 'done', doneUnits: 100 })
    expect(logged.filter((line) => line.startsWith('work.renew-failed'))).toEqual([])
  })

  it('tries again later and later, says why, and gives up after the last try', async () => {
    const delays: number[] = []
    for (let attempt = 1; attempt <= 3; attempt++) {
      await runWork(ports, failing(new MosaikError('E_MEDIA_TOOL', 'the tool broke')), work, never)
      const { state, runAtMs, error } = await row()
      expect(state).toBe(attempt < 3 ? 'pending' : 'failed')
      expect(error).toEqual({ code: 'E_MEDIA_TOOL', message: 'the tool broke' })
      if (attempt < 3) delays.push(runAtMs - clock.nowMs())
      later()
    }
    expect(delays[0]).toBeGreaterThanOrEqual(500)
    expect(delays[1]).toBeGreaterThanOrEqual(1000)
    expect(delays[1]).toBeLessThanOrEqual(2000)
    expect(announced.map(({ fence }) => fence)).toEqual([1, 2])
    expect(told.map(({ hook }) => hook)).toEqual(['waiting', 'waiting', 'failed'])
  })

  it('gives up at once when trying again can never help', async () => {
    await runWork(ports, failing(new MosaikError('E_SOURCE_EMPTY', 'the file is empty')), work, never)
    expect((await row()).state).toBe('failed')
    expect(told).toEqual([{ hook: 'failed', reason: { code: 'E_SOURCE_EMPTY', message: 'the file is empty' } }])
  })

  it('has all the patience in the world for nodes, the catalog and locked keys', async () => {
    const codes = ['E_NODES_TOO_FEW', 'E_PLACEMENT_RULE', 'E_KEYRING_LOCKED', 'E_KEYRING_RATE'] as const
    for (const code of [...codes, 'E_CATALOG_UNREACHABLE'] as const) {
      for (let i = 0; i < 5; i++) {
        await runWork(ports, failing(new MosaikError(code, 'not now')), work, never)
        expect(await row()).toMatchObject({ state: 'pending', error: { code } })
        expect((await row()).runAtMs - clock.nowMs()).toBeLessThanOrEqual(60_000)
        later()
      }
    }
    // Waiting has used no try up: another trouble gets one more, and then it is over.
    const broken = failing(new MosaikError('E_MEDIA_TOOL', 'the tool broke'))
    await runWork(ports, broken, work, never)
    expect((await row()).state).toBe('pending')
    later()
    await runWork(ports, broken, work, never)
    expect((await row()).state).toBe('failed')
  })

  it.each([
    'E_NODES_TOO_FEW',
    'E_SHARES_TOO_FEW',
    'E_PLACEMENT_RULE',
    'E_NODE_UNREACHABLE',
    'E_CATALOG_UNREACHABLE',
    'E_KEYRING_LOCKED',
    'E_KEYRING_RATE',
  ] as const)(
    'tries what waits for something (%s) at least every 15 s, and it is done at the first try after',
    async (code) => {
      const latest = { ...ports, random: { ...random, fraction: () => 1 } }
      let isBack = false
      const waiting = spec(() => (isBack ? Promise.resolve() : Promise.reject(new MosaikError(code, 'not now'))))
      for (let tries = 0; tries < 12; tries++) {
        await runWork(latest, waiting, work, never)
        const delayMs = announced.at(-1)?.delayMs
        // Nobody takes it before; the queue, and the sweep of the catalog, have it then.
        await clock.advance(delayMs - 1, delayMs)
        expect(await catalog.work.due(clock.nowMs(), 10)).toEqual([])
        await clock.advance(1, 1)
        expect((await catalog.work.due(clock.nowMs(), 10)).map(({ id: due }) => due)).toEqual([work])
      }
      const [doubled, patient] = [[1000, 2000, 4000, 8000], Array<number>(8).fill(15_000)]
      expect(announced.map(({ delayMs }) => delayMs)).toEqual([...doubled, ...patient])
      isBack = true
      await runWork(latest, waiting, work, never)
      expect(await row()).toMatchObject({ state: 'done', error: null })
    },
  )

  it('lets other trouble rest for up to a minute', async () => {
    const latest = { ...ports, random: { ...random, fraction: () => 1 } }
    const broken = { ...failing(new MosaikError('E_MEDIA_TOOL', 'the tool broke')), maxAttempts: 9 }
    for (let tries = 0; tries < 8; tries++) {
      await runWork(latest, broken, work, never)
      later()
    }
    expect(announced.map(({ delayMs }) => delayMs).slice(4)).toEqual([16_000, 32_000, 60_000, 60_000])
  })

  it('tells of an unexpected fault where it was, not what it said', async () => {
    const secret = 'AKIA-very-secret'
    const error = (() => {
      try {
        return JSON.parse(`{"key": ${secret}}`) as Error
      } catch (thrown) {
        return thrown
      }
    })()
    expect(String(error)).toContain('AKIA')
    await runWork(ports, failing(error), work, never)
    expect(await row()).toMatchObject({ state: 'pending', error: { code: 'E_INTERNAL' } })
    await clock.advance(120_000, 120_000)
    await runWork(ports, failing(new MosaikError('E_MEDIA_TOOL', 'the tool broke', {}, error)), work, never)
    const text = logged.join('\n')
    expect(text).toContain('SyntaxError')
    expect(text).toContain('runner.test.ts')
    expect(text).not.toContain('AKIA')
    expect(JSON.stringify([await row(), told])).not.toContain('AKIA')
  })

  it('hands work back at once when the vault stops, and wastes no try', async () => {
    for (let i = 0; i < 6; i++) {
      const shutdown = new AbortController()
      const running = runWork(
        ports,
        spec(
          ({ signal }) =>
            new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error))),
        ),
        work,
        shutdown.signal,
      )
      await settled()
      shutdown.abort()
      await running
      expect(await row()).toMatchObject({ state: 'pending', runAtMs: clock.nowMs(), error: { code: 'E_ABORTED' } })
    }
    expect(told).toEqual([])
    expect(logged.filter((line) => !line.startsWith('work.handed-back'))).toEqual([])
    await runWork(ports, failing(new MosaikError('E_MEDIA_TOOL', 'the tool broke')), work, never)
    expect((await row()).state).toBe('pending')
    const stopped = new AbortController()
    stopped.abort()
    later()
    await runWork(
      ports,
      spec(() => Promise.reject(new Error('ran'))),
      work,
      stopped.signal,
    )
    expect((await row()).state).toBe('pending')
  })

  it('stops when its lease is lost, and writes nothing any more', async () => {
    let reason: unknown
    const running = runWork(
      ports,
      spec(
        ({ signal }) =>
          new Promise((_, reject) =>
            signal.addEventListener('abort', () => {
              reason = signal.reason
              reject(signal.reason as Error)
            }),
          ),
      ),
      work,
      never,
    )
    await settled()
    // Another one claims it behind its back: this process slept through its lease.
    await clock.advance(60_000, 60_000).catch(() => undefined)
    const other = await catalog.work.claim(work, clock.nowMs() + 60_000, 30_000)
    expect(other?.fence).toBe(2)
    await clock.advance(20_000, 1_000)
    await running
    expect(reason).toMatchObject({ code: 'E_LEASE_LOST' })
    expect(await row()).toMatchObject({ state: 'running', fence: 2, error: null })
    expect(told).toEqual([])
  })

  it('a catalog that does not answer for a moment is no lost lease', async () => {
    let isAway = true
    let finish: () => void = () => undefined
    const shaky: Catalog = {
      ...catalog,
      work: {
        ...catalog.work,
        renew: (...given) =>
          isAway ? Promise.reject(new MosaikError('E_INTERNAL', 'no answer')) : catalog.work.renew(...given),
      },
    }
    const running = runWork(
      { ...ports, catalog: shaky },
      spec(() => new Promise<void>((resolve) => (finish = resolve))),
      work,
      never,
    )
    await settled()
    await clock.advance(25_000, 1_000)
    isAway = false
    await clock.advance(5_000, 1_000)
    finish()
    await running
    expect((await row()).state).toBe('done')
  })

  it('dies between the hook and its own row without leaving a recording that says nothing', async () => {
    const broken: Catalog = {
      ...catalog,
      work: { ...catalog.work, fail: () => Promise.reject(new MosaikError('E_INTERNAL', 'no answer')) },
    }
    await runWork({ ...ports, catalog: broken }, failing(new MosaikError('E_SOURCE_EMPTY', 'empty')), work, never)
    expect(told.map(({ hook }) => hook)).toEqual(['failed'])
    // Its lease runs out, and the next run comes to the same end.
    expect((await row()).state).toBe('running')
    await clock.advance(31_000, 31_000)
    await runWork(ports, failing(new MosaikError('E_SOURCE_EMPTY', 'empty')), work, never)
    expect((await row()).state).toBe('failed')
  })
})
