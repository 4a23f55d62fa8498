import type { CodecTools } from '../../crypto/framed-block.ts'
import { RepairCodec } from '../../crypto/repair-codec.ts'
import { combineDocument } from '../../crypto/shamir.ts'
import { exchanges } from '../../crypto/subsets.ts'
import { isMosaikError, type MosaikError } from '../../domain/errors.ts'
import { placementViolations, shareHealth } from '../../domain/health.ts'
import { toHex, type Id } from '../../domain/ids.ts'
import { acceptsReads, type StorageNode } from '../../domain/node.ts'
import type { SignedShare } from '../../format/document-share.ts'
import { blockLength, segmentsOfExtent } from '../../format/fragment-header.ts'
import { sameBytes } from '../../format/header-bytes.ts'
import { objectName } from '../../format/object-names.ts'
import type { AtRestVault } from '../../ports/at-rest.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import type { Finding } from '../../ports/catalog/upkeep.ts'
import type { NodePool } from '../../ports/node-pool.ts'
import type { Clock, Log, Random } from '../../ports/system.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import {
  blockKey,
  checkFragment,
  checkManifestShare,
  rangeOf,
  readShare,
  verifyKeyOf,
  type ShareReadPorts,
  type ShareTrouble,
} from './check-share.ts'
import { shareGroups, type FragmentGroup, type ManifestGroup, type ShareGroup } from './share-groups.ts'
import { signersOf } from '../../retrieve/signers.ts'
import { Bandwidth, TaskLease } from './task-lease.ts'

export interface ScrubPorts {
  readonly catalog: Pick<Catalog, 'installation' | 'layout' | 'upkeep'>
  readonly pool: NodePool
  readonly atRest: Pick<AtRestVault, 'unwrapAtRest'>
  readonly primitives: Primitives
  readonly tools: CodecTools
  readonly random: Random
  readonly clock: Clock
  readonly log: Log
}

/** What a look at shares came to. */
export interface Scrubbed {
  readonly groups: number
  readonly shares: number
  readonly findings: number
  /** Shares whose node did not answer: nothing is said of them. */
  readonly skipped: number
}

const SURVEY_PAGE = 20
/** Segments of a group that are recombined from k + 1 shares in a full scrub, next to every tag. */
const FIT_SAMPLES = 3
const MAX_SUBSETS = 200
const NOTHING: Scrubbed = { groups: 0, shares: 0, findings: 0, skipped: 0 }

/**
 * One full pass: every block's tag, every manifest share's signature, samples of k + 1 shares recombined. Needs verify keys and public keys,
 * and cannot decrypt. What is wrong becomes a finding. Goes on where it, or another process, was stopped.
 *
 * @returns `undefined` when another process is at it.
 */
export async function scrub(
  ports: ScrubPorts,
  options: { readonly bytesPerSecond: number },
  signal: AbortSignal,
): Promise<Scrubbed | undefined> {
  const lease = await TaskLease.claim({ upkeep: ports.catalog.upkeep, clock: ports.clock }, 'scrub')
  if (!lease) return undefined
  const reader = new GroupCheck(ports, new Bandwidth(ports.clock, options.bytesPerSecond), () => lease.beat())
  const { after: startAfter = null, startedAtMs = ports.clock.nowMs() } = lease.progress
  let after = typeof startAfter === 'string' ? startAfter : undefined
  let group = typeof lease.progress['group'] === 'string' ? lease.progress['group'] : ''
  lease.progress = { ...lease.progress, startedAtMs }
  const noted = Number(lease.progress['shares'] ?? 0)
  try {
    if (after === undefined && group === '') await reader.checkCards(signal)
    let page = await ports.catalog.upkeep.survey(after, SURVEY_PAGE)
    while (page.length > 0) {
      for (const one of page) {
        for (const next of shareGroups(one)) {
          if (next.name <= group) continue
          signal.throwIfAborted()
          await reader.checkWhole(next, signal)
          lease.progress = { ...lease.progress, group: next.name, shares: noted + reader.result.shares }
          await lease.beat()
        }
        after = one.recording.id
        group = ''
        lease.progress = { ...lease.progress, after, group: null }
        await lease.beat()
      }
      page = await ports.catalog.upkeep.survey(after, SURVEY_PAGE)
    }
    const { shares = 0 } = lease.progress
    lease.progress = { passStartedAtMs: startedAtMs, passEndedAtMs: ports.clock.nowMs(), passShares: shares }
  } finally {
    await lease.end()
  }
  return reader.result
}

/**
 * A sample: of each node one fragment in a thousand, at least one, and one manifest share; of each fragment one block, recombined with k
 * others.
 */
export async function audit(
  ports: ScrubPorts,
  options: { readonly bytesPerSecond: number },
  signal: AbortSignal,
): Promise<Scrubbed> {
  const reader = new GroupCheck(ports, new Bandwidth(ports.clock, options.bytesPerSecond))
  for (const { node, objectsCount } of await ports.catalog.layout.nodeUsage()) {
    for (let i = 0; i < Math.ceil(objectsCount / 1000); i++) {
      for (const kind of ['fragment', 'manifest-share'] as const) {
        signal.throwIfAborted()
        const row = await randomObject(ports, node, objectName(kind, ports.random.bytes(16)))
        if (row === undefined || row.recording === null) continue
        const one = await ports.catalog.upkeep.surveyed(row.recording)
        const group = one && shareGroups(one).find(({ rows }) => rows.some(({ key }) => key === row.key))
        if (group) await reader.checkSample(group, row, signal)
      }
    }
  }
  return reader.result
}

/** Names are random: what follows a random name is a random object. */
async function randomObject(ports: ScrubPorts, node: Id, from: string): Promise<ObjectRow | undefined> {
  const prefix = from.slice(0, 2)
  const next = await ports.catalog.upkeep.objectsOn(node, prefix, from, 20)
  const rows = next.length > 0 ? next : await ports.catalog.upkeep.objectsOn(node, prefix, undefined, 20)
  return rows.find(({ state }) => state === 'stored')
}

/**
 * What the catalog alone shows: shares that a write left out, that lie on a node which is to be emptied or is gone, and sharings of which
 * somebody has held too much. Each becomes a finding.
 */
export async function survey(ports: Pick<ScrubPorts, 'catalog' | 'clock'>, signal: AbortSignal): Promise<number> {
  const { catalog, clock } = ports
  const nodes = new Map((await catalog.installation.nodes()).map((node) => [node.id, node]))
  const rules = new Map((await catalog.installation.organisations()).map((one) => [one.id, one.placementRule]))
  let count = 0
  let page = await catalog.upkeep.survey(undefined, SURVEY_PAGE)
  while (page.length > 0) {
    for (const one of page) {
      signal.throwIfAborted()
      for (const group of shareGroups(one)) {
        const exposures = await catalog.layout.exposures(group.sharing)
        const rule = rules.get(group.organisation) ?? 'none'
        const found = surveyGroup(group, nodes, placementViolations(group.scheme, rule, exposures).length > 0)
        await catalog.upkeep.report(found, clock.nowMs())
        count += found.length
      }
    }
    page = await catalog.upkeep.survey(page.at(-1)?.recording.id, SURVEY_PAGE)
  }
  return count
}

function surveyGroup(group: ShareGroup, nodes: ReadonlyMap<Id, StorageNode>, isViolated: boolean): Finding[] {
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
  if (isViolated) found.push(findingOf(group, undefined, { kind: 'violation', fields: {} }, slack))
  return found
}

function findingOf(group: ShareGroup, row: ObjectRow | undefined, trouble: ShareTrouble, slack: number): Finding {
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

/** Of a finding that is of the whole group. */
export const NO_INDEX = -1

/** Looks at shares and reports what is wrong with them. */
class GroupCheck {
  readonly #ports: ScrubPorts
  readonly #reading: ShareReadPorts
  readonly #beat: () => Promise<void>
  #result: Scrubbed = NOTHING

  constructor(ports: ScrubPorts, bandwidth: Bandwidth, beat: () => Promise<void> = () => Promise.resolve()) {
    this.#ports = ports
    this.#beat = beat
    this.#reading = { ...ports, pace: (bytes, signal) => bandwidth.take(bytes, signal) }
  }

  get result(): Scrubbed {
    return this.#result
  }

  /** Every share of the group, and samples of how they fit together. */
  async checkWhole(group: ShareGroup, signal: AbortSignal): Promise<void> {
    this.#count({ groups: 1 })
    const found =
      group.kind === 'fragment' ? await this.#fragments(group, signal) : await this.#manifestShares(group, signal)
    await this.#report(group, found)
  }

  /** One share, and how it fits to k others. */
  async checkSample(group: ShareGroup, row: ObjectRow, signal: AbortSignal): Promise<void> {
    this.#count({ groups: 1 })
    if (group.kind === 'manifest') return await this.#report(group, await this.#manifestShares(group, signal))
    const verifyKey = await verifyKeyOf(this.#ports.atRest, group.attempt)
    const { first, count } = segmentsOfExtent(group.sealedBytes, group.extent)
    const segment = first + Math.floor(this.#ports.random.fraction() * count)
    const found = new Map<ObjectRow, ShareTrouble>()
    const good: ObjectRow[] = []
    for (const one of [row, ...group.rows.filter((other) => other !== row)]) {
      if (good.length > group.scheme.k) break
      const answer = await this.#ask(one, () =>
        checkFragment(this.#reading, group, verifyKey, one, signal, segment, this.#beat),
      )
      if (answer === 'skipped') continue
      if (answer) found.set(one, answer)
      else good.push(one)
    }
    await this.#fit(group, verifyKey, good, [segment], found, signal)
    await this.#report(group, found)
  }

  /** Cards lie in clear under the hash of what they hold. */
  async checkCards(signal: AbortSignal): Promise<void> {
    const { catalog, clock, primitives } = this.#ports
    for (const { id } of await catalog.installation.organisations()) {
      for (const row of await catalog.layout.organisationObjects(id, 'card')) {
        const trouble = await this.#ask(row, async (): Promise<ShareTrouble | undefined> => {
          try {
            const bytes = await readShare(this.#reading, row, undefined, row.sizeBytes ?? 0, signal)
            const isNamed = row.key === `card/${toHex(primitives.sha256(bytes))}`
            return isNamed ? undefined : { kind: 'flipped', fields: { part: 'card' } }
          } catch (error) {
            if (isMosaikError(error, 'E_OBJECT_ABSENT')) return { kind: 'missing', fields: {} }
            throw error
          }
        })
        if (trouble === 'skipped' || !trouble) continue
        this.#count({ findings: 1 })
        const { node, key, index } = row
        const common = { organisation: id, recording: null, node, object: key, index, slack: 0 }
        await catalog.upkeep.report([{ ...trouble, ...common, group: `card/${node}/${key}` }], clock.nowMs())
      }
    }
  }

  async #fragments(group: FragmentGroup, signal: AbortSignal): Promise<Map<ObjectRow, ShareTrouble>> {
    const verifyKey = await verifyKeyOf(this.#ports.atRest, group.attempt)
    const found = new Map<ObjectRow, ShareTrouble>()
    const good: ObjectRow[] = []
    for (const row of group.rows) {
      const answer = await this.#ask(row, () =>
        checkFragment(this.#reading, group, verifyKey, row, signal, undefined, this.#beat),
      )
      if (answer === 'skipped') continue
      if (answer) found.set(row, answer)
      else good.push(row)
    }
    const { first, count } = segmentsOfExtent(group.sealedBytes, group.extent)
    const samples = new Set([first, first + count - 1])
    while (samples.size < Math.min(FIT_SAMPLES, count)) {
      samples.add(first + Math.floor(this.#ports.random.fraction() * count))
    }
    await this.#fit(group, verifyKey, good, [...samples], found, signal)
    return found
  }

  /** Recombines: tags can be forged by who has the verify key, and then the shares do not fit together. */
  async #fit(
    group: FragmentGroup,
    verifyKey: Uint8Array,
    good: readonly ObjectRow[],
    segments: readonly number[],
    found: Map<ObjectRow, ShareTrouble>,
    signal: AbortSignal,
  ): Promise<void> {
    const { primitives, tools } = this.#ports
    const { k } = group.scheme
    const rows = [...new Map(good.map((row) => [row.index, row])).values()]
    if (rows.length <= k) return
    const keys = new Map(rows.map(({ index }) => [index, blockKey(primitives, verifyKey, group, index)]))
    const codec = new RepairCodec(tools, group.scheme, keys)
    for (const segment of segments) {
      const range = rangeOf(group, segment, 1)
      const blocks: { readonly row: ObjectRow; readonly index: number; readonly bytes: Uint8Array }[] = []
      for (const row of rows) {
        const bytes = await this.#ask(row, () => readShare(this.#reading, row, range, range.lengthBytes, signal), false)
        if (bytes !== 'skipped') blocks.push({ row, index: row.index, bytes })
      }
      const rowBytes = blockLength(group.scheme, group.sealedBytes, segment)
      const bad = new Set(codec.badIndices(segment, rowBytes, blocks))
      const usable = blocks.filter(({ index }) => !bad.has(index))
      if (usable.length <= k) continue
      const fits = (subset: readonly (typeof usable)[number][], probe: (typeof usable)[number]): boolean =>
        codec.fitTogether(segment, rowBytes, [...subset, probe])
      const front = usable.slice(0, k)
      if (usable.slice(k).every((probe) => fits(front, probe))) continue
      this.#ports.log.error('scrub.forged-share', { attempt: group.attempt.id, segment })
      const liars = oddOnes(usable, k, fits)
      for (const { row } of liars) found.set(row, { kind: 'forged', fields: { segment } })
      if (liars.length === 0) {
        // k + 1 shares do not tell which of them it is.
        const { slack } = shareHealth(
          group.scheme,
          rows.map(({ index }) => index),
        )
        const finding = findingOf(group, undefined, { kind: 'forged', fields: { segment } }, slack)
        await this.#ports.catalog.upkeep.report([finding], this.#ports.clock.nowMs())
        this.#count({ findings: 1 })
      }
      return
    }
  }

  async #manifestShares(group: ManifestGroup, signal: AbortSignal): Promise<Map<ObjectRow, ShareTrouble>> {
    const { catalog, primitives } = this.#ports
    const trusted = await signersOf({ installation: catalog.installation, primitives }, group.organisation)
    const found = new Map<ObjectRow, ShareTrouble>()
    const good: SignedShare[] = []
    for (const row of group.rows) {
      const answer = await this.#ask(row, () => checkManifestShare(this.#reading, group, trusted, row, signal))
      if (answer === 'skipped') continue
      if ('trouble' in answer) found.set(row, answer.trouble)
      else good.push(answer.share)
    }
    const { k } = group.scheme
    const { sealedSha256 } = group.generation
    const first = good[0]
    if (good.length < k || !first || !sealedSha256) return found
    const shares = good.map(({ index, share }) => ({ index, bytes: share }))
    for (const front of [shares.slice(0, k), shares.slice(-k)]) {
      const sealed = combineDocument(k, front, first.sealedBytes)
      if (sameBytes(primitives.sha256(sealed), sealedSha256)) continue
      this.#ports.log.error('scrub.forged-share', { recording: group.recording })
      const { slack } = shareHealth(
        group.scheme,
        good.map(({ index }) => index),
      )
      const finding = findingOf(group, undefined, { kind: 'forged', fields: {} }, slack)
      await catalog.upkeep.report([finding], this.#ports.clock.nowMs())
      this.#count({ findings: 1 })
      break
    }
    return found
  }

  /** One question to one node; `skipped` when it gave no answer about the object. */
  async #ask<T>(row: ObjectRow, question: () => Promise<T>, counts = true): Promise<T | 'skipped'> {
    try {
      const answer = await question()
      if (counts) this.#count({ shares: 1 })
      return answer
    } catch (error) {
      if (!isMosaikError(error) || !isNodeTrouble(error)) throw error
      this.#count({ skipped: 1 })
      this.#ports.log.warn('scrub.skipped', { node: row.node, object: row.key, code: error.code })
      return 'skipped'
    }
  }

  async #report(group: ShareGroup, found: ReadonlyMap<ObjectRow, ShareTrouble>): Promise<void> {
    if (found.size === 0) return
    // Superseded or collected since its row was read: that is no trouble.
    const now = await this.#ports.catalog.upkeep.surveyed(group.recording)
    const standing = now && shareGroups(now).find(({ name }) => name === group.name)
    if (!standing) return
    const bad = [...found].filter(([row]) =>
      standing.rows.some(({ node, key }) => node === row.node && key === row.key),
    )
    const { slack } = shareHealth(
      group.scheme,
      standing.rows.filter((row) => !bad.some(([one]) => one.key === row.key)).map(({ index }) => index),
    )
    const findings = bad.map(([row, trouble]) => findingOf(group, row, trouble, slack))
    await this.#ports.catalog.upkeep.report(findings, this.#ports.clock.nowMs())
    this.#count({ findings: findings.length })
    for (const { kind, node, object, index } of findings) {
      this.#ports.log.warn('scrub.found', { kind, node, object, index, group: group.name })
    }
  }

  #count(more: Partial<Scrubbed>): void {
    const { groups, shares, findings, skipped } = this.#result
    this.#result = {
      groups: groups + (more.groups ?? 0),
      shares: shares + (more.shares ?? 0),
      findings: findings + (more.findings ?? 0),
      skipped: skipped + (more.skipped ?? 0),
    }
  }
}

/** Those that do not fit to the k that fit to the most others; none when no k fit to any other. */
function oddOnes<T>(all: readonly T[], k: number, fits: (subset: readonly T[], probe: T) => boolean): T[] {
  let best: { readonly liars: T[] } | undefined
  let tried = 0
  for (const subset of exchanges(all, k)) {
    if (tried++ === MAX_SUBSETS) break
    const others = all.filter((one) => !subset.includes(one))
    const liars = others.filter((probe) => !fits(subset, probe))
    if (liars.length < others.length && liars.length < (best?.liars.length ?? Infinity)) best = { liars }
  }
  return best?.liars ?? []
}

/** What says that a node cannot be asked, and nothing of the object. */
function isNodeTrouble({ code }: MosaikError): boolean {
  return code.startsWith('E_NODE_')
}
