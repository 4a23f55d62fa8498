import { readFile, writeFile } from 'node:fs/promises'
import { ffmpeg, once } from './media-fixtures.ts'

/** Of most of these files. */
const ODD_SECONDS = 2

const lavfi = (source: string): string[] => ['-f', 'lavfi', '-i', source]
const picture = (size = '160x90', rate = 10, seconds = ODD_SECONDS): string[] =>
  lavfi(`testsrc2=size=${size}:rate=${String(rate)}:duration=${String(seconds)}`)
const tone = (hertz = 440, seconds = ODD_SECONDS): string[] =>
  lavfi(`sine=frequency=${String(hertz)}:sample_rate=48000:duration=${String(seconds)}`)
const av = [...picture(), ...tone()]
const h264 = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-g', '10']
const aac = ['-c:a', 'aac', '-b:a', '48k']
const film = [...av, ...h264, ...aac]
const vp9 = ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '200k']

/**
 * Files as programs in the wild make them: names, and what ffmpeg makes them with. Those that meeting systems make are in media-fixtures.ts.
 */
const recipes = {
  'one-frame-a-second.mp4': [...picture('160x90', 1, 5), ...tone(440, 5), ...h264, ...aac],
  'slides.mp4': [...picture('160x90', 1 / 30, 300), ...tone(440, 300), ...h264, ...aac],
  // Ten minutes with a slide every hundred seconds.
  'rare-slides.webm': [...picture('160x90', 1 / 100, 600), ...tone(440, 600), ...vp9, '-c:a', 'libopus'],
  'rare-slides-to-encode.mp4': [...picture('160x90', 1 / 100, 600), ...tone(440, 600), '-c:v', 'mpeg4', ...aac],
  'two-lines.mp4': [...picture('64x2'), ...tone(), ...h264, ...aac],
  'two-lines.mkv': [...picture('64x2'), ...tone(), '-c:v', 'ffv1', ...aac],
  'two-columns.mp4': [...picture('2x64'), ...tone(), '-c:v', 'mpeg4', ...aac],
  'two-columns-of-wide-pixels.mkv': [...picture('2x64'), ...tone(), '-vf', 'setsar=32', '-c:v', 'ffv1', ...aac],
  'portrait.mp4': [...picture('90x160'), ...tone(), ...h264, ...aac],
  'anamorphic.ts': [...picture('180x144', 25), ...tone(), '-vf', 'setsar=64/45', '-c:v', 'mpeg2video', '-c:a', 'mp2'],
  'interlaced.ts': [
    ...[...picture('180x144', 25), ...tone(), '-vf', 'interlace', '-flags', '+ilme+ildct', '-c:v', 'mpeg2video'],
    ...['-b:v', '500k', '-c:a', 'ac3'],
  ],
  'four-four-four.mkv': [...av, '-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv444p', ...aac],
  'hevc-ten-bit.mkv': [
    ...[...av, '-c:v', 'libx265', '-preset', 'ultrafast', '-x265-params', 'log-level=0', '-pix_fmt', 'yuv420p10le'],
    ...aac,
  ],
  'av1.mp4': [...av, '-c:v', 'libaom-av1', '-cpu-used', '8', '-usage', 'realtime', '-b:v', '200k', ...aac],
  'alpha.webm': [
    ...av,
    '-vf',
    'format=yuva420p',
    ...vp9,
    '-pix_fmt',
    'yuva420p',
    '-auto-alt-ref',
    '0',
    '-c:a',
    'libopus',
  ],
  'alpha.mov': [...av, '-vf', 'format=argb', '-c:v', 'qtrle', '-c:a', 'pcm_s16le'],
  'png.mov': [...av, '-c:v', 'png', '-pix_fmt', 'rgba', ...aac],
  'prores.mov': [...av, '-c:v', 'prores_ks', '-c:a', 'pcm_s24le'],
  'mjpeg.avi': [...av, '-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p', '-c:a', 'pcm_s16le'],
  'theora.ogg': [...av, '-c:v', 'libtheora', '-c:a', 'libvorbis'],
  'phone.3gp': [...lavfi(`testsrc2=size=176x144:rate=10:duration=2`), ...tone(), '-c:v', 'h263', ...aac, '-f', '3gp'],
  'program-stream.mpg': [...picture('180x144', 25), ...tone(), '-c:v', 'mpeg2video', '-c:a', 'mp2'],
  'stream.ts': film,
  'index-at-end.mov': film,
  'no-sound.mp4': [...picture(), ...h264],
  'five-one-aac.mp4': [...picture(), ...tone(), '-af', 'aformat=channel_layouts=5.1', ...h264, ...aac],
  'telephone.wav': [...tone(), '-ar', '8000', '-ac', '1', '-c:a', 'pcm_mulaw'],
  'telephone.mp4': [...picture(), ...tone(), ...h264, '-ar', '8000', '-ac', '1', ...aac],
  'sound.ogg': [...tone(), '-c:a', 'libvorbis'],
  'sound.flac': [...tone(), '-c:a', 'flac'],
  'sound.aac': [...tone(), ...aac, '-f', 'adts'],
  'alac.m4a': [...tone(), '-c:a', 'alac'],
  'late-picture.mkv': [...tone(), '-itsoffset', '1', ...picture('160x90', 10, 1), ...h264, ...aac],
  'negative-times.mkv': [...film, '-avoid_negative_ts', 'disabled', '-output_ts_offset', '-0.5'],
  'begins-late.mkv': [...film, '-output_ts_offset', '3600'],
  'edit-list.mp4': [...film, '-bf', '2', '-avoid_negative_ts', 'disabled', '-output_ts_offset', '-0.3'],
  'clock-wraps.ts': [...film, '-output_ts_offset', '95442.7'],
  'half-a-minute-later.ts': [...film, '-output_ts_offset', '34'],
  'begins-late.ts': [...film, '-output_ts_offset', '50000'],
  'one-frame.mp4': [...picture('160x90', 10, 0.1), ...h264],
  'still-and-sound.mp4': [...picture('160x90', 1, 1), ...tone(440, 4), ...h264, ...aac],
  'cover.mp3': [
    ...[...tone(), ...lavfi('testsrc2=size=160x160:rate=1:duration=1'), '-map', '0', '-map', '1', '-c:a', 'libmp3lame'],
    ...['-c:v', 'mjpeg', '-pix_fmt', 'yuvj420p', '-disposition:v', 'attached_pic', '-id3v2_version', '3'],
  ],
  'four-k.mp4': [...picture('3840x2160', 5, 1), '-c:v', 'mpeg4', '-b:v', '5M'],
  'time-code.mov': [...film, '-timecode', '10:00:00:00'],
} as const satisfies Record<string, readonly string[]>

/** The name of a file that ffmpeg makes in one go. */
export type OddName = keyof typeof recipes

export function oddMedia(name: OddName): Promise<string> {
  return once(`odd-${name}`, (path) => ffmpeg(...recipes[name], path))
}

/** Bytes of an odd file. */
async function bytesOf(name: OddName): Promise<Buffer> {
  return readFile(await oddMedia(name))
}

/** The first tenths of a file. */
export function cutOff(name: OddName, tenths: number): Promise<string> {
  return once(`cut-${String(tenths)}-${name}`, async (path) => {
    const whole = await bytesOf(name)
    await writeFile(path, whole.subarray(0, Math.floor((whole.length * tenths) / 10)))
  })
}

/** A file and another one behind it, as recorders leave them that were restarted. */
export function behindEachOther(name: OddName, next: OddName): Promise<string> {
  return once(`${next}-behind-${name}`, async (path) =>
    writeFile(path, Buffer.concat([await bytesOf(name), await bytesOf(next)])),
  )
}

/** A telephone's film held on its side: the matrix in `tkhd` is that of a quarter turn. */
export function turned(): Promise<string> {
  return once('turned.mp4', async (path) => {
    const bytes = await bytesOf('no-sound.mp4')
    const tkhd = bytes.indexOf('tkhd')
    const quarterTurn = [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000]
    quarterTurn.forEach((value, i) => bytes.writeInt32BE(value, tkhd + 4 + 40 + 4 * i))
    await writeFile(path, bytes)
  })
}

/** Trimmed on a phone: begins in the middle of a group of pictures, the first of which an edit list hides. */
export function trimmed(): Promise<string> {
  return once('trimmed.mp4', async (path) =>
    ffmpeg('-ss', '0.5', '-i', await oddMedia('index-at-end.mov'), '-c', 'copy', path),
  )
}

/** Pictures and sound under a key that nobody here has (Common Encryption). */
export function encrypted(): Promise<string> {
  const key = '00112233445566778899aabbccddeeff'
  return once('encrypted.mp4', async (path) =>
    ffmpeg(
      ...['-i', await oddMedia('index-at-end.mov'), '-c', 'copy', '-encryption_scheme', 'cenc-aes-ctr'],
      ...['-encryption_key', key, '-encryption_kid', key, path],
    ),
  )
}

/** QuickTime whose data lies in another file, which it names: the reference is no longer "here". */
export function elsewhere(otherPath: string): Promise<string> {
  return once('elsewhere.mov', async (path) => {
    const bytes = await bytesOf('index-at-end.mov')
    for (
      let at = bytes.indexOf('url \0\0\0\x01', 0, 'latin1');
      at >= 0;
      at = bytes.indexOf('url \0\0\0\x01', at + 1, 'latin1')
    ) {
      bytes[at + 7] = 0
    }
    await writeFile(path, Buffer.concat([bytes, Buffer.from(`url \0\0\0\0file://${otherPath}\0`, 'latin1')]))
  })
}

/** Captions in several codings and languages, one of which is hostile. */
export function captioned(kind: 'mkv' | 'mp4'): Promise<string> {
  return once(`captioned.${kind}`, async (path) => {
    const text = (words: string): Promise<string> =>
      once(`${String(words.length)}.srt`, (at) => writeFile(at, `1\n00:00:00,200 --> 00:00:01,500\n${words}\n`))
    const words = [
      'Grüße <i>aus</i> dem Tresor',
      'Good morning',
      '<script>alert(1)</script><b onclick=x>Salut</b> --> &',
    ]
    const inputs = (await Promise.all(words.map(text))).flatMap((at) => ['-i', at])
    const codings = kind === 'mkv' ? ['subrip', 'ass', 'webvtt'] : ['mov_text', 'mov_text', 'mov_text']
    await ffmpeg(
      ...[
        '-i',
        await oddMedia('index-at-end.mov'),
        ...inputs,
        '-map',
        '0',
        '-map',
        '1',
        '-map',
        '2',
        '-map',
        '3',
        '-c',
        'copy',
      ],
      ...codings.flatMap((coding, i) => [`-c:s:${String(i)}`, coding]),
      ...['ger', 'eng', 'fre'].flatMap((language, i) => [`-metadata:s:s:${String(i)}`, `language=${language}`]),
      path,
    )
  })
}

/** Two sounds, the second one marked as default, and one that ends earlier than the picture. */
export function manySounds(): Promise<string> {
  return once('many-sounds.mkv', (path) =>
    ffmpeg(
      ...[
        ...picture(),
        ...tone(440),
        ...tone(880),
        ...tone(1200, 1),
        ...[0, 1, 2, 3].flatMap((input) => ['-map', String(input)]),
      ],
      ...[...h264, ...aac, '-disposition:a:0', '0', '-disposition:a:1', 'default'],
      ...['ger', 'eng', 'fre'].flatMap((language, i) => [`-metadata:s:a:${String(i)}`, `language=${language}`]),
      ...['-metadata:s:a:2', 'title=Interprète', path],
    ),
  )
}
