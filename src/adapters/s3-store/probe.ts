import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { crc32 } from 'node:zlib'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import { nodeLocation, type S3Capabilities, type S3Settings } from '../../ports/node-driver.ts'
import type { Random } from '../../ports/system.ts'
import { PART_BYTES } from '../object-key.ts'
import { roundTrip, unsuitable } from '../round-trip.ts'
import { S3Caller, type S3World } from './caller.ts'
import { DEFAULT_LIMITS, type S3Limits } from './client.ts'
import { deleteEverything } from './deletion.ts'
import { answerName } from './errors.ts'
import { crcOfObject } from './reading.ts'
import { openS3Store } from './store.ts'
import { canListVersions, checkUnlocked, findIntegrity, findObjectLock, findRegion, findVersioning } from './trials.ts'

const SAMPLE_BYTES = 64 * 1024

/** A signed request is refused from 15 minutes on; before that there should be room. */
const MAX_SKEW_MS = 5 * 60 * 1000

export interface S3ProbeOptions extends S3World {
  readonly settings: S3Settings
  readonly random: Pick<Random, 'bytes' | 'fraction'>
  readonly limits?: Partial<S3Limits>
}

/**
 * Finds out by trying what a bucket really does, with some 20 MB of traffic, and leaves nothing behind. What an answer
 * says is not believed where it can be tried: services accept headers which they ignore.
 * @throws E_NODE_UNSUITABLE with what has to be changed; E_NODE_UNREACHABLE, E_NODE_REFUSED, E_NODE_FULL
 */
export async function probeS3(options: S3ProbeOptions, signal: AbortSignal): Promise<S3Capabilities> {
  const { settings, clock, random } = options
  const label = nodeLocation(settings)
  const caller = new S3Caller(settings, label, { ...DEFAULT_LIMITS, ...options.limits }, options)
  const prefix = `mosaik-probe-${Buffer.from(random.bytes(8)).toString('hex')}`
  const key = (name: string): string => `${prefix}-${name}`
  try {
    await checkReachable(caller, signal)
    const clockSkewMs = checkClock(caller)
    const objectLock = await findObjectLock(caller, signal)
    const reportedRegion = await findRegion(caller, signal)
    const listsVersions = await canListVersions(caller, key('versions'), signal)
    const found = await tryAll(options, caller, key, listsVersions, signal)
    const probedAtMs = clock.nowMs()
    return { driver: 's3', probedAtMs, ...found, listsVersions, objectLock, reportedRegion, clockSkewMs }
  } finally {
    caller.close()
  }
}

/** The part of a probe that writes. */
async function tryAll(
  options: S3ProbeOptions,
  caller: S3Caller,
  key: (name: string) => string,
  listsVersions: boolean,
  signal: AbortSignal,
): Promise<Pick<S3Capabilities, 'versioning' | 'integrity'>> {
  const used = ['checksum', 'lock', 'multipart', 'trip-a', 'trip-b', 'versions'].map(key)
  try {
    await checkUnlocked(caller, key('lock'), signal)
    const versioning = await findVersioning(caller, key('versions'), listsVersions, signal)
    const sample = options.random.bytes(SAMPLE_BYTES)
    const integrity = await findIntegrity(caller, key('checksum'), sample, listsVersions, signal)
    await tryStore(options, { integrity, listsVersions }, caller, key, signal)
    await clear(caller, used, listsVersions, signal)
    return { versioning, integrity }
  } catch (error) {
    // Not the caller's signal: it may be why we are here. What cannot be removed now is named after the probe.
    await clear(caller, used, listsVersions, AbortSignal.timeout(2 * caller.limits.idleMs)).catch(() => {})
    throw error
  }
}

async function checkReachable(caller: S3Caller, signal: AbortSignal): Promise<void> {
  try {
    await caller.call({
      operation: 'ListObjectsV2',
      key: null,
      signal,
      send: (s3, abortSignal) =>
        s3.send(new ListObjectsV2Command({ Bucket: caller.bucket, MaxKeys: 1 }), { abortSignal }),
    })
  } catch (error) {
    const advice = adviceFor(error, caller.bucket)
    throw advice === undefined ? error : unsuitable(caller.label, advice, error)
  }
}

function adviceFor(error: unknown, bucket: string): string | undefined {
  switch (answerName(error)) {
    case 'NoSuchBucket':
      return `there is no bucket ${bucket}; create it first`
    case 'AuthorizationHeaderMalformed':
      return 'it does not take this region; set the region that its operator names'
    case 'PermanentRedirect':
      return 'the bucket lies in another region; set its region and endpoint'
    case 'RequestTimeTooSkewed':
      return "its clock and ours differ too much; set this machine's clock"
    default:
      return undefined
  }
}

function checkClock(caller: S3Caller): number {
  const skewMs = caller.clockSkewMs() ?? 0
  if (Math.abs(skewMs) > MAX_SKEW_MS) {
    const minutes = Math.round(skewMs / 60_000)
    throw unsuitable(caller.label, `its clock differs from ours by ${minutes} minutes; set this machine's clock`)
  }
  // + 0: never -0, which JSON does not keep.
  return Math.round(skewMs / 1000) * 1000 + 0
}

/** Uses the node as the vault will: small objects, then one of two parts. */
async function tryStore(
  options: S3ProbeOptions,
  capabilities: Pick<S3Capabilities, 'integrity' | 'listsVersions'>,
  caller: S3Caller,
  key: (name: string) => string,
  signal: AbortSignal,
): Promise<void> {
  const { random } = options
  const store = openS3Store({ ...options, capabilities, label: caller.label })
  try {
    const keys = [key('trip-a'), key('trip-b')] as const
    await roundTrip(
      { store, label: caller.label, keys, prefix: key('trip'), bytes: random.bytes(SAMPLE_BYTES) },
      signal,
    )
    const bytes = random.bytes(PART_BYTES + 1)
    const writer = await store.create(key('multipart'), signal)
    try {
      await writer.write(bytes)
      await writer.commit()
    } catch (error) {
      await writer.abort()
      throw error
    }
    const same = (await crcOfObject(caller, key('multipart'), bytes.length, signal)) === crc32(bytes)
    if (!same) throw new MosaikError('E_NODE_CORRUPT', `node ${caller.label} joins the parts of an upload wrongly`)
  } catch (error) {
    if (!isMosaikError(error, 'E_NODE_CORRUPT')) throw error
    throw unsuitable(caller.label, 'it does not keep what is written', error)
  } finally {
    await store.close()
  }
}

async function clear(
  caller: S3Caller,
  keys: readonly string[],
  listsVersions: boolean,
  signal: AbortSignal,
): Promise<void> {
  for (const key of keys) await deleteEverything(caller, key, listsVersions, signal)
}
