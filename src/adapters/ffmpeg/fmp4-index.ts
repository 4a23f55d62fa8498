import type { PlaybackIndex } from '../../domain/recording.ts'
import { boxesIn, fourCharacters, malformed, readDefaults, readRuns, readTracks } from './mp4-boxes.ts'
import type { SampleDefaults, Track, TrackRun } from './mp4-boxes.ts'

/** `moov` and `moof` are kept while they are read; larger ones are refused. */
const HEADER_MAX_BYTES = 8 * 1024 * 1024
/** Peak bandwidth counts segments of at least this length: a last one of two frames says nothing. */
const PEAK_MIN_MICROSECONDS = 1_000_000
/** A segment is at least this long, or the index of a recording with a key frame a second would be a large one. */
const SEGMENT_MIN_MICROSECONDS = 3_000_000

interface Segment {
  readonly offset: number
  bytes: number
  readonly startMicroseconds: number
  endMicroseconds: number
}

/**
 * Watches a fragmented MP4 go by and notes where its fragments are. The bytes are neither changed nor kept, except for
 * the headers while they are read.
 */
export class FragmentIndexer {
  #offset = 0
  /** Start of the box in hand, and how many of its bytes are still to come. */
  #boxStart = 0
  #remaining = 0
  #type = ''
  #kept: Uint8Array[] = []
  #keptBytes = 0
  #header: Uint8Array = new Uint8Array(0)
  #initBytes = 0
  #tracks: readonly Track[] = []
  #defaults: ReadonlyMap<number, SampleDefaults> = new Map()
  readonly #segments: Segment[] = []

  /** @param progress told the end of the newest fragment, in milliseconds. */
  push(chunk: Uint8Array, progress: (doneMs: number) => void = () => undefined): void {
    let at = 0
    while (at < chunk.byteLength) {
      if (this.#remaining === 0) {
        at += this.#takeHeader(chunk, at)
        continue
      }
      const bytes = Math.min(this.#remaining, chunk.byteLength - at)
      if (this.#type === 'moov' || this.#type === 'moof') this.#keep(Uint8Array.from(chunk.subarray(at, at + bytes)))
      at += bytes
      this.#offset += bytes
      this.#remaining -= bytes
      if (this.#remaining === 0) this.#endBox(progress)
    }
  }

  /** @throws E_MEDIA_TOOL when the file ended in the middle of a box, or has no fragment. */
  finish(): PlaybackIndex {
    if (this.#remaining !== 0 || this.#header.byteLength !== 0) throw malformed('it ends in the middle of a box')
    const last = this.#segments.at(-1)
    if (last === undefined) throw malformed('no fragment')
    const video = this.#tracks.find((track) => track.kind === 'video')
    const audio = this.#tracks.find((track) => track.kind === 'audio')
    return {
      codecs: [video, audio].flatMap((track) => (track === undefined ? [] : [track.codec])).join(','),
      width: video?.width ?? 0,
      height: video?.height ?? 0,
      bandwidthBitsPerSecond: this.#peakBitsPerSecond(),
      durationMs: Math.round(last.endMicroseconds / 1000),
      initBytes: this.#initBytes,
      segments: this.#segments.map((segment, i): readonly [number, number, number] => {
        const start = i === 0 ? 0 : segment.startMicroseconds
        const end = this.#segments[i + 1]?.startMicroseconds ?? segment.endMicroseconds
        return [segment.offset, segment.bytes, Math.max(1, end - start)]
      }),
    }
  }

  /** How many segments there are so far. */
  get segmentCount(): number {
    return this.#segments.length
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const missing = (this.#isLarge() ? 16 : 8) - this.#header.byteLength
    const piece = chunk.subarray(at, at + missing)
    const joined = new Uint8Array(this.#header.byteLength + piece.byteLength)
    joined.set(this.#header)
    joined.set(piece, this.#header.byteLength)
    this.#header = joined
    this.#offset += piece.byteLength
    if (joined.byteLength < 8 || (this.#isLarge() && joined.byteLength < 16)) return piece.byteLength

    const view = new DataView(joined.buffer)
    const size = this.#isLarge() ? Number(view.getBigUint64(8)) : view.getUint32(0)
    this.#type = fourCharacters(view, 4)
    this.#boxStart = this.#offset - joined.byteLength
    this.#remaining = size - joined.byteLength
    this.#header = new Uint8Array(0)
    if (this.#remaining < 0) throw malformed('a box of unknown size')
    return piece.byteLength
  }

  /** The size field is 1: a 64-bit size follows. */
  #isLarge(): boolean {
    const [a, b, c, d] = this.#header
    return a === 0 && b === 0 && c === 0 && d === 1
  }

  #keep(bytes: Uint8Array): void {
    this.#keptBytes += bytes.byteLength
    if (this.#keptBytes > HEADER_MAX_BYTES) throw malformed('a header that is too large')
    this.#kept.push(bytes)
  }

  #endBox(progress: (doneMs: number) => void): void {
    if (this.#type === 'moov') {
      const moov = this.#takeKept()
      this.#tracks = readTracks(moov)
      this.#defaults = readDefaults(moov)
      this.#initBytes = this.#offset
    } else if (this.#type === 'moof') {
      this.#addFragment(readRuns(this.#takeKept(), this.#defaults))
    } else if (this.#type === 'mdat') {
      const segment = this.#segments.at(-1)
      if (segment === undefined) return
      segment.bytes = this.#offset - segment.offset
      progress(segment.endMicroseconds / 1000)
    }
  }

  #takeKept(): DataView {
    const joined = new Uint8Array(this.#keptBytes)
    let at = 0
    for (const piece of this.#kept) {
      joined.set(piece, at)
      at += piece.byteLength
    }
    this.#kept = []
    this.#keptBytes = 0
    return new DataView(joined.buffer)
  }

  /**
   * A fragment begins a segment when its picture begins with a key frame, or when there is no picture in it, and the
   * segment before it is long enough. Any other one is part of the segment before it.
   */
  #addFragment(runs: readonly TrackRun[]): void {
    if (runs.length === 0) return
    const video = this.#tracks.find((track) => track.kind === 'video')
    const picture = runs.find((run) => run.trackId === video?.id)
    const starts = runs.map((run) => this.#microseconds(run.trackId, run.startTime))
    const end = Math.max(...runs.map((run) => this.#microseconds(run.trackId, run.startTime + run.lengthTime)))
    const start = picture === undefined ? Math.min(...starts) : this.#microseconds(picture.trackId, picture.startTime)

    const current = this.#segments.at(-1)
    const opensOne =
      current === undefined ||
      ((picture?.startsWithKeyFrame ?? true) && start - current.startMicroseconds >= SEGMENT_MIN_MICROSECONDS)
    if (opensOne) {
      this.#segments.push({ offset: this.#boxStart, bytes: 0, startMicroseconds: start, endMicroseconds: end })
    } else {
      current.endMicroseconds = Math.max(current.endMicroseconds, end)
    }
  }

  #microseconds(trackId: number, time: number): number {
    const track = this.#tracks.find(({ id }) => id === trackId)
    if (track === undefined || track.timescale === 0) throw malformed('a fragment of an unknown track')
    return Math.round((time * 1_000_000) / track.timescale)
  }

  #peakBitsPerSecond(): number {
    const rate = (bytes: number, microseconds: number): number => (bytes * 8_000_000) / Math.max(1, microseconds)
    const first = this.#segments[0]
    const last = this.#segments.at(-1)
    if (first === undefined || last === undefined) return 0
    const total = rate(last.offset + last.bytes - first.offset, last.endMicroseconds)
    const long = this.#segments
      .map((segment) => ({ bytes: segment.bytes, microseconds: segment.endMicroseconds - segment.startMicroseconds }))
      .filter(({ microseconds }) => microseconds >= PEAK_MIN_MICROSECONDS)
    return Math.ceil(Math.max(total, ...long.map(({ bytes, microseconds }) => rate(bytes, microseconds))))
  }
}

/** The types of all boxes of a complete file, in order: for looking into one. */
export function boxTypes(file: Uint8Array): string[] {
  return boxesIn(new DataView(file.buffer, file.byteOffset, file.byteLength)).map((box) => box.type)
}
