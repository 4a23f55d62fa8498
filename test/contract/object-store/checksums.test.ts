import { randomBytes } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import { createBucket } from '../../support/services/buckets.ts'
import { startChecksumProxy, type ChecksumProxy } from '../../support/services/checksum-proxy.ts'
import { needs, type S3Node } from '../../support/services/service.ts'
import { openBucket } from './s3-node.ts'
import { never, stream } from './world.ts'

const PART = 8 * 1024 * 1024

describe('checksums of services that are not here', () => {
  const ceph = needs('ceph', { nodes: 2 })
  const proxies: ChecksumProxy[] = []
  afterAll(async () => {
    for (const proxy of proxies) await proxy.close()
  })

  async function behind(attitude: 'crc32' | 'md5' | 'none') {
    const settings = await createBucket(ceph.get().nodes[0] as S3Node)
    const proxy = await startChecksumProxy(settings.endpoint, attitude)
    proxies.push(proxy)
    return { proxy, ...(await openBucket({ ...settings, endpoint: proxy.endpoint })) }
  }

  it.each([
    ['crc32', 'crc32'],
    ['md5', 'content-md5'],
    ['none', 'read-back'],
  ] as const)('a service that enforces %s is probed as %s, and written to that way', async (attitude, integrity) => {
    const { store, capabilities, proxy, leftovers } = await behind(attitude)
    expect(capabilities.integrity).toBe(integrity)
    proxy.withCrc.clear()
    const bytes = randomBytes(2 * PART + 5)
    await stream(store, 'f/streamed', bytes, [131_088])
    await store.put('f/put', bytes.subarray(0, 1000), never())
    expect(proxy.withCrc.size).toBe(attitude === 'crc32' ? 4 : 0)
    expect(Buffer.compare(await store.get('f/streamed', undefined, never()), bytes)).toBe(0)
    expect(Buffer.compare(await store.get('f/put', undefined, never()), bytes.subarray(0, 1000))).toBe(0)
    expect(await leftovers()).toEqual([])
    await store.close()
  })
})
