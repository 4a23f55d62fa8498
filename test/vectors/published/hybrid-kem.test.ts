import { expect, it } from 'vitest'
import { nativeXWing } from '../../../src/adapters/native-kem.ts'
import { nobleKem } from '../../../src/crypto/kem.ts'
import { hex, toHex } from '../../support/bytes.ts'
import { describePublished, readVectorJson, runCases } from '../../support/published-vectors.ts'

type XWing = Record<'seed' | 'eseed' | 'pk' | 'ct' | 'ss', string>
type Hybrid = Record<'seed' | 'randomness' | 'pk' | 'ct' | 'ss', string>

describePublished('X-Wing, draft-connolly-cfrg-xwing-kem', () => {
  it('noble and native', () => {
    const ran = runCases(readVectorJson<XWing[]>('xwing/xwing-test-vectors.json'), ({ seed }) => seed, (vector) => {
      const noble = nobleKem(1)
      const { enc, sharedSecret } = noble.encapsulate(hex(vector.pk), hex(vector.eseed))
      expect([toHex(enc), toHex(sharedSecret)]).toEqual([vector.ct, vector.ss])
      for (const kem of [noble, nativeXWing]) {
        expect(toHex(kem.keyPair(hex(vector.seed)).publicKey)).toBe(vector.pk)
        expect(toHex(kem.decapsulate(hex(vector.seed), hex(vector.ct)))).toBe(vector.ss)
      }
    })
    expect(ran).toBe(3)
  })
})

describePublished('CFRG hybrid KEMs', () => {
  it.each([
    ['MLKEM768X25519', [nobleKem(1), nativeXWing]],
    ['MLKEM1024P384', [nobleKem(2)]],
  ] as const)('%s', (name, kems) => {
    const ran = runCases(readVectorJson<Hybrid[]>(`noble-hybrids/${name}.json`), ({ seed }) => seed, (vector) => {
      const { enc, sharedSecret } = kems[0].encapsulate(hex(vector.pk), hex(vector.randomness))
      expect([toHex(enc), toHex(sharedSecret)]).toEqual([vector.ct, vector.ss])
      for (const kem of kems) {
        expect(toHex(kem.keyPair(hex(vector.seed)).publicKey)).toBe(vector.pk)
        expect(toHex(kem.decapsulate(hex(vector.seed), hex(vector.ct)))).toBe(vector.ss)
      }
    })
    expect(ran).toBe(10)
  })
})
