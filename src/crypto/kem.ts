import { ml_kem1024_p384, ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js'
import { MosaikError } from '../domain/errors.ts'
import type { Primitives } from './primitives.ts'

/**
 * A key encapsulation mechanism whose private key is a seed. Decapsulation never says no: with a wrong key or ciphertext
 * it gives a wrong secret (FIPS 203, implicit rejection), and something that can fail must follow.
 */
export interface Kem {
  /** IANA HPKE KEM identifier. */
  readonly id: number
  readonly publicKeyBytes: number
  readonly encBytes: number
  readonly randomBytes: number
  /** The same seed gives the same keys on every implementation. @param seed 32 bytes. @throws RangeError for another length. */
  keyPair(seed: Uint8Array): KemKeyPair
  /**
   * @param random `randomBytes` fresh random bytes.
   * @throws Error when the public key is not one.
   */
  encapsulate(
    publicKey: Uint8Array,
    random: Uint8Array,
  ): { enc: Uint8Array<ArrayBuffer>; sharedSecret: Uint8Array<ArrayBuffer> }
  /** @throws Error when `enc` cannot have come from any encapsulation; most wrong ones give a wrong secret instead. */
  decapsulate(seed: Uint8Array, enc: Uint8Array): Uint8Array<ArrayBuffer>
}

/** The seed is the private key. */
export interface KemKeyPair {
  readonly publicKey: Uint8Array<ArrayBuffer>
  readonly seed: Uint8Array<ArrayBuffer>
}

/** What HPKE needs. Those that may only check blocks get `Primitives`, which wrap and unwrap nothing. */
export interface HpkePrimitives extends Primitives {
  /** The KEM of a suite of docs/FORMAT.md §5. @throws E_SUITE_UNKNOWN */
  kem(suite: number): Kem
}

/** Suites of docs/FORMAT.md §5: 1 = X25519 + ML-KEM-768 (X-Wing, 0x647a), 2 = ML-KEM-1024 + P-384 (0x0051). */
export type SuiteId = 1 | 2

/** Bytes of a private key of either suite. */
export const kemSeedBytes = 32

type NobleHybrid = typeof ml_kem768_x25519

/** On noble: portable, and not promised to be constant time. */
class NobleKem implements Kem {
  readonly id: number
  readonly publicKeyBytes: number
  readonly encBytes: number
  readonly randomBytes: number
  readonly #hybrid: NobleHybrid

  constructor(id: number, hybrid: NobleHybrid) {
    this.id = id
    this.publicKeyBytes = hybrid.lengths.publicKey!
    this.encBytes = hybrid.lengths.cipherText!
    this.randomBytes = hybrid.lengths.msgRand!
    this.#hybrid = hybrid
  }

  keyPair(seed: Uint8Array): KemKeyPair {
    if (seed.length !== kemSeedBytes) throw new RangeError(`a KEM seed has ${kemSeedBytes} bytes`)
    return { publicKey: owned(this.#hybrid.keygen(seed).publicKey), seed: Uint8Array.from(seed) }
  }

  encapsulate(publicKey: Uint8Array, random: Uint8Array) {
    const { cipherText, sharedSecret } = this.#hybrid.encapsulate(publicKey, random)
    return { enc: owned(cipherText), sharedSecret: owned(sharedSecret) }
  }

  decapsulate(seed: Uint8Array, enc: Uint8Array): Uint8Array<ArrayBuffer> {
    return owned(this.#hybrid.decapsulate(enc, seed))
  }
}

function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}

const nobleKems: Readonly<Record<SuiteId, Kem>> = {
  1: new NobleKem(0x647a, ml_kem768_x25519),
  2: new NobleKem(0x0051, ml_kem1024_p384),
}

/** The KEM of a suite, on noble. @throws E_SUITE_UNKNOWN */
export function nobleKem(suite: number): Kem {
  if (suite === 1 || suite === 2) return nobleKems[suite]
  throw new MosaikError('E_SUITE_UNKNOWN', `suite ${suite} is not known; 1 and 2 are`, { suite })
}
