import type { CodecTools } from '../../crypto/framed-block.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { RepairCodec } from '../../crypto/repair-codec.ts'
import { combineDocument } from '../../crypto/shamir.ts'
import { exchanges } from '../../crypto/subsets.ts'
import { isMosaikError, type MosaikError } from '../../domain/errors.ts'
import { shareHealth } from '../../domain/health.ts'
import { toHex } from '../../domain/ids.ts'
import type { SignedShare } from '../../format/document-share.ts'
import { blockLength, segmentsOfExtent } from '../../format/fragment-header.ts'
import { sameBytes } from '../../format/header-bytes.ts'
import type { AtRestVault } from '../../ports/at-rest.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import type { NodePool } from '../../ports/node-pool.ts'
import type { Clock, Log, Random } from '../../ports/system.ts'
import { signersOf } from '../../retrieve/signers.ts'
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
import { findingOf, NO_INDEX, slackWithout } from './findings.ts'
import { shareGroups, type FragmentGroup, type ManifestGroup, type ShareGroup } from './share-groups.ts'
import type { Bandwidth } from './task-lease.ts'

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

/** Segments of a group that are recombined from k + 1 shares in a full scrub, next to every tag. */
const FIT_SAMPLES = 3
const MAX_SUBSETS = 200
const NOTHING: Scrubbed = { groups: 0, shares: 0, findings: 0, skipped: 0 }

/** What the shares of a group came to: which are bad, and whether the others fit together. */
interface Looked {
  readonly found: Map<ObjectRow, ShareTrouble>
  /** `unknown`: too few answered to tell. */
  readonly fit: 'good' | 'bad' | 'unknown'
}

/** Looks at shares and reports what is wrong with them. */
export class GroupCheck {
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
    const { found, fit } =
      group.kind === 'fragment' ? await this.#fragments(group, signal) : await this.#manifestShares(group, signal)
    if (fit === 'good') {
      // Somebody's forgery that nobody could pin on one share is gone: that share was made again, or lies elsewhere.
      await this.#ports.catalog.upkeep.resolve(group.name, this.#ports.clock.nowMs(), NO_INDEX, 'forged')
    }
    await this.#report(group, found)
  }

  /** One share, and how it fits to k others. */
  async checkSample(group: ShareGroup, row: ObjectRow, signal: AbortSignal): Promise<void> {
    this.#count({ groups: 1 })
    if (group.kind === 'manifest') return await this.#report(group, (await this.#manifestShares(group, signal)).found)
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

  async #fragments(group: FragmentGroup, signal: AbortSignal): Promise<Looked> {
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
    for (const { kind, fields } of await this.#ports.catalog.upkeep.findingsOf(group.name)) {
      if (kind === 'forged' && typeof fields['segment'] === 'number') samples.add(fields['segment'])
    }
    return { found, fit: await this.#fit(group, verifyKey, good, [...samples], found, signal) }
  }

  /** Recombines: tags can be forged by who has the verify key, and then the shares do not fit together. */
  async #fit(
    group: FragmentGroup,
    verifyKey: Uint8Array,
    good: readonly ObjectRow[],
    segments: readonly number[],
    found: Map<ObjectRow, ShareTrouble>,
    signal: AbortSignal,
  ): Promise<Looked['fit']> {
    const { primitives, tools } = this.#ports
    const { k } = group.scheme
    const rows = [...new Map(good.map((row) => [row.index, row])).values()]
    if (rows.length <= k) return 'unknown'
    let fit: Looked['fit'] = 'good'
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
      if (usable.length <= k) {
        fit = 'unknown'
        continue
      }
      const fits = (subset: readonly (typeof usable)[number][], probe: (typeof usable)[number]): boolean =>
        codec.fitTogether(segment, rowBytes, [...subset, probe])
      const front = usable.slice(0, k)
      if (usable.slice(k).every((probe) => fits(front, probe))) continue
      this.#ports.log.error('scrub.forged-share', { attempt: group.attempt.id, segment })
      const liars = oddOnes(usable, k, fits)
      for (const { row } of liars) found.set(row, { kind: 'forged', fields: { segment } })
      // k + 1 shares do not tell which of them it is.
      if (liars.length === 0) await this.#reportForged(group, rows, { segment })
      return 'bad'
    }
    return fit
  }

  async #reportForged(
    group: ShareGroup,
    good: readonly { readonly index: number }[],
    fields: ShareTrouble['fields'],
  ): Promise<void> {
    const { slack } = shareHealth(
      group.scheme,
      good.map(({ index }) => index),
    )
    const finding = findingOf(group, undefined, { kind: 'forged', fields }, slack)
    await this.#ports.catalog.upkeep.report([finding], this.#ports.clock.nowMs())
    this.#count({ findings: 1 })
  }

  async #manifestShares(group: ManifestGroup, signal: AbortSignal): Promise<Looked> {
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
    // A share that moves lies on two nodes for a while: it takes part once, and its copy has to be the same.
    const byIndex = new Map(good.toReversed().map((one) => [one.index, one]))
    const shares = [...byIndex.values()].map(({ index, share }) => ({ index, bytes: share }))
    const first = good[0]
    if (shares.length < k || !first || !sealedSha256) return { found, fit: 'unknown' }
    const copiesAgree = good.every(({ index, share }) => sameBytes(share, byIndex.get(index)!.share))
    // Every share takes part once at least.
    for (let at = 0; at < shares.length; at += k) {
      const some = shares.slice(Math.min(at, shares.length - k)).slice(0, k)
      const sealed = combineDocument(k, some, first.sealedBytes)
      if (copiesAgree && sameBytes(primitives.sha256(sealed), sealedSha256)) continue
      this.#ports.log.error('scrub.forged-share', { recording: group.recording })
      await this.#reportForged(group, good, {})
      return { found, fit: 'bad' }
    }
    return { found, fit: 'good' }
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
    const open = await this.#ports.catalog.upkeep.findingsOf(group.name)
    const slack = slackWithout(
      standing,
      bad.map(([row]) => row),
      open,
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
