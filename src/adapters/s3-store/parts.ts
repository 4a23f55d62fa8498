import { createHash, type Hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Integrity } from '../../ports/node-driver.ts'
import { PART_BYTES } from '../object-key.ts'

/** Buffers kept for the next writer; more are given back to the system. */
const KEPT = 6

/** Memory of parts, used again: fresh pages cost more than the copying. */
export class PartPool {
  readonly #free: Buffer[] = []

  /** A buffer of PART_BYTES with anything in it. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(PART_BYTES)
  }

  /** Gives a buffer back. Only when no request can still be sending it. */
  give(buffer: Buffer): void {
    if (this.#free.length < KEPT) this.#free.push(buffer)
  }
}

/** The checksum of a part in the form that the node enforces. */
export interface PartChecksum {
  readonly ContentMD5?: string
  readonly ChecksumCRC32?: string
}

/** Up to PART_BYTES of an object, with the checksum running along, so that no long hash stalls the event loop. */
export class Part {
  readonly buffer: Buffer
  readonly #md5: Hash | undefined
  readonly #wantsCrc: boolean
  #crc = 0
  #sizeBytes = 0

  constructor(buffer: Buffer, integrity: Integrity) {
    this.buffer = buffer
    this.#md5 = integrity === 'content-md5' ? createHash('md5') : undefined
    this.#wantsCrc = integrity === 'crc32'
  }

  get bytes(): Buffer {
    return this.buffer.subarray(0, this.#sizeBytes)
  }

  get isFull(): boolean {
    return this.#sizeBytes === PART_BYTES
  }

  /** Copies as much of `chunk` as fits; gives back what did not. */
  fill(chunk: Uint8Array): Uint8Array {
    const taken = chunk.subarray(0, PART_BYTES - this.#sizeBytes)
    this.buffer.set(taken, this.#sizeBytes)
    this.#sizeBytes += taken.length
    this.#md5?.update(taken)
    if (this.#wantsCrc) this.#crc = crc32(taken, this.#crc)
    return chunk.subarray(taken.length)
  }

  /** Ends the part. Call once. */
  checksum(): PartChecksum {
    if (this.#md5 !== undefined) return { ContentMD5: this.#md5.digest('base64') }
    return this.#wantsCrc ? { ChecksumCRC32: crcHeader(this.#crc) } : {}
  }
}

/** The checksum of bytes that lie in one piece. */
export function checksumOf(bytes: Uint8Array, integrity: Integrity): PartChecksum {
  if (integrity === 'content-md5') return { ContentMD5: createHash('md5').update(bytes).digest('base64') }
  return integrity === 'crc32' ? { ChecksumCRC32: crcHeader(crc32(bytes)) } : {}
}

/** CRC-32 as x-amz-checksum-crc32 has it: 4 bytes, big-endian, base64. */
export function crcHeader(crc: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc)
  return bytes.toString('base64')
}
