import { describe, expect, it } from 'vitest'
import { probeNode } from '../../../src/adapters/open-store.ts'
import { createBucket } from '../../support/services/buckets.ts'
import { needs, type S3Node } from '../../support/services/service.ts'
import { s3Faults } from './faults.ts'
import { countAll, s3Probe } from './probe.ts'
import { errorOf, never, world } from './world.ts'

describe('Ceph RGW, failing', () => {
  const ceph = needs('ceph', { nodes: 1, instance: 'faults' })
  ceph.define(() => s3Faults(() => ceph.get().nodes[0] as S3Node))
})

describe('probe of Ceph RGW', () => {
  const ceph = needs('ceph', { nodes: 2 })
  const node = (): S3Node => ceph.get().nodes[1] as S3Node
  s3Probe(node, { integrity: 'signed-sha256', reportedRegion: 'eu-test-2' })

  it('refuses a bucket with default retention before it writes anything', async () => {
    const settings = await createBucket(node(), { defaultRetention: true })
    const error = await errorOf(probeNode(settings, world, never()))
    expect(error).toMatchObject({ code: 'E_NODE_UNSUITABLE', message: expect.stringContaining('default retention') })
    expect(await countAll(settings)).toBe(0)
  })
})
