import { shareHealth } from '../../domain/health.ts'
import type { Id } from '../../domain/ids.ts'
import { acceptsReads, type StorageNode } from '../../domain/node.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import type { Finding } from '../../ports/catalog/upkeep.ts'
import type { Clock } from '../../ports/system.ts'
import { findingOf } from './findings.ts'
import { resharingReasons, resharingView, type ResharingReason } from './resharing.ts'
import { shareGroups, type ShareGroup } from './share-groups.ts'

export interface SurveyPorts {
  readonly catalog: Pick<Catalog, 'installation' | 'layout' | 'upkeep'>
  readonly clock: Clock
}

const SURVEY_PAGE = 20

/**
 * What the catalog alone shows: shares that a write left out, that lie on a node which is to be emptied or is gone, and sharings that have to
 * go: somebody has held too much of them, or should never have, or they are of another scheme than they should be. Each becomes a finding.
 */
export async function survey(ports: SurveyPorts, signal: AbortSignal): Promise<number> {
  const { catalog, clock } = ports
  const nodes = new Map((await catalog.installation.nodes()).map((node) => [node.id, node]))
  const view = await resharingView(catalog.installation, [...nodes.values()])
  let count = 0
  let page = await catalog.upkeep.survey(undefined, SURVEY_PAGE)
  while (page.length > 0) {
    for (const one of page) {
      signal.throwIfAborted()
      for (const group of shareGroups(one)) {
        const found = surveyGroup(group, nodes, await resharingReasons(catalog.layout, group, view))
        await catalog.upkeep.report(found, clock.nowMs())
        count += found.length
      }
    }
    page = await catalog.upkeep.survey(page.at(-1)?.recording.id, SURVEY_PAGE)
  }
  return count
}

function surveyGroup(
  group: ShareGroup,
  nodes: ReadonlyMap<Id, StorageNode>,
  reasons: readonly ResharingReason[],
): Finding[] {
  const isReadable = ({ node }: ObjectRow): boolean => {
    const there = nodes.get(node)
    return there !== undefined && acceptsReads(there)
  }
  const { slack } = shareHealth(
    group.scheme,
    group.rows.filter(isReadable).map(({ index }) => index),
  )
  const staying = group.rows.filter((row) => isReadable(row) && nodes.get(row.node)?.state !== 'draining')
  const { missing } = shareHealth(
    group.scheme,
    staying.map(({ index }) => index),
  )
  const found: Finding[] = missing.map((index) => {
    const leaving = group.rows.find((row) => row.index === index)
    if (leaving) return findingOf(group, leaving, { kind: 'leaving', fields: {} }, slack)
    return { ...findingOf(group, undefined, { kind: 'unwritten', fields: {} }, slack), index }
  })
  // The share was made anew already, and whoever did it died before letting this one go, or could not say so. The newest stays.
  const newest = new Map(staying.toSorted((a, b) => a.createdAtMs - b.createdAtMs).map((row) => [row.index, row]))
  for (const row of group.rows) {
    const kept = newest.get(row.index)
    if (kept && kept !== row && isReadable(row)) {
      found.push(findingOf(group, row, { kind: 'leaving', fields: {} }, slack))
    }
  }
  const whole = reasons.map(({ kind, node }) => ({ ...findingOf(group, undefined, { kind, fields: {} }, slack), node }))
  return [...found, ...whole]
}
