import type { MediaInput } from '../../ports/media.ts'

/** How many bytes of a file's beginning are looked at. */
const LOOK_BYTES = 4096

/** Beginnings of files that people take for recordings, or that others pass off as such. */
const beginnings: readonly (readonly [RegExp, string])[] = [
  [/^\s*#EXTM3U/, 'this is a playlist (HLS), not a recording'],
  [/^\s*(ffconcat\b|file\s+['"/])/, 'this is a list of files (concat), not a recording'],
  [/^\s*v=0\r?\n/, 'this is a description of streams (SDP), not a recording'],
  [/^\s*(<\?xml[^>]*>\s*)?(<!--[^>]*-->\s*)?<MPD\b/, 'this is a playlist (DASH), not a recording'],
  [
    /^\s*(\[playlist\]|(<\?xml[^>]*>\s*)?(<!--[^>]*-->\s*)?<(playlist|asx|smil|wpl)\b)/i,
    'this is a playlist, not a recording',
  ],
  [/^\s*(<\?xml[^>]*>\s*)?(<!--[^>]*-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg\b/i, 'this is a picture, not a recording'],
  [/^\s*(<!doctype html|<html)/i, 'this is a web page, not a recording: was it downloaded without signing in?'],
  [/^\s*(WEBVTT|\d+\r?\n\d\d:\d\d:\d\d)/, 'these are captions, not a recording'],
  [/^\s*[{[]\s*["{[\]}]/, 'this is JSON, not a recording'],
  [/^%PDF-/, 'this is a PDF document, not a recording'],
  [/^PK\x03\x04/, 'this is a ZIP archive, not a recording: unpack it first'],
  [/^(\x1f\x8b|7z\xbc\xaf|Rar!|\xfd7zXZ|BZh)/, 'this is an archive, not a recording: unpack it first'],
  [/^(\x89PNG|\xff\xd8\xff|GIF8|BM|RIFF....WEBP)/s, 'this is a picture, not a recording'],
  [/^(\x7fELF|MZ)/, 'this is a program, not a recording'],
]

/**
 * Says in plain words what a file is that the media tool could not read, going by its first bytes; `undefined` when
 * they may be those of a recording.
 */
export async function lookAtBeginning(input: MediaInput, signal: AbortSignal): Promise<string | undefined> {
  const chunks: Uint8Array[] = []
  for await (const chunk of input.read(0, Math.min(LOOK_BYTES, input.sizeBytes), signal)) chunks.push(chunk)
  return describeBeginning(Buffer.concat(chunks))
}

/** The same, of bytes in hand. */
export function describeBeginning(bytes: Uint8Array): string | undefined {
  if (bytes.byteLength === 0) return 'the file is empty'
  if (bytes.every((byte) => byte === 0)) return 'the file begins with zeros only: it was never written, or is broken'
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  const start = text.startsWith('\xef\xbb\xbf') ? text.slice(3) : text
  for (const [pattern, words] of beginnings) if (pattern.test(start)) return words
  return isText(bytes) ? 'this is text, not media' : undefined
}

/** No control characters but those of text, and not a byte that UTF-8 does not have. */
function isText(bytes: Uint8Array): boolean {
  const hasControl = bytes.some(
    (byte) => byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d && byte !== 0x0c,
  )
  if (hasControl) return false
  try {
    // `stream`: the last character may be cut in two.
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true })
    return true
  } catch {
    return false
  }
}
