import { openStore, probeNode } from '../../../src/adapters/open-store.ts'
import { s3Capabilities, type S3Capabilities, type S3Settings } from '../../../src/ports/node-driver.ts'
import { unfinishedUploads } from '../../support/services/unfinished-uploads.ts'
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
