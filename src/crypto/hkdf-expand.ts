/** A MAC over parts, one behind the other: HMAC with some hash. */
export type Mac = (key: Uint8Array, ...parts: Uint8Array[]) => Uint8Array

/**
 * HKDF-Expand (RFC 5869 §2.3) over any HMAC. Libraries have it only together with extract, or refuse a key that is shorter
 * than the hash, as FLOE's 32-byte keys under SHA-384 are.
 *
 * @param hashBytes output length of the HMAC.
 * @throws RangeError for more than 255 · hashBytes.
 */
export function hkdfExpand(
  mac: Mac,
  hashBytes: number,
  prk: Uint8Array,
  info: Uint8Array,
  lengthBytes: number,
): Uint8Array<ArrayBuffer> {
  if (lengthBytes > 255 * hashBytes) throw new RangeError(`HKDF cannot give ${lengthBytes} bytes`)
  const output = new Uint8Array(lengthBytes)
  let block: Uint8Array = new Uint8Array(0)
  for (let at = 0, counter = 1; at < lengthBytes; at += hashBytes, counter++) {
    block = mac(prk, block, info, Uint8Array.of(counter))
    output.set(block.subarray(0, lengthBytes - at), at)
  }
  return output
}
