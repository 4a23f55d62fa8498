import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Finder, scan } from '../../chaos/disk-scan.ts'
import { available } from '../../support/services/start-service.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const KILLS = 20
/** However slow the machine is; how fast a vault recovers is measured by `npm run chaos` on a quiet one. */
const ANY_TIME_S = 3600
const HOUR_MS = 3_600_000

describe('chaos', () => {
  test(
    `${KILLS} kills of real processes and servers: nothing lost, doubled, left over or readable`,
    { timeout: HOUR_MS },
    async (context) => {
      const absent = (['ceph', 'swift', 'redis', 'postgres'] as const).filter((kind) => !available(kind))
      context.skip(absent.length > 0, `${absent.join(', ')} are not here`)
      const folder = mkdtempSync(join(tmpdir(), 'mosaik-chaos-test-'))
      const json = join(folder, 'chaos.json')
      const options = ['--kills', String(KILLS), '--recovery-s', String(ANY_TIME_S), '--json', json]
      try {
        // Servers of its own: it kills them.
        const { MOSAIK_TEST_SERVICES: _, ...env } = process.env
        const output = await new Promise<string>((resolve) => {
          const node = ['--disable-warning=ExperimentalWarning', 'test/chaos/main.ts']
          execFile(
            process.execPath,
            [...node, ...options],
            { cwd: root, env, maxBuffer: 2 ** 26 },
            (_error, stdout, stderr) => resolve(stdout + stderr),
          )
        })
        expect(output).toContain('"kills"')
        const figures = JSON.parse(readFileSync(json, 'utf8')) as Record<string, number>
        const nothing = { lost: 0, duplicates: 0, orphans: 0, wrongBytes: 0, plaintextHits: 0, otherViolations: 0 }
        expect(figures, output).toMatchObject({ kills: KILLS, violations: [], ...nothing })
        expect(figures['acknowledged']).toBeGreaterThanOrEqual(6)
      } finally {
        rmSync(folder, { recursive: true, force: true })
      }
    },
  )

  test('its search finds what is there, in any form', () => {
    const secret = Buffer.from('a secret of thirty-two bytes ....')
    const finder = new Finder(new Map([['secret', secret]]))
    const texts = ['latin1', 'hex', 'base64', 'utf16le'] as const
    for (const shift of [0, 1, 2, 3]) {
      const around = Buffer.concat([Buffer.alloc(shift, 1), secret, Buffer.alloc(9, 2)])
      for (const encoding of texts.slice(0, 3)) {
        expect([...finder.findIn(Buffer.from(around.toString(encoding), 'latin1'))]).toEqual(['secret'])
      }
    }
    expect([...finder.findIn(Buffer.from(secret.toString('latin1'), 'utf16le'))]).toEqual(['secret'])
    expect([...finder.findIn(Buffer.alloc(100_000))]).toEqual([])
    expect(
      scan([join(root, 'test/integration/chaos')], new Map([['itself', Buffer.from('its search finds')]])).hits,
    ).toHaveLength(1)
  })
})
