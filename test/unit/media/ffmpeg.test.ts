import { describe, expect, test } from 'vitest'
import {
  captionArguments,
  FORMAT_WHITELIST,
  posterArguments,
  renditionsArguments,
  type ToolLimits,
} from '../../../src/adapters/ffmpeg/arguments.ts'
import { sanitise, toolFailure } from '../../../src/adapters/ffmpeg/failure.ts'
import { FragmentIndexer } from '../../../src/adapters/ffmpeg/fmp4-index.ts'
import { describeBeginning } from '../../../src/adapters/ffmpeg/look.ts'
import type { RenditionPlan } from '../../../src/ports/media.ts'

const limits = { maxAllocationBytes: 1000, maxPixels: 2000, threads: 2 }
const plan = {
  ...{
    name: '360p',
    track: null,
    videoMode: 'encode' as const,
    audioMode: 'encode' as const,
    width: 640,
    height: 360,
    videoStream: 0,
    audioStream: 1,
  },
  ...{ videoBitsPerSecond: 800_000, audioBitsPerSecond: 96_000 },
}

const alone = (url: string, toolLimits: ToolLimits, of: RenditionPlan): string[] =>
  renditionsArguments(url, toolLimits, [{ ...of, isSparse: false }])

describe('arguments', () => {
  const lists = {
    rendition: alone('http://127.0.0.1:1/s', limits, plan),
    copy: alone('http://127.0.0.1:1/s', limits, { ...plan, videoMode: 'copy', audioMode: 'copy' }),
    poster: posterArguments('http://127.0.0.1:1/s', limits, {
      ...{ streamIndex: 0, atMs: 1500, width: 640, height: 360, skipDark: true },
    }),
    captions: captionArguments('http://127.0.0.1:1/s', limits, 2),
  }
  test.each(Object.entries(lists))('%s: limits and whitelists come before the input', (_, list) => {
    const before = list.slice(0, list.indexOf('-i'))
    for (const option of ['-nostdin', '-protocol_whitelist', '-format_whitelist', '-max_alloc', '-max_pixels']) {
      expect(before).toContain(option)
    }
    expect(before[before.indexOf('-protocol_whitelist') + 1]).toBe('http,tcp')
    expect(list.at(-1)).toBe('pipe:1')
    expect(list).not.toContain('-y')
    expect(list.filter((text) => text === '-i')).toHaveLength(1)
  })
  test('several outputs have a pipe each, pictures an own reading of the same input', () => {
    const sound = { ...plan, isSparse: false, videoMode: 'none' as const, videoStream: null }
    const copy = { ...plan, isSparse: false, videoMode: 'copy' as const }
    const list = renditionsArguments('http://127.0.0.1:1/s', limits, [copy, sound], {
      poster: { streamIndex: 0, atMs: 1500, width: 640, height: 360, skipDark: true },
      storyboard: {
        ...{ videoStream: 0, tileWidth: 160, tileHeight: 90, columns: 2, rows: 1, tilesCount: 2, intervalMs: 1000 },
        keyFramesOnly: true,
      },
    })
    expect(list.filter((text) => text.startsWith('pipe:'))).toEqual(['pipe:1', 'pipe:3', 'pipe:4', 'pipe:5'])
    expect(list.filter((_, i) => list[i - 1] === '-i')).toEqual(['http://127.0.0.1:1/s', 'http://127.0.0.1:1/s'])
    // Only what is decoded is thinned out, only the poster's reading jumps.
    const second = list.lastIndexOf('-i')
    expect(list.indexOf('-skip_frame:v')).toBeLessThan(list.indexOf('-i'))
    expect(list.indexOf('-ss')).toBeGreaterThan(list.indexOf('-i'))
    expect(list.indexOf('-ss')).toBeLessThan(second)
    expect(list.filter((_, i) => list[i - 1] === '-map')).toEqual(['0:0', '0:1', '0:1', '1:0', '0:0'])
    for (const option of ['-protocol_whitelist', '-format_whitelist', '-max_alloc', '-max_pixels']) {
      expect(list.filter((text) => text === option)).toHaveLength(2)
    }
  })
  test('picture and sound have a choice each', () => {
    const mixed = alone('http://127.0.0.1:1/s', limits, { ...plan, videoMode: 'copy' })
    expect(mixed[mixed.indexOf('-c:v') + 1]).toBe('copy')
    expect(mixed[mixed.indexOf('-c:a') + 1]).toBe('aac')
    expect(mixed).not.toContain('-filter:v')
    const other = alone('http://127.0.0.1:1/s', limits, { ...plan, audioMode: 'copy' })
    expect(other[other.indexOf('-c:v') + 1]).toBe('libx264')
    expect(other[other.indexOf('-c:a') + 1]).toBe('copy')
    const mute = alone('http://127.0.0.1:1/s', limits, { ...plan, audioStream: null, audioMode: 'none' })
    expect(mute).not.toContain('-c:a')
  })
  test('a small picture has at most 30 frames a second', () => {
    const fpsMax = (list: string[]): string | undefined => list[list.indexOf('-fpsmax') + 1]
    expect(fpsMax(lists.rendition)).toBe('30')
    expect(fpsMax(alone('http://127.0.0.1:1/s', limits, { ...plan, width: 1920, height: 1080 }))).toBe('60')
  })
  test('a picture of another shape keeps it', () => {
    const filter = lists.rendition[lists.rendition.indexOf('-filter:v') + 1]
    expect(filter).toContain("scale=w='if(lt(abs(dar*360/640-1),0.02),640,")
    expect(filter).toContain(',pad=640:360:-1:-1,')
  })
  test('filters stay one argument', () => {
    expect(lists.poster[lists.poster.indexOf('-filter:v') + 1]).toContain('scale=640:360')
    expect(lists.rendition[lists.rendition.indexOf('-force_key_frames') + 1]).toBe('expr:gte(t,n_forced*4)')
  })
  test('no format that names other files', () => {
    const allowed = FORMAT_WHITELIST.split(',')
    for (const name of [
      'hls',
      'applehttp',
      'concat',
      'dash',
      'sdp',
      'image2',
      'lavfi',
      'rtsp',
      'tty',
      'ffmetadata',
      'vobsub',
    ]) {
      expect(allowed).not.toContain(name)
    }
  })
})

describe('reasons', () => {
  test.each([
    ['[mov @ 0x55] moov atom not found\nhttp://127.0.0.1:9/abc: Invalid data', 1, 'E_MEDIA_UNREADABLE', /ends early/],
    ['Invalid data found when processing input', 1, 'E_MEDIA_UNREADABLE', /broken/],
    ['Picture size 9x9 exceeds specified max pixel count 5', 1, 'E_MEDIA_LIMIT', /larger than allowed/],
    ['Cannot determine format of input stream 0:0 after EOF', 1, 'E_MEDIA_UNREADABLE', /decoded/],
    ['streams exceeds max_streams (64)\nCannot allocate memory', 1, 'E_MEDIA_LIMIT', /more than 64 streams/],
    ['Error: Cannot allocate memory', 1, 'E_MEDIA_LIMIT', /memory/],
    ['Decoder (codec none) not found for input stream #0:0', 1, 'E_MEDIA_UNSUPPORTED', /coding/],
    ['something else', 1, 'E_MEDIA_TOOL', /exit code 1/],
    ['Invalid data found when processing input', 139, 'E_MEDIA_TOOL', /signal 11/],
  ])('%s (%d)', (errorTail, code, expected, says) => {
    const error = toolFailure({ program: 'ffmpeg', code, errorTail })
    expect(error.code).toBe(expected)
    expect(error.message).toMatch(says)
  })
  test('what is logged holds no address, path, title or odd character', () => {
    const tail = sanitise(
      '[http @ 0x5566] HTTP error 404 for http://127.0.0.1:8008/0123456789abcdef0123456789abcdef\n  title : Geheim\nCould not open \'/home/me/x.mp4\' "Vorstand" /etc/passwd \x1b[31mä',
    )
    expect(tail).not.toMatch(/http:\/\/|0123|Geheim|home|Vorstand|passwd|\x1b|ä/)
    expect(tail).toContain('HTTP error 404')
  })
})

describe('what a file is instead of a recording', () => {
  test.each([
    ['', /empty/],
    ['#EXTM3U\n', /HLS/],
    ['\ufeff#EXTM3U\n', /HLS/],
    ['ffconcat version 1.0\n', /concat/],
    ["file 'a.mp4'\n", /concat/],
    ['v=0\r\no=-', /SDP/],
    ['<?xml version="1.0"?><MPD>', /DASH/],
    ['<?xml version="1.0"?>\n<playlist xmlns="http://xspf.org/ns/0/">', /playlist/],
    ['[playlist]\nFile1=x', /playlist/],
    ['<svg xmlns="http://www.w3.org/2000/svg">', /picture/],
    ['<!DOCTYPE html>', /web page/],
    ['{"error":1}', /JSON/],
    ['PK\x03\x04', /ZIP/],
    ['\x00\x00\x00', /zeros/],
    ['Grüße', /text, not media/],
  ])('%j', (text, says) => {
    expect(describeBeginning(new TextEncoder().encode(text))).toMatch(says)
  })
  test('a recording is none of them', () => {
    expect(describeBeginning(Buffer.from('\x00\x00\x00\x20ftypisom\x00\x00\x02\x00', 'latin1'))).toBeUndefined()
    expect(describeBeginning(Buffer.from([0x1a, 0x45, 0xdf, 0xa3, 0x01]))).toBeUndefined()
  })
  test('text that is cut in the middle of a character is still text', () => {
    expect(describeBeginning(new TextEncoder().encode('Grüße ü').subarray(0, -1))).toMatch(/text/)
  })
})

/** Boxes by hand (ISO/IEC 14496-12). */
function box(type: string, ...parts: (Uint8Array | number[])[]): Uint8Array {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)))
  const header = Buffer.alloc(8)
  header.writeUInt32BE(8 + body.byteLength)
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, body])
}
const words = (...values: number[]): Uint8Array => {
  const bytes = Buffer.alloc(values.length * 4)
  values.forEach((value, i) => bytes.writeUInt32BE(value >>> 0, i * 4))
  return bytes
}
const ascii = (text: string): Uint8Array => Buffer.from(text, 'latin1')

function track(
  id: number,
  handler: string,
  timescale: number,
  entry: Uint8Array,
  width: number,
  height: number,
): Uint8Array {
  const tkhd = box('tkhd', words(0, 0, 0, id, 0, 0), new Uint8Array(52), words(width * 65_536, height * 65_536))
  const mdhd = box('mdhd', words(0, 0, 0, timescale, 0, 0))
  const hdlr = box('hdlr', words(0, 0), ascii(handler), new Uint8Array(12))
  const stsd = box('stsd', words(0, 1), entry)
  return box('trak', tkhd, box('mdia', mdhd, hdlr, box('minf', box('stbl', stsd))))
}
const avc1 = box('avc1', new Uint8Array(78), box('avcC', [1, 0x4d, 0x40, 0x1f, 0xff]))
const esds = box(
  'esds',
  words(0),
  [3, 0x80, 0x80, 0x80, 25, 0, 1, 0],
  [4, 17, 0x40, 0x15],
  new Uint8Array(11),
  [5, 2, 0x12, 0x10],
)
const mp4a = box('mp4a', new Uint8Array(28), esds)
const trex = (id: number, duration: number): Uint8Array => box('trex', words(0, id, 1, duration, 0, 0))
const init = Buffer.concat([
  box('ftyp', ascii('isom')),
  box(
    'moov',
    track(1, 'vide', 1000, avc1, 640, 360),
    track(2, 'soun', 48_000, mp4a, 0, 0),
    box('mvex', trex(1, 40), trex(2, 1024)),
  ),
])
function traf(id: number, start: number, samples: number, isKeyFrame: boolean): Uint8Array {
  const tfdt = box('tfdt', words(0x0100_0000, 0, start))
  return box(
    'traf',
    box('tfhd', words(0x20, id, isKeyFrame ? 0x200_0000 : 0x101_0000)),
    tfdt,
    box('trun', words(0, samples)),
  )
}
const fragment = (bytes: number, ...trafs: Uint8Array[]): Uint8Array =>
  Buffer.concat([box('moof', ...trafs), box('mdat', new Uint8Array(bytes))])

describe('index of fragments', () => {
  const first = fragment(1000, traf(1, 0, 50, true), traf(2, 0, 94, true))
  const second = fragment(500, traf(1, 3000, 50, true), traf(2, 144_384, 94, true))
  const more = fragment(300, traf(1, 5000, 25, false))
  const soundOnly = fragment(200, traf(2, 480_000, 94, true))
  const file = Buffer.concat([init, first, second, more, soundOnly])

  function index(chunkBytes: number, whole: Uint8Array = file): ReturnType<FragmentIndexer['finish']> {
    const indexer = new FragmentIndexer()
    for (let at = 0; at < whole.byteLength; at += chunkBytes) indexer.push(whole.subarray(at, at + chunkBytes))
    return indexer.finish()
  }

  test('is the same however the bytes arrive', () => {
    const at = init.byteLength
    const long = second.byteLength + more.byteLength
    const expected = {
      codecs: 'avc1.4d401f,mp4a.40.2',
      width: 640,
      height: 360,
      bandwidthBitsPerSecond: Math.ceil((first.byteLength * 8_000_000) / 2_005_333),
      durationMs: 12_005,
      initBytes: at,
      segments: [
        [at, first.byteLength, 3_000_000],
        [at + first.byteLength, long, 7_000_000],
        [at + first.byteLength + long, soundOnly.byteLength, 2_005_333],
      ],
    }
    for (const chunkBytes of [1, 7, 8, 100, 4096, file.byteLength]) expect(index(chunkBytes)).toEqual(expected)
  })

  test('short groups of pictures share a segment', () => {
    const groups = [0, 1000, 2000, 3000, 4000].map((start) => fragment(100, traf(1, start, 25, true)))
    const whole = Buffer.concat([init, ...groups])
    expect(index(11, whole).segments.map(([, , duration]) => duration)).toEqual([3_000_000, 2_000_000])
  })

  test.each([
    ['cut in a box', file.subarray(0, -1), /middle of a box/],
    ['cut in a header', file.subarray(0, init.byteLength + 3), /middle of a box/],
    ['no fragment', init, /no fragment/],
    ['a fragment of an unknown track', Buffer.concat([init, fragment(1, traf(9, 0, 1, true))]), /unknown track/],
    ['a box shorter than its header', Buffer.concat([init, words(4, 0x6d6f6f66)]), /unknown size/],
    [
      'a box larger than its parent',
      Buffer.concat([init, box('moof', words(99, 0x74726166))]),
      /larger than its parent/,
    ],
  ])('%s is refused', (_, bytes, says) => {
    expect(() => index(64, bytes)).toThrow(says)
  })

  test('sizes of 64 bits', () => {
    const body = new Uint8Array(100)
    const large = Buffer.concat([words(1), ascii('mdat'), words(0, 116), body])
    const whole = Buffer.concat([init, box('moof', traf(1, 0, 50, true)), large])
    expect(index(5, whole).segments).toEqual([[init.byteLength, whole.byteLength - init.byteLength, 2_000_000]])
  })
})
