import { z } from 'zod'
import type { VaultClient } from '../client.ts'
import { aboutMinutes, bytesWords, counted, table, type Screen } from '../screen.ts'

const report = z.object({
  nodes: z.array(
    z.object({
      name: z.string(),
      state: z.string(),
      country: z.string(),
      operator: z.string(),
      site: z.string(),
      trouble: z.object({ code: z.string(), message: z.string() }).nullable(),
      isHealthy: z.boolean(),
      freeBytes: z.number().nullable(),
      objectsCount: z.number(),
      bytes: z.number(),
    }),
  ),
  advice: z.array(z.string()),
  confinement: z.string(),
  kernel: z.string(),
  backlog: z.array(z.object({ kind: z.string(), count: z.number() })),
  repairEtaMs: z.number().nullable(),
  scrub: z.object({
    passEndedAtMs: z.number().nullable(),
    isRunning: z.boolean(),
    done: z.number().nullable(),
    auditedAtMs: z.number().nullable(),
  }),
  durability: z.object({
    assumptions: z.object({ annualNodeLoss: z.number(), repairDays: z.number() }),
    schemes: z.array(
      z.object({ scheme: z.object({ k: z.number(), n: z.number(), t: z.number() }), annualLossChance: z.number() }),
    ),
  }),
  losses: z.array(
    z.object({ what: z.string(), name: z.string(), recordingsLost: z.number(), recordingsOnTheEdge: z.number() }),
  ),
  recordingsCounted: z.number(),
  isSample: z.boolean(),
})
type Report = z.infer<typeof report>

/** `mosaik doctor`: how the vault is, what waits for repair, and what would be lost if somebody vanished. */
export async function doctor(client: VaultClient, screen: Screen): Promise<void> {
  const found = await client.get('operator', '/nodes/health')
  screen.result(doctorWords(report.parse(found)), found)
}

function doctorWords(health: Report): string {
  const nodes = table(
    ['node', 'state', 'country', 'operator', 'site', 'objects', 'size', 'free'],
    health.nodes.map((node) => [
      node.name,
      node.trouble ? `${node.state}, ${node.trouble.code}` : node.isHealthy ? node.state : `${node.state}, silent`,
      node.country,
      node.operator,
      node.site,
      String(node.objectsCount),
      bytesWords(node.bytes),
      node.freeBytes === null ? '' : bytesWords(node.freeBytes),
    ]),
  )
  const losses = health.losses.filter(
    ({ recordingsLost, recordingsOnTheEdge }) => recordingsLost + recordingsOnTheEdge > 0,
  )
  const day = (atMs: number | null): string =>
    atMs === null ? 'never' : new Date(atMs).toISOString().slice(0, 16).replace('T', ' ')
  return [
    nodes,
    '',
    backlogWords(health),
    `full scrub: ${health.scrub.done === null ? '' : `under way, ${Math.floor(100 * health.scrub.done)} % done, `}last one ended ${day(health.scrub.passEndedAtMs)}; sample: ${day(health.scrub.auditedAtMs)}`,
    `kernel: ${health.kernel}; ffmpeg: ${health.confinement}`,
    ...durabilityWords(health),
    ...(losses.length === 0
      ? []
      : [
          '',
          `If one of these vanished (of ${counted(health.recordingsCounted, 'recording')}${health.isSample ? ', a sample' : ''}):`,
          table(
            ['', '', 'lost', 'one loss from lost'],
            losses.map((loss) => [loss.what, loss.name, String(loss.recordingsLost), String(loss.recordingsOnTheEdge)]),
          ),
        ]),
    '',
    ...(health.advice.length === 0
      ? ['All is well.']
      : ['To be looked at:', ...health.advice.map((line) => `  ${line}`)]),
  ].join('\n')
}

function backlogWords({ backlog, repairEtaMs }: Report): string {
  if (backlog.length === 0) return 'repair: nothing waits'
  const kinds = backlog.map(({ kind, count }) => `${count} ${kind}`).join(', ')
  return `repair: ${kinds}${repairEtaMs === null ? '' : `; ${aboutMinutes(repairEtaMs)}`}`
}

function durabilityWords({ durability }: Report): string[] {
  const { annualNodeLoss, repairDays } = durability.assumptions
  const guess = `when ${100 * annualNodeLoss} % of nodes are lost a year, each on its own, and replaced within ${repairDays} days`
  return durability.schemes.map(
    ({ scheme: { k, n, t }, annualLossChance }) =>
      `(${k}, ${n}, ${t}): a recording is lost with a chance of about ${annualLossChance.toExponential(0)} a year, ${guess}`,
  )
}
