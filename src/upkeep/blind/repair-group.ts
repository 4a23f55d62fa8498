import { addScaled } from '../../crypto/field.ts'
import type { CodecTools } from '../../crypto/framed-block.ts'
import { signerId } from '../../crypto/keys.ts'
import { recoverRows } from '../../crypto/matrix.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { RepairCodec } from '../../crypto/repair-codec.ts'
import { verifyPair, type SigningPublicKeys } from '../../crypto/signature.ts'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import { encodeDocumentShare, encodeShareForSigning, SHARE_CONTEXT } from '../../format/document-share.ts'
import { blockLength, segmentsOfExtent } from '../../format/fragment-header.ts'
import { objectName } from '../../format/object-names.ts'
import type { AtRestVault } from '../../ports/at-rest.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { ObjectRow, SharedPart } from '../../ports/catalog/layout.ts'
import type { TaskRow } from '../../ports/catalog/upkeep.ts'
import type { NodePool } from '../../ports/node-pool.ts'
import type { Clock, Log, Random } from '../../ports/system.ts'
import { blockKey, headerOf, verifyKeyOf, type ShareReadPorts } from './check-share.ts'
import type { RepairPlan } from './repair-targets.ts'
import { shareGroups, type FragmentGroup, type ManifestGroup, type ShareGroup } from './share-groups.ts'
import { ShareLane, type ShareTarget } from './share-lane.ts'
import { RUN_SEGMENTS, ShareSources } from './share-sources.ts'

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
  readonly keys: SigningPublicKeys
  /** Signature pair under "mosaik/v1/share". */
  sign(message: Uint8Array): Promise<Uint8Array>
}

/** The same while a task of upkeep runs: it sets the pace, and what is made counts only while it is ours. */
export type TaskPorts = RepairPorts & Pick<ShareReadPorts, 'pace'> & { readonly task: Pick<TaskRow, 'name' | 'fence'> }

/** A group as it stands now; `undefined` when it does not, being superseded or never stored. */
export async function standingGroup(
  { catalog }: Pick<RepairPorts, 'catalog'>,
  recording: Id | null,
  name: string,
): Promise<ShareGroup | undefined> {
  const one = recording === null ? undefined : await catalog.upkeep.surveyed(recording)
  return one && shareGroups(one).find((group) => group.name === name)
}

/** What of its recording a group is. */
export function partOf(group: ShareGroup): SharedPart {
  return group.kind === 'fragment'
    ? { kind: 'fragment', attempt: group.attempt.id, extent: group.extent }
    : { kind: 'manifest', generation: group.generation.generation }
}

/** The work on one group: lost shares are computed side by side under the sharing that they belong to, so that the sources are read once. */
export class GroupRepair {
  readonly #ports: TaskPorts
  readonly #group: ShareGroup
  readonly #plan: RepairPlan
  readonly #sources: ShareSources
  readonly #signal: AbortSignal

  constructor(ports: TaskPorts, group: ShareGroup, plan: RepairPlan, signal: AbortSignal) {
    this.#ports = ports
    this.#group = group
    this.#plan = plan
    this.#sources = new ShareSources(ports, group, plan, signal)
    this.#signal = signal
  }

  /** @returns the indices that lie verified on their new nodes. @throws E_SHARES_TOO_FEW, E_SHARES_MIXED */
  async make(targets: readonly ShareTarget[]): Promise<number[]> {
    const group = this.#group
    return group.kind === 'fragment' ? await this.#fragments(group, targets) : await this.#shares(group, targets)
  }

  async #fragments(group: FragmentGroup, targets: readonly ShareTarget[]): Promise<number[]> {
    const { primitives, atRest, tools } = this.#ports
    const verifyKey = await verifyKeyOf(atRest, group.attempt)
    const indices = Array.from({ length: group.scheme.n }, (_, index) => index)
    const keys = new Map(indices.map((index) => [index, blockKey(primitives, verifyKey, group, index)]))
    const codec = new RepairCodec(tools, group.scheme, keys)
    const rowBytesOf = (segment: number): number => blockLength(group.scheme, group.sealedBytes, segment)
    const isGood = (segment: number) => (block: { readonly index: number; readonly bytes: Uint8Array }) =>
      codec.badIndices(segment, rowBytesOf(segment), [block]).length === 0
    // Before a row says that a node has a share: is there enough to compute it from?
    const { first, count } = segmentsOfExtent(group.sealedBytes, group.extent)
    await this.#sources.blocks(group, this.#sources.run(group, first, 1), first, isGood(first))
    const lanes = await this.#open(targets, 'fragment')
    try {
      for (const lane of lanes) await lane.write(headerOf(group, lane.target.index))
      for (let at = first; at < first + count; at += RUN_SEGMENTS) {
        const run = this.#sources.run(group, at, Math.min(RUN_SEGMENTS, first + count - at))
        for (let segment = at; segment < Math.min(at + RUN_SEGMENTS, first + count); segment++) {
          const blocks = await this.#sources.blocks(group, run, segment, isGood(segment))
          for (const lane of lanes) {
            if (!lane.isAlive) continue
            await lane.write(codec.recoverShare(segment, rowBytesOf(segment), blocks, lane.target.index))
          }
        }
        if (!lanes.some(({ isAlive }) => isAlive)) break
      }
    } catch (error) {
      for (const lane of lanes) await lane.giveUp(error)
      throw error
    }
    const made: number[] = []
    for (const lane of lanes) if (await this.#commit(lane)) made.push(lane.target.index)
    await this.#settle(made, lanes)
    return made
  }

  async #shares(group: ManifestGroup, targets: readonly ShareTarget[]): Promise<number[]> {
    const { primitives } = this.#ports
    const { k } = group.scheme
    const { shares } = await this.#sources.document(group)
    const first = shares[0]!
    const { keys, sign } = await this.#ports.signer(group.organisation)
    const lanes = await this.#open(targets, 'manifest-share')
    const made: number[] = []
    for (const lane of lanes) {
      const { index } = lane.target
      const from = shares.map((share) => share.index)
      const weights = recoverRows(k, k - 1, from, [index])[0]!
      const share = new Uint8Array(first.share.length)
      shares.forEach((one, j) => {
        if (weights[j] !== 0) addScaled(share, weights[j]!, one.share)
      })
      const signedBytes = encodeShareForSigning({ ...first, index, signer: signerId(primitives, keys), share })
      const signature = await sign(signedBytes)
      if (!verifyPair(primitives, keys, SHARE_CONTEXT, signedBytes, signature)) {
        const error = new MosaikError('E_SIGNATURE', 'the keyring signed with another pair than it names')
        for (const other of lanes) await other.giveUp(error)
        throw error
      }
      await lane.write(encodeDocumentShare(signedBytes, signature))
      if (await this.#commit(lane)) made.push(index)
    }
    await this.#settle(made, lanes)
    return made
  }

  async #open(targets: readonly ShareTarget[], kind: 'fragment' | 'manifest-share'): Promise<ShareLane[]> {
    const group = this.#group
    const lanes = targets.map(
      (target) => new ShareLane(this.#ports, target, objectName(kind, this.#ports.random.bytes(16)), this.#signal),
    )
    await this.#ports.catalog.layout.addObjects(
      lanes.map(({ target, key }) => ({
        node: target.node.id,
        key,
        organisation: group.organisation,
        recording: group.recording,
        role: partOf(group),
        sharing: group.sharing,
        index: target.index,
        scheme: group.scheme,
        createdAtMs: this.#ports.clock.nowMs(),
      })),
    )
    return lanes
  }

  async #commit(lane: ShareLane): Promise<boolean> {
    const sizeBytes = await lane.commit()
    if (sizeBytes === undefined) return false
    try {
      const share = { node: lane.target.node.id, key: lane.key, sizeBytes }
      await this.#ports.catalog.layout.commitShare(share, this.#ports.task)
      return true
    } catch (error) {
      ignoreConflict(error)
      return false
    }
  }

  /** What stood in the place of the new shares is the collector's, unless the whole group went meanwhile. */
  async #settle(made: readonly number[], lanes: readonly ShareLane[]): Promise<void> {
    const { layout } = this.#ports.catalog
    const standing = await standingGroup(this.#ports, this.#group.recording, this.#group.name)
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
