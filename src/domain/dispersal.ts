import { MosaikError } from './errors.ts'

/**
 * A dispersal scheme (docs/FORMAT.md §2): any `k` of `n` shares restore, any `t` shares are independent of the data.
 * t = 0 is information dispersal, t = k − 1 is Shamir, between them a ramp.
 */
export interface Scheme {
  readonly k: number
  readonly n: number
  readonly t: number
}

export const MAX_K = 16
export const MAX_N = 32

/** Checks 2 ≤ k ≤ 16, k ≤ n ≤ 32, 0 ≤ t < k. @throws E_SCHEME_INVALID */
export function checkScheme({ k, n, t }: Scheme): void {
  const integers = Number.isInteger(k) && Number.isInteger(n) && Number.isInteger(t)
  if (!integers || k < 2 || k > MAX_K || n < k || n > MAX_N || t < 0 || t >= k) {
    throw new MosaikError(
      'E_SCHEME_INVALID',
      `(k, n, t) = (${k}, ${n}, ${t}) is not a scheme: 2 ≤ k ≤ ${MAX_K}, k ≤ n ≤ ${MAX_N}, 0 ≤ t < k`,
      { k, n, t },
    )
  }
}

export function sameScheme(a: Scheme, b: Scheme): boolean {
  return a.k === b.k && a.n === b.n && a.t === b.t
}

/** As people write it. */
export function schemeWords({ k, n, t }: Scheme): string {
  return `(${k}, ${n}, ${t})`
}

/** Number of data rows, L = k − t. */
export function dataRows(scheme: Pick<Scheme, 'k' | 't'>): number {
  return scheme.k - scheme.t
}

/** The scheme for a number of nodes when none is asked for: (2,3,1) for 3 or 4 nodes, (3,5,1) from 5 on. @throws E_SCHEME_INVALID */
export function defaultScheme(nodeCount: number): Scheme {
  if (nodeCount >= 5) return { k: 3, n: 5, t: 1 }
  if (nodeCount >= 3) return { k: 2, n: 3, t: 1 }
  throw new MosaikError(
    'E_SCHEME_INVALID',
    `${nodeCount} nodes cannot carry a recording: at least 3 are needed; add nodes with \`mosaik nodes add\``,
    { nodeCount },
  )
}
