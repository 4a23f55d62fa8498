import { describe, expect, it } from 'vitest'
import { PASSCODE_LIMIT, SESSION_TTL_MS } from '../../../src/access/links.ts'
import { sealToken } from '../../../src/access/link-token.ts'
import { GUARD_INTERVAL_MS } from '../../../src/access/stream-guard.ts'
import { MosaikError, isMosaikError } from '../../../src/domain/errors.ts'
import { DEFAULT_LINK_TTL_MS, MAX_LINK_TTL_MS } from '../../../src/domain/link.ts'
import { START_MS, organisation, recording, stage } from './stage.ts'

const MINUTE_MS = 60_000

describe('making a link', () => {
  it('lives seven days by default, without download, for any number of views', async () => {
    const { links, target } = stage()
    const { link, token, urlPath } = await links.create(target)
    expect(link).toMatchObject({ organisation, recording, maxViews: null, allowDownload: false })
    expect(link.expiresAtMs - link.createdAtMs).toBe(DEFAULT_LINK_TTL_MS)
    expect(urlPath).toBe(`/s#${token}`)
    expect(await links.list(recording)).toEqual([{ ...link, viewsCount: 0, revokedAtMs: null, hasPasscode: false }])
  })

  it.each([
    { ttlMs: 0 },
    { ttlMs: -1 },
    { ttlMs: 1.5 },
    { ttlMs: Number.NaN },
    { ttlMs: MAX_LINK_TTL_MS + 1 },
    { maxViews: 0 },
    { maxViews: 1.5 },
    { maxViews: 1e9 },
    { passcode: '12345' },
    { passcode: '   12345   ' },
    { passcode: 'x'.repeat(129) },
  ])('refuses %o', async (terms) => {
    const { links, target, catalog } = stage()
    await expect(links.create(target, terms)).rejects.toMatchObject({ code: 'E_INPUT' })
    expect(catalog.calls).toEqual([])
  })
})

describe('exchanging', () => {
  it('gives a session that opens the link', async () => {
    const { links, target } = stage()
    const { link, token } = await links.create(target)
    const session = await links.exchange(token)
    expect(session).toMatchObject({ link: link.id, expiresAtMs: START_MS + SESSION_TTL_MS })
    expect(await links.session(session!.grant, session!.cookieSecret)).toMatchObject({ id: link.id, viewsCount: 1 })
  })

  it('refuses junk without asking the catalog', async () => {
    const { links, catalog } = stage()
    expect(await links.exchange('rv1.junk')).toBeUndefined()
    expect(catalog.calls).toEqual([])
  })

  it('answers the same for unknown, foreign, expired, revoked and spent', async () => {
    const { links, target, clock } = stage()
    const claims = { link: 'cc'.repeat(16), ...target, expiresAtMs: START_MS + MINUTE_MS, allowDownload: false }
    const key = new TextEncoder().encode('2026-11'.padEnd(32, '.'))
    expect(await links.exchange(sealToken(claims, '2026-11', key))).toBeUndefined()
    expect(
      await links.exchange(sealToken({ ...claims, organisation: 'dd'.repeat(16) }, '2026-11', key)),
    ).toBeUndefined()

    const revoked = await links.create(target)
    await links.revoke(revoked.link.id)
    await links.revoke(revoked.link.id)
    expect(await links.exchange(revoked.token)).toBeUndefined()

    const single = await links.create(target, { maxViews: 1 })
    expect(await links.exchange(single.token)).toBeDefined()
    expect(await links.exchange(single.token)).toBeUndefined()

    const short = await links.create(target, { ttlMs: MINUTE_MS })
    await clock.move(MINUTE_MS)
    expect(await links.exchange(short.token)).toBeUndefined()
  })

  it('counts views once each, however many come at a time', async () => {
    const { links, target } = stage()
    const { token } = await links.create(target, { maxViews: 3 })
    const all = await Promise.all(Array.from({ length: 20 }, () => links.exchange(token)))
    expect(all.filter((session) => session !== undefined)).toHaveLength(3)
  })

  it('does not take a broken keyring for a bad link', async () => {
    const { links, target, keyring } = stage()
    const { token } = await links.create(target)
    keyring.linkKey = () => Promise.reject(new Error('locked'))
    await expect(links.exchange(token)).rejects.toThrow('locked')
  })
})

describe('refusing', () => {
  it.each([undefined, 'whatever it is'])(
    'asks the catalog the same, whatever is wrong with the link (%s)',
    async (given) => {
      const { links, target, clock, catalog } = stage()
      const claims = { link: 'cc'.repeat(16), ...target, expiresAtMs: START_MS + MINUTE_MS, allowDownload: false }
      const key = new TextEncoder().encode('2026-11'.padEnd(32, '.'))
      const tokens = [sealToken(claims, '2026-11', key)]
      for (const passcode of [undefined, 'the right one']) {
        const revoked = await links.create(target, { passcode })
        await links.revoke(revoked.link.id)
        const spent = await links.create(target, { passcode, maxViews: 1 })
        await links.exchange(spent.token, passcode)
        tokens.push(revoked.token, spent.token, (await links.create(target, { passcode, ttlMs: MINUTE_MS })).token)
      }
      await clock.move(MINUTE_MS)
      const asked = new Set<string>()
      for (const token of tokens) {
        const before = catalog.calls.length
        expect(await links.exchange(token, given)).toBeUndefined()
        asked.add(catalog.calls.slice(before).join())
      }
      expect([...asked]).toEqual([given === undefined ? 'exchange,link' : 'beginPasscode,exchange'])
    },
  )
})

describe('a passcode', () => {
  const passcode = 'Äpfel im Garten'

  it('is asked for after a good token only, and opens the link with it', async () => {
    const { links, target, catalog } = stage()
    const { link, token } = await links.create(target, { passcode })
    expect(link.hasPasscode).toBe(true)
    await expect(links.exchange(token)).rejects.toMatchObject({ code: 'E_LINK_PASSCODE' })
    await expect(links.exchange(token, 'wrong one')).rejects.toMatchObject({ code: 'E_LINK_PASSCODE' })
    expect((await catalog.link(link.id))?.viewsCount).toBe(0)
    // composed in another way, and copied with blanks
    const session = await links.exchange(token, ` ${passcode.normalize('NFD')}\n`)
    expect(await links.session(session!.grant, session!.cookieSecret)).toMatchObject({ id: link.id, viewsCount: 1 })
  })

  it('is not mentioned for links that are unknown, expired, revoked or spent, and nothing is checked for them', async () => {
    const { links, target, clock, passcodes } = stage()
    const spent = await links.create(target, { passcode, maxViews: 1 })
    expect(await links.exchange(spent.token, passcode)).toBeDefined()
    passcodes.checks = 0
    const revoked = await links.create(target, { passcode })
    await links.revoke(revoked.link.id)
    const expired = await links.create(target, { passcode, ttlMs: MINUTE_MS })
    await clock.move(MINUTE_MS)
    const forged = revoked.token.slice(0, -5) + 'AAAAA'
    for (const token of [spent.token, revoked.token, expired.token, forged, 'junk']) {
      for (const given of [undefined, passcode, 'wrong one']) expect(await links.exchange(token, given)).toBeUndefined()
    }
    expect(passcodes.checks).toBe(0)
  })

  it('that is wrong five times closes the link for a quarter of an hour, to the right one too', async () => {
    const { links, target, clock, passcodes } = stage()
    const { token } = await links.create(target, { passcode })
    const asked = Promise.allSettled(Array.from({ length: 50 }, () => links.exchange(token, 'wrong one')))
    // those that wait ask again, and find the five checked
    for (let i = 0; i < 3; i++) await clock.move(i === 2 ? 100 : 0)
    const refusals = await asked
    const codes = refusals.map((refusal) => (refusal.status === 'rejected' ? String(refusal.reason.code) : 'open'))
    expect(codes.filter((code) => code === 'E_LINK_PASSCODE')).toHaveLength(PASSCODE_LIMIT.maxFailures)
    expect(codes.filter((code) => code === 'E_LINK_LOCKED')).toHaveLength(45)
    expect(passcodes.checks).toBe(5)
    await clock.move(PASSCODE_LIMIT.lockMs - 100 - 1)
    const locked = links.exchange(token, passcode)
    await expect(locked).rejects.toMatchObject({ code: 'E_LINK_LOCKED', fields: { waitMs: 1 } })
    expect(passcodes.checks).toBe(5)
    await clock.move(1)
    expect(await links.exchange(token, passcode)).toBeDefined()
  })

  it('that is right waits for others that are checked, and is not called wrong', async () => {
    const { links, target, clock, passcodes } = stage()
    const { token } = await links.create(target, { passcode })
    let open = 0
    const asked = Promise.all(Array.from({ length: 30 }, () => links.exchange(token, passcode).then(() => (open += 1))))
    for (let i = 0; i < 200 && open < 30; i++) await clock.move(100)
    await asked
    expect([open, passcodes.checks]).toEqual([30, 30])
  })

  it('waits not for ever, and not in any number', async () => {
    const { links, target, clock, passcodes } = stage()
    const { token } = await links.create(target, { passcode })
    let hasStarted = 0
    passcodes.verify = () => {
      hasStarted += 1
      return new Promise(() => undefined)
    }
    const codes: string[] = []
    for (let i = 0; i < 5 + 64 + 10; i++) {
      void links.exchange(token, passcode).catch((error: { code: string }) => codes.push(error.code))
    }
    await clock.move(0)
    expect(codes).toEqual(Array(10).fill('E_RATE_LIMIT'))
    for (let i = 0; i < 40; i++) await clock.move(1_000)
    expect(codes).toEqual(Array(74).fill('E_RATE_LIMIT'))
    expect(hasStarted).toBe(5)
  })

  it('that could not be compared costs no attempt', async () => {
    const { links, target, passcodes } = stage()
    const { token } = await links.create(target, { passcode })
    const { verify } = passcodes
    passcodes.verify = () => Promise.reject(new MosaikError('E_RATE_LIMIT', 'too many passcodes are being checked'))
    for (let i = 0; i < 9; i++) {
      await expect(links.exchange(token, passcode)).rejects.toMatchObject({ code: 'E_RATE_LIMIT' })
    }
    passcodes.verify = verify
    expect(await links.exchange(token, passcode)).toBeDefined()
  })

  it('that is right does not use up attempts, nor give back those of others', async () => {
    const { links, target } = stage()
    const { token } = await links.create(target, { passcode })
    for (let i = 0; i < 10; i++) expect(await links.exchange(token, passcode)).toBeDefined()
    for (let i = 0; i < 4; i++) await expect(links.exchange(token, 'wrong one')).rejects.toThrow('not the passcode')
    expect(await links.exchange(token, passcode)).toBeDefined()
    await expect(links.exchange(token, 'wrong one')).rejects.toThrow('not the passcode')
    await expect(links.exchange(token, passcode)).rejects.toMatchObject({ code: 'E_LINK_LOCKED' })
  })

  it('is no secret of its own where the link has none', async () => {
    const { links, target, passcodes } = stage()
    const { token } = await links.create(target)
    expect(await links.exchange(token, 'whatever')).toBeDefined()
    expect(passcodes.checks).toBe(0)
  })
})

describe('a session', () => {
  async function begun(ttlMs?: number) {
    const set = stage()
    const { link, token } = await set.links.create(set.target, { ttlMs })
    const session = await set.links.exchange(token)
    const { grant, cookieSecret } = session!
    return { ...set, link, grant, cookieSecret, alive: () => set.links.session(grant, cookieSecret) }
  }

  it('needs path and cookie of the same grant', async () => {
    const a = await begun()
    const b = await a.links.exchange((await a.links.create(a.target)).token)
    expect(await a.links.session(a.grant, b!.cookieSecret)).toBeUndefined()
    expect(await a.links.session(b!.grant, a.cookieSecret)).toBeUndefined()
    expect(await a.links.session(a.grant, '')).toBeUndefined()
    expect(await a.links.session('../..', a.cookieSecret)).toBeUndefined()
    expect(await a.alive()).toBeDefined()
  })

  it('slides with use, and ends fifteen minutes after the last', async () => {
    const { clock, alive } = await begun()
    for (let i = 0; i < 10; i++) {
      await clock.move(14 * MINUTE_MS)
      expect(await alive()).toBeDefined()
    }
    await clock.move(15 * MINUTE_MS)
    expect(await alive()).toBeUndefined()
  })

  it('writes its end at most once a minute', async () => {
    const { clock, alive, catalog } = await begun()
    for (let i = 0; i < 120; i++) {
      await clock.move(1000)
      await alive()
    }
    expect(catalog.calls.filter((name) => name === 'prolongSession')).toHaveLength(2)
  })

  it('never outlives its link', async () => {
    const { clock, alive } = await begun(20 * MINUTE_MS)
    await clock.move(14 * MINUTE_MS)
    expect(await alive()).toBeDefined()
    await clock.move(6 * MINUTE_MS)
    expect(await alive()).toBeUndefined()
  })

  it('ends running streams within five seconds of a revocation', async () => {
    const { clock, links, link, grant, cookieSecret } = await begun()
    const abort = new AbortController()
    links.guard(grant, cookieSecret, abort)
    await clock.move(GUARD_INTERVAL_MS)
    expect(abort.signal.aborted).toBe(false)
    await links.revoke(link.id)
    await clock.move(GUARD_INTERVAL_MS)
    expect(isMosaikError(abort.signal.reason, 'E_LINK_INVALID')).toBe(true)
    expect(2 * GUARD_INTERVAL_MS).toBeLessThan(5_000)
  })

  it('bears one missed answer of the catalog, not two', async () => {
    const { clock, links, catalog, grant, cookieSecret } = await begun()
    const abort = new AbortController()
    links.guard(grant, cookieSecret, abort)
    catalog.failure = new Error('gone')
    await clock.move(GUARD_INTERVAL_MS)
    catalog.failure = undefined
    await clock.move(GUARD_INTERVAL_MS)
    catalog.failure = new Error('gone')
    await clock.move(GUARD_INTERVAL_MS)
    expect(abort.signal.aborted).toBe(false)
    await clock.move(GUARD_INTERVAL_MS)
    expect(abort.signal.aborted).toBe(true)
  })

  it('ends in time when the catalog is silent, and not for one late answer', async () => {
    const { clock, links, catalog, grant, cookieSecret } = await begun()
    const abort = new AbortController()
    links.guard(grant, cookieSecret, abort)
    let passedMs = 0
    const pass = async (ms: number) => {
      for (const end = passedMs + ms; passedMs < end; passedMs += 250) await clock.move(250)
    }
    catalog.isSilent = true
    await pass(3_000)
    catalog.isSilent = false
    await pass(3_000)
    catalog.isSilent = true
    expect(abort.signal.aborted).toBe(false)
    await pass(5_000 - 250)
    expect(isMosaikError(abort.signal.reason, 'E_LINK_INVALID')).toBe(true)
  })

  it('is not watched any more once the stream has ended', async () => {
    const { clock, links, catalog, grant, cookieSecret } = await begun()
    const abort = new AbortController()
    links.guard(grant, cookieSecret, abort).stop()
    const before = catalog.calls.length
    await clock.move(10 * GUARD_INTERVAL_MS)
    expect(catalog.calls).toHaveLength(before)
    expect(abort.signal.aborted).toBe(false)
  })
})
