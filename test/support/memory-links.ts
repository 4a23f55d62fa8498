import { toHex, type Id } from '../../src/domain/ids.ts'
import type { Link } from '../../src/domain/link.ts'
import type {
  LinkCatalog,
  LinkSession,
  NewLink,
  PasscodeAttempt,
  PasscodeLimit,
} from '../../src/ports/catalog/access.ts'

/** The link part of the catalog in memory. Each call is one turn of the event loop at least, as with a database. */
export class MemoryLinks implements LinkCatalog {
  readonly #links = new Map<Id, Link>()
  readonly #passcodes = new Map<Id, { hash: string; failures: number; wrong: number; failedAtMs: number }>()
  readonly #sessions = new Map<string, LinkSession>()
  /** Names of the methods in the order of their calls. */
  readonly calls: string[] = []
  /** While set, each call rejects with it. */
  failure: Error | undefined
  /** While set, no call is ever answered. */
  isSilent = false

  async addLink({ passcodeHash, ...link }: NewLink): Promise<void> {
    await this.#turn('addLink')
    this.#links.set(link.id, { ...link, viewsCount: 0, revokedAtMs: null, hasPasscode: passcodeHash !== null })
    if (passcodeHash !== null) {
      this.#passcodes.set(link.id, { hash: passcodeHash, failures: 0, wrong: 0, failedAtMs: Number.NEGATIVE_INFINITY })
    }
  }

  async link(id: Id): Promise<Link | undefined> {
    await this.#turn('link')
    return this.#links.get(id)
  }

  async links(recording: Id): Promise<Link[]> {
    await this.#turn('links')
    return [...this.#links.values()].filter((link) => link.recording === recording)
  }

  async revokeLink(id: Id, atMs: number): Promise<void> {
    await this.#turn('revokeLink')
    const link = this.#links.get(id)
    if (link !== undefined && link.revokedAtMs === null) this.#links.set(id, { ...link, revokedAtMs: atMs })
    for (const [key, session] of this.#sessions) if (session.link === id) this.#sessions.delete(key)
  }

  async beginPasscode(id: Id, limit: PasscodeLimit, nowMs: number): Promise<PasscodeAttempt | undefined> {
    await this.#turn('beginPasscode')
    const [link, passcode] = [this.#links.get(id), this.#passcodes.get(id)]
    if (link === undefined || passcode === undefined || !isLive(link, nowMs) || isSpent(link)) return undefined
    if (nowMs - passcode.failedAtMs >= limit.lockMs) Object.assign(passcode, { failures: 0, wrong: 0 })
    if (passcode.failures >= limit.maxFailures) {
      const isBusy = passcode.wrong < limit.maxFailures && nowMs - passcode.failedAtMs < limit.checkMs
      return isBusy ? { kind: 'busy' } : { kind: 'locked', untilMs: passcode.failedAtMs + limit.lockMs }
    }
    Object.assign(passcode, { failures: passcode.failures + 1, failedAtMs: nowMs })
    return { kind: 'open', passcodeHash: passcode.hash }
  }

  async endPasscode(id: Id, outcome: 'wrong' | 'unchecked'): Promise<void> {
    await this.#turn('endPasscode')
    const passcode = this.#passcodes.get(id)
    if (passcode === undefined || passcode.wrong >= passcode.failures) return
    if (outcome === 'wrong') passcode.wrong += 1
    else passcode.failures -= 1
  }

  async exchange(
    id: Id,
    session: { readonly grantSha256: Uint8Array; readonly expiresAtMs: number },
    nowMs: number,
    passcodeHash: string | null = null,
  ): Promise<boolean> {
    await this.#turn('exchange')
    const [link, passcode] = [this.#links.get(id), this.#passcodes.get(id)]
    if (link === undefined || !isLive(link, nowMs) || isSpent(link)) return false
    if ((passcode?.hash ?? null) !== passcodeHash) return false
    if (passcode !== undefined && passcode.failures > passcode.wrong) passcode.failures -= 1
    this.#links.set(id, { ...link, viewsCount: link.viewsCount + 1 })
    this.#sessions.set(toHex(session.grantSha256), { ...session, link: id })
    return true
  }

  async session(grantSha256: Uint8Array, nowMs: number) {
    await this.#turn('session')
    const session = this.#sessions.get(toHex(grantSha256))
    const link = session === undefined ? undefined : this.#links.get(session.link)
    if (session === undefined || link === undefined || !isLive(link, nowMs) || session.expiresAtMs <= nowMs)
      return undefined
    return { link, expiresAtMs: session.expiresAtMs }
  }

  async prolongSession(grantSha256: Uint8Array, expiresAtMs: number): Promise<void> {
    await this.#turn('prolongSession')
    const key = toHex(grantSha256)
    const session = this.#sessions.get(key)
    const link = session === undefined ? undefined : this.#links.get(session.link)
    if (session === undefined || link === undefined) return
    this.#sessions.set(key, { ...session, expiresAtMs: Math.min(expiresAtMs, link.expiresAtMs) })
  }

  async revokedLinks(organisation: Id): Promise<Id[]> {
    await this.#turn('revokedLinks')
    return [...this.#links.values()]
      .filter((link) => link.organisation === organisation && link.revokedAtMs !== null)
      .map((link) => link.id)
  }

  async dropExpiredSessions(nowMs: number): Promise<void> {
    await this.#turn('dropExpiredSessions')
    for (const [key, session] of this.#sessions) if (session.expiresAtMs <= nowMs) this.#sessions.delete(key)
  }

  async #turn(name: string): Promise<void> {
    this.calls.push(name)
    await (this.isSilent ? new Promise<never>(() => undefined) : Promise.resolve())
    if (this.failure !== undefined) throw this.failure
  }
}

function isSpent({ maxViews, viewsCount }: Link): boolean {
  return maxViews !== null && viewsCount >= maxViews
}

function isLive(link: Link, nowMs: number): boolean {
  return link.revokedAtMs === null && nowMs < link.expiresAtMs
}
