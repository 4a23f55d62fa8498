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
  /** Hexadecimal; `client.ts` has the signature cover it. */
  readonly contentSha256?: string
}

/** A checksum that grows with what it is of. */
class RunningChecksum {
  readonly #integrity: Integrity
  readonly #hash: Hash | undefined
  #crc = 0

  constructor(integrity: Integrity) {
    this.#integrity = integrity
    if (integrity === 'signed-sha256') this.#hash = createHash('sha256')
    if (integrity === 'content-md5') this.#hash = createHash('md5')
  }

  update(bytes: Uint8Array): this {
    this.#hash?.update(bytes)
    if (this.#integrity === 'crc32') this.#crc = crc32(bytes, this.#crc)
    return this
  }

  /** Ends it. Call once. */
  checksum(): PartChecksum {
    if (this.#integrity === 'crc32') return { ChecksumCRC32: crcHeader(this.#crc) }
    if (this.#hash === undefined) return {}
    return this.#integrity === 'content-md5'
      ? { ContentMD5: this.#hash.digest('base64') }
      : { contentSha256: this.#hash.digest('hex') }
  }
}

/** Up to PART_BYTES of an object, with the checksum running along, so that no long hash stalls the event loop. */
export class Part {
  readonly buffer: Buffer
  readonly #checksum: RunningChecksum
  #sizeBytes = 0

  constructor(buffer: Buffer, integrity: Integrity) {
    this.buffer = buffer
    this.#checksum = new RunningChecksum(integrity)
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
    this.#checksum.update(taken)
    return chunk.subarray(taken.length)
  }

  /** Ends the part. Call once. */
  checksum(): PartChecksum {
    return this.#checksum.checksum()
  }
}

/** The checksum of bytes that lie in one piece. */
export function checksumOf(bytes: Uint8Array, integrity: Integrity): PartChecksum {
  return new RunningChecksum(integrity).update(bytes).checksum()
}

/** CRC-32 as x-amz-checksum-crc32 has it: 4 bytes, big-endian, base64. */
export function crcHeader(crc: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc)
  return bytes.toString('base64')
}
