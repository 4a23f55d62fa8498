import { multiply as product } from '../field.ts'
import { checkRowBytes, type Kernel, type KernelName, type Multiplication, type Step } from './kernel.ts'
import {
  INPUT_AREA_BYTES,
  KERNEL_MEMORY_PAGES,
  MAX_INPUT_ROWS,
  OUTPUT_AREA_BYTES,
  STAGGER_BYTES,
  TABLE_BYTES,
} from './layout.ts'

/** The two compiled modules of build/kernel, as bytes. */
export interface KernelModules {
  readonly relaxed: BufferSource
  readonly swizzle: BufferSource
}

/** Exports of the compiled module; pointers and lengths in bytes (assembly/index.ts). */
interface KernelExports {
  readonly memory: WebAssembly.Memory
  memoryBase(): number
  splitRows(
    general: number,
    inputs: number,
    table: number,
    input: number,
    inputStride: number,
    output: number,
    outputStride: number,
    length: number,
  ): void
  multiplyRows(
    general: number,
    inputs: number,
    table: number,
    input: number,
    inputStride: number,
    output: number,
    outputStride: number,
    length: number,
  ): void
}

/** A step with its lookup tables, ready for the module. */
interface CompiledStep {
  readonly step: Exclude<Step, { kind: 'copy' }>
  readonly tableOffset: number
  readonly general: number
}

/**
 * Instantiates the fastest module that this engine validates: relaxed SIMD, else SIMD.
 *
 * @returns `undefined` when the engine has no WASM SIMD at all: take `createTableKernel()` then.
 * @throws RangeError when the bytes are a module of another layout.
 */
export function createWasmKernel(modules: KernelModules): Kernel | undefined {
  if (WebAssembly.validate(modules.relaxed)) return instantiate('relaxed', modules.relaxed)
  if (WebAssembly.validate(modules.swizzle)) return instantiate('swizzle', modules.swizzle)
  return undefined
}

/** Instantiates one module by name, for tests and benchmarks that compare the two. */
export function instantiate(name: Exclude<KernelName, 'table'>, bytes: BufferSource): Kernel {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
    env: {
      abort() {
        throw new RangeError('the kernel aborted')
      },
    },
  })
  return new WasmKernel(name, instance.exports as unknown as KernelExports)
}

class WasmKernel implements Kernel {
  readonly name: KernelName
  readonly input: Uint8Array<ArrayBuffer>
  readonly output: Uint8Array<ArrayBuffer>
  readonly #module: KernelExports
  readonly #tables: Uint8Array<ArrayBuffer>
  /** What the table area holds now: most calls repeat the multiplication of the call before. */
  #loaded: Multiplication | undefined
  #compiled: CompiledStep[] = []

  constructor(name: KernelName, module: KernelExports) {
    const buffer = module.memory.buffer
    const base = module.memoryBase()
    const inputAt = base + TABLE_BYTES
    const outputAt = inputAt + INPUT_AREA_BYTES + STAGGER_BYTES
    if (buffer.byteLength !== KERNEL_MEMORY_PAGES * 65_536 || outputAt + OUTPUT_AREA_BYTES > buffer.byteLength) {
      throw new RangeError('build/kernel does not fit this program; run scripts/build-kernel.ts again')
    }
    this.name = name
    this.#module = module
    this.#tables = new Uint8Array(buffer, base, TABLE_BYTES)
    this.input = new Uint8Array(buffer, inputAt, INPUT_AREA_BYTES)
    this.output = new Uint8Array(buffer, outputAt, OUTPUT_AREA_BYTES)
  }

  multiply(multiplication: Multiplication, rowBytes: number): void {
    checkRowBytes(rowBytes)
    if (this.#loaded !== multiplication) this.#load(multiplication)
    for (const step of multiplication.steps) {
      if (step.kind !== 'copy') continue
      const row = this.input.subarray(step.input * rowBytes, (step.input + 1) * rowBytes)
      this.output.set(row, step.output * rowBytes)
    }
    const { byteOffset: input } = this.input
    for (const { step, tableOffset, general } of this.#compiled) {
      const run = step.kind === 'split' ? this.#module.splitRows : this.#module.multiplyRows
      const table = this.#tables.byteOffset + tableOffset
      const output = this.output.byteOffset + step.output * rowBytes
      run(general, multiplication.inputs, table, input, rowBytes, output, rowBytes, rowBytes)
    }
  }

  #load(multiplication: Multiplication): void {
    let tableOffset = 0
    this.#compiled = []
    for (const step of multiplication.steps) {
      if (step.kind === 'copy') continue
      const split = step.kind === 'split'
      const rows = split ? step.rows.slice(1) : step.rows
      const tables = lookupTables(rows, split ? 1 : 0, multiplication.inputs)
      this.#tables.set(tables, tableOffset)
      this.#compiled.push({ step, tableOffset, general: rows.length })
      tableOffset += tables.length
    }
    this.#loaded = multiplication
  }
}

/** For input `first` and those after it, for each row: 32 bytes, weight · {0 … 15} and weight · {0, 16 … 240}. */
function lookupTables(rows: readonly Uint8Array[], first: number, inputs: number): Uint8Array {
  const tables = new Uint8Array(32 * rows.length * Math.min(inputs - first, MAX_INPUT_ROWS))
  let at = 0
  for (let j = first; j < inputs; j++) {
    for (const row of rows) {
      for (let nibble = 0; nibble < 16; nibble++) {
        tables[at + nibble] = product(row[j]!, nibble)
        tables[at + 16 + nibble] = product(row[j]!, nibble << 4)
      }
      at += 32
    }
  }
  return tables
}
