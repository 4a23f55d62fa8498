import { describe, expect, it } from 'vitest'
import { captionsPlaylist, masterPlaylist, mediaPlaylist } from '../../../src/domain/playlist.ts'
import type { PlaybackIndex } from '../../../src/domain/recording.ts'

const playback: PlaybackIndex = {
  codecs: 'avc1.64001f,mp4a.40.2',
  width: 1280,
  height: 720,
  bandwidthBitsPerSecond: 1_500_000,
  durationMs: 5_500,
  initBytes: 1_200,
  segments: [
    [1_200, 250_000, 2_000_000],
    [251_200, 250_000, 2_000_000],
    [501_200, 187_500, 1_500_000],
  ],
}

describe('playlists', () => {
  it('begins with a picture where there is one, however little sound alone needs', () => {
    const sound = { ...playback, codecs: 'mp4a.40.2', width: 0, height: 0, bandwidthBitsPerSecond: 90_000 }
    const uris = (variants: Parameters<typeof masterPlaylist>[0]): string[] =>
      masterPlaylist(variants)
        .split('\n')
        .filter((line) => line.endsWith('.m3u8'))
    const video = { uri: 'video.m3u8', playback }
    expect(uris([{ uri: 'sound.m3u8', playback: sound }, video])).toEqual(['video.m3u8', 'sound.m3u8'])
    expect(uris([{ uri: 'sound.m3u8', playback: sound }])).toEqual(['sound.m3u8'])
  })

  it('writes a media playlist of byte ranges', () => {
    expect(mediaPlaylist('a.mp4', playback).split('\n')).toEqual([
      '#EXTM3U',
      '#EXT-X-VERSION:7',
      '#EXT-X-TARGETDURATION:2',
      '#EXT-X-MEDIA-SEQUENCE:0',
      '#EXT-X-PLAYLIST-TYPE:VOD',
      '#EXT-X-INDEPENDENT-SEGMENTS',
      '#EXT-X-MAP:URI="a.mp4",BYTERANGE="1200@0"',
      '#EXTINF:2.000000,',
      '#EXT-X-BYTERANGE:250000@1200',
      'a.mp4',
      '#EXTINF:2.000000,',
      '#EXT-X-BYTERANGE:250000@251200',
      'a.mp4',
      '#EXTINF:1.500000,',
      '#EXT-X-BYTERANGE:187500@501200',
      'a.mp4',
      '#EXT-X-ENDLIST',
      '',
    ])
  })

  it('writes a master playlist, lowest bandwidth first', () => {
    const small = { ...playback, width: 640, height: 360, bandwidthBitsPerSecond: 400_000.2 }
    const variants = [
      { uri: 'big.m3u8', playback },
      { uri: 'small.m3u8', playback: small },
    ]
    expect(masterPlaylist(variants).split('\n')).toEqual([
      '#EXTM3U',
      '#EXT-X-VERSION:7',
      '#EXT-X-INDEPENDENT-SEGMENTS',
      '#EXT-X-STREAM-INF:BANDWIDTH=400001,AVERAGE-BANDWIDTH=1000000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=640x360',
      'small.m3u8',
      '#EXT-X-STREAM-INF:BANDWIDTH=1500000,AVERAGE-BANDWIDTH=1000000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720',
      'big.m3u8',
      '',
    ])
  })

  it('names no resolution for sound alone', () => {
    const sound = { ...playback, width: 0, height: 0, codecs: 'mp4a.40.2' }
    expect(masterPlaylist([{ uri: 'a.m3u8', playback: sound }])).not.toContain('RESOLUTION')
  })

  it('joins captions as a group, and lets no label break out of its quotes', () => {
    const text = masterPlaylist([{ uri: 'a.m3u8', playback }], [{ uri: 'c.m3u8', language: 'de', label: 'D"\n#EXT' }])
    expect(text).toContain(
      '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="captions",NAME="D\' #EXT",LANGUAGE="de",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="c.m3u8"\n',
    )
    expect(text).toContain(',SUBTITLES="captions"\n')
  })

  it('offers sounds as a group, the first one by default, each with a playlist of its own', () => {
    const sounds = [
      { uri: 's1.m3u8', language: 'de', label: 'Deutsch' },
      { uri: 's2.m3u8', language: 'en', label: 'English – Interpreter' },
    ]
    expect(
      masterPlaylist([{ uri: 'a.m3u8', playback }], [], sounds)
        .split('\n')
        .slice(3, -2),
    ).toEqual([
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="Deutsch",LANGUAGE="de",DEFAULT=YES,AUTOSELECT=YES,URI="s1.m3u8"',
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="sound",NAME="English – Interpreter",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,URI="s2.m3u8"',
      expect.stringMatching(/^#EXT-X-STREAM-INF:.*,AUDIO="sound"$/),
    ])
  })

  it('writes captions as one segment', () => {
    expect(captionsPlaylist('c.vtt', 61_499)).toContain('#EXT-X-TARGETDURATION:61\n')
    expect(captionsPlaylist('c.vtt', 61_499)).toContain('#EXTINF:61.499,\nc.vtt\n#EXT-X-ENDLIST\n')
  })
})
