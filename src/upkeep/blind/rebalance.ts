import { Balance } from '../../domain/balance.ts'
import { isMosaikError } from '../../domain/errors.ts'
import { mayHold, shareHealth } from '../../domain/health.ts'
import type { Id } from '../../domain/ids.ts'
import { acceptsWrites, type StorageNode } from '../../domain/node.ts'
import { choosePlacement, type PlacementRule } from '../../domain/placement.ts'
import type { TaskProgress } from '../../ports/catalog/upkeep.ts'
import { GroupRepair, standingGroup, type RepairPorts, type TaskPorts } from './repair-group.ts'
import { planRepair } from './repair-targets.ts'
import { REPAIR_TASK } from './repair.ts'
import { reshareGroup } from './reshare.ts'
import { shareGroups, type ShareGroup } from './share-groups.ts'
import { Bandwidth, TaskLease } from './task-lease.ts'

/** What goes from one node to another. */
export interface Transfer {
  readonly from: Id
  readonly to: Id
  readonly objectsCount: number
  readonly bytes: number
}

export interface RebalancePlan {
  readonly transfers: readonly Transfer[]
  readonly objectsCount: number
  readonly bytes: number
  /** Sharings that are made anew, since nobody may take a share of them as they are. */
  readonly resharings: number
}

/** How far a rebalance is, as the catalog keeps it. */
export interface RebalanceProgress {
  readonly startedAtMs: number | null
  readonly endedAtMs: number | null
  readonly movedObjects: number
  readonly movedBytes: number
  readonly resharings: number
  readonly plannedObjects: number | null
  readonly plannedBytes: number | null
}

export const REBALANCE_TASK = 'rebalance'
const SURVEY_PAGE = 20

type RebalancePorts = Pick<RepairPorts, 'catalog'>

type Step =
  | {
      readonly kind: 'move'
      readonly group: ShareGroup
      readonly index: number
      readonly from: Id
      readonly to: Id
      readonly bytes: number
    }
  | {
      readonly kind: 'reshare'
      readonly group: ShareGroup
      readonly nodes: readonly StorageNode[]
      readonly from: Id
      readonly to: Id
      readonly bytes: number
    }
  | { readonly kind: 'passed'; readonly recording: Id }

/** What a rebalance would do now: nothing is moved. */
export async function planRebalance(ports: RebalancePorts, signal: AbortSignal): Promise<RebalancePlan> {
  const transfers = new Map<string, { from: Id; to: Id; objectsCount: number; bytes: number }>()
  let resharings = 0
  for await (const step of steps(ports, undefined, signal)) {
    if (step.kind === 'passed') continue
    if (step.kind === 'reshare') resharings++
    const { from, to, bytes } = step
    const transfer = transfers.get(`${from}/${to}`) ?? { from, to, objectsCount: 0, bytes: 0 }
    transfers.set(`${from}/${to}`, {
      ...transfer,
      objectsCount: transfer.objectsCount + 1,
      bytes: transfer.bytes + bytes,
    })
  }
  const all = [...transfers.values()].toSorted((a, b) => b.bytes - a.bytes)
  return {
    transfers: all,
    objectsCount: all.reduce((sum, { objectsCount }) => sum + objectsCount, 0),
    bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
    resharings,
  }
}

/** What the catalog has noted of the last rebalance. */
export function rebalanceProgress(progress: TaskProgress = {}): RebalanceProgress {
  const number = (name: string): number | null => {
    const value = progress[name]
    return typeof value === 'number' ? value : null
  }
  return {
    startedAtMs: number('startedAtMs'),
    endedAtMs: number('endedAtMs'),
    movedObjects: number('movedObjects') ?? 0,
    movedBytes: number('movedBytes') ?? 0,
    resharings: number('resharings') ?? 0,
    plannedObjects: number('plannedObjects'),
    plannedBytes: number('plannedBytes'),
  }
}

/**
 * Gives every node that takes writes as much as the others. A share moves as repair moves it, under its sharing id, computed from k others;
 * everybody counts who ever held one, and where the rule forbids every move that would help, the sharing is made anew on emptier nodes. Goes on
 * where it was stopped, also by a crash; a share lies on its old node until it is verified on the new one.
 *
 * @param options.goesOn asked before every step: false ends it for now.
 * @returns whether all is done; `undefined` while another process moves shares.
 */
export async function rebalance(
  ports: RepairPorts,
  options: { readonly bytesPerSecond: number; readonly goesOn: () => Promise<boolean> },
  signal: AbortSignal,
): Promise<{ readonly isDone: boolean } | undefined> {
  const { catalog, clock, log } = ports
  const tasks = { upkeep: catalog.upkeep, clock }
  const lease = await TaskLease.claim(tasks, REPAIR_TASK)
  if (!lease) return undefined
  const own = await TaskLease.claim(tasks, REBALANCE_TASK)
  if (!own) {
    await lease.end()
    return undefined
  }
  const bandwidth = new Bandwidth(clock, options.bytesPerSecond)
  const pace = async (bytes: number, limited: AbortSignal): Promise<void> => {
    await bandwidth.take(bytes, limited)
    await lease.beat()
    await own.beat()
  }
  const moving: TaskPorts = { ...ports, pace, task: lease.task }
  try {
    if (rebalanceProgress(own.progress).startedAtMs === null || rebalanceProgress(own.progress).endedAtMs !== null) {
      const { objectsCount, bytes } = await planRebalance(ports, signal)
      own.progress = { startedAtMs: clock.nowMs(), plannedObjects: objectsCount, plannedBytes: bytes }
      await own.note()
    }
    const { after } = own.progress
    for await (const step of steps(ports, typeof after === 'string' ? after : undefined, signal)) {
      if (step.kind === 'passed') {
        own.progress = { ...own.progress, after: step.recording }
        await own.beat()
        await lease.beat()
      } else {
        if (!(await options.goesOn())) return { isDone: false }
        try {
          if (await take(moving, step, signal)) own.progress = counted(own.progress, step)
        } catch (error) {
          if (signal.aborted || !isMosaikError(error) || error.code === 'E_LEASE_LOST') throw error
          log.warn('rebalance.left', { group: step.group.name, code: error.code, ...error.fields })
        }
      }
    }
    own.progress = { ...own.progress, after: null, endedAtMs: clock.nowMs() }
    return { isDone: true }
  } finally {
    await own.end()
    await lease.end()
  }
}

/** @returns whether it was done: not, when the group went meanwhile. */
async function take(ports: TaskPorts, step: Exclude<Step, { kind: 'passed' }>, signal: AbortSignal): Promise<boolean> {
  const group = await standingGroup(ports, step.group.recording, step.group.name)
  if (!group) return false
  const plan = await planRepair(ports, group, await ports.catalog.upkeep.findingsOf(group.name))
  if (step.kind === 'reshare') return (await reshareGroup(ports, group, plan, signal, step.nodes)) > 0
  const node = plan.nodes.find(({ id }) => id === step.to)
  if (!node || !acceptsWrites(node)) return false
  const made = await new GroupRepair(ports, group, plan, signal).make([{ index: step.index, node }])
  return made.length > 0
}

function counted(progress: TaskProgress, step: Exclude<Step, { kind: 'passed' }>): TaskProgress {
  const { movedObjects, movedBytes, resharings } = rebalanceProgress(progress)
  return {
    ...progress,
    movedObjects: movedObjects + 1,
    movedBytes: movedBytes + step.bytes,
    resharings: resharings + (step.kind === 'reshare' ? 1 : 0),
  }
}

/** Recording by recording what makes it fairer, as if everything before it had been done. */
async function* steps({ catalog }: RebalancePorts, after: Id | undefined, signal: AbortSignal): AsyncGenerator<Step> {
  const nodes = (await catalog.installation.nodes()).filter(acceptsWrites)
  const organisations = await catalog.installation.organisations()
  const rules = new Map(organisations.map(({ id, placementRule }) => [id, placementRule]))
  const balance = new Balance(
    await Promise.all(nodes.map(async ({ id }) => ({ node: id, bytes: (await catalog.layout.nodeShares(id)).bytes }))),
  )
  let page = await catalog.upkeep.survey(after, SURVEY_PAGE)
  while (page.length > 0) {
    for (const one of page) {
      signal.throwIfAborted()
      for (const group of shareGroups(one)) {
        yield* stepsOf(catalog, group, nodes, balance, rules.get(group.organisation) ?? 'none')
      }
      yield { kind: 'passed', recording: one.recording.id }
    }
    page = await catalog.upkeep.survey(page.at(-1)?.recording.id, SURVEY_PAGE)
  }
}

async function* stepsOf(
  catalog: RebalancePorts['catalog'],
  group: ShareGroup,
  nodes: readonly StorageNode[],
  balance: Balance,
  rule: PlacementRule,
): AsyncGenerator<Step> {
  // What is not whole is repair's first.
  const { missing } = shareHealth(
    group.scheme,
    group.rows.map(({ index }) => index),
  )
  if (missing.length > 0) return
  const shares = group.rows.map(({ index, node, sizeBytes }) => ({ index, node, bytes: sizeBytes ?? 0 }))
  const isHolder = (id: Id): boolean => shares.some(({ node }) => node === id)
  if (!balance.next(shares, (_, to) => !isHolder(to))) return
  const exposures = [...(await catalog.layout.exposures(group.sharing))]
  let moves = 0
  while (moves < group.scheme.n) {
    const move = balance.next(shares, ({ index }, to) => {
      const node = nodes.find(({ id }) => id === to)!
      return !isHolder(to) && mayHold(group.scheme, rule, exposures, node, index)
    })
    if (!move) break
    const { operator, parent, site } = nodes.find(({ id }) => id === move.to)!
    exposures.push({ node: move.to, index: move.index, operator, parent, site })
    shares.splice(
      shares.findIndex(({ index }) => index === move.index),
      1,
      { index: move.index, node: move.to, bytes: move.bytes },
    )
    balance.move(move, move.to)
    moves++
    yield { kind: 'move', group, index: move.index, from: move.node, to: move.to, bytes: move.bytes }
  }
  if (moves === 0) yield* reshared(group, nodes, shares, balance, rule)
}

/** On the emptiest nodes that the rule lets have it, when that is fairer. */
function* reshared(
  group: ShareGroup,
  nodes: readonly StorageNode[],
  shares: readonly { readonly index: number; readonly node: Id; readonly bytes: number }[],
  balance: Balance,
  rule: PlacementRule,
): Generator<Step> {
  const order = balance.emptiest
  const ranked = nodes.toSorted((a, b) => order.indexOf(a.id) - order.indexOf(b.id))
  let chosen: StorageNode[]
  try {
    chosen = choosePlacement(group.dueScheme, rule, ranked)
  } catch (error) {
    if (isMosaikError(error)) return
    throw error
  }
  const leaves = shares.filter(({ node }) => chosen.every(({ id }) => id !== node))
  const comes = chosen.filter(({ id }) => shares.every(({ node }) => node !== id))
  const pair = leaves
    .flatMap((share) => comes.map(({ id }) => ({ share, to: id })))
    .find(({ share, to }) => balance.isFairer(share, to))
  if (!pair) return
  for (const [i, share] of leaves.entries()) {
    const to = comes[i]
    if (to) balance.move(share, to.id)
  }
  yield { kind: 'reshare', group, nodes: chosen, from: pair.share.node, to: pair.to, bytes: pair.share.bytes }
}
