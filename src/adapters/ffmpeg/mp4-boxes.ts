import { MosaikError } from '../../domain/errors.ts'

/** A box of an MP4 file (ISO/IEC 14496-12): its type and what is in it. */
export interface Box {
  readonly type: string
  readonly body: DataView
}

/** What the initialisation section says of one track. */
export interface Track {
  readonly id: number
  readonly kind: 'video' | 'audio' | 'other'
  readonly timescale: number
  /** RFC 6381. */
  readonly codec: string
  readonly width: number
  readonly height: number
}

/** What one fragment says of one track. Times in the track's timescale. */
export interface TrackRun {
  readonly trackId: number
  readonly startTime: number
  readonly lengthTime: number
  readonly startsWithKeyFrame: boolean
}

const HEADER_BYTES = 8

/** The error for an output that cannot be indexed: the tool wrote it, so trying again may help. */
export function malformed(what: string): MosaikError {
  return new MosaikError('E_MEDIA_TOOL', `the media tool wrote no usable MP4: ${what}`)
}

/** The boxes directly inside `body`. */
export function boxesIn(body: DataView): Box[] {
  const boxes: Box[] = []
  let at = 0
  while (at + HEADER_BYTES <= body.byteLength) {
    const size = body.getUint32(at)
    if (size < HEADER_BYTES || at + size > body.byteLength) throw malformed('a box that is larger than its parent')
    boxes.push({ type: fourCharacters(body, at + 4), body: part(body, at + HEADER_BYTES, at + size) })
    at += size
  }
  return boxes
}

/** The first box of this type below `body`, along `path`; undefined when there is none. */
export function findBox(body: DataView, ...path: string[]): DataView | undefined {
  let here: DataView | undefined = body
  for (const type of path) {
    if (here === undefined) return undefined
    here = boxesIn(here).find((box) => box.type === type)?.body
  }
  return here
}

/** Four ASCII characters, as box types are written. */
export function fourCharacters(view: DataView, at: number): string {
  return String.fromCharCode(view.getUint8(at), view.getUint8(at + 1), view.getUint8(at + 2), view.getUint8(at + 3))
}

function part(view: DataView, start: number, end: number): DataView {
  return new DataView(view.buffer, view.byteOffset + start, end - start)
}

function mustFind(body: DataView, ...path: string[]): DataView {
  const box = findBox(body, ...path)
  if (box === undefined) throw malformed(`no ${path.join('/')}`)
  return box
}

/** Reads the tracks of a `moov`. */
export function readTracks(moov: DataView): Track[] {
  return boxesIn(moov)
    .filter((box) => box.type === 'trak')
    .map(({ body }) => readTrack(body))
}

function readTrack(trak: DataView): Track {
  const tkhd = mustFind(trak, 'tkhd')
  const mdhd = mustFind(trak, 'mdia', 'mdhd')
  const handler = fourCharacters(mustFind(trak, 'mdia', 'hdlr'), 8)
  const stsd = mustFind(trak, 'mdia', 'minf', 'stbl', 'stsd')
  const entry = boxesIn(part(stsd, 8, stsd.byteLength))[0]
  if (entry === undefined) throw malformed('a track without a description')
  const long = tkhd.getUint8(0) === 1
  return {
    id: tkhd.getUint32(long ? 20 : 12),
    kind: handler === 'vide' ? 'video' : handler === 'soun' ? 'audio' : 'other',
    timescale: mdhd.getUint32(mdhd.getUint8(0) === 1 ? 20 : 12),
    codec: codecOf(entry),
    width: tkhd.getUint32(tkhd.byteLength - 8) >>> 16,
    height: tkhd.getUint32(tkhd.byteLength - 4) >>> 16,
  }
}

/** RFC 6381 §3.3: "avc1.PPCCLL" from the decoder configuration, "mp4a.40.N" from the AudioSpecificConfig. */
function codecOf(entry: Box): string {
  if (entry.type === 'avc1') {
    const avcC = mustFind(part(entry.body, 78, entry.body.byteLength), 'avcC')
    return `avc1.${[1, 2, 3].map((at) => avcC.getUint8(at).toString(16).padStart(2, '0')).join('')}`
  }
  if (entry.type === 'mp4a') {
    return `mp4a.40.${String(audioObjectType(mustFind(part(entry.body, 28, entry.body.byteLength), 'esds')))}`
  }
  return entry.type
}

/** ISO/IEC 14496-1 §7.2.6 and 14496-3 §1.6.2.1: ES_Descriptor → DecoderConfig → DecoderSpecificInfo. */
function audioObjectType(esds: DataView): number {
  let at = 4
  const enter = (tag: number): number => {
    if (esds.getUint8(at) !== tag) throw malformed('esds')
    at++
    let length = 0
    for (let more = true; more; at++) {
      const byte = esds.getUint8(at)
      length = (length << 7) | (byte & 0x7f)
      more = (byte & 0x80) !== 0
    }
    return length
  }
  enter(0x03)
  const flags = esds.getUint8(at + 2)
  at += 3 + ((flags & 0x80) !== 0 ? 2 : 0) + ((flags & 0x40) !== 0 ? 1 + esds.getUint8(at + 3) : 0)
  enter(0x04)
  at += 13
  if (enter(0x05) < 2) throw malformed('AudioSpecificConfig')
  const type = esds.getUint8(at) >>> 3
  return type === 31 ? 32 + (((esds.getUint8(at) & 7) << 3) | (esds.getUint8(at + 1) >>> 5)) : type
}

/** What a track's samples are when a fragment does not say. */
export interface SampleDefaults {
  readonly duration: number
  readonly flags: number
}

/** Defaults by track, from the `trex` boxes of a `moov`. */
export function readDefaults(moov: DataView): Map<number, SampleDefaults> {
  const mvex = findBox(moov, 'mvex')
  const defaults = new Map<number, SampleDefaults>()
  for (const { type, body } of mvex === undefined ? [] : boxesIn(mvex)) {
    if (type === 'trex') defaults.set(body.getUint32(4), { duration: body.getUint32(12), flags: body.getUint32(20) })
  }
  return defaults
}

/** Reads the track fragments of a `moof`, leaving out those without samples. */
export function readRuns(moof: DataView, defaults: ReadonlyMap<number, SampleDefaults>): TrackRun[] {
  return boxesIn(moof)
    .filter((box) => box.type === 'traf')
    .map(({ body }) => readRun(body, defaults))
    .filter((run) => run !== undefined)
}

const NOT_A_KEY_FRAME = 0x10000

function readRun(traf: DataView, defaults: ReadonlyMap<number, SampleDefaults>): TrackRun | undefined {
  const tfhd = mustFind(traf, 'tfhd')
  const tfdt = mustFind(traf, 'tfdt')
  const trackId = tfhd.getUint32(4)
  const inherited = defaults.get(trackId) ?? { duration: 0, flags: 0 }
  const fields = new FieldReader(tfhd, 8)
  const has = tfhd.getUint32(0) & 0xffffff
  fields.skipIf(has & 0x01, 8)
  fields.skipIf(has & 0x02, 4)
  const duration = fields.takeIf(has & 0x08) ?? inherited.duration
  fields.skipIf(has & 0x10, 4)
  const flags = fields.takeIf(has & 0x20) ?? inherited.flags

  let lengthTime = 0
  let firstFlags: number | undefined
  for (const { type, body } of boxesIn(traf)) {
    if (type !== 'trun') continue
    const sampleHas = body.getUint32(0) & 0xffffff
    const samples = new FieldReader(body, 8)
    samples.skipIf(sampleHas & 0x001, 4)
    const runFirstFlags = samples.takeIf(sampleHas & 0x004)
    for (let sample = 0; sample < body.getUint32(4); sample++) {
      lengthTime += samples.takeIf(sampleHas & 0x100) ?? duration
      samples.skipIf(sampleHas & 0x200, 4)
      const sampleFlags = samples.takeIf(sampleHas & 0x400) ?? flags
      firstFlags ??= runFirstFlags ?? sampleFlags
      samples.skipIf(sampleHas & 0x800, 4)
    }
  }
  if (firstFlags === undefined) return undefined
  const startTime = tfdt.getUint8(0) === 1 ? Number(tfdt.getBigUint64(4)) : tfdt.getUint32(4)
  return { trackId, startTime, lengthTime, startsWithKeyFrame: (firstFlags & NOT_A_KEY_FRAME) === 0 }
}

/** Walks over optional fields of 32 bits. */
class FieldReader {
  readonly #view: DataView
  #at: number

  constructor(view: DataView, at: number) {
    this.#view = view
    this.#at = at
  }

  takeIf(present: number): number | undefined {
    if (present === 0) return undefined
    const value = this.#view.getUint32(this.#at)
    this.#at += 4
    return value
  }

  skipIf(present: number, bytes: number): void {
    if (present !== 0) this.#at += bytes
  }
}
