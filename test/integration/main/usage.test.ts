import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { compiled } from '../../support/compiled.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const data = mkdtempSync(join(tmpdir(), 'mosaik-usage-'))
afterAll(() => rmSync(data, { recursive: true, force: true }))

function mosaik(...args: string[]) {
  const env = { ...compiled, PATH: process.env['PATH'], MOSAIK_DATA: data }
  return spawnSync(process.execPath, ['src/main/cli.ts', ...args], { cwd: root, encoding: 'utf8', env })
}

describe('a command that is used wrongly', () => {
  test.each([
    [['nonsense', '--json'], "unknown command 'nonsense'"],
    [['link', '--json'], "missing required argument 'recording'"],
    [['--json', 'ls', '--limit', '3'], "unknown option '--limit'"],
    [['nodes', 'set', '--json'], "missing required argument 'node'"],
    [['nodes', 'credentials', 'x', '--json'], "required option '--access-key <id>' not specified"],
    [['--json'], 'a command is missing; `npx mosaik --help` lists them'],
  ])('%j is told in JSON, and in nothing else', (args, message) => {
    const { status, stdout, stderr } = mosaik(...args)
    expect(status).toBe(2)
    expect(stdout).toBe('')
    expect(JSON.parse(stderr.trim().split('\n').at(-1))).toEqual({ error: { code: 'E_INPUT', message } })
    expect(stderr).not.toContain('Usage:')
  })

  test('a folder without a vault is said to be one, and stays as it was', () => {
    const { status, stdout, stderr } = mosaik('ls', '--json', '--data', join(data, 'mistyped'))
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'E_CONFIG', message: expect.stringMatching(/no vault in/) },
    })
    expect(existsSync(join(data, 'mistyped'))).toBe(false)
  })

  test('without --json it is told in words, with the help; what follows -- is no option', () => {
    for (const args of [['nonsense'], ['nonsense', '--', '--json']]) {
      const { status, stderr } = mosaik(...args)
      expect(status).toBe(2)
      expect(stderr).toContain("error: unknown command 'nonsense'")
      expect(stderr).toContain('Usage: mosaik')
    }
  })
})
