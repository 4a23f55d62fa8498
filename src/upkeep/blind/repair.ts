import { addScaled } from '../../crypto/field.ts'
import type { CodecTools, FramedBlock } from '../../crypto/framed-block.ts'
import { signerId, type TrustedSigner } from '../../crypto/keys.ts'
import { recoverRows } from '../../crypto/matrix.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { RepairCodec } from '../../crypto/repair-codec.ts'
import { combineDocument } from '../../crypto/shamir.ts'
import { verifyPair } from '../../crypto/signature.ts'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { FindingKind } from '../../domain/health.ts'
import { placementViolations, shareHealth } from '../../domain/health.ts'
import type { Id } from '../../domain/ids.ts'
import type { StorageNode } from '../../domain/node.ts'
import {
  encodeDocumentShare,
  encodeShareForSigning,
  SHARE_CONTEXT,
  type SignedShare,
} from '../../format/document-share.ts'
import { blockLength, segmentsOfExtent } from '../../format/fragment-header.ts'
import { sameBytes } from '../../format/header-bytes.ts'
import { objectName } from '../../format/object-names.ts'
import type { AtRestVault } from '../../ports/at-rest.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import type { FindingGroup, FindingRow } from '../../ports/catalog/upkeep.ts'
import { withDeadline } from '../../ports/deadline.ts'
import type { NodePool } from '../../ports/node-pool.ts'
import type { ObjectKey, ObjectWriter } from '../../ports/object-store.ts'
import type { Clock, Log, Random } from '../../ports/system.ts'
import {
  blockIn,
  blockKey,
  checkManifestShare,
  headerOf,
  rangeOf,
  readShare,
  verifyKeyOf,
  type ShareReadPorts,
} from './check-share.ts'
import { chooseTargets, planRepair, type RepairPlan } from './repair-targets.ts'
import { shareGroups, type FragmentGroup, type ManifestGroup, type ShareGroup } from './share-groups.ts'
import { signersOf } from '../../retrieve/signers.ts'
import { Bandwidth, TaskLease } from './task-lease.ts'

export interface RepairPorts {
  readonly catalog: Pick<Catalog, 'installation' | 'layout' | 'upkeep'>
  readonly pool: NodePool
  readonly atRest: Pick<AtRestVault, 'unwrapAtRest'>
  /** For manifest shares. Signs, and opens nothing. */
  readonly signer: (organisation: Id) => Promise<ShareSigner>
  readonly primitives: Primitives
  readonly tools: CodecTools
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
}

/** An organisation's signing pair of the epoch in force. */
export interface ShareSigner {
  readonly keys: TrustedSigner['keys']
  /** Signature pair under "mosaik/v1/share". */
  sign(message: Uint8Array): Promise<Uint8Array>
}

export interface Repaired {
  /** Groups that are whole again. */
  readonly groups: number
  readonly shares: number
  /** Groups that have to wait, for nodes or for somebody. */
  readonly waiting: number
}

const QUEUE_BATCH = 50
/** Rounds of one repair in which no node took a share. */
const FRUITLESS_ROUNDS = 4
/** Rounds of one repair: each may find one more bad source among at most 32. */
const MOST_ROUNDS = 40
const WRITE_TIMEOUT_MS = 120_000
const RUN_SEGMENTS = 16
const FIRST_WAIT_MS = 60_000
const LONGEST_WAIT_MS = 6 * 3_600_000

/**
 * Works through the findings: what breaks the placement rule first, then what has the least to lose. A lost share is computed from k others
 * whose tags verify, under the same sharing id, the same bytes; nothing is decrypted. Safe to stop anywhere and to run again.
 *
 * @returns `undefined` when another process is at it.
 */
export async function repair(
  ports: RepairPorts,
  options: { readonly bytesPerSecond: number },
  signal: AbortSignal,
): Promise<Repaired | undefined> {
  const { catalog, clock } = ports
  const lease = await TaskLease.claim({ upkeep: catalog.upkeep, clock }, 'repair')
  if (!lease) return undefined
  const bandwidth = new Bandwidth(clock, options.bytesPerSecond)
  const pace = async (bytes: number, limited: AbortSignal): Promise<void> => {
    await bandwidth.take(bytes, limited)
    await lease.beat()
  }
  let done: Repaired = { groups: 0, shares: 0, waiting: 0 }
  try {
    while (true) {
      const queue = await catalog.upkeep.repairQueue(clock.nowMs(), QUEUE_BATCH)
      if (queue.length === 0) return done
      for (const one of queue) {
        signal.throwIfAborted()
        const { shares, isWhole } = await repairOrWait({ ...ports, pace }, one, signal)
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

interface GroupOutcome {
  readonly shares: number
  readonly isWhole: boolean
}

type Pace = ShareReadPorts['pace']

async function repairOrWait(
  ports: RepairPorts & { readonly pace: Pace },
  queued: FindingGroup,
  signal: AbortSignal,
): Promise<GroupOutcome> {
  const { catalog, clock, log } = ports
  const tries = Math.max(0, ...queued.findings.map(({ triesCount }) => triesCount))
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(tries, 12))
  let outcome: GroupOutcome = { shares: 0, isWhole: false }
  try {
    outcome = await repairGroup(ports, queued, signal)
    if (outcome.isWhole) log.info('repair.done', { group: queued.group, shares: outcome.shares })
  } catch (error) {
    if (signal.aborted || !isMosaikError(error) || error.code === 'E_LEASE_LOST') throw error
    log.warn('repair.waits', { group: queued.group, code: error.code, delayMs: wait, ...error.fields })
  }
  if (!outcome.isWhole) await catalog.upkeep.postpone(queued.group, clock.nowMs() + wait)
  return outcome
}

/** One group: `isWhole` when nothing is left to do. @throws E_SHARES_TOO_FEW, E_PLACEMENT_RULE, E_NODES_TOO_FEW */
async function repairGroup(
  ports: RepairPorts & { readonly pace: Pace },
  { group: name, findings: queued }: FindingGroup,
  signal: AbortSignal,
): Promise<GroupOutcome> {
  const { catalog, clock } = ports
  if (name.startsWith('card/')) return await repairCard(ports, queued, signal)
  const refused = new Set<string>()
  let shares = 0
  for (let round = 0, fruitless = 0; round < MOST_ROUNDS && fruitless < FRUITLESS_ROUNDS; round++) {
    const group = await find(ports, queued[0]?.recording ?? null, name)
    if (!group) {
      // Superseded, or never stored: what was found does not matter any more.
      await catalog.upkeep.resolve(name, clock.nowMs())
      return { shares, isWhole: true }
    }
    // Anew each time: sources may have turned out to be bad themselves.
    const plan = await planRepair(ports, group, await catalog.upkeep.findingsOf(name))
    if (plan.missing.length === 0) return { shares, isWhole: await endGroup(ports, group) }
    const targets = await chooseTargets(ports, group, plan, refused)
    const work = new GroupRepair(ports, group, plan, signal)
    const made =
      group.kind === 'fragment' ? await work.fragments(group, targets) : await work.manifestShares(group, targets)
    for (const { index, node } of targets) {
      if (!made.includes(index)) refused.add(`${index}/${node.id}`)
    }
    for (const index of made) await catalog.upkeep.resolve(name, clock.nowMs(), index)
    shares += made.length
    if (made.length === 0) fruitless++
  }
  return { shares, isWhole: false }
}

/** Closes what is settled. False when something stays that repair cannot mend: a violation wants a new sharing, a forgery somebody's eyes. */
async function endGroup(ports: RepairPorts, group: ShareGroup): Promise<boolean> {
  const { catalog, clock } = ports
  for (const finding of await catalog.upkeep.findingsOf(group.name)) {
    if (finding.kind === 'violation') {
      const rule = (await catalog.installation.organisation(group.organisation))?.placementRule ?? 'none'
      const exposures = await catalog.layout.exposures(group.sharing)
      if (placementViolations(group.scheme, rule, exposures).length > 0) return false
    } else if (finding.kind === 'forged' && finding.object === null) return false
  }
  await setAside(ports, group, await catalog.upkeep.findingsOf(group.name))
  await catalog.upkeep.resolve(group.name, clock.nowMs())
  return true
}

/** Rows of bad objects, and of objects on nodes that are left, become the collector's when another copy of the share stands. */
async function setAside(ports: RepairPorts, group: ShareGroup, findings: readonly FindingRow[]): Promise<void> {
  for (const { kind, node, object } of findings) {
    if (node === null || object === null) continue
    const row = group.rows.find((one) => one.node === node && one.key === object)
    const isDouble = group.rows.some((one) => one !== row && one.index === row?.index)
    const state = kind === 'leaving' ? 'superseded' : 'failed'
    if (row && isDouble) await ports.catalog.layout.setObjectState(node, object, state)
  }
}

async function find(ports: RepairPorts, recording: Id | null, name: string): Promise<ShareGroup | undefined> {
  const one = recording === null ? undefined : await ports.catalog.upkeep.surveyed(recording)
  return one && shareGroups(one).find((group) => group.name === name)
}

/** Puts a card again where it is missing or spoilt; its bytes are in the catalog, its name is their hash. */
async function repairCard(
  ports: RepairPorts,
  findings: readonly FindingRow[],
  signal: AbortSignal,
): Promise<GroupOutcome> {
  const { catalog, primitives, clock } = ports
  let shares = 0
  for (const { organisation, node, object, group } of findings) {
    const cards = await catalog.installation.cards(organisation)
    const card = cards.find((one) => objectName('card', primitives.sha256(one)) === object)
    if (card && node !== null && object !== null) {
      const store = await ports.pool.store(node)
      await store.put(object, card, AbortSignal.any([signal, AbortSignal.timeout(WRITE_TIMEOUT_MS)]))
      shares++
    }
    await catalog.upkeep.resolve(group, clock.nowMs())
  }
  return { shares, isWhole: true }
}

interface Target {
  readonly index: number
  readonly node: StorageNode
}

/** The work on one group: shares are computed side by side, so that the sources are read once. */
class GroupRepair {
  readonly #ports: RepairPorts & { readonly pace: Pace }
  readonly #group: ShareGroup
  readonly #plan: RepairPlan
  readonly #signal: AbortSignal
  readonly #reasons = new Map<string, string>()

  constructor(ports: RepairPorts & { readonly pace: Pace }, group: ShareGroup, plan: RepairPlan, signal: AbortSignal) {
    this.#ports = ports
    this.#group = group
    this.#plan = plan
    this.#signal = signal
  }

  /** @returns the indices that lie verified on their new nodes. @throws E_SHARES_TOO_FEW */
  async fragments(group: FragmentGroup, targets: readonly Target[]): Promise<number[]> {
    const { primitives, atRest, tools } = this.#ports
    const verifyKey = await verifyKeyOf(atRest, group.attempt)
    const indices = Array.from({ length: group.scheme.n }, (_, index) => index)
    const keys = new Map(indices.map((index) => [index, blockKey(primitives, verifyKey, group, index)]))
    const codec = new RepairCodec(tools, group.scheme, keys)
    // Before a row says that a node has a share: is there enough to compute it from?
    const { first, count } = segmentsOfExtent(group.sealedBytes, group.extent)
    const probe = new RunSource((row) => this.#read(row, group, first, 1))
    const firstRowBytes = blockLength(group.scheme, group.sealedBytes, first)
    await this.#goodBlocks(group, codec, probe, first, first, firstRowBytes)
    const lanes = await this.#open(targets, 'fragment')
    try {
      for (const lane of lanes) await lane.write(headerOf(group, lane.target.index))
      for (let at = first; at < first + count; at += RUN_SEGMENTS) {
        const run = Math.min(RUN_SEGMENTS, first + count - at)
        const source = new RunSource((row) => this.#read(row, group, at, run))
        for (let segment = at; segment < at + run; segment++) {
          const rowBytes = blockLength(group.scheme, group.sealedBytes, segment)
          const blocks = await this.#goodBlocks(group, codec, source, at, segment, rowBytes)
          for (const lane of lanes) {
            if (lane.isAlive) await lane.write(codec.recoverShare(segment, rowBytes, blocks, lane.target.index))
          }
        }
        if (!lanes.some(({ isAlive }) => isAlive)) break
      }
    } catch (error) {
      for (const lane of lanes) await lane.giveUp(error)
      throw error
    }
    const made: number[] = []
    for (const lane of lanes) {
      if (await lane.commit()) made.push(lane.target.index)
    }
    await this.#settle(made, lanes)
    return made
  }

  /** @returns the indices that lie verified on their new nodes. @throws E_SHARES_TOO_FEW, E_SHARES_MIXED */
  async manifestShares(group: ManifestGroup, targets: readonly Target[]): Promise<number[]> {
    const { primitives } = this.#ports
    const { k } = group.scheme
    const good = await this.#goodShares(group)
    const first = good[0]!
    const rows = good.map(({ index, share }) => ({ index, bytes: share }))
    const sealed = combineDocument(k, rows, first.sealedBytes)
    const { sealedSha256 } = group.generation
    if (!sealedSha256 || !sameBytes(primitives.sha256(sealed), sealedSha256)) {
      throw new MosaikError('E_SHARES_MIXED', 'the shares combine to another document than the one that was stored', {
        group: group.name,
      })
    }
    const { keys, sign } = await this.#ports.signer(group.organisation)
    const lanes = await this.#open(targets, 'manifest-share')
    const made: number[] = []
    for (const lane of lanes) {
      const { index } = lane.target
      const weights = recoverRows(
        k,
        k - 1,
        rows.map((row) => row.index),
        [index],
      )[0]!
      const share = new Uint8Array(first.share.length)
      rows.forEach(({ bytes }, j) => {
        if (weights[j] !== 0) addScaled(share, weights[j]!, bytes)
      })
      const signedBytes = encodeShareForSigning({ ...first, index, signer: signerId(primitives, keys), share })
      const signature = await sign(signedBytes)
      if (!verifyPair(keys, SHARE_CONTEXT, signedBytes, signature)) {
        const error = new MosaikError('E_SIGNATURE', 'the keyring signed with another pair than it names')
        for (const other of lanes) await other.giveUp(error)
        throw error
      }
      await lane.write(encodeDocumentShare(signedBytes, signature))
      if (await lane.commit()) made.push(index)
    }
    await this.#settle(made, lanes)
    return made
  }

  /** k blocks of one segment whose tags verify, of k different shares. */
  async #goodBlocks(
    group: FragmentGroup,
    codec: RepairCodec,
    source: RunSource,
    at: number,
    segment: number,
    rowBytes: number,
  ): Promise<FramedBlock[]> {
    const blocks: FramedBlock[] = []
    const taken = new Set<number>()
    for (const row of this.#plan.sources) {
      if (blocks.length === group.scheme.k) break
      if (taken.has(row.index)) continue
      const bytes = await source.of(row)
      if (!bytes) continue
      const block = { index: row.index, bytes: blockIn(group, bytes, at, segment) }
      if (codec.badIndices(segment, rowBytes, [block]).length > 0) {
        await this.#blame(row, 'flipped', { part: 'block', segment })
        continue
      }
      taken.add(row.index)
      blocks.push(block)
    }
    if (blocks.length === group.scheme.k) return blocks
    throw this.#tooFew(blocks.length)
  }

  async #goodShares(group: ManifestGroup): Promise<SignedShare[]> {
    const trusted = await signersOf(
      { installation: this.#ports.catalog.installation, primitives: this.#ports.primitives },
      group.organisation,
    )
    const good = new Map<number, SignedShare>()
    for (const row of this.#plan.sources) {
      if (good.size === group.scheme.k) break
      try {
        const answer = await checkManifestShare(this.#ports, group, trusted, row, this.#signal)
        if ('share' in answer) good.set(row.index, answer.share)
        else await this.#blame(row, answer.trouble.kind, answer.trouble.fields)
      } catch (error) {
        this.#notAsked(row, error)
      }
    }
    if (good.size === group.scheme.k) return [...good.values()]
    throw this.#tooFew(good.size)
  }

  async #read(row: ObjectRow, group: FragmentGroup, at: number, run: number): Promise<Uint8Array | undefined> {
    const range = rangeOf(group, at, run)
    try {
      return await readShare(this.#ports, row, range, range.lengthBytes, this.#signal)
    } catch (error) {
      if (isMosaikError(error, 'E_OBJECT_ABSENT')) await this.#blame(row, 'missing', {})
      else if (isMosaikError(error, 'E_OBJECT_RANGE')) await this.#blame(row, 'truncated', {})
      else this.#notAsked(row, error)
      return undefined
    }
  }

  #notAsked(row: ObjectRow, error: unknown): void {
    this.#signal.throwIfAborted()
    if (!isMosaikError(error) || !error.code.startsWith('E_NODE_')) throw error
    this.#reasons.set(row.node, error.code)
  }

  /** A source that is bad itself is a finding of its own. */
  async #blame(row: ObjectRow, kind: FindingKind, fields: FindingRow['fields']): Promise<void> {
    if (this.#reasons.has(row.node)) return
    this.#reasons.set(row.node, kind)
    const { organisation, recording, name, scheme } = this.#group
    const { slack } = shareHealth(
      scheme,
      this.#plan.sources.filter((one) => one !== row).map(({ index }) => index),
    )
    const { node, key, index } = row
    const finding = { kind, fields, group: name, organisation, recording, node, object: key, index, slack }
    await this.#ports.catalog.upkeep.report([finding], this.#ports.clock.nowMs())
  }

  #tooFew(count: number): MosaikError {
    const names = new Map(this.#plan.nodes.map(({ id, name }) => [id, name]))
    const reasons = [...this.#reasons].map(([node, reason]) => `${names.get(node) ?? node}: ${reason}`)
    const { k } = this.#group.scheme
    const message = `${k} good shares are needed and ${count} were found (${reasons.join('; ') || 'no other is known'})`
    return new MosaikError('E_SHARES_TOO_FEW', message, { needed: k, came: count, reasons })
  }

  async #open(targets: readonly Target[], kind: 'fragment' | 'manifest-share'): Promise<RepairLane[]> {
    const group = this.#group
    const lanes = targets.map(
      (target) => new RepairLane(this.#ports, target, objectName(kind, this.#ports.random.bytes(16)), this.#signal),
    )
    await this.#ports.catalog.layout.addObjects(
      lanes.map(({ target, key }) => ({
        node: target.node.id,
        key,
        organisation: group.organisation,
        recording: group.recording,
        role:
          group.kind === 'fragment'
            ? { kind: 'fragment', attempt: group.attempt.id, extent: group.extent }
            : { kind: 'manifest', generation: group.generation.generation },
        sharing: group.sharing,
        index: target.index,
        createdAtMs: this.#ports.clock.nowMs(),
      })),
    )
    return lanes
  }

  /** What stood in the place of the new shares is the collector's, unless the whole group went meanwhile. */
  async #settle(made: readonly number[], lanes: readonly RepairLane[]): Promise<void> {
    const { layout } = this.#ports.catalog
    const standing = await find(this.#ports, this.#group.recording, this.#group.name)
    if (!standing) {
      for (const { target, key } of lanes) {
        if (made.includes(target.index)) await layout.setObjectState(target.node.id, key, 'superseded')
      }
      return
    }
    const isSource = (row: ObjectRow): boolean =>
      this.#plan.sources.some(({ node, key }) => node === row.node && key === row.key)
    for (const row of this.#group.rows) {
      if (!made.includes(row.index)) continue
      // A good one on a node that is left is still read for a while; a bad one is not.
      await layout.setObjectState(row.node, row.key, isSource(row) ? 'superseded' : 'failed').catch(ignoreConflict)
    }
  }
}

/** Given up or superseded by somebody else meanwhile. */
function ignoreConflict(error: unknown): void {
  if (!isMosaikError(error, 'E_CONFLICT')) throw error
}

/** Reads each source of a run once. */
class RunSource {
  readonly #read: (row: ObjectRow) => Promise<Uint8Array | undefined>
  readonly #bytes = new Map<ObjectRow, Promise<Uint8Array | undefined>>()

  constructor(read: (row: ObjectRow) => Promise<Uint8Array | undefined>) {
    this.#read = read
  }

  async of(row: ObjectRow): Promise<Uint8Array | undefined> {
    let bytes = this.#bytes.get(row)
    if (!bytes) {
      bytes = this.#read(row)
      this.#bytes.set(row, bytes)
    }
    return await bytes
  }
}

/** One new object on one node; its row is there before it. */
class RepairLane {
  readonly target: Target
  readonly key: ObjectKey
  isAlive = true
  readonly #ports: RepairPorts & { readonly pace: Pace }
  readonly #signal: AbortSignal
  readonly #cancel = new AbortController()
  #writer: ObjectWriter | undefined
  #writtenBytes = 0

  constructor(ports: RepairPorts & { readonly pace: Pace }, target: Target, key: ObjectKey, signal: AbortSignal) {
    this.#ports = ports
    this.target = target
    this.key = key
    this.#signal = signal
  }

  /** A node that does not take its bytes ends this lane and no other. */
  async write(bytes: Uint8Array): Promise<void> {
    if (!this.isAlive) return
    try {
      await this.#ports.pace(bytes.length, this.#signal)
      await this.#inTime(async () => {
        this.#writer ??= await (
          await this.#ports.pool.store(this.target.node.id)
        ).create(this.key, AbortSignal.any([this.#signal, this.#cancel.signal]))
        await this.#writer.write(bytes)
      })
      this.#writtenBytes += bytes.length
    } catch (error) {
      await this.#fail(error)
    }
  }

  /** True when the object lies verified on the node and its row says so. */
  async commit(): Promise<boolean> {
    const writer = this.#writer
    if (!this.isAlive || !writer) return false
    try {
      const { sizeBytes } = await this.#inTime(() => writer.commit())
      if (sizeBytes !== this.#writtenBytes) {
        throw new MosaikError('E_NODE_CORRUPT', `the node has ${sizeBytes} bytes of ${this.#writtenBytes}`)
      }
      await this.#ports.catalog.layout.setObjectState(this.target.node.id, this.key, 'stored', sizeBytes)
      return true
    } catch (error) {
      await this.#fail(error)
      return false
    }
  }

  async giveUp(error: unknown): Promise<void> {
    if (!this.isAlive) return
    this.isAlive = false
    this.#cancel.abort(error)
    await this.#writer?.abort()
    await this.#ports.catalog.layout
      .setObjectState(this.target.node.id, this.key, 'failed')
      .catch((failure: unknown) => {
        if (!isMosaikError(failure)) throw failure
      })
  }

  async #fail(error: unknown): Promise<void> {
    await this.giveUp(error)
    this.#signal.throwIfAborted()
    if (!isMosaikError(error) || error.code === 'E_LEASE_LOST') throw error
    this.#ports.pool.observe(this.target.node.id, 'failed', 0)
    this.#ports.log.warn('repair.node-failed', { node: this.target.node.id, object: this.key, code: error.code })
  }

  async #inTime<T>(call: () => Promise<T>): Promise<T> {
    const late = (): MosaikError =>
      new MosaikError('E_NODE_UNREACHABLE', 'the node takes no more bytes', { node: this.target.node.id })
    const { clock } = this.#ports
    return await withDeadline({ clock, limitMs: WRITE_TIMEOUT_MS, signal: this.#signal, late }, call)
  }
}
