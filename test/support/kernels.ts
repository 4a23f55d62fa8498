import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Kernel } from '../../src/crypto/kernel/kernel.ts'
import { createTableKernel } from '../../src/crypto/kernel/table-kernel.ts'
import { instantiate } from '../../src/crypto/kernel/wasm-kernel.ts'

const folder = new URL('../../build/kernel/', import.meta.url)

/** True when scripts/build-kernel.ts has run. */
export const kernelIsBuilt = existsSync(new URL('relaxed.wasm', folder)) && existsSync(new URL('swizzle.wasm', folder))

/** The bytes of a compiled module. */
export function kernelModule(name: 'relaxed' | 'swizzle'): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(fileURLToPath(new URL(`${name}.wasm`, folder))))
}

/** Every kernel there is: table, swizzle, relaxed. @throws Error when the modules are not built. */
export function allKernels(): Kernel[] {
  if (!kernelIsBuilt) throw new Error('build/kernel is missing: run `node scripts/build-kernel.ts`')
  return [
    createTableKernel(),
    instantiate('swizzle', kernelModule('swizzle')),
    instantiate('relaxed', kernelModule('relaxed')),
  ]
}
