import { shareHealth } from '../../domain/health.ts'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import type { Finding, FindingRow } from '../../ports/catalog/upkeep.ts'
import type { ShareTrouble } from './check-share.ts'
import type { ShareGroup } from './share-groups.ts'

/** Of a finding that is of the whole group. */
export const NO_INDEX = -1

/** @param row the share that it is about; the whole group without. @param slack as `Finding.slack`. */
export function findingOf(
  group: ShareGroup,
  row: ObjectRow | undefined,
  trouble: ShareTrouble,
  slack: number,
): Finding {
  return {
    ...trouble,
    group: group.name,
    organisation: group.organisation,
    recording: group.recording,
    node: row?.node ?? null,
    object: row?.key ?? null,
    index: row?.index ?? NO_INDEX,
    slack,
  }
}

/** Names `node/object` of the objects that open findings call bad; one on a node that is to be emptied is good as long as it is there. */
export function badObjects(open: readonly FindingRow[]): ReadonlySet<string> {
  return new Set(
    open.flatMap(({ kind, node, object }) =>
      kind === 'leaving' || node === null || object === null ? [] : [`${node}/${object}`],
    ),
  )
}

/** Healthy shares minus k, when `bad` objects do not count and what is open does not either. */
export function slackWithout(
  { scheme, rows }: ShareGroup,
  bad: readonly Pick<ObjectRow, 'node' | 'key'>[],
  open: readonly FindingRow[],
): number {
  const names = new Set([...badObjects(open), ...bad.map(({ node, key }) => `${node}/${key}`)])
  const good = rows.filter(({ node, key }) => !names.has(`${node}/${key}`))
  return shareHealth(
    scheme,
    good.map(({ index }) => index),
  ).slack
}
