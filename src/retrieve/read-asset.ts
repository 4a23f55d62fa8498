import { SEGMENT_PLAIN_BYTES } from '../crypto/floe.ts'
import { checkFramedBlock, fragmentKey } from '../crypto/fragment-tag.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { MosaikError, isMosaikError, type ErrorCode } from '../domain/errors.ts'
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
import type { FramedBlock, SegmentEngine, SegmentOpener, SegmentToOpen } from '../ports/segment-engine.ts'
import type { Log } from '../ports/system.ts'
import type { AssetReader } from '../ports/vault-reader.ts'
import { Gather, type GatheredShare, type GatherPorts, type ShareSource } from './gather.ts'

export interface ReadPorts extends GatherPorts {
  readonly layout: LayoutCatalog
  readonly engine: SegmentEngine
  readonly primitives: Primitives
  /** Told of every share that is bad, also when others made up for it. */
  readonly log: Log
}

/**
 * Segments fetched with one request a share. A range of no more is one run, since each run costs k requests; a longer one begins small, so
 * that the first byte comes soon.
 */
const MAX_RUN_SEGMENTS = 8
const FIRST_RUN_SEGMENTS = 2
/** Runs that are fetched ahead of the consumer. */
const READ_AHEAD_RUNS = 3

/** Reads an asset that lies inside the manifest. */
export function inlineAssetReader(asset: ManifestAsset, inline: Uint8Array): AssetReader {
  return {
    asset,
    async *read(startBytes, endBytes) {
      checkRange(asset, startBytes, endBytes)
      if (endBytes > startBytes) yield Uint8Array.from(inline.subarray(startBytes, endBytes))
    },
    recycle: () => undefined,
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
        for await (const { first, plaintext } of reading.pieces(
          Math.floor(startBytes / SEGMENT_PLAIN_BYTES),
          Math.floor((endBytes - 1) / SEGMENT_PLAIN_BYTES),
        )) {
          const at = first * SEGMENT_PLAIN_BYTES
          yield plaintext.subarray(Math.max(0, startBytes - at), Math.min(plaintext.length, endBytes - at))
        }
      } finally {
        stop.abort(new MosaikError('E_ABORTED', 'the reader was closed'))
        reading.close()
      }
    },
    recycle: (chunk) => ports.engine.recycle([chunk]),
  }
}

function checkRange(asset: ManifestAsset, startBytes: number, endBytes: number): void {
  const isWhole = Number.isInteger(startBytes) && Number.isInteger(endBytes)
  if (!(isWhole && startBytes >= 0 && startBytes <= endBytes && endBytes <= asset.contentBytes)) {
    throw new MosaikError('E_OBJECT_RANGE', `bytes ${startBytes}–${endBytes} of an asset of ${asset.contentBytes}`)
  }
}

/** Plaintext from the start of segment `first` on, in a buffer that holds nothing else. */
interface PlainPiece {
  readonly first: number
  readonly plaintext: Uint8Array<ArrayBuffer>
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
  readonly #openers: SegmentOpener[] = []
  /** Objects that gave wrong bytes: asked last from then on. */
  readonly #doubtful = new Set<string>()
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
    for (const opener of this.#openers) opener.close()
  }

  /** Segments `first` … `last` in order, fetched ahead. */
  async *pieces(first: number, last: number): AsyncGenerator<PlainPiece> {
    const ahead: Promise<PlainPiece[]>[] = []
    let next = first
    let runSegments = FIRST_RUN_SEGMENTS
    const startRun = (): void => {
      if (next > last) return
      const endOfExtent = (extentOf(next) + 1) * EXTENT_SEGMENTS
      const left = Math.min(last + 1, endOfExtent) - next
      const count = left <= MAX_RUN_SEGMENTS ? left : runSegments
      const run = this.#fetchRun({ first: next, count })
      run.catch(() => undefined) // awaited in order; an early rejection must not count as unhandled
      ahead.push(run)
      next += count
      runSegments = Math.min(MAX_RUN_SEGMENTS, runSegments * 2)
    }
    for (let i = 0; i <= READ_AHEAD_RUNS; i++) startRun()
    for (let run = ahead.shift(); run; run = ahead.shift()) {
      const pieces = await run
      // also when all that is wanted lies here already
      this.#signal.throwIfAborted()
      startRun()
      yield* pieces
    }
  }

  /** One run, from the pinned sharing; from another one, or other places, when the layout has changed or holds more. */
  async #fetchRun(run: Run): Promise<PlainPiece[]> {
    const number = extentOf(run.first)
    const tried = new Set<string>()
    let extent = await this.#extent(number)
    while (true) {
      try {
        return await this.#fetchFrom(extent, run)
      } catch (error) {
        if (!isMosaikError(error, 'E_SHARES_TOO_FEW', 'E_SEGMENT_TAG') || this.#signal.aborted) throw error
        tried.add(extent.layout)
        this.#fragments = this.#ports.layout.fragments(this.#attempt)
        const other = await this.#pinExtent(number, tried)
        if (!other) throw error
        extent = other
        this.#extents.set(number, Promise.resolve(other))
      }
    }
  }

  async #fetchFrom(extent: PinnedExtent, run: Run): Promise<PlainPiece[]> {
    const { scheme } = extent
    const last = run.first + run.count - 1
    const offsetBytes = blockOffset(scheme, run.first)
    const lengthBytes =
      blockOffset(scheme, last) - offsetBytes + blockLength(scheme, this.#sealed.sealedBytes, last) + BLOCK_TAG_BYTES
    const gather = new Gather(
      this.#ports,
      {
        scheme,
        sources: extent.sources.map((source) => ({ ...source, isDoubtful: this.#doubtful.has(source.key) })),
        range: { offsetBytes, lengthBytes },
        memory: (sizeBytes) => this.#ports.engine.takeMemory(sizeBytes),
        relocate: (source) => this.#relocate(extent, source),
        lacking: (source, { code }) => this.#tell(source, run.first, code),
      },
      this.#signal,
    )
    try {
      const shares = await gather.take(scheme.k)
      const together = await this.#openTogether(extent, shares, run)
      const pieces = asOnePiece(run, together) ?? (await this.#piecesOf(extent, gather, shares, run, together))
      for (const { bytes } of shares) this.#ports.engine.recycle([bytes])
      return pieces
    } finally {
      gather.close()
    }
  }

  /** Each segment in a piece of its own; those that did not open together are looked at one by one. */
  async #piecesOf(
    extent: PinnedExtent,
    gather: Gather,
    shares: GatheredShare[],
    run: Run,
    together: readonly (Uint8Array<ArrayBuffer> | undefined)[],
  ): Promise<PlainPiece[]> {
    const pieces: PlainPiece[] = []
    for (let i = 0; i < run.count; i++) {
      const plaintext = together[i]
      pieces.push(
        plaintext
          ? { first: run.first + i, plaintext: ofItsOwn(plaintext) }
          : await this.#openSegment(extent, gather, shares, run, run.first + i),
      )
    }
    return pieces
  }

  /** The run's plaintexts in one trip to the engine; none for a segment that needs a closer look. */
  async #openTogether(
    extent: PinnedExtent,
    shares: readonly GatheredShare[],
    run: Run,
  ): Promise<(Uint8Array<ArrayBuffer> | undefined)[]> {
    const segments = Array.from({ length: run.count }, (_, i) => this.#toOpen(extent, shares, run, run.first + i))
    try {
      const answers = await extent.keying.opener.openRun(segments)
      return answers.map((opened) =>
        'plaintext' in opened && !opened.corruptIndices && !opened.forgedIndices ? opened.plaintext : undefined,
      )
    } catch (error) {
      if (!isMosaikError(error, 'E_SEGMENT_TAG')) throw error
      return []
    }
  }

  #toOpen(extent: PinnedExtent, shares: readonly GatheredShare[], run: Run, segment: number): SegmentToOpen {
    const at = (segment - run.first) * (innerBlockLength(extent.scheme) + BLOCK_TAG_BYTES)
    const length = blockLength(extent.scheme, this.#sealed.sealedBytes, segment) + BLOCK_TAG_BYTES
    return {
      segment,
      last: segment === this.#segmentCount - 1,
      sealedBytes: segmentLength(this.#sealed.sealedBytes, segment),
      blocks: shares.map(({ source, bytes }) => ({ index: source.index, bytes: bytes.subarray(at, at + length) })),
    }
  }

  /** Opens one segment; a share that is bad is replaced in `shares` by another node's for the rest of the run. */
  async #openSegment(
    extent: PinnedExtent,
    gather: Gather,
    shares: GatheredShare[],
    run: Run,
    segment: number,
  ): Promise<PlainPiece> {
    const { k } = extent.scheme
    const drop = (indices: readonly number[], code: ErrorCode): void => {
      for (const bad of shares.filter(({ source }) => indices.includes(source.index))) {
        shares.splice(shares.indexOf(bad), 1)
        this.#blame(gather, bad, segment, code)
      }
    }
    while (true) {
      if (shares.length < k) shares.push(...(await gather.take(k - shares.length)))
      const { last, sealedBytes, blocks } = this.#toOpen(extent, shares, run, segment)
      const { keying } = extent
      try {
        const opened = await keying.opener.open(segment, last, sealedBytes, blocks)
        if ('plaintext' in opened) {
          drop(opened.corruptIndices ?? [], 'E_BLOCK_TAG')
          drop(opened.forgedIndices ?? [], 'E_SEGMENT_TAG')
          return { first: segment, plaintext: opened.plaintext }
        }
        const isBad = (index: number): boolean => {
          const block = blocks.find((one) => one.index === index)
          return !block || !this.#findVerifyKey(extent, keying, segment, block)
        }
        drop(opened.badIndices.filter(isBad), 'E_BLOCK_TAG')
      } catch (error) {
        // All tags pass and no k-subset opens: one more share makes more subsets, until there is none.
        if (!isMosaikError(error, 'E_SEGMENT_TAG')) throw error
        const [more] = await gather.take(1).catch((failure: unknown) => {
          throw isMosaikError(failure, 'E_SHARES_TOO_FEW') ? error : failure
        })
        if (more) shares.push(more)
      }
    }
  }

  #blame(gather: Gather, { source, bytes }: GatheredShare, segment: number, code: ErrorCode): void {
    const message =
      code === 'E_SEGMENT_TAG'
        ? `node ${source.nodeName} gave a block of segment ${segment} whose tag verifies and which does not fit: somebody made it`
        : `node ${source.nodeName} gave a block of segment ${segment} that does not verify`
    const fields = { node: source.node, object: source.key, index: source.index, segment }
    gather.reject({ source, bytes }, new MosaikError(code, message, fields))
    this.#tell(source, segment, code)
  }

  /** What goes to the log here, once an object and read, is what repair and alarms start from. */
  #tell({ node, key, index }: ShareSource, segment: number, code: ErrorCode): void {
    if (this.#doubtful.has(key)) return
    this.#doubtful.add(key)
    const fields = { node, object: key, index, segment, attempt: this.#attempt, code }
    if (code === 'E_SEGMENT_TAG') this.#ports.log.error('read.forged-share', fields)
    else this.#ports.log.warn('read.bad-share', fields)
  }

  #extent(number: number): Promise<PinnedExtent> {
    let extent = this.#extents.get(number)
    if (!extent) {
      extent = this.#pinExtent(number, new Set()).then((pinned) => {
        if (!pinned) throw new MosaikError('E_INTERNAL', `nothing is known of extent ${number}`)
        return pinned
      })
      this.#extents.set(number, extent)
    }
    return extent
  }

  /**
   * The sharing that has the most fragments of this extent to spare, among the layouts that were not tried yet; `undefined` when all were.
   * @throws E_SHARES_TOO_FEW when none has k and none was tried
   */
  async #pinExtent(number: number, tried: ReadonlySet<string>): Promise<PinnedExtent | undefined> {
    this.#attemptRow ??= this.#ports.layout.attempt(this.#attempt).then((row) => {
      if (!row) throw new MosaikError('E_INTERNAL', 'the manifest names an attempt that the catalog does not know')
      return row
    })
    this.#fragments ??= this.#ports.layout.fragments(this.#attempt)
    // Together: while one is awaited, the other may fail.
    const [attempt, fragments] = await Promise.all([this.#attemptRow, this.#fragments])
    const bySharing = Map.groupBy(fragments.filter(isOfExtent(number)), ({ sharing }) => sharing ?? '')
    const candidates = [...bySharing]
      .map(([sharing, rows]) => ({
        sharing,
        rows,
        // Of this sharing: the recording may be on its way to another one.
        scheme: rows[0]?.scheme ?? attempt.scheme,
        layout: rows.map(({ node, key }) => `${node} ${key}`).join(),
        indicesCount: new Set(rows.map(({ index }) => index)).size,
      }))
      .toSorted((a, b) => b.indicesCount - b.scheme.k - (a.indicesCount - a.scheme.k))
    const best = candidates.find(({ layout, indicesCount, scheme }) => indicesCount >= scheme.k && !tried.has(layout))
    if (!best) {
      if (tried.size > 0) return undefined
      const { indicesCount: came, scheme } = candidates[0] ?? { indicesCount: 0, scheme: attempt.scheme }
      throw new MosaikError(
        'E_SHARES_TOO_FEW',
        `${scheme.k} fragments are needed and the catalog knows ${came} of extent ${number}`,
        { needed: scheme.k, came },
      )
    }
    const place = { scheme: best.scheme, number, sharing: best.sharing }
    const firstKeys = new Map(Array.from({ length: best.scheme.n }, (_, index) => [index, 0]))
    return {
      ...place,
      layout: best.layout,
      sources: await this.#sourcesOf(best.rows),
      keying: this.#keyingOf(place, firstKeys),
    }
  }

  async #sourcesOf(rows: readonly ObjectRow[]): Promise<ShareSource[]> {
    const names = new Map((await this.#ports.pool.nodes()).map((node) => [node.id, node.name]))
    return rows.map(({ index, node, key }) => ({ index, node, nodeName: names.get(node) ?? node, key }))
  }

  /** Where the share lies by now, when the layout has changed since it was pinned. */
  async #relocate(extent: PinnedExtent, lost: ShareSource): Promise<ShareSource | undefined> {
    const rows = (await this.#ports.layout.fragments(this.#attempt)).filter(isOfExtent(extent.number))
    const moved = rows.filter(
      ({ sharing, index, node, key }) =>
        sharing === extent.sharing &&
        index === lost.index &&
        (node !== lost.node || key !== lost.key) &&
        !extent.sources.some((source) => source.node === node && source.key === key),
    )
    return (await this.#sourcesOf(moved))[0]
  }

  /** Whether another of the attempt's verify keys than the one in `keying` verifies the block; the extent then uses that one for its share. */
  #findVerifyKey(extent: PinnedExtent, keying: Keying, segment: number, { index, bytes }: FramedBlock): boolean {
    const { primitives } = this.#ports
    for (const number of this.#sealed.verifyKeys.keys()) {
      if (number === keying.keyNumbers.get(index)) continue
      const key = primitives.gcm(this.#fragmentKey(extent, index, number))
      if (!checkFramedBlock(primitives, key, segment, bytes)) continue
      // Another run may have come to the same meanwhile.
      const { keyNumbers } = extent.keying
      if (keyNumbers.get(index) !== number)
        extent.keying = this.#keyingOf(extent, new Map(keyNumbers).set(index, number))
      return true
    }
    return false
  }

  #keyingOf(extent: ExtentPlace, keyNumbers: ReadonlyMap<number, number>): Keying {
    const { scheme, number } = extent
    const fragmentKeys = new Map(
      Array.from(keyNumbers, ([index, keyNumber]) => [index, this.#fragmentKey(extent, index, keyNumber)]),
    )
    const { dek, floeHeader } = this.#sealed
    const cipher = { dek, floeHeader, aad: this.#aad }
    const opener = this.#ports.engine.opener(cipher, { scheme, extent: number, fragmentKeys })
    this.#openers.push(opener)
    return { keyNumbers, opener }
  }

  #fragmentKey({ scheme, number, sharing }: ExtentPlace, index: number, keyNumber: number): Uint8Array {
    const verifyKey = this.#sealed.verifyKeys[keyNumber]
    if (!verifyKey) throw new MosaikError('E_FORMAT_FIELD', 'the manifest names no verify key')
    const header = encodeFragmentHeader({ attempt: this.#attempt, sharing, extent: number, index, scheme })
    return fragmentKey(this.#ports.primitives, verifyKey, header)
  }
}

/** Which shares are combined with which. */
interface ExtentPlace {
  readonly scheme: AttemptRow['scheme']
  readonly number: number
  readonly sharing: Id
}

/** Which of the attempt's verify keys each share is checked with, by index; the first until another one is found. */
interface Keying {
  readonly keyNumbers: ReadonlyMap<number, number>
  readonly opener: SegmentOpener
}

/** One extent as a read sees it: where its shares lie, and the keys that they are checked with. */
interface PinnedExtent extends ExtentPlace {
  /** Tells layouts apart. */
  readonly layout: string
  readonly sources: readonly ShareSource[]
  keying: Keying
}

/** What the caller may give back must not share its memory with another piece. */
function ofItsOwn(plaintext: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return plaintext.byteLength === plaintext.buffer.byteLength ? plaintext : Uint8Array.from(plaintext)
}

/** The whole run, when all of it opened and lies in one buffer in order. */
function asOnePiece(
  { first, count }: Run,
  together: readonly (Uint8Array<ArrayBuffer> | undefined)[],
): PlainPiece[] | undefined {
  const buffer = together[0]?.buffer
  if (buffer === undefined || together.length < count) return undefined
  let endBytes = 0
  for (const plaintext of together) {
    if (plaintext?.buffer !== buffer || plaintext.byteOffset !== endBytes) return undefined
    endBytes += plaintext.length
  }
  return endBytes === buffer.byteLength ? [{ first, plaintext: new Uint8Array(buffer) }] : undefined
}

function isOfExtent(number: number): (row: ObjectRow) => boolean {
  return ({ role }) => role.kind === 'fragment' && role.extent === number
}
