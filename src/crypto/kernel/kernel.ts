import { MAX_INPUT_ROWS, MAX_OUTPUT_ROWS, MAX_ROW_BYTES } from './layout.ts'

/** Which implementation runs: WASM with relaxed SIMD, WASM with SIMD, or JavaScript tables. All give the same bytes. */
export type KernelName = 'relaxed' | 'swizzle' | 'table'

/**
 * A step of a multiplication: copies of an input row, a run of output rows of which the first is the XOR of all inputs and
 * the others have weight 1 for input 0 (`split`), or any run of output rows (`general`).
 */
export type Step =
  | { readonly kind: 'copy'; readonly output: number; readonly input: number }
  | { readonly kind: 'split' | 'general'; readonly output: number; readonly rows: readonly Uint8Array[] }

/** A matrix made ready for a kernel: its shape and its steps. Reusable for any row length and by any kernel. */
export interface Multiplication {
  readonly inputs: number
  readonly outputs: number
  readonly steps: readonly Step[]
}

/**
 * Multiplies a matrix over GF(2^8) with rows of bytes. Not for secrets that are not encrypted: lookups depend on the rows.
 *
 * Memory is fixed and reused: a caller writes input row j to `input` at j · rowBytes, calls `multiply`, and finds output
 * row i in `output` at i · rowBytes, until the next call. One kernel serves one thread; nothing here waits.
 */
export interface Kernel {
  readonly name: KernelName
  /** Up to 16 input rows, one behind the other. */
  readonly input: Uint8Array<ArrayBuffer>
  /** Up to 31 output rows, one behind the other. */
  readonly output: Uint8Array<ArrayBuffer>
  /**
   * output rows = matrix × input rows.
   * @param rowBytes a multiple of 16, at most 262,144.
   * @throws RangeError for another row length.
   */
  multiply(multiplication: Multiplication, rowBytes: number): void
}

/** Most general rows that the compiled passes take at once. */
const WIDEST_PASS = 6

/**
 * Plans a multiplication with `matrix` (rows of weights, all equally long): unit rows are copied, the XOR row with unit
 * column of the systematic Cauchy form is recognised, the rest goes in runs of up to six.
 *
 * @throws RangeError for no rows, more than 31 rows, or more than 16 weights a row.
 */
export function planMultiplication(matrix: readonly Uint8Array[]): Multiplication {
  const inputs = matrix[0]?.length ?? 0
  if (matrix.length < 1 || matrix.length > MAX_OUTPUT_ROWS || inputs < 1 || inputs > MAX_INPUT_ROWS) {
    throw new RangeError(`a matrix of ${matrix.length} × ${inputs} does not fit the kernel`)
  }
  if (matrix.some((row) => row.length !== inputs)) throw new RangeError('the rows of a matrix differ in length')
  const steps: Step[] = []
  let run: Uint8Array[] = []
  let runStart = 0
  const flush = () => {
    if (run.length > 0) steps.push({ kind: runKind(run), output: runStart, rows: run })
    run = []
  }
  matrix.forEach((row, output) => {
    const input = unitColumn(row)
    if (input >= 0) {
      flush()
      steps.push({ kind: 'copy', output, input })
      return
    }
    // a parity row is free in a `split` run, so that run may be one row longer
    const limit = run[0] !== undefined && isParity(run[0]) ? WIDEST_PASS + 1 : WIDEST_PASS
    const breaksParity = run[0] !== undefined && isParity(run[0]) && row[0] !== 1
    if (run.length === limit || breaksParity) flush()
    if (run.length === 0) runStart = output
    run.push(row)
  })
  flush()
  return { inputs, outputs: matrix.length, steps }
}

/** @throws RangeError when rows of `rowBytes` cannot be multiplied. */
export function checkRowBytes(rowBytes: number): void {
  if (!Number.isInteger(rowBytes) || rowBytes <= 0 || rowBytes > MAX_ROW_BYTES || rowBytes % 16 !== 0) {
    throw new RangeError(`rows of ${rowBytes} bytes: a multiple of 16 up to ${MAX_ROW_BYTES} is needed`)
  }
}

function runKind(rows: readonly Uint8Array[]): 'split' | 'general' {
  return isParity(rows[0]!) ? 'split' : 'general'
}

function isParity(row: Uint8Array): boolean {
  return row.every((weight) => weight === 1)
}

/** The column of a unit row's one, or −1. */
function unitColumn(row: Uint8Array): number {
  const column = row.indexOf(1)
  return column >= 0 && row.every((weight, j) => weight === (j === column ? 1 : 0)) ? column : -1
}
