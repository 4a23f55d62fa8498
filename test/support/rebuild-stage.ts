import { createHash } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openFileKeyring } from '../../src/adapters/file-keyring/file-keyring.ts'
import { describeFile } from '../../src/adapters/file-source.ts'
import { nodePrimitives } from '../../src/adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../src/adapters/node-system.ts'
import { createNodeDriver } from '../../src/adapters/open-store.ts'
import { createInlineEngine } from '../../src/adapters/segment-engine/inline-engine.ts'
import { openSqliteCatalog } from '../../src/adapters/sql-catalog/open.ts'
import { encodeRecoveryKey } from '../../src/format/recovery-key.ts'
import { CatalogNodePool } from '../../src/main/node-pool.ts'
import { rebuildVault, type RebuildRequest, type RebuildResult } from '../../src/main/upkeep-rebuild.ts'
import { commitState } from '../../src/pipeline/commit-state.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import { createVaultReader } from '../../src/retrieve/open-recording.ts'
import { makeTestFolder } from './test-folder.ts'
import { silentLog, testKdfCost, type TestVault } from './test-vault.ts'

const never = new AbortController().signal
const random = nodeRandom()
const AT_ONCE = 16
/** Of keyrings that a rebuild makes. */
export const newPassphrase = 'another passphrase of tests'
/** Of test vaults. */
export const oldPassphrase = 'a passphrase of tests'

export async function storeInto(into: TestVault, content: Uint8Array, title: string): Promise<string> {
  const path = join(into.folder, `${title}.mp4`)
  writeFileSync(path, content)
  const recording = await into.deposit(path, { ...(await describeFile(path)), title, externalId: title })
  await into.runDue()
  return recording
}

/** Many at a time: `[content, title]` of each. @returns their ids, in the same order. */
export async function storeAllInto(
  into: TestVault,
  recordings: readonly (readonly [content: Uint8Array, title: string])[],
): Promise<string[]> {
  const ids: string[] = []
  for (let at = 0; at < recordings.length; at += AT_ONCE) {
    const deposits = recordings.slice(at, at + AT_ONCE).map(async ([content, title]) => {
      const path = join(into.folder, `${title}.mp4`)
      writeFileSync(path, content)
      return await into.deposit(path, { ...(await describeFile(path)), title, externalId: title })
    })
    ids.push(...(await Promise.all(deposits)))
    const due = () => into.catalog.work.due(into.clock.nowMs(), AT_ONCE)
    for (let some = await due(); some.length > 0; some = await due())
      await Promise.all(some.map((work) => into.runOnce(work)))
  }
  return ids
}

export async function recoveryKeyOf(of: TestVault): Promise<string> {
  return encodeRecoveryKey((await of.keyring.pendingRecoverySeed(of.organisation))!, nodePrimitives.sha256)
}

export async function writeState(of: TestVault): Promise<void> {
  await commitState({ ...of, location: ({ settings }) => String(settings['path']) }, of.organisation, never)
}

/** Folders that go at the end of the test. */
export function makeFolders() {
  const folders: string[] = []
  return {
    make(): string {
      const folder = makeTestFolder('mosaik-rebuild-')
      folders.push(folder)
      return folder
    },
    remove(): void {
      for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
    },
  }
}

export async function rebuildInto(
  data: string,
  recoveryKey: string | undefined,
  nodes: readonly string[],
  { passphrase = newPassphrase, ...more }: Partial<RebuildRequest> & { readonly passphrase?: string } = {},
): Promise<RebuildResult> {
  return await rebuildVault(
    {
      config: { data, databaseUrl: undefined },
      ...{ recoveryKey, nodes, clock: nodeClock, random, log: silentLog, kdfCost: testKdfCost },
      ...{ opening: { passphrase }, driver: createNodeDriver({ clock: nodeClock, random }), ...more },
    },
    never,
  )
}

/** The rebuilt vault, to read with. */
export async function openRebuilt(data: string, passphrase = newPassphrase) {
  const catalog: Catalog = openSqliteCatalog(join(data, 'catalog.sqlite'), nodeClock)
  const keyring = await openFileKeyring({
    ...{ folder: data, passphrase, clock: nodeClock, random, primitives: nodePrimitives },
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

export const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex')
