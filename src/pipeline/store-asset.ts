import { createHash } from 'node:crypto'
import { SEGMENT_OVERHEAD_BYTES, SEGMENT_PLAIN_BYTES, createFloeHeader } from '../crypto/floe.ts'
import { fragmentKey } from '../crypto/fragment-tag.ts'
import type { Primitives } from '../crypto/primitives.ts'
import type { Scheme } from '../domain/dispersal.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import type { StorageNode } from '../domain/node.ts'
import { padmeBytes, type Padding } from '../domain/padding.ts'
import type { AssetKind, SealedAsset } from '../domain/recording.ts'
import { encodeAssetHeader } from '../format/asset-header.ts'
import { EXTENT_SEGMENTS, encodeFragmentHeader } from '../format/fragment-header.ts'
import { objectName } from '../format/object-names.ts'
import type { Fence } from '../ports/catalog/recordings.ts'
import type { LayoutCatalog, NewObject } from '../ports/catalog/layout.ts'
import type { AtRestVault } from '../ports/keyring.ts'
import type { NodePool } from '../ports/node-pool.ts'
import { RUN_SEGMENTS, type AssetCipher, type SegmentEngine, type SegmentSplitter } from '../ports/segment-engine.ts'
import type { Clock, Random } from '../ports/system.ts'
import { ExtentPlacer, type LaneTarget } from './place.ts'
import { cutSegments, paddedContent } from './segments.ts'

/** What the write path of one asset needs from outside. */
export interface StorePorts {
  readonly layout: LayoutCatalog
  readonly pool: NodePool
  readonly engine: SegmentEngine
  readonly atRest: AtRestVault
  readonly primitives: Primitives
  readonly random: Random
  readonly clock: Clock
  /** What is done to hide lengths of content from the nodes. */
  readonly padding: Padding
}

export interface AssetToStore {
  readonly organisation: Id
  readonly recording: Id
  readonly asset: Id
  readonly kind: AssetKind
  readonly scheme: Scheme
  /** Share i goes to node i; chosen by the placement rule. */
  readonly nodes: readonly StorageNode[]
  readonly content: AsyncIterable<Uint8Array>
  readonly fence: Fence
  /** Called with the bytes taken so far. */
  readonly progress?: ((contentBytes: number) => void) | undefined
}

export interface StoredAsset {
  readonly attempt: Id
  readonly sealed: SealedAsset
  readonly contentBytes: number
  readonly sha256: Uint8Array
  /** Smallest number of verified fragments over the extents. */
  readonly fragmentsVerified: number
}

/**
 * seal | split | place as one streaming step with bounded memory: a fresh attempt (DEK, FLOE header, verify key), one sharing, extent
 * by extent. Length and hash are the content's; what pads it is sealed with it and nowhere else. Object rows are durable before their PUT.
 * When it fails, what was written is left to the collector by its rows.
 *
 * @throws E_NODES_TOO_FEW when an extent has fewer than min(k + 1, n) verified fragments; E_LEASE_LOST; what `content` throws.
 */
export async function storeAsset(ports: StorePorts, asset: AssetToStore, signal: AbortSignal): Promise<StoredAsset> {
  const { random, primitives, engine } = ports
  const attempt = toHex(random.bytes(16))
  const sharing = toHex(random.bytes(16))
  const header = encodeAssetHeader({ ...asset, attempt })
  const aad = primitives.sha256(header)
  const dek = random.bytes(32)
  const verifyKey = random.bytes(32)
  const floeHeader = createFloeHeader(primitives, dek, aad, random.bytes(32))
  const cipher: AssetCipher = { dek, floeHeader, aad }
  await ports.layout.addAttempt(
    {
      id: attempt,
      organisation: asset.organisation,
      recording: asset.recording,
      asset: asset.asset,
      kind: asset.kind,
      state: 'writing',
      wrappedVerifyKey: await ports.atRest.wrapAtRest(attempt, verifyKey),
      sealedBytes: null,
      scheme: asset.scheme,
    },
    asset.fence,
  )

  const hash = createHash('sha256')
  let contentBytes = 0
  let sealedBytes = 0
  let fragmentsVerified = asset.scheme.n
  let extent: OpenExtent | undefined
  const begun: LaneTarget[] = []
  const lostIndices = new Set<number>()
  const inFlight: Promise<Uint8Array[]>[] = []
  const settle = async (): Promise<void> => {
    const blocks = await inFlight.shift()
    if (blocks) await extent?.placer.write(blocks, () => engine.recycle(blocks))
  }
  const endExtent = async (): Promise<void> => {
    if (!extent) return
    while (inFlight.length > 0) await settle()
    const verified = await commitExtent(ports, extent, lostIndices)
    fragmentsVerified = Math.min(fragmentsVerified, verified)
    extent.splitter.close()
    extent = undefined
  }

  try {
    const observe = (chunk: Uint8Array): void => {
      hash.update(chunk)
      contentBytes += chunk.length
      asset.progress?.(contentBytes)
    }
    const isPadded = ports.padding === 'padme'
    const runBytes = RUN_SEGMENTS * SEGMENT_PLAIN_BYTES
    const runs = cutSegments(
      isPadded ? paddedContent(asset.content, padmeBytes, observe) : asset.content,
      runBytes,
      isPadded ? () => undefined : observe,
      () => engine.takeMemory(runBytes),
    )
    for await (const run of runs) {
      signal.throwIfAborted()
      const first = run.index * RUN_SEGMENTS
      if (first % EXTENT_SEGMENTS === 0) {
        await endExtent()
        const number = Math.floor(first / EXTENT_SEGMENTS)
        extent = await openExtent(
          ports,
          asset,
          { attempt, sharing, verifyKey, cipher, number, lostIndices, begun },
          signal,
        )
      }
      if (!extent) throw new MosaikError('E_INTERNAL', 'a segment outside any extent')
      // The last segment may be empty; no other is.
      const segments = Math.max(1, Math.ceil(run.bytes.length / SEGMENT_PLAIN_BYTES))
      sealedBytes += run.bytes.length + segments * SEGMENT_OVERHEAD_BYTES
      const split = extent.splitter.split(first, run.bytes, run.last)
      split.catch(() => undefined) // awaited in order; an early rejection must not count as unhandled
      inFlight.push(split)
      if (inFlight.length > engine.parallelism) await settle()
    }
    await endExtent()
  } catch (error) {
    await Promise.allSettled(inFlight)
    await extent?.placer.abort()
    extent?.splitter.close()
    await giveUp(ports, begun)
    throw error
  }
  return {
    attempt,
    sealed: { header, dek, floeHeader, sealedBytes, verifyKeys: [verifyKey] },
    contentBytes,
    sha256: new Uint8Array(hash.digest()),
    fragmentsVerified,
  }
}

interface OpenExtent {
  readonly placer: ExtentPlacer
  readonly splitter: SegmentSplitter
}

interface ExtentPlan {
  readonly attempt: Id
  readonly sharing: Id
  readonly verifyKey: Uint8Array
  readonly cipher: AssetCipher
  readonly number: number
  /** Shares whose node was dropped in an earlier extent: not tried again in this attempt, repaired later. */
  readonly lostIndices: ReadonlySet<number>
  /** Every object of the attempt that has a row; added to. */
  readonly begun: LaneTarget[]
}

async function openExtent(
  ports: StorePorts,
  asset: AssetToStore,
  plan: ExtentPlan,
  signal: AbortSignal,
): Promise<OpenExtent> {
  const { scheme } = asset
  const headers = asset.nodes.map((_, index) =>
    encodeFragmentHeader({ attempt: plan.attempt, sharing: plan.sharing, extent: plan.number, index, scheme }),
  )
  const targets: LaneTarget[] = []
  const rows: NewObject[] = []
  for (const [index, node] of asset.nodes.entries()) {
    if (plan.lostIndices.has(index)) continue
    const key = objectName('fragment', ports.random.bytes(16))
    targets.push({ index, node: node.id, nodeName: node.name, key, store: () => ports.pool.store(node.id) })
    rows.push({
      node: node.id,
      key,
      organisation: asset.organisation,
      recording: asset.recording,
      role: { kind: 'fragment', attempt: plan.attempt, extent: plan.number },
      sharing: plan.sharing,
      index,
      createdAtMs: ports.clock.nowMs(),
    })
  }
  await ports.layout.addObjects(rows, asset.fence)
  plan.begun.push(...targets)
  const splitter = ports.engine.splitter(plan.cipher, {
    scheme,
    extent: plan.number,
    fragmentKeys: headers.map((header) => fragmentKey(ports.primitives, plan.verifyKey, header)),
    rowsKey: ports.random.entropy(32),
  })
  const placer = new ExtentPlacer(targets, neededFragments(scheme), ports.clock, signal)
  try {
    await placer.write(headers)
  } catch (error) {
    splitter.close()
    await placer.abort()
    throw error
  }
  return { placer, splitter }
}

async function commitExtent(ports: StorePorts, extent: OpenExtent, lostIndices: Set<number>): Promise<number> {
  let verified = 0
  for (const result of await extent.placer.commit()) {
    const { node, key, index } = result.target
    if (result.sizeBytes === undefined) {
      lostIndices.add(index)
      ports.pool.observe(node, 'failed', 0)
      await ports.layout.setObjectState(node, key, 'failed')
    } else {
      verified++
      await ports.layout.setObjectState(node, key, 'stored', result.sizeBytes)
    }
  }
  return verified
}

/** Nothing names the attempt's objects: they become the collector's at once. What the catalog does not take now, the next run's `failWriting` does. */
async function giveUp(ports: StorePorts, begun: readonly LaneTarget[]): Promise<void> {
  for (const { node, key } of begun) {
    await ports.layout.setObjectState(node, key, 'failed').catch((error: unknown) => {
      if (!isMosaikError(error)) throw error
    })
  }
}

/** Runs a stage; when it fails, no attempt of it stays half alive. A crash leaves them to the next run's first step, which is the same. */
export async function givingUpAttempts<T>(
  ports: StorePorts,
  recording: Id,
  fence: Fence,
  stage: () => Promise<T>,
): Promise<T> {
  try {
    return await stage()
  } catch (error) {
    await ports.layout.failWriting(recording, fence).catch((failure: unknown) => {
      // Lease lost: who took over has done it. No answer: who comes next will.
      if (!isMosaikError(failure)) throw failure
    })
    throw error
  }
}

/** Verified fragments or shares below which nothing counts as stored: min(k + 1, n). */
export function neededFragments({ k, n }: Scheme): number {
  return Math.min(k + 1, n)
}
