import { createHash } from 'node:crypto'
import type { Random } from '../../../../src/ports/system.ts'

/** Randomness that is the same on every run: SHA-256("mosaik vectors" ‖ label ‖ counter). For vectors, and nothing else. */
export function seededRandom(label: string): Random {
  let counter = 0
  let left = new Uint8Array(0)
  const bytes = (lengthBytes: number): Uint8Array<ArrayBuffer> => {
    const drawn = new Uint8Array(lengthBytes)
    for (let at = 0; at < lengthBytes;) {
      if (left.length === 0) {
        left = new Uint8Array(createHash('sha256').update(`mosaik vectors/${label}/${counter++}`).digest())
      }
      const piece = left.subarray(0, lengthBytes - at)
      drawn.set(piece, at)
      at += piece.length
      left = left.subarray(piece.length)
    }
    return drawn
  }
  return { bytes, entropy: bytes, fraction: () => 0.5 }
}
