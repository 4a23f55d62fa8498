import { createHash } from 'node:crypto'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import {
  DEFAULT_LINK_TTL_MS,
  MAX_LINK_TTL_MS,
  PASSCODE_MAX_CHARS,
  PASSCODE_MIN_CHARS,
  plainPasscode,
  type Link,
} from '../domain/link.ts'
import type { LinkCatalog, PasscodeLimit } from '../ports/catalog/access.ts'
import type { Keyring } from '../ports/keyring.ts'
import type { PasscodeHasher } from '../ports/passcode.ts'
import type { Clock, Random } from '../ports/system.ts'
import { kidAt, openToken, sealToken } from './link-token.ts'
import { guardStream } from './stream-guard.ts'

/** What `createLinks` needs. */
export interface LinksOptions {
  readonly catalog: LinkCatalog
  readonly keyring: Pick<Keyring, 'linkKey'>
  readonly passcodes: PasscodeHasher
  readonly clock: Clock
  readonly random: Random
}

/** The recording that a link opens. That it exists and belongs to the organisation is the caller's to know. */
export interface LinkTarget {
  readonly organisation: Id
  readonly recording: Id
}

/** What a host may choose for a link. */
export interface LinkTerms {
  /** Life of the link; default 7 days, at most 30. */
  readonly ttlMs?: number | undefined
  /** How often it may be exchanged; null or absent: as often as one likes. */
  readonly maxViews?: number | null | undefined
  /** Whether the original may be downloaded; default no. */
  readonly allowDownload?: boolean | undefined
  /** To be told besides the token, 6 to 128 characters; absent: none. */
  readonly passcode?: string | undefined
}

/** A new link with its token. The token is nowhere stored: shown now or never. */
export interface CreatedLink {
  readonly link: Omit<Link, 'viewsCount' | 'revokedAtMs'>
  readonly token: string
  /** Path of the watch page with the token in the fragment, which browsers do not send. */
  readonly urlPath: string
}

/** One viewer's session: the grant is part of the path, the secret lies in the cookie, and only both together count. */
export interface ViewerSession {
  readonly grant: string
  readonly cookieSecret: string
  readonly expiresAtMs: number
  readonly link: Id
}

/** Signed links: made, exchanged for sessions, checked, revoked (docs/THREAT-MODEL.md). */
export interface Links {
  /** @throws E_INPUT when the terms are outside their limits, E_KEYRING_KEY_UNKNOWN */
  create(target: LinkTarget, terms?: LinkTerms): Promise<CreatedLink>
  /** Revokes and ends all sessions; running streams break off within seconds. Idempotent. */
  revoke(link: Id): Promise<void>
  list(recording: Id): Promise<Link[]>
  /**
   * One view: a session for a good token. `undefined` when unknown, expired, revoked, spent or malformed: not told which. Only a
   * token that is good for a session otherwise leads to the errors.
   *
   * @throws E_LINK_PASSCODE when a passcode is needed and was not given, or is wrong; E_LINK_LOCKED (with `waitMs`) after five
   *   wrong ones, whatever is given then; E_RATE_LIMIT when too many are being checked
   */
  exchange(token: string, passcode?: string): Promise<ViewerSession | undefined>
  /** The live link behind a session, whose end slides with use; `undefined` when there is none (any more). */
  session(grant: string, cookieSecret: string): Promise<Link | undefined>
  /**
   * Watches over a running stream (stream-guard.ts): aborts with E_LINK_INVALID within 5 s of the session's end. Stops by itself when
   * `abort` is aborted.
   */
  guard(grant: string, cookieSecret: string, abort: AbortController): { stop(): void }
  /** Forgets sessions that have ended. */
  dropExpired(): Promise<void>
}

/** A session ends this long after its last use. */
export const SESSION_TTL_MS = 15 * 60_000
/** A session's end is moved at most this often: a write a minute, not a write a request. */
const SLIDE_EVERY_MS = 60_000
/** Wrong passcodes that a link bears, and how long it checks none then. */
export const PASSCODE_LIMIT: PasscodeLimit = { maxFailures: 5, lockMs: 15 * 60_000, checkMs: 60_000 }
/** A passcode waits for those before it, which may be right ones; asked again after 100 ms, then after twice as long each time. */
const BUSY_WAIT_MS = 20_000
const BUSY_FIRST_MS = 100
const BUSY_MOST_MS = 1_000
/** Waiting at once in this process. */
const BUSY_MAX_WAITING = 64
const MAX_VIEWS_LIMIT = 1_000_000
const GRANT_BYTES = 16
const SECRET_BYTES = 32
const grantPattern = /^[0-9a-f]{32}$/
const secretPattern = /^[A-Za-z0-9_-]{43}$/

/** Links over a catalog, a keyring, a clock and a source of randomness. */
export function createLinks({ catalog, keyring, passcodes, clock, random }: LinksOptions): Links {
  async function keyOf(organisation: Id, kid: string): Promise<Uint8Array | undefined> {
    try {
      return await keyring.linkKey(organisation, kid)
    } catch (error) {
      if (isMosaikError(error, 'E_KEYRING_KEY_UNKNOWN')) return undefined
      throw error
    }
  }

  async function session(grant: string, cookieSecret: string): Promise<Link | undefined> {
    if (!grantPattern.test(grant) || !secretPattern.test(cookieSecret)) return undefined
    const grantSha256 = sessionHash(grant, cookieSecret)
    const nowMs = clock.nowMs()
    const found = await catalog.session(grantSha256, nowMs)
    if (found === undefined) return undefined
    const untilMs = Math.min(nowMs + SESSION_TTL_MS, found.link.expiresAtMs)
    if (untilMs - found.expiresAtMs >= SLIDE_EVERY_MS) await catalog.prolongSession(grantSha256, untilMs)
    return found.link
  }

  let waiting = 0

  /**
   * Begins to check a passcode, when no more are under way than may be wrong.
   *
   * @throws E_LINK_LOCKED after too many wrong ones, E_RATE_LIMIT when too many are under way
   */
  async function begunPasscode(link: Id): Promise<string | null> {
    const startedAtMs = clock.monotonicMs()
    for (let pauseMs = BUSY_FIRST_MS; ; pauseMs = Math.min(BUSY_MOST_MS, 2 * pauseMs)) {
      const nowMs = clock.nowMs()
      const attempt = await catalog.beginPasscode(link, PASSCODE_LIMIT, nowMs)
      if (attempt === undefined) return null
      if (attempt.kind === 'open') return attempt.passcodeHash
      if (attempt.kind === 'locked') {
        throw new MosaikError('E_LINK_LOCKED', 'too many wrong passcodes', { link, waitMs: attempt.untilMs - nowMs })
      }
      if (waiting >= BUSY_MAX_WAITING || clock.monotonicMs() - startedAtMs >= BUSY_WAIT_MS) {
        throw new MosaikError('E_RATE_LIMIT', 'too many passcodes are being checked', { link })
      }
      waiting += 1
      try {
        await clock.sleep(pauseMs * (0.5 + random.fraction()))
      } finally {
        waiting -= 1
      }
    }
  }

  /**
   * The hash that a passcode was found to belong to; null where there is none to check. Counted first, checked then: of a hundred
   * guesses at once five are checked, and a process that dies in between has counted one.
   */
  async function checkedHash(link: Id, passcode: string): Promise<string | null> {
    const passcodeHash = await begunPasscode(link)
    if (passcodeHash === null) return null
    let isRight: boolean
    try {
      isRight = await passcodes.verify(plainPasscode(passcode.slice(0, 4 * PASSCODE_MAX_CHARS)), passcodeHash)
    } catch (error) {
      await catalog.endPasscode(link, 'unchecked')
      throw error
    }
    if (isRight) return passcodeHash
    await catalog.endPasscode(link, 'wrong')
    throw new MosaikError('E_LINK_PASSCODE', 'this is not the passcode', { link })
  }

  async function needsPasscode(id: Id, nowMs: number): Promise<boolean> {
    const link = await catalog.link(id)
    if (link === undefined || !link.hasPasscode || link.revokedAtMs !== null || link.expiresAtMs <= nowMs) return false
    return link.maxViews === null || link.viewsCount < link.maxViews
  }

  return {
    async create(target, terms = {}) {
      const { ttlMs, maxViews, allowDownload, passcode } = checkedTerms(terms)
      const passcodeHash = passcode === undefined ? null : await passcodes.hash(passcode)
      const nowMs = clock.nowMs()
      const link = {
        id: toHex(random.bytes(16)),
        organisation: target.organisation,
        recording: target.recording,
        createdAtMs: nowMs,
        expiresAtMs: nowMs + ttlMs,
        maxViews,
        allowDownload,
      }
      const kid = kidAt(nowMs)
      const key = await keyring.linkKey(target.organisation, kid)
      const token = sealToken({ ...link, link: link.id }, kid, key)
      await catalog.addLink({ ...link, passcodeHash })
      return { link: { ...link, hasPasscode: passcodeHash !== null }, token, urlPath: `/s#${token}` }
    },

    revoke: (link) => catalog.revokeLink(link, clock.nowMs()),

    list: (recording) => catalog.links(recording),

    async exchange(token, passcode) {
      const claims = await openToken(token, clock.nowMs(), keyOf)
      if (claims === undefined) return undefined
      const checked = passcode === undefined ? null : await checkedHash(claims.link, passcode)
      const nowMs = clock.nowMs()
      const grant = toHex(random.bytes(GRANT_BYTES))
      const cookieSecret = Buffer.from(random.bytes(SECRET_BYTES)).toString('base64url')
      const expiresAtMs = Math.min(nowMs + SESSION_TTL_MS, claims.expiresAtMs)
      const grantSha256 = sessionHash(grant, cookieSecret)
      const granted = await catalog.exchange(claims.link, { grantSha256, expiresAtMs }, nowMs, checked)
      if (granted) return { grant, cookieSecret, expiresAtMs, link: claims.link }
      // told to nobody who has not a token of ours, and for links that are good otherwise only
      if (passcode === undefined && (await needsPasscode(claims.link, nowMs))) {
        throw new MosaikError('E_LINK_PASSCODE', 'this link needs a passcode', { link: claims.link })
      }
      return undefined
    },

    session,

    guard(grant, cookieSecret, abort) {
      const stop = new AbortController()
      const isLive = async () => (await session(grant, cookieSecret)) !== undefined
      const end = () => abort.abort(new MosaikError('E_LINK_INVALID', 'the session ended while a stream was running'))
      guardStream(clock, isLive, end, AbortSignal.any([stop.signal, abort.signal]))
      return { stop: () => stop.abort() }
    },

    dropExpired: () => catalog.dropExpiredSessions(clock.nowMs()),
  }
}

function checkedTerms({ ttlMs = DEFAULT_LINK_TTL_MS, maxViews = null, allowDownload = false, ...rest }: LinkTerms) {
  if (!Number.isSafeInteger(ttlMs) || ttlMs <= 0 || ttlMs > MAX_LINK_TTL_MS) {
    throw new MosaikError('E_INPUT', `a link lives at least a moment and at most ${MAX_LINK_TTL_MS / 86_400_000} days`)
  }
  if (maxViews !== null && (!Number.isSafeInteger(maxViews) || maxViews < 1 || maxViews > MAX_VIEWS_LIMIT)) {
    throw new MosaikError('E_INPUT', `the number of views is a whole number from 1 to ${MAX_VIEWS_LIMIT}`)
  }
  const passcode = rest.passcode === undefined ? undefined : plainPasscode(rest.passcode)
  if (passcode !== undefined && (passcode.length < PASSCODE_MIN_CHARS || passcode.length > PASSCODE_MAX_CHARS)) {
    throw new MosaikError('E_INPUT', `a passcode has ${PASSCODE_MIN_CHARS} to ${PASSCODE_MAX_CHARS} characters`)
  }
  return { ttlMs, maxViews, allowDownload, passcode }
}

/** What the catalog knows of a session: neither the path alone nor the cookie alone leads to it. */
function sessionHash(grant: string, cookieSecret: string): Uint8Array {
  return createHash('sha256').update(`mosaik/v1/session ${grant} ${cookieSecret}`).digest()
}
