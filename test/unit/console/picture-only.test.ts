import { describe, expect, test } from 'vitest'
import { PictureOnly } from '../../../src/console/watch/picture-only.ts'

function box(type: string, ...parts: (Buffer | readonly number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)))
  const header = Buffer.alloc(8)
  header.writeUInt32BE(8 + body.length)
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, body])
}
const u32 = (value: number): number[] => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]
const zeros = (count: number): number[] => Array<number>(count).fill(0)

function track(id: number, handler: string, version = 0): Buffer {
  const times = version === 1 ? 16 : 8
  return box(
    'trak',
    box('tkhd', [version, 0, 0, 3], zeros(times), u32(id), zeros(60)),
    box('mdia', box('hdlr', zeros(8), Buffer.from(handler, 'latin1'), zeros(12)), box('minf')),
  )
}
const movie = (version = 0): Buffer =>
  Buffer.concat([
    box('ftyp', zeros(8)),
    box(
      'moov',
      ...[box('mvhd', zeros(100)), track(1, 'vide', version), track(2, 'soun', version)],
      box('mvex', box('trex', zeros(4), u32(1), zeros(16)), box('trex', zeros(4), u32(2), zeros(16))),
    ),
  ])
const fragment = (): Buffer =>
  Buffer.concat([
    box(
      'moof',
      box('mfhd', zeros(8)),
      ...[1, 2].map((id) => box('traf', box('tfhd', zeros(4), u32(id)), box('trun', zeros(12)))),
    ),
    box('mdat', Buffer.from('moov trak soun traf')),
  ])

function strip(player: PictureOnly, address: string, bytes: Buffer): Buffer {
  const copy = new Uint8Array(bytes)
  player.strip(address, copy.buffer)
  return Buffer.from(copy)
}
const count = (bytes: Buffer, type: string): number => bytes.toString('latin1').split(type).length - 1

describe('fragmented MP4 without its sound', () => {
  test.each([0, 1])('the boxes of the sound are passed over, and no byte moves (version %d)', (version) => {
    const player = new PictureOnly()
    const init = strip(player, 'a.mp4', movie(version))
    expect(init.length).toBe(movie(version).length)
    expect([count(init, 'trak'), count(init, 'trex'), count(init, 'free')]).toEqual([1, 1, 2])
    const media = strip(player, 'a.mp4', Buffer.concat([fragment(), fragment()]))
    // of the two fragments one `traf` each is left; what lies in `mdat` is nobody's business
    expect([count(media, 'traf'), count(media, 'free')]).toEqual([4, 2])
    expect(media.indexOf('free')).toBeGreaterThan(media.indexOf('traf'))
    expect(media.subarray(-fragment().length).includes('moov trak soun traf')).toBe(true)
  })

  test('each file has tracks of its own', () => {
    const player = new PictureOnly()
    strip(player, 'a.mp4', movie())
    expect(strip(player, 'b.mp4', fragment())).toEqual(fragment())
  })

  test('what is no MP4 stays as it is', () => {
    const player = new PictureOnly()
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(7, 1), Buffer.alloc(100), Buffer.from('<html>'.repeat(20))]) {
      expect(strip(player, 'a.mp4', bytes)).toEqual(bytes)
    }
    // cut off inside its boxes
    for (let length = 0; length < movie().length; length += 5) {
      expect(() => strip(player, 'a.mp4', movie().subarray(0, length))).not.toThrow()
    }
  })
})
