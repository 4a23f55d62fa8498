import { randomBytes } from 'node:crypto'
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { afterEach, describe, expect, it } from 'vitest'
import { createCodecTools } from '../../../src/adapters/segment-engine/codec-tools.ts'
import type { Id } from '../../../src/domain/ids.ts'
import { CatalogNodePool } from '../../../src/main/node-pool.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { rebalanceIfWanted } from '../../../src/main/upkeep-rebalance.ts'
import type { S3Settings } from '../../../src/ports/node-driver.ts'
import type { NodePool } from '../../../src/ports/node-pool.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { repair, type RepairPorts } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import { sha256, storeInto } from '../../support/rebuild-stage.ts'
import { rawClient } from '../../support/services/buckets.ts'
import type { S3Key } from '../../support/services/kinds.ts'
import { needsS3Nodes, type S3Vault } from '../../support/services/s3-vault.ts'
import { movableClock, never } from '../../support/upkeep-stage.ts'

const HOUR_MS = 3_600_000
const RECORDINGS = 4
const s3 = needsS3Nodes()
let made: S3Vault | undefined
afterEach(async () => {
  await made?.vault.close()
  made = undefined
})

const keysOf = ({ accessKeyId, secretAccessKey }: S3Key) => ({ accessKeyId, secretAccessKey })

/** Everything that a bucket holds, asked past the vault. */
async function keysIn(settings: S3Settings): Promise<string[]> {
  const client = rawClient(settings)
  try {
    const { Versions } = await client.send(new ListObjectVersionsCommand({ Bucket: settings.bucket }))
    return (Versions ?? []).map(({ Key }) => Key ?? '')
  } finally {
    client.destroy()
  }
}

describe('the life of S3 nodes', { timeout: 600_000 }, () => {
  s3.define(() => {
    it('one is drained and removed, one dismissed, a new one gets its fair share; after each all is whole', async () => {
      const clock = movableClock()
      made = await s3.makeVault(8, { threads: 0, clock })
      const { vault, buckets, leftovers } = made
      const nodes = await vault.installation.nodes()
      const ports: RepairPorts = { ...vault, tools: createCodecTools(), signer: shareSigner(vault.keyring) }
      const contents = new Map<Id, string>()
      const objects = async () =>
        (await Promise.all([...contents.keys()].map((id) => vault.catalog.upkeep.surveyed(id))))
          .flatMap((one) => one!.objects)
          .filter(({ state }) => state === 'stored')
      const work = async (): Promise<void> => {
        await survey(vault, never)
        await repair(ports, { bytesPerSecond: Infinity }, never)
      }
      const expectWell = async (): Promise<void> => {
        clock.movedMs += HOUR_MS
        expect(await collect(vault, never)).toMatchObject({ left: 0 })
        expect(await fsck({ ...vault, leftovers }, never)).toMatchObject({ violations: [], unreachable: [] })
        expect(await survey(vault, never)).toBe(0)
        for (const [id, hash] of contents) {
          const opened = await vault.reader.open(vault.organisation, id, 'download', never)
          const original = opened.manifest.assets.find(({ kind }) => kind === 'original')!
          const chunks: Uint8Array[] = []
          for await (const chunk of opened.asset(original.id).read(0, original.contentBytes, never)) chunks.push(chunk)
          expect(sha256(Buffer.concat(chunks))).toBe(hash)
        }
      }

      // Placement is by chance: while five nodes take writes, each of them has a share of everything. The eighth is the new one of later.
      for (const { id } of nodes.slice(5)) await vault.operations.change(id, { state: 'read-only' })
      for (let i = 0; i < RECORDINGS; i++) {
        const content = randomBytes(20_000 + i)
        contents.set(await storeInto(vault, content, `meeting ${i}`), sha256(content))
      }
      for (const { id } of nodes.slice(5, 7)) await vault.operations.change(id, { state: 'active' })

      // A Ceph node is drained: every share of it lies elsewhere, under the same sharing, and its bucket is empty.
      const drained = nodes[0]!
      const sharings = new Set((await objects()).map(({ sharing }) => sharing))
      await vault.operations.drain(drained.id)
      await work()
      expect(await vault.operations.progress(drained.id)).toMatchObject({ sharesWaiting: 0 })
      expect(new Set((await objects()).map(({ sharing }) => sharing))).toEqual(sharings)
      await expectWell()
      await vault.operations.remove(drained.id)
      expect(await keysIn(buckets[0]!)).toEqual([])

      // A Swift node is dismissed: whatever it knew a share of has another sharing.
      const dismissed = nodes[3]!
      const known = new Set((await objects()).filter(({ node }) => node === dismissed.id).map(({ sharing }) => sharing))
      expect(known.size).toBe(2 * RECORDINGS)
      await vault.operations.dismiss(dismissed.id)
      await work()
      expect(await vault.operations.progress(dismissed.id)).toMatchObject({ sharingsExposed: 0 })
      const standing = await objects()
      expect(standing).toHaveLength(10 * RECORDINGS)
      expect(standing.filter(({ sharing, node }) => known.has(sharing) || node === dismissed.id)).toEqual([])
      await expectWell()
      expect((await keysIn(buckets[3]!)).filter((key) => key !== 'vault/mosaik-node')).toEqual([])

      // The new one takes writes, and its share of what is there.
      await vault.operations.change(nodes[7]!.id, { state: 'active' })
      const planned = await vault.operations.previewRebalance(never)
      expect(planned.transfers.map(({ to }) => to)).toContain('store-8')
      await vault.operations.rebalance(100 * 2 ** 20)
      await rebalanceIfWanted(ports, never)
      expect(await vault.operations.rebalanceView()).toMatchObject({
        state: 'idle',
        movedObjects: planned.objectsCount,
      })
      expect((await vault.operations.previewRebalance(never)).objectsCount).toBe(0)
      expect((await objects()).filter(({ node }) => node === nodes[7]!.id).length).toBeGreaterThan(0)
      await expectWell()
    })

    it('other credentials are tried first, then in use in every process; wrong ones change nothing', async () => {
      const clock = movableClock()
      made = await s3.makeVault(5, { threads: 0, clock })
      const { vault } = made
      const [node, other] = await vault.installation.nodes()
      const content = randomBytes(5_000)
      const recording = await storeInto(vault, content, 'meeting')
      const share = (await vault.catalog.upkeep.surveyed(recording))!.objects.find((one) => one.node === node!.id)!
      /** Another process of the vault: it knows what the catalog says, and nothing else. */
      const elsewhere = new CatalogNodePool(vault)
      const sizeSeen = async (pool: NodePool): Promise<number | undefined> =>
        (await (await pool.store(node!.id)).head(share.key, never))?.sizeBytes
      const code = async (call: Promise<unknown>): Promise<unknown> =>
        await call.then(
          () => undefined,
          (error: unknown) => (error as { code?: unknown }).code,
        )
      try {
        const [first, second] = [await s3.ceph().newKey(0), await s3.ceph().newKey(0)]
        await vault.operations.setCredentials(node!.id, keysOf(first))
        clock.movedMs += 10_000
        expect(await sizeSeen(vault.pool)).toBe(share.sizeBytes)
        expect(await sizeSeen(elsewhere)).toBe(share.sizeBytes)

        // Wrong ones are refused in words without the secret, and nothing of them is kept.
        const before = await vault.installation.node(node!.id)
        const wrong = { accessKeyId: first.accessKeyId, secretAccessKey: 'not-the-secret-of-this-key' }
        const refusal = vault.operations.setCredentials(node!.id, wrong)
        await expect(refusal).rejects.toMatchObject({
          code: 'E_NODE_REFUSED',
          message: expect.not.stringContaining(wrong.secretAccessKey) as string,
        })
        await expect(refusal).rejects.toThrow(
          /^the new credentials of node store-1 do not do, and the ones before stay in use/,
        )
        await expect(vault.operations.setCredentials(other!.id, keysOf(second))).rejects.toMatchObject({
          code: 'E_NODE_REFUSED',
        })
        expect(await vault.installation.node(node!.id)).toEqual(before)
        expect(await sizeSeen(vault.pool)).toBe(share.sizeBytes)

        // The provider withdraws the old key: the node is refused until it has the new one, without a restart of anybody.
        await first.withdraw()
        await expect.poll(() => code(sizeSeen(vault.pool)), { timeout: 60_000 }).toBe('E_NODE_REFUSED')
        await expect.poll(() => code(sizeSeen(elsewhere)), { timeout: 60_000 }).toBe('E_NODE_REFUSED')
        await vault.operations.setCredentials(node!.id, keysOf(second))
        clock.movedMs += 10_000
        expect(await sizeSeen(vault.pool)).toBe(share.sizeBytes)
        expect(await sizeSeen(elsewhere)).toBe(share.sizeBytes)
        await storeInto(vault, content, 'another')
        expect((await vault.operations.list()).map(({ trouble }) => trouble)).toEqual([null, null, null, null, null])
        // They are nowhere in clear.
        const row = JSON.stringify(await vault.installation.node(node!.id))
        for (const secret of [second.secretAccessKey, second.accessKeyId]) expect(row).not.toContain(secret)
      } finally {
        await elsewhere.close()
      }
    })
  })
})
