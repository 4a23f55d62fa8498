import { describe, expect, it } from 'vitest'
import { probeNode } from '../../../src/adapters/open-store.ts'
import { createBucket } from '../../support/services/buckets.ts'
import { needs, type S3Node } from '../../support/services/service.ts'
import { s3Faults } from './faults.ts'
import { s3Probe } from './probe.ts'
import { errorOf, never, world } from './world.ts'

describe('OpenStack Swift, failing', () => {
  const swift = needs('swift', { nodes: 1, instance: 'faults' })
  swift.define(() => s3Faults(() => swift.get().nodes[0] as S3Node))
})

describe('probe of OpenStack Swift', () => {
  const swift = needs('swift')
  const node = (): S3Node => swift.get().nodes[0] as S3Node
  s3Probe(node, { integrity: 'signed-sha256', reportedRegion: 'eu-test-1' })

  it('says so when the region is not the right one', async () => {
    const settings = await createBucket(node())
    const error = await errorOf(probeNode({ ...settings, region: 'us-east-1' }, world, never()))
    expect(error).toMatchObject({ code: 'E_NODE_UNSUITABLE', message: expect.stringContaining('region') })
  })
})
