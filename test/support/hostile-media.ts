import { readFile, writeFile } from 'node:fs/promises'
import * as fixtures from './media-fixtures.ts'

/** A box of an MP4 file (ISO/IEC 14496-12). */
function box(type: string, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const header = Buffer.alloc(8)
  header.writeUInt32BE(8 + body.byteLength)
  header.write(type, 4, 'latin1')
  return Buffer.concat([header, body])
}

/** Where the first box of this type begins, header included, and its bytes. */
function findBox(file: Buffer, type: string): { start: number; bytes: Buffer } {
  const start = file.indexOf(type, 0, 'latin1') - 4
  if (start < 0) throw new Error(`no ${type}`)
  return { start, bytes: file.subarray(start, start + file.readUInt32BE(start)) }
}

/** A short MP4 of few bytes: the seed of what follows. */
function tiny(name: string, ...coding: string[]): Promise<string> {
  return fixtures.once(name, (path) =>
    fixtures.ffmpeg(
      ...['-f', 'lavfi', '-i', 'testsrc2=size=96x64:rate=5:duration=2', '-f', 'lavfi', '-i', 'sine=duration=2'],
      ...[...coding, path],
    ),
  )
}

/** Small files of several kinds, a few kilobytes each. */
export function seeds(): Promise<string[]> {
  const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-b:a', '32k']
  return Promise.all([
    tiny('seed.mp4', ...h264),
    tiny('seed-fragmented.mp4', ...h264, '-movflags', '+frag_keyframe+empty_moov'),
    tiny('seed.mkv', ...h264),
    tiny('seed.webm', '-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-c:a', 'libopus', '-b:a', '24k'),
    tiny('seed.ts', ...h264),
    tiny('seed.flv', ...h264, '-ar', '44100'),
    tiny('seed.avi', '-c:v', 'mpeg4', '-c:a', 'libmp3lame', '-b:a', '32k'),
    tiny('seed.ogg', '-vn', '-c:a', 'libopus', '-b:a', '24k'),
  ])
}

/** Numbers that are the same in each run (xorshift32). */
export function numbersFrom(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** Damages a file as transport, programs and enemies do: bits, bytes, lengths, pieces that are missing or there twice. */
export function mutate(file: Buffer, next: (below: number) => number): Buffer {
  let bytes = Buffer.from(file)
  for (let times = 1 + next(6); times > 0; times--) {
    // Headers are at both ends: there it hurts most.
    const near = next(3)
    const within = Math.min(bytes.byteLength, near === 0 ? bytes.byteLength : 2048)
    const at = near === 2 ? bytes.byteLength - 1 - next(within) : next(within)
    const extremes = [0, 1, 0x7f, 0x80, 0xff]
    switch (next(6)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << next(8))
        break
      case 1:
        bytes[at] = extremes[next(extremes.length)] ?? 0
        break
      case 2:
        if (at + 4 <= bytes.byteLength) bytes.writeUInt32BE([0, 1, 0x7fffffff, 0xffffffff][next(4)] ?? 0, at)
        break
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + next(64))])
        break
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - next(64)))])
        break
      default:
        if (next(4) === 0) bytes = Buffer.from(bytes.subarray(0, at + 1))
        else bytes.fill(next(256), at, at + next(200))
    }
  }
  return bytes
}

/** An MP4 whose header promises 10^6 seconds, and holds two. */
export function promisesFixture(): Promise<string> {
  return fixtures.once('promises.mp4', async (path) => {
    const file = await readFile((await seeds())[0] ?? '')
    // Version 0: creation, modification, time scale, duration behind four bytes of version and flags.
    const mvhd = findBox(file, 'mvhd').bytes
    mvhd.writeUInt32BE(1_000_000 * mvhd.readUInt32BE(20), 24)
    await writeFile(path, file)
  })
}

/** An MP4 in which the first track stands 10,000 times. */
export function manyStreamsFixture(): Promise<string> {
  return fixtures.once('many-streams.mp4', async (path) => {
    const file = await readFile((await seeds())[0] ?? '')
    const { start, bytes: moov } = findBox(file, 'moov')
    const trak = findBox(moov, 'trak').bytes
    const many = box('moov', moov.subarray(8), ...Array.from({ length: 10_000 }, () => trak))
    await writeFile(path, Buffer.concat([file.subarray(0, start), many]))
  })
}

/** An MP4 with 100,000 boxes, each in the one before. */
export function nestedFixture(type: string): Promise<string> {
  return fixtures.once(`nested-${type}.mp4`, async (path) => {
    const depth = 100_000
    const bytes = Buffer.alloc(depth * 8)
    for (let i = 0; i < depth; i++) {
      bytes.writeUInt32BE((depth - i) * 8, i * 8)
      bytes.write(i === 0 ? 'moov' : type, i * 8 + 4, 'latin1')
    }
    await writeFile(path, Buffer.concat([box('ftyp', Buffer.from('isom\0\0\0\0isom', 'latin1')), bytes]))
  })
}

/** A few kilobytes that become pictures of `side` by `side`; `claims` is what the container says the size is. */
export function bombFixture(side: number, claims?: number): Promise<string> {
  return fixtures.once(`bomb-${String(side)}-${String(claims)}.mov`, async (path) => {
    const source = `color=black:size=${String(side)}x${String(side)}:rate=1:duration=2`
    await fixtures.ffmpeg('-f', 'lavfi', '-i', source, '-pix_fmt', 'monob', '-c:v', 'png', path)
    if (claims === undefined) return
    const file = await readFile(path)
    // ISO/IEC 14496-12 §12.1.3: width and height 24 bytes into a visual sample entry.
    const entry = file.indexOf('png ', file.indexOf('stsd', 0, 'latin1'), 'latin1') + 4
    file.writeUInt16BE(claims, entry + 24)
    file.writeUInt16BE(claims, entry + 26)
    await writeFile(path, file)
  })
}
