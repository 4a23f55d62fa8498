import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { concat } from '../bytes.ts'
import { addScaled, divide, multiply } from '../field.ts'

/**
 * Shamir's sharing as SLIP-0039 has it: points of a polynomial over GF(2^8), the secret at x = 255 and at x = 254 a digest of it, so that wrong
 * shares are noticed. Not the Cauchy form of docs/FORMAT.md §2, which has neither. Nothing looks up or branches on a share's bytes.
 */
export interface Point {
  readonly x: number
  /** An even number of bytes. Secret. */
  readonly y: Uint8Array
}

/** Bytes of a cryptographic generator, fresh at every call. */
export type Draw = (lengthBytes: number) => Uint8Array

const SECRET_X = 255
const DIGEST_X = 254
const DIGEST_BYTES = 4

/** The points 0 … n − 1, any k of which give the secret. 1 ≤ k ≤ n ≤ 16; with k = 1 each is the secret itself. */
export function splitIntoPoints(k: number, n: number, secret: Uint8Array, draw: Draw): Point[] {
  if (k === 1) return Array.from({ length: n }, (_, x) => ({ x, y: secret.slice() }))
  const salt = draw(secret.length - DIGEST_BYTES)
  const free = Array.from({ length: k - 2 }, (_, x) => ({ x, y: draw(secret.length) }))
  const defining = [...free, { x: DIGEST_X, y: concat(digestOf(secret, salt), salt) }, { x: SECRET_X, y: secret }]
  return Array.from({ length: n }, (_, x) => ({ x, y: interpolate(defining, x) }))
}

/** The secret of exactly k points with different x, or `undefined` when its digest does not fit. */
export function combinePoints(points: readonly Point[]): Uint8Array<ArrayBuffer> | undefined {
  if (points.length === 1) return points[0]!.y.slice()
  const secret = interpolate(points, SECRET_X)
  const digest = interpolate(points, DIGEST_X)
  const expected = digestOf(secret, digest.subarray(DIGEST_BYTES))
  const difference = expected.reduce((bits, byte, i) => bits | (byte ^ digest[i]!), 0)
  return difference === 0 ? secret : undefined
}

function digestOf(secret: Uint8Array, salt: Uint8Array): Uint8Array {
  return hmac(sha256, salt, secret).subarray(0, DIGEST_BYTES)
}

/** The polynomial's value at a public `at`; the Lagrange weights are public too. */
function interpolate(points: readonly Point[], at: number): Uint8Array<ArrayBuffer> {
  const lengthBytes = points[0]!.y.length
  // addScaled goes by words of four bytes; a value has an even number of bytes
  const sum = new Uint8Array(4 * Math.ceil(lengthBytes / 4))
  for (const { x, y } of points) {
    const weight = points
      .filter((other) => other.x !== x)
      .reduce((product, other) => multiply(product, divide(at ^ other.x, x ^ other.x)), 1)
    const row = new Uint8Array(sum.length)
    row.set(y)
    addScaled(sum, weight, row)
  }
  return sum.slice(0, lengthBytes)
}
