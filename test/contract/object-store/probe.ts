import { ListMultipartUploadsCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { expect, it } from 'vitest'
import { probeNode, type StoreWorld } from '../../../src/adapters/open-store.ts'
import { nodeCapabilities, nodeSettings, type S3Capabilities, type S3Settings } from '../../../src/ports/node-driver.ts'
import { createBucket, rawClient } from '../../support/services/buckets.ts'
import type { S3Node } from '../../support/services/service.ts'
import { codeOf, errorOf, never, world } from './world.ts'

/** What a probe has to find out about any S3 service, and what it must leave. Call inside a `describe`. */
export function s3Probe(getNode: () => S3Node, expected: Partial<S3Capabilities>): void {
  it('finds out what the bucket does, as JSON, and leaves nothing behind', async () => {
    const settings = await createBucket(getNode(), { prefix: 'a/b/' })
    expect(nodeSettings.parse(settings)).toEqual(settings)
    const capabilities = await probeNode(settings, world, never())
    expect(capabilities).toMatchObject({
      driver: 's3',
      versioning: 'off',
      objectLock: false,
      listsVersions: true,
      ...expected,
    })
    expect(nodeCapabilities.parse(JSON.parse(JSON.stringify(capabilities)))).toEqual(capabilities)
    expect(await countAll(settings)).toBe(0)
  })

  it('notices versions, and leaves none', async () => {
    const settings = await createBucket(getNode(), { versioning: true })
    expect(await probeNode(settings, world, never())).toMatchObject({ versioning: 'on' })
    expect(await countAll(settings)).toBe(0)
  })

  it('says what to do when there is no such bucket', async () => {
    const settings = await createBucket(getNode())
    const error = await errorOf(probeNode({ ...settings, bucket: 'not-here-at-all' }, world, never()))
    expect(error).toMatchObject({ code: 'E_NODE_UNSUITABLE', message: expect.stringContaining('create it') })
  })

  it('is refused with wrong credentials, and unreachable where nothing listens', async () => {
    const settings = await createBucket(getNode())
    expect(await codeOf(probeNode({ ...settings, secretAccessKey: 'wrong' }, world, never()))).toBe('E_NODE_REFUSED')
    expect(await codeOf(probeNode({ ...settings, endpoint: 'http://127.0.0.1:9' }, world, never()))).toBe(
      'E_NODE_UNREACHABLE',
    )
  })

  it('measures the clocks, and refuses a node when they are minutes apart', async () => {
    const settings = await createBucket(getNode())
    const shifted = (byMs: number): StoreWorld => ({
      ...world,
      clock: { ...world.clock, nowMs: () => Date.now() + byMs },
    })
    const found = (await probeNode(settings, shifted(60_000), never())) as S3Capabilities
    expect(Math.abs(found.clockSkewMs + 60_000)).toBeLessThanOrEqual(3_000)
    expect(await codeOf(probeNode(settings, shifted(-10 * 60_000), never()))).toBe('E_NODE_UNSUITABLE')
  })
}

/** Versions, delete markers and unfinished uploads in a bucket. */
export async function countAll(settings: S3Settings): Promise<number> {
  const client = rawClient(settings)
  const Bucket = settings.bucket
  try {
    const { Versions = [], DeleteMarkers = [] } = await client.send(new ListObjectVersionsCommand({ Bucket }))
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket }))
    return Versions.length + DeleteMarkers.length + Uploads.length
  } finally {
    client.destroy()
  }
}
