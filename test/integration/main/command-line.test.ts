import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'

const cli = new URL('../../../src/main/cli.ts', import.meta.url).pathname
const folder = mkdtempSync(join(tmpdir(), 'mosaik-command-line-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** `mosaik` with settings of this test only. */
async function mosaik(...args: string[]) {
  const env = { PATH: process.env['PATH'], MOSAIK_DATA: join(folder, 'data'), MOSAIK_PORT: '0' }
  return await new Promise<{ code: number | string | null | undefined; out: string; said: string }>((resolve) => {
    const words = ['--disable-warning=ExperimentalWarning', cli, ...args]
    execFile(process.execPath, words, { env, cwd: folder }, (error, out, said) =>
      resolve({ code: error?.code ?? 0, out, said }),
    )
  })
}

const failure = z.strictObject({ error: z.strictObject({ code: z.string(), message: z.string() }) })

describe('a command that was used wrongly', () => {
  // A process each, and a second or two to load: few cases, of each kind one.
  it('says so in words, and as data where --json stands before or behind', async () => {
    const plain = await mosaik('link', 'x', '--', '--json')
    expect(plain).toMatchObject({ code: 2, out: '' })
    expect(plain.said).toMatch(/^error: too many arguments for 'link'/)
    const said = []
    for (const args of [
      ['--json', 'frobnicate'],
      ['nodes', 'credentials', 'x', '--json'],
      ['start', '--port', 'eighty', '--json'],
    ]) {
      const { code, out, said: words } = await mosaik(...args)
      expect({ code, out }).toEqual({ code: 2, out: '' })
      said.push(failure.parse(JSON.parse(words)).error)
    }
    expect(said).toMatchObject([
      { code: 'E_INPUT', message: "unknown command 'frobnicate'" },
      { code: 'E_INPUT', message: "required option '--access-key <id>' not specified" },
      { code: 'E_CONFIG' },
    ])
  })
})
