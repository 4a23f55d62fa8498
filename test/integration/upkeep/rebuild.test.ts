import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { encodeManifest } from '../../../src/format/manifest.ts'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { placeDocument } from '../../../src/pipeline/place-document.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { fsck } from '../../../src/upkeep/blind/fsck.ts'
import { repair } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import { createCodecTools } from '../../../src/adapters/segment-engine/codec-tools.ts'
import {
  makeFolders,
  oldPassphrase,
  openRebuilt,
  rebuildInto,
  recoveryKeyOf,
  sha256,
  storeAllInto,
  storeInto as store,
  writeState,
} from '../../support/rebuild-stage.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

const never = new AbortController().signal
const MINUTES = 60_000

let vault: TestVault | undefined
const folders = makeFolders()
const newFolder = (): string => folders.make()
afterEach(async () => {
  await vault?.close()
  vault = undefined
  folders.remove()
})

describe('a rebuild', () => {
  it(
    'brings 1,000 recordings back from three of five nodes and the recovery key: every field, every byte',
    { timeout: 30 * MINUTES },
    async () => {
      vault = await makeTestVault({ placementRule: 'strict', threads: 0 })
      const all = Array.from({ length: 1000 }, (_, i) => [randomBytes(500 + i), `meeting ${i}`] as const)
      const ids = await storeAllInto(vault, all)
      const contents = new Map(ids.map((id, i) => [id, sha256(all[i]![0])]))
      expect(contents.size).toBe(1000)
      await writeState(vault)
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
    await writeState(vault)
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
    const result = await rebuildInto(data, recoveryKey, vault.nodeFolders, { passphrase: oldPassphrase })
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
    for (let i = 0; i < 3; i++) await writeState(vault)
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
    const taken: [string, Uint8Array][] = []
    for (const { node, key } of later.slice(0, 3)) {
      const path = vault.nodeFolders[nodes.findIndex(({ id }) => id === node)]!
      const file = join(path, 'm', key.slice(2, 4), key.slice(2))
      taken.push([file, readFileSync(file)])
      rmSync(file)
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
    // The node with the third share is found: the newer generation counts.
    for (const [path, bytes] of taken) writeFileSync(path, bytes)
    expect(await rebuildInto(data, await recoveryKeyOf(vault), vault.nodeFolders)).toMatchObject({
      ...{ recordings: 0, known: 0, newer: 1, incomplete: [] },
    })
    const whole = await openRebuilt(data)
    try {
      expect(await whole.catalog.recordings.get(recording, undefined)).toMatchObject({ generation: 2, title: 'later' })
      expect(await whole.catalog.layout.generation(recording, 2)).toMatchObject({ state: 'stored' })
      expect(await whole.sha256Of(vault.organisation, recording)).toBe(sha256(content))
    } finally {
      await whole.close()
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

describe('what only the state says', () => {
  it('who held shares once comes back: moved shares, and owners of before', async () => {
    vault = await makeTestVault({ placementRule: 'strict', nodes: sevenFolders() })
    const recording = await store(vault, randomBytes(1000), 'meeting')
    const nodes = await vault.catalog.installation.nodes()
    const layoutOf = async () => (await vault!.catalog.upkeep.surveyed(recording))!.objects
    const before = (await layoutOf()).filter(({ state }) => state === 'stored')
    const [bought, left] = before.filter(({ role }) => role.kind === 'fragment')
    await vault.catalog.installation.setNodeOwnership(bought!.node, {
      ...{ country: 'FI', operator: 'Buyer', parent: 'Buyer', site: 'Buyer 1' },
    })
    await vault.catalog.installation.setNodeState(left!.node, 'draining')
    await survey(vault, never)
    await repair({ ...vault, tools: createCodecTools(), signer: shareSigner(vault.keyring) }, fast, never)
    await collect(vault, never, -3_600_000)
    const sharings = [...new Set(before.map(({ sharing }) => sharing!))]
    const told = async (of: Pick<TestVault, 'catalog'>): Promise<string[]> =>
      (await Promise.all(sharings.map((sharing) => of.catalog.layout.exposures(sharing))))
        .flat()
        .map((one) => [one.node, one.index, one.operator, one.parent, one.site].join(' '))
        .toSorted()
    const exposures = await told(vault)
    // Two sharings: five shares each, one of each has moved, and one of each lay with a node that was bought.
    expect(exposures).toHaveLength(2 * (5 + 1) + 2)
    await writeState(vault)
    const data = newFolder()
    const given = nodes.filter(({ id }) => id !== left!.node).map(({ settings }) => String(settings['path']))
    const result = await rebuildInto(data, await recoveryKeyOf(vault), given)
    expect(result.state.exposures).toBe(4)
    const rebuilt = await openRebuilt(data)
    try {
      expect(await told(rebuilt)).toEqual(exposures)
    } finally {
      await rebuilt.close()
    }
    // Again: nothing is told twice.
    expect((await rebuildInto(data, await recoveryKeyOf(vault), given)).state.exposures).toBe(4)
  })

  it('policies, holds and tombstones come back; what was to be erased does not', async () => {
    vault = await makeTestVault()
    const [kept, erased] = [
      await store(vault, randomBytes(900), 'kept'),
      await store(vault, randomBytes(900), 'erased'),
    ]
    const entries = {
      policies: [{ id: 'ab'.repeat(16), name: 'ten years', mode: 'governance', retainMs: 3e11, deleteAfterMs: null }],
      holds: [{ id: 'cd'.repeat(16), recording: kept, name: 'a case', placedBy: 'officer', placedAtMs: 5 }],
      tombstones: [{ recording: erased, decidedAtMs: 7, reason: 'asked for' }],
    }
    await vault.catalog.installation.keepStateEntries(vault.organisation, entries)
    await writeState(vault)
    const data = newFolder()
    const result = await rebuildInto(data, await recoveryKeyOf(vault), vault.nodeFolders)
    expect(result).toMatchObject({
      ...{ recordings: 1, tombstoned: [erased], state: { holds: 1, policies: 1, tombstones: 1, incomplete: [] } },
    })
    const rebuilt = await openRebuilt(data)
    try {
      expect(await rebuilt.catalog.installation.stateEntries(vault.organisation)).toEqual(entries)
      expect(await rebuilt.catalog.recordings.get(erased, undefined)).toBeUndefined()
      expect((await rebuilt.catalog.recordings.get(kept, undefined))?.title).toBe('kept')
    } finally {
      await rebuilt.close()
    }
  })

  it('says so when a newer state is there in part, and never uses its number again', async () => {
    vault = await makeTestVault()
    await store(vault, randomBytes(900), 'meeting')
    await writeState(vault)
    const before = await stateFiles(vault)
    await writeState(vault)
    const later = (await stateFiles(vault)).filter((path) => !before.includes(path))
    expect(later).toHaveLength(5)
    for (const path of later.slice(0, 3)) rmSync(path)
    const result = await rebuildInto(newFolder(), await recoveryKeyOf(vault), vault.nodeFolders)
    expect(result.state).toMatchObject({ generation: 1, incomplete: [{ generation: 2, came: 2, needed: 3 }] })
  })
})

describe('a rebuild with the keyring alone', () => {
  it(
    'brings every recording back from three of five nodes, without the recovery key',
    { timeout: 2 * MINUTES },
    async () => {
      vault = await makeTestVault({ placementRule: 'strict', threads: 0 })
      const contents = new Map<string, string>()
      for (let i = 0; i < 20; i++) {
        const content = randomBytes(700 + i)
        contents.set(await store(vault, content, `meeting ${i}`), sha256(content))
      }
      await writeState(vault)
      const data = newFolder()
      await expect(rebuildInto(data, undefined, vault.nodeFolders)).rejects.toMatchObject({ code: 'E_INPUT' })
      // As it is when the recovery key was written down: the keyring has it no more.
      await vault.keyring.confirmRecoveryShown(vault.organisation)
      copyKeyring(vault.folder, data)
      const options = { passphrase: oldPassphrase }
      const result = await rebuildInto(data, undefined, vault.nodeFolders.slice(1, 4), options)
      expect(result).toMatchObject({ recordings: 20, hasNewKeys: false, epoch: 1, unreadable: [], passedOver: [] })
      const rebuilt = await openRebuilt(data, oldPassphrase)
      try {
        for (const [id, hash] of contents) expect(await rebuilt.sha256Of(vault.organisation, id)).toBe(hash)
        const audit = await rebuilt.catalog.audit.audit(vault.organisation, 100)
        expect(audit.filter(({ fields }) => fields['purpose'] === 'rebuild').length).toBeGreaterThanOrEqual(21)
      } finally {
        await rebuilt.close()
      }
    },
  )

  it('says what is wrong with a keyring of another vault', async () => {
    vault = await makeTestVault()
    const other = await makeTestVault()
    try {
      const data = newFolder()
      copyKeyring(other.folder, data)
      const rebuilding = rebuildInto(data, undefined, vault.nodeFolders, { passphrase: oldPassphrase })
      await expect(rebuilding).rejects.toMatchObject({ code: 'E_CARD_UNTRUSTED' })
    } finally {
      await other.close()
    }
  })
})

const fast = { bytesPerSecond: Infinity }

function sevenFolders() {
  return Array.from({ length: 7 }, (_, i) => {
    const path = newFolder()
    return { name: `node-${i + 1}`, settings: { driver: 'directory', path } }
  })
}

function copyKeyring(from: string, to: string): void {
  for (const name of readdirSync(from).filter((one) => one.startsWith('keyring')))
    cpSync(join(from, name), join(to, name))
}

async function stateFiles(of: TestVault): Promise<string[]> {
  const rows = await of.catalog.layout.organisationObjects(of.organisation, 'state')
  const nodes = await of.catalog.installation.nodes()
  return rows.map(({ node, key }) => {
    const path = of.nodeFolders[nodes.findIndex(({ id }) => id === node)]!
    return join(path, 's', key.slice(2, 4), key.slice(2))
  })
}
