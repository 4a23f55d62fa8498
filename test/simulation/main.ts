import { fork, type ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { makeKeys } from './keys.ts'
import { simulate, type Simulated } from './simulate.ts'

// npm run simulate -- --seed S [--trace]
// npm run simulate -- --seeds N [--from M] [--json FILE]

const CHILDREN = 2
/** Seeds that a child is given at a time. */
const BATCH = 10
/** Batches until a child is replaced: what a killed process waited for waits for ever, and nothing of it is freed. */
const BATCHES_OF_A_CHILD = 20
const HIGHEST_SEED = 2 ** 48

const options = {
  seed: { type: 'string' },
  seeds: { type: 'string' },
  from: { type: 'string' },
  json: { type: 'string' },
  trace: { type: 'boolean', default: false },
} as const

if (process.send) serve()
else process.exitCode = await run()

/** A child: simulates what it is told to, until the parent goes. */
function serve(): void {
  const keys = makeKeys()
  process.on('message', (seeds: readonly number[]) => {
    void (async () => {
      const ready = await keys
      const results: Simulated[] = []
      for (const seed of seeds) results.push(await simulate(seed, ready))
      process.send?.(results)
    })()
  })
  process.on('disconnect', () => process.exit())
}

async function run(): Promise<number> {
  let given
  try {
    given = parseArgs({ options }).values
    if (given.seed !== undefined) return await replay(whole('--seed', given.seed), given.trace)
    const count = whole('--seeds', given.seeds ?? '100')
    const from = whole('--from', given.from ?? '1')
    return await many(from, count, given.json)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 2
  }
}

function whole(name: string, text: string): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number <= HIGHEST_SEED) return number
  throw new Error(`${name} takes a whole number up to ${HIGHEST_SEED}, not ${text}`)
}

/** One seed, with all that happens. */
async function replay(seed: number, isTraced: boolean): Promise<number> {
  const result = await simulate(seed, await makeKeys(), (line) => {
    if (isTraced) process.stdout.write(`${line}\n`)
  })
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
  return result.violations.length > 0 ? 1 : 0
}

async function many(from: number, count: number, json: string | undefined): Promise<number> {
  const startedAt = new Date()
  const seeds = Array.from({ length: count }, (_, i) => from + i)
  const results: Simulated[] = []
  const broken: Simulated[] = []
  const note = (result: Simulated): void => {
    results.push(result)
    if (result.violations.length === 0) return
    broken.push(result)
    const words = result.violations.slice(0, 5).map((one) => `  ${one}`)
    process.stdout.write(`seed ${result.seed} (npm run simulate -- --seed ${result.seed})\n${words.join('\n')}\n`)
  }
  const lane = async (): Promise<void> => {
    while (seeds.length > 0) {
      const child = startChild()
      for (let i = 0; i < BATCHES_OF_A_CHILD && seeds.length > 0; i++)
        for (const result of await ask(child, seeds.splice(0, BATCH))) note(result)
      child.disconnect()
    }
  }
  await Promise.all(Array.from({ length: CHILDREN }, lane))
  const sum = (of: (one: Simulated) => number): number => results.reduce((all, one) => all + of(one), 0)
  const figures = {
    date: startedAt.toISOString(),
    command: `npm run simulate -- --seeds ${count} --from ${from}`,
    seeds: results.length,
    brokenSeeds: broken.map(({ seed }) => seed).toSorted((a, b) => a - b),
    recordings: sum(({ recordings }) => recordings),
    deaths: sum(({ deaths }) => deaths),
    events: sum(({ events }) => events),
    reads: sum(({ reads }) => reads),
    failedReads: sum(({ failedReads }) => failedReads),
    wrongBytes: sum(({ wrongBytes }) => wrongBytes),
    slowestRecoveryS: Math.round(results.reduce((most, { recoveryMs }) => Math.max(most, recoveryMs), 0) / 1000),
    simulatedDays: Math.round(sum(({ simulatedMs }) => simulatedMs) / 86_400_000),
    elapsedS: Math.round((Date.now() - startedAt.getTime()) / 1000),
  }
  process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`)
  if (json !== undefined) {
    const violations = broken.map((one) => ({ seed: one.seed, violations: one.violations }))
    writeFileSync(json, `${JSON.stringify({ ...figures, violations }, null, 2)}\n`)
  }
  return results.length === count && broken.length === 0 ? 0 : 1
}

function startChild(): ChildProcess {
  // Young objects have more room than usual: a tenth less time. Errors, of which there are many, have no stacks: a seed that fails is run again.
  return fork(import.meta.filename, {
    execArgv: [...process.execArgv, '--max-semi-space-size=64', '--stack-trace-limit=0'],
  })
}

/** @throws when the child ends instead: a fault that the simulation did not catch */
function ask(child: ChildProcess, seeds: readonly number[]): Promise<Simulated[]> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error(`the simulation ended at one of the seeds ${seeds.join()}`))
    child.once('exit', ended)
    child.once('message', (results) => {
      child.off('exit', ended)
      resolve(results as Simulated[])
    })
    child.send(seeds)
  })
}
