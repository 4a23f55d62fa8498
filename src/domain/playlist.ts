import type { PlaybackIndex } from './recording.ts'

/** One variant of a master playlist. */
export interface PlaylistVariant {
  /** Where its media playlist lies, relative to the master playlist. */
  readonly uri: string
  readonly playback: PlaybackIndex
}

/** A sound or captions track of a master playlist. */
export interface PlaylistTrack {
  /** Where its media playlist lies, relative to the master playlist. */
  readonly uri: string
  /** BCP 47. */
  readonly language: string
  /** For people; no two tracks of a kind have the same. */
  readonly label: string
}

/** HLS version that fragmented MP4 with byte ranges needs (RFC 8216 §7; EXT-X-MAP outside of I-frame playlists: 6 and up). */
const VERSION = 7
const SUBTITLES_GROUP = 'captions'
const SOUNDS_GROUP = 'sound'

/**
 * The master playlist (RFC 8216 §4.3.4), lowest bandwidth first: a player without an estimate begins with the first. Sound alone
 * comes behind those with a picture: it is for when nothing else gets through, not to begin with.
 * Captions are a subtitles group; players that show them by other means ignore it. So are sounds, the first of which is the default one;
 * a player takes it from its own playlist, not from the variants that hold it too.
 */
export function masterPlaylist(
  variants: readonly PlaylistVariant[],
  captions: readonly PlaylistTrack[] = [],
  sounds: readonly PlaylistTrack[] = [],
): string {
  const lines = ['#EXTM3U', `#EXT-X-VERSION:${VERSION}`, '#EXT-X-INDEPENDENT-SEGMENTS']
  sounds.forEach((track, i) => lines.push(mediaTag('AUDIO', SOUNDS_GROUP, track, i === 0, [])))
  for (const track of captions) lines.push(mediaTag('SUBTITLES', SUBTITLES_GROUP, track, false, ['FORCED=NO']))
  const byBandwidth = [...variants].sort(
    (a, b) =>
      Number(a.playback.height === 0) - Number(b.playback.height === 0) ||
      a.playback.bandwidthBitsPerSecond - b.playback.bandwidthBitsPerSecond,
  )
  for (const { uri, playback } of byBandwidth) {
    const attributes = [
      `BANDWIDTH=${Math.max(1, Math.ceil(playback.bandwidthBitsPerSecond))}`,
      `AVERAGE-BANDWIDTH=${averageBandwidth(playback)}`,
      `CODECS="${quotable(playback.codecs)}"`,
    ]
    if (playback.width > 0 && playback.height > 0) attributes.push(`RESOLUTION=${playback.width}x${playback.height}`)
    if (sounds.length > 0) attributes.push(`AUDIO="${SOUNDS_GROUP}"`)
    if (captions.length > 0) attributes.push(`SUBTITLES="${SUBTITLES_GROUP}"`)
    lines.push(`#EXT-X-STREAM-INF:${attributes.join(',')}`, uri)
  }
  return `${lines.join('\n')}\n`
}

function mediaTag(
  type: 'AUDIO' | 'SUBTITLES',
  group: string,
  track: PlaylistTrack,
  isDefault: boolean,
  more: readonly string[],
): string {
  const attributes = [
    `TYPE=${type}`,
    `GROUP-ID="${group}"`,
    `NAME="${quotable(track.label)}"`,
    `LANGUAGE="${quotable(track.language)}"`,
    `DEFAULT=${isDefault ? 'YES' : 'NO'}`,
    'AUTOSELECT=YES',
    ...more,
    `URI="${quotable(track.uri)}"`,
  ]
  return `#EXT-X-MEDIA:${attributes.join(',')}`
}

/** The media playlist of one rendition: a single fragmented MP4 at `uri`, every segment a byte range of it. */
export function mediaPlaylist(uri: string, playback: PlaybackIndex): string {
  const longestUs = playback.segments.reduce((longest, [, , durationUs]) => Math.max(longest, durationUs), 0)
  const lines = [
    '#EXTM3U',
    `#EXT-X-VERSION:${VERSION}`,
    `#EXT-X-TARGETDURATION:${targetDuration(longestUs / 1e6)}`,
    '#EXT-X-MEDIA-SEQUENCE:0',
    '#EXT-X-PLAYLIST-TYPE:VOD',
    '#EXT-X-INDEPENDENT-SEGMENTS',
    `#EXT-X-MAP:URI="${quotable(uri)}",BYTERANGE="${playback.initBytes}@0"`,
  ]
  for (const [offsetBytes, lengthBytes, durationUs] of playback.segments) {
    lines.push(`#EXTINF:${(durationUs / 1e6).toFixed(6)},`, `#EXT-X-BYTERANGE:${lengthBytes}@${offsetBytes}`, uri)
  }
  lines.push('#EXT-X-ENDLIST')
  return `${lines.join('\n')}\n`
}

/** The media playlist of a captions file: the whole WebVTT at `uri` as one segment. */
export function captionsPlaylist(uri: string, durationMs: number): string {
  const seconds = Math.max(durationMs / 1000, 0.001)
  return `${[
    '#EXTM3U',
    `#EXT-X-VERSION:${VERSION}`,
    `#EXT-X-TARGETDURATION:${targetDuration(seconds)}`,
    '#EXT-X-MEDIA-SEQUENCE:0',
    '#EXT-X-PLAYLIST-TYPE:VOD',
    `#EXTINF:${seconds.toFixed(3)},`,
    uri,
    '#EXT-X-ENDLIST',
  ].join('\n')}\n`
}

/** No rounded EXTINF may exceed the target duration (RFC 8216 §4.3.3.1). */
function targetDuration(seconds: number): number {
  return Math.max(1, Math.round(seconds))
}

function averageBandwidth(playback: PlaybackIndex): number {
  const bytes = playback.segments.reduce((sum, [, lengthBytes]) => sum + lengthBytes, 0)
  const us = playback.segments.reduce((sum, [, , durationUs]) => sum + durationUs, 0)
  if (us === 0) return Math.max(1, Math.ceil(playback.bandwidthBitsPerSecond))
  return Math.max(1, Math.ceil((bytes * 8 * 1e6) / us))
}

/** A quoted-string holds no line feed, carriage return or double quote (RFC 8216 §4.2), and there is no escape. */
function quotable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f]+/g, ' ').replaceAll('"', "'")
}
