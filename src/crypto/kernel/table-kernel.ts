import { multiplesOf } from '../field.ts'
import { checkRowBytes, type Kernel, type Multiplication } from './kernel.ts'
import { INPUT_AREA_BYTES, OUTPUT_AREA_BYTES } from './layout.ts'

/**
 * The kernel in plain JavaScript, with a table of 256 products a weight: the reference that the WASM kernels are held to,
 * and the last resort where there is no WASM SIMD. Some thirty times slower than they are.
 */
export function createTableKernel(): Kernel {
  const input = new Uint8Array(INPUT_AREA_BYTES)
  const output = new Uint8Array(OUTPUT_AREA_BYTES)
  return {
    name: 'table',
    input,
    output,
    multiply(multiplication: Multiplication, rowBytes: number) {
      checkRowBytes(rowBytes)
      for (const step of multiplication.steps) {
        if (step.kind === 'copy') {
          const from = step.input * rowBytes
          output.set(input.subarray(from, from + rowBytes), step.output * rowBytes)
          continue
        }
        step.rows.forEach((weights, i) => {
          const at = (step.output + i) * rowBytes
          multiplyRow(weights, input, rowBytes, output.subarray(at, at + rowBytes))
        })
      }
    },
  }
}

function multiplyRow(weights: Uint8Array, input: Uint8Array, rowBytes: number, target: Uint8Array): void {
  target.fill(0)
  weights.forEach((weight, j) => {
    if (weight === 0) return
    const products = multiplesOf(weight)
    const source = input.subarray(j * rowBytes, (j + 1) * rowBytes)
    for (let at = 0; at < rowBytes; at++) target[at]! ^= products[source[at]!]!
  })
}
