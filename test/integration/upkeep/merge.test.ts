import { randomBytes } from 'node:crypto'
import { copyFileSync, cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, it } from 'vitest'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { createCodecTools } from '../../../src/adapters/segment-engine/codec-tools.ts'
import { encodeManifest } from '../../../src/format/manifest.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { placeDocument } from '../../../src/pipeline/place-document.ts'
import { newestState } from '../../../src/retrieve/newest-state.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { repair } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import {
  makeFolders,
  oldPassphrase,
  openRebuilt,
  rebuildInto,
  sha256,
  storeInto,
  writeState,
} from '../../support/rebuild-stage.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

const never = new AbortController().signal
const LATER_MS = 3_600_000

let vault: TestVault | undefined
const folders = makeFolders()
afterEach(async () => {
  await vault?.close()
  vault = undefined
  folders.remove()
})

/** A copy of the catalog as a backup makes it, while the vault runs. */
function backUp(of: TestVault): string {
  const path = join(folders.make(), 'catalog.sqlite')
  const database = new DatabaseSync(join(of.folder, 'catalog.sqlite'))
  database.exec(`vacuum into '${path}'`)
  database.close()
  return path
}

/** A data folder as after a loss: the keyring, and the catalog from its backup. */
function restored(of: TestVault, backup: string): string {
  const data = folders.make()
  for (const name of readdirSync(of.folder).filter((one) => one.startsWith('keyring'))) {
    cpSync(join(of.folder, name), join(data, name))
  }
  copyFileSync(backup, join(data, 'catalog.sqlite'))
  return data
}

const merge = (data: string, nodes: readonly string[] = []) =>
  rebuildInto(data, undefined, nodes, { passphrase: oldPassphrase, isMerge: true })

async function nextGeneration(of: TestVault, recording: string, title: string): Promise<void> {
  const { manifest } = await of.reader.open(of.organisation, recording, 'commit', never)
  const row = (await of.catalog.layout.generation(recording, manifest.generation))!
  const generation = manifest.generation + 1
  await placeDocument(
    of,
    {
      ...{ kind: 'manifest', suite: 1, organisation: of.organisation, recording, generation },
      body: encodeManifest({ ...manifest, generation, previous: row.sealedSha256, title }),
      ...{ scheme: { k: 3, n: 5, t: 1 }, nodes: (await of.catalog.installation.nodes()).slice(0, 5) },
    },
    never,
  )
}

describe('a catalog from a backup', () => {
  it('is older than the nodes, and a merge brings it up to them: recordings, generations, links, owners', async () => {
    vault = await makeTestVault({ nodes: folderNodes(6), placementRule: 'strict' })
    const old = randomBytes(70_000)
    const first = await storeInto(vault, old, 'first')
    const moving = await storeInto(vault, old, 'moving')
    const link = 'ab'.repeat(16)
    await vault.catalog.links.addLink({
      ...{ id: link, organisation: vault.organisation, recording: first, createdAtMs: 1, expiresAtMs: 9e15 },
      ...{ maxViews: null, allowDownload: false, passcodeHash: null },
    })
    await writeState(vault)
    const backup = backUp(vault)

    // Since then: a recording, a newer manifest, a revoked link, a node that was sold, and another that was emptied.
    const second = await storeInto(vault, randomBytes(80_000), 'second')
    await nextGeneration(vault, first, 'renamed')
    await vault.catalog.links.revokeLink(link, 5)
    const rows = (await vault.catalog.upkeep.surveyed(moving))!.objects
    const [sold, emptied] = rows.filter(({ role }) => role.kind === 'fragment').map(({ node }) => node)
    const owner = { country: 'FI', operator: 'Buyer', parent: 'Buyer', site: 'Buyer 1' }
    await vault.catalog.installation.setNodeOwnership(sold!, owner)
    await vault.catalog.installation.setNodeState(emptied!, 'draining')
    await survey(vault, never)
    const ports = { ...vault, tools: createCodecTools(), signer: shareSigner(vault.keyring) }
    await repair(ports, { bytesPerSecond: Infinity }, never)
    await collect(vault, never, -LATER_MS)
    await writeState(vault)
    await writeState(vault)

    const data = restored(vault, backup)
    const before = await openRebuilt(data, oldPassphrase)
    const knows = (await before.catalog.installation.organisation(vault.organisation))!.stateGeneration
    expect((await newestState(before, vault.organisation, never)).generation).toBeGreaterThan(knows)
    await before.close()

    const result = await merge(data)
    expect(result).toMatchObject({
      recordings: 1,
      newer: 1,
      known: 1,
      hasNewKeys: false,
      passedOver: [],
      incomplete: [],
    })
    expect(result.absent).toBeGreaterThanOrEqual(2)
    const merged = await openRebuilt(data, oldPassphrase)
    try {
      const { catalog } = merged
      expect(await catalog.recordings.get(first, undefined)).toMatchObject({ generation: 2, title: 'renamed' })
      expect(await catalog.recordings.get(second, undefined)).toMatchObject({ generation: 1, title: 'second' })
      expect((await catalog.links.link(link))?.revokedAtMs).not.toBeNull()
      expect(await catalog.installation.node(sold!)).toMatchObject(owner)
      expect((await catalog.installation.node(emptied!))?.state).toBe('draining')
      expect(await catalog.upkeep.isFlagged('deletions-frozen')).toBe(true)
      const now = (await catalog.installation.organisation(vault.organisation))!.stateGeneration
      expect((await newestState(merged, vault.organisation, never)).generation).toBeLessThanOrEqual(now)
      for (const [id, hash] of [
        [first, sha256(old)],
        [moving, sha256(old)],
      ] as const) {
        expect(await merged.sha256Of(vault.organisation, id)).toBe(hash)
      }
      expect(await merged.sha256Of(vault.organisation, second)).toHaveLength(64)
      const lives = async (of: Pick<TestVault, 'catalog'>): Promise<string[]> =>
        (await of.catalog.upkeep.surveyed(moving))!.objects
          .filter(({ state }) => state === 'stored')
          .map(({ node, key }) => `${node} ${key}`)
      expect(await lives(merged)).toEqual(await lives(vault))
      const broken = (await fsck(merged, never)).violations.filter(({ severity }) => severity === 'broken')
      expect(broken.map(({ name }) => name).filter((name) => name !== 'receipt-lost')).toEqual([])
    } finally {
      await merged.close()
    }
    expect(await merge(data)).toMatchObject({ recordings: 0, newer: 0, known: 3, absent: 0 })
  })

  it('says nothing of what lies on a node that does not answer: its rows stay', async () => {
    vault = await makeTestVault()
    const recording = await storeInto(vault, randomBytes(900), 'meeting')
    await writeState(vault)
    const data = restored(vault, backUp(vault))
    rmSync(vault.nodeFolders[1]!, { recursive: true })
    const result = await merge(data)
    expect(result).toMatchObject({ known: 1, absent: 0, nodesMissing: ['folder-2'] })
    expect(result.passedOver).toEqual([{ name: 'folder-2', code: 'E_NODE_UNREACHABLE', count: 1 }])
    const merged = await openRebuilt(data, oldPassphrase)
    try {
      const rows = (await merged.catalog.upkeep.surveyed(recording))!.objects
      expect(rows.filter(({ state }) => state === 'stored')).toHaveLength(10)
    } finally {
      await merged.close()
    }
  })

  it('a recording that was on its way is what it became, and its work is over', async () => {
    vault = await makeTestVault()
    const { deposit } = await waiting(vault)
    const backup = backUp(vault)
    await vault.runDue()
    await writeState(vault)
    const data = restored(vault, backup)
    expect(await merge(data)).toMatchObject({ newer: 1, recordings: 0 })
    const merged = await openRebuilt(data, oldPassphrase)
    try {
      expect(await merged.catalog.recordings.get(deposit, undefined)).toMatchObject({ state: 'stored', generation: 1 })
      const work = await merged.catalog.work.ofRecording(deposit)
      expect(work.map(({ stage, state }) => `${stage} ${state}`).toSorted()).toEqual([
        'store done',
        'transcode pending',
      ])
      expect(await merged.sha256Of(vault.organisation, deposit)).toHaveLength(64)
    } finally {
      await merged.close()
    }
  })

  it('needs a catalog, and one of the same vault', async () => {
    vault = await makeTestVault()
    await storeInto(vault, randomBytes(900), 'meeting')
    await writeState(vault)
    const other = await makeTestVault()
    try {
      const data = restored(vault, backUp(other))
      await expect(merge(data, vault.nodeFolders)).rejects.toMatchObject({ code: 'E_NODE_FOREIGN' })
      rmSync(join(data, 'catalog.sqlite'))
      await expect(merge(data, vault.nodeFolders)).rejects.toMatchObject({ code: 'E_CONFLICT' })
    } finally {
      await other.close()
    }
  })
})

function folderNodes(count: number) {
  return Array.from({ length: count }, (_, i) => ({
    name: `node-${i + 1}`,
    settings: { driver: 'directory', path: folders.make() },
  }))
}

/** A deposit that nobody has worked on yet. */
async function waiting(of: TestVault): Promise<{ deposit: string }> {
  const path = join(of.folder, 'waiting.mp4')
  writeFileSync(path, randomBytes(5000))
  return { deposit: await of.deposit(path, { ...(await describeFile(path)), title: 'waiting' }) }
}
