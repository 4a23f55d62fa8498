import { MemoryRateCounter } from '../../../src/adapters/memory-rate-counter.ts'
import { describe, expect, it } from 'vitest'
import { MosaikError, errorCodes, type ErrorCode } from '../../../src/domain/errors.ts'
import { attachment, safeFileName, viewerContentSecurityPolicy } from '../../../src/http/headers.ts'
import { RateLimited, problemOf } from '../../../src/http/problem.ts'
import { networkOf } from '../../../src/http/viewer/rate-limit.ts'
import { cookieSecretOf, sessionCookie } from '../../../src/http/viewer/session-cookie.ts'

describe('problems', () => {
  it('has a status and a title for every code, for both audiences', () => {
    for (const code of Object.keys(errorCodes) as ErrorCode[]) {
      for (const audience of ['viewer', 'member'] as const) {
        const problem = problemOf(new MosaikError(code, 'words'), audience)
        expect(problem.status, code).toBeGreaterThanOrEqual(400)
        expect(problem.title.length, code).toBeGreaterThan(0)
        expect(problem.type).toBe(`urn:mosaik:error:${problem.code}`)
      }
    }
  })

  it('tells a viewer how many nodes are missing, and never which', () => {
    const error = new MosaikError('E_SHARES_TOO_FEW', 'missing: north, south', { missing: ['north', 'south'], need: 3 })
    const problem = problemOf(error, 'viewer')
    expect(problem).toMatchObject({ status: 503, code: 'E_SHARES_TOO_FEW', retry: 'later', missingNodesCount: 2 })
    expect(JSON.stringify(problem)).not.toMatch(/north|south/)
    expect(problemOf(error, 'member').detail).toBe('missing: north, south')
  })

  it('makes no difference between a link and a recording that is gone', () => {
    const gone = problemOf(new MosaikError('E_RECORDING_UNKNOWN', 'x'), 'viewer')
    expect(gone).toEqual(problemOf(new MosaikError('E_LINK_INVALID', 'y'), 'viewer'))
    expect(gone.status).toBe(404)
  })

  it('never shows the message of an unknown error', () => {
    for (const audience of ['viewer', 'member'] as const) {
      const problem = problemOf(new Error('password=hunter2'), audience)
      expect(problem).toMatchObject({ status: 500, code: 'E_INTERNAL' })
      expect(JSON.stringify(problem)).not.toContain('hunter2')
    }
    expect(problemOf(new MosaikError('E_HPKE_OPEN', 'epoch 3'), 'member').detail).not.toContain('epoch')
  })

  it('passes on what the body parser refused, without its words', () => {
    expect(problemOf(Object.assign(new Error('a'), { status: 413 }), 'viewer')).toMatchObject({ status: 413 })
    expect(problemOf(Object.assign(new Error('{"tok'), { status: 400 }), 'viewer').detail).not.toContain('tok')
    expect(problemOf(new RateLimited(1000), 'viewer')).toMatchObject({ status: 429, retry: 'later' })
  })
})

describe('headers', () => {
  it('allow nothing inline', () => {
    expect(viewerContentSecurityPolicy).toMatch(/^default-src 'none'; /)
    expect(viewerContentSecurityPolicy).not.toContain('unsafe')
  })

  it.each([
    ['meeting.mp4', 'meeting.mp4'],
    ['../../etc/passwd', 'passwd'],
    ['C:\\Users\\x\\film.mkv', 'film.mkv'],
    ['a\r\nSet-Cookie: x=1.mp4', 'aSet-Cookie_ x=1.mp4'],
    ['\u202Egpj.exe', 'gpj.exe'],
    ['..', 'recording'],
    ['', 'recording'],
    ['.hidden ', 'hidden'],
    ['\uD800broken.mp4', '\uFFFDbroken.mp4'],
  ])('makes %j a name for disks', (name, safe) => {
    expect(safeFileName(name)).toBe(safe)
  })

  it('shortens a name and keeps its ending', () => {
    const name = safeFileName(`${'ä'.repeat(400)}.mp4`)
    expect(Array.from(name)).toHaveLength(150)
    expect(name.endsWith('.mp4')).toBe(true)
  })

  it('names a download in both forms of RFC 6266', () => {
    expect(attachment('Übung (1).mp4')).toBe(
      `attachment; filename="Ubung (1).mp4"; filename*=UTF-8''%C3%9Cbung%20%281%29.mp4`,
    )
    expect(attachment('会議')).toBe(`attachment; filename="recording"; filename*=UTF-8''%E4%BC%9A%E8%AD%B0`)
    expect(attachment('a"b\\c%41.mp4')).toBe(`attachment; filename="c_41.mp4"; filename*=UTF-8''c%2541.mp4`)
  })
})

describe('rate limit', () => {
  let nowMs = 0
  const rates = new MemoryRateCounter({ monotonicMs: () => nowMs })
  const attempt = (address: string, atMs: number, maxCount = 10): Promise<number> => {
    nowMs = atMs
    return rates.attempt(maxCount === 10 ? 'exchange' : 'api', networkOf(address), { maxCount, windowMs: 60_000 })
  }

  it('lets ten through a minute, then says how long to wait', async () => {
    for (let i = 0; i < 10; i++) expect(await attempt('192.0.2.1', i * 1000)).toBe(0)
    expect(await attempt('192.0.2.1', 10_000)).toBe(50_000)
    expect(await attempt('::ffff:192.0.2.1', 10_000)).toBe(50_000)
    expect(await attempt('192.0.2.2', 10_000)).toBe(0)
    expect(await attempt('192.0.2.1', 60_000)).toBe(0)
    expect(await attempt('192.0.2.1', 60_001)).toBe(999)
  })

  it('takes an IPv6 /64 for one', async () => {
    expect(await attempt('2001:db8:1:2::1', 0, 1)).toBe(0)
    expect(await attempt('2001:db8:1:2:ffff::9', 1, 1)).toBeGreaterThan(0)
    expect(await attempt('2001:db8:1:3::1', 2, 1)).toBe(0)
    expect(await attempt('2001:db8::1', 3, 1)).toBe(0)
    expect(await attempt('2001:db8:0:0:5::', 4, 1)).toBeGreaterThan(0)
  })
})

describe('cookie', () => {
  const session = { grant: 'ab'.repeat(16), cookieSecret: 's'.repeat(43), expiresAtMs: 0, link: 'cd'.repeat(16) }

  it('is bound to the path of its grant', () => {
    expect(sessionCookie(session, '/vault', true)).toBe(
      `mosaik_view=${session.cookieSecret}; Path=/vault/s/${session.grant}; HttpOnly; SameSite=Strict; Secure`,
    )
    expect(sessionCookie(session, '', false)).not.toContain('Secure')
  })

  it('is found among others', () => {
    expect(cookieSecretOf('a=b; mosaik_view=xyz; c=d')).toBe('xyz')
    expect(cookieSecretOf('not_mosaik_view=xyz')).toBe('')
    expect(cookieSecretOf(undefined)).toBe('')
  })
})
