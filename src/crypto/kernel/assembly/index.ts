// The bulk kernel (docs/FORMAT.md §2): output rows = matrix × input rows over GF(2^8), 0x11b. AssemblyScript.
// scripts/build-kernel.ts compiles it twice: with relaxed SIMD (`relaxed.wasm`) and without (`swizzle.wasm`).
//
// A product with a weight is two lookups of 16 in a vector: weight · low nibble ^ weight · high nibble. The table holds,
// for each input row and then for each general output of a pass, 32 bytes: weight · {0x00 … 0x0f}, weight · {0x00, 0x10 … 0xf0}.
// All pointers and strides are bytes; lengths are multiples of 16. The host checks them: nothing is checked here.

import { pass1, pass2, pass4 } from './passes'

/** Start of the memory that the host may lay rows and tables out in. The stub runtime keeps nothing behind it. */
export function memoryBase(): usize {
  return (__heap_base + 4095) & ~4095
}

/**
 * Split: outputs[0] = XOR of all inputs; outputs[1 … general] = general rows whose weight for input 0 is 1.
 * The table starts at input 1. general: 0 … 6.
 */
export function splitRows(
  general: i32, inputs: i32, table: usize, input: usize, inputStride: usize, output: usize, outputStride: usize, length: usize,
): void {
  // two vectors a turn (four for few outputs) as long as accumulators fit the registers, then one for what is left
  let whole: usize
  if (general == 0) {
    whole = length & ~63
    pass4(0, true, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(0, true, inputs, table, input, inputStride, output, outputStride, whole, length)
  } else if (general == 1) {
    whole = length & ~63
    pass4(1, true, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(1, true, inputs, table, input, inputStride, output, outputStride, whole, length)
  } else if (general == 2) {
    whole = length & ~31
    pass2(2, true, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(2, true, inputs, table, input, inputStride, output, outputStride, whole, length)
  } else if (general == 3) {
    whole = length & ~31
    pass2(3, true, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(3, true, inputs, table, input, inputStride, output, outputStride, whole, length)
  } else if (general == 4) {
    whole = length & ~31
    pass2(4, true, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(4, true, inputs, table, input, inputStride, output, outputStride, whole, length)
  } else if (general == 5) {
    pass1(5, true, inputs, table, input, inputStride, output, outputStride, 0, length)
  } else {
    pass1(6, true, inputs, table, input, inputStride, output, outputStride, 0, length)
  }
}

/** Any rows: outputs[0 … general − 1], the table starts at input 0. general: 1 … 6. */
export function multiplyRows(
  general: i32, inputs: i32, table: usize, input: usize, inputStride: usize, output: usize, outputStride: usize, length: usize,
): void {
  let whole: usize
  if (general == 1) {
    whole = length & ~63
    pass4(1, false, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(1, false, inputs, table, input, inputStride, output, outputStride, whole, length)
  } else if (general == 2) {
    whole = length & ~31
    pass2(2, false, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(2, false, inputs, table, input, inputStride, output, outputStride, whole, length)
  } else if (general == 3) {
    whole = length & ~31
    pass2(3, false, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(3, false, inputs, table, input, inputStride, output, outputStride, whole, length)
  } else if (general == 4) {
    whole = length & ~31
    pass2(4, false, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(4, false, inputs, table, input, inputStride, output, outputStride, whole, length)
  } else if (general == 5) {
    whole = length & ~31
    pass2(5, false, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(5, false, inputs, table, input, inputStride, output, outputStride, whole, length)
  } else {
    whole = length & ~31
    pass2(6, false, inputs, table, input, inputStride, output, outputStride, whole)
    pass1(6, false, inputs, table, input, inputStride, output, outputStride, whole, length)
  }
}
