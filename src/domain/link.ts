import type { Id } from './ids.ts'

/** A signed link: a capability for one recording (the row decides, the token only names it). */
export interface Link {
  readonly id: Id
  readonly organisation: Id
  readonly recording: Id
  readonly createdAtMs: number
  readonly expiresAtMs: number
  readonly revokedAtMs: number | null
  /** Views so far; a view is one successful exchange. */
  readonly viewsCount: number
  readonly maxViews: number | null
  readonly allowDownload: boolean
  /** Whether a passcode has to be told besides the token. */
  readonly hasPasscode: boolean
}

export const DEFAULT_LINK_TTL_MS = 7 * 24 * 3600 * 1000
export const MAX_LINK_TTL_MS = 30 * 24 * 3600 * 1000

export const PASSCODE_MIN_CHARS = 6
export const PASSCODE_MAX_CHARS = 128

/** A passcode as it is hashed: however a keyboard composed its letters, without the blanks that copying adds. */
export function plainPasscode(text: string): string {
  return text.normalize('NFKC').trim()
}
