import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFfmpegTool } from '../../../src/adapters/ffmpeg/tool.ts'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import type { Id } from '../../../src/domain/ids.ts'
import type { S3Settings } from '../../../src/ports/node-driver.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { createBucket } from '../../support/services/buckets.ts'
import { needs, type S3Node } from '../../support/services/service.ts'
import { unfinishedUploads } from '../../support/services/unfinished-uploads.ts'
import { makeTestVault, silentLog, type TestVault } from '../../support/test-vault.ts'

const never = new AbortController().signal
const ceph = needs('ceph', { nodes: 3, instance: 'pipeline' })
const swift = needs('swift', { nodes: 2, instance: 'pipeline' })

const content = randomBytes(40 * 1024 * 1024 + 4321)
let vault: TestVault
let servers: S3Node[]
let buckets: S3Settings[]

beforeAll(async () => {
  if (!ceph.available || !swift.available) return
  servers = [...ceph.get().nodes.slice(0, 3), ...swift.get().nodes.slice(0, 2)]
  buckets = []
  for (const server of servers) buckets.push(await createBucket(server, { prefix: 'vault/' }))
  vault = await makeTestVault({
    placementRule: 'strict',
    media: await createFfmpegTool({ clock: nodeClock, random: nodeRandom(), log: silentLog }),
    nodes: buckets.map((settings, index) => ({
      name: index < 3 ? `ceph-${index + 1}` : `swift-${index - 2}`,
      settings,
      operator: `Provider ${index + 1}`,
    })),
  })
})
afterAll(async () => {
  await vault?.close()
})

async function deposit(name: string, bytes: Buffer): Promise<Id> {
  const path = join(vault.folder, name)
  writeFileSync(path, bytes)
  return await vault.deposit(path, await describeFile(path))
}

async function read(recording: Id, name: string, start = 0, end?: number): Promise<Buffer> {
  const opened = await vault.reader.open(vault.organisation, recording, 'play', never)
  const asset = opened.manifest.assets.find((candidate) => candidate.name === name)!
  const chunks: Uint8Array[] = []
  for await (const chunk of opened.asset(asset.id).read(start, end ?? asset.contentBytes, never)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function openUploads(): Promise<number> {
  return (await Promise.all(buckets.map(unfinishedUploads))).flat().length
}

describe('a vault on five S3 nodes of two kinds', () => {
  swift.define(() =>
    ceph.define(() => {
      let recording: Id
      let film: Id

      it('stores a recording in parts, one fragment with each provider, and gives it back', async () => {
        recording = await deposit('meeting.bin', content)
        await vault.runOnce(await vault.workOf(recording, 'store'))
        expect(await vault.recordings.get(recording, vault.organisation)).toMatchObject({
          state: 'stored',
          reason: null,
        })
        const shares = await vault.layout.manifestShares(recording, 1)
        expect(new Set(shares.map(({ node }) => node)).size).toBe(5)
        const usage = await vault.layout.nodeUsage()
        // Two data rows: half of the content with each, above two parts of 8 MiB.
        for (const { bytes } of usage) expect(bytes).toBeGreaterThan(content.length / 2)
        expect((await read(recording, 'meeting.bin')).equals(content)).toBe(true)
        expect(await openUploads()).toBe(0)
      })

      it('transcodes a clip from the vault into the vault', async () => {
        const path = join(vault.folder, 'clip.mp4')
        const source = '-f lavfi -i testsrc2=size=320x180:rate=10:duration=2 -f lavfi -i sine=duration=2'
        const coding = '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 20 -c:a aac'
        execFileSync('ffmpeg', ['-v', 'error', '-y', ...source.split(' '), ...coding.split(' '), path])
        film = await deposit('clip.mp4', readFileSync(path))
        await vault.runOnce(await vault.workOf(film, 'store'))
        await vault.runOnce(await vault.workOf(film, 'transcode'))
        expect(await vault.recordings.get(film, vault.organisation)).toMatchObject({ state: 'ready', generation: 2 })
      })

      it('reads ranges with one provider of each kind gone', async () => {
        await servers[0]!.kill()
        await servers[3]!.pause()
        try {
          for (const [start, end] of [
            [0, 100],
            [262_112 * 3 - 7, 262_112 * 9 + 5],
            [content.length - 1, content.length],
          ] as const) {
            expect((await read(recording, 'meeting.bin', start, end)).equals(content.subarray(start, end))).toBe(true)
          }
          expect((await read(recording, 'meeting.bin')).equals(content)).toBe(true)
          const { manifest } = await vault.reader.open(vault.organisation, film, 'play', never)
          const rendition = manifest.assets.find(({ kind }) => kind === 'rendition')!
          expect((await read(film, rendition.name)).length).toBe(rendition.contentBytes)
        } finally {
          await servers[3]!.resume()
          await servers[0]!.start()
        }
      })

      it('stores on four while one is gone; what a broken-off write leaves is collected', async () => {
        await servers[1]!.kill()
        let degraded: Id
        try {
          degraded = await deposit('degraded.bin', content.subarray(0, 3_000_000))
          await vault.runOnce(await vault.workOf(degraded, 'store'))
          expect(await vault.recordings.get(degraded, vault.organisation)).toMatchObject({ state: 'stored' })
        } finally {
          await servers[1]!.start()
        }
        const broken = await deposit('broken.bin', content)
        const shutdown = new AbortController()
        const run = vault.runOnce(await vault.workOf(broken, 'store'), shutdown.signal)
        for (let i = 0; i < 1000 && (await openUploads()) === 0; i++) await nodeClock.sleep(10)
        shutdown.abort()
        await run
        await nodeClock.sleep(20)
        const { left } = await collect(vault, never, 0)
        expect(left).toBe(0)
        expect(await openUploads()).toBe(0)
        const stored = new Set<string>()
        for (const each of [recording, film, degraded!]) {
          const { manifest } = await vault.reader.open(vault.organisation, each, 'play', never)
          for (const { sealed } of manifest.assets) {
            if (!sealed) continue
            const attempt = Buffer.from(sealed.header).subarray(58, 74).toString('hex')
            for (const { key } of await vault.layout.fragments(attempt)) stored.add(key)
          }
        }
        for (const node of await vault.pool.nodes()) {
          const store = await vault.pool.store(node.id)
          for await (const { key } of store.list('f/', never)) expect(stored).toContain(key)
        }
      })

      it('says in words which rule cannot be met, and goes on when it can', async () => {
        const [first, second] = await vault.installation.nodes()
        const { country, operator, parent, site } = first!
        await vault.installation.setNodeOwnership(second!.id, { country, operator, parent, site })
        vault.pool.refresh()
        const waiting = await deposit('rule.bin', content.subarray(0, 1000))
        await vault.runOnce(await vault.workOf(waiting, 'store'))
        const row = await vault.recordings.get(waiting, vault.organisation)
        expect(row).toMatchObject({ state: 'received', reason: { code: 'E_PLACEMENT_RULE' } })
        expect(row!.reason!.message).toContain('add nodes of 1 more operator')
        await vault.installation.setNodeOwnership(second!.id, {
          country,
          operator: 'Another',
          parent: 'Another',
          site: 'Elsewhere',
        })
        vault.pool.refresh()
        await nodeClock.sleep(2_000)
        await vault.runOnce(await vault.workOf(waiting, 'store'))
        expect(await vault.recordings.get(waiting, vault.organisation)).toMatchObject({ state: 'stored', reason: null })
      })
    }),
  )
})
