import { nowMs } from './page.ts'

/** What the server tells of the recording (`/s/<grant>/recording.json`). */
export interface Recording {
  readonly title: string
  readonly startedAt: string | null
  readonly durationMs: number
  readonly linkExpiresAt: string
  readonly state: 'ready' | 'preparing' | 'unplayable'
  readonly renditions: readonly Rendition[]
  readonly captions: readonly (Track & { readonly url: string })[]
  readonly poster: string | null
  readonly storyboard: string | null
  readonly download: Download | null
}

/** One quality, or one sound alone. */
export interface Rendition {
  /** Which of several sounds it is. */
  readonly track: Track | null
  /** 0 without a picture; so is `height`. */
  readonly width: number
  readonly height: number
  readonly playlist: string
  readonly download: Download | null
}

/** A sound or captions track. */
export interface Track {
  /** BCP 47. */
  readonly language: string
  readonly title: string
}

/** A file that may be taken away. */
export interface Download {
  readonly url: string
  readonly contentBytes: number
}

/** What the server gives for a token (`/s/exchange`). */
interface Exchanged {
  readonly grant: string
  /** Null when it was not known at once. */
  readonly recording: Recording | null
  /** Short ones, by file name. */
  readonly playlists: Readonly<Record<string, string>>
}

/** Why something cannot be had, as far as a viewer is concerned. */
export type Refusal =
  /** Unknown, expired, revoked: it stays so. */
  | 'invalid'
  /** The session ended because nobody used it; the link may still be good. */
  | 'lapsed'
  /** Not enough stores answer, or the network is gone: comes back. */
  | 'unavailable'
  | 'preparing'
  | 'too-many'
  /** The link has a passcode: none was given, or another one. */
  | 'passcode'
  /** Too many wrong passcodes. */
  | 'locked'

/** An answer that was not the wished one. */
export class Refused extends Error {
  readonly refusal: Refusal
  /** After how long it makes sense to ask again. */
  readonly waitMs: number

  constructor(refusal: Refusal, waitMs = 0) {
    super(refusal)
    this.refusal = refusal
    this.waitMs = waitMs
  }
}

/** A session of the server ends 15 minutes after its last use: later than this we take it for lapsed, not for revoked. */
const SURELY_ALIVE_MS = 14 * 60_000
const tokenPattern = /^rv1\.[0-9-]{7}\.([A-Za-z0-9_-]{76})\.[A-Za-z0-9_-]{43}$/
const grantPattern = /^[0-9a-f]{32}$/

/** A viewer's way from the token in the address to the recording. */
export class Visit {
  readonly #token: string
  /** Names the link without its MAC: what is kept under it opens nothing. */
  readonly #storageKey: string
  #grant: string | undefined
  /** For going on after a pause; in this page's memory only. */
  #passcode: string | undefined
  #usedAtMs = Number.NEGATIVE_INFINITY
  /** What the exchange told of the recording, until it is asked for. */
  #told: Recording | null = null
  /** Playlists that the exchange told, by address. */
  #playlists: ReadonlyMap<string, string> = new Map()

  private constructor(token: string, claims: string) {
    this.#token = token
    this.#storageKey = `mosaik ${claims}`
    const kept = this.#kept()
    if (kept.grant !== undefined) this.#grant = kept.grant
  }

  /** The visit named by the fragment of the address; `undefined` when it holds no token. */
  static fromAddress(fragment: string): Visit | undefined {
    const token = fragment.replace(/^#/, '').trim()
    const claims = tokenPattern.exec(token)?.[1]
    return claims === undefined ? undefined : new Visit(token, claims)
  }

  /** True when this tab had a session already (the page was loaded again): no second view is needed. */
  get isBegun(): boolean {
    return this.#grant !== undefined
  }

  /** Second of the recording where this tab last was. */
  get positionSeconds(): number {
    return this.#kept().positionSeconds
  }

  /** How long ago the server last took the session for good. */
  get sinceUseMs(): number {
    return nowMs() - this.#usedAtMs
  }

  /** Playlists of this session that need not be fetched, by address. */
  get playlists(): ReadonlyMap<string, string> {
    return this.#playlists
  }

  keepPosition(positionSeconds: number): void {
    this.#keep({ grant: this.#grant, positionSeconds })
  }

  /** Trades the token, and the passcode where there is one, for a session: one view. @throws Refused */
  async begin(passcode = this.#passcode): Promise<void> {
    const response = await reach('s/exchange', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: this.#token, passcode }),
    })
    if (!response.ok) throw await exchangeRefusal(response)
    const { grant, recording, playlists } = (await response.json()) as Exchanged
    if (!grantPattern.test(grant)) throw new Refused('invalid')
    this.#told = recording
    this.#grant = grant
    this.#playlists = new Map(Object.entries(playlists).map(([file, content]) => [this.address(file), content]))
    this.#passcode = passcode
    this.#usedAtMs = nowMs()
    this.#keep({ grant, positionSeconds: this.positionSeconds })
  }

  /** @throws Refused; `preparing` while the recording is not stored yet. */
  async recording(): Promise<Recording> {
    const told = this.#told
    this.#told = null
    return told ?? ((await (await this.#ask('recording.json')).json()) as Recording)
  }

  /** Tells the server that somebody is still here. @throws Refused */
  async stay(): Promise<void> {
    await this.#ask('alive')
  }

  /** Absolute address of a part of the recording. */
  address(part: string): string {
    return new URL(`s/${this.#grant ?? ''}/${part}`, document.baseURI).href
  }

  /** The session is over; the place is kept for the next one. */
  leave(): void {
    this.#grant = undefined
    this.keepPosition(this.positionSeconds)
  }

  /** The link is gone: nothing of it stays in this tab. */
  forget(): void {
    this.#grant = undefined
    try {
      sessionStorage.removeItem(this.#storageKey)
    } catch {
      // storage may be switched off
    }
  }

  async #ask(part: string): Promise<Response> {
    const response = await reach(this.address(part), {})
    if (response.ok) {
      this.#usedAtMs = nowMs()
      return response
    }
    const refusal = refusalOf(response.status)
    const lapsed = refusal === 'invalid' && nowMs() - this.#usedAtMs > SURELY_ALIVE_MS
    throw new Refused(lapsed ? 'lapsed' : refusal)
  }

  #kept(): { grant: string | undefined; positionSeconds: number } {
    try {
      const { grant, positionSeconds } = JSON.parse(sessionStorage.getItem(this.#storageKey) ?? '{}') as {
        grant?: unknown
        positionSeconds?: unknown
      }
      return {
        grant: typeof grant === 'string' && grantPattern.test(grant) ? grant : undefined,
        positionSeconds: typeof positionSeconds === 'number' && positionSeconds > 0 ? positionSeconds : 0,
      }
    } catch {
      return { grant: undefined, positionSeconds: 0 }
    }
  }

  #keep(state: { grant: string | undefined; positionSeconds: number }): void {
    try {
      sessionStorage.setItem(this.#storageKey, JSON.stringify(state))
    } catch {
      // storage may be switched off: a reload then costs a view
    }
  }
}

async function reach(address: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(address, { ...init, cache: 'no-store', credentials: 'same-origin', redirect: 'error' })
  } catch {
    throw new Refused('unavailable')
  }
}

/** What the server says to a token that it gives no session for. */
async function exchangeRefusal(response: Response): Promise<Refused> {
  const { code } = (await response.json().catch(() => ({}))) as { code?: unknown }
  if (code === 'E_LINK_PASSCODE') return new Refused('passcode')
  const waitMs = Number(response.headers.get('retry-after') ?? 0) * 1000
  return new Refused(code === 'E_LINK_LOCKED' ? 'locked' : refusalOf(response.status), waitMs)
}

function refusalOf(status: number): Refusal {
  if (status === 409) return 'preparing'
  if (status === 429) return 'too-many'
  return status >= 500 ? 'unavailable' : 'invalid'
}
