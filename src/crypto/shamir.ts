import { checkScheme } from '../domain/dispersal.ts'
import { MosaikError } from '../domain/errors.ts'
import { addScaled } from './field.ts'
import { decodeRows, encodeRows } from './matrix.ts'

/**
 * Splitting of small documents, such as the sealed manifest: t = k − 1, so L = 1, in the same Cauchy form as content
 * (docs/FORMAT.md §2, §6). Nothing here looks up or branches on a share's bytes.
 *
 * Combining wrong shares gives wrong bytes, without an error: a tag or a signature must follow.
 */

const UNIT_BYTES = 16

/** One share of a document. */
export interface DocumentShare {
  readonly index: number
  readonly bytes: Uint8Array
}

/** Length of a share of a document, in bytes: 16·⌈length / 16⌉. */
export function documentShareBytes(lengthBytes: number): number {
  return UNIT_BYTES * Math.ceil(lengthBytes / UNIT_BYTES)
}

/** Random bytes that `splitDocument` needs: k − 1 rows. */
export function documentRandomBytes(k: number, lengthBytes: number): number {
  return (k - 1) * documentShareBytes(lengthBytes)
}

/**
 * The n shares of a document, in order of index. Any k restore it, k − 1 say nothing but its length.
 *
 * @param randomRows `documentRandomBytes(k, bytes.length)` fresh random bytes, used for nothing else.
 * @throws E_SCHEME_INVALID; RangeError when there are more or fewer random bytes.
 */
export function splitDocument(
  k: number,
  n: number,
  bytes: Uint8Array,
  randomRows: Uint8Array,
): Uint8Array<ArrayBuffer>[] {
  checkScheme({ k, n, t: k - 1 })
  const rowBytes = documentShareBytes(bytes.length)
  if (randomRows.length !== documentRandomBytes(k, bytes.length)) {
    throw new RangeError(`${randomRows.length} random bytes for ${k - 1} rows of ${rowBytes}`)
  }
  const data = new Uint8Array(rowBytes)
  data.set(bytes)
  const rows = Array.from({ length: k }, (_, j) =>
    j < k - 1 ? randomRows.subarray(j * rowBytes, (j + 1) * rowBytes) : data,
  )
  const indices = Array.from({ length: n }, (_, i) => i)
  return encodeRows(k, k - 1, indices).map((weights) => weigh(weights, rows, rowBytes))
}

/**
 * The document from exactly k of its shares; further ones are not looked at.
 *
 * @param length of the document in bytes, from the shares' headers.
 * @throws E_SCHEME_INVALID for k or an index outside §2; E_SHARES_TOO_FEW; E_SHARES_MIXED an index twice;
 *   E_FORMAT_LENGTH a share whose length does not fit `length`.
 */
export function combineDocument(k: number, shares: readonly DocumentShare[], length: number): Uint8Array<ArrayBuffer> {
  const used = shares.slice(0, k)
  const indices = used.map((share) => share.index)
  // an index says how large n must have been at least; checkScheme knows the limits
  checkScheme({ k, n: Math.max(k, ...indices.map((index) => index + 1)), t: k - 1 })
  const outside = indices.find((index) => !Number.isInteger(index) || index < 0)
  if (outside !== undefined)
    throw new MosaikError('E_SCHEME_INVALID', `there is no share ${outside}`, { index: outside })
  const weights = decodeRows(k, k - 1, indices, [k - 1])[0]!
  const rowBytes = documentShareBytes(length)
  const wrong = used.find((share) => share.bytes.length !== rowBytes)
  if (wrong !== undefined) {
    throw new MosaikError('E_FORMAT_LENGTH', `share ${wrong.index} has ${wrong.bytes.length} bytes, not ${rowBytes}`, {
      index: wrong.index,
    })
  }
  return weigh(
    weights,
    used.map((share) => share.bytes),
    rowBytes,
  ).slice(0, length)
}

function weigh(weights: Uint8Array, rows: readonly Uint8Array[], rowBytes: number): Uint8Array<ArrayBuffer> {
  const sum = new Uint8Array(rowBytes)
  rows.forEach((row, j) => {
    if (weights[j] !== 0) addScaled(sum, weights[j]!, row)
  })
  return sum
}
