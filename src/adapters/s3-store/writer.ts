import { crc32 } from 'node:zlib'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  UploadPartCommand,
  type CompletedPart,
} from '@aws-sdk/client-s3'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { Integrity } from '../../ports/node-driver.ts'
import type { ObjectInfo, ObjectWriter } from '../../ports/object-store.ts'
import { aborted, checkSignal } from '../object-key.ts'
import type { S3Caller } from './caller.ts'
import { abortUpload, abortUploads, deleteEverything } from './deletion.ts'
import { Part, type PartChecksum, type PartPool } from './parts.ts'
import { crcOfObject, headObject, notAsWritten } from './reading.ts'

/** Parts on their way at once; with the one being filled, a writer holds at most three. */
const MAX_IN_FLIGHT = 2

/** S3's limit. */
const MAX_PARTS = 10_000

export interface S3WriterOptions {
  readonly caller: S3Caller
  readonly key: string
  readonly integrity: Integrity
  readonly listsVersions: boolean
  readonly pool: PartPool
}

/**
 * Writes an object in parts of 8 MiB while it grows, or, when it is no longer than one, with a single request. Each part
 * carries the checksum that the node enforces; where it enforces none, `commit` reads the object back.
 */
export class S3Writer implements ObjectWriter {
  readonly #options: S3WriterOptions
  readonly #outer: AbortSignal
  readonly #own = new AbortController()
  readonly #follow = (): void => this.#own.abort(this.#outer.reason)
  readonly #inFlight = new Set<Promise<void>>()
  readonly #completed: CompletedPart[] = []
  #part: Part | undefined
  #upload: Promise<string> | undefined
  #partCount = 0
  #sizeBytes = 0
  #crc = 0
  #failure: unknown
  #mayBeVisible = false
  #state: 'open' | 'committing' | 'committed' | 'aborted' = 'open'

  constructor(options: S3WriterOptions, signal: AbortSignal) {
    this.#options = options
    this.#outer = signal
    if (signal.aborted) this.#follow()
    else signal.addEventListener('abort', this.#follow, { once: true })
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#checkAlive('write')
    try {
      let rest = chunk
      while (rest.length > 0) {
        // A full part leaves only when more comes: an object of exactly one part needs no multipart upload.
        if (this.#part?.isFull === true) await this.#dispatch()
        rest = (this.#part ??= this.#newPart()).fill(rest)
      }
      this.#crc = crc32(chunk, this.#crc)
      this.#sizeBytes += chunk.length
    } catch (error) {
      this.#failure ??= error
    }
    this.#checkAlive('write')
  }

  async commit(): Promise<ObjectInfo> {
    this.#checkAlive('commit')
    this.#state = 'committing'
    try {
      if (this.#partCount === 0) await this.#putWhole()
      else await this.#completeParts()
    } catch (error) {
      this.#failure ??= error
      throw this.#outer.aborted ? aborted(this.#outer) : this.#failure
    }
    this.#state = 'committed'
    this.#outer.removeEventListener('abort', this.#follow)
    return { key: this.#options.key, sizeBytes: this.#sizeBytes }
  }

  async abort(): Promise<void> {
    if (this.#state === 'committed' || this.#state === 'aborted') return
    this.#state = 'aborted'
    this.#outer.removeEventListener('abort', this.#follow)
    this.#own.abort()
    await Promise.allSettled(this.#inFlight)
    this.#part = undefined
    const { caller, key, listsVersions } = this.#options
    // Not the caller's signal: it may be the reason why we are here.
    const signal = AbortSignal.timeout(4 * caller.limits.idleMs)
    // As far as the node answers: what stays is in the catalog's intent row, and the collector asks again.
    if (this.#upload !== undefined) await this.#abortUpload(this.#upload, signal).catch(() => {})
    // Whether it became visible is unknown, or what is visible is damaged.
    if (this.#mayBeVisible) await deleteEverything(caller, key, listsVersions, signal).catch(() => {})
  }

  async #abortUpload(upload: Promise<string>, signal: AbortSignal): Promise<void> {
    const { caller, key } = this.#options
    const uploadId = await upload.catch(() => undefined)
    if (uploadId !== undefined) await abortUpload(caller, key, uploadId, signal)
    // Also when the id is unknown: the answer may have been lost.
    await abortUploads(caller, key, signal)
  }

  #checkAlive(operation: string): void {
    checkSignal(this.#outer)
    if (this.#failure !== undefined) throw this.#failure
    if (this.#state !== 'open') throw new MosaikError('E_INTERNAL', `${operation} on a writer that has ended`)
  }

  #newPart(): Part {
    return new Part(this.#options.pool.take(), this.#options.integrity)
  }

  /** Sends the current part on its way once fewer than MAX_IN_FLIGHT are. */
  async #dispatch(): Promise<void> {
    const part = this.#part as Part
    this.#upload ??= this.#createUpload()
    const uploadId = await this.#unlessAborted(this.#upload)
    while (this.#inFlight.size >= MAX_IN_FLIGHT) await Promise.race(this.#inFlight)
    if (this.#failure !== undefined) throw this.#failure
    this.#part = undefined
    this.#partCount++
    if (this.#partCount > MAX_PARTS) throw new MosaikError('E_INPUT', `an object has at most ${MAX_PARTS} parts`)
    const sending = this.#sendPart(uploadId, this.#partCount, part)
      .catch((error: unknown) => {
        this.#failure ??= error
      })
      .finally(() => this.#inFlight.delete(sending))
    this.#inFlight.add(sending)
  }

  /** `promise`, or E_ABORTED at once when the writer's signal is. */
  async #unlessAborted<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.#own
    if (signal.aborted) throw aborted(signal)
    const { promise: end, reject } = Promise.withResolvers<never>()
    const onAbort = (): void => reject(aborted(signal))
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([promise, end])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  async #createUpload(): Promise<string> {
    const { caller, key, integrity } = this.#options
    let tries = 0
    // Not given up with the writer: an answer that nobody waits for would be an upload that nobody knows.
    const { signal } = new AbortController()
    const uploadId = await caller.call({
      operation: 'CreateMultipartUpload',
      key,
      signal,
      send: async (s3, abortSignal) => {
        tries++
        const input = {
          Bucket: caller.bucket,
          Key: caller.inBucket(key),
          ...(integrity === 'crc32' && { ChecksumAlgorithm: 'CRC32' as const }),
        }
        const { UploadId } = await s3.send(new CreateMultipartUploadCommand(input), { abortSignal })
        if (UploadId === undefined)
          throw new MosaikError('E_NODE_CORRUPT', `node ${caller.label}: an upload without id`)
        return UploadId
      },
    })
    // Earlier tries may have begun one as well and only lost their answer.
    if (tries > 1) await abortUploads(caller, key, signal, uploadId)
    return uploadId
  }

  async #sendPart(uploadId: string, number: number, part: Part): Promise<void> {
    const { caller, key, pool } = this.#options
    const { bytes } = part
    const checksum = part.checksum()
    const { ETag } = await caller.call({
      operation: 'UploadPart',
      key,
      bodyBytes: bytes.length,
      signal: this.#own.signal,
      send: (s3, abortSignal) => {
        const input = {
          Bucket: caller.bucket,
          Key: caller.inBucket(key),
          UploadId: uploadId,
          PartNumber: number,
          Body: bytes,
          ContentLength: bytes.length,
          ...checksum,
        }
        return s3.send(new UploadPartCommand(input), { abortSignal })
      },
    })
    this.#completed.push({ PartNumber: number, ...(ETag !== undefined && { ETag }), ...crcOnly(checksum) })
    // Only now: a request that failed might still be sending this memory.
    pool.give(part.buffer)
  }

  async #putWhole(): Promise<void> {
    const { caller, key, pool, integrity } = this.#options
    const part = this.#part ?? new Part(Buffer.alloc(0), integrity)
    this.#mayBeVisible = true
    await putBytes(caller, key, part.bytes, part.checksum(), this.#own.signal)
    if (integrity === 'read-back') await this.#readBack()
    if (this.#part !== undefined) pool.give(this.#part.buffer)
    this.#part = undefined
  }

  async #completeParts(): Promise<void> {
    const { caller, key, integrity } = this.#options
    await this.#dispatch()
    await Promise.all(this.#inFlight)
    if (this.#failure !== undefined) throw this.#failure
    const known = await this.#complete(await (this.#upload as Promise<string>))
    if (!known || integrity === 'read-back') return this.#readBack()
    const info = await headObject(caller, key, this.#own.signal)
    if (info?.sizeBytes !== this.#sizeBytes) throw notAsWritten(caller, key)
  }

  /** True when the node said "completed"; false when no answer came and it has to be found out by looking. */
  async #complete(uploadId: string): Promise<boolean> {
    const { caller, key } = this.#options
    const parts = this.#completed.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0))
    const input = {
      Bucket: caller.bucket,
      Key: caller.inBucket(key),
      UploadId: uploadId,
      MultipartUpload: { Parts: parts },
    }
    this.#mayBeVisible = true
    try {
      await caller.call({
        operation: 'CompleteMultipartUpload',
        key,
        signal: this.#own.signal,
        send: (s3, abortSignal) => s3.send(new CompleteMultipartUploadCommand(input), { abortSignal }),
      })
      return true
    } catch (error) {
      // The first answer may be lost, and the second then be "no such upload": the object is there or it is not.
      const unsure = isMosaikError(error, 'E_NODE_UNREACHABLE', 'E_OBJECT_ABSENT')
      if (!unsure || this.#own.signal.aborted) throw error
      const info = await headObject(caller, key, this.#own.signal)
      if (info?.sizeBytes !== this.#sizeBytes) throw error
      return false
    }
  }

  async #readBack(): Promise<void> {
    const { caller, key } = this.#options
    const crc = await crcOfObject(caller, key, this.#sizeBytes, this.#own.signal)
    if (crc !== this.#crc) throw notAsWritten(caller, key)
  }
}

/** One PutObject with the checksum given. */
export async function putBytes(
  caller: S3Caller,
  key: string,
  bytes: Uint8Array,
  checksum: PartChecksum,
  signal: AbortSignal,
): Promise<void> {
  const input = {
    Bucket: caller.bucket,
    Key: caller.inBucket(key),
    Body: bytes,
    ContentLength: bytes.length,
    ...checksum,
  }
  await caller.call({
    operation: 'PutObject',
    key,
    bodyBytes: bytes.length,
    signal,
    send: (s3, abortSignal) => s3.send(new PutObjectCommand(input), { abortSignal }),
  })
}

function crcOnly({ ChecksumCRC32 }: PartChecksum): { ChecksumCRC32?: string } {
  return ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }
}
