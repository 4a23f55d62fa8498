import { MosaikError } from './errors.ts'
import { languageTag } from './track.ts'

/** Captions of a whole day of talking are smaller. */
export const captionsMaxBytes = 8 * 1024 * 1024

/** Captions of one kind that a recording has at most, beside it or inside: the manifest has to stay small. */
export const CAPTIONS_MAX = 32

/** One caption: when, what, and where on the picture. */
export interface Cue {
  readonly startMs: number
  readonly endMs: number
  /** WebVTT cue settings, only those known, for example "line:90% align:start". */
  readonly settings: string
  /** WebVTT cue text: escaped, with none but WebVTT's own tags. */
  readonly text: string
}

const HOUR_MS = 3_600_000
const LONGEST_MS = 1000 * HOUR_MS
const CUE_MAX_CHARACTERS = 10_000

const timePattern = /^(?:(\d{1,4}):)?(\d{1,2}):(\d{2})[.,](\d{3})$/
const arrowPattern = /^\s*(\S+)\s+-->\s+(\S+)(?:\s+(.*))?$/
const settingPatterns = [
  /^vertical:(rl|lr)$/,
  /^line:-?\d+(\.\d+)?%?(,(start|center|end))?$/,
  /^position:\d+(\.\d+)?%(,(line-left|center|line-right))?$/,
  /^size:\d+(\.\d+)?%$/,
  /^align:(start|center|end|left|right)$/,
]
/** Tags a caption may have: bold, italic, underline, classes, speakers, languages, ruby, and times. */
const tagPattern =
  /^<(?:\/?(?:b|i|u|c|ruby|rt)(?:\.[\w-]+)*|\/?(?:v|lang)(?:\.[\w-]+)*(?:[ \t](?:[^<>&]|&\w+;)*)?|(?:\d{2,4}:)?\d{2}:\d{2}\.\d{3})>/

/**
 * Reads WebVTT or SubRip (told apart by the first line) and writes clean WebVTT: UTF-8, no byte order mark, line feeds,
 * cues in order of time; no style sheets, regions or comments, no tags but WebVTT's own.
 *
 * @param options.skipBadCues leave out what cannot be read, for text that a machine took out of a recording.
 * @throws E_INPUT with the line of the first fault: not UTF-8, too large, no captions at all, a bad time.
 */
export function normaliseCaptions(bytes: Uint8Array, options: { skipBadCues?: boolean } = {}): Uint8Array<ArrayBuffer> {
  return formatCaptions(parseCaptions(bytes, options))
}

/** The cues of WebVTT or SubRip; as `normaliseCaptions`. */
export function parseCaptions(bytes: Uint8Array, options: { skipBadCues?: boolean } = {}): Cue[] {
  const lines = readLines(bytes)
  const isVtt = /^WEBVTT(?:[ \t]|$)/.test(lines[0] ?? '')
  const cues: Cue[] = []
  for (const block of blocksOf(lines, isVtt)) {
    try {
      const cue = parseBlock(block, isVtt)
      if (cue !== undefined && cue.text !== '') cues.push(cue)
    } catch (error) {
      if (options.skipBadCues !== true) throw error
    }
  }
  if (cues.length === 0 && options.skipBadCues !== true) throw fault(1, 'there is not a single caption')
  return cues.sort((a, b) => a.startMs - b.startMs || a.endMs - b.endMs)
}

/**
 * Language of captions that lie beside a recording: what a WebVTT header says ("Language: de"), else what the file's name does
 * ("meeting.de.vtt"); "und" when neither names one that is known.
 */
export function captionsLanguage(bytes: Uint8Array, fileName: string): string {
  const head = new TextDecoder().decode(bytes.subarray(0, 1024)).split(/\r?\n\r?\n/, 1)[0] ?? ''
  const said = head.startsWith('WEBVTT') ? /^Language:[ \t]*(\S+)[ \t]*\r?$/im.exec(head)?.[1] : undefined
  const named = /\.([a-z]{2,3}(?:[-_][a-z0-9]{2,8})*)\.[a-z0-9]+$/i.exec(fileName)?.[1]
  return [said, named].map(languageTag).find(isKnownLanguage) ?? 'und'
}

/** "rec" has the form of a language and is none. */
function isKnownLanguage(tag: string): boolean {
  const [language = 'und'] = tag.split('-')
  return language !== 'und' && new Intl.DisplayNames(['en'], { type: 'language' }).of(language) !== language
}

/** WebVTT of these cues. */
export function formatCaptions(cues: readonly Cue[]): Uint8Array<ArrayBuffer> {
  const blocks = cues.map(({ startMs, endMs, settings, text }) => {
    const timing = `${formatTime(startMs)} --> ${formatTime(endMs)}`
    return `${settings === '' ? timing : `${timing} ${settings}`}\n${text}\n`
  })
  return new TextEncoder().encode(['WEBVTT\n', ...blocks].join('\n'))
}

function fault(line: number, what: string): MosaikError {
  return new MosaikError('E_INPUT', `captions, line ${String(line)}: ${what}`, { line })
}

function readLines(bytes: Uint8Array): string[] {
  if (bytes.byteLength > captionsMaxBytes) throw fault(1, 'the file is larger than 8 MiB')
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw fault(firstBadLine(bytes), 'this is not UTF-8; save the captions as UTF-8')
  }
  // TextDecoder has taken the byte order mark off.
  return text.replaceAll('\0', '\uFFFD').split(/\r\n|\n|\r/)
}

/** The first line whose bytes are not UTF-8. A line feed is never part of a longer character. */
function firstBadLine(bytes: Uint8Array): number {
  let line = 1
  let start = 0
  const decoder = new TextDecoder('utf-8', { fatal: true })
  for (let end = 0; end <= bytes.length; end++) {
    if (end < bytes.length && bytes[end] !== 0x0a) continue
    try {
      decoder.decode(bytes.subarray(start, end))
    } catch {
      return line
    }
    line++
    start = end + 1
  }
  return 1
}

interface Block {
  /** Of its first line, counted from 1. */
  readonly line: number
  readonly lines: readonly string[]
}

/** Runs of lines between empty ones. The header of WebVTT, with all that belongs to it, is none. */
function blocksOf(lines: readonly string[], isVtt: boolean): Block[] {
  const blocks: { line: number; lines: string[] }[] = []
  let open: { line: number; lines: string[] } | undefined
  lines.forEach((text, i) => {
    if (text.trim() === '') {
      open = undefined
      return
    }
    if (open === undefined) {
      open = { line: i + 1, lines: [] }
      blocks.push(open)
    }
    open.lines.push(text)
  })
  return isVtt ? blocks.slice(1) : blocks
}

function parseBlock({ line, lines }: Block, isVtt: boolean): Cue | undefined {
  if (isVtt && /^(NOTE|STYLE|REGION)(?:[ \t]|$)/.test(lines[0] ?? '')) return undefined
  // An identifier, or the number of SubRip, may stand before the times.
  const at = lines[0]?.includes('-->') === true ? 0 : 1
  const timing = lines[at]
  if (timing === undefined) throw fault(line, 'a time like "00:00:01.000 --> 00:00:04.000" is missing')
  const match = arrowPattern.exec(timing)
  const [, start = '', end = '', settings = ''] = match ?? []
  const startMs = parseTime(start)
  const endMs = parseTime(end)
  if (startMs === undefined || endMs === undefined) {
    throw fault(line + at, 'a time like "00:00:01.000 --> 00:00:04.000" is missing')
  }
  if (endMs <= startMs) throw fault(line + at, 'a caption ends before it begins')
  const raw = lines.slice(at + 1).join('\n')
  if (raw.length > CUE_MAX_CHARACTERS) throw fault(line + at, 'a caption is longer than 10,000 characters')
  return { startMs, endMs, settings: isVtt ? cleanSettings(settings) : '', text: cleanText(raw) }
}

function parseTime(text: string): number | undefined {
  const match = timePattern.exec(text)
  if (match === null) return undefined
  const [hours, minutes, seconds, ms] = [match[1] ?? '0', match[2], match[3], match[4]].map(Number) as [
    number,
    number,
    number,
    number,
  ]
  if (minutes > 59 || seconds > 59) return undefined
  const total = hours * HOUR_MS + minutes * 60_000 + seconds * 1000 + ms
  return total > LONGEST_MS ? undefined : total
}

function formatTime(ms: number): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const seconds = Math.floor(ms / 1000)
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${String(ms % 1000).padStart(3, '0')}`
}

function cleanSettings(settings: string): string {
  return settings
    .split(/\s+/)
    .filter((setting) => settingPatterns.some((pattern) => pattern.test(setting)))
    .join(' ')
}

/**
 * Keeps WebVTT's tags, escapes every other "<", and leaves existing escapes as they are. What comes out holds no
 * markup but those tags, wherever it is put.
 */
function cleanText(text: string): string {
  let clean = ''
  for (let at = 0; at < text.length;) {
    const rest = text.slice(at, at + 512)
    const tag = tagPattern.exec(rest)?.[0]
    const escape = /^&(?:amp|lt|gt|lrm|rlm|nbsp|#\d{1,7}|#x[0-9a-fA-F]{1,6});/.exec(rest)?.[0]
    const kept = tag ?? escape
    if (kept !== undefined) {
      clean += kept
      at += kept.length
      continue
    }
    const html =
      /^<\/?(?:font|span|p|div|br|a|b|i|u|script|style|img|iframe|svg|object|embed|s|em|strong)\b[^<>]*>/i.exec(
        rest,
      )?.[0]
    if (html !== undefined) {
      at += html.length
      continue
    }
    const character = text[at] ?? ''
    // "-->" ends a cue's text wherever it stands.
    clean += character === '<' ? '&lt;' : character === '>' ? '&gt;' : character === '&' ? '&amp;' : character
    at++
  }
  return clean.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '').trim()
}
