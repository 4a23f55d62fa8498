import { acceptsReads } from '../../src/domain/node.ts'
import type { Id } from '../../src/domain/ids.ts'
import { UPLOAD_TTL_MS } from '../../src/http/uploads/upload-store.ts'
import { commitState } from '../../src/pipeline/commit-state.ts'
import { createIntake } from '../../src/pipeline/intake.ts'
import type { RecordingRow } from '../../src/ports/catalog/recordings.ts'
import { createVaultReader } from '../../src/retrieve/open-recording.ts'
import { collect } from '../../src/upkeep/blind/collect.ts'
import { fsck } from '../../src/upkeep/blind/fsck.ts'
import { repair } from '../../src/upkeep/blind/repair.ts'
import { scrub } from '../../src/upkeep/blind/scrub.ts'
import { survey } from '../../src/upkeep/blind/survey.ts'
import { spreadCards } from '../../src/main/organisations.ts'
import { rebalanceWish } from '../../src/main/rebalance-control.ts'
import { rotationStatus } from '../../src/main/rotate-keys.ts'
import { rebalanceIfWanted } from '../../src/main/upkeep-rebalance.ts'
import type { VaultReader } from '../../src/ports/vault-reader.ts'
import { rewrap } from '../../src/upkeep/keyed/rewrap.ts'
import { SimulatedClock } from './time.ts'
import { SimulatedUploads } from './uploads.ts'
import type { World } from './world.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** After the storm everything is finished within this time … */
const FINISHED_WITHIN_MS = 20 * 60_000
/** … and looked at so often. */
const LOOK_EVERY_MS = 2_000
const REPAIR_ROUNDS = 6
const UNLIMITED = { bytesPerSecond: Infinity }

/** Waits, after the storm, until every deposit is acknowledged and no work is open; says how long it took, in ms. */
export async function finish(world: World): Promise<number> {
  const startMs = world.time.nowMs
  let open = 'never looked'
  let isDone = false
  const look = async (): Promise<void> => {
    while (!isDone) {
      const missing = world.deposits.filter(({ acknowledged }) => acknowledged.size === 0).length
      const backlog = await world.catalog.work.backlog(Number.MAX_SAFE_INTEGER)
      const count = backlog.reduce((sum, one) => sum + one.count, 0)
      open = `${missing} deposits unacknowledged, ${count} pieces of work open`
      isDone = missing === 0 && count === 0
      if (!isDone) await world.time.sleep(LOOK_EVERY_MS)
    }
  }
  void look()
  if (await world.time.run(FINISHED_WITHIN_MS, () => isDone)) return world.time.nowMs - startMs
  if (world.hadClockJump) {
    // A lease that was taken a day ahead runs out a day later: no sooner, and no later.
    world.time.skip(DAY_MS + HOUR_MS)
    if (await world.time.run(FINISHED_WITHIN_MS, () => isDone)) return FINISHED_WITHIN_MS
  }
  isDone = true
  world.violate('not-finished', `after ${FINISHED_WITHIN_MS} ms of calm: ${open}`)
  return world.time.nowMs - startMs
}

/** Work that failed because its tool did, over and over, is tried again by hand. */
export async function retryByHand(world: World): Promise<boolean> {
  let isRetried = false
  for (const { recording } of await recordingsOf(world)) {
    const all = await world.catalog.work.ofRecording(recording.id)
    for (const work of all) {
      if (work.state !== 'failed' || work.error?.code !== 'E_MEDIA_TOOL') continue
      // A store work that ran twice may have added the next stage anew after it had failed.
      if (all.some(({ stage, state }) => stage === work.stage && state !== 'failed')) continue
      await world.catalog.work.retry(work.id, new SimulatedClock(world.time).nowMs())
      isRetried = true
    }
  }
  return isRetried
}

async function recordingsOf(world: World) {
  return await world.catalog.upkeep.survey(undefined, 200)
}

/** Everything is finished and nobody works: do the promises hold? */
export async function judge(world: World): Promise<void> {
  await judgeRecordings(world)
  await mend(world)
  await judgeVault(world)
  await judgeReads(world)
  await judgeUploads(world)
}

/** One recording a deposit, one row of work a stage, one receipt, and the state that its content asks for. */
async function judgeRecordings(world: World): Promise<void> {
  const all = await recordingsOf(world)
  for (const { externalId, acknowledged, isPlayable, path } of world.deposits) {
    if (acknowledged.size > 1)
      world.violate('duplicate', `${externalId} was acknowledged as ${[...acknowledged].join()}`)
    const made = all.filter(({ recording }) => recording.externalId === externalId)
    if (made.length !== 1) world.violate('duplicate', `${externalId} is ${made.length} recordings`)
    for (const id of acknowledged) {
      const one = made.find(({ recording }) => recording.id === id)
      if (!one) {
        world.violate('lost', `${externalId} was acknowledged as ${id}, which is not there`)
        continue
      }
      judgeState(world, one.recording, isPlayable)
      if (one.receipt && world.sourceCopies.has(path)) world.violate('source-kept', `${externalId} has its receipt`)
      const live = one.attempts.filter(({ state }) => state === 'writing')
      if (live.length > 0) world.violate('attempt-writing', `${live.length} attempts of ${id}`)
    }
  }
  if (all.length !== world.deposits.length) {
    world.violate('duplicate', `${all.length} recordings of ${world.deposits.length} deposits`)
  }
  for (const { recording } of all) {
    for (const [stage, work] of Map.groupBy(await world.catalog.work.ofRecording(recording.id), ({ stage }) => stage)) {
      const failedCount = work.filter(({ state }) => state === 'failed').length
      // One that failed may stand beside the one that was added anew.
      if (failedCount > 1 || work.length - failedCount > 1)
        world.violate('duplicate', `${work.length} rows of ${stage} of ${recording.id}, ${failedCount} of them failed`)
    }
  }
}

function judgeState(world: World, { id, state, reason }: RecordingRow, isPlayable: boolean): void {
  const due = isPlayable ? 'ready' : 'unplayable'
  if (state !== due)
    world.violate('state', `${id} is ${state} and should be ${due}: ${reason?.code} ${reason?.message}`)
}

/** What the vault does in days: everything looked at, mended, collected. */
async function mend(world: World): Promise<void> {
  const ports = world.outside()
  const { signal } = new AbortController()
  for (let round = 0; round < REPAIR_ROUNDS; round++) {
    world.time.skip(7 * HOUR_MS)
    await world.drive('cards', HOUR_MS, spreadToAll(world, ports))
    await world.drive('survey', HOUR_MS, survey(ports, signal))
    await world.drive('scrub', HOUR_MS, scrub(ports, UNLIMITED, signal))
    await world.drive('rewrap', HOUR_MS, rewrapAll(world, ports))
    const repaired = await world.drive('repair', HOUR_MS, repair(ports, UNLIMITED, signal))
    await world.drive('rebalance', HOUR_MS, rebalanceIfWanted(ports, signal))
    if ((await world.catalog.upkeep.backlog()).length === 0 && repaired?.groups === 0) break
  }
  await world.drive('state', HOUR_MS, commitState(ports, world.organisation, signal))
  // Twice: the first time gives up what nobody works on, the second time deletes it.
  for (let round = 0; round < 2; round++) {
    // What a clock that was a day ahead gave up counts as given up a day later.
    world.time.skip(DAY_MS + 2 * HOUR_MS)
    await world.drive('collect', HOUR_MS, collect(ports, signal))
  }
  const readable = (await world.catalog.installation.nodes()).filter(acceptsReads).map(({ id }) => id)
  const left = (await world.catalog.layout.collectable(Number.MAX_SAFE_INTEGER, 1000)).filter(({ node }) =>
    readable.includes(node),
  )
  for (const { key, state } of left) world.violate('not-collected', `${key} is ${state}`)
}

async function rewrapAll(world: World, ports: ReturnType<World['outside']>): Promise<void> {
  const { signal } = new AbortController()
  const open: VaultReader['open'] = (...given) => createVaultReader(ports).open(...given)
  await rewrap({ ...ports, open }, world.organisation, { perMinute: 60_000 }, signal)
}

async function spreadToAll(world: World, ports: ReturnType<World['outside']>): Promise<void> {
  for (const node of await world.catalog.installation.nodes()) {
    if (node.state === 'active') await spreadCards(ports, node.id)
  }
}

/** The independent checker, and what it cannot see. */
async function judgeVault(world: World): Promise<void> {
  const ports = world.outside()
  const leftovers = (id: Id): Promise<string[]> =>
    Promise.resolve([...(world.nodes[world.nodeIds.indexOf(id)]?.unfinished.keys() ?? [])])
  const report = await world.drive('fsck', HOUR_MS, fsck({ ...ports, leftovers }, new AbortController().signal))
  for (const { name, detail, object } of report.violations) world.violate(name, `${detail} ${object ?? ''}`)
  for (const { name, code } of report.unreachable) world.violate('unreachable', `${name}: ${code}`)
  const { toRewrap } = await rotationStatus(ports, world.organisation)
  if (toRewrap > 0) world.violate('not-rewrapped', `${toRewrap} recordings are sealed to the keys before`)
  if ((await rebalanceWish(world.catalog)).isWanted) world.violate('not-balanced', 'a rebalance never ended')
  for (const node of await world.catalog.installation.nodes()) {
    if (node.state !== 'draining') continue
    const rows = await world.catalog.upkeep.objectsOn(node.id, '', undefined, 100)
    const shares = rows.filter(({ role, state }) => state === 'stored' && ['fragment', 'manifest'].includes(role.kind))
    if (shares.length > 0) world.violate('not-drained', `${node.name} has ${shares.length} shares`)
  }
}

/** Every recording, with as many nodes away as the scheme bears. */
async function judgeReads(world: World): Promise<void> {
  const ports = world.outside()
  const reader = createVaultReader(ports)
  const rows = (await world.catalog.installation.nodes()).filter(acceptsReads)
  const away = new Set<Id>()
  while (away.size < world.scheme.n - world.scheme.k) away.add(world.chance.pick(rows).id)
  for (const id of away) world.nodes[world.nodeIds.indexOf(id)]!.condition = 'down'
  for (const deposit of world.deposits) {
    for (const recording of deposit.acknowledged) {
      const error = await world.drive('a read', HOUR_MS, world.compare(reader, deposit, recording))
      if (error)
        world.violate('unreadable', `${recording} with ${away.size} nodes away: ${error.code} ${error.message}`)
    }
  }
}

/** A day later nothing is left of any upload: no bytes, and no row. */
async function judgeUploads(world: World): Promise<void> {
  const ports = world.outside()
  const clock = new SimulatedClock(world.time)
  clock.skewMs = 2 * UPLOAD_TTL_MS
  const spool = world.parts.spool.open()
  // Clients that went away before they were told: the sweep finds the recording of theirs.
  const announce = (): void => world.violate('duplicate', 'a sweep of uploads made a recording')
  const intake = createIntake({ ...ports, announce })
  const uploads = new SimulatedUploads({ ...ports, uploads: ports.catalog.uploads, spool, intake, clock })
  await world.drive('sweep', UPLOAD_TTL_MS, uploads.sweep())
  for (const id of world.parts.spool.kept.keys()) world.violate('spool-kept', `bytes of upload ${id}`)
  for (const state of ['receiving', 'complete', 'consumed', 'aborted'] as const) {
    for (const { id } of await world.catalog.uploads.uploads(state, Number.MAX_SAFE_INTEGER))
      world.violate('upload-kept', `${id} is ${state}`)
  }
}
