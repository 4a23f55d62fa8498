import type { FramedBlock } from '../../crypto/framed-block.ts'
import { combineDocument } from '../../crypto/shamir.ts'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { FindingKind } from '../../domain/health.ts'
import { shareHealth } from '../../domain/health.ts'
import type { SignedShare } from '../../format/document-share.ts'
import { sameBytes } from '../../format/header-bytes.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { ObjectRow } from '../../ports/catalog/layout.ts'
import type { FindingRow } from '../../ports/catalog/upkeep.ts'
import { signersOf } from '../../retrieve/signers.ts'
import { blockIn, checkManifestShare, rangeOf, readShare, type ShareReadPorts } from './check-share.ts'
import type { RepairPlan } from './repair-targets.ts'
import type { FragmentGroup, ManifestGroup, ShareGroup } from './share-groups.ts'

export interface SourcePorts extends ShareReadPorts {
  readonly catalog: Pick<Catalog, 'installation' | 'upkeep'>
}

/** Segments that are read with one request a share. */
export const RUN_SEGMENTS = 16

/** What can be read of a group: blocks and shares that verify. A source that is bad itself becomes a finding, and another takes its place. */
export class ShareSources {
  readonly #ports: SourcePorts
  readonly #group: ShareGroup
  readonly #plan: RepairPlan
  readonly #signal: AbortSignal
  readonly #reasons = new Map<string, string>()

  constructor(ports: SourcePorts, group: ShareGroup, plan: RepairPlan, signal: AbortSignal) {
    this.#ports = ports
    this.#group = group
    this.#plan = plan
    this.#signal = signal
  }

  /** Segments `at` … `at + count − 1` of every source; each is read once, when it is asked for. */
  run(group: FragmentGroup, at: number, count: number): SourceRun {
    return new SourceRun(at, (row) => this.#read(row, group, at, count))
  }

  /**
   * Blocks of one segment, of different shares: k, or up to `most` as far as there are more.
   *
   * @param isGood whether a block's tag verifies.
   * @throws E_SHARES_TOO_FEW
   */
  async blocks(
    group: FragmentGroup,
    run: SourceRun,
    segment: number,
    isGood: (block: FramedBlock) => boolean,
    most = group.scheme.k,
  ): Promise<FramedBlock[]> {
    const blocks: FramedBlock[] = []
    const taken = new Set<number>()
    for (const row of this.#plan.sources) {
      if (blocks.length === most) break
      if (taken.has(row.index)) continue
      const bytes = await run.of(row)
      if (!bytes) continue
      const block = { index: row.index, bytes: blockIn(group, bytes, run.at, segment) }
      if (!isGood(block)) {
        await this.#blame(row, 'flipped', { part: 'block', segment })
        continue
      }
      taken.add(row.index)
      blocks.push(block)
    }
    if (blocks.length >= group.scheme.k) return blocks
    throw this.#tooFew(blocks.length)
  }

  /**
   * k shares of a manifest whose signatures verify, and the sealed document that they combine to.
   *
   * @throws E_SHARES_TOO_FEW; E_SHARES_MIXED when it is not the document that was stored
   */
  async document(
    group: ManifestGroup,
  ): Promise<{ readonly shares: readonly SignedShare[]; readonly sealed: Uint8Array }> {
    const { catalog, primitives } = this.#ports
    const trusted = await signersOf({ installation: catalog.installation, primitives }, group.organisation)
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
    if (good.size < group.scheme.k) throw this.#tooFew(good.size)
    const shares = [...good.values()]
    const rows = shares.map(({ index, share }) => ({ index, bytes: share }))
    const sealed = combineDocument(group.scheme.k, rows, shares[0]!.sealedBytes)
    const { sealedSha256 } = group.generation
    if (!sealedSha256 || !sameBytes(primitives.sha256(sealed), sealedSha256)) {
      throw new MosaikError('E_SHARES_MIXED', 'the shares combine to another document than the one that was stored', {
        group: group.name,
      })
    }
    return { shares, sealed }
  }

  async #read(row: ObjectRow, group: FragmentGroup, at: number, count: number): Promise<Uint8Array | undefined> {
    const range = rangeOf(group, at, count)
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
}

/** Reads each source of a run once. */
export class SourceRun {
  /** First segment. */
  readonly at: number
  readonly #read: (row: ObjectRow) => Promise<Uint8Array | undefined>
  readonly #bytes = new Map<ObjectRow, Promise<Uint8Array | undefined>>()

  constructor(at: number, read: (row: ObjectRow) => Promise<Uint8Array | undefined>) {
    this.at = at
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
