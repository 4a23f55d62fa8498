import { MosaikError } from '../domain/errors.ts'

/** The two cipher suites of docs/FORMAT.md §5. */
export type Suite = 1 | 2

export interface SuiteSizes {
  readonly publicKeyBytes: number
  /** KEM ciphertext. */
  readonly encBytes: number
  /** HPKE ciphertext of a 32-byte key, with its tag. */
  readonly ctBytes: number
}

/** Sizes in bytes of what each suite puts on the wire (docs/FORMAT.md §5). */
export const suiteSizes: Readonly<Record<Suite, SuiteSizes>> = {
  1: { publicKeyBytes: 1216, encBytes: 1120, ctBytes: 48 },
  2: { publicKeyBytes: 1665, encBytes: 1665, ctBytes: 48 },
}

export const suites: readonly Suite[] = [1, 2]

/** @throws E_SUITE_UNKNOWN when `suite` is not one of docs/FORMAT.md §5. */
export function checkSuite(suite: number, what: string): Suite {
  if (suite !== 1 && suite !== 2) {
    throw new MosaikError('E_SUITE_UNKNOWN', `${what} uses suite ${suite}; this reader knows suites 1 and 2`, { suite })
  }
  return suite
}

/** key id and signer id are this many bytes (docs/FORMAT.md §5, §8). */
export const KEY_ID_BYTES = 16
/** Ed25519 (64) and ML-DSA-65 (3309) signatures (docs/FORMAT.md §8). */
export const SIGNATURE_PAIR_BYTES = 3373
export const ED25519_PUBLIC_BYTES = 32
export const MLDSA65_PUBLIC_BYTES = 1952
