import { describe, expect, test } from 'vitest'
import type { Link } from '../../../src/domain/link.ts'
import type { PlaybackIndex } from '../../../src/domain/recording.ts'
import { masterPlaylistOf, recordingView, renditionFile } from '../../../src/http/viewer/recording-view.ts'
import { MemoryVault, type AssetSource } from '../../integration/viewer/memory-vault.ts'

const index = (height: number): PlaybackIndex => ({
  ...{ codecs: height === 0 ? 'mp4a.40.2' : 'avc1.64001f,mp4a.40.2', width: height * 2, height, initBytes: 10 },
  ...{ bandwidthBitsPerSecond: 1000 + height, durationMs: 4000, segments: [[10, 20, 4_000_000]] },
})
const rendition = (name: string, height = 0): AssetSource => ({
  ...{ kind: 'rendition', name, mediaType: height === 0 ? 'audio/mp4' : 'video/mp4' },
  ...{ content: new Uint8Array(30), playback: index(height) },
})
const captions = (name: string): AssetSource => ({
  ...{ kind: 'captions', name, mediaType: 'text/vtt', content: new Uint8Array(1) },
})
const manifestOf = (...sources: AssetSource[]) => new MemoryVault().add('0'.repeat(32), 'Tagung', sources)
const lines = (...sources: AssetSource[]): string[] => masterPlaylistOf(manifestOf(...sources)).split('\n')
const names = (text: readonly string[]): (string | undefined)[] =>
  text.filter((line) => line.startsWith('#EXT-X-MEDIA')).map((line) => /NAME="([^"]*)"/.exec(line)?.[1])

describe('sounds in the master playlist', () => {
  test('one that goes with the picture is no group; alone it is a variant', () => {
    const text = lines(rendition('360p', 360), rendition('audio'))
    expect(names(text)).toEqual([])
    expect(text.filter((line) => line.startsWith('#EXT-X-STREAM-INF'))).toHaveLength(2)
  })

  test('several are a group in order of their numbers, and no variants', () => {
    const text = lines(rendition('360p', 360), rendition('audio 2 en Interpreter'), rendition('audio 1 de'))
    expect(names(text)).toEqual(['Deutsch', 'English – Interpreter'])
    expect(text.filter((line) => line.startsWith('#EXT-X-STREAM-INF'))).toHaveLength(1)
  })

  test('without a picture one of them is the variant', () => {
    const text = lines(rendition('audio 1 de'), rendition('audio 2 en'))
    expect(names(text)).toEqual(['Deutsch', 'English'])
    expect(text.filter((line) => line.startsWith('#EXT-X-STREAM-INF'))).toHaveLength(1)
  })

  test('when the first could not be made, there is nothing to choose: the pictures have it', () => {
    expect(names(lines(rendition('360p', 360), rendition('audio 2 en')))).toEqual([])
  })

  test('no two have one name, whatever the recording calls them', () => {
    const text = lines(
      ...[rendition('360p', 360), rendition('audio 1 und'), rendition('audio 2 de'), rendition('audio 3 de')],
      ...[
        rendition('audio 4 xx-nonsense-tag-that-is-far-too-long'),
        captions('de'),
        captions('de SDH'),
        captions('de'),
      ],
    )
    expect(names(text).slice(0, 3)).toEqual(['1', 'Deutsch', 'Deutsch 2'])
    expect(names(text).slice(4)).toEqual(['Deutsch', 'Deutsch – SDH', 'Deutsch 2'])
  })
})

test('the page learns which is which, and a file taken away is called by it', () => {
  const manifest = manifestOf(
    ...[rendition('360p', 360), rendition('audio 1 de'), rendition('audio 2 en a/b'), captions('en Interpreter')],
  )
  const link = { expiresAtMs: 0, allowDownload: true } as Link
  const view = recordingView(manifest, link, false)
  expect(view.renditions.map(({ track }) => track)).toEqual([
    null,
    { number: 1, language: 'de', title: '' },
    { number: 2, language: 'en', title: 'a/b' },
  ])
  expect(view.captions[0]).toMatchObject({ language: 'en', title: 'Interpreter' })
  const ids = manifest.assets.map(({ id }) => id)
  expect(ids.slice(0, 3).map((id) => renditionFile(manifest, id).name)).toEqual([
    'Tagung (360p).mp4',
    'Tagung (de).m4a',
    'Tagung (en a_b).m4a',
  ])
})
