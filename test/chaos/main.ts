import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { setTimeout as sleep } from 'node:timers/promises'
import { runFolder } from '../support/services/run-folder.ts'
import { destroyAll } from '../support/services/starters.ts'
import { available } from '../support/services/start-service.ts'
import { Seeded } from '../simulation/seeded.ts'
import { CANARY, contentOf, deposit, makeClip, originalHash, sha256, type Deposit } from './client.ts'
import { Cluster, PASSPHRASE } from './cluster.ts'
import { coreFiles, scan } from './disk-scan.ts'
import { killSomething } from './kills.ts'
import { StepWatch, steps as namedSteps } from './steps.ts'
import { judge } from './verdict.ts'

// npm run chaos -- --kills N [--seed S] [--json FILE] [--recovery-s 60]

const KILLS_A_ROUND = 20
/** Offered at its beginning; others when somebody waits for a step. */
const DEPOSITS_A_ROUND = 2
const MOST_BETWEEN_KILLS_MS = 1_500
/** Longer than a lease of work, and than a lock of the queue. */
const PAUSE_MS = [31_000, 36_000] as const
/** Nothing that was acknowledged may take longer, whatever `--recovery-s` says. */
const GIVE_UP_MS = 15 * 60_000
const HASTY_HANDS = 10
const READS_AT_ONCE = 4

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    seed: { type: 'string' },
    json: { type: 'string' },
    'recovery-s': { type: 'string', default: '60' },
  },
})

process.exitCode = await run()

async function run(): Promise<number> {
  const absent = (['ceph', 'swift', 'redis', 'postgres'] as const).filter((kind) => !available(kind))
  if (absent.length > 0) {
    process.stderr.write(`chaos needs ${absent.join(', ')}: run \`sh scripts/setup.sh test\`\n`)
    return 2
  }
  const servers = runFolder()
  try {
    return await chaos()
  } finally {
    await destroyAll(servers)
  }
}

async function chaos(): Promise<number> {
  const startedAt = new Date()
  const [kills, recoveryLimitS] = [Number(values.kills), Number(values['recovery-s'])]
  const seed = Number(values.seed ?? startedAt.getTime() % 1_000_000)
  const chance = new Seeded(seed)
  const clip = makeClip()
  let watch: StepWatch | undefined
  const cluster = await Cluster.begin(async (url) => {
    watch = await StepWatch.begin(url)
  })
  const deposits: Deposit[] = []
  const counts: Record<string, number> = {}
  const steps: Record<string, number> = {}
  const unfinished: string[] = []
  let [killed, flushes, lostLocks, pauses, slowestRecoveryMs, isOver] = [0, 0, 0, 0, 0, false]
  const clients = new Set<Promise<void>>()
  let isEnough = false
  // Who is tired of it gets the verdict on what was killed so far.
  process.once('SIGINT', () => (isEnough = true))
  try {
    while (killed < kills && !isEnough) {
      const beganMs = performance.now()
      const background = new Set<Promise<unknown>>([pauseOne()])
      const due = Math.min(KILLS_A_ROUND, kills - killed)
      const offerOne = (isPlayable = chance.chance(0.4)): void =>
        offer(chance.chance(0.25) ? HASTY_HANDS : 1, isPlayable)
      for (let i = 0; i < DEPOSITS_A_ROUND; i++) offerOne()
      for (let i = 0; i < due; i++) {
        await sleep(chance.between(0, MOST_BETWEEN_KILLS_MS))
        if (chance.chance(0.2) && (await cluster.flush())) flushes++
        if (chance.chance(0.3)) lostLocks += (await cluster.loseLocks()) ?? 0
        const kill = await killSomething({ cluster, watch: watch!, chance, steps, offer: offerOne, background })
        killed++
        counts[kill] = (counts[kill] ?? 0) + 1
      }
      const killingS = Math.round((performance.now() - beganMs) / 1000)
      await Promise.all(background)
      const recoveryMs = await untilFinished()
      slowestRecoveryMs = Math.max(slowestRecoveryMs, recoveryMs)
      process.stdout.write(
        `${killed} kills, ${deposits.length} recordings: killed for ${killingS} s, finished after ${Math.round(recoveryMs / 1000)} s\n`,
      )
    }
    isOver = true
    await Promise.all(clients)
    const wrongBytes = await compareAll()
    stage('read everything')
    await watch?.close()
    await cluster.stopProcesses()
    const verdict = await judge(cluster, deposits)
    stage('judged')
    const secrets = new Map([
      ...verdict.keys,
      ['content', Buffer.from(CANARY)],
      ['passphrase', Buffer.from(PASSPHRASE)],
      ['token', Buffer.from(cluster.host)],
    ])
    for (const [i, slot] of cluster.slots.entries())
      writeFileSync(`${cluster.folder}/log-${i}-${slot.group}.txt`, slot.output)
    const disk = scan([cluster.folder, runFolder(), ...coreFiles()], secrets)
    stage('searched disks')
    const figures = {
      date: startedAt.toISOString(),
      command: `npm run chaos -- --kills ${kills} --seed ${seed}`,
      seed,
      kills: killed,
      acknowledged: deposits.filter(({ acknowledged }) => acknowledged.size > 0).length,
      lost: verdict.lost.length + unfinished.length,
      duplicates: verdict.duplicates.length,
      orphans: verdict.orphans.length,
      wrongBytes: wrongBytes.length,
      plaintextHits: disk.hits.length,
      otherViolations: verdict.otherViolations.length,
      slowestRecoveryS: Math.round(slowestRecoveryMs / 1000),
      ...{
        flushes,
        lostLocks,
        pauses,
        killsOf: counts,
        steps,
        scannedFiles: disk.files,
        scannedMiB: Math.round(disk.bytes / 2 ** 20),
      },
      elapsedS: Math.round((Date.now() - startedAt.getTime()) / 1000),
    }
    const words = [
      ...verdict.lost,
      ...unfinished,
      ...verdict.duplicates,
      ...verdict.orphans,
      ...wrongBytes,
      ...disk.hits,
    ]
    words.push(...verdict.otherViolations)
    if (figures.slowestRecoveryS > recoveryLimitS) words.push(`a recovery took ${figures.slowestRecoveryS} s`)
    process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`)
    for (const one of words) process.stdout.write(`VIOLATION ${one}\n`)
    if (values.json !== undefined)
      writeFileSync(values.json, `${JSON.stringify({ ...figures, violations: words }, null, 2)}\n`)
    return words.length > 0 || killed < kills ? 1 : 0
  } finally {
    isOver = true
    await watch?.close()
    await cluster.stopProcesses()
    cluster.remove()
  }

  function stage(name: string): void {
    process.stdout.write(`${name} after ${Math.round((Date.now() - startedAt.getTime()) / 1000)} s\n`)
  }

  /** In the middle of something that takes leases, one process is stopped until they have run out. */
  async function pauseOne(): Promise<void> {
    const names = chance.pick([
      ['fragment-begun', 'manifest-begun'],
      ['rendition-begun', 'transcode-claimed'],
      ['state-begun'],
    ])
    const [index, durationMs] = [chance.between(0, 99), chance.between(...PAUSE_MS)]
    const step = await watch?.next(new Set(names), 10_000)
    const group = namedSteps.find(({ name }) => name === step)?.group
    if (group === undefined) return
    pauses++
    await cluster.pauseOne(group, index, durationMs)
  }

  function offer(hands: number, isPlayable: boolean): void {
    const content = contentOf(clip, chance, isPlayable)
    const externalId = `meeting-${deposits.length}`
    const one = {
      externalId,
      sha256: sha256(content),
      isPlayable,
      acknowledged: new Set<string>(),
      lastAnswers: new Map(),
    }
    deposits.push(one)
    for (let i = 0; i < hands; i++) {
      const client = deposit(cluster, content, one, i, () => isOver)
      clients.add(client)
      void client.finally(() => clients.delete(client))
    }
  }

  /** Milliseconds until everything is acknowledged and no work is open. What is not after a long time is lost. */
  async function untilFinished(): Promise<number> {
    const beganMs = performance.now()
    let isSlow = false
    while (performance.now() - beganMs < GIVE_UP_MS) {
      const open = await openWork()
      if (clients.size === 0 && open.length === 0) return performance.now() - beganMs
      if (!isSlow && performance.now() - beganMs > recoveryLimitS * 1000) {
        isSlow = true
        process.stdout.write(`not finished after ${recoveryLimitS} s: ${whatIsOpen(open)}\n`)
      }
      await sleep(250)
    }
    unfinished.push(`not finished after ${GIVE_UP_MS} ms: ${whatIsOpen(await openWork())}`)
    return GIVE_UP_MS
  }

  function whatIsOpen(work: readonly string[]): string {
    const answers = deposits.flatMap(({ lastAnswers }) => [...lastAnswers.values()])
    return `${clients.size} clients (${answers.join('; ')}) and ${work.length} pieces of work (${work.join('; ')})`
  }

  async function openWork(): Promise<string[]> {
    const client = new pg.Client({ connectionString: cluster.databaseUrl })
    try {
      await client.connect()
      const { rows } = await client.query<Record<string, string>>(
        `select stage, state, attempts_count, due_at_ms - extract(epoch from now())::bigint * 1000 as due_in_ms, error
          from work where state in ('pending', 'running')`,
      )
      return rows.map((row) => JSON.stringify(row))
    } catch (error) {
      return [`the database does not answer: ${error instanceof Error ? error.message : ''}`]
    } finally {
      await client.end().catch(() => undefined)
    }
  }

  async function compareAll(): Promise<string[]> {
    const wrong: string[] = []
    const left = deposits.flatMap(({ acknowledged, ...one }) => [...acknowledged].map((id) => ({ ...one, id })))
    const reader = async (): Promise<void> => {
      for (let one = left.shift(); one; one = left.shift()) {
        const { externalId, id, sha256: due } = one
        try {
          if ((await originalHash(cluster, id)) !== due) wrong.push(`${externalId} (${id}) has other bytes`)
        } catch (error) {
          wrong.push(`${externalId} (${id}) cannot be read: ${error instanceof Error ? error.message : String(error)}`)
        }
      }
    }
    await Promise.all(Array.from({ length: READS_AT_ONCE }, reader))
    return wrong
  }
}
