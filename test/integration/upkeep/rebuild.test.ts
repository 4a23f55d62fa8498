import { createHash, randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { openFileKeyring } from '../../../src/adapters/file-keyring/file-keyring.ts'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { nativeXWing } from '../../../src/adapters/native-kem.ts'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { createNodeDriver } from '../../../src/adapters/open-store.ts'
import { createInlineEngine } from '../../../src/adapters/segment-engine/inline-engine.ts'
import { openSqliteCatalog } from '../../../src/adapters/sql-catalog/open.ts'
import { encodeRecoveryKey } from '../../../src/format/recovery-key.ts'
import { CatalogNodePool } from '../../../src/main/node-pool.ts'
import { rebuildVault, type RebuildResult } from '../../../src/main/upkeep-rebuild.ts'
import { commitState } from '../../../src/pipeline/commit-state.ts'
import type { Catalog } from '../../../src/ports/catalog.ts'
import { createVaultReader } from '../../../src/retrieve/open-recording.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { makeTestVault, silentLog, testKdfCost, type TestVault } from '../../support/test-vault.ts'

const never = new AbortController().signal
const MINUTES = 60_000
const random = nodeRandom()
const passphrase = 'another passphrase of tests'

let vault: TestVault | undefined
const folders: string[] = []
afterEach(async () => {
  await vault?.close()
  vault = undefined
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

async function store(into: TestVault, content: Uint8Array, title: string): Promise<string> {
  const path = join(into.folder, `${title}.mp4`)
  writeFileSync(path, content)
  const recording = await into.deposit(path, { ...(await describeFile(path)), title, externalId: title })
  await into.runDue()
  return recording
}

async function recoveryKeyOf(of: TestVault): Promise<string> {
  return encodeRecoveryKey((await of.keyring.pendingRecoverySeed(of.organisation))!, nodePrimitives.sha256)
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-rebuild-'))
  folders.push(folder)
  return folder
}

async function rebuildInto(data: string, recoveryKey: string, nodes: readonly string[]): Promise<RebuildResult> {
  return await rebuildVault(
    {
      config: { data, databaseUrl: undefined },
      ...{ recoveryKey, passphrase, nodes, clock: nodeClock, random, log: silentLog, kdfCost: testKdfCost },
      driver: createNodeDriver({ clock: nodeClock, random }),
    },
    never,
  )
}

/** The rebuilt vault, to read with. */
async function openRebuilt(data: string) {
  const catalog: Catalog = openSqliteCatalog(join(data, 'catalog.sqlite'), nodeClock)
  const keyring = await openFileKeyring({
    ...{ folder: data, passphrase, clock: nodeClock, random, primitives: nodePrimitives, suite1Kem: nativeXWing },
    record: () => Promise.resolve(),
    unwrapsPerMinute: 1_000_000,
  })
  const pool = new CatalogNodePool({
    installation: catalog.installation,
    installationId: await catalog.installation.installation('0'.repeat(32)),
    ...{ atRest: keyring, driver: createNodeDriver({ clock: nodeClock, random }), clock: nodeClock },
  })
  const engine = createInlineEngine()
  const common = { catalog, keyring, pool, engine, clock: nodeClock, log: silentLog, primitives: nodePrimitives }
  const parts = { layout: catalog.layout, recordings: catalog.recordings, installation: catalog.installation }
  const reader = createVaultReader({ ...common, ...parts })
  return {
    ...common,
    ...parts,
    async sha256Of(organisation: string, recording: string): Promise<string> {
      const opened = await reader.open(organisation, recording, 'download', never)
      const original = opened.manifest.assets.find(({ kind }) => kind === 'original')!
      const hash = createHash('sha256')
      for await (const chunk of opened.asset(original.id).read(0, original.contentBytes, never)) hash.update(chunk)
      return hash.digest('hex')
    },
    async close(): Promise<void> {
      await pool.close()
      await catalog.close()
      keyring.close()
    },
  }
}

const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex')

describe('a rebuild', () => {
  it(
    'brings 1,000 recordings back from three of five nodes and the recovery key: every field, every byte',
    { timeout: 30 * MINUTES },
    async () => {
      vault = await makeTestVault({ placementRule: 'strict', threads: 0 })
      const contents = new Map<string, string>()
      for (let i = 0; i < 1000; i++) {
        const content = randomBytes(500 + i)
        contents.set(await store(vault, content, `meeting ${i}`), sha256(content))
      }
      await commitState({ ...vault, location: ({ settings }) => String(settings['path']) }, vault.organisation, never)
      const before = new Map<string, unknown>()
      for (const id of contents.keys()) before.set(id, await vault.catalog.recordings.get(id, undefined))
      const data = newFolder()
      const startedAtMs = performance.now()
      const result = await rebuildInto(data, await recoveryKeyOf(vault), vault.nodeFolders.slice(0, 3))
      expect(performance.now() - startedAtMs).toBeLessThan(10 * MINUTES)
      expect(result).toMatchObject({
        ...{ recordings: 1000, known: 0, fragments: 3000, hasNewKeys: true, epoch: 2 },
        ...{ incomplete: [], unreadable: [], brokenChains: [], tombstoned: [], unnamedFragments: 0 },
        ...{ nodesFound: ['folder-1', 'folder-2', 'folder-3'], nodesMissing: ['folder-4', 'folder-5'] },
      })
      const rebuilt = await openRebuilt(data)
      try {
        for (const [id, hash] of contents) {
          const now = await rebuilt.catalog.recordings.get(id, vault.organisation)
          expect(now).toEqual({
            ...(before.get(id) as object),
            ...{ state: 'stored', reason: null },
            ...{ updatedAtMs: now!.updatedAtMs, storedAtMs: now!.storedAtMs },
          })
          expect(await rebuilt.sha256Of(vault.organisation, id)).toBe(hash)
        }
        expect(await rebuilt.catalog.upkeep.isFlagged('deletions-frozen')).toBe(true)
        const report = await fsck(rebuilt, never)
        expect(new Set(report.violations.map(({ name }) => name))).toEqual(
          new Set([
            'fragments-too-few',
            'manifest-shares-too-few',
            'state-shares-too-few',
            'receipt-lost',
            'card-missing',
          ]),
        )
      } finally {
        await rebuilt.close()
      }
    },
  )

  it('run again with the other nodes adds what they have, and then nothing is amiss', async () => {
    vault = await makeTestVault({ placementRule: 'strict' })
    const content = randomBytes(300_000)
    const recording = await store(vault, content, 'meeting')
    await commitState({ ...vault, location: ({ settings }) => String(settings['path']) }, vault.organisation, never)
    const data = newFolder()
    const recoveryKey = await recoveryKeyOf(vault)
    await rebuildInto(data, recoveryKey, vault.nodeFolders.slice(2))
    // They come back at another place.
    const moved = vault.nodeFolders.map((folder, i) => {
      if (i >= 2) return folder
      cpSync(folder, `${folder}-moved`, { recursive: true })
      rmSync(folder, { recursive: true })
      return `${folder}-moved`
    })
    const again = await rebuildInto(data, recoveryKey, moved)
    expect(again).toMatchObject({ recordings: 0, known: 1, nodesMissing: [], epoch: 2, hasNewKeys: false })
    const rebuilt = await openRebuilt(data)
    try {
      expect(await rebuilt.sha256Of(vault.organisation, recording)).toBe(sha256(content))
      const names = (await fsck(rebuilt, never)).violations.map(({ name }) => name)
      expect(new Set(names)).toEqual(new Set(['receipt-lost', 'card-missing']))
      expect(await rebuilt.catalog.installation.cards(vault.organisation)).toHaveLength(2)
      expect((await rebuilt.catalog.installation.nodes()).every(({ state }) => state === 'active')).toBe(true)
    } finally {
      await rebuilt.close()
    }
  })

  it('keeps the epoch when the keyring is there', async () => {
    vault = await makeTestVault()
    const recording = await store(vault, randomBytes(1000), 'meeting')
    const recoveryKey = await recoveryKeyOf(vault)
    const data = newFolder()
    for (const name of readdirSync(vault.folder).filter((one) => one.startsWith('keyring')))
      cpSync(join(vault.folder, name), join(data, name))
    const result = await rebuildVault(
      {
        config: { data, databaseUrl: undefined },
        ...{
          recoveryKey,
          passphrase: 'a passphrase of tests',
          nodes: vault.nodeFolders,
          clock: nodeClock,
          random,
          log: silentLog,
        },
        driver: createNodeDriver({ clock: nodeClock, random }),
      },
      never,
    )
    expect(result).toMatchObject({ recordings: 1, hasNewKeys: false, epoch: 1 })
    expect(recording).toBeTruthy()
  })

  it('brings revoked links, names and owners of nodes back, and the number of the state', async () => {
    vault = await makeTestVault()
    const recording = await store(vault, randomBytes(1000), 'meeting')
    const link = 'ab'.repeat(16)
    await vault.catalog.links.addLink({
      ...{ id: link, organisation: vault.organisation, recording, createdAtMs: 1, expiresAtMs: 2 },
      ...{ maxViews: null, allowDownload: false, passcodeHash: null },
    })
    await vault.catalog.links.revokeLink(link, 5)
    for (let i = 0; i < 3; i++)
      await commitState({ ...vault, location: ({ settings }) => String(settings['path']) }, vault.organisation, never)
    const data = newFolder()
    await rebuildInto(data, await recoveryKeyOf(vault), vault.nodeFolders.slice(0, 3))
    const rebuilt = await openRebuilt(data)
    try {
      expect(await rebuilt.catalog.links.revokedLinks(vault.organisation)).toEqual([link])
      expect(await rebuilt.catalog.installation.organisation(vault.organisation)).toMatchObject({
        ...{ stateGeneration: 3, scheme: { k: 3, n: 5, t: 1 } },
      })
      const owners = (await rebuilt.catalog.installation.nodes()).map(({ id, name, operator, site, country }) => [
        id,
        name,
        operator,
        site,
        country,
      ])
      const before = (await vault.catalog.installation.nodes()).map(({ id, name, operator, site, country }) => [
        id,
        name,
        operator,
        site,
        country,
      ])
      expect(owners.toSorted()).toEqual(before.toSorted())
    } finally {
      await rebuilt.close()
    }
  })

  it('restores the generation before and says so when a newer one is there in part', async () => {
    vault = await makeTestVault()
    const content = randomBytes(1000)
    const recording = await store(vault, content, 'meeting')
    // A later generation of the same manifest, of which two shares came to rest before the crash.
    const opened = await vault.reader.open(vault.organisation, recording, 'commit', never)
    const { placeDocument } = await import('../../../src/pipeline/place-document.ts')
    const { encodeManifest } = await import('../../../src/format/manifest.ts')
    const before = await vault.catalog.layout.generation(recording, 1)
    const manifest = { ...opened.manifest, generation: 2, previous: before!.sealedSha256, title: 'later' }
    const nodes = await vault.catalog.installation.nodes()
    await placeDocument(
      vault,
      {
        ...{ kind: 'manifest', suite: 1, organisation: vault.organisation, recording, generation: 2 },
        ...{ body: encodeManifest(manifest), scheme: { k: 3, n: 5, t: 1 }, nodes },
      },
      never,
    )
    const later = (await vault.catalog.upkeep.surveyed(recording))!.objects.filter(
      ({ role }) => role.kind === 'manifest' && role.generation === 2,
    )
    for (const { node, key } of later.slice(0, 3)) {
      const path = vault.nodeFolders[nodes.findIndex(({ id }) => id === node)]!
      rmSync(join(path, 'm', key.slice(2, 4), key.slice(2)))
    }
    const data = newFolder()
    const result = await rebuildInto(data, await recoveryKeyOf(vault), vault.nodeFolders)
    expect(result.incomplete).toEqual([{ recording, restored: 1, missing: [{ generation: 2, came: 2, needed: 3 }] }])
    const rebuilt = await openRebuilt(data)
    try {
      expect(await rebuilt.catalog.recordings.get(recording, undefined)).toMatchObject({
        generation: 1,
        title: 'meeting',
      })
      expect(await rebuilt.catalog.layout.generation(recording, 2)).toMatchObject({ state: 'abandoned' })
      expect(await rebuilt.sha256Of(vault.organisation, recording)).toBe(sha256(content))
    } finally {
      await rebuilt.close()
    }
  })

  it('takes nothing from a stranger: shares with another signer, another recovery key, another vault', async () => {
    vault = await makeTestVault()
    await store(vault, randomBytes(1000), 'meeting')
    const other = await makeTestVault()
    try {
      await store(other, randomBytes(1000), 'meeting')
      const key = await recoveryKeyOf(vault)
      await expect(rebuildInto(newFolder(), await recoveryKeyOf(other), vault.nodeFolders)).rejects.toMatchObject({
        code: 'E_CARD_UNTRUSTED',
      })
      const mixed = [...vault.nodeFolders.slice(1), other.nodeFolders[0]!]
      await expect(rebuildInto(newFolder(), key, mixed)).rejects.toMatchObject({ code: 'E_NODE_FOREIGN' })
      // What a stranger puts onto our nodes is passed over.
      for (const [i, folder] of vault.nodeFolders.entries()) {
        for (const room of ['m', 's', 'f', 'card']) {
          const from = join(other.nodeFolders[i]!, room)
          mkdirSync(from, { recursive: true })
          cpSync(from, join(folder, room), { recursive: true })
        }
      }
      expect(await rebuildInto(newFolder(), key, vault.nodeFolders)).toMatchObject({
        recordings: 1,
        unnamedFragments: 5,
      })
    } finally {
      await other.close()
    }
  })

  it('leaves a catalog alone that no rebuild made', async () => {
    vault = await makeTestVault()
    const key = await recoveryKeyOf(vault)
    await expect(rebuildInto(vault.folder, key, vault.nodeFolders)).rejects.toMatchObject({ code: 'E_CONFLICT' })
  })
})
