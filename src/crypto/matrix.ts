import { dataRows } from '../domain/dispersal.ts'
import { MosaikError } from '../domain/errors.ts'
import { divide, invert, multiply } from './field.ts'

/**
 * The matrix of the systematic Cauchy form (docs/FORMAT.md §2).
 *
 * Input rows are the columns, in this order: the t random rows, then the L = k − t data rows. Let s = t, or s = k when
 * t = 0. Share i is a row of k weights:
 *
 *   i < s    the unit row: share i is input row i as it is;
 *   i ≥ s    C[i][j] = 1 / (x_i ^ y_j) with x_i = 255 − i, y_j = j, each column j divided by its value in row s, then
 *            each row divided by its value in column 0. In one step:
 *
 *                C[i][j] = (x_s ^ j) / (x_i ^ j) · x_i / x_s
 *
 * So row s and column 0 are all ones, and row i depends on k and t alone, never on n: shares can be added later.
 * With k ≤ 16 and n ≤ 32 every x_i (224 … 255) differs from every y_j (0 … 15), so every square piece of C is invertible,
 * before and after scaling. From that follow: any k shares restore; any t shares are independent of the data.
 */

/** A row of k weights in GF(2^8). */
export type WeightRow = Uint8Array<ArrayBuffer>

/** Number of shares that are input rows as they are: s = t, or k when t = 0. */
export function systematicShares(k: number, t: number): number {
  return t === 0 ? k : t
}

/** Index among the input rows of each of the L data rows: t … k − 1. */
export function dataRowNumbers(k: number, t: number): number[] {
  return Array.from({ length: dataRows({ k, t }) }, (_, row) => t + row)
}

function shareRow(k: number, t: number, index: number): WeightRow {
  const row = new Uint8Array(k)
  const s = systematicShares(k, t)
  if (index < s) {
    row[index] = 1
    return row
  }
  const x = 255 - index
  const xs = 255 - s
  for (let j = 0; j < k; j++) row[j] = multiply(divide(xs ^ j, x ^ j), divide(x, xs))
  return row
}

/** The weights of the shares `indices` over the k input rows: one row of k weights a share. Pure; public data. */
export function encodeRows(k: number, t: number, indices: readonly number[]): WeightRow[] {
  return indices.map((index) => shareRow(k, t, index))
}

/**
 * The weights that restore the input rows `wanted` from the k shares `indices`, in the order given: one row of k weights
 * a wanted input row (random rows 0 … t−1, data rows t … k−1).
 *
 * @throws E_SHARES_TOO_FEW fewer or more than k indices; E_SHARES_MIXED an index given twice.
 */
export function decodeRows(k: number, t: number, indices: readonly number[], wanted: readonly number[]): WeightRow[] {
  if (indices.length !== k) {
    throw new MosaikError('E_SHARES_TOO_FEW', `exactly ${k} shares restore, ${indices.length} were given`, {
      k,
      given: indices.length,
    })
  }
  if (new Set(indices).size !== k) {
    throw new MosaikError('E_SHARES_MIXED', 'the same share was given twice', { indices: indices.map(String) })
  }
  const inverse = invertMatrix(encodeRows(k, t, indices))
  return wanted.map((row) => inverse[row]!)
}

/**
 * The weights that compute the shares `to` from the k shares `from`, in the order given: repair without decryption.
 *
 * @throws as `decodeRows`.
 */
export function recoverRows(k: number, t: number, from: readonly number[], to: readonly number[]): WeightRow[] {
  const inputs = decodeRows(
    k,
    t,
    from,
    Array.from({ length: k }, (_, row) => row),
  )
  return encodeRows(k, t, to).map((weights) => combineRows(weights, inputs))
}

function combineRows(weights: WeightRow, rows: readonly WeightRow[]): WeightRow {
  const sum = new Uint8Array(rows[0]!.length)
  rows.forEach((row, i) => {
    for (let j = 0; j < sum.length; j++) sum[j]! ^= multiply(weights[i]!, row[j]!)
  })
  return sum
}

/** The inverse of a square matrix, by Gauss and Jordan. @throws E_INTERNAL when there is none. */
export function invertMatrix(matrix: readonly Uint8Array[]): WeightRow[] {
  const size = matrix.length
  const work = matrix.map((row, i) => {
    const wide = new Uint8Array(2 * size)
    wide.set(row)
    wide[size + i] = 1
    return wide
  })
  for (let column = 0; column < size; column++) {
    const pivot = work.findIndex((row, i) => i >= column && row[column] !== 0)
    if (pivot < 0)
      throw new MosaikError('E_INTERNAL', 'a matrix of shares is singular; this cannot happen for a valid scheme')
    const row = work[pivot]!
    work[pivot] = work[column]!
    work[column] = row
    const scale = invert(row[column]!)
    for (let j = 0; j < 2 * size; j++) row[j] = multiply(row[j]!, scale)
    for (const other of work) {
      const factor = other[column]!
      if (other === row || factor === 0) continue
      for (let j = 0; j < 2 * size; j++) other[j]! ^= multiply(factor, row[j]!)
    }
  }
  return work.map((row) => row.slice(size))
}

/** True when the square matrix has an inverse. For tests and proofs of a scheme. */
export function isInvertible(matrix: readonly Uint8Array[]): boolean {
  const work = matrix.map((row) => row.slice())
  for (let column = 0; column < work.length; column++) {
    const pivot = work.findIndex((row, i) => i >= column && row[column] !== 0)
    if (pivot < 0) return false
    const row = work[pivot]!
    work[pivot] = work[column]!
    work[column] = row
    for (let i = column + 1; i < work.length; i++) {
      const factor = divide(work[i]![column]!, row[column]!)
      for (let j = column; j < work.length; j++) work[i]![j]! ^= multiply(factor, row[j]!)
    }
  }
  return true
}
