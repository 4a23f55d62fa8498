import { describe } from 'vitest'
import { createBucket } from '../../support/services/buckets.ts'
import { needs, type S3Node } from '../../support/services/service.ts'
import { openBucket } from './s3-node.ts'
import { objectStoreContract } from './suite.ts'

describe('OpenStack Swift', () => {
  const swift = needs('swift')
  swift.define(() =>
    objectStoreContract({
      manyKeys: 40,
      open: async () => openBucket(await createBucket(swift.get().nodes[0] as S3Node)),
    }),
  )
})
