import { describe, expect, it } from 'vitest'
import { TOKEN_MAX_CHARS, kidAt, openToken, sealToken, type LinkClaims } from '../../../src/access/link-token.ts'
import { START_MS } from './stage.ts'

const key = new Uint8Array(32).fill(7)
const claims: LinkClaims = {
  link: '01'.repeat(16),
  recording: '02'.repeat(16),
  organisation: '03'.repeat(16),
  expiresAtMs: START_MS + 1000,
  allowDownload: true,
}
const token = sealToken(claims, '2026-11', key)
const open = (text: string, nowMs = START_MS) => openToken(text, nowMs, () => Promise.resolve(key))
const base64url = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

describe('link token', () => {
  it('gives back what was sealed', async () => {
    expect(await open(token)).toEqual(claims)
    const other = { ...claims, allowDownload: false, expiresAtMs: Number.MAX_SAFE_INTEGER }
    expect(await open(sealToken(other, '2026-11', key))).toEqual(other)
  })

  it('keeps its bytes: prefix, key period, 57-byte payload, HMAC-SHA-256 over all before it', () => {
    // computed with Python's hmac
    expect(token).toBe(
      'rv1.2026-11.AQEBAQEBAQEBAQEBAQEBAQICAgICAgICAgICAgICAgIDAwMDAwMDAwMDAwMDAwMDAAABoghHAegB.iLszfTTWzDYYT6ug8a8WEYM23Suqbw1EA22OsiSLxnY',
    )
    expect(token.length).toBeLessThanOrEqual(TOKEN_MAX_CHARS)
  })

  it('refuses every text that differs in one character', async () => {
    for (let at = 0; at < token.length; at++) {
      const present = token.charAt(at)
      // the neighbour in the alphabet: at the end of a group it changes only bits that decoding drops
      const next = base64url.charAt((base64url.indexOf(present) + 1) % 64)
      expect(await open(token.slice(0, at) + next + token.slice(at + 1)), `position ${at}`).toBeUndefined()
    }
  })

  it.each([
    ['nothing', ''],
    ['junk', 'hello'],
    ['a part missing', token.slice(0, token.lastIndexOf('.'))],
    ['a part more', `${token}.x`],
    ['space before', ` ${token}`],
    ['line feed behind', `${token}\n`],
    ['padding', `${token}=`],
    ['other version', token.replace('rv1', 'rv2')],
    ['month 13', token.replace('2026-11', '2026-13')],
    ['very long', token + 'A'.repeat(10_000)],
  ])('refuses %s', async (_what, text) => {
    expect(await open(text)).toBeUndefined()
  })

  it('refuses unknown flags even with a good MAC', async () => {
    const payload = Buffer.from(token.split('.')[2] ?? '', 'base64url')
    payload[56] = 2
    const { createHmac } = await import('node:crypto')
    const signed = `rv1.2026-11.${payload.toString('base64url')}`
    const forged = `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`
    expect(await open(forged)).toBeUndefined()
  })

  it('refuses another key, another period, and an organisation without keys', async () => {
    expect(await openToken(token, START_MS, () => Promise.resolve(new Uint8Array(32)))).toBeUndefined()
    expect(await openToken(token, START_MS, () => Promise.resolve(undefined))).toBeUndefined()
    // a missing key is not the all-zero key
    const zero = sealToken(claims, '2026-11', new Uint8Array(32))
    expect(await openToken(zero, START_MS, () => Promise.resolve(undefined))).toBeUndefined()
  })

  it('asks for keys of present periods only', async () => {
    const asked: string[] = []
    const keyOf = (_organisation: string, kid: string) => {
      asked.push(kid)
      return Promise.resolve(key)
    }
    for (const kid of ['1999-01', '2026-08', '2026-09', '2026-11', '2026-12', '2027-01']) {
      await openToken(sealToken(claims, kid, key), START_MS, keyOf)
    }
    expect(asked).toEqual(['2026-09', '2026-11', '2026-12'])
  })

  it('names the period by the month in UTC', () => {
    expect(kidAt(Date.UTC(2026, 0, 1))).toBe('2026-01')
    expect(kidAt(Date.UTC(2026, 11, 31, 23, 59, 59, 999))).toBe('2026-12')
  })
})
