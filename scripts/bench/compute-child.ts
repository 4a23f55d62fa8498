import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { nodePrimitives } from '../../src/adapters/node-primitives.ts'
import { nodeRandom } from '../../src/adapters/node-system.ts'
import { createInlineEngine } from '../../src/adapters/segment-engine/inline-engine.ts'
import { createWorkerEngine } from '../../src/adapters/segment-engine/worker-engine.ts'
import { SEGMENT_BYTES, SEGMENT_PLAIN_BYTES, createFloeHeader } from '../../src/crypto/floe.ts'
import type { Scheme } from '../../src/domain/dispersal.ts'
import { RUN_SEGMENTS, type OpenedSegment, type SegmentEngine } from '../../src/ports/segment-engine.ts'

// The counterpart of c/pipeline.c: the same lines in, the same figure out. The engine is the vault's, with one worker thread,
// or (`inline`) the same codec without threads.
const random = nodeRandom()
const engine: SegmentEngine =
  process.env['ENGINE'] === 'inline' ? createInlineEngine() : createWorkerEngine({ workers: 1 })
const RING = 4
const RUN = 8

function keys(scheme: Scheme) {
  const [dek, aad] = [random.bytes(32), random.bytes(32)]
  const floeHeader = createFloeHeader(nodePrimitives, dek, aad, random.bytes(32))
  const fragmentKeys = Array.from({ length: scheme.n }, () => random.bytes(32))
  return { cipher: { dek, aad, floeHeader }, sharing: { scheme, extent: 0, fragmentKeys, rowsKey: random.entropy(32) } }
}

/** GB per second of processor time, of all threads of this process. */
async function timed(work: () => Promise<number>): Promise<number> {
  const began = process.cpuUsage()
  const bytes = await work()
  const { user, system } = process.cpuUsage(began)
  return bytes / (user + system) / 1000
}

async function split(scheme: Scheme, path: string): Promise<number> {
  const { cipher, sharing } = keys(scheme)
  const splitter = engine.splitter(cipher, sharing)
  const file = openSync(path, 'r')
  const result = await timed(async () => {
    let bytes = 0
    const inFlight: Promise<Uint8Array[]>[] = []
    for (let segment = 0; ; segment += RUN_SEGMENTS) {
      const plaintext = engine.takeMemory(RUN_SEGMENTS * SEGMENT_PLAIN_BYTES)
      if (readSync(file, plaintext) < plaintext.length) break
      bytes += plaintext.length
      inFlight.push(splitter.split(segment, plaintext, false))
      if (inFlight.length > engine.parallelism) engine.recycle(await inFlight.shift()!)
    }
    for (const blocks of inFlight) engine.recycle(await blocks)
    return bytes
  })
  splitter.close()
  closeSync(file)
  return result
}

async function combine(scheme: Scheme, path: string): Promise<number> {
  const { cipher, sharing } = keys(scheme)
  const splitter = engine.splitter(cipher, sharing)
  const ring: { index: number; bytes: Uint8Array }[][] = []
  for (let segment = 0; segment < RING; segment++) {
    const blocks = await splitter.split(segment, random.bytes(SEGMENT_PLAIN_BYTES), false)
    ring.push(blocks.map((bytes, index) => ({ index, bytes })).slice(-scheme.k))
  }
  splitter.close()
  const opener = engine.opener(cipher, { ...sharing, fragmentKeys: new Map(sharing.fragmentKeys.entries()) })
  const segments = Math.floor(statSync(path).size / SEGMENT_PLAIN_BYTES)
  const result = await timed(async () => {
    let bytes = 0
    const inFlight: Promise<OpenedSegment[]>[] = []
    // the consumer of a read gives its memory back
    const take = (opened: readonly OpenedSegment[]): void =>
      engine.recycle(opened.flatMap((one) => ('plaintext' in one ? [one.plaintext] : [])))
    for (let i = 0; i + RUN <= segments; i += RUN) {
      const run = Array.from({ length: RUN }, (_, j) => {
        const segment = (i + j) % RING
        return { segment, last: false, sealedBytes: SEGMENT_BYTES, blocks: ring[segment]! }
      })
      bytes += RUN * SEGMENT_PLAIN_BYTES
      inFlight.push(opener.openRun(run))
      if (inFlight.length > 2) take(await inFlight.shift()!)
    }
    for (const opened of await Promise.all(inFlight)) take(opened)
    return bytes
  })
  opener.close()
  return result
}

for await (const line of createInterface({ input: process.stdin })) {
  const [mode, k, n, t, path] = line.split(' ')
  const scheme = { k: Number(k), n: Number(n), t: Number(t) }
  console.log((await (mode === 'split' ? split : combine)(scheme, path!)).toFixed(4))
}
await engine.close()
