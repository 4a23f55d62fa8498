import { ascii, concat } from '../../crypto/bytes.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { decodeMnemonic, type Share } from '../../crypto/slip39/mnemonic.ts'
import { combineMnemonics, combineShares, splitToMnemonics } from '../../crypto/slip39/slip39.ts'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import { toHex } from '../../domain/ids.ts'
import type { Clock, Random } from '../../ports/system.ts'
import { fromBase64, toBase64, type Custody } from './sealed-file.ts'

/** A master key in the hands of officers. */
export interface NewCustody {
  /** 32 bytes. */
  readonly masterKey: Uint8Array
  readonly custody: Custody
  /** One for each officer, in order of share number; each a secret. */
  readonly mnemonics: readonly string[]
}

/** Shares that were given and do not suffice yet are forgotten after this long without another one. */
export const SHARES_KEPT_MS = 15 * 60_000

/**
 * Draws a master key and splits it into shares of words (SLIP-0039), any `threshold` of `officers` of which give it back. Every share was
 * combined with others once before this answers.
 *
 * @throws E_SCHEME_INVALID unless 2 ≤ threshold ≤ officers ≤ 16
 */
export function splitMasterKey(
  { primitives, random }: { readonly primitives: Primitives; readonly random: Random },
  officers: number,
  threshold: number,
): NewCustody {
  if (threshold < 2) {
    throw new MosaikError('E_SCHEME_INVALID', 'a threshold below 2 is no custody: one officer alone would do')
  }
  const masterKey = random.bytes(32)
  const id = random.bytes(16)
  const mnemonics = splitToMnemonics(threshold, officers, masterKey, (lengthBytes) => random.bytes(lengthBytes))
  mnemonics.forEach((_, first) => {
    const some = Array.from({ length: threshold }, (__, i) => mnemonics[(first + i) % officers]!)
    if (!primitives.equal(combineMnemonics(some), masterKey)) {
      throw new MosaikError('E_INTERNAL', 'the shares do not give the key back; none was shown')
    }
  })
  const hashes = mnemonics.map((words) => toBase64(shareHash(primitives, id, decodeMnemonic(words, 1))))
  return { masterKey, mnemonics, custody: { id: toBase64(id), threshold, shares: hashes } }
}

/** What officers recognise a vault's custody by: 16 hexadecimal digits, the same on every share's page and in every status. */
export function custodyFingerprint({ id }: Custody): string {
  return toHex(fromBase64(id)).slice(0, 16)
}

/** A share is 32 random bytes: its hash says nothing that a guess could be tried on. */
function shareHash(primitives: Primitives, id: Uint8Array, { memberIndex, value }: Share): Uint8Array {
  return primitives.sha256(concat(ascii('mosaik/keyring/v1/share'), id, Uint8Array.of(memberIndex), value))
}

/** Shares as officers give them, until they suffice. Each is judged by itself, when it comes. */
export class ShareCollector {
  readonly #custody: Custody
  readonly #primitives: Primitives
  readonly #clock: Clock
  readonly #shares = new Map<number, Share>()
  #lastAtMs = 0

  constructor(custody: Custody, { primitives, clock }: { readonly primitives: Primitives; readonly clock: Clock }) {
    this.#custody = custody
    this.#primitives = primitives
    this.#clock = clock
  }

  get threshold(): number {
    return this.#custody.threshold
  }

  get officers(): number {
    return this.#custody.shares.length
  }

  get fingerprint(): string {
    return custodyFingerprint(this.#custody)
  }

  /** How many shares are here; never which. */
  get given(): number {
    this.forgetExpired()
    return this.#shares.size
  }

  /**
   * Takes one share. Gives the master key when they suffice, and has then forgotten all of them.
   *
   * @throws E_KEYRING_SHARE: mistyped, of another vault, of an earlier custody, or here already; those given before stay
   */
  give(words: string): Uint8Array | undefined {
    this.forgetExpired()
    const share = decoded(words)
    const known = this.#custody.shares[share.memberIndex]
    const hash = shareHash(this.#primitives, fromBase64(this.#custody.id), share)
    if (known === undefined || !this.#primitives.equal(hash, fromBase64(known))) {
      share.value.fill(0)
      throw shareError(
        `this share is well written and does not belong to vault ${this.fingerprint}: it is of another vault, or of an earlier custody of this one`,
      )
    }
    if (this.#shares.has(share.memberIndex)) {
      share.value.fill(0)
      throw shareError(`share ${share.memberIndex + 1} was given already: another officer's is needed`)
    }
    this.#shares.set(share.memberIndex, share)
    this.#lastAtMs = this.#clock.monotonicMs()
    if (this.#shares.size < this.threshold) return undefined
    try {
      return combineShares([...this.#shares.values()])
    } finally {
      this.forget()
    }
  }

  /** Overwrites the shares, as far as JavaScript can. */
  forget(): void {
    for (const { value } of this.#shares.values()) value.fill(0)
    this.#shares.clear()
  }

  /** Forgets shares that nobody added to for `SHARES_KEPT_MS`; true when there were some. */
  forgetExpired(): boolean {
    if (this.#shares.size === 0 || this.#clock.monotonicMs() - this.#lastAtMs < SHARES_KEPT_MS) return false
    this.forget()
    return true
  }
}

function decoded(words: string): Share {
  try {
    return decodeMnemonic(words, 1)
  } catch (error) {
    if (!isMosaikError(error, 'E_RECOVERY_KEY')) throw error
    throw shareError(error.message.replace(/^share 1 /, 'the share '))
  }
}

function shareError(message: string): MosaikError {
  return new MosaikError('E_KEYRING_SHARE', message)
}
