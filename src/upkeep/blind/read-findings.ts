import { isMosaikError } from '../../domain/errors.ts'
import type { FindingKind } from '../../domain/health.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { Clock, Log } from '../../ports/system.ts'
import { findingOf, slackWithout } from './findings.ts'
import { shareGroups } from './share-groups.ts'

/** What readers say of shares that are not what was stored (src/retrieve). */
const READ_EVENTS: ReadonlySet<string> = new Set(['read.bad-share', 'read.forged-share'])

/**
 * A log that also makes findings of what readers say of bad shares, so that repair follows. Reading does not wait for it, and a finding that
 * could not be noted is found again by the scrub.
 */
export function findingLog(ports: {
  readonly log: Log
  readonly catalog: Pick<Catalog, 'upkeep'>
  readonly clock: Clock
}): Log {
  const { log } = ports
  const note = (event: string, fields: Readonly<Record<string, unknown>> | undefined): void => {
    if (!READ_EVENTS.has(event) || !fields) return
    noteRead(ports, event, fields).catch((error: unknown) => {
      log.warn('read.finding-not-noted', { code: isMosaikError(error) ? error.code : 'E_INTERNAL' })
    })
  }
  return {
    info: (event, fields) => log.info(event, fields),
    warn: (event, fields) => {
      log.warn(event, fields)
      note(event, fields)
    },
    error: (event, fields) => {
      log.error(event, fields)
      note(event, fields)
    },
  }
}

async function noteRead(
  { catalog, clock }: Parameters<typeof findingLog>[0],
  event: string,
  { node, object, segment, code }: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (typeof node !== 'string' || typeof object !== 'string') return
  const row = await catalog.upkeep.object(node, object)
  const one = row?.recording ? await catalog.upkeep.surveyed(row.recording) : undefined
  const group = one && shareGroups(one).find(({ rows }) => rows.some(({ key }) => key === object))
  if (!row || !group) return
  const slack = slackWithout(group, [row], await catalog.upkeep.findingsOf(group.name))
  const fields = { seenBy: 'reader', segment: typeof segment === 'number' ? segment : null }
  const finding = findingOf(group, row, { kind: kindOf(event, code), fields }, slack)
  await catalog.upkeep.report([finding], clock.nowMs())
}

function kindOf(event: string, code: unknown): FindingKind {
  if (event === 'read.forged-share') return 'forged'
  if (code === 'E_OBJECT_ABSENT') return 'missing'
  return code === 'E_OBJECT_RANGE' ? 'truncated' : 'flipped'
}
