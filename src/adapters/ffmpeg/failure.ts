import { MosaikError } from '../../domain/errors.ts'
import type { ErrorCode } from '../../domain/errors.ts'

/** How a tool's process ended. */
export interface ToolEnd {
  readonly program: 'ffmpeg' | 'ffprobe'
  /** Exit code; above 128 a signal, as a shell counts. */
  readonly code: number
  /** What it wrote to standard error last. */
  readonly errorTail: string
}

const causes: readonly (readonly [RegExp, ErrorCode, string])[] = [
  [
    /moov atom not found/,
    'E_MEDIA_UNREADABLE',
    'the file ends early: its index, which MP4 keeps at the end, is missing',
  ],
  [
    /Picture size \d+x\d+ is invalid|exceeds (max_pixels|specified max pixel count)|Value .* for parameter 'max_pixels'/,
    'E_MEDIA_LIMIT',
    'the picture is larger than allowed',
  ],
  [/exceeds max_streams/, 'E_MEDIA_LIMIT', 'it has more than 64 streams'],
  [
    /Cannot allocate memory|bad_alloc|memory allocation|Error allocating/i,
    'E_MEDIA_LIMIT',
    'it needs more memory than allowed',
  ],
  [
    /Subtitle encoding currently only possible|bitmap to bitmap/,
    'E_MEDIA_UNSUPPORTED',
    'the captions are pictures, not text',
  ],
  [
    /Decoder .*not found|Unknown decoder|no decoder|Decoding requested, but/i,
    'E_MEDIA_UNSUPPORTED',
    'its coding is not known here',
  ],
  [/Could not find tag for codec/, 'E_MEDIA_UNSUPPORTED', 'its coding cannot be put into MP4'],
  [/Error while loading shared libraries|cannot open shared object/i, 'E_MEDIA_TOOL', 'a library is missing'],
  [/matches no streams|does not contain any stream/, 'E_MEDIA_UNREADABLE', 'it has no picture and no sound'],
  [/partial file|Truncat|End of file/i, 'E_MEDIA_UNREADABLE', 'the file ends early'],
  [/not on whitelist|not whitelisted/i, 'E_MEDIA_UNREADABLE', 'it is no recording, but something that names others'],
  [/Cannot determine format of input stream/, 'E_MEDIA_UNREADABLE', 'nothing of it could be decoded'],
  [/Invalid data found|could not find codec parameters/i, 'E_MEDIA_UNREADABLE', 'it is broken, or not media'],
]

/** The error for a tool that ended badly, in plain words; its own words stay out of the message. */
export function toolFailure(end: ToolEnd): MosaikError {
  const tail = sanitise(end.errorTail)
  const fields = { program: end.program, exitCode: end.code, toolSays: tail }
  if (end.code > 128) {
    const signal = String(end.code - 128)
    return new MosaikError('E_MEDIA_TOOL', `${end.program} crashed or was killed (signal ${signal})`, fields)
  }
  for (const [pattern, code, words] of causes) {
    if (pattern.test(end.errorTail)) return new MosaikError(code, `the file cannot be used: ${words}`, fields)
  }
  return new MosaikError('E_MEDIA_TOOL', `${end.program} failed (exit code ${String(end.code)})`, fields)
}

/**
 * The last lines of a tool, safe to log: no addresses (the input's holds a secret), no paths, nothing in quotes and
 * nothing after a colon-and-quote (titles come from the file), only plain characters, at most 300 of them.
 */
export function sanitise(errorTail: string): string {
  const lines = errorTail
    .replace(/[a-z]+:\/\/\S+/gi, '(address)')
    .replace(/(?<![\w)])\/[^\s:]+/g, '(path)')
    .replace(/0x[0-9a-f]+/gi, '')
    .replace(/\b[0-9a-f]{16,}\b/gi, '')
    .replace(/'[^'\n]*'|"[^"\n]*"/g, '(…)')
    .split('\n')
    .filter((line) => !/^\s*\w+\s*:/.test(line))
    .map((line) => line.replace(/[^\x20-\x7e…]/g, '').trim())
    .filter((line) => line !== '')
  return lines.slice(-3).join(' | ').slice(-300)
}
