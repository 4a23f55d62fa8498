import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import type { S3Settings } from '../../../src/ports/node-driver.ts'
import { rawClient } from './buckets.ts'

/** Keys of the unfinished uploads of a bucket. */
export async function unfinishedUploads(settings: S3Settings): Promise<string[]> {
  const client = rawClient(settings)
  try {
    const { Uploads } = await client.send(new ListMultipartUploadsCommand({ Bucket: settings.bucket }))
    return (Uploads ?? []).map((upload) => upload.Key ?? '')
  } finally {
    client.destroy()
  }
}
