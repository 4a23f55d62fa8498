import { mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isMosaikError, MosaikError } from '../../../src/domain/errors.ts'
import { decodeNodeMarker, encodeNodeMarker } from '../../../src/format/node-marker.ts'
import { MARKER_NAME } from '../../../src/format/object-names.ts'
import { createNodeOperations } from '../../../src/main/nodes.ts'
import { joinNodeSettings, parseNodeSettings, splitNodeSettings } from '../../../src/main/node-settings.ts'
import { CatalogNodePool } from '../../../src/main/node-pool.ts'
import { spreadCards } from '../../../src/main/organisations.ts'
import type { Catalog } from '../../../src/ports/catalog.ts'
import type { NodeDriver, NodeSettings } from '../../../src/ports/node-driver.ts'
import { MemoryStore, failAll } from '../../support/memory-store.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'
import { movableClock } from '../../support/upkeep-stage.ts'

const never = new AbortController().signal
const SECRET = 'the-secret-access-key-of-this-node'
const owner = { country: 'de', operator: ' One GmbH ', parent: 'One Holding', site: 'FRA-1' }
const s3 = {
  driver: 's3',
  endpoint: 'https://s3.example.org',
  region: 'eu-1',
  bucket: 'vault',
  accessKeyId: 'the-access-key-id-of-this-node',
  secretAccessKey: SECRET,
}

let vault: TestVault
let folder: string
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mosaik-nodes-'))
  vault = await makeTestVault({ threads: 0 })
})
afterEach(async () => {
  await vault.close()
  rmSync(folder, { recursive: true, force: true })
})

/** Node operations and pool of a vault whose S3 nodes are memory stores. */
function operationsOn(s3Store: MemoryStore, catalog: Catalog = vault.catalog, cards: () => void = () => undefined) {
  const driver: NodeDriver = {
    probe: (settings, signal) =>
      settings.driver === 's3'
        ? Promise.resolve({
            driver: 's3',
            probedAtMs: 1,
            integrity: 'crc32',
            versioning: 'off',
            listsVersions: false,
            objectLock: false,
            reportedRegion: null,
            clockSkewMs: 0,
          })
        : vault.driver.probe(settings, signal),
    open: (settings, capabilities, options) =>
      settings.driver === 's3' ? Promise.resolve(s3Store) : vault.driver.open(settings, capabilities, options),
  }
  const pool = new CatalogNodePool({
    installation: catalog.installation,
    installationId: vault.installationId,
    atRest: vault.keyring,
    driver,
    clock: vault.clock,
  })
  const operations = createNodeOperations({
    ...vault,
    catalog,
    pool,
    driver,
    spreadCards: async (node) => {
      cards()
      await spreadCards({ ...vault, catalog, pool }, node)
    },
    nodesChanged: () => undefined,
  })
  return { pool, operations }
}

describe('adding a node', () => {
  it('probes, marks, keeps and furnishes it with the vault cards', async () => {
    const path = join(folder, 'sixth')
    mkdirSync(path)
    const report = await vault.operations.add({ ...owner, name: 'sixth', settings: { driver: 'directory', path } })
    expect(report).toMatchObject({ name: 'sixth', country: 'DE', operator: 'One GmbH', state: 'active', trouble: null })
    expect(decodeNodeMarker(readFileSync(join(path, MARKER_NAME)))).toEqual({
      installation: vault.installationId,
      node: report.id,
    })
    expect(readdirSync(join(path, 'card')).length).toBe(1)
    expect(report.objectsCount).toBe(1)
  })

  it('can be repeated after it died between marker and row', async () => {
    const path = join(folder, 'sixth')
    mkdirSync(path)
    const request = { ...owner, name: 'sixth', settings: { driver: 'directory', path } }
    const dying: Catalog = {
      ...vault.catalog,
      installation: {
        ...vault.catalog.installation,
        addNode: () => Promise.reject(new MosaikError('E_INTERNAL', 'the process died')),
      },
    }
    await expect(operationsOn(new MemoryStore(), dying).operations.add(request)).rejects.toThrow('the process died')
    const { node } = decodeNodeMarker(readFileSync(join(path, MARKER_NAME)))
    const report = await vault.operations.add(request)
    expect(report.id).toBe(node)
    // And not a third time, under whatever name.
    await expect(vault.operations.add(request)).rejects.toThrow(/there is a node named sixth already/)
    const again: unknown = await vault.operations.add({ ...request, name: 'seventh' }).catch((error: unknown) => error)
    expect(isMosaikError(again, 'E_NODE_FOREIGN')).toBe(true)
    expect((again as Error).message).toContain('node sixth')
  })

  it('refuses a place that belongs to another vault, or holds a marker that nobody can read', async () => {
    const store = new MemoryStore()
    const foreign = encodeNodeMarker({ installation: 'ab'.repeat(16), node: 'cd'.repeat(16) })
    for (const marker of [foreign, new Uint8Array(42), new TextEncoder().encode('mine')]) {
      store.objects.set(MARKER_NAME, Uint8Array.from(marker))
      const failure: unknown = await operationsOn(store)
        .operations.add({ ...owner, name: 'bucket', settings: s3 })
        .catch((error: unknown) => error)
      expect(isMosaikError(failure, 'E_NODE_FOREIGN')).toBe(true)
      expect((failure as Error).message).toContain('give an empty one')
      expect(Buffer.from(store.objects.get(MARKER_NAME)!)).toEqual(Buffer.from(marker))
    }
    expect((await vault.installation.nodes()).length).toBe(5)
  })

  it('refuses settings that are not right, by field, and never says a value', async () => {
    for (const settings of [
      { ...s3, endpoint: `https://user:${SECRET}@s3.example.org` },
      { ...s3, endpoint: SECRET },
      { ...s3, bucket: SECRET.toUpperCase() },
      { ...s3, secretAccessKey: SECRET.repeat(20) },
      { ...s3, secretAccessKey: [SECRET] },
      { ...s3, region: `${SECRET}!` },
      { ...s3, driver: SECRET },
      { ...s3, [SECRET]: 1 },
    ]) {
      let failure: unknown
      try {
        parseNodeSettings(settings)
      } catch (error) {
        failure = error
      }
      if (!isMosaikError(failure, 'E_INPUT')) throw failure
      if (!(SECRET in settings)) expect(failure.message + JSON.stringify(failure.fields)).not.toContain(SECRET)
    }
    for (const bad of [{ name: '' }, { country: 'Germany' }, { operator: ' ' }, { site: 'x'.repeat(101) }]) {
      await expect(vault.operations.add({ ...owner, name: 'bucket', settings: s3, ...bad })).rejects.toThrow(/must/)
    }
  })
})

describe('secrets of a node', () => {
  it('are in no report, no error, no log, and in the catalog only wrapped', async () => {
    const store = new MemoryStore()
    const { operations, pool } = operationsOn(store)
    const report = await operations.add({ ...owner, name: 'bucket', settings: s3 })
    const texts = [JSON.stringify([report, await operations.list(), await operations.probe(report.id)])]
    pool.refresh()
    store.fault = failAll('E_NODE_REFUSED')
    texts.push(JSON.stringify(await operations.list()))
    for (const text of texts) {
      expect(text).toContain('s3.example.org')
      expect(text).not.toContain(SECRET)
      expect(text).not.toContain(s3.accessKeyId)
    }
    for (const name of readdirSync(vault.folder).filter((one) => one.startsWith('catalog.sqlite'))) {
      const bytes = readFileSync(join(vault.folder, name))
      for (const word of [SECRET, s3.accessKeyId]) {
        for (const form of [
          word,
          Buffer.from(word).toString('hex'),
          Buffer.from(word).toString('base64').slice(0, 40),
        ]) {
          expect([name, form, bytes.includes(form)]).toEqual([name, form, false])
        }
      }
    }
    const row = (await vault.installation.node(report.id))!
    const opened = await vault.keyring.unwrapAtRest(report.id, row.wrappedSecret!)
    expect(joinNodeSettings(row.settings, opened)).toEqual({ ...s3, forcePathStyle: true })
    // Wrapped for this node and no other.
    await expect(vault.keyring.unwrapAtRest('ab'.repeat(16), row.wrappedSecret!)).rejects.toThrow()
  })

  it('that cannot be read are not quoted', () => {
    const { shown } = splitNodeSettings(parseNodeSettings(s3))
    for (const secret of [SECRET, `{"accessKeyId": ${SECRET}}`, `{"secretAccessKey": "${SECRET}"}`]) {
      let failure: unknown
      try {
        joinNodeSettings(shown, new TextEncoder().encode(secret))
      } catch (error) {
        failure = error
      }
      if (!isMosaikError(failure, 'E_INPUT')) throw failure
      expect(failure.message + String(failure.stack) + String(failure.cause)).not.toContain(SECRET)
    }
  })
})

describe('the pool', () => {
  it('reports a folder that is not mounted, and goes on when it is again', async () => {
    const [path] = vault.nodeFolders
    renameSync(path!, `${path!}-away`)
    mkdirSync(path!) // the empty mount point
    const troubleOf = async () => (await vault.operations.list())[0]!.trouble
    expect(await troubleOf()).toMatchObject({ code: 'E_NODE_UNREACHABLE' })
    const [node] = await vault.pool.nodes()
    // Absent is not unreachable: also not through a store that was opened before.
    const store = await vault.pool.store(node!.id).catch((error: unknown) => error)
    if (!isMosaikError(store)) {
      await expect((store as MemoryStore).get('f/' + 'ab'.repeat(16), undefined, never)).rejects.toThrow(/marker/)
    }
    rmSync(path!, { recursive: true })
    renameSync(`${path!}-away`, path!)
    expect(await troubleOf()).toBeNull()
  })

  it('refuses a node whose marker is another one’s, or gone', async () => {
    const store = new MemoryStore()
    const { operations, pool } = operationsOn(store)
    const { id } = await operations.add({ ...owner, name: 'bucket', settings: s3 })
    expect(await pool.store(id)).toBe(store)
    const marker = store.objects.get(MARKER_NAME)!
    for (const other of [
      encodeNodeMarker({ installation: vault.installationId, node: 'cd'.repeat(16) }),
      encodeNodeMarker({ installation: 'ab'.repeat(16), node: id }),
      new Uint8Array(3),
      undefined,
    ]) {
      if (other) store.objects.set(MARKER_NAME, Uint8Array.from(other))
      else store.objects.delete(MARKER_NAME)
      const fresh = operationsOn(store)
      const failure: unknown = await fresh.pool.store(id).catch((error: unknown) => error)
      expect(isMosaikError(failure, 'E_NODE_FOREIGN')).toBe(true)
      const report = (await fresh.operations.list()).find((node) => node.id === id)
      expect(report!.trouble).toMatchObject({ code: 'E_NODE_FOREIGN' })
    }
    // What was refused is asked again, not remembered.
    const fresh = operationsOn(store)
    await expect(fresh.pool.store(id)).rejects.toThrow()
    store.objects.set(MARKER_NAME, marker)
    expect(await fresh.pool.store(id)).toBe(store)
  })

  it('opens a node once, and again when its settings change', async () => {
    let opened = 0
    const [first] = await vault.installation.nodes()
    const driver: NodeDriver = {
      ...vault.driver,
      open: (...given) => {
        opened++
        return vault.driver.open(...given)
      },
    }
    const pool = new CatalogNodePool({
      installation: vault.installation,
      installationId: vault.installationId,
      atRest: vault.keyring,
      driver,
      clock: vault.clock,
    })
    await Promise.all([1, 2, 3].map(() => pool.store(first!.id)))
    expect(opened).toBe(1)
    await vault.installation.setNodeCapabilities(first!.id, { ...first!.capabilities, freeBytes: 7 })
    pool.refresh()
    await pool.store(first!.id)
    expect(opened).toBe(2)
    await vault.installation.setNodeState(first!.id, 'removed')
    pool.refresh()
    await expect(pool.store(first!.id)).rejects.toThrow(/no node/)
    await pool.close()
  })

  it('says of capabilities that it cannot read which node they are of', async () => {
    const [first] = await vault.installation.nodes()
    await vault.installation.setNodeCapabilities(first!.id, { driver: 'directory' })
    vault.pool.refresh()
    const [report, second] = await vault.operations.list()
    expect(report!.trouble).toMatchObject({ code: 'E_CONFIG' })
    expect(report!.trouble!.message).toContain('folder-1')
    expect(second!.trouble).toBeNull()
  })

  it('calls a node sick after three failures in a row, for a while', () => {
    const { pool } = vault
    const node = 'ab'.repeat(16)
    pool.observe(node, 'ok', 100)
    pool.observe(node, 'ok', 200)
    expect(pool.expectedMs(node)).toBe(120)
    for (let i = 0; i < 2; i++) pool.observe(node, 'failed', 0)
    expect(pool.isHealthy(node)).toBe(true)
    pool.observe(node, 'failed', 0)
    expect(pool.isHealthy(node)).toBe(false)
    expect(pool.expectedMs(node)).toBe(120)
    pool.observe(node, 'ok', 120)
    expect(pool.isHealthy(node)).toBe(true)
  })
})

describe('other credentials', () => {
  const wrong = 'a-secret-that-the-service-does-not-know'

  it('are tried first: wrong ones are refused in words, and the ones before stay; right ones are in use in every process', async () => {
    const store = new MemoryStore({ label: 's3' })
    const opened: string[] = []
    const secretOf = (settings: NodeSettings): string => (settings.driver === 's3' ? settings.secretAccessKey : '')
    const driver: NodeDriver = {
      probe: (settings) =>
        secretOf(settings) === wrong
          ? Promise.reject(new MosaikError('E_NODE_REFUSED', 'node s3: the service refused'))
          : Promise.resolve({
              ...{ driver: 's3', probedAtMs: 1, integrity: 'crc32', versioning: 'off' },
              ...{ listsVersions: false, objectLock: false, reportedRegion: null, clockSkewMs: 0 },
            }),
      open: (settings) => {
        opened.push(secretOf(settings))
        return Promise.resolve(store)
      },
    }
    const clock = movableClock()
    const { installation } = vault.catalog
    const parts = { installation, installationId: vault.installationId, atRest: vault.keyring, driver, clock }
    const [here, elsewhere] = [new CatalogNodePool(parts), new CatalogNodePool(parts)]
    const ports = { ...vault, pool: here, driver, spreadCards: () => Promise.resolve(), nodesChanged: () => undefined }
    const operations = createNodeOperations(ports)
    const { id } = await operations.add({ ...owner, name: 'north', settings: s3 })
    const reached = async (pool: CatalogNodePool): Promise<string | undefined> => {
      clock.movedMs += 5_000
      await pool.store(id)
      return opened.at(-1)
    }
    for (const pool of [here, elsewhere]) expect(await reached(pool)).toBe(SECRET)
    const before = await installation.node(id)
    const refused = operations.setCredentials(id, { accessKeyId: 'another', secretAccessKey: wrong })
    await expect(refused).rejects.toMatchObject({
      code: 'E_NODE_REFUSED',
      message:
        'the new credentials of node north do not do, and the ones before stay in use: node s3: the service refused',
    })
    expect(await installation.node(id)).toEqual(before)
    await operations.setCredentials(id, { accessKeyId: 'another', secretAccessKey: 'the-new-secret' })
    for (const pool of [here, elsewhere]) {
      opened.length = 0
      expect(await reached(pool)).toBe('the-new-secret')
    }
    expect(JSON.stringify(await installation.node(id))).not.toContain('the-new-secret')
    // Another place under the same name is not taken for the node.
    store.objects.set(MARKER_NAME, encodeNodeMarker({ installation: vault.installationId, node: 'ab'.repeat(16) }))
    const foreign = operations.setCredentials(id, { accessKeyId: 'a', secretAccessKey: 'of-another-place' })
    await expect(foreign).rejects.toMatchObject({
      code: 'E_NODE_FOREIGN',
      message: expect.stringContaining('stay in use') as string,
    })
  })
})
