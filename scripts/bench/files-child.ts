import { open } from 'node:fs/promises'
import { renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openBenchVault, readOriginal, store } from './vault.ts'

// A vault that stores and reads files; a line each:
//
//   open FOLDER      everything of it lies there
//   store PATH       answers with the seconds it took
//   forget           what was stored is removed from the nodes
//   lose COUNT       so many nodes are gone
//   read PATH        what was stored last, into a file; answers with the seconds it took

type BenchVault = Awaited<ReturnType<typeof openBenchVault>>

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}

async function readToFile(vault: BenchVault, recording: string, path: string): Promise<void> {
  const file = await open(path, 'w')
  await readOriginal(vault, recording, (chunk) => file.writev([chunk]))
  await file.close()
}

let vault: BenchVault | undefined
let recording = ''
for await (const line of createInterface({ input: process.stdin })) {
  const [command, word] = line.split(' ') as [string, string]
  vault ??= await openBenchVault(word)
  const opened = vault
  let seconds = 0
  if (command === 'store') seconds = await secondsOf(async () => (recording = await store(opened, word)))
  if (command === 'read') seconds = await secondsOf(() => readToFile(opened, recording, word))
  if (command === 'forget') {
    for (const folder of opened.nodeFolders) rmSync(join(folder, 'f'), { recursive: true, force: true })
  }
  if (command === 'lose') {
    for (const folder of opened.nodeFolders.slice(0, Number(word))) renameSync(folder, `${folder}.gone`)
  }
  console.log(String(seconds))
}
await vault?.close()
process.exit(0)
