import { argon2id } from '@noble/hashes/argon2.js'
import { describe, expect, it } from 'vitest'
import { drawPasscode } from '../../../src/access/passcode.ts'
import { createArgon2Passcodes } from '../../../src/adapters/argon2-passcode.ts'
import { random } from './stage.ts'

describe('a drawn passcode', () => {
  it('can be read out, and uses its letters evenly', () => {
    const drawn = Array.from({ length: 3000 }, () => drawPasscode(random))
    for (const passcode of drawn) expect(passcode).toMatch(/^[a-hjkmnp-z2-9]{4}(-[a-hjkmnp-z2-9]{4}){2}$/)
    const counts = new Map<string, number>()
    for (const letter of drawn.join('').replaceAll('-', '')) counts.set(letter, (counts.get(letter) ?? 0) + 1)
    expect(counts.size).toBe(31)
    const expected = (3000 * 12) / 31
    for (const count of counts.values()) expect(Math.abs(count - expected)).toBeLessThan(expected * 0.2)
  })
})

describe('argon2id', () => {
  const passcodes = createArgon2Passcodes(random, { memoryKib: 64, passes: 1 })

  it('knows its passcode again, and no other', async () => {
    const [one, two] = await Promise.all([passcodes.hash('secret'), passcodes.hash('secret')])
    expect(one).toMatch(/^\$argon2id\$v=19\$m=64,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
    expect(one).not.toBe(two)
    expect(await passcodes.verify('secret', one)).toBe(true)
    expect(await passcodes.verify('Secret', one)).toBe(false)
    expect(await passcodes.verify('', one)).toBe(false)
  })

  it('agrees with another implementation', async () => {
    const salt = random.bytes(16)
    const tag = argon2id('correct horse', salt, { m: 256, t: 2, p: 1, dkLen: 32, version: 0x13 })
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64').replace(/=+$/, '')
    expect(await passcodes.verify('correct horse', `$argon2id$v=19$m=256,t=2,p=1$${text(salt)}$${text(tag)}`)).toBe(
      true,
    )
  })

  it.each([
    '',
    'secret',
    '$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA',
    `$argon2id$v=19$m=9999999,t=1,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`,
  ])('refuses a hash that is not ours: %s', async (hash) => {
    await expect(passcodes.verify('secret', hash)).rejects.toMatchObject({ code: 'E_INTERNAL' })
  })

  it('does two at once, lets some wait, and refuses a flood', async () => {
    const hash = await passcodes.hash('secret')
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => passcodes.verify('secret', hash)))
    const refused = results.filter((result) => result.status === 'rejected')
    expect(results.filter((result) => result.status === 'fulfilled' && result.value)).toHaveLength(34)
    expect(refused.every(({ reason }) => reason.code === 'E_RATE_LIMIT')).toBe(true)
    expect(await passcodes.verify('secret', hash)).toBe(true)
  })
})
