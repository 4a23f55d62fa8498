import { fragmentKey } from '../../crypto/fragment-tag.ts'
import { ReshareCodec } from '../../crypto/reshare-codec.ts'
import { isMosaikError, MosaikError } from '../../domain/errors.ts'
import { neededShares } from '../../domain/health.ts'
import { toHex, type Id } from '../../domain/ids.ts'
import type { StorageNode } from '../../domain/node.ts'
import { segmentCount, segmentLength } from '../../format/asset-header.ts'
import { encodeFragmentHeader, segmentsOfExtent } from '../../format/fragment-header.ts'
import { objectName } from '../../format/object-names.ts'
import type { SharingCommit } from '../../ports/catalog/layout.ts'
import { ExtentPlacer, type LaneTarget } from '../../pipeline/place.ts'
import { placeNewSharing } from '../../pipeline/placement.ts'
import { splitSealedDocument } from '../../pipeline/split-document.ts'
import { blockKey, verifyKeyOf } from './check-share.ts'
import { partOf, type TaskPorts } from './repair-group.ts'
import type { RepairPlan } from './repair-targets.ts'
import type { FragmentGroup, ManifestGroup, ShareGroup } from './share-groups.ts'
import { ShareLane } from './share-lane.ts'
import { RUN_SEGMENTS, ShareSources } from './share-sources.ts'

/** Objects of a sharing that lie verified on their nodes. */
type Stored = SharingCommit['stored']

interface NewSharing {
  readonly sharing: Id
  /** Share i goes to node i. */
  readonly nodes: readonly StorageNode[]
}

/**
 * Gives one extent, or one manifest generation, a new sharing by the recording's scheme: k shares are combined to the ciphertext, which
 * nothing here can open, split anew with fresh random rows, and placed by the rule as if nothing had been before. One transaction puts it in
 * the place of the old one, once it is verified on min(k + 1, n) nodes or more; until then the old one stands, and what a crash leaves
 * of the new one is the collector's. Old shares are worthless from then on: they combine with each other alone.
 *
 * @param chosen nodes that the rule lets have it, share i to node i; found here without.
 * @returns how many shares were made.
 * @throws E_NODES_TOO_FEW, E_PLACEMENT_RULE; E_SHARES_TOO_FEW; E_SHARES_MIXED: a share is forged; E_CONFLICT: the group went meanwhile;
 *   E_LEASE_LOST
 */
export async function reshareGroup(
  ports: TaskPorts,
  group: ShareGroup,
  plan: RepairPlan,
  signal: AbortSignal,
  chosen?: readonly StorageNode[],
): Promise<number> {
  const { layout, installation } = ports.catalog
  const { organisation, dueScheme } = group
  // Fresh: a node that was dismissed a moment ago must not be given a share.
  const nodes = chosen ?? (await placeNewSharing({ ...ports, installation }, organisation, dueScheme, plan.nodes))
  const made: NewSharing = { sharing: toHex(ports.random.bytes(16)), nodes }
  const sources = new ShareSources(ports, group, plan, signal)
  try {
    const stored =
      group.kind === 'fragment'
        ? await reshareExtent(ports, group, made, sources, signal)
        : await reshareManifest(ports, group, made, sources, signal)
    const { recording, sharing: before } = group
    await layout.commitSharing(
      { recording, part: partOf(group), before, sharing: made.sharing, stored, atMs: ports.clock.nowMs() },
      ports.task,
    )
    return stored.length
  } catch (error) {
    // Intents only: whether a commit that did not answer was made, the catalog knows.
    await layout.abandonSharing(made.sharing).catch((failure: unknown) => {
      if (!isMosaikError(failure)) throw failure
    })
    throw error
  }
}

async function reshareExtent(
  ports: TaskPorts,
  group: FragmentGroup,
  { sharing, nodes }: NewSharing,
  sources: ShareSources,
  signal: AbortSignal,
): Promise<Stored> {
  const { primitives, pool } = ports
  const { attempt, extent, sealedBytes, dueScheme: scheme } = group
  const verifyKey = await verifyKeyOf(ports.atRest, attempt)
  const indices = Array.from({ length: group.scheme.n }, (_, index) => index)
  const headers = nodes.map((_, index) => encodeFragmentHeader({ attempt: attempt.id, sharing, extent, index, scheme }))
  const codec = new ReshareCodec(
    ports.tools,
    {
      scheme: group.scheme,
      fragmentKeys: new Map(indices.map((index) => [index, blockKey(primitives, verifyKey, group, index)])),
    },
    {
      scheme,
      extent,
      fragmentKeys: headers.map((header) => fragmentKey(primitives, verifyKey, header)),
      rowsKey: ports.random.entropy(32),
    },
  )
  const { first, count } = segmentsOfExtent(sealedBytes, extent)
  const lastOfAll = segmentCount(sealedBytes) - 1
  let placer: ExtentPlacer | undefined
  try {
    for (let at = first; at < first + count; at += RUN_SEGMENTS) {
      const end = Math.min(at + RUN_SEGMENTS, first + count)
      const run = sources.run(group, at, end - at)
      for (let segment = at; segment < end; segment++) {
        const isLast = segment === lastOfAll
        const bytes = segmentLength(sealedBytes, segment)
        // One more than k, where there is one: what does not fit together must not become what stands.
        const blocks = await sources.blocks(
          group,
          run,
          segment,
          (block) => codec.badIndices(segment, bytes, isLast, [block]).length === 0,
          group.scheme.k + 1,
        )
        const framed = codec.reshare(segment, bytes, isLast, blocks)
        // Not before it is known that there is something to split: a row says that a node may have a share.
        placer ??= await openPlacer(ports, group, { sharing, nodes }, headers, signal)
        await ports.pace(
          framed.reduce((sum, { length }) => sum + length, 0),
          signal,
        )
        await placer.write(framed)
      }
    }
    const stored: Stored[number][] = []
    for (const { target, sizeBytes } of (await placer?.commit()) ?? []) {
      if (sizeBytes === undefined) pool.observe(target.node, 'failed', 0)
      else stored.push({ node: target.node, key: target.key, sizeBytes })
    }
    return stored
  } catch (error) {
    await placer?.abort()
    throw error
  } finally {
    codec.close()
  }
}

/** Begins the objects of a new sharing of an extent. */
async function openPlacer(
  ports: TaskPorts,
  group: FragmentGroup,
  made: NewSharing,
  headers: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<ExtentPlacer> {
  const targets = await addRows(ports, group, made)
  const opened = new ExtentPlacer(targets, neededShares(group.dueScheme), ports.clock, signal)
  try {
    await opened.write(headers)
    return opened
  } catch (error) {
    await opened.abort()
    throw error
  }
}

async function reshareManifest(
  ports: TaskPorts,
  group: ManifestGroup,
  made: NewSharing,
  sources: ShareSources,
  signal: AbortSignal,
): Promise<Stored> {
  const { k, n } = group.dueScheme
  const { sealed } = await sources.document(group)
  const { keys, sign } = await ports.signer(group.organisation)
  const shares = await splitSealedDocument({
    ...{ sealed, k, n, sharing: made.sharing },
    ...{ signing: keys, sign },
    random: ports.random,
    primitives: ports.primitives,
  })
  const targets = await addRows(ports, group, made)
  const stored: Stored[number][] = []
  const lanes = made.nodes.map((node, index) => new ShareLane(ports, { index, node }, targets[index]!.key, signal))
  const settled = await Promise.allSettled(
    lanes.map(async (lane, index) => {
      await lane.write(shares[index]!)
      const sizeBytes = await lane.commit()
      if (sizeBytes !== undefined) stored.push({ node: lane.target.node.id, key: lane.key, sizeBytes })
    }),
  )
  for (const outcome of settled) if (outcome.status === 'rejected') throw outcome.reason
  const needed = neededShares(group.dueScheme)
  if (stored.length >= needed) return stored
  const reasons = lanes
    .filter(({ isAlive }) => !isAlive)
    .map(({ target, error }) => `${target.node.name}: ${isMosaikError(error) ? error.code : 'failed'}`)
  const message = `${stored.length} of ${n} nodes took their manifest share and ${needed} are needed (${reasons.join('; ')})`
  throw new MosaikError('E_NODES_TOO_FEW', message, { recording: group.recording, needed, reasons })
}

/** Rows before objects. */
async function addRows(ports: TaskPorts, group: ShareGroup, { sharing, nodes }: NewSharing): Promise<LaneTarget[]> {
  const kind = group.kind === 'fragment' ? 'fragment' : 'manifest-share'
  const targets = nodes.map((node, index) => ({
    ...{ index, node: node.id, nodeName: node.name, key: objectName(kind, ports.random.bytes(16)) },
    store: () => ports.pool.store(node.id),
  }))
  await ports.catalog.layout.addObjects(
    targets.map(({ node, key, index }) => ({
      ...{ node, key, index, sharing, role: partOf(group), scheme: group.dueScheme },
      ...{ organisation: group.organisation, recording: group.recording, createdAtMs: ports.clock.nowMs() },
    })),
  )
  return targets
}
