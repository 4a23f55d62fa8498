import { pino, type DestinationStream } from 'pino'
import { MosaikError } from '../domain/errors.ts'
import type { Clock, Log } from '../ports/system.ts'

export type LogLevel = 'info' | 'warn' | 'error' | 'silent'

/** Keys whose values are dropped, whatever they hold; compared without case, hyphens and underscores. */
const DROPPED =
  /token|passphrase|password|passcode|dek|seed|secret|cookie|authorization|credential|privatekey|verifykey/
const MAX_DEPTH = 5
const MAX_ITEMS = 50
const MAX_TEXT = 2000

/**
 * A log of JSON lines, one an event: {"time": ms, "level": "info", "event": …, …fields}.
 *
 * Redaction is by construction: every value is copied through `loggable` before pino sees it, so that byte strings and
 * named secrets cannot come through however deeply they lie. Titles, tokens and people are not for logs at all
 * (src/ports/system.ts); this is the second wall, not the first.
 */
export function pinoLog(options: {
  readonly clock: Pick<Clock, 'nowMs'>
  readonly level?: LogLevel
  /** Standard output when left out. */
  readonly destination?: DestinationStream
}): Log {
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: null,
      messageKey: 'event',
      timestamp: () => `,"time":${options.clock.nowMs()}`,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? pino.destination({ fd: 1, sync: true }),
  )
  const write = (level: 'info' | 'warn' | 'error') => (event: string, fields?: Readonly<Record<string, unknown>>) => {
    const safe = loggable(fields ?? {}) as Record<string, unknown>
    // pino's own keys stay pino's
    for (const key of ['event', 'level', 'time']) if (key in safe) delete safe[key]
    logger[level](safe, visible(event))
  }
  return { info: write('info'), warn: write('warn'), error: write('error') }
}

/**
 * A copy of `value` that may be printed: byte strings become `<bytes n>`, keys that name secrets are dropped, control
 * characters are escaped, errors become {code, message, fields, cause}, and what is too deep, long or odd is cut.
 */
export function loggable(value: unknown, depth = 0): unknown {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value === 'string') return visible(value)
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object') return value === undefined ? undefined : `<${typeof value}>`
  if (ArrayBuffer.isView(value)) return `<bytes ${value.byteLength}>`
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return `<bytes ${value.byteLength}>`
  if (value instanceof Date) return value.getTime()
  if (depth >= MAX_DEPTH) return '<too deep>'
  if (value instanceof Error) return errorFields(value, depth)
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => loggable(item, depth + 1))
  const entries = value instanceof Map ? [...value.entries()] : Object.entries(value)
  const copy: Record<string, unknown> = {}
  for (const [key, item] of entries.slice(0, MAX_ITEMS)) {
    const name = String(key)
    if (DROPPED.test(name.toLowerCase().replace(/[-_]/g, ''))) continue
    copy[visible(name)] = loggable(item, depth + 1)
  }
  return copy
}

function errorFields(error: Error, depth: number): Record<string, unknown> {
  const cause = error.cause === undefined ? {} : { cause: loggable(error.cause, depth + 1) }
  if (error instanceof MosaikError) {
    return { code: error.code, message: visible(error.message), fields: loggable(error.fields, depth + 1), ...cause }
  }
  const code = 'code' in error && typeof error.code === 'string' ? { code: visible(error.code) } : {}
  return { name: visible(error.name), ...code, message: visible(error.message), ...cause }
}

// C0, DEL, C1, line and paragraph separators, and the marks that turn the direction of writing
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** The text with control characters written as \uXXXX, so that no terminal acts on them, cut at 2000 characters. */
function visible(text: string): string {
  const cut = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
  return cut.replace(CONTROL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
