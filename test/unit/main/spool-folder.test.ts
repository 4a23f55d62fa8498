import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readConfig } from '../../../src/main/config.ts'
import { checkSpool, markSpool } from '../../../src/main/spool-folder.ts'

const folder = mkdtempSync(join(tmpdir(), 'mosaik-spool-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a process begins only where the installation has marked its spool', () => {
  const config = readConfig({ data: folder }, {})
  const installation = 'aa'.repeat(16)
  expect(() => checkSpool(config, installation)).toThrow('mount the volume')
  markSpool(config, installation)
  markSpool(config, installation)
  checkSpool(config, installation)
  expect(() => checkSpool(config, 'bb'.repeat(16))).toThrow('is the spool of installation')
  expect(() => markSpool(config, 'bb'.repeat(16))).toThrow('is the spool of installation')
})
