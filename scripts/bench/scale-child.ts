import { createInterface } from 'node:readline'
import { mediaTool, openBenchVault, runStage, store } from './vault.ts'

// A worker process: "open FOLDER", then "work FILM COUNT" stores and remuxes so many films. Answers with seconds.
let vault: Awaited<ReturnType<typeof openBenchVault>> | undefined
for await (const line of createInterface({ input: process.stdin })) {
  const [, path, count] = line.split(' ') as [string, string, string]
  const began = performance.now()
  if (vault === undefined) vault = await openBenchVault(path, { media: await mediaTool() })
  else for (let i = 0; i < Number(count); i++) await runStage(vault, await store(vault, path), 'transcode')
  console.log((performance.now() - began) / 1000)
}
await vault?.close()
process.exit(0)
