import { crc32 } from 'node:zlib'
import {
  CreateMultipartUploadCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  GetObjectLockConfigurationCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { Integrity } from '../../ports/node-driver.ts'
import { unsuitable } from '../round-trip.ts'
import type { S3Caller } from './caller.ts'
import { abortUploads, deleteEverything, uploadsOf, versionsOf } from './deletion.ts'
import { checksumOf, crcHeader, type PartChecksum } from './parts.ts'
import { headObject } from './reading.ts'

type Enforced = Exclude<Integrity, 'read-back'>

/**
 * The first of CRC-32, the signed SHA-256 and MD5 (the quickest first) that the node takes when right and refuses when wrong, for
 * whole objects and for parts; or 'read-back'. "200 OK" to a wrong one is what many services answer.
 */
export async function findIntegrity(
  caller: S3Caller,
  key: string,
  bytes: Uint8Array,
  listsVersions: boolean,
  signal: AbortSignal,
): Promise<Integrity> {
  for (const kind of ['crc32', 'signed-sha256', 'content-md5'] as const) {
    const enforced =
      (await enforcedOnObjects(caller, key, bytes, kind, listsVersions, signal)) &&
      (await enforcedOnParts(caller, key, bytes, kind, signal))
    if (enforced) return kind
  }
  return 'read-back'
}

/** True when the service can list versions; false when it says that it knows none. @throws anything else */
export async function canListVersions(caller: S3Caller, key: string, signal: AbortSignal): Promise<boolean> {
  try {
    await versionsOf(caller, key, signal)
    return true
  } catch (error) {
    if (statusOf(error) === 501 || statusOf(error) === 405) return false
    throw error
  }
}

/** What the bucket says about versioning, checked by overwriting an object. */
export async function findVersioning(
  caller: S3Caller,
  key: string,
  listsVersions: boolean,
  signal: AbortSignal,
): Promise<'off' | 'suspended' | 'on'> {
  const said = await quietly(() =>
    caller.call({
      operation: 'GetBucketVersioning',
      key: null,
      signal,
      send: (s3, abortSignal) => s3.send(new GetBucketVersioningCommand({ Bucket: caller.bucket }), { abortSignal }),
    }),
  )
  if (!listsVersions) return said?.Status === 'Enabled' ? 'on' : 'off'
  for (const byte of [1, 2]) await send(caller, key, Uint8Array.of(byte), {}, signal)
  const kept = (await versionsOf(caller, key, signal)).length > 1
  await deleteEverything(caller, key, listsVersions, signal)
  if (kept) return 'on'
  return said?.Status === 'Suspended' ? 'suspended' : 'off'
}

/**
 * Whether objects can be locked in this bucket. @throws E_NODE_UNSUITABLE when every new object is: what is locked
 * cannot be erased.
 */
export async function findObjectLock(caller: S3Caller, signal: AbortSignal): Promise<boolean> {
  const answer = await quietly(() =>
    caller.call({
      operation: 'GetObjectLockConfiguration',
      key: null,
      signal,
      send: (s3, abortSignal) =>
        s3.send(new GetObjectLockConfigurationCommand({ Bucket: caller.bucket }), { abortSignal }),
    }),
  )
  const { ObjectLockEnabled, Rule } = answer?.ObjectLockConfiguration ?? {}
  if (Rule?.DefaultRetention !== undefined) throw retained(caller)
  return ObjectLockEnabled === 'Enabled'
}

/** Looks whether a new object is locked although the bucket did not say so. @throws E_NODE_UNSUITABLE */
export async function checkUnlocked(caller: S3Caller, key: string, signal: AbortSignal): Promise<void> {
  await send(caller, key, Uint8Array.of(1), {}, signal)
  const { ObjectLockMode } = await caller.call({
    operation: 'HeadObject',
    key,
    signal,
    send: (s3, abortSignal) =>
      s3.send(new HeadObjectCommand({ Bucket: caller.bucket, Key: caller.inBucket(key) }), { abortSignal }),
  })
  if (ObjectLockMode !== undefined) throw retained(caller)
}

/** What the service calls its region, or null when it does not say. */
export async function findRegion(caller: S3Caller, signal: AbortSignal): Promise<string | null> {
  const answer = await quietly(() =>
    caller.call({
      operation: 'GetBucketLocation',
      key: null,
      signal,
      send: (s3, abortSignal) => s3.send(new GetBucketLocationCommand({ Bucket: caller.bucket }), { abortSignal }),
    }),
  )
  return answer?.LocationConstraint ?? null
}

/** HTTP status kept in an error of the caller. */
export function statusOf(error: unknown): number | undefined {
  const status = error instanceof MosaikError ? error.fields['status'] : undefined
  return typeof status === 'number' ? status : undefined
}

async function enforcedOnObjects(
  caller: S3Caller,
  key: string,
  bytes: Uint8Array,
  kind: Enforced,
  listsVersions: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const takesRight = await accepts(() => send(caller, key, bytes, checksumOf(bytes, kind), signal))
  await deleteEverything(caller, key, listsVersions, signal)
  if (!takesRight) return false
  const takesWrong = await accepts(() => send(caller, key, bytes, wrongChecksum(bytes, kind), signal), [403])
  const stored = (await headObject(caller, key, signal)) !== undefined
  if (stored) await deleteEverything(caller, key, listsVersions, signal)
  return !takesWrong && !stored
}

async function enforcedOnParts(
  caller: S3Caller,
  key: string,
  bytes: Uint8Array,
  kind: Enforced,
  signal: AbortSignal,
): Promise<boolean> {
  const target = { Bucket: caller.bucket, Key: caller.inBucket(key) }
  const { UploadId } = await caller.call({
    operation: 'CreateMultipartUpload',
    key,
    signal,
    send: (s3, abortSignal) => {
      const algorithm = kind === 'crc32' ? { ChecksumAlgorithm: 'CRC32' as const } : {}
      return s3.send(new CreateMultipartUploadCommand({ ...target, ...algorithm }), { abortSignal })
    },
  })
  const sendPart = (checksum: PartChecksum): Promise<unknown> =>
    caller.call({
      operation: 'UploadPart',
      key,
      repeatable: false,
      signal,
      send: (s3, abortSignal) =>
        s3.send(new UploadPartCommand({ ...target, UploadId, PartNumber: 1, Body: bytes, ...checksum }), {
          abortSignal,
        }),
    })
  const takesRight = await accepts(() => sendPart(checksumOf(bytes, kind)))
  const takesWrong = takesRight && (await accepts(() => sendPart(wrongChecksum(bytes, kind)), [403]))
  if ((await uploadsOf(caller, key, signal)).length === 0) {
    throw unsuitable(caller.label, 'it does not list unfinished uploads, which could then never be cleaned up')
  }
  await abortUploads(caller, key, signal)
  return takesRight && !takesWrong
}

function send(
  caller: S3Caller,
  key: string,
  bytes: Uint8Array,
  checksum: PartChecksum,
  signal: AbortSignal,
): Promise<unknown> {
  const input = { Bucket: caller.bucket, Key: caller.inBucket(key), Body: bytes, ...checksum }
  return caller.call({
    operation: 'PutObject',
    key,
    repeatable: false,
    signal,
    send: (s3, abortSignal) => s3.send(new PutObjectCommand(input), { abortSignal }),
  })
}

/**
 * True when the node said yes, false when it refused the content.
 *
 * @param refusals what also says so, to one whose right content it took: a signature over another hash may be called a wrong one.
 * @throws when it could not be asked
 */
async function accepts(request: () => Promise<unknown>, refusals: readonly number[] = []): Promise<boolean> {
  try {
    await request()
    return true
  } catch (error) {
    const status = statusOf(error) ?? 0
    const judged = (status >= 400 && status < 500 && ![401, 403, 408, 429].includes(status)) || status === 501
    if (judged || refusals.includes(status)) return false
    throw error
  }
}

function wrongChecksum(bytes: Uint8Array, kind: Enforced): PartChecksum {
  if (kind === 'crc32') return { ChecksumCRC32: crcHeader((crc32(bytes) ^ 1) >>> 0) }
  return checksumOf(Buffer.concat([bytes, Buffer.of(0)]), kind)
}

/** The answer, or undefined when the service has none to this question (unknown, not set, not allowed to ask). */
async function quietly<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (isMosaikError(error) && statusOf(error) !== undefined && error.code !== 'E_NODE_UNREACHABLE') return undefined
    throw error
  }
}

function retained(caller: S3Caller): MosaikError {
  return unsuitable(
    caller.label,
    `the bucket ${caller.bucket} locks every new object (default retention), so that nothing could be erased; remove the default retention or use another bucket`,
  )
}
