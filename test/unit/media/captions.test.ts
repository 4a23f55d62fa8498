import { describe, expect, test } from 'vitest'
import { captionsMaxBytes, normaliseCaptions, parseCaptions } from '../../../src/domain/captions.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const clean = (text: string): string => new TextDecoder().decode(normaliseCaptions(bytes(text)))

describe('WebVTT', () => {
  test('header, comments, styles and regions go; identifiers too; settings that are known stay', () => {
    const text = [
      ...[
        'WEBVTT - title',
        'Kind: captions',
        '',
        'STYLE',
        '::cue { background: url(http://x) }',
        '',
        'NOTE secret',
        '',
      ],
      ...['REGION', 'id:x', '', 'intro', '00:01.000 --> 00:02.500 line:90% align:start onload:x', 'Hello', '', ''],
      ...['01:00:00.000 --> 01:00:01.000', 'two', 'lines', ''],
    ].join('\r\n')
    expect(clean(text)).toBe(
      'WEBVTT\n\n00:00:01.000 --> 00:00:02.500 line:90% align:start\nHello\n\n01:00:00.000 --> 01:00:01.000\ntwo\nlines\n',
    )
  })

  test('what was cleaned stays as it is', () => {
    const once = clean(
      'WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>a &amp; b</v> <c.loud>x</c> 1 < 2 > 0 & <00:01.500>y\n',
    )
    expect(clean(once)).toBe(once)
    expect(once).toContain(
      '<v Ann>a &amp; b</v> <c.loud>x</c> 1 &lt; 2 &gt; 0 &amp; <00:00:01.500>y'.replace('00:00:01', '00:01'),
    )
  })
})

describe('SubRip', () => {
  test('numbers, commas, byte order mark, CRLF', () => {
    const srt =
      '\ufeff1\r\n00:00:01,000 --> 00:00:02,000\r\nGrüße\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\n<i>zwei</i>\r\n'
    expect(clean(srt)).toBe(
      'WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nGrüße\n\n00:00:03.000 --> 00:00:04.000\n<i>zwei</i>\n',
    )
  })
  test('fonts and colours go, their text stays', () => {
    expect(clean('1\n00:00:01,000 --> 00:00:02,000\n<font color="red">rot</font>\n')).toContain('\nrot\n')
  })
  test('cues are put in order', () => {
    const srt = '1\n00:00:05,000 --> 00:00:06,000\nb\n\n2\n00:00:01,000 --> 00:00:02,000\na\n'
    expect(parseCaptions(bytes(srt)).map(({ text }) => text)).toEqual(['a', 'b'])
  })
})

describe('no markup gets through', () => {
  test.each([
    ['<script>alert(1)</script>', 'alert(1)'],
    ['<img src=x onerror=alert(1)>', ''],
    ['<scr<script>ipt>', '&lt;script&gt;'],
    ['<unknown>', '&lt;unknown&gt;'],
    ['a --> b', 'a --&gt; b'],
    ['<', '&lt;'],
    ['&notanentity;', '&amp;notanentity;'],
  ])('%s', (text, expected) => {
    expect(parseCaptions(bytes(`WEBVTT\n\n00:01.000 --> 00:02.000\nx${text}\n`))[0]?.text).toBe(`x${expected}`)
  })
  test('annotations only where WebVTT has them', () => {
    const [cue] = parseCaptions(bytes('WEBVTT\n\n00:01.000 --> 00:02.000\n<b onclick=x>y</b><v Ann>z</v>\n'))
    expect(cue?.text).toBe('y</b><v Ann>z</v>')
  })
})

describe('what is refused, with its line', () => {
  test.each([
    ['nothing', '', 1, /not a single/],
    ['only a header', 'WEBVTT\n', 1, /not a single/],
    ['no time', '1\nhello\n', 2, /missing/],
    ['a bad time', 'WEBVTT\n\n00:01.000 --> 00:02.000\na\n\n00:99.000 --> 01:00.000\nb\n', 6, /missing/],
    ['an end before its beginning', '1\n00:00:02,000 --> 00:00:01,000\na\n', 2, /ends before/],
    ['prose', 'Dear all,\nplease find attached\n', 2, /missing/],
  ])('%s', (_, text, line, says) => {
    let error: unknown
    try {
      parseCaptions(bytes(text))
    } catch (caught) {
      error = caught
    }
    expect(error).toMatchObject({ code: 'E_INPUT', fields: { line } })
    expect((error as Error).message).toMatch(says)
  })
  test('bytes that are not UTF-8', () => {
    const latin = Uint8Array.from([...bytes('1\n00:00:01,000 --> 00:00:02,000\nGr'), 0xfc, 0x0a])
    expect(() => parseCaptions(latin)).toThrow(/line 3: this is not UTF-8/)
  })
  test('more than 8 MiB', () => {
    expect(() => parseCaptions(new Uint8Array(captionsMaxBytes + 1))).toThrow(/larger/)
  })
  test('bad cues are left out when asked to', () => {
    const text = bytes('WEBVTT\n\nbroken\n\n00:01.000 --> 00:02.000\na\n')
    expect(parseCaptions(text, { skipBadCues: true })).toHaveLength(1)
  })
})
