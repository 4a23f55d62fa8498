import { x25519 } from '@noble/curves/ed25519.js'
import { createHmac } from 'node:crypto'
import { expect, it } from 'vitest'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { noblePrimitives } from '../../../src/crypto/noble-primitives.ts'
import { hex, toHex } from '../../support/bytes.ts'
import { describePublished, refuses, runCases, wycheproof } from '../../support/published-vectors.ts'

const implementations = [['node:crypto', nodePrimitives], ['noble', noblePrimitives]] as const

describePublished('Wycheproof', () => {
  interface AeadGroup { readonly ivSize: number; readonly keySize: number; readonly tagSize: number }
  type Aead = Record<'key' | 'iv' | 'aad' | 'msg' | 'ct' | 'tag', string>

  it.each(implementations)('AES-256-GCM, 96-bit nonces, on %s', (_name, primitives) => {
    const cases = wycheproof<AeadGroup, Aead>('aes_gcm_test').filter(({ group }) => group.keySize === 256 && group.ivSize === 96 && group.tagSize === 128)
    const ran = runCases(cases, ({ test }) => test.tcId, ({ test }) => {
      const gcm = primitives.gcm(hex(test.key))
      const opened = gcm.open(hex(test.iv), hex(test.aad), hex(test.ct + test.tag))
      if (test.result === 'invalid') {
        expect(opened).toBeUndefined()
        return
      }
      expect(toHex(opened!)).toBe(test.msg)
      expect(toHex(gcm.seal(hex(test.iv), hex(test.aad), hex(test.msg)))).toBe(test.ct + test.tag)
      if (test.msg === '') expect(toHex(gcm.gmac(hex(test.iv), hex(test.aad)))).toBe(test.tag)
    })
    expect(ran).toBe(66)
  })

  it.each(implementations)('every other length of key, nonce or tag of AES-GCM is refused on %s', (_name, primitives) => {
    const cases = wycheproof<AeadGroup, Aead>('aes_gcm_test').filter(({ group }) => group.keySize !== 256 || group.ivSize !== 96 || group.tagSize !== 128)
    const ran = runCases(cases, ({ test }) => test.tcId, ({ test }) => {
      expect(refuses(() => primitives.gcm(hex(test.key)).open(hex(test.iv), hex(test.aad), hex(test.ct + test.tag)))).toBe(true)
    })
    // with the 66 above: all cases of the file
    expect(ran).toBe(wycheproof('aes_gcm_test').length - 66)
    expect(ran).toBe(250)
  })

  type Hkdf = Record<'ikm' | 'salt' | 'info' | 'okm', string> & { readonly size: number }

  it.each(implementations)('HKDF-SHA-256 on %s', (_name, primitives) => {
    const ran = runCases(wycheproof<object, Hkdf>('hkdf_sha256_test'), ({ test }) => test.tcId, ({ test }) => {
      const run = () => primitives.hkdfSha256(hex(test.ikm), hex(test.salt), hex(test.info), test.size)
      if (test.result === 'invalid') expect(refuses(run)).toBe(true)
      else expect(toHex(run())).toBe(test.okm)
    })
    expect(ran).toBe(86)
  })

  it.each(implementations)('HKDF-Expand-SHA-384 on %s', (_name, primitives) => {
    const ran = runCases(wycheproof<object, Hkdf>('hkdf_sha384_test'), ({ test }) => test.tcId, ({ test }) => {
      const prk = createHmac('sha384', hex(test.salt)).update(hex(test.ikm)).digest()
      const run = () => primitives.hkdfExpandSha384(prk, hex(test.info), test.size)
      if (test.result === 'invalid') expect(refuses(run)).toBe(true)
      else expect(toHex(run())).toBe(test.okm)
    })
    expect(ran).toBe(83)
  })

  it.each(implementations)('HMAC-SHA-256 on %s', (_name, primitives) => {
    const cases = wycheproof<{ readonly tagSize: number }, Record<'key' | 'msg' | 'tag', string>>('hmac_sha256_test')
    const ran = runCases(cases, ({ test }) => test.tcId, ({ group, test }) => {
      const tag = toHex(primitives.hmacSha256(hex(test.key), hex(test.msg))).slice(0, group.tagSize / 4)
      expect(tag === test.tag).toBe(test.result === 'valid')
    })
    expect(ran).toBe(174)
  })

  it('X25519', () => {
    const cases = wycheproof<object, Record<'public' | 'private' | 'shared', string>>('x25519_test')
    const ran = runCases(cases, ({ test }) => test.tcId, ({ test }) => {
      const run = () => x25519.scalarMult(hex(test.private), hex(test.public))
      // a shared secret of zeros may be refused: no honest key gives it
      if (/^0+$/.test(test.shared) && refuses(run)) return
      expect(toHex(run())).toBe(test.shared)
    })
    expect(ran).toBe(518)
  })

  it('Ed25519, as signature pairs verify it', () => {
    const cases = wycheproof<{ readonly publicKey: { readonly pk: string } }, Record<'msg' | 'sig', string>>('ed25519_test')
    const ran = runCases(cases, ({ test }) => test.tcId, ({ group, test }) => {
      for (const { ed25519 } of [nodePrimitives, noblePrimitives])
        expect(ed25519.verify(hex(group.publicKey.pk), hex(test.msg), hex(test.sig))).toBe(test.result === 'valid')
    })
    expect(ran).toBe(151)
  })
})
