import { argon2Sync } from 'node:crypto'
import { hpkeOpen, hpkeSeal } from '../crypto/hpke.ts'
import type { HpkePrimitives, Kem } from '../crypto/kem.ts'
import { encodeRows } from '../crypto/matrix.ts'
import { noblePrimitives } from '../crypto/noble-primitives.ts'
import { splitDocument } from '../crypto/shamir.ts'
import { ED25519_SIGNATURE_BYTES, signingKeys, signPair, verifyPair } from '../crypto/signature.ts'
import { MosaikError } from '../domain/errors.ts'
import { toHex } from '../domain/ids.ts'

/**
 * One known answer of every primitive, before anything is sealed or opened with it: a processor, a library or a build that
 * calculates wrongly must be noticed on that day, not at a restore. Inputs are 00 01 02 …; the answers were made by two
 * implementations each where there are two (node:crypto and noble).
 *
 * Takes a tenth of a second or two.
 *
 * @throws E_INTERNAL naming the primitive.
 */
export function runSelfTest(primitives: HpkePrimitives): void {
  for (const [primitive, answers] of Object.entries(checks(primitives))) {
    let wrong: unknown
    try {
      if (answers.every(([compute, expected]) => toHex(compute()) === expected)) continue
    } catch (error) {
      wrong = error
    }
    throw new MosaikError(
      'E_INTERNAL',
      `the self-test of ${primitive} failed: this machine or installation calculates wrongly; do not seal with it`,
      { primitive },
      wrong,
    )
  }
}

type Answer = readonly [compute: () => Uint8Array, expectedHex: string]

const NOTHING = new Uint8Array(0)

/** 00 01 02 … */
function counting(lengthBytes: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: lengthBytes }, (_, i) => i & 0xff)
}

function checks(primitives: HpkePrimitives): Readonly<Record<string, readonly Answer[]>> {
  const key = counting(32)
  const nonce = counting(12)
  const sealed = '4703d418c1e0c41c85489d80bde4766293c79527e46e496b207eff9e01741ead21bc412ae4b720c09491d8faeb8841065c'
  return {
    'SHA-256': [
      [() => primitives.sha256(counting(70)), '5767d69a906d4860db9079eb7e90ab4a543e5cb032fce846554aef6ceb600e1d'],
    ],
    'HMAC-SHA-256': [
      [
        () => primitives.hmacSha256(key, counting(70)),
        '322ba517cd1fcbbed5891f4fe938d927a338edd3463299b296afc56549c1d19a',
      ],
    ],
    'HKDF-SHA-256': [
      [
        () => primitives.hkdfSha256(key, NOTHING, counting(20), 40),
        'a8997bad5d86537420830a20a328e31377d10c2837129fbff5e40eed5b2b0a5c7ab47669497866d5',
      ],
    ],
    'HKDF-Expand-SHA-384': [
      [
        () => primitives.hkdfExpandSha384(key, counting(20), 60),
        '975e77ed7fd9719df2e4b33cca3c615d8825d67291ae115b6456d417ead7787e0f441d9fb6b9853c098c4eef690d142fafef662a76deaf1e85e7244a',
      ],
    ],
    'AES-256-GCM': [
      [() => primitives.gcm(key).seal(nonce, counting(20), counting(33)), sealed],
      [
        () =>
          primitives.gcm(key).open(nonce, counting(20), primitives.gcm(key).seal(nonce, counting(20), counting(33)))!,
        toHex(counting(33)),
      ],
      // a changed tag must not open, nor a tag cut to four bytes
      [() => refused(primitives.gcm(key).open(nonce, NOTHING, new Uint8Array(49))), '01'],
      [
        () =>
          refused(
            primitives
              .gcm(key)
              .open(nonce, counting(20), primitives.gcm(key).seal(nonce, counting(20), counting(33)).subarray(0, 37)),
          ),
        '01',
      ],
    ],
    'AES-256-GMAC': [[() => primitives.gcm(key).gmac(nonce, counting(48)), 'f3c981da8a47422d7cbdc1da99601c44']],
    ChaCha20: [
      [
        () => primitives.chacha20(key, 1, 80),
        '18b84231ade6a6d113615c61af434e27f8b1f3f5e1ad5b5cecf8fc122a35755c7208086dd1ee3c5d9d815824640e003c9ba0f65ede5d59ce0d2a4a7f31955acd42f22ddca74a92d56ca78aef298e723b',
      ],
    ],
    'comparison in constant time': [
      [() => Uint8Array.of(Number(primitives.equal(key, counting(32)))), '01'],
      [() => Uint8Array.of(Number(primitives.equal(key, counting(31)))), '00'],
      [() => Uint8Array.of(Number(primitives.equal(key, new Uint8Array(32)))), '00'],
    ],
    'sharing over GF(2^8)': [
      [() => encodeRows(3, 1, [4])[0]!, SHARE_ROW],
      [() => splitDocument(2, 3, counting(16), new Uint8Array(16).fill(0x80))[2]!, SHARE_BYTES],
    ],
    'X25519 + ML-KEM-768': kemAnswers(
      primitives,
      1,
      'c9a3565ffde4f72b51661be391ee13e46378d7f06dd5c8bf5af9d2cfb5b8336b',
      '351ec305905fa2cd88554c7e1d6a61b8f3c6fdbfdc5ac27568a4c9499e137124',
      '6a05d1e95ce5c4c0d128aa41e1e027c319cb700ff700f6b05c5d60c1a55d0b21',
    ),
    'ML-KEM-1024 + P-384': kemAnswers(
      primitives,
      2,
      'a8a5a7c2ee19c31f2b003586440acef7759b5a88bd499219b8083c78e385e64f',
      '3ba65d77e199ad40090a7ce2427334bdf7ceee4061704278529a6485901340a2',
      'd35c99154969f8c04e3d11b59a05978211167338f496cfabf6a485b4d8f21aed',
    ),
    HPKE: [[() => hpkeRoundTrip(primitives), HPKE_CT + toHex(counting(32))]],
    'Ed25519 and ML-DSA-65': [[() => signatureAnswer(primitives), SIGNATURE_HASHES + '01010000']],
    argon2id: [
      [
        () =>
          argon2Sync('argon2id', {
            message: counting(8),
            nonce: counting(16),
            memory: 64,
            passes: 2,
            parallelism: 2,
            tagLength: 32,
          }),
        '4a4adef4a7d07969c2d89e3a9157efa807d04ee23cc2d0c99246ac338adecf26',
      ],
    ],
  }
}

const SHARE_ROW = '0132d6'
const SHARE_BYTES = '804b0dc6814a0cc782490fc483480ec5'
const HPKE_CT = 'fa37000503d88281e741f8add431d17ee3e91354477e39b425c561de5bffce03a31ad8c3d2e3648ee9ddca75c092f4de'
const SIGNATURE_HASHES =
  '4da18c0021d808309c77b43cacfad0f57dba0baf81ae20a6ac3461a5ea92c8fe' +
  '3fd7f56dda2b798341e95713b0ec62e3ccb1c9e83d7b8fd6b2a06438a8484f9d'

function refused(opened: Uint8Array | undefined): Uint8Array {
  return Uint8Array.of(Number(opened === undefined))
}

/** Public key and encapsulation by their SHA-256; the secret by both sides. Encapsulation is noble's: it takes randomness. */
function kemAnswers(
  primitives: HpkePrimitives,
  suite: 1 | 2,
  publicKey: string,
  enc: string,
  secret: string,
): Answer[] {
  const seed = counting(32)
  const [kem, portable] = [primitives.kem(suite), noblePrimitives.kem(suite)]
  const encapsulated = () => portable.encapsulate(kem.keyPair(seed).publicKey, counting(portable.randomBytes))
  return [
    [() => primitives.sha256(kem.keyPair(seed).publicKey), publicKey],
    [() => primitives.sha256(encapsulated().enc), enc],
    [() => encapsulated().sharedSecret, secret],
    [() => kem.decapsulate(seed, encapsulated().enc), secret],
    [() => ownEncapsulation(kem, portable, seed), '01'],
  ]
}

/** Whether the other implementation opens what this one encapsulates. */
function ownEncapsulation(kem: Kem, other: Kem, seed: Uint8Array): Uint8Array {
  const { enc, sharedSecret } = kem.encapsulate(kem.keyPair(seed).publicKey, counting(kem.randomBytes))
  return Uint8Array.of(Number(toHex(other.decapsulate(seed, enc)) === toHex(sharedSecret)))
}

function hpkeRoundTrip(primitives: HpkePrimitives): Uint8Array {
  const [seed, info, aad] = [counting(32), counting(4), counting(5)]
  const { publicKey } = primitives.kem(1).keyPair(seed)
  const random = counting(noblePrimitives.kem(1).randomBytes)
  const { enc, ct } = hpkeSeal(1, noblePrimitives, publicKey, info, aad, counting(32), random)
  return Uint8Array.of(...ct, ...hpkeOpen(1, primitives, seed, enc, info, aad, ct))
}

/** Ed25519 signature of one pair, ML-DSA signature of another. */
function halves(first: Uint8Array, second: Uint8Array): Uint8Array {
  return Uint8Array.of(...first.subarray(0, ED25519_SIGNATURE_BYTES), ...second.subarray(ED25519_SIGNATURE_BYTES))
}

/** Ed25519 by the signature; ML-DSA by noble's, which is deterministic, and by each verifying what the other signed. */
function signatureAnswer(primitives: HpkePrimitives): Uint8Array {
  const context = 'mosaik/v1/share'
  const [keys, portable] = [signingKeys(primitives, counting(32)), signingKeys(noblePrimitives, counting(32))]
  const [own, known] = [keys, portable].map((pair) => signPair(pair, context, counting(10))) as [Uint8Array, Uint8Array]
  const hashes = [primitives.sha256(own.subarray(0, 64)), primitives.sha256(known.subarray(64))]
  // each half must be refused by itself: a pair falls with either
  const other = signPair(portable, context, counting(11))
  const verdicts = [
    verifyPair(noblePrimitives, portable.publicKeys, context, counting(10), own),
    ...[known, halves(known, other), halves(other, known)].map((pair) =>
      verifyPair(primitives, keys.publicKeys, context, counting(10), pair),
    ),
  ]
  return Uint8Array.of(...hashes[0]!, ...hashes[1]!, ...verdicts.map(Number))
}
