import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

/**
 * Runs `task` as a process that dies at its write number `at`: half of it is written, and nothing after it happens any more.
 * @returns false when it came to its end before.
 */
export async function dyingAtWrite(at: number, task: () => Promise<void>): Promise<boolean> {
  const names = ['writeFileSync', 'writeSync', 'fsyncSync', 'renameSync'] as const
  const real = Object.fromEntries(names.map((name) => [name, fs[name]])) as unknown as Pick<
    typeof fs,
    (typeof names)[number]
  >
  let count = 0
  const patched = Object.fromEntries(
    names.map((name) => [
      name,
      (...parameters: unknown[]) => {
        if (count++ < at) return (real[name] as (...all: unknown[]) => unknown)(...parameters)
        if (count === at + 1 && name === 'writeFileSync') {
          const [file, text] = parameters as [number, string]
          real.writeFileSync(file, text.slice(0, text.length / 2))
        }
        throw new Error('the process is dead')
      },
    ]),
  )
  Object.assign(fs, patched)
  syncBuiltinESMExports()
  try {
    await task()
    return false
  } catch (error) {
    if (error instanceof Error && error.message === 'the process is dead') return true
    throw error
  } finally {
    Object.assign(fs, real)
    syncBuiltinESMExports()
  }
}
