import { SEGMENT_PLAIN_BYTES } from '../crypto/floe.ts'
import { fragmentKey } from '../crypto/fragment-tag.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { ManifestAsset, SealedAsset } from '../domain/recording.ts'
import {
  BLOCK_TAG_BYTES,
  EXTENT_SEGMENTS,
  blockLength,
  blockOffset,
  encodeFragmentHeader,
  extentOf,
  innerBlockLength,
} from '../format/fragment-header.ts'
import { decodeAssetHeader, segmentCount, segmentLength } from '../format/asset-header.ts'
import type { AttemptRow, LayoutCatalog, ObjectRow } from '../ports/catalog/layout.ts'
import type { SegmentEngine, SegmentOpener } from '../ports/segment-engine.ts'
import type { AssetReader } from '../ports/vault-reader.ts'
import { Gather, type GatheredShare, type GatherPorts, type ShareSource } from './gather.ts'

export interface ReadPorts extends GatherPorts {
  readonly layout: LayoutCatalog
  readonly engine: SegmentEngine
  readonly primitives: Primitives
}

/** Segments fetched with one request a share: small first, so that the first byte comes soon. */
const FIRST_RUN_SEGMENTS = 1
const MAX_RUN_SEGMENTS = 8
/** Runs that are fetched ahead of the consumer. */
const READ_AHEAD_RUNS = 2

/** Reads an asset that lies inside the manifest. */
export function inlineAssetReader(asset: ManifestAsset, inline: Uint8Array): AssetReader {
  return {
    asset,
    async *read(startBytes, endBytes) {
      checkRange(asset, startBytes, endBytes)
      if (endBytes > startBytes) yield inline.slice(startBytes, endBytes)
    },
  }
}

/** Reads a sealed asset: Range → segments → k blocks a segment → combine → open (docs/ARCHITECTURE.md "Read"). */
export function sealedAssetReader(ports: ReadPorts, asset: ManifestAsset, sealed: SealedAsset): AssetReader {
  const attempt = decodeAssetHeader(sealed.header).attempt
  const aad = ports.primitives.sha256(sealed.header)
  return {
    asset,
    async *read(startBytes, endBytes, signal) {
      checkRange(asset, startBytes, endBytes)
      if (endBytes === startBytes) return
      const stop = new AbortController()
      const reading = new Reading(ports, sealed, attempt, aad, AbortSignal.any([signal, stop.signal]))
      try {
        for await (const { segment, plaintext } of reading.segments(
          Math.floor(startBytes / SEGMENT_PLAIN_BYTES),
          Math.floor((endBytes - 1) / SEGMENT_PLAIN_BYTES),
        )) {
          const at = segment * SEGMENT_PLAIN_BYTES
          yield plaintext.subarray(Math.max(0, startBytes - at), Math.min(plaintext.length, endBytes - at))
        }
      } finally {
        stop.abort(new MosaikError('E_ABORTED', 'the reader was closed'))
        reading.close()
      }
    },
  }
}

function checkRange(asset: ManifestAsset, startBytes: number, endBytes: number): void {
  if (!(startBytes >= 0 && startBytes <= endBytes && endBytes <= asset.contentBytes)) {
    throw new MosaikError('E_OBJECT_RANGE', `bytes ${startBytes}–${endBytes} of an asset of ${asset.contentBytes}`)
  }
}

interface PlainSegment {
  readonly segment: number
  readonly plaintext: Uint8Array
}

interface Run {
  readonly first: number
  readonly count: number
}

/** One read of one asset: pins a sharing for each extent. */
class Reading {
  readonly #ports: ReadPorts
  readonly #sealed: SealedAsset
  readonly #attempt: Id
  readonly #aad: Uint8Array
  readonly #signal: AbortSignal
  readonly #segmentCount: number
  readonly #extents = new Map<number, Promise<PinnedExtent>>()
  #attemptRow: Promise<AttemptRow> | undefined
  #fragments: Promise<ObjectRow[]> | undefined

  constructor(ports: ReadPorts, sealed: SealedAsset, attempt: Id, aad: Uint8Array, signal: AbortSignal) {
    this.#ports = ports
    this.#sealed = sealed
    this.#attempt = attempt
    this.#aad = aad
    this.#signal = signal
    this.#segmentCount = segmentCount(sealed.sealedBytes)
  }

  close(): void {
    for (const extent of this.#extents.values()) {
      extent.then(
        ({ opener }) => opener.close(),
        () => undefined,
      )
    }
  }

  /** Segments `first` … `last` in order, fetched ahead. */
  async *segments(first: number, last: number): AsyncGenerator<PlainSegment> {
    const ahead: Promise<PlainSegment[]>[] = []
    let next = first
    let runSegments = FIRST_RUN_SEGMENTS
    const startRun = (): void => {
      if (next > last) return
      const endOfExtent = (extentOf(next) + 1) * EXTENT_SEGMENTS
      const count = Math.min(runSegments, last + 1 - next, endOfExtent - next)
      const run = this.#fetchRun({ first: next, count })
      run.catch(() => undefined) // awaited in order; an early rejection must not count as unhandled
      ahead.push(run)
      next += count
      runSegments = Math.min(MAX_RUN_SEGMENTS, runSegments * 2)
    }
    for (let i = 0; i <= READ_AHEAD_RUNS; i++) startRun()
    for (let run = ahead.shift(); run; run = ahead.shift()) {
      const segments = await run
      startRun()
      yield* segments
    }
  }

  async #fetchRun(run: Run): Promise<PlainSegment[]> {
    const extent = await this.#extent(extentOf(run.first))
    const { scheme } = extent
    const last = run.first + run.count - 1
    const offsetBytes = blockOffset(scheme, run.first)
    const lengthBytes =
      blockOffset(scheme, last) - offsetBytes + blockLength(scheme, this.#sealed.sealedBytes, last) + BLOCK_TAG_BYTES
    const gather = new Gather(this.#ports, scheme, extent.sources, { offsetBytes, lengthBytes }, this.#signal)
    try {
      const shares = await gather.take(scheme.k)
      const segments: PlainSegment[] = []
      for (let i = 0; i < run.count; i++)
        segments.push(await this.#openSegment(extent, gather, shares, run, run.first + i))
      return segments
    } finally {
      gather.close()
    }
  }

  /** Opens one segment; a share whose tag fails is replaced in `shares` by another node's for the rest of the run. */
  async #openSegment(
    extent: PinnedExtent,
    gather: Gather,
    shares: GatheredShare[],
    run: Run,
    segment: number,
  ): Promise<PlainSegment> {
    const { scheme, opener } = extent
    const isLast = segment === this.#segmentCount - 1
    const at = (segment - run.first) * (innerBlockLength(scheme) + BLOCK_TAG_BYTES)
    const length = blockLength(scheme, this.#sealed.sealedBytes, segment) + BLOCK_TAG_BYTES
    while (true) {
      const blocks = shares.map(({ source, bytes }) => ({ index: source.index, bytes: bytes.subarray(at, at + length) }))
      const opened = await this.#open(opener, segment, isLast, blocks, gather, shares, scheme.k)
      if (opened) return { segment, plaintext: opened }
    }
  }

  /** The plaintext, or undefined after `shares` were mended and the segment is to be tried again. */
  async #open(
    opener: SegmentOpener,
    segment: number,
    isLast: boolean,
    blocks: { index: number; bytes: Uint8Array }[],
    gather: Gather,
    shares: GatheredShare[],
    k: number,
  ): Promise<Uint8Array | undefined> {
    const sealedBytes = segmentLength(this.#sealed.sealedBytes, segment)
    try {
      const opened = await opener.open(segment, isLast, sealedBytes, blocks)
      if ('plaintext' in opened) return opened.plaintext
      for (const index of opened.badIndices) {
        const position = shares.findIndex(({ source }) => source.index === index)
        const [bad] = shares.splice(position, 1)
        if (bad) gather.reject(bad, badBlock(bad, segment))
      }
    } catch (error) {
      // All tags pass and no k-subset opens: one more share makes more subsets, until there is none.
      if (!(error instanceof MosaikError) || error.code !== 'E_SEGMENT_TAG') throw error
      shares.push(...(await gather.take(1)))
      return undefined
    }
    if (shares.length < k) shares.push(...(await gather.take(k - shares.length)))
    return undefined
  }

  #extent(number: number): Promise<PinnedExtent> {
    let extent = this.#extents.get(number)
    if (!extent) {
      extent = this.#pinExtent(number)
      this.#extents.set(number, extent)
    }
    return extent
  }

  /** The sharing with the most good fragments of this extent. */
  async #pinExtent(number: number): Promise<PinnedExtent> {
    this.#attemptRow ??= this.#ports.layout.attempt(this.#attempt).then((row) => {
      if (!row) throw new MosaikError('E_INTERNAL', 'the manifest names an attempt that the catalog does not know')
      return row
    })
    this.#fragments ??= this.#ports.layout.fragments(this.#attempt)
    const { scheme } = await this.#attemptRow
    const names = new Map((await this.#ports.pool.nodes()).map((node) => [node.id, node.name]))
    const bySharing = Map.groupBy(
      (await this.#fragments).filter(({ role }) => role.kind === 'fragment' && role.extent === number),
      ({ sharing }) => sharing,
    )
    const [sharing, rows] = [...bySharing].toSorted((a, b) => b[1].length - a[1].length)[0] ?? [null, []]
    if (sharing === null || rows.length < scheme.k) {
      throw new MosaikError(
        'E_SHARES_TOO_FEW',
        `${scheme.k} fragments are needed and the catalog knows ${rows.length} of extent ${number}`,
        { needed: scheme.k, came: rows.length },
      )
    }
    const [verifyKey] = this.#sealed.verifyKeys
    if (!verifyKey) throw new MosaikError('E_FORMAT_FIELD', 'the manifest names no verify key')
    const fragmentKeys = new Map<number, Uint8Array>()
    for (let index = 0; index < scheme.n; index++) {
      const header = encodeFragmentHeader({ attempt: this.#attempt, sharing, extent: number, index, scheme })
      fragmentKeys.set(index, fragmentKey(this.#ports.primitives, verifyKey, header))
    }
    const { dek, floeHeader } = this.#sealed
    return {
      scheme,
      sources: rows.map((row) => ({
        index: row.index,
        node: row.node,
        nodeName: names.get(row.node) ?? row.node,
        key: row.key,
      })),
      opener: this.#ports.engine.opener({ dek, floeHeader, aad: this.#aad }, { scheme, extent: number, fragmentKeys }),
    }
  }
}

interface PinnedExtent {
  readonly scheme: AttemptRow['scheme']
  readonly sources: readonly ShareSource[]
  readonly opener: SegmentOpener
}

function badBlock(share: GatheredShare, segment: number): MosaikError {
  return new MosaikError(
    'E_BLOCK_TAG',
    `node ${share.source.nodeName} gave a block of segment ${segment} that does not verify`,
    { node: share.source.node, object: share.source.key, index: share.source.index, segment },
  )
}
