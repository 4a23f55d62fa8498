import { describe, expect, it } from 'vitest'
import { nativeXWing } from '../../../src/adapters/native-kem.ts'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { runSelfTest } from '../../../src/adapters/self-test.ts'
import type { HpkePrimitives } from '../../../src/crypto/kem.ts'
import { noblePrimitives } from '../../../src/crypto/noble-primitives.ts'

describe('self-test', () => {
  it('passes on node:crypto, and on noble', () => {
    runSelfTest(nodePrimitives)
    runSelfTest(noblePrimitives)
  })

  const broken: Record<string, [string, Partial<HpkePrimitives>]> = {
    'a hash': ['SHA-256', { sha256: () => new Uint8Array(32) }],
    'a key derivation': ['HKDF-Expand-SHA-384', { hkdfExpandSha384: (_k, _i, length) => new Uint8Array(length) }],
    'a keystream that starts at block 0': [
      'ChaCha20',
      { chacha20: (key, _b, length) => nodePrimitives.chacha20(key, 0, length) },
    ],
    'a comparison that says yes': ['comparison in constant time', { equal: () => true }],
    'a cipher that does not check tags': [
      'AES-256-GCM',
      {
        gcm: (key) => {
          const good = nodePrimitives.gcm(key)
          return {
            seal: good.seal.bind(good),
            sealInto: good.sealInto.bind(good),
            gmac: good.gmac.bind(good),
            openInto: good.openInto.bind(good),
            open: (nonce, aad, sealed) => good.open(nonce, aad, sealed) ?? new Uint8Array(33),
          }
        },
      },
    ],
  }
  for (const [what, [primitive, part]] of Object.entries(broken)) {
    it(`names ${primitive} for ${what}`, () => {
      expect(() => runSelfTest({ ...nodePrimitives, ...part })).toThrow(
        expect.objectContaining({ code: 'E_INTERNAL', fields: { primitive } }),
      )
    })
  }

  it('notices signatures that nobody else takes, and a verifier that takes any', () => {
    const { mldsa65 } = nodePrimitives
    const wrong: Partial<HpkePrimitives>[] = [
      { mldsa65: { ...mldsa65, keyPair: (seed) => ({ ...mldsa65.keyPair(seed), sign: () => new Uint8Array(3309) }) } },
      { mldsa65: { ...mldsa65, verify: () => true } },
      { ed25519: { ...nodePrimitives.ed25519, verify: () => true } },
      { mldsa65: { ...mldsa65, verify: () => false } },
    ]
    for (const part of wrong) expect(() => runSelfTest({ ...nodePrimitives, ...part })).toThrow(/Ed25519 and ML-DSA-65/)
  })

  it('notices an encapsulation that the other implementation does not open', () => {
    const kem = {
      ...nativeXWing,
      encapsulate: (publicKey: Uint8Array, random: Uint8Array) => ({
        ...nativeXWing.encapsulate(publicKey, random),
        sharedSecret: new Uint8Array(32),
      }),
    }
    expect(() => runSelfTest({ ...nodePrimitives, kem: () => kem })).toThrow(/X25519 \+ ML-KEM-768/)
  })

  it('notices a KEM that calculates wrongly', () => {
    const kem = { ...nativeXWing, decapsulate: () => new Uint8Array(32) }
    expect(() => runSelfTest({ ...nodePrimitives, kem: () => kem })).toThrow(/X25519 \+ ML-KEM-768/)
  })
})
