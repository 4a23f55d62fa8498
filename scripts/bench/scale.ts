import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describeFile } from '../../src/adapters/file-source.ts'
import { nodeClock, nodeRandom } from '../../src/adapters/node-system.ts'
import { readConfig } from '../../src/main/config.ts'
import { setUp } from '../../src/main/setup.ts'
import { openVault, type Vault } from '../../src/main/vault.ts'
import { compiled } from '../../test/support/compiled.ts'
import { available, service } from '../../test/support/services/start-service.ts'
import { silentLog } from '../../test/support/test-vault.ts'
import { film } from './media.ts'
import { MORE, Skipped, interleave, type Measurement, type Options, type Row } from './row.ts'
import { ONE_CORE, need, warmMemory } from './tools.ts'
import { sizeOf } from './vault.ts'

/** Films that are stored and remuxed in one turn, by one process or shared by two. */
const FILMS = 4
/** Starting the media tool is the same work for each of them, and does not scale where page tables are the hypervisor's: docs/PERFORMANCE.md. */
const LENGTHS = [
  { name: 'scale.two-processes', what: 'half an hour', seconds: 1800 },
  { name: 'scale.two-processes.five-minutes', what: 'five minutes', seconds: 300 },
] as const
/** Original and rendition, 2.5 times each, and what lies around them. */
const STORED_FOR_A_BYTE = 5.2
const POLL_MS = 100
const PASSPHRASE = 'a passphrase of benches'

/** A worker process on one core of its own; resolves when it takes work. */
async function startWorker(core: string, environment: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('scale-child.ts', import.meta.url))
  const args = ['-c', core, process.execPath, '--disable-warning=ExperimentalWarning', script]
  const child = spawn('taskset', args, { env: environment, stdio: ['ignore', 'pipe', 'inherit'] })
  // broken off, the benchmark leaves none behind
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  child.once('exit', () => process.off('exit', kill))
  return await new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error('a worker process ended before it was ready')))
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.includes('"process.ready"')) resolve(child)
    })
  })
}

async function stopWorker(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

/** Deposits so many films and waits until all are ready. */
async function work(vault: Vault, organisation: string, path: string, films: number): Promise<void> {
  const { sizeBytes, modifiedAtMs } = await describeFile(path)
  const open = new Set<string>()
  for (let i = 0; i < films; i++) {
    const { recording } = await vault.intake.deposit(organisation, {
      info: {
        title: 'a film',
        source: { kind: 'bench', externalId: null },
        host: { id: 'host', name: 'Host', email: null },
        participants: [],
        startedAtMs: null,
      },
      original: { kind: 'file', path, sizeBytes, modifiedAtMs, deleteAfterReceipt: false },
      captions: [],
    })
    open.add(recording)
  }
  while (open.size > 0) {
    await sleep(POLL_MS)
    for (const { id, state } of await vault.catalog.recordings.list({ organisation, limit: films })) {
      if (state === 'failed' || state === 'unplayable') throw new Error(`a film is ${state}`)
      if (state === 'ready') open.delete(id)
    }
  }
}

async function measure({ folder, repetitions }: Options): Promise<Row[]> {
  const codecs = '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 -b:v 1M -c:a aac -b:a 96k'
  const short = await film(join(folder, 'short.mp4'), 10, codecs, '640x360')
  const environment: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'],
    MOSAIK_DATA: join(folder, 'vault'),
    MOSAIK_DATABASE_URL: await (await service('postgres')).createDatabase(),
    MOSAIK_REDIS_URL: (await service('redis', { instance: 'bench-scale' })).url,
    MOSAIK_PASSPHRASE: PASSPHRASE,
    MOSAIK_THREADS: '1',
    ...compiled,
  }
  const config = readConfig({}, environment)
  const random = nodeRandom()
  const scheme = { k: 3, n: 5, t: 1 }
  const { organisation } = await setUp(config, { name: 'bench', scheme, placementRule: 'none' })
  const vault = await openVault({
    ...{ config, opening: { passphrase: PASSPHRASE }, clock: nodeClock, random, log: silentLog },
    ...{ groups: ['api'], childEnvironment: {} },
  })
  const places = Array.from({ length: scheme.n }, (_, i) => join(folder, 'nodes', String(i + 1)))
  for (const [i, place] of places.entries()) {
    mkdirSync(place, { recursive: true })
    const owner = { country: 'DE', operator: `operator ${i}`, parent: `operator ${i}`, site: `site ${i}` }
    await vault.nodes.add({ name: `node-${i}`, ...owner, settings: { driver: 'directory', path: place } })
  }
  const secondsFor = async (path: string): Promise<number> => {
    warmMemory(folder, FILMS * STORED_FOR_A_BYTE * sizeOf(path))
    const began = performance.now()
    await work(vault, organisation, path, FILMS)
    const elapsed = (performance.now() - began) / 1000
    // what is stored lies in memory: the next turn takes the same
    for (const place of places) rmSync(join(place, 'f'), { recursive: true, force: true })
    return elapsed
  }
  const first = await startWorker(ONE_CORE, environment)
  const rows: Row[] = []
  for (const { name, what, seconds } of LENGTHS) {
    const path = await film(join(folder, `film-${seconds}.mp4`), seconds, codecs, '640x360')
    const [one, two] = await interleave(repetitions, [
      () => secondsFor(path),
      async () => {
        const second = await startWorker('0', environment)
        // what a process does for the first time does not count
        await work(vault, organisation, short, 2)
        const elapsed = await secondsFor(path)
        await stopWorker(second)
        return elapsed
      },
    ])
    const peer = 'one; each on one core with one thread, both share catalog, Redis and nodes'
    const detail = `${FILMS} films of ${what} in ${two!.toFixed(1)} s : ${one!.toFixed(1)} s`
    rows.push({ name, value: one! / two!, unit: MORE, goal: 1.6, peer, detail })
    rmSync(path)
  }
  await stopWorker(first)
  await vault.close()
  return rows
}

export const scaleMeasurements: Measurement[] = [
  {
    names: LENGTHS.map(({ name }) => name),
    unit: MORE,
    async run(options): Promise<Row[]> {
      await need('taskset', 'util-linux')
      if (availableParallelism() < 2) throw new Skipped('two processes on one core say nothing')
      for (const kind of ['postgres', 'redis'] as const) {
        if (!available(kind)) throw new Skipped(`${kind} is not on this machine`)
      }
      return await measure(options)
    },
  },
]
