import { randomBytes } from 'node:crypto'
import {
  CreateBucketCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import type { S3Settings } from '../../../src/ports/node-driver.ts'
import type { S3Node } from './kinds.ts'

export interface BucketOptions {
  readonly versioning?: boolean
  /** Every new object is locked for a day (governance). */
  readonly defaultRetention?: boolean
  readonly prefix?: string
}

/** Makes a new bucket on a node; gives back the settings with which the vault reaches it. */
export async function createBucket(node: S3Node, options: BucketOptions = {}): Promise<S3Settings> {
  const bucket = `mosaik-${randomBytes(6).toString('hex')}`
  const client = rawClient(node)
  try {
    const lock = options.defaultRetention === true
    await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: lock }))
    if (options.versioning === true) {
      const VersioningConfiguration = { Status: 'Enabled' as const }
      await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }))
    }
    if (lock) {
      const Rule = { DefaultRetention: { Mode: 'GOVERNANCE' as const, Days: 1 } }
      const ObjectLockConfiguration = { ObjectLockEnabled: 'Enabled' as const, Rule }
      await client.send(new PutObjectLockConfigurationCommand({ Bucket: bucket, ObjectLockConfiguration }))
    }
  } finally {
    client.destroy()
  }
  const { endpoint, region, accessKeyId, secretAccessKey } = node
  const { prefix } = options
  return {
    driver: 's3',
    endpoint,
    region,
    bucket,
    accessKeyId,
    secretAccessKey,
    forcePathStyle: true,
    ...(prefix !== undefined && { prefix }),
  }
}

/** The SDK's own client for a node, to look behind the store's back. Destroy it. */
export function rawClient(node: Pick<S3Node, 'endpoint' | 'region' | 'accessKeyId' | 'secretAccessKey'>): S3Client {
  const { endpoint, region, accessKeyId, secretAccessKey } = node
  return new S3Client({
    endpoint,
    region,
    credentials: { accessKeyId, secretAccessKey },
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
}
