import { randomBytes } from 'node:crypto'
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, describe, expect, it } from 'vitest'
import { shareSigner } from '../../../src/main/share-signer.ts'
import { fsck, type FsckReport } from '../../../src/upkeep/blind/fsck.ts'
import { repair } from '../../../src/upkeep/blind/repair.ts'
import { survey } from '../../../src/upkeep/blind/survey.ts'
import type { RebuildResult } from '../../../src/main/upkeep-rebuild.ts'
import { failAll } from '../../support/memory-store.ts'
import {
  makeFolders,
  oldPassphrase,
  openRebuilt,
  recoveryKeyOf,
  sha256,
  storeInto,
  writeState,
} from '../../support/rebuild-stage.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'
import { makeStage, never } from '../../support/upkeep-stage.ts'
import { mosaik } from '../processes/fleet.ts'

// What docs/OPERATIONS.md says under "When something happens", with the commands that stand there.

const manual = readFileSync(new URL('../../../docs/OPERATIONS.md', import.meta.url), 'utf8')
const folders = makeFolders()
let vault: TestVault | undefined
afterEach(async () => {
  await vault?.close()
  vault = undefined
  folders.remove()
})

/** Runs a line of the manual; its placeholders are the test's. */
async function run<T>(data: string, line: string, given: readonly string[] = []): Promise<T> {
  expect(manual).toContain(`npx mosaik ${line}`)
  const environment = {
    ...{ PATH: process.env['PATH'], MOSAIK_DATA: data, MOSAIK_LOG_LEVEL: 'silent' },
    MOSAIK_PASSPHRASE: oldPassphrase,
  }
  return await mosaik<T>(environment, ...line.split(' ').filter((word) => !/^[A-Z/]|…|json$/.test(word)), ...given)
}

function keyringInto(data: string): void {
  for (const name of readdirSync(vault!.folder).filter((one) => one.startsWith('keyring'))) {
    cpSync(join(vault!.folder, name), join(data, name))
  }
}

function backUpInto(data: string): void {
  const database = new DatabaseSync(join(vault!.folder, 'catalog.sqlite'))
  database.exec(`vacuum into '${join(data, 'catalog.sqlite')}'`)
  database.close()
}

async function contentsOf(data: string, recordings: readonly string[]): Promise<string[]> {
  const rebuilt = await openRebuilt(data, oldPassphrase)
  try {
    const found: string[] = []
    for (const id of recordings) found.push(await rebuilt.sha256Of(vault!.organisation, id))
    return found
  } finally {
    await rebuilt.close()
  }
}

describe('the runbooks', { timeout: 180_000 }, () => {
  it('the catalog is lost, and there is a backup', async () => {
    vault = await makeTestVault()
    const contents = [randomBytes(3000), randomBytes(4000)]
    const first = await storeInto(vault, contents[0]!, 'first')
    await writeState(vault)
    const data = folders.make()
    backUpInto(data)
    keyringInto(data)
    const second = await storeInto(vault, contents[1]!, 'second')
    await writeState(vault)
    expect(await run<RebuildResult>(data, 'rebuild --merge')).toMatchObject({ recordings: 1, known: 1, incomplete: [] })
    expect((await run<FsckReport>(data, 'fsck')).violations.map(({ severity }) => severity)).not.toContain('broken')
    expect(await contentsOf(data, [first, second])).toEqual(contents.map(sha256))
    expect(await run(data, 'rebuild --release')).toEqual({ released: true })
    const rebuilt = await openRebuilt(data, oldPassphrase)
    expect(await rebuilt.catalog.upkeep.isFlagged('deletions-frozen')).toBe(false)
    await rebuilt.close()
  })

  it('the catalog is lost, and its backups too: from the keyring, and from the recovery key alone', async () => {
    vault = await makeTestVault()
    const content = randomBytes(3000)
    const recording = await storeInto(vault, content, 'meeting')
    await writeState(vault)
    const given = vault.nodeFolders.slice(0, 3).flatMap((folder) => ['--node', folder])
    const withKeyring = folders.make()
    keyringInto(withKeyring)
    const line = 'rebuild --node /mnt/attic/mosaik --node north.json …'
    expect(manual).toContain(`npx mosaik ${line}`)
    expect(await run<RebuildResult>(withKeyring, 'rebuild', given)).toMatchObject({ recordings: 1, hasNewKeys: false })
    expect(await contentsOf(withKeyring, [recording])).toEqual([sha256(content)])

    const empty = folders.make()
    const key = join(folders.make(), 'key')
    writeFileSync(key, await recoveryKeyOf(vault), { mode: 0o600 })
    const result = await run<RebuildResult>(empty, 'rebuild --recovery-key-file', [key, ...given])
    expect(result).toMatchObject({ recordings: 1, hasNewKeys: true, epoch: 2 })
    expect(await contentsOf(empty, [recording])).toEqual([sha256(content)])
    // The others turn up.
    const all = vault.nodeFolders.flatMap((folder) => ['--node', folder])
    const again = await run<RebuildResult>(empty, 'rebuild --recovery-key-file', [key, ...all])
    expect(again).toMatchObject({ recordings: 0, known: 1, nodesMissing: [] })
    // Nobody rebuilds over a catalog that stands.
    for (const end of ['', '-wal', '-shm']) rmSync(join(withKeyring, `catalog.sqlite${end}`), { force: true })
    backUpInto(withKeyring)
    await expect(run(withKeyring, 'rebuild', given)).rejects.toThrow(/E_CONFLICT/)
  })

  it('a node is lost for good: drained without an answer from it', async () => {
    const stage = await makeStage({ placementRule: 'strict', nodesCount: 7 })
    try {
      const content = randomBytes(300_000)
      const recording = await stage.store(content)
      const [lost] = await stage.fragmentsOf(recording)
      stage.storeOf(lost!.node).fault = failAll()
      stage.storeOf(lost!.node).objects.clear()
      // `npx mosaik nodes drain north`
      await stage.catalog.installation.setNodeState(lost!.node, 'draining')
      expect(await survey(stage, never)).toBe(2)
      const ports = { ...stage, signer: shareSigner(stage.keyring) }
      expect(await repair(ports, { bytesPerSecond: Infinity }, never)).toMatchObject({ shares: 2, waiting: 0 })
      const held = [...(await stage.fragmentsOf(recording)), ...(await stage.sharesOf(recording))]
      expect(held).toHaveLength(10)
      expect(held.map(({ node }) => node)).not.toContain(lost!.node)
      expect(await stage.sha256Of(recording)).toBe(sha256(content))
      expect(await survey(stage, never)).toBe(0)
      expect((await fsck(stage, never)).violations.filter(({ severity }) => severity === 'broken')).toEqual([])
    } finally {
      await stage.close()
    }
  })
})
