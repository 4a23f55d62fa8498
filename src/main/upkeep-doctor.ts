import { statfs } from 'node:fs/promises'
import { annualLossChance, defaultAssumptions, LossTally } from '../domain/durability.ts'
import type { Scheme } from '../domain/dispersal.ts'
import { acceptsReads } from '../domain/node.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { HealthReport, HealthSource, NodeHealth } from '../ports/health.ts'
import type { NodeOperations, NodeReport } from '../ports/node-operations.ts'
import type { NodePool } from '../ports/node-pool.ts'
import type { Clock } from '../ports/system.ts'
import { badObjects } from '../upkeep/blind/findings.ts'
import { progressOf } from '../upkeep/blind/scrub.ts'
import { shareGroups } from '../upkeep/blind/share-groups.ts'
import { DAY_MS } from './upkeep-health.ts'
import { REPAIR_BYTES_PER_SECOND } from './upkeep-requests.ts'
import { counted } from './screen.ts'

export interface DoctorPorts {
  readonly catalog: Catalog
  readonly nodes: Pick<NodeOperations, 'list'>
  readonly pool: NodePool
  readonly clock: Clock
  readonly confinement: string
  readonly kernel: string
  readonly isReadOnly: () => boolean
  readonly scrubPeriodMs: number
}

/** Recordings that one report looks at; of more it is a sample by id, which is random. */
const MAX_COUNTED = 10_000
const PAGE = 100
const FULL_BELOW = 0.1
const SMALL_FREE_BYTES = 10 * 2 ** 30

/** How the vault is, for operators. */
export function createDoctor(ports: DoctorPorts): HealthSource {
  return {
    async report(signal) {
      const { catalog, clock } = ports
      const nodes = await Promise.all((await ports.nodes.list()).map((node) => nodeHealth(ports, node)))
      const backlog = await catalog.upkeep.backlog()
      const [scrub, audit] = [await catalog.upkeep.task('scrub'), await catalog.upkeep.task('audit')]
      const number = (value: unknown): number | null => (typeof value === 'number' ? value : null)
      const counted = await countLosses(ports, signal)
      const report = {
        atMs: clock.nowMs(),
        nodes,
        confinement: ports.confinement,
        kernel: ports.kernel,
        isReadOnly: ports.isReadOnly(),
        areDeletionsFrozen: await catalog.upkeep.isFlagged('deletions-frozen'),
        backlog,
        repairEtaMs: repairEtaMs(nodes, backlog, counted.schemes),
        scrub: {
          passStartedAtMs: number(scrub?.progress['passStartedAtMs']),
          passEndedAtMs: number(scrub?.progress['passEndedAtMs']),
          startedAtMs: number(scrub?.progress['startedAtMs']),
          isRunning: number(scrub?.progress['startedAtMs']) !== null,
          done: scrub && number(scrub.progress['startedAtMs']) !== null ? progressOf(scrub.progress, 0).done : null,
          auditedAtMs: number(audit?.progress['atMs']),
        },
        durability: {
          assumptions: defaultAssumptions,
          schemes: counted.schemes.map((scheme) => ({ scheme, annualLossChance: annualLossChance(scheme) })),
        },
        losses: counted.losses,
        recordingsCounted: counted.recordingsCounted,
        isSample: counted.isSample,
      }
      return { ...report, advice: adviceOf(report, ports.scrubPeriodMs) }
    },
  }
}

async function nodeHealth({ pool }: DoctorPorts, node: NodeReport): Promise<NodeHealth> {
  const { id, name, driver, state, country, operator, parent, site } = node
  const { trouble, objectsCount, bytes, capabilities, settings } = node
  return {
    ...{ id, name, driver, state, country, operator, parent, site },
    ...{ trouble, objectsCount, bytes, capabilities },
    isHealthy: trouble === null && pool.isHealthy(id),
    freeBytes: await freeBytes(driver === 'directory' ? settings['path'] : undefined),
  }
}

async function freeBytes(path: unknown): Promise<number | null> {
  if (typeof path !== 'string') return null
  const stats = await statfs(path).catch(() => undefined)
  return stats ? stats.bavail * stats.bsize : null
}

async function countLosses(
  { catalog }: DoctorPorts,
  signal: AbortSignal,
): Promise<Pick<HealthReport, 'losses' | 'recordingsCounted' | 'isSample'> & { readonly schemes: readonly Scheme[] }> {
  const nodes = (await catalog.installation.nodes()).filter(acceptsReads)
  const tally = new LossTally(nodes)
  const schemes = new Map<string, Scheme>()
  const readable = new Set(nodes.map(({ id }) => id))
  let recordingsCounted = 0
  // What is known to be bad restores nothing.
  const open = await catalog.upkeep.repairQueue(Number.MAX_SAFE_INTEGER, MAX_COUNTED)
  const bad = badObjects(open.flatMap(({ findings }) => findings))
  let page = await catalog.upkeep.survey(undefined, PAGE)
  while (page.length > 0 && recordingsCounted < MAX_COUNTED) {
    signal.throwIfAborted()
    for (const one of page) {
      recordingsCounted++
      for (const { recording, scheme, rows } of shareGroups(one)) {
        schemes.set(JSON.stringify(scheme), scheme)
        tally.add({
          recording,
          scheme,
          shares: rows.filter(({ node, key }) => readable.has(node) && !bad.has(`${node}/${key}`)),
        })
      }
    }
    page = await catalog.upkeep.survey(page.at(-1)?.recording.id, PAGE)
  }
  return { losses: tally.losses(), recordingsCounted, isSample: page.length > 0, schemes: [...schemes.values()] }
}

/** Every share that is made again costs the reading of k others and its own writing. */
function repairEtaMs(
  nodes: readonly NodeHealth[],
  backlog: HealthReport['backlog'],
  schemes: readonly Scheme[],
): number | null {
  const shares = backlog.filter(({ kind }) => kind !== 'violation').reduce((sum, { count }) => sum + count, 0)
  if (shares === 0) return null
  const objects = nodes.reduce((sum, node) => sum + node.objectsCount, 0)
  const bytes = nodes.reduce((sum, node) => sum + node.bytes, 0)
  const k = Math.max(2, ...schemes.map((scheme) => scheme.k))
  return Math.ceil((shares * (bytes / Math.max(1, objects)) * (k + 1) * 1000) / REPAIR_BYTES_PER_SECOND)
}

function adviceOf(report: Omit<HealthReport, 'advice'>, scrubPeriodMs: number): string[] {
  const advice: string[] = []
  for (const { name, trouble, freeBytes: free, bytes, state } of report.nodes) {
    if (trouble) advice.push(`node ${name} does not do its work: ${trouble.message} (${trouble.code})`)
    if (state === 'active' && free !== null && free < Math.max(SMALL_FREE_BYTES, FULL_BELOW * bytes)) {
      advice.push(`node ${name} has ${Math.round(free / 2 ** 20)} MiB left: make room, or make it read-only`)
    }
  }
  const devices = Map.groupBy(
    report.nodes.filter(({ capabilities }) => typeof capabilities['device'] === 'string'),
    ({ capabilities }) => String(capabilities['device']),
  )
  for (const together of devices.values()) {
    if (together.length > 1) {
      advice.push(`nodes ${together.map(({ name }) => name).join(', ')} lie on one disk: when it dies, all of them do`)
    }
  }
  for (const { what, name, recordingsLost } of report.losses) {
    if (recordingsLost === 0) continue
    advice.push(
      `if ${what === 'node' ? 'node' : `everything of ${what}`} ${name} vanished, ${counted(recordingsLost, 'recording')} would be lost`,
    )
  }
  const violations = report.backlog.find(({ kind }) => kind === 'violation')
  if (violations) advice.push(`${counted(violations.count, 'sharing')} against the placement rule: shared anew`)
  const { passEndedAtMs, startedAtMs } = report.scrub
  const scrubbedAtMs = passEndedAtMs ?? startedAtMs
  if (scrubbedAtMs !== null && report.atMs - scrubbedAtMs > scrubPeriodMs) {
    const days = Math.floor((report.atMs - scrubbedAtMs) / DAY_MS)
    advice.push(
      `no full scrub has ended for ${days} days: the nodes are too slow for it, or the process of upkeep does not run`,
    )
  }
  if (report.kernel === 'table') advice.push('the slow kernel is in use: run `sh scripts/setup.sh run`')
  if (report.confinement !== 'bubblewrap') advice.push(`ffmpeg is confined by ${report.confinement} only`)
  if (report.isReadOnly) advice.push('the catalog is older than the nodes: the vault only plays')
  if (report.areDeletionsFrozen)
    advice.push('deletions are frozen since a rebuild: `npx mosaik rebuild --release` ends that')
  return advice
}
