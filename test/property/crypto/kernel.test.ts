import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { multiply } from '../../../src/crypto/field.ts'
import { planMultiplication } from '../../../src/crypto/kernel/kernel.ts'
import { decodeRows, encodeRows, systematicShares } from '../../../src/crypto/matrix.ts'
import { allKernels } from '../../support/kernels.ts'
import { range } from '../../support/subsets.ts'

const kernels = allKernels()
const [table] = kernels

const schemes = fc
  .record({ k: fc.integer({ min: 2, max: 16 }), extra: fc.integer({ min: 0, max: 30 }), part: fc.nat(15) })
  .map(({ k, extra, part }) => ({ k, n: Math.min(32, k + extra), t: part % k }))

/** Lengths that exercise every unrolled loop and its rest. */
const rowLengths = fc.integer({ min: 1, max: 40 }).map((vectors) => 16 * vectors)

function fill(target: Uint8Array, seed: number): void {
  let state = seed >>> 0
  for (let i = 0; i < target.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    target[i] = state >>> 24
  }
}

function run(matrix: Uint8Array[], rowBytes: number, seed: number): Uint8Array[] {
  const plan = planMultiplication(matrix)
  return kernels.map((kernel) => {
    fill(kernel.input.subarray(0, plan.inputs * rowBytes), seed)
    kernel.output.fill(0xee, 0, plan.outputs * rowBytes + 64)
    kernel.multiply(plan, rowBytes)
    const behind = kernel.output.subarray(plan.outputs * rowBytes, plan.outputs * rowBytes + 64)
    expect(behind.every((byte) => byte === 0xee)).toBe(true)
    return kernel.output.slice(0, plan.outputs * rowBytes)
  })
}

/** As toEqual, some hundred times faster on long rows. */
function expectSame(reference: Uint8Array, ...others: Uint8Array[]): void {
  for (const other of others) expect(Buffer.compare(reference, other)).toBe(0)
}

describe('kernels', () => {
  it('are three', () => {
    expect(kernels.map((kernel) => kernel.name)).toEqual(['table', 'swizzle', 'relaxed'])
  })

  it('split alike for any scheme and length', () => {
    fc.assert(
      fc.property(schemes, rowLengths, fc.nat(), ({ k, n, t }, rowBytes, seed) => {
        const computed = range(n).slice(systematicShares(k, t))
        fc.pre(computed.length > 0)
        const [reference, swizzle, relaxed] = run(encodeRows(k, t, computed), rowBytes, seed)
        expectSame(reference!, swizzle!, relaxed!)
      }),
      { numRuns: 300 },
    )
  })

  it('combine alike from any k shares', () => {
    fc.assert(
      fc.property(
        schemes,
        rowLengths,
        fc.nat(),
        fc.array(fc.nat(), { minLength: 32, maxLength: 32 }),
        ({ k, n, t }, rowBytes, seed, order) => {
          const shares = range(n)
            .sort((a, b) => order[a]! - order[b]!)
            .slice(0, k)
          const [reference, swizzle, relaxed] = run(decodeRows(k, t, shares, range(k).slice(t)), rowBytes, seed)
          expectSame(reference!, swizzle!, relaxed!)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('multiply any matrix as the definition says', () => {
    const matrices = fc
      .tuple(fc.integer({ min: 1, max: 16 }), fc.integer({ min: 1, max: 31 }))
      .chain(([inputs, outputs]) =>
        fc.array(fc.uint8Array({ minLength: inputs, maxLength: inputs }), { minLength: outputs, maxLength: outputs }),
      )
    fc.assert(
      fc.property(matrices, fc.nat(), (matrix, seed) => {
        const [reference, swizzle, relaxed] = run(matrix, 16, seed)
        expectSame(reference!, swizzle!, relaxed!)
        const rows = table!.input
        const byHand = matrix.flatMap((row) =>
          range(16).map((b) => row.reduce((sum, w, j) => sum ^ multiply(w, rows[16 * j + b]!), 0)),
        )
        expect([...reference!]).toEqual(byHand)
      }),
      { numRuns: 200 },
    )
  })

  it('take rows of up to a whole segment and refuse others', () => {
    const plan = planMultiplication(encodeRows(16, 15, [15, 16, 31]))
    for (const kernel of kernels.slice(1)) {
      kernel.multiply(plan, 262_144)
      for (const rowBytes of [0, 8, 24, 262_160, 16.5])
        expect(() => {
          kernel.multiply(plan, rowBytes)
        }).toThrow(RangeError)
    }
    expect(() => planMultiplication([])).toThrow(RangeError)
    expect(() => planMultiplication([new Uint8Array(17)])).toThrow(RangeError)
    expect(() => planMultiplication([new Uint8Array(2), new Uint8Array(3)])).toThrow(RangeError)
  })
})
