/**
 * Arithmetic in GF(2^8) with the polynomial x^8 + x^4 + x^3 + x + 1 (0x11b, the field of AES).
 *
 * The table functions are for public data: matrices, and rows of ciphertext. Rows that hold a secret go through
 * `addScaled`, which looks nothing up.
 */

/** The field's polynomial, as it stands in fragment headers. Others are refused. */
export const FIELD_POLYNOMIAL = 0x11b

const EXP = new Uint8Array(510)
const LOG = new Uint8Array(256)

/** x · 2, without a table. */
function double(x: number): number {
  return ((x << 1) ^ ((x >> 7) * FIELD_POLYNOMIAL)) & 0xff
}

// 3 generates the multiplicative group of this field; 2 does not.
for (let power = 0, value = 1; power < 255; power++) {
  EXP[power] = value
  EXP[power + 255] = value
  LOG[value] = power
  value ^= double(value)
}

/** a · b for bytes that are public. */
export function multiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : EXP[LOG[a]! + LOG[b]!]!
}

/** 1 / a for a public byte a ≠ 0. @throws RangeError for 0, which has no inverse. */
export function invert(a: number): number {
  if (a === 0) throw new RangeError('0 has no inverse in GF(2^8)')
  return EXP[255 - LOG[a]!]!
}

/** a / b for public bytes, b ≠ 0. @throws RangeError for b = 0. */
export function divide(a: number, b: number): number {
  return multiply(a, invert(b))
}

/** The products weight · 0 … weight · 255, for the table kernel and for lookups of 16. */
export function multiplesOf(weight: number): Uint8Array<ArrayBuffer> {
  const products = new Uint8Array(256)
  for (let value = 0; value < 256; value++) products[value] = multiply(weight, value)
  return products
}

/**
 * target += weight · source, byte by byte, without any lookup or branch that depends on `source` or `target`:
 * four bytes to a word, doublings and XORs, branching on the bits of the public `weight` only.
 *
 * @param source, target equally long, a multiple of 4 bytes; secret.
 * @throws RangeError when the lengths differ or are not a multiple of 4.
 */
export function addScaled(target: Uint8Array, weight: number, source: Uint8Array): void {
  if (source.length !== target.length || source.length % 4 !== 0) {
    throw new RangeError(`rows of ${source.length} and ${target.length} bytes: equal multiples of 4 are needed`)
  }
  const from = new DataView(source.buffer, source.byteOffset, source.byteLength)
  const to = new DataView(target.buffer, target.byteOffset, target.byteLength)
  for (let at = 0; at < source.length; at += 4) {
    let word = from.getInt32(at)
    let sum = to.getInt32(at)
    for (let bits = weight; bits !== 0; bits >>= 1) {
      if ((bits & 1) !== 0) sum ^= word
      const carries = word & 0x80808080
      word = ((word ^ carries) << 1) ^ Math.imul(carries >>> 7, FIELD_POLYNOMIAL & 0xff)
    }
    to.setInt32(at, sum)
  }
}
