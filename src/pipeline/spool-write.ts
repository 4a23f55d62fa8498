import { toHex, type Id } from '../domain/ids.ts'
import { ascii, concat } from '../crypto/bytes.ts'
import { createFloeHeader, FLOE_IV_BYTES, FLOE_NONCE_BYTES, FloeKey, SEGMENT_PLAIN_BYTES } from '../crypto/floe.ts'
import { hpkeSeal } from '../crypto/hpke.ts'
import type { HpkePrimitives } from '../crypto/kem.ts'
import { encodeSpoolHeader, SPOOL_INFO } from '../format/spool-header.ts'
import type { SpoolKeys } from '../ports/keyring.ts'
import type { SpoolFiles, SpoolFileWriter } from '../ports/spool-files.ts'
import type { Random } from '../ports/system.ts'
import { extentName, partName } from './spool-extents.ts'

/** What writing an extent needs. */
export interface ExtentPorts {
  readonly files: SpoolFiles
  readonly keys: Pick<SpoolKeys, 'spoolPublicKey'>
  readonly primitives: HpkePrimitives
  readonly random: Random
}

const DEK_BYTES = 32

/** One extent that is being written: a DEK and a FLOE message of its own. Holds one segment of plaintext, and no more. */
export class ExtentWriter {
  readonly #ports: ExtentPorts
  readonly #upload: Id
  readonly #number: number
  readonly #partName: string
  readonly #file: SpoolFileWriter
  readonly #floe: FloeKey
  readonly #maxSegments: number
  readonly #filling = new Uint8Array(SEGMENT_PLAIN_BYTES)
  #filledBytes = 0
  #segment = 0

  private constructor(
    ports: ExtentPorts,
    place: { upload: Id; number: number; partName: string; maxSegments: number },
    file: SpoolFileWriter,
    floe: FloeKey,
  ) {
    this.#ports = ports
    this.#upload = place.upload
    this.#number = place.number
    this.#partName = place.partName
    this.#maxSegments = place.maxSegments
    this.#file = file
    this.#floe = floe
  }

  /** Begins extent `number` at `offsetBytes` of the upload. @throws E_SPOOL */
  static async begin(
    ports: ExtentPorts,
    upload: Id,
    number: number,
    offsetBytes: number,
    maxSegments: number,
  ): Promise<ExtentWriter> {
    const { primitives, random, files } = ports
    const { suite, keyId, publicKey } = await ports.keys.spoolPublicKey()
    const kem = primitives.kem(suite)
    const header = encodeSpoolHeader({ suite, upload, number, offsetBytes, keyId })
    const dek = random.bytes(DEK_BYTES)
    const { enc, ct } = hpkeSeal(
      suite,
      primitives,
      publicKey,
      ascii(SPOOL_INFO),
      header,
      dek,
      random.bytes(kem.randomBytes),
    )
    const aad = primitives.sha256(header)
    const floeHeader = createFloeHeader(primitives, dek, aad, random.bytes(FLOE_IV_BYTES))
    const floe = new FloeKey(primitives, dek, aad, floeHeader)
    dek.fill(0)
    const name = partName(number, toHex(random.bytes(4)))
    const file = await files.create(upload, name)
    const writer = new ExtentWriter(ports, { upload, number, partName: name, maxSegments }, file, floe)
    try {
      await file.write(concat(header, enc, ct, floeHeader))
    } catch (error) {
      await writer.abandon()
      throw error
    }
    return writer
  }

  /** Takes bytes from the front of `chunk`; returns how many. Fewer than all only when the extent is full. @throws E_SPOOL */
  async take(chunk: Uint8Array): Promise<number> {
    let taken = 0
    while (taken < chunk.length && !this.isFull) {
      // Full and more bytes follow: only now is it known not to be the last segment.
      if (this.#filledBytes === SEGMENT_PLAIN_BYTES) await this.#seal(false)
      const part = chunk.subarray(taken, taken + SEGMENT_PLAIN_BYTES - this.#filledBytes)
      this.#filling.set(part, this.#filledBytes)
      this.#filledBytes += part.length
      taken += part.length
    }
    return taken
  }

  /** True when no byte more goes in. */
  get isFull(): boolean {
    return this.#segment === this.#maxSegments - 1 && this.#filledBytes === SEGMENT_PLAIN_BYTES
  }

  /** Seals the last segment and gives the file its name: from then on the extent counts. Returns its plaintext length. @throws E_SPOOL */
  async complete(): Promise<number> {
    const plainBytes = this.#segment * SEGMENT_PLAIN_BYTES + this.#filledBytes
    await this.#seal(true)
    await this.#file.sync()
    await this.#file.close()
    await this.#ports.files.complete(this.#upload, this.#partName, extentName(this.#number))
    this.#forget()
    return plainBytes
  }

  /** Gives the extent up; what is left of it counts for nothing. Never rejects. */
  async abandon(): Promise<void> {
    this.#forget()
    await this.#file.close().catch(() => undefined)
    await this.#ports.files.discard(this.#upload, this.#partName).catch(() => undefined)
  }

  async #seal(last: boolean): Promise<void> {
    const plaintext = this.#filling.subarray(0, this.#filledBytes)
    const nonce = this.#ports.random.bytes(FLOE_NONCE_BYTES)
    await this.#file.write(this.#floe.sealSegment(this.#segment, plaintext, last, nonce))
    if (!last) this.#segment += 1
    this.#filledBytes = 0
  }

  #forget(): void {
    this.#filling.fill(0)
    this.#floe.destroy()
  }
}
