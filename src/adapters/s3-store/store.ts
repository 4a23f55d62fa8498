import { crc32 } from 'node:zlib'
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { MosaikError } from '../../domain/errors.ts'
import type { S3Capabilities, S3Settings } from '../../ports/node-driver.ts'
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectWriter } from '../../ports/object-store.ts'
import { checkKey, checkRange, checkSignal, checkSmall } from '../object-key.ts'
import { S3Caller, type S3World } from './caller.ts'
import { DEFAULT_LIMITS, type S3Limits } from './client.ts'
import { deleteEverything } from './deletion.ts'
import { checksumOf, PartPool } from './parts.ts'
import { crcOfObject, headObject, notAsWritten, readObject } from './reading.ts'
import { putBytes, S3Writer } from './writer.ts'

export interface S3StoreOptions extends S3World {
  readonly settings: S3Settings
  /** What the probe found: decides how writes are verified and deletions confirmed. */
  readonly capabilities: Pick<S3Capabilities, 'integrity' | 'listsVersions'>
  /** Name of the node in errors. */
  readonly label: string
  /** Only what differs from DEFAULT_LIMITS. */
  readonly limits?: Partial<S3Limits>
}

/** Opens a bucket as a node. Makes no request: an unreachable node shows at the first call. */
export function openS3Store(options: S3StoreOptions): ObjectStore {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  return new S3Store(new S3Caller(options.settings, options.label, limits, options), options.capabilities)
}

/** A node that is a bucket. */
class S3Store implements ObjectStore {
  readonly #caller: S3Caller
  readonly #capabilities: S3StoreOptions['capabilities']
  readonly #pool = new PartPool()

  constructor(caller: S3Caller, capabilities: S3StoreOptions['capabilities']) {
    this.#caller = caller
    this.#capabilities = capabilities
  }

  async create(key: ObjectKey, signal: AbortSignal): Promise<ObjectWriter> {
    checkKey(key)
    checkSignal(signal)
    return new S3Writer({ caller: this.#caller, key, pool: this.#pool, ...this.#capabilities }, signal)
  }

  async put(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    checkKey(key)
    checkSmall(key, bytes)
    const { integrity } = this.#capabilities
    await putBytes(this.#caller, key, bytes, checksumOf(bytes, integrity), signal)
    if (integrity !== 'read-back') return
    const crc = await crcOfObject(this.#caller, key, bytes.length, signal)
    if (crc !== crc32(bytes)) throw notAsWritten(this.#caller, key)
  }

  async get(key: ObjectKey, range: ByteRange | undefined, signal: AbortSignal, into?: Uint8Array): Promise<Uint8Array> {
    checkKey(key)
    if (range !== undefined) checkRange(range)
    return readObject(this.#caller, key, range, signal, into)
  }

  async head(key: ObjectKey, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    checkKey(key)
    return headObject(this.#caller, key, signal)
  }

  async *list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo> {
    const caller = this.#caller
    const input = { Bucket: caller.bucket, Prefix: caller.inBucket(prefix), MaxKeys: caller.limits.pageSize }
    let token: string | undefined
    do {
      const from: { ContinuationToken?: string } = token === undefined ? {} : { ContinuationToken: token }
      const page = await caller.call({
        operation: 'ListObjectsV2',
        key: null,
        signal,
        send: (s3, abortSignal) => s3.send(new ListObjectsV2Command({ ...input, ...from }), { abortSignal }),
      })
      for (const { Key, Size } of page.Contents ?? []) {
        if (Key === undefined || Size === undefined) throw this.#listBroken('an entry without name or size')
        yield { key: caller.inVault(Key), sizeBytes: Size }
      }
      const next = page.IsTruncated === true ? page.NextContinuationToken : undefined
      if (page.IsTruncated === true && (next === undefined || next === token))
        throw this.#listBroken('more, but not where')
      token = next
    } while (token !== undefined)
  }

  async delete(key: ObjectKey, signal: AbortSignal): Promise<void> {
    checkKey(key)
    await deleteEverything(this.#caller, key, this.#capabilities.listsVersions, signal)
  }

  async close(): Promise<void> {
    this.#caller.close()
  }

  #listBroken(what: string): MosaikError {
    const { label } = this.#caller
    return new MosaikError('E_NODE_UNREACHABLE', `node ${label}: odd answer to ListObjectsV2: ${what}`, { node: label })
  }
}
