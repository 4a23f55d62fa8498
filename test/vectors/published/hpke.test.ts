import { gcm } from '@noble/ciphers/aes.js'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { expand, extract } from '@noble/hashes/hkdf.js'
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js'
import { turboshake128, turboshake256 } from '@noble/hashes/sha3-addons.js'
import { shake128, shake256 } from '@noble/hashes/sha3.js'
import { ml_kem768_p256 } from '@noble/post-quantum/hybrid.js'
import { ml_kem1024, ml_kem512, ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { expect, it } from 'vitest'
import { nativeXWing } from '../../../src/adapters/native-kem.ts'
import { ascii, concat, u16 } from '../../../src/crypto/bytes.ts'
import { hpkeKeySchedule, hpkeSuiteId, type HpkeSecrets } from '../../../src/crypto/hpke.ts'
import { nobleKem } from '../../../src/crypto/kem.ts'
import { hex, toHex } from '../../support/bytes.ts'
import { describePublished, readVectorJson, runCases } from '../../support/published-vectors.ts'

interface Vector {
  readonly kem_id: number
  readonly kdf_id: number
  readonly aead_id: number
  readonly info: string
  readonly ikmE: string
  readonly skRm: string
  readonly pkRm: string
  readonly enc: string
  readonly shared_secret: string
  readonly suite_id: string
  readonly key: string
  readonly base_nonce: string
  readonly exporter_secret: string
  readonly encryptions: readonly Record<'aad' | 'ct' | 'nonce' | 'pt', string>[]
}

const hkdfs = new Map([1, 2, 3].map((id) => [id, [sha256, sha384, sha512][id - 1]!]))
const xofs = new Map<number, typeof shake128 | typeof turboshake128>([[0x10, shake128], [0x11, shake256], [0x12, turboshake128], [0x13, turboshake256]])
const secretBytes = new Map([[0x10, 32], [0x11, 64], [0x12, 32], [0x13, 64]])
const keyBytes = new Map([[1, 16], [2, 32], [3, 32]])

/** Decapsulations that there are: HPKE's DHKEM is not part of the vault. */
const decapsulate = new Map<number, (seed: Uint8Array, enc: Uint8Array) => Uint8Array>([
  [0x40, (seed, enc) => ml_kem512.decapsulate(enc, ml_kem512.keygen(seed).secretKey)],
  [0x41, (seed, enc) => ml_kem768.decapsulate(enc, ml_kem768.keygen(seed).secretKey)],
  [0x42, (seed, enc) => ml_kem1024.decapsulate(enc, ml_kem1024.keygen(seed).secretKey)],
  [0x50, (seed, enc) => ml_kem768_p256.decapsulate(enc, seed)],
  [0x51, (seed, enc) => nobleKem(2).decapsulate(seed, enc)],
  [0x647a, (seed, enc) => nobleKem(1).decapsulate(seed, enc)],
])

/** Key schedule of one-stage KDFs (draft-ietf-hpke-pq): a check of the vectors, not used by the vault. */
function oneStage(vector: Vector, suiteId: Uint8Array): HpkeSecrets {
  const prefixed = (bytes: Uint8Array) => concat(u16(bytes.length), bytes)
  const none = new Uint8Array(0)
  const [nk, nh] = [keyBytes.get(vector.aead_id)!, secretBytes.get(vector.kdf_id)!]
  const secrets = concat(prefixed(none), prefixed(hex(vector.shared_secret)))
  const context = concat(Uint8Array.of(0), prefixed(none), prefixed(hex(vector.info)))
  const length = nk + 12 + nh
  const input = concat(secrets, ascii('HPKE-v1'), suiteId, prefixed(ascii('secret')), u16(length), context)
  const output = xofs.get(vector.kdf_id)!(input, { dkLen: length })
  return { key: output.slice(0, nk), baseNonce: output.slice(nk, nk + 12), exporterSecret: output.slice(nk + 12) }
}

function twoStage(vector: Vector, suiteId: Uint8Array): HpkeSecrets {
  const hash = hkdfs.get(vector.kdf_id)!
  const kdf = {
    hashBytes: hash.outputLen,
    extract: (salt: Uint8Array, ikm: Uint8Array) => extract(hash, ikm, salt),
    expand: (prk: Uint8Array, info: Uint8Array, length: number) => expand(hash, prk, info, length),
  }
  return hpkeKeySchedule(suiteId, kdf, keyBytes.get(vector.aead_id)!, 12, hex(vector.shared_secret), hex(vector.info))
}

const nameOf = ({ kem_id, kdf_id, aead_id }: Vector) => `KEM 0x${kem_id.toString(16)}, KDF ${kdf_id}, AEAD ${aead_id}`
const load = () => readVectorJson<Vector[]>('hpke-pq/hpke-pq-test-vectors.json')

describePublished('HPKE, draft-ietf-hpke-pq', () => {
  it('key schedules and all ciphertexts', () => {
    let opened = 0
    const ran = runCases(load(), nameOf, (vector) => {
      const suiteId = hpkeSuiteId(vector.kem_id, vector.kdf_id, vector.aead_id)
      expect(toHex(suiteId)).toBe(vector.suite_id)
      const { key, baseNonce, exporterSecret } = (hkdfs.has(vector.kdf_id) ? twoStage : oneStage)(vector, suiteId)
      expect([key, baseNonce, exporterSecret].map(toHex)).toEqual([vector.key, vector.base_nonce, vector.exporter_secret])
      const aead = vector.aead_id === 3 ? chacha20poly1305 : gcm
      opened += runCases(vector.encryptions, ({ nonce }) => nonce, ({ aad, ct, nonce, pt }) => {
        expect(toHex(aead(key, hex(nonce), hex(aad)).decrypt(hex(ct)))).toBe(pt)
      })
      expect(vector.encryptions[0]!.nonce).toBe(vector.base_nonce)
    })
    expect([ran, opened]).toEqual([13, 130])
  })

  it('shared secrets of the lattice and hybrid KEMs', () => {
    const vectors = load().filter(({ kem_id }) => decapsulate.has(kem_id))
    const ran = runCases(vectors, nameOf, (vector) => {
      expect(toHex(decapsulate.get(vector.kem_id)!(hex(vector.skRm), hex(vector.enc)))).toBe(vector.shared_secret)
    })
    expect(ran).toBe(9)
  })

  it('keys and encapsulations of the suites of the vault', () => {
    const suites = new Map([[0x647a, 1], [0x51, 2]])
    const vectors = load().filter(({ kem_id }) => suites.has(kem_id))
    const ran = runCases(vectors, nameOf, (vector) => {
      const kem = nobleKem(suites.get(vector.kem_id)!)
      expect(toHex(kem.keyPair(hex(vector.skRm)).publicKey)).toBe(vector.pkRm)
      const { enc, sharedSecret } = kem.encapsulate(hex(vector.pkRm), hex(vector.ikmE))
      expect([toHex(enc), toHex(sharedSecret)]).toEqual([vector.enc, vector.shared_secret])
      if (vector.kem_id === nativeXWing.id) {
        expect(toHex(nativeXWing.decapsulate(hex(vector.skRm), hex(vector.enc)))).toBe(vector.shared_secret)
      }
    })
    expect(ran).toBe(3)
  })
})
