import type { Readable } from 'node:stream'
import { crc32 } from 'node:zlib'
import { GetObjectCommand, type GetObjectCommandOutput, HeadBucketCommand, HeadObjectCommand } from '@aws-sdk/client-s3'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { ByteRange, ObjectInfo } from '../../ports/object-store.ts'
import { PART_BYTES, WHOLE_READ_BYTES } from '../object-key.ts'
import type { S3Caller } from './caller.ts'
import { answerName } from './errors.ts'

/**
 * Size of the object, or undefined when the node says that there is none: a bare 404 is believed only after the bucket
 * was seen, because HEAD does not say what is missing.
 */
export async function headObject(caller: S3Caller, key: string, signal: AbortSignal): Promise<ObjectInfo | undefined> {
  const input = { Bucket: caller.bucket, Key: caller.inBucket(key) }
  try {
    return await caller.call({
      operation: 'HeadObject',
      key,
      signal,
      send: async (s3, abortSignal) => {
        const { ContentLength: sizeBytes } = await s3.send(new HeadObjectCommand(input), { abortSignal })
        if (sizeBytes === undefined) throw odd(caller, key, 'no length was given')
        return { key, sizeBytes }
      },
    })
  } catch (error) {
    if (!isMosaikError(error, 'E_OBJECT_ABSENT')) throw error
    await seeBucket(caller, signal)
    return undefined
  }
}

/**
 * Reads a range, or the whole object, into `into` or into memory of its own.
 * @throws E_OBJECT_ABSENT, E_OBJECT_RANGE, E_NODE_UNREACHABLE (also when the body breaks off), E_NODE_REFUSED
 */
export async function readObject(
  caller: S3Caller,
  key: string,
  range: ByteRange | undefined,
  signal: AbortSignal,
  into?: Uint8Array,
): Promise<Uint8Array> {
  const input = {
    Bucket: caller.bucket,
    Key: caller.inBucket(key),
    ...(range !== undefined && { Range: `bytes=${range.offsetBytes}-${range.offsetBytes + range.lengthBytes - 1}` }),
  }
  try {
    return await caller.call({
      operation: 'GetObject',
      key,
      signal,
      bodyBytes: range?.lengthBytes ?? 4 * PART_BYTES,
      send: async (s3, abortSignal) => {
        const answer = await s3.send(new GetObjectCommand(input), { abortSignal })
        const body = answer.Body as Readable
        try {
          const lengthBytes =
            range === undefined ? wholeLength(caller, key, answer) : rangeLength(caller, key, range, answer)
          const target = into === undefined ? new Uint8Array(lengthBytes) : into.subarray(0, lengthBytes)
          await readBody(caller, key, body, target)
          return target
        } finally {
          body.destroy()
        }
      },
    })
  } catch (error) {
    // A 404 that names nothing could be the bucket's.
    if (isMosaikError(error, 'E_OBJECT_ABSENT') && answerName(error) !== 'NoSuchKey') await seeBucket(caller, signal)
    throw error
  }
}

/** CRC-32 of the whole object, read part by part. @throws E_NODE_CORRUPT when it has not `sizeBytes` */
export async function crcOfObject(
  caller: S3Caller,
  key: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<number> {
  const info = await headObject(caller, key, signal)
  if (info?.sizeBytes !== sizeBytes) throw notAsWritten(caller, key)
  const buffer = new Uint8Array(Math.min(PART_BYTES, sizeBytes))
  let crc = 0
  for (let offsetBytes = 0; offsetBytes < sizeBytes; offsetBytes += PART_BYTES) {
    const lengthBytes = Math.min(PART_BYTES, sizeBytes - offsetBytes)
    crc = crc32(await readObject(caller, key, { offsetBytes, lengthBytes }, signal, buffer), crc)
  }
  return crc
}

/** The error for an object that is not what was written. */
export function notAsWritten(caller: S3Caller, key: string): MosaikError {
  const message = `node ${caller.label}: what lies under ${key} is not what was written`
  return new MosaikError('E_NODE_CORRUPT', message, { node: caller.label, key })
}

async function seeBucket(caller: S3Caller, signal: AbortSignal): Promise<void> {
  const { bucket, label } = caller
  try {
    await caller.call({
      operation: 'HeadBucket',
      key: null,
      signal,
      send: (s3, abortSignal) => s3.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal }),
    })
  } catch (error) {
    if (!isMosaikError(error, 'E_OBJECT_ABSENT')) throw error
    throw new MosaikError(
      'E_NODE_UNREACHABLE',
      `node ${label}: the bucket ${bucket} is not there`,
      { node: label },
      error,
    )
  }
}

function wholeLength(caller: S3Caller, key: string, answer: GetObjectCommandOutput): number {
  const sizeBytes = answer.ContentLength
  if (sizeBytes === undefined) throw odd(caller, key, 'no length was given')
  if (sizeBytes > WHOLE_READ_BYTES) {
    throw new MosaikError('E_INPUT', `${key} has ${sizeBytes} bytes: read it in ranges`, { key, sizeBytes })
  }
  return sizeBytes
}

function rangeLength(caller: S3Caller, key: string, range: ByteRange, answer: GetObjectCommandOutput): number {
  const { offsetBytes, lengthBytes } = range
  const said = /^bytes (\d+)-(\d+)\/(?:\d+|\*)$/.exec(answer.ContentRange ?? '')
  const first = said === null ? 0 : Number(said[1])
  const length = said === null ? answer.ContentLength : Number(said[2]) - first + 1
  if (first !== offsetBytes || length === undefined || length > lengthBytes)
    throw odd(caller, key, 'another range was given')
  if (length < lengthBytes) {
    const neededBytes = offsetBytes + lengthBytes
    const message = `node ${caller.label}: ${key} ends at ${offsetBytes + length}, ${neededBytes} bytes are needed`
    throw new MosaikError('E_OBJECT_RANGE', message, {
      node: caller.label,
      key,
      neededBytes,
      sizeBytes: offsetBytes + length,
    })
  }
  return length
}

async function readBody(caller: S3Caller, key: string, body: Readable, target: Uint8Array): Promise<void> {
  let done = 0
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      if (done + chunk.length > target.length) throw odd(caller, key, 'more was sent than announced')
      target.set(chunk, done)
      done += chunk.length
    }
  } catch (error) {
    if (error instanceof MosaikError) throw error
    throw brokenOff(caller, key, done, target.length, error)
  }
  if (done < target.length) throw brokenOff(caller, key, done, target.length)
}

function brokenOff(
  caller: S3Caller,
  key: string,
  doneBytes: number,
  lengthBytes: number,
  cause?: unknown,
): MosaikError {
  const message = `node ${caller.label}: the body of ${key} broke off after ${doneBytes} of ${lengthBytes} bytes`
  return new MosaikError('E_NODE_UNREACHABLE', message, { node: caller.label, key, doneBytes, lengthBytes }, cause)
}

function odd(caller: S3Caller, key: string, what: string): MosaikError {
  return new MosaikError('E_NODE_CORRUPT', `node ${caller.label}: odd answer to GetObject of ${key}: ${what}`, {
    node: caller.label,
    key,
  })
}
