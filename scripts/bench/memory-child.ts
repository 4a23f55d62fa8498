import { createInterface } from 'node:readline'
import { readFileSync, writeFileSync } from 'node:fs'
import { openBenchVault, readOriginal, store } from './vault.ts'

// Stores a file and reads it again, a line each: "store FOLDER PATH", "read". Answers with the largest resident set since the
// line before, in MB, as the kernel counts it.

/** Linux: 5 sets the high-water mark of the resident set to what is resident now. */
function forgetPeak(): void {
  writeFileSync('/proc/self/clear_refs', '5')
}

let vault: Awaited<ReturnType<typeof openBenchVault>> | undefined
let recording = ''
for await (const line of createInterface({ input: process.stdin })) {
  const [mode, folder, path] = line.split(' ') as [string, string, string]
  vault ??= await openBenchVault(folder)
  forgetPeak()
  if (mode === 'store') recording = await store(vault, path)
  else await readOriginal(vault, recording, () => Promise.resolve())
  const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
  console.log(((Number(kilobytes) * 1.024) / 1000).toFixed(1))
}
await vault?.close()
process.exit(0)
