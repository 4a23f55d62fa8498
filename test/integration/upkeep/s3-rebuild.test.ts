import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { describeFile } from '../../../src/adapters/file-source.ts'
import type { S3Settings } from '../../../src/ports/node-driver.ts'
import {
  makeFolders,
  openRebuilt,
  rebuildInto,
  recoveryKeyOf,
  sha256,
  writeState,
} from '../../support/rebuild-stage.ts'
import { needsS3Nodes, type S3Vault } from '../../support/services/s3-vault.ts'

const RECORDINGS = 50
const s3 = needsS3Nodes()
const folders = makeFolders()
let made: S3Vault | undefined
afterEach(async () => {
  await made?.vault.close()
  made = undefined
  folders.remove()
})

/** Several at a time: what is waited for is the servers. */
async function inLanes<T>(all: readonly T[], step: (one: T) => Promise<void>): Promise<void> {
  const left = [...all]
  const lane = async (): Promise<void> => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) await step(one)
  }
  await Promise.all([1, 2, 3, 4, 5, 6].map(lane))
}

/** A file a node, as docs/OPERATIONS.md has it. */
function filesOf(buckets: readonly S3Settings[]): string[] {
  const folder = folders.make()
  return buckets.map((settings, i) => {
    const path = join(folder, `${i}.json`)
    writeFileSync(path, JSON.stringify(settings), { mode: 0o600 })
    return path
  })
}

describe('a rebuild from S3 nodes', { timeout: 600_000 }, () => {
  s3.define(() => {
    it('brings 50 recordings back from two Ceph nodes and one Swift node', async () => {
      made = await s3.makeVault(5, { threads: 0 })
      const { vault, buckets } = made
      const contents = new Map<string, string>()
      await inLanes(
        Array.from({ length: RECORDINGS }, (_, i) => i),
        async (i) => {
          const content = randomBytes(300 + i)
          const path = join(vault.folder, `${i}.mp4`)
          writeFileSync(path, content)
          const recording = await vault.deposit(path, {
            ...(await describeFile(path)),
            title: `meeting ${i}`,
            externalId: `${i}`,
          })
          await vault.runOnce(await vault.workOf(recording, 'store'))
          contents.set(recording, sha256(content))
        },
      )
      await writeState(vault)
      const files = filesOf(buckets)
      const data = folders.make()
      const key = await recoveryKeyOf(vault)
      const result = await rebuildInto(data, key, [files[0]!, files[2]!, files[4]!])
      expect(result).toMatchObject({
        ...{ recordings: RECORDINGS, known: 0, fragments: 3 * RECORDINGS, hasNewKeys: true, epoch: 2 },
        ...{ incomplete: [], unreadable: [], brokenChains: [], tombstoned: [], unnamedFragments: 0 },
        ...{ nodesFound: ['store-1', 'store-3', 'store-5'], nodesMissing: ['store-2', 'store-4'] },
      })
      const rebuilt = await openRebuilt(data)
      try {
        await inLanes([...contents], async ([id, hash]) => {
          expect(await rebuilt.catalog.recordings.get(id, vault.organisation)).toMatchObject({ state: 'stored' })
          expect(await rebuilt.sha256Of(vault.organisation, id)).toBe(hash)
        })
        expect(await rebuilt.catalog.upkeep.isFlagged('deletions-frozen')).toBe(true)
      } finally {
        await rebuilt.close()
      }
    })
  })
})
