import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { main } from '../../../scripts/standalone-reader/read.ts'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { encodeRecoveryKey } from '../../../src/format/recovery-key.ts'
import { commitState } from '../../../src/pipeline/commit-state.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

let vault: TestVault
let folder: string
let recording: string
let recoveryKey: string
const content = randomBytes(2 * 262_112 + 12_345)

async function run(...args: string[]): Promise<{ code: number; out: string }> {
  let out = ''
  const write = (text: string): void => {
    out += `${text}\n`
  }
  const code = await main(args, { out: write, err: write, env: { MOSAIK_RECOVERY_KEY: recoveryKey } })
  return { code, out }
}

beforeAll(async () => {
  vault = await makeTestVault()
  folder = mkdtempSync(join(tmpdir(), 'mosaik-restore-'))
  const path = join(vault.folder, 'meeting.mp4')
  writeFileSync(path, content)
  recording = await vault.deposit(path, { ...(await describeFile(path)), title: 'Quarterly review' })
  await vault.runDue()
  await commitState({ ...vault, location: () => 'a folder' }, vault.organisation, new AbortController().signal)
  recoveryKey = encodeRecoveryKey((await vault.keyring.pendingRecoverySeed(vault.organisation))!, nodePrimitives.sha256)
})
afterAll(async () => {
  await vault.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('the standalone reader', () => {
  it('lists what the vault wrote, and finds every block and signature right', async () => {
    const listed = await run('list', ...vault.nodeFolders)
    expect(listed.out).toContain('Quarterly review')
    expect(listed.code).toBe(0)
    const checked = await run('check', ...vault.nodeFolders)
    expect(checked.out).not.toContain('E_')
    expect(checked.code).toBe(0)
  })

  it('restores the original byte for byte from any three of five folders', async () => {
    for (const kept of [
      [0, 1, 2],
      [2, 3, 4],
      [4, 0, 3],
    ]) {
      const out = mkdtempSync(join(folder, 'out-'))
      const result = await run('restore', '--out', out, ...kept.map((index) => vault.nodeFolders[index]!))
      expect(result.out).not.toContain('E_SHARES_TOO_FEW')
      const [restored] = readdirSync(join(out, recording))
      expect(readFileSync(join(out, recording, restored!)).equals(content)).toBe(true)
    }
  })

  it('says what is missing from two folders', async () => {
    const result = await run('restore', '--out', mkdtempSync(join(folder, 'out-')), ...vault.nodeFolders.slice(0, 2))
    expect(result.code).toBe(1)
  })
})
