import { createHash, randomBytes } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

let vault: TestVault | undefined
afterEach(async () => {
  await vault?.close()
  vault = undefined
})

const never = new AbortController().signal

async function depositBytes(into: TestVault, content: Buffer, extra: { sha256?: string } = {}): Promise<string> {
  const path = join(into.folder, 'meeting.mp4')
  writeFileSync(path, content)
  return await into.deposit(path, { ...(await describeFile(path)), ...extra })
}

async function readOriginal(from: TestVault, recording: string): Promise<Buffer> {
  const opened = await from.reader.open(from.organisation, recording, 'download', never)
  const original = opened.manifest.assets.find(({ kind }) => kind === 'original')!
  const chunks: Uint8Array[] = []
  for await (const chunk of opened.asset(original.id).read(0, original.contentBytes, never)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('store and read', () => {
  it('keeps an original byte for byte, with a receipt, and plays it with two of five nodes gone', async () => {
    vault = await makeTestVault()
    const content = randomBytes(3 * 262_112 + 777)
    const recording = await depositBytes(vault, content)
    await vault.runDue()
    const row = await vault.catalog.recordings.get(recording, vault.organisation)
    expect(row).toMatchObject({ state: 'unplayable', generation: 1, contentBytes: content.length })
    expect(await vault.catalog.recordings.receipt(recording)).toBeDefined()
    for (const path of vault.nodeFolders.slice(1, 3)) renameSync(path, `${path}-unplugged`)
    const read = await readOriginal(vault, recording)
    expect(createHash('sha256').update(read).digest('hex')).toBe(createHash('sha256').update(content).digest('hex'))
  })
})
