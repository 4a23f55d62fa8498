import { describe } from 'vitest'
import { createBucket } from '../../support/services/buckets.ts'
import { needs, type S3Node } from '../../support/services/service.ts'
import { openBucket } from './s3-node.ts'
import { objectStoreContract } from './suite.ts'

describe('Ceph RGW', () => {
  const ceph = needs('ceph', { nodes: 2 })
  ceph.define(() =>
    objectStoreContract({
      manyKeys: 1030,
      open: async () => openBucket(await createBucket(ceph.get().nodes[0] as S3Node, { prefix: 'vault/one/' })),
    }),
  )
})
