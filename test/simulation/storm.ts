import { isMosaikError } from '../../src/domain/errors.ts'
import type { Id } from '../../src/domain/ids.ts'
import { MARKER_NAME } from '../../src/format/object-names.ts'
import { createNodeLife } from '../../src/main/node-life.ts'
import { rotateKeys } from '../../src/main/rotate-keys.ts'
import type { NodeLife } from '../../src/ports/node-life.ts'
import type { Deposit } from './deposit.ts'
import { driverOf, type Running } from './vault.ts'
import type { World } from './world.ts'
import type { WorldEvent } from './weather.ts'

const DAY_MS = 24 * 3_600_000
const HOUR_MS = 3_600_000
/** After so long a client takes no answer for a failure and sends its deposit again. */
const CLIENT_PATIENCE_MS = 15_000
/** Now and then one asks again only after a break. */
const CLIENT_BREAK_MS = 180_000

/** Clients deposit, several times at once where they are hasty, until they are told that it is kept. */
export function startClients(world: World, count: number, withinMs: number): void {
  for (let i = 0; i < count; i++) {
    const deposit = world.offer()
    const hands = world.chance.chance(0.3) ? world.chance.between(2, 10) : 1
    const beginMs = world.chance.fraction() * withinMs
    for (let hand = 0; hand < hands; hand++) void client(world, deposit, beginMs)
  }
}

async function client(world: World, deposit: Deposit, beginMs: number): Promise<void> {
  const ask = deposit.isUploaded ? uploading(world, deposit) : offering(world, deposit)
  await world.time.sleep(beginMs)
  while (true) {
    const api = world.living('api')[0]
    if (api) {
      const patience = world.time.sleep(CLIENT_PATIENCE_MS).then(() => undefined)
      const recording = await Promise.race([ask(api).catch(() => undefined), patience])
      if (recording) {
        world.trace(`acknowledged ${deposit.externalId} as ${recording}`)
        deposit.acknowledged.add(recording)
        return
      }
    }
    const pauseMs = world.chance.chance(0.1) ? CLIENT_BREAK_MS : 5000
    await world.time.sleep(500 + world.chance.fraction() * pauseMs)
  }
}

/** Asks for a deposit and is told of its recording, or not yet. */
type Ask = (api: Running) => Promise<Id | undefined>

function offering(world: World, { externalId, path, content }: Deposit): Ask {
  return async (api) => {
    const { recording } = await api.intake.deposit(world.organisation, {
      info: {
        title: `Meeting ${externalId}`,
        source: { kind: 'simulated', externalId },
        host: { id: 'host', name: 'Ada', email: null },
        participants: [],
        startedAtMs: 1_700_000_000_000,
      },
      original: { kind: 'file', path, sizeBytes: content.length, modifiedAtMs: 1, deleteAfterReceipt: true },
      captions: [],
    })
    return recording
  }
}

function uploading(world: World, deposit: Deposit): Ask {
  let upload: Id | undefined
  return async (api) => {
    upload ??= await api.uploads.begin(world, deposit)
    const recording = await api.uploads.goOn(world, deposit, upload)
    if (recording === null) upload = undefined
    return recording ?? undefined
  }
}

/** Somebody watches during the storm: what comes must be right, and what does not come must say so. */
export async function watch(world: World, isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await world.time.sleep(3000 + world.chance.fraction() * 15_000)
    const api = world.living('api')[0]
    const kept = world.deposits.filter(({ acknowledged }) => acknowledged.size > 0)
    if (!api || kept.length === 0) continue
    const deposit = world.chance.pick(kept)
    const [recording = ''] = deposit.acknowledged
    await Promise.race([world.compare(api.reader, deposit, recording), world.time.sleep(120_000)])
  }
}

/** Things happen to the world until the storm is over. */
export async function storm(world: World, isOver: () => boolean): Promise<void> {
  const { chance, time, weatherAtStorm } = world
  if (weatherAtStorm.events.length === 0) return
  const happened = new Set<WorldEvent>()
  while (true) {
    await time.sleep(2000 + chance.fraction() * 20_000)
    if (isOver()) return
    const event = chance.pick(weatherAtStorm.events)
    const isOnce = ['lose-node', 'drain', 'second-upkeep', 'suspend', 'rotate'].includes(event)
    if (isOnce && happened.has(event)) continue
    happened.add(event)
    world.figures.events++
    world.trace(`event ${event}`)
    await happen(world, event)
  }
}

async function happen(world: World, event: WorldEvent): Promise<void> {
  const { chance, time } = world
  const forAWhile = (longestMs: number, end: () => void): void =>
    void time.sleep(chance.fraction() * longestMs).then(end)
  switch (event) {
    case 'flush':
      return world.queue.flush()
    case 'node-down':
    case 'node-full': {
      const node = chance.pick(world.nodes)
      node.condition = event === 'node-down' ? 'down' : 'full'
      return forAWhile(90_000, () => (node.condition = 'well'))
    }
    case 'kill-all':
      for (const { process } of world.living()) process.kill('with all others')
      return
    case 'clock': {
      const living = world.living()
      if (living.length === 0) return
      const { process } = chance.pick(living)
      process.clock.skewMs = chance.pick([DAY_MS, -DAY_MS, HOUR_MS, -HOUR_MS])
      world.hadClockJump = true
      world.trace(`the clock of ${process.name} is wrong by ${process.clock.skewMs} ms`)
      return forAWhile(60_000, () => (process.clock.skewMs = 0))
    }
    case 'damage':
      return damage(world)
    case 'lose-node':
      return await loseNode(world)
    case 'drain': {
      const index = chance.between(0, world.nodes.length - 1)
      if (world.nodes[index] === world.fragile) return
      return await world.catalog.installation.setNodeState(world.nodeIds[index]!, 'draining')
    }
    case 'reshare':
      return await reshare(world)
    case 'rebalance':
      return await operator(world).rebalance(undefined)
    case 'rotate':
      world.wantsRotation = true
      return await rotate(world)
    case 'second-upkeep':
      return world.start('upkeep')
    case 'suspend':
      return time.skip(chance.fraction() * 10 * 60_000)
  }
}

const operator = (world: World): NodeLife => {
  const ports = world.outside()
  return createNodeLife({ ...ports, driver: driverOf(world.nodes), nodesChanged: () => undefined })
}

/** Somebody wants a new sharing of something that is kept, half of the time by another scheme that bears as many losses. */
async function reshare(world: World): Promise<void> {
  const { chance, scheme, organisation } = world
  const all = await world.catalog.upkeep.survey(undefined, 200)
  if (all.length === 0) return
  const recording = chance.pick(all).recording.id
  const another = chance.chance(0.5) ? { ...scheme, t: chance.between(0, scheme.k - 1) } : undefined
  world.trace(`reshare ${recording} ${JSON.stringify(another)}`)
  await operator(world).reshare({ organisation, recording }, another)
}

/** Somebody turns the keys over; as long as a node does not take the new card the old ones stay in force. */
export async function rotate(world: World): Promise<void> {
  try {
    await rotateKeys(world.outside(), world.organisation)
    world.wantsRotation = false
  } catch (error) {
    if (!isMosaikError(error, 'E_NODES_TOO_FEW')) throw error
  }
}

/** Something rots on the fragile node. */
function damage(world: World): void {
  const { chance, fragile } = world
  const keys = [...fragile.objects.keys()].filter((key) => key !== MARKER_NAME).toSorted()
  if (keys.length === 0) return
  const key = chance.pick(keys)
  const bytes = fragile.objects.get(key)!
  const kind = chance.pick(['flip', 'truncate', 'delete', 'swap'])
  world.trace(`${kind} ${key} on ${fragile.name}`)
  if (kind === 'flip') fragile.flip(key, chance.between(0, bytes.length - 1))
  if (kind === 'truncate') fragile.objects.set(key, bytes.slice(0, chance.between(0, bytes.length - 1)))
  if (kind === 'delete') fragile.objects.delete(key)
  if (kind === 'swap') {
    const other = chance.pick(keys)
    fragile.objects.set(key, fragile.objects.get(other)!)
    fragile.objects.set(other, bytes)
  }
}

/** The fragile node comes back empty, as another disk does, and somebody dismisses it. */
async function loseNode(world: World): Promise<void> {
  const { fragile, nodes, nodeIds, time, chance } = world
  fragile.objects.clear()
  fragile.unfinished.clear()
  await time.sleep(chance.fraction() * 30_000)
  await world.catalog.installation.setNodeState(nodeIds[nodes.indexOf(fragile)]!, 'dismissed')
}
