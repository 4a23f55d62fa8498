/**
 * Compiles the bulk kernel (src/crypto/kernel/assembly) into build/kernel/relaxed.wasm and build/kernel/swizzle.wasm.
 *
 *   node scripts/build-kernel.ts
 *
 * Both modules have the same exports and a fixed memory of KERNEL_MEMORY_PAGES pages of 64 KiB.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'
import { KERNEL_MEMORY_PAGES } from '../src/crypto/kernel/layout.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const target = join(root, 'build', 'kernel')

const common = [
  'src/crypto/kernel/assembly/index.ts',
  '--baseDir',
  root,
  '--runtime',
  'stub',
  '--noAssert',
  '--optimizeLevel',
  '3',
  '--shrinkLevel',
  '0',
  '--converge',
  '--initialMemory',
  String(KERNEL_MEMORY_PAGES),
  '--maximumMemory',
  String(KERNEL_MEMORY_PAGES),
]

async function compile(name: string, features: string[]): Promise<void> {
  const outFile = join('build', 'kernel', `${name}.wasm`)
  const { error, stderr } = await asc.main([...common, ...features, '--outFile', outFile])
  if (error) throw new Error(`${name}.wasm did not compile\n${stderr.toString()}`, { cause: error })
  console.log(outFile)
}

rmSync(target, { recursive: true, force: true })
mkdirSync(target, { recursive: true })
await compile('relaxed', ['--enable', 'simd', '--enable', 'relaxed-simd'])
await compile('swizzle', ['--enable', 'simd'])
