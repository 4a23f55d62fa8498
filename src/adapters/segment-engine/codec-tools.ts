import { readFileSync } from 'node:fs'
import type { Kernel } from '../../crypto/kernel/kernel.ts'
import { createTableKernel } from '../../crypto/kernel/table-kernel.ts'
import { createWasmKernel } from '../../crypto/kernel/wasm-kernel.ts'
import type { SealerTools } from '../../crypto/segment-codec.ts'
import { copyBytes } from '../copy-bytes.ts'
import { nodePrimitives } from '../node-primitives.ts'
import { nodeRandom } from '../node-system.ts'

const KERNEL_FOLDER = new URL('../../../build/kernel/', import.meta.url)

/**
 * The fastest kernel of this process. JavaScript tables are taken only when scripts/build-kernel.ts has not run, or when the
 * engine has no WASM SIMD: whoever shows `kernelName` should warn about "table", which is thirty times slower.
 *
 * @throws Error when the modules are there and cannot be read.
 */
export function loadKernel(folder: URL = KERNEL_FOLDER): Kernel {
  const relaxed = readModule(new URL('relaxed.wasm', folder))
  const swizzle = readModule(new URL('swizzle.wasm', folder))
  if (relaxed === undefined || swizzle === undefined) return createTableKernel()
  return createWasmKernel({ relaxed, swizzle }) ?? createTableKernel()
}

function readModule(file: URL): Uint8Array<ArrayBuffer> | undefined {
  try {
    return new Uint8Array(readFileSync(file))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** What a thread of the vault works with: one set a thread. */
export function createCodecTools(kernel: Kernel = loadKernel()): SealerTools {
  const random = nodeRandom()
  return {
    primitives: nodePrimitives,
    kernel,
    // neither pooled, so that it can be transferred, nor zeroed, since every byte is written
    allocate: (bytes) => new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer),
    copy: copyBytes,
    randomFill: (target) => {
      target.set(random.bytes(target.length))
    },
  }
}
