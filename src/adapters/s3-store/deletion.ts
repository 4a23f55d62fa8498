import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
} from '@aws-sdk/client-s3'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { S3Caller } from './caller.ts'
import { answerName } from './errors.ts'
import { headObject } from './reading.ts'

/** Rounds of "list what is left, delete it" before we say that the node keeps it. */
const ROUNDS = 5

/**
 * Deletes the object with all versions, delete markers and unfinished uploads, and looks afterwards: what is confirmed
 * is what the node no longer lists.
 * @throws E_NODE_REFUSED also when versions stay (a lock); a failed listing confirms nothing and throws.
 */
export async function deleteEverything(
  caller: S3Caller,
  key: string,
  listsVersions: boolean,
  signal: AbortSignal,
): Promise<void> {
  await deleteOne(caller, key, undefined, signal)
  await abortUploads(caller, key, signal)
  if (!listsVersions) {
    if ((await headObject(caller, key, signal)) !== undefined) throw stays(caller, key)
    return
  }
  for (let round = 0; round < ROUNDS; round++) {
    const versions = await versionsOf(caller, key, signal)
    if (versions.length === 0) return
    for (const version of versions) await deleteOne(caller, key, version, signal)
  }
  throw stays(caller, key)
}

/** Aborts every unfinished upload of the key, but for `kept`, until no other is listed. */
export async function abortUploads(caller: S3Caller, key: string, signal: AbortSignal, kept?: string): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const uploads = (await uploadsOf(caller, key, signal)).filter((uploadId) => uploadId !== kept)
    if (uploads.length === 0) return
    for (const uploadId of uploads) await abortUpload(caller, key, uploadId, signal)
  }
  throw stays(caller, key)
}

/** Aborts one upload; one that is not there is success. */
export async function abortUpload(caller: S3Caller, key: string, uploadId: string, signal: AbortSignal): Promise<void> {
  const input = { Bucket: caller.bucket, Key: caller.inBucket(key), UploadId: uploadId }
  // NoSuchKey is Swift's word for an upload that is complete.
  await tolerate(['NoSuchUpload', 'NoSuchKey'], () =>
    caller.call({
      operation: 'AbortMultipartUpload',
      key,
      signal,
      send: (s3, abortSignal) => s3.send(new AbortMultipartUploadCommand(input), { abortSignal }),
    }),
  )
}

/** Version ids of the key, delete markers included. */
export async function versionsOf(caller: S3Caller, key: string, signal: AbortSignal): Promise<string[]> {
  const Key = caller.inBucket(key)
  const found: string[] = []
  let marker: { KeyMarker?: string; VersionIdMarker?: string } = {}
  for (;;) {
    const input = { Bucket: caller.bucket, Prefix: Key, MaxKeys: caller.limits.pageSize, ...marker }
    const page = await caller.call({
      operation: 'ListObjectVersions',
      key,
      signal,
      send: (s3, abortSignal) => s3.send(new ListObjectVersionsCommand(input), { abortSignal }),
    })
    const entries = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])]
    found.push(...entries.filter((entry) => entry.Key === Key).map((entry) => entry.VersionId ?? 'null'))
    // Of all keys with that prefix, the key itself comes first.
    if (page.IsTruncated !== true || (page.NextKeyMarker ?? '') > Key) return found
    if (
      page.NextKeyMarker === undefined ||
      (page.NextKeyMarker === marker.KeyMarker && page.NextVersionIdMarker === marker.VersionIdMarker)
    ) {
      throw stuck(caller, key, 'ListObjectVersions')
    }
    marker = {
      KeyMarker: page.NextKeyMarker,
      ...(page.NextVersionIdMarker !== undefined && { VersionIdMarker: page.NextVersionIdMarker }),
    }
  }
}

/** Ids of the unfinished uploads of the key. */
export async function uploadsOf(caller: S3Caller, key: string, signal: AbortSignal): Promise<string[]> {
  const Key = caller.inBucket(key)
  const found: string[] = []
  let marker: { KeyMarker?: string; UploadIdMarker?: string } = {}
  for (;;) {
    const input = { Bucket: caller.bucket, Prefix: Key, ...marker }
    const page = await caller.call({
      operation: 'ListMultipartUploads',
      key,
      signal,
      send: (s3, abortSignal) => s3.send(new ListMultipartUploadsCommand(input), { abortSignal }),
    })
    for (const upload of page.Uploads ?? []) {
      if (upload.Key === Key && upload.UploadId !== undefined) found.push(upload.UploadId)
    }
    if (page.IsTruncated !== true || (page.NextKeyMarker ?? '') > Key) return found
    if (page.NextKeyMarker === undefined || page.NextUploadIdMarker === marker.UploadIdMarker) {
      throw stuck(caller, key, 'ListMultipartUploads')
    }
    marker = {
      KeyMarker: page.NextKeyMarker,
      ...(page.NextUploadIdMarker !== undefined && { UploadIdMarker: page.NextUploadIdMarker }),
    }
  }
}

async function deleteOne(
  caller: S3Caller,
  key: string,
  version: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const input = {
    Bucket: caller.bucket,
    Key: caller.inBucket(key),
    ...(version !== undefined && { VersionId: version }),
  }
  // Swift answers NoSuchBucket when the only version of K is deleted while a key K… exists: its restore step looks by
  // prefix. The version is gone; the listing that follows tells, and fails when the bucket really is not there.
  const gone = version === undefined ? ['NoSuchKey'] : ['NoSuchKey', 'NoSuchVersion', 'NoSuchBucket']
  await tolerate(gone, () =>
    caller.call({
      operation: 'DeleteObject',
      key,
      signal,
      send: (s3, abortSignal) => s3.send(new DeleteObjectCommand(input), { abortSignal }),
    }),
  )
}

async function tolerate(answers: readonly string[], step: () => Promise<unknown>): Promise<void> {
  try {
    await step()
  } catch (error) {
    if (!isMosaikError(error) || !answers.includes(answerName(error) ?? '')) throw error
  }
}

function stays(caller: S3Caller, key: string): MosaikError {
  const message = `node ${caller.label}: ${key} was deleted and is still there; is there a lock or a retention on the bucket?`
  return new MosaikError('E_NODE_REFUSED', message, { node: caller.label, key })
}

function stuck(caller: S3Caller, key: string, operation: string): MosaikError {
  const message = `node ${caller.label}: ${operation} says that there is more and not where`
  return new MosaikError('E_NODE_UNREACHABLE', message, { node: caller.label, key, operation })
}
