import { build } from 'esbuild'
import fc from 'fast-check'
import { chromium, type Browser, type Page } from 'playwright-core'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { planMultiplication } from '../../src/crypto/kernel/kernel.ts'
import { createTableKernel } from '../../src/crypto/kernel/table-kernel.ts'
import { decodeRows, encodeRows, systematicShares } from '../../src/crypto/matrix.ts'
import type { multiplyInBrowser, Product } from '../support/kernels-in-browser.ts'
import { kernelModule } from '../support/kernels.ts'
import { findProgram } from '../support/services/commands.ts'
import { range } from '../support/subsets.ts'

type InPage = { readonly kernels: { readonly multiplyInBrowser: typeof multiplyInBrowser } }

const browserPath = process.env['MOSAIK_CHROMIUM'] ?? findProgram('chromium') ?? findProgram('google-chrome')
const mayNotSkip = (process.env['CI'] ?? '') !== ''
const reference = createTableKernel()
let browser: Browser
let page: Page

beforeAll(async () => {
  if (browserPath === undefined) {
    if (mayNotSkip) throw new Error('in CI the kernels in a browser may not be skipped: chromium is not here')
    return
  }
  const entry = fileURLToPath(new URL('../support/kernels-in-browser.ts', import.meta.url))
  const bundle = await build({
    ...{ entryPoints: [entry], bundle: true, write: false, format: 'iife', globalName: 'kernels', platform: 'browser' },
  })
  browser = await chromium.launch({
    executablePath: browserPath,
    args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
  })
  page = await browser.newPage()
  await page.addScriptTag({ content: bundle.outputFiles[0]!.text })
})

afterAll(async () => {
  await browser?.close()
})

beforeEach(({ skip }) => {
  if (browserPath === undefined) skip('chromium is not here')
})

const products: fc.Arbitrary<Product> = fc
  .record({
    k: fc.integer({ min: 2, max: 16 }),
    extra: fc.integer({ min: 0, max: 30 }),
    part: fc.nat(15),
    vectors: fc.integer({ min: 1, max: 12 }),
    isSplit: fc.boolean(),
    order: fc.array(fc.nat(), { minLength: 32, maxLength: 32 }),
  })
  .chain(({ k, extra, part, vectors, isSplit, order }) => {
    const [n, t] = [Math.min(32, k + extra), part % k]
    const computed = range(n).slice(systematicShares(k, t))
    const shares = range(n)
      .sort((a, b) => order[a]! - order[b]!)
      .slice(0, k)
    const matrix =
      isSplit && computed.length > 0 ? encodeRows(k, t, computed) : decodeRows(k, t, shares, range(k).slice(t))
    const rowBytes = 16 * vectors
    return fc.uint8Array({ minLength: k * rowBytes, maxLength: k * rowBytes }).map((rows) => ({
      ...{ matrix: matrix.map((row) => [...row]), rowBytes, rows: [...rows] },
    }))
  })

/** What the table makes of it in Node. */
function expected({ matrix, rowBytes, rows }: Product): number[] {
  const plan = planMultiplication(matrix.map((row) => Uint8Array.from(row)))
  reference.input.set(rows)
  reference.multiply(plan, rowBytes)
  return [...reference.output.subarray(0, plan.outputs * rowBytes)]
}

describe('kernels in Chromium', () => {
  it('split and combine byte for byte as the table does in Node, any scheme, all three', async () => {
    const modules = { relaxed: [...kernelModule('relaxed')], swizzle: [...kernelModule('swizzle')] }
    await fc.assert(
      fc.asyncProperty(fc.array(products, { minLength: 10, maxLength: 20 }), async (batch) => {
        const { chosen, results } = await page.evaluate(
          ([given, work]) => (globalThis as unknown as InPage).kernels.multiplyInBrowser(given, work),
          [modules, batch] as const,
        )
        expect(chosen).toBe('relaxed')
        expect(Object.keys(results)).toEqual(['table', 'swizzle', 'relaxed'])
        for (const result of Object.values(results)) expect(result).toEqual(batch.map(expected))
      }),
      { numRuns: 12 },
    )
  })
})
