import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { padmeBytes } from '../../../src/domain/padding.ts'
import { plaintextLength } from '../../../src/format/asset-header.ts'
import { fragmentLength } from '../../../src/format/fragment-header.ts'
import { decodeReceipt } from '../../../src/format/receipt.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { repair } from '../../../src/upkeep/blind/repair.ts'
import { scrub } from '../../../src/upkeep/blind/scrub.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import {
  makeFolders,
  openRebuilt,
  rebuildInto,
  recoveryKeyOf,
  storeInto,
  writeState,
} from '../../support/rebuild-stage.ts'
import { makeTestVault } from '../../support/test-vault.ts'
import { makeStage, never, sha256, type Stage } from '../../support/upkeep-stage.ts'

const HOUR_MS = 3_600_000
/** One more than a Padmé length: the padding is a whole segment and more. */
const LENGTH = 2 ** 23 + 1

let stage: Stage | undefined
const folders = makeFolders()
afterEach(async () => {
  await stage?.close()
  stage = undefined
  folders.remove()
})

const original = async (of: Stage, recording: string) => {
  const { manifest, asset } = await of.reader.open(of.organisation, recording, 'download', never)
  const found = manifest.assets.find(({ kind }) => kind === 'original')!
  return { asset: found, reader: asset(found.id) }
}

async function bytes(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(Uint8Array.from(chunk))
  return Buffer.concat(all)
}

describe('a vault that pads by Padmé', () => {
  it('shows nodes the padded length, and everybody else the content as it is', async () => {
    stage = await makeStage({ padding: 'padme' })
    const contents = [randomBytes(LENGTH), randomBytes(LENGTH + 200_000)]
    const sizes: unknown[] = []
    for (const content of contents) {
      const recording = await stage.store(content)
      const { asset, reader } = await original(stage, recording)
      expect(asset.contentBytes).toBe(content.length)
      expect(Buffer.from(asset.sha256).toString('hex')).toBe(sha256(content))
      expect(plaintextLength(asset.sealed!.sealedBytes)).toBe(padmeBytes(content.length))
      const receipt = await stage.catalog.recordings.receipt(recording)
      expect(decodeReceipt(receipt!)).toMatchObject({ contentBytes: content.length })
      expect((await stage.catalog.recordings.get(recording, undefined))!.contentBytes).toBe(content.length)
      // all of it; the end; nothing beyond it
      expect((await bytes(reader.read(0, content.length, never))).equals(content)).toBe(true)
      expect((await bytes(reader.read(content.length - 5, content.length, never))).equals(content.subarray(-5))).toBe(
        true,
      )
      await expect(bytes(reader.read(0, content.length + 1, never))).rejects.toMatchObject({ code: 'E_OBJECT_RANGE' })
      const fragments = await stage.fragmentsOf(recording)
      sizes.push(fragments.map(({ sizeBytes }) => sizeBytes))
      expect(fragments[0]!.sizeBytes).toBe(fragmentLength({ k: 3, t: 1 }, asset.sealed!.sealedBytes, 0))
    }
    expect(padmeBytes(LENGTH) - LENGTH).toBeGreaterThan(200_000)
    expect(sizes[0]).toEqual(sizes[1])
  })

  it('scrubs, repairs, shares anew, drains and collects what it padded as anything else', async () => {
    stage = await makeStage({ padding: 'padme', placementRule: 'strict', nodesCount: 6 })
    const one = stage
    const content = randomBytes(LENGTH)
    const recording = await one.store(content)
    const work = async () => {
      await survey(one, never)
      return await repair({ ...one, signer: shareSigner(one.keyring) }, { bytesPerSecond: Infinity }, never)
    }
    const expectWell = async (): Promise<void> => {
      expect((await fsck(one, never)).violations).toEqual([])
      expect((await scrub(one, { bytesPerSecond: Infinity }, never))!.findings).toBe(0)
      expect(await one.sha256Of(recording)).toBe(sha256(content))
    }
    await expectWell()
    const [first, second] = await one.fragmentsOf(recording)
    one.storeOf(first!.node).objects.delete(first!.key)
    one.storeOf(second!.node).corrupt(second!.key, second!.sizeBytes! - 3) // a block that is padding and nothing else
    await scrub(one, { bytesPerSecond: Infinity }, never)
    expect(await work()).toMatchObject({ shares: 2, waiting: 0 })
    await expectWell()
    await one.catalog.layout.setScheme(
      { organisation: one.organisation, recording },
      { k: 2, n: 4, t: 1 },
      one.clock.nowMs(),
    )
    await work()
    expect((await one.fragmentsOf(recording)).map(({ scheme }) => scheme?.n)).toEqual([4, 4, 4, 4])
    await expectWell()
    const [leaving] = await one.fragmentsOf(recording)
    await one.operations.drain(leaving!.node)
    await work()
    expect((await one.fragmentsOf(recording)).some(({ node }) => node === leaving!.node)).toBe(false)
    one.clock.movedMs += HOUR_MS
    await collect(one, never)
    await expectWell()
  })

  it('is rebuilt from its nodes', async () => {
    const vault = await makeTestVault({ padding: 'padme', placementRule: 'strict', threads: 0 })
    try {
      const content = randomBytes(300_001)
      const recording = await storeInto(vault, content, 'meeting')
      await writeState(vault)
      const data = folders.make()
      const result = await rebuildInto(data, await recoveryKeyOf(vault), vault.nodeFolders.slice(2))
      expect(result).toMatchObject({ recordings: 1, incomplete: [], unreadable: [] })
      const rebuilt = await openRebuilt(data)
      try {
        expect(await rebuilt.sha256Of(vault.organisation, recording)).toBe(sha256(content))
        expect((await rebuilt.catalog.recordings.get(recording, undefined))!.contentBytes).toBe(content.length)
      } finally {
        await rebuilt.close()
      }
    } finally {
      await vault.close()
    }
  })
})
