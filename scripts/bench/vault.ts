import { statSync } from 'node:fs'
import { createFfmpegTool } from '../../src/adapters/ffmpeg/tool.ts'
import { describeFile } from '../../src/adapters/file-source.ts'
import { nodeClock, nodeRandom } from '../../src/adapters/node-system.ts'
import type { Id } from '../../src/domain/ids.ts'
import { runWork } from '../../src/main/runner.ts'
import type { WorkStage } from '../../src/ports/catalog/recordings.ts'
import type { MediaTool } from '../../src/ports/media.ts'
import { makeTestVault, silentLog, type TestVault, type TestVaultOptions } from '../../test/support/test-vault.ts'

export const never = new AbortController().signal

/** A vault whose folder, catalog and directory nodes lie in `folder`. */
export async function openBenchVault(folder: string, options: TestVaultOptions = {}): Promise<TestVault> {
  const before = process.env['TMPDIR']
  process.env['TMPDIR'] = folder
  try {
    return await makeTestVault(options)
  } finally {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
  }
}

export async function mediaTool(): Promise<MediaTool> {
  return await createFfmpegTool({ clock: nodeClock, random: nodeRandom(), log: silentLog })
}

/** A stage of a recording that is due, run to its end. */
export async function runStage(vault: TestVault, recording: Id, stage: WorkStage): Promise<void> {
  const work = (await vault.catalog.work.due(nodeClock.nowMs(), 1000)).find(
    (row) => row.recording === recording && row.stage === stage,
  )
  if (work === undefined) throw new Error(`no ${stage} is due for ${recording}`)
  await runWork({ ...vault, announce: () => undefined }, vault.table[work.stage], work.id, never)
}

/** Deposits a file and stores it as the vault does: shares on all nodes, verified, manifest, receipt. */
export async function store(vault: TestVault, path: string): Promise<Id> {
  const recording = await vault.deposit(path, await describeFile(path))
  await runStage(vault, recording, 'store')
  if ((await vault.catalog.recordings.receipt(recording)) !== undefined) return recording
  const row = await vault.catalog.recordings.get(recording, vault.organisation)
  throw new Error(`the store stage gave no receipt: ${row?.reason?.message ?? 'and no reason'}`)
}

/** Reads the original in order, and gives each chunk back when it was taken, as the viewer's server does. */
export async function readOriginal(
  vault: TestVault,
  recording: Id,
  take: (chunk: Uint8Array) => Promise<unknown>,
): Promise<void> {
  const opened = await vault.reader.open(vault.organisation, recording, 'play', never)
  const asset = opened.manifest.assets.find(({ kind }) => kind === 'original')!
  const reader = opened.asset(asset.id)
  for await (const chunk of reader.read(0, asset.contentBytes, never)) {
    await take(chunk)
    reader.recycle(chunk)
  }
}

export function sizeOf(path: string): number {
  return statSync(path).size
}
