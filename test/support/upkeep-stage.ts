import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeFile } from '../../src/adapters/file-source.ts'
import { createCodecTools } from '../../src/adapters/segment-engine/codec-tools.ts'
import type { Id } from '../../src/domain/ids.ts'
import type { ObjectRow } from '../../src/ports/catalog/layout.ts'
import type { Clock } from '../../src/ports/system.ts'
import { nodeClock } from '../../src/adapters/node-system.ts'
import { MemoryStore } from './memory-store.ts'
import { makeTestVault, type TestVaultOptions } from './test-vault.ts'

export const never = new AbortController().signal

/** A clock whose wall time can be moved; it never waits. */
export function movableClock(): Clock & { movedMs: number; slept: number[] } {
  const clock = {
    movedMs: 0,
    slept: [] as number[],
    nowMs: () => nodeClock.nowMs() + clock.movedMs,
    monotonicMs: () => nodeClock.monotonicMs() + clock.movedMs,
    sleep: (delayMs: number, signal?: AbortSignal) => nodeClock.sleep(delayMs, signal),
  }
  return clock
}

/** A vault with nodes in memory, whose objects a test can damage. */
export async function makeStage(options: TestVaultOptions & { readonly nodesCount?: number } = {}) {
  const stores = Array.from(
    { length: options.nodesCount ?? 5 },
    (_, i) => new MemoryStore({ label: `memory-${i + 1}` }),
  )
  const clock = movableClock()
  const vault = await makeTestVault({ threads: 0, memory: stores, clock, ...options })
  const nodes = await vault.catalog.installation.nodes()
  const storeOf = (node: Id): MemoryStore => stores[nodes.findIndex(({ id }) => id === node)]!
  return {
    ...vault,
    vault,
    clock,
    stores,
    nodes,
    storeOf,
    tools: createCodecTools(),
    /** Stores `content` as a recording. */
    async store(content: Uint8Array, title = 'a meeting'): Promise<Id> {
      const path = join(vault.folder, `${randomBytes(4).toString('hex')}.mp4`)
      writeFileSync(path, content)
      const recording = await vault.deposit(path, { ...(await describeFile(path)), title })
      await vault.runDue()
      return recording
    },
    async fragmentsOf(recording: Id): Promise<ObjectRow[]> {
      const surveyed = await vault.catalog.upkeep.surveyed(recording)
      return surveyed!.objects
        .filter(({ role, state }) => role.kind === 'fragment' && state === 'stored')
        .toSorted(byIndex)
    },
    async sharesOf(recording: Id): Promise<ObjectRow[]> {
      const surveyed = await vault.catalog.upkeep.surveyed(recording)
      return surveyed!.objects
        .filter(({ role, state }) => role.kind === 'manifest' && state === 'stored')
        .toSorted(byIndex)
    },
    async sha256Of(recording: Id): Promise<string> {
      const opened = await vault.reader.open(vault.organisation, recording, 'download', never)
      const original = opened.manifest.assets.find(({ kind }) => kind === 'original')!
      const hash = createHash('sha256')
      for await (const chunk of opened.asset(original.id).read(0, original.contentBytes, never)) hash.update(chunk)
      return hash.digest('hex')
    },
  }
}

const byIndex = (a: ObjectRow, b: ObjectRow): number => a.index - b.index

export type Stage = Awaited<ReturnType<typeof makeStage>>

export function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

/** Exchanges what lies under two names. */
export function exchange(stage: Stage, a: ObjectRow, b: ObjectRow): void {
  const [bytesA, bytesB] = [stage.storeOf(a.node).objects.get(a.key)!, stage.storeOf(b.node).objects.get(b.key)!]
  stage.storeOf(a.node).objects.set(a.key, bytesB)
  stage.storeOf(b.node).objects.set(b.key, bytesA)
}
