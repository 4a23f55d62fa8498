/**
 * Makes fragmented MP4 with picture and sound look as if there were no sound in it, for a player that takes the sound from a rendition of its
 * own. The boxes of the sound become `free` where they are: no byte moves, so all offsets stay right.
 */
export class PictureOnly {
  /** Tracks of sound by the address of the file whose initialisation section told them. */
  readonly #sounds = new Map<string, ReadonlySet<number>>()

  /** Changes an initialisation section or a media segment of `address` in place. */
  strip(address: string, bytes: ArrayBuffer): void {
    const view = new DataView(bytes)
    for (const box of boxesIn(view, 0, view.byteLength)) {
      if (box.type === 'moov') this.#sounds.set(address, stripMovie(view, box))
      if (box.type === 'moof') stripFragment(view, box, this.#sounds.get(address) ?? new Set())
    }
  }
}

/** A box of an MP4 file (ISO/IEC 14496-12 §4.2) by its place. */
interface Box {
  readonly type: string
  readonly start: number
  readonly bodyStart: number
  readonly end: number
}

const BOX_HEADER_BYTES = 8

function boxesIn(view: DataView, start: number, end: number): Box[] {
  const boxes: Box[] = []
  for (let at = start; at + BOX_HEADER_BYTES <= end;) {
    const size = view.getUint32(at)
    const isLarge = size === 1 && at + 16 <= end
    const length = isLarge ? Number(view.getBigUint64(at + 8)) : size
    if (length < BOX_HEADER_BYTES || at + length > end) break
    const type = String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + at + 4, 4))
    boxes.push({ type, start: at, bodyStart: at + (isLarge ? 16 : 8), end: at + length })
    at += length
  }
  return boxes
}

function within(view: DataView, { bodyStart, end }: Box, ...path: readonly string[]): Box | undefined {
  const [type, ...rest] = path
  const found = boxesIn(view, bodyStart, end).find((box) => box.type === type)
  return found === undefined || rest.length === 0 ? found : within(view, found, ...rest)
}

/** A number inside a box; -1 where the box is too short for it. */
function numberIn(view: DataView, { bodyStart, end }: Box, offset: number): number {
  return bodyStart + offset + 4 <= end ? view.getUint32(bodyStart + offset) : -1
}

/** `tkhd`, `trex` and `tfhd` begin with version and flags; the track follows, in `tkhd` behind two times. */
function trackOf(view: DataView, box: Box): number {
  const isLong = numberIn(view, box, 0) >>> 24 === 1
  return numberIn(view, box, box.type === 'tkhd' ? (isLong ? 20 : 12) : 4)
}

function stripMovie(view: DataView, movie: Box): ReadonlySet<number> {
  const sounds = new Set<number>()
  for (const track of boxesIn(view, movie.bodyStart, movie.end)) {
    const handler = track.type === 'trak' ? within(view, track, 'mdia', 'hdlr') : undefined
    const header = handler && within(view, track, 'tkhd')
    // "soun" behind version, flags and four bytes that are zero
    if (handler === undefined || header === undefined || numberIn(view, handler, 8) !== 0x736f756e) continue
    sounds.add(trackOf(view, header))
    free(view, track)
  }
  const extension = within(view, movie, 'mvex')
  for (const box of extension === undefined ? [] : boxesIn(view, extension.bodyStart, extension.end)) {
    if (box.type === 'trex' && sounds.has(trackOf(view, box))) free(view, box)
  }
  return sounds
}

function stripFragment(view: DataView, fragment: Box, sounds: ReadonlySet<number>): void {
  for (const box of boxesIn(view, fragment.bodyStart, fragment.end)) {
    const header = box.type === 'traf' ? within(view, box, 'tfhd') : undefined
    if (header !== undefined && sounds.has(trackOf(view, header))) free(view, box)
  }
}

function free(view: DataView, { start }: Box): void {
  view.setUint32(start + 4, 0x66726565)
}
