import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const QUICK_CRYPTO = './test/simulation/quick-crypto.ts'
const SEEDS = 1000
/** However slow the machine is. */
const HOUR_MS = 3_600_000

interface Ended {
  readonly code: number
  readonly output: string
}

function simulate(...options: string[]): Promise<Ended> {
  const node = ['--disable-warning=ExperimentalWarning', '--import', QUICK_CRYPTO, 'test/simulation/main.ts']
  return new Promise((resolve) => {
    execFile(process.execPath, [...node, ...options], { cwd: root, maxBuffer: 2 ** 28 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr })
    })
  })
}

describe('the simulation', () => {
  test('breaks no promise in 1,000 worlds', { timeout: HOUR_MS }, async () => {
    const { code, output } = await simulate('--seeds', String(SEEDS))
    expect(code, output).toBe(0)
    const figures = JSON.parse(output) as Record<string, number>
    expect(figures).toMatchObject({ seeds: SEEDS, brokenSeeds: [], wrongBytes: 0 })
    // The storms are storms.
    expect(figures['deaths']).toBeGreaterThan(SEEDS)
    expect(figures['events']).toBeGreaterThan(SEEDS)
    expect(figures['failedReads']).toBeGreaterThan(0)
  })

  test('goes the same way for the same seed, to the last call', { timeout: HOUR_MS }, async () => {
    for (const seed of ['3', '4']) {
      const [once, again] = [await simulate('--seed', seed, '--trace'), await simulate('--seed', seed, '--trace')]
      expect(once.output.split('\n').length).toBeGreaterThan(50)
      expect(again.output).toBe(once.output)
    }
  })

  test('says what it was not given', async () => {
    expect(await simulate('--seeds', 'many')).toEqual({
      code: 2,
      output: '--seeds takes a whole number up to 281474976710656, not many\n',
    })
  })
})
