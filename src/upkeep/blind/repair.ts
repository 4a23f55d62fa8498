import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import { isResharing, type FindingKind, type ResharingKind } from '../../domain/health.ts'
import { objectName } from '../../format/object-names.ts'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import type { FindingGroup, FindingRow } from '../../ports/catalog/upkeep.ts'
import { withDeadline } from '../../ports/deadline.ts'
import { GroupRepair, partOf, standingGroup, type RepairPorts, type TaskPorts } from './repair-group.ts'
import { chooseTargets, planRepair, type RepairPlan } from './repair-targets.ts'
import { reshareGroup } from './reshare.ts'
import { resharingReasons, resharingView } from './resharing.ts'
import type { ShareGroup } from './share-groups.ts'
import { WRITE_TIMEOUT_MS } from './share-lane.ts'
import { Bandwidth, TaskLease } from './task-lease.ts'

export type { RepairPorts, ShareSigner } from './repair-group.ts'

export interface Repaired {
  /** Groups that are whole again. */
  readonly groups: number
  readonly shares: number
  /** Groups that have to wait, for nodes or for somebody. */
  readonly waiting: number
}

/** What moves shares holds it: one process at a time, one group at a time. */
export const REPAIR_TASK = 'repair'
const QUEUE_BATCH = 50
/** Rounds of one repair in which no node took a share. */
const FRUITLESS_ROUNDS = 4
/** Rounds of one repair: each may find one more bad source among at most 32. */
const MOST_ROUNDS = 40
const FIRST_WAIT_MS = 60_000
const LONGEST_WAIT_MS = 6 * 3_600_000

/**
 * Works through the findings: what may not stay as it is first (violations of the placement rule, what dismissed nodes know of), then what has
 * the least to lose, then what was asked for. A lost share is computed from k others whose tags verify, under the same sharing id, the same
 * bytes; what only a new sharing mends is shared anew. Nothing is decrypted. Safe to stop anywhere and to run again.
 *
 * @returns `undefined` when another process is at it.
 */
export async function repair(
  ports: RepairPorts,
  options: { readonly bytesPerSecond: number },
  signal: AbortSignal,
): Promise<Repaired | undefined> {
  const { catalog, clock } = ports
  const lease = await TaskLease.claim({ upkeep: catalog.upkeep, clock }, REPAIR_TASK)
  if (!lease) return undefined
  const bandwidth = new Bandwidth(clock, options.bytesPerSecond)
  const pace = async (bytes: number, limited: AbortSignal): Promise<void> => {
    await bandwidth.take(bytes, limited)
    await lease.beat()
  }
  let done: Repaired = { groups: 0, shares: 0, waiting: 0 }
  try {
    while (true) {
      const paused = await pausedKinds(catalog.upkeep)
      const queue = await catalog.upkeep.repairQueue(clock.nowMs(), QUEUE_BATCH, paused)
      if (queue.length === 0) return done
      for (const one of queue) {
        signal.throwIfAborted()
        const { shares, isWhole } = await repairOrWait({ ...ports, pace, task: lease.task }, one, paused, signal)
        done = {
          groups: done.groups + (isWhole ? 1 : 0),
          shares: done.shares + shares,
          waiting: done.waiting + (isWhole ? 0 : 1),
        }
        lease.progress = { repairedShares: Number(lease.progress['repairedShares'] ?? 0) + shares }
        await lease.beat()
      }
    }
  } finally {
    await lease.end()
  }
}

/** What an operator has put off. */
async function pausedKinds(upkeep: RepairPorts['catalog']['upkeep']): Promise<FindingKind[]> {
  return [
    ...((await upkeep.isFlagged('dismissal-paused')) ? (['exposed'] as const) : []),
    ...((await upkeep.isFlagged('reshare-paused')) ? (['scheme', 'refresh'] as const) : []),
  ]
}

interface GroupOutcome {
  readonly shares: number
  readonly isWhole: boolean
}

async function repairOrWait(
  ports: TaskPorts,
  queued: FindingGroup,
  paused: readonly FindingKind[],
  signal: AbortSignal,
): Promise<GroupOutcome> {
  const { catalog, clock, log } = ports
  const tries = Math.max(0, ...queued.findings.map(({ triesCount }) => triesCount))
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(tries, 12))
  let outcome: GroupOutcome = { shares: 0, isWhole: false }
  const count = (shares: number): void => {
    outcome = { ...outcome, shares: outcome.shares + shares }
  }
  try {
    const isWhole = await repairGroup(ports, queued, paused, count, signal)
    outcome = { ...outcome, isWhole }
    if (isWhole) log.info('repair.done', { group: queued.group, shares: outcome.shares })
  } catch (error) {
    if (signal.aborted || !isMosaikError(error) || error.code === 'E_LEASE_LOST') throw error
    log.warn('repair.waits', { group: queued.group, code: error.code, delayMs: wait, ...error.fields })
  }
  if (!outcome.isWhole) await catalog.upkeep.postpone(queued.group, clock.nowMs() + wait)
  return outcome
}

/** One group. @returns whether nothing is left to do. @throws E_SHARES_TOO_FEW, E_PLACEMENT_RULE, E_NODES_TOO_FEW */
async function repairGroup(
  ports: TaskPorts,
  { group: name, findings: queued }: FindingGroup,
  paused: readonly FindingKind[],
  count: (shares: number) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const { catalog, clock } = ports
  if (name.startsWith('card/')) return await repairCard(ports, queued, count, signal)
  const refused = new Set<string>()
  let obstacle: unknown
  for (let round = 0, fruitless = 0; round < MOST_ROUNDS && fruitless < FRUITLESS_ROUNDS; round++) {
    const group = await standingGroup(ports, queued[0]?.recording ?? null, name)
    if (!group) {
      // Superseded, or never stored: what was found does not matter any more.
      await catalog.upkeep.resolve(name, clock.nowMs())
      return true
    }
    if (round === 0) await failLeftovers(ports, group)
    // Anew each time: sources may have turned out to be bad themselves.
    const open = await catalog.upkeep.findingsOf(name)
    const plan = await planRepair(ports, group, open)
    if (obstacle === undefined && (await hasToGo(ports, group, open, paused))) {
      try {
        count(await reshareGroup(ports, group, plan, signal))
        continue
      } catch (error) {
        // Better a sharing that should not be than one that is lost: what it lacks is mended, and the new one is tried again later.
        if (!isMosaikError(error, 'E_NODES_TOO_FEW', 'E_PLACEMENT_RULE')) throw error
        obstacle = error
      }
    }
    if (plan.missing.length === 0) {
      if (obstacle !== undefined) throw obstacle
      return await endGroup(ports, group, paused)
    }
    const targets = await chooseTargets(ports, group, plan, refused).catch(async (error: unknown) => {
      // A node that refused its share refuses one of a new sharing, too; and what found no nodes for one stays as it is.
      if (!isMosaikError(error, 'E_PLACEMENT_RULE') || refused.size > 0 || obstacle !== undefined) throw error
      // After many moves each node has held another share: of a new sharing, which is a group of its own, none has.
      count(await sharedAnew(ports, group, plan, error, signal))
    })
    if (targets === undefined) continue
    const made = await new GroupRepair(ports, group, plan, signal).make(targets)
    for (const { index, node } of targets) {
      if (!made.includes(index)) refused.add(`${index}/${node.id}`)
    }
    for (const index of made) await catalog.upkeep.resolve(name, clock.nowMs(), index)
    count(made.length)
    if (made.length === 0) fruitless++
  }
  return false
}

/** @throws `obstacle` where no nodes may take a new sharing either */
async function sharedAnew(
  ports: TaskPorts,
  group: ShareGroup,
  plan: RepairPlan,
  obstacle: unknown,
  signal: AbortSignal,
): Promise<number> {
  try {
    return await reshareGroup(ports, group, plan, signal)
  } catch (error) {
    if (isMosaikError(error, 'E_NODES_TOO_FEW', 'E_PLACEMENT_RULE')) throw obstacle
    throw error
  }
}

/** Whether a finding that only a new sharing mends still holds; one that does not is resolved. */
async function hasToGo(
  { catalog, clock }: TaskPorts,
  group: ShareGroup,
  open: readonly FindingRow[],
  paused: readonly FindingKind[],
): Promise<boolean> {
  const wanted = open.map(({ kind }) => kind).filter((kind) => isResharing(kind) && !paused.includes(kind))
  if (wanted.length === 0) return false
  const view = await resharingView(catalog.installation, await catalog.installation.nodes())
  const reasons = new Set<ResharingKind>((await resharingReasons(catalog.layout, group, view)).map(({ kind }) => kind))
  if (wanted.includes('refresh')) reasons.add('refresh')
  const standing = wanted.filter((kind) => isResharing(kind) && reasons.has(kind))
  for (const kind of wanted) {
    if (!standing.includes(kind)) await catalog.upkeep.resolve(group.name, clock.nowMs(), undefined, kind)
  }
  return standing.length > 0
}

/** What a run that died left of shares of this part. Whoever holds the lease is the only one who writes them. */
async function failLeftovers({ catalog }: TaskPorts, group: ShareGroup): Promise<void> {
  const part = JSON.stringify(partOf(group))
  const rows = (await catalog.upkeep.surveyed(group.recording))?.objects ?? []
  for (const { node, key, state, role } of rows) {
    if (state === 'intent' && JSON.stringify(role) === part) await catalog.layout.setObjectState(node, key, 'failed')
  }
}

/** Closes what is settled. False when something stays that nothing here can mend: a forgery wants somebody's eyes. */
async function endGroup(ports: TaskPorts, group: ShareGroup, paused: readonly FindingKind[]): Promise<boolean> {
  const { catalog, clock } = ports
  const open = await catalog.upkeep.findingsOf(group.name)
  if (open.some(({ kind, object }) => kind === 'forged' && object === null)) return false
  await setAside(ports, group, open)
  for (const { kind, index } of open) {
    if (!paused.includes(kind)) await catalog.upkeep.resolve(group.name, clock.nowMs(), index, kind)
  }
  return true
}

const isLeaving = ({ kind }: FindingRow): boolean => kind === 'leaving'

/** Rows of bad objects, and of objects that are left, become the collector's when another copy of the share stands. */
async function setAside(ports: RepairPorts, group: ShareGroup, findings: readonly FindingRow[]): Promise<void> {
  // What is bad goes first: it is no copy that another one could be let go for.
  const [leaving, bad] = [findings.filter(isLeaving), findings.filter((one) => !isLeaving(one))]
  const gone = new Set<ObjectRow>()
  for (const { kind, node, object } of [...bad, ...leaving]) {
    if (node === null || object === null) continue
    const row = group.rows.find((one) => one.node === node && one.key === object)
    const isDouble = group.rows.some((one) => one !== row && !gone.has(one) && one.index === row?.index)
    if (!row || !isDouble) continue
    await ports.catalog.layout.setObjectState(node, object, kind === 'leaving' ? 'superseded' : 'failed')
    gone.add(row)
  }
}

/** Puts a card again where it is missing or spoilt; its bytes are in the catalog, its name is their hash. */
async function repairCard(
  ports: RepairPorts,
  findings: readonly FindingRow[],
  count: (shares: number) => void,
  signal: AbortSignal,
): Promise<boolean> {
  const { catalog, primitives, clock } = ports
  for (const { organisation, node, object, group } of findings) {
    const cards = await catalog.installation.cards(organisation)
    const card = cards.find((one) => objectName('card', primitives.sha256(one)) === object)
    if (card && node !== null && object !== null) {
      const store = await ports.pool.store(node)
      const late = (): MosaikError => new MosaikError('E_NODE_UNREACHABLE', 'the node does not take the card', { node })
      await withDeadline({ clock, limitMs: WRITE_TIMEOUT_MS, signal, late }, (limited) =>
        store.put(object, card, limited),
      )
      count(1)
    }
    await catalog.upkeep.resolve(group, clock.nowMs())
  }
  return true
}
