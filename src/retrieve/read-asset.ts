import { SEGMENT_PLAIN_BYTES } from '../crypto/floe.ts'
import { MosaikError, isMosaikError, type ErrorCode } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { ManifestAsset, SealedAsset } from '../domain/recording.ts'
import {
  BLOCK_TAG_BYTES,
  EXTENT_SEGMENTS,
  blockLength,
  blockOffset,
  extentOf,
  innerBlockLength,
} from '../format/fragment-header.ts'
import { decodeAssetHeader, segmentCount, segmentLength } from '../format/asset-header.ts'
import type { SegmentToOpen } from '../ports/segment-engine.ts'
import type { Log } from '../ports/system.ts'
import type { AssetReader } from '../ports/vault-reader.ts'
import { Gather, type GatheredShare, type GatherPorts, type ShareSource } from './gather.ts'
import { PinnedExtents, type ExtentPorts, type PinnedExtent } from './pinned-extents.ts'

export interface ReadPorts extends GatherPorts, ExtentPorts {
  /** Told of every share that is bad, also when others made up for it. */
  readonly log: Log
}

/**
 * Segments fetched with one request a share. A range of no more is one run, since each run costs k requests; a longer one begins small, so
 * that the first byte comes soon.
 */
const MAX_RUN_SEGMENTS = 8
const FIRST_RUN_SEGMENTS = 2
/** Runs that are fetched ahead of a consumer who has taken some: a media tool looks at a place and goes to another. */
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
  readonly #signal: AbortSignal
  readonly #segmentCount: number
  readonly #extents: PinnedExtents
  /** Objects that gave wrong bytes: asked last from then on. */
  readonly #doubtful = new Set<string>()

  constructor(ports: ReadPorts, sealed: SealedAsset, attempt: Id, aad: Uint8Array, signal: AbortSignal) {
    this.#ports = ports
    this.#sealed = sealed
    this.#attempt = attempt
    this.#extents = new PinnedExtents(ports, sealed, attempt, aad)
    this.#signal = signal
    this.#segmentCount = segmentCount(sealed.sealedBytes)
  }

  close(): void {
    this.#extents.close()
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
      run.catch(ignore) // awaited in order; an early rejection must not count as unhandled
      ahead.push(run)
      next += count
      runSegments = Math.min(MAX_RUN_SEGMENTS, runSegments * 2)
    }
    startRun()
    startRun()
    try {
      for (let run = ahead.shift(); run; run = ahead.shift()) {
        const pieces = await run
        // also when all that is wanted lies here already
        this.#signal.throwIfAborted()
        for (let i = 0; i < 2 && ahead.length < READ_AHEAD_RUNS; i++) startRun()
        yield* pieces
      }
    } finally {
      // of a consumer who left
      for (const run of ahead) void run.then((pieces) => this.#giveBack(pieces), ignore)
    }
  }

  #giveBack(pieces: readonly PlainPiece[]): void {
    for (const { plaintext } of pieces) this.#ports.engine.recycle([plaintext])
  }

  /** One run, from the pinned sharing; from another one, or other places, when the layout has changed or holds more. */
  async #fetchRun(run: Run): Promise<PlainPiece[]> {
    const number = extentOf(run.first)
    const tried = new Set<string>()
    let extent = await this.#extents.of(number)
    while (true) {
      try {
        return await this.#fetchFrom(extent, run)
      } catch (error) {
        if (!isMosaikError(error, 'E_SHARES_TOO_FEW', 'E_SEGMENT_TAG') || this.#signal.aborted) throw error
        tried.add(extent.layout)
        const other = await this.#extents.another(number, tried)
        if (!other) throw error
        extent = other
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
        relocate: (source) => this.#extents.relocate(extent, source),
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
          return !block || !this.#extents.findVerifyKey(extent, keying, segment, block)
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

function ignore(): void {
  // told where it is awaited, if it is
}
