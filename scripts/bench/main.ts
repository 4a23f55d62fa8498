/**
 * npm run bench: measures this checkout against its peers on this machine and prints one table.
 *
 *   --full        large files and catalogs
 *   --peers       first installs the peers from Debian (needs root)
 *   --only REGEX  rows whose name matches
 *   --repetitions N  counted turns, default 5, at least 5
 *   --json FILE   writes every row as {name, value, unit, goal, peer}
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Skipped, isMet, type Measurement, type Options, type Row } from './row.ts'

const { values: flags } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    peers: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    json: { type: 'string' },
    repetitions: { type: 'string', default: '5' },
  },
})

const PEERS = 'gcc libc6-dev libisal-dev libssl-dev age restic rclone libgfshare-bin util-linux'

/** Families are loaded one by one: what one of them needs does not keep the others from running. */
const families: (() => Promise<Measurement[]>)[] = [
  async () => (await import('./kernel.ts')).kernelMeasurements,
  async () => (await import('./compute.ts')).computeMeasurements,
  async () => (await import('./files.ts')).fileMeasurements,
  async () => (await import('./memory.ts')).memoryMeasurements,
  async () => (await import('./media.ts')).mediaMeasurements,
  async () => (await import('./catalog.ts')).catalogMeasurements,
  async () => (await import('./network.ts')).networkMeasurements,
  async () => (await import('./player.ts')).playerMeasurements,
  async () => (await import('./queue.ts')).queueMeasurements,
  async () => (await import('./scale.ts')).scaleMeasurements,
]

function show(row: Row): void {
  const met = isMet(row)
  const value = row.value === null ? 'skipped' : row.value.toFixed(row.value < 10 ? 2 : 0)
  const goal = row.goal === null ? '' : String(row.goal)
  const mark = met === undefined ? '' : met ? 'met' : 'MISSED'
  const rest = row.skipped ?? `${row.unit}; ${row.peer}${row.detail === undefined ? '' : ` (${row.detail})`}`
  console.log(`${row.name.padEnd(34)} ${value.padStart(8)} ${goal.padStart(6)} ${mark.padEnd(6)} ${rest}`)
}

function tmpfs(): string {
  try {
    if (statfsSync('/dev/shm').type === 0x01021994) return '/dev/shm'
  } catch {
    // not Linux
  }
  return process.env['TMPDIR'] ?? '/tmp'
}

if (flags.peers) execFileSync('apt-get', ['install', '-y', '-q', ...PEERS.split(' ')], { stdio: 'inherit' })
const base = mkdtempSync(join(tmpfs(), 'mosaik-bench-'))
process.once('exit', () => rmSync(base, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))

const only = new RegExp(flags.only)
const repetitions = Math.max(5, Number(flags.repetitions))
const rows: Row[] = []
console.log(
  `${cpus().length} × ${cpus()[0]?.model ?? 'processor'}, Node ${process.versions.node}, load ${loadavg()[0]!.toFixed(1)}, medians of ${repetitions}`,
)
console.log(`${'name'.padEnd(34)} ${'value'.padStart(8)} ${'goal'.padStart(6)}`)
for (const load of families) {
  for (const measurement of await load()) {
    if (!measurement.names.some((name) => only.test(name))) continue
    const folder = join(base, 'run')
    mkdirSync(folder, { recursive: true })
    const options: Options = { isFull: flags.full, repetitions, folder }
    let measured: Row[]
    try {
      measured = await measurement.run(options)
    } catch (error) {
      const reason = error instanceof Error ? error.message.split('\n')[0]! : 'failed'
      const skipped = error instanceof Skipped ? `skipped: ${reason}` : `skipped: failed with ${reason}`
      if (!(error instanceof Skipped)) console.error(error)
      measured = measurement.names.map((name) => ({
        ...{ name, value: null, unit: measurement.unit, goal: null, peer: '', skipped },
      }))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
    for (const row of measured.filter(({ name }) => only.test(name))) {
      rows.push(row)
      show(row)
    }
  }
}
const judged = rows.map(isMet)
console.log(
  `${judged.filter((met) => met === true).length} goals met, ${judged.filter((met) => met === false).length} missed, ${rows.filter(({ value }) => value === null).length} rows skipped; load ${loadavg()[0]!.toFixed(1)}`,
)
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(rows, null, 2)}\n`)
process.exit(0)
