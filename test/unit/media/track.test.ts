import { describe, expect, test } from 'vitest'
import { captionsLanguage } from '../../../src/domain/captions.ts'
import {
  captionsTrackName,
  languageTag,
  parseCaptionsTrackName,
  parseSoundTrackName,
  soundTrackName,
  trackTitle,
} from '../../../src/domain/track.ts'

describe('languages', () => {
  test.each([
    ['ger', 'de'],
    ['deu', 'de'],
    ['DE', 'de'],
    ['pt_BR', 'pt-BR'],
    ['zh-hant', 'zh-Hant'],
    ['gsw', 'gsw'],
    ['und', 'und'],
    ['', 'und'],
    [undefined, 'und'],
    ['x', 'und'],
    ['de"\n#EXT', 'und'],
    ['a'.repeat(5000), 'und'],
  ])('%s is %s', (said, tag) => {
    expect(languageTag(said)).toBe(tag)
  })
})

describe('names of tracks (FORMAT §7)', () => {
  test.each([
    ['audio 1 de', { number: 1, language: 'de', title: '' }],
    ['audio 12 zh-Hant 同時通訳 2', { number: 12, language: 'zh-Hant', title: '同時通訳 2' }],
  ])('%s', (name, track) => {
    expect(parseSoundTrackName(name)).toEqual(track)
    expect(soundTrackName(track)).toBe(name)
  })

  test.each(['audio', 'audio 2', 'audio 0 de', 'audio 01 de', 'audio x de', '720p', 'audio 1 de ', 'Audio 1 de'])(
    '"%s" is no sound of several',
    (name) => {
      expect(parseSoundTrackName(name)).toBeUndefined()
    },
  )

  test('captions: language, or language and title; what else a writer may have put there is a title', () => {
    for (const track of [
      { language: 'de', title: '' },
      { language: 'en', title: 'for the hard of hearing' },
    ]) {
      expect(parseCaptionsTrackName(captionsTrackName(track))).toEqual(track)
    }
    expect(parseCaptionsTrackName('Gebärden: ja')).toEqual({ language: 'und', title: 'Gebärden: ja' })
  })

  test('a title is one clean line', () => {
    expect(trackTitle(' a\u0000\n\tb\u202Ec\u200F ')).toBe('a b c')
    expect([...trackTitle('🎤'.repeat(200))]).toHaveLength(80)
    expect(trackTitle(null)).toBe('')
    expect(
      parseSoundTrackName(soundTrackName({ number: 2, language: 'und', title: trackTitle('x\r\ny') }))?.title,
    ).toBe('x y')
  })
})

describe('language of captions beside a recording', () => {
  const vtt = (header: string): Uint8Array => new TextEncoder().encode(`${header}\n\n00:01.000 --> 00:02.000\nx\n`)
  test.each([
    ['WEBVTT\nKind: captions\nLanguage: de-CH', 'a.vtt', 'de-CH'],
    ['WEBVTT', 'meeting.de.vtt', 'de'],
    ['WEBVTT', 'meeting.pt_BR.srt', 'pt-BR'],
    ['WEBVTT\nLanguage: en', 'meeting.de.vtt', 'en'],
    ['WEBVTT\nLanguage: nonsense', 'meeting.de.vtt', 'de'],
    ['WEBVTT', 'zoom.rec.vtt', 'und'],
    ['WEBVTT', 'meeting.vtt', 'und'],
    ['1', 'Language: de', 'und'],
    // what follows the header is text of the meeting
    ['WEBVTT\n\nLanguage: de', 'a.vtt', 'und'],
  ])('%j, %s: %s', (header, name, language) => {
    expect(captionsLanguage(vtt(header), name)).toBe(language)
  })
})
