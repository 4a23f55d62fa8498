import { planMultiplication } from '../../src/crypto/kernel/kernel.ts'
import { createTableKernel } from '../../src/crypto/kernel/table-kernel.ts'
import { createWasmKernel, instantiate } from '../../src/crypto/kernel/wasm-kernel.ts'

// Runs in a browser (test/e2e/kernel.test.ts). Bytes come and go as arrays of numbers: what a page may be given.

export interface Product {
  readonly matrix: readonly (readonly number[])[]
  readonly rowBytes: number
  readonly rows: readonly number[]
}

/** The kernel that the browser would choose, and what each of the three makes of every product. */
export function multiplyInBrowser(
  modules: Readonly<Record<'relaxed' | 'swizzle', readonly number[]>>,
  products: readonly Product[],
): { readonly chosen: string | undefined; readonly results: Record<string, number[][]> } {
  const relaxed = Uint8Array.from(modules.relaxed)
  const swizzle = Uint8Array.from(modules.swizzle)
  const results: Record<string, number[][]> = {}
  for (const kernel of [createTableKernel(), instantiate('swizzle', swizzle), instantiate('relaxed', relaxed)]) {
    results[kernel.name] = products.map(({ matrix, rowBytes, rows }) => {
      const plan = planMultiplication(matrix.map((row) => Uint8Array.from(row)))
      kernel.input.set(rows)
      kernel.multiply(plan, rowBytes)
      return [...kernel.output.subarray(0, plan.outputs * rowBytes)]
    })
  }
  return { chosen: createWasmKernel({ relaxed, swizzle })?.name, results }
}
