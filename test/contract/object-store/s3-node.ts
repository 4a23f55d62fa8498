import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import { openStore, probeNode } from '../../../src/adapters/open-store.ts'
import { s3Capabilities, type S3Capabilities, type S3Settings } from '../../../src/ports/node-driver.ts'
import { rawClient } from '../../support/services/buckets.ts'
import type { ContractNode } from './suite.ts'
import { never, world } from './world.ts'

/** Probes a bucket and opens it as the vault does. */
export async function openBucket(
  settings: S3Settings,
): Promise<ContractNode & { readonly capabilities: S3Capabilities }> {
  const capabilities = s3Capabilities.parse(await probeNode(settings, world, never()))
  const store = await openStore(settings, capabilities, world, { label: 'bucket' })
  return { store, capabilities, leftovers: () => unfinishedUploads(settings), close: async () => {} }
}

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
