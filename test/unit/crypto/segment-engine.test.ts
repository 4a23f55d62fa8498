import { mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { createCodecTools, loadKernel } from '../../../src/adapters/segment-engine/codec-tools.ts'
import { createInlineEngine } from '../../../src/adapters/segment-engine/inline-engine.ts'
import { createWorkerEngine } from '../../../src/adapters/segment-engine/worker-engine.ts'
import { SEGMENT_PLAIN_BYTES } from '../../../src/crypto/floe.ts'
import { createTableKernel } from '../../../src/crypto/kernel/table-kernel.ts'
import { bytesOf } from '../../support/bytes.ts'
import { testCipher, testSharing } from '../../support/segments.ts'
import { range } from '../../support/subsets.ts'

const cipher = testCipher()
const sharing = testSharing({ k: 3, n: 5, t: 1 })
const reading = { ...sharing, fragmentKeys: sharing.keyMap }
const code = (name: string) => expect.objectContaining({ code: name }) as Error

describe.each([
  ['inline', () => createInlineEngine()],
  ['worker', () => createWorkerEngine({ workers: 2 })],
])('%s engine', (_name, create) => {
  const engine = create()
  afterAll(() => engine.close())

  it('uses the compiled kernel', () => {
    expect(['relaxed', 'swizzle']).toContain(engine.kernelName)
    expect(engine.parallelism).toBeGreaterThan(0)
  })

  it('restores many segments in flight, in any order', async () => {
    const splitter = engine.splitter(cipher, sharing)
    const opener = engine.opener(cipher, reading)
    const segments = range(12)
    const last = 11
    const plain = (segment: number) => bytesOf(segment === last ? 1234 : SEGMENT_PLAIN_BYTES, segment)
    const split = await Promise.all(
      segments.toReversed().map((segment) => splitter.split(segment, plain(segment), segment === last)),
    )
    splitter.close()
    const opened = await Promise.all(
      split.toReversed().map((blocks, segment) => {
        const framed = blocks.map((bytes, index) => ({ index, bytes })).slice(segment % 3)
        return opener.open(segment, segment === last, plain(segment).length + 32, framed)
      }),
    )
    opener.close()
    opened.forEach((answer, segment) => {
      expect('plaintext' in answer && Buffer.compare(answer.plaintext, plain(segment))).toBe(0)
    })
  })

  it('leaves the blocks with the caller and names bad ones', async () => {
    const splitter = engine.splitter(cipher, sharing)
    const opener = engine.opener(cipher, reading)
    const node = Buffer.concat(await splitter.split(0, bytesOf(50), true))
    const framed = range(5).map((index) => ({ index, bytes: node.subarray(index * 64, (index + 1) * 64) }))
    node[64 + 3]! ^= 1
    expect(await opener.open(0, true, 82, framed)).toEqual({ plaintext: bytesOf(50), corruptIndices: [1] })
    expect(await opener.open(0, true, 82, framed.slice(0, 3))).toEqual({ badIndices: [1] })
    await expect(opener.open(0, true, 82, framed.slice(0, 2))).rejects.toEqual(code('E_SHARES_TOO_FEW'))
    await expect(opener.open(0, true, 81, framed)).rejects.toEqual(code('E_SEGMENT_TAG'))
    expect(framed[0]!.bytes.length).toBe(64)
    splitter.close()
    opener.close()
  })

  it('opens a run together, and names in it what is bad', async () => {
    const splitter = engine.splitter(cipher, sharing)
    const opener = engine.opener(cipher, reading)
    const run = await Promise.all(
      range(3).map(async (segment) => {
        const last = segment === 2
        const blocks = await splitter.split(segment, bytesOf(last ? 77 : SEGMENT_PLAIN_BYTES, segment), last)
        const framed = blocks.map((bytes, index) => ({ index, bytes })).slice(2)
        return { segment, last, sealedBytes: last ? 77 + 32 : SEGMENT_PLAIN_BYTES + 32, blocks: framed }
      }),
    )
    run[1]!.blocks[0]!.bytes[9]! ^= 1
    const [first, second, third] = await opener.openRun(run)
    expect(first && 'plaintext' in first && Buffer.compare(first.plaintext, bytesOf(SEGMENT_PLAIN_BYTES, 0))).toBe(0)
    expect(second).toEqual({ badIndices: [2] })
    expect(third).toEqual({ plaintext: bytesOf(77, 2) })
    await expect(opener.openRun([{ ...run[2]!, sealedBytes: 108 }])).rejects.toEqual(code('E_SEGMENT_TAG'))
    splitter.close()
    opener.close()
  })

  it('writes the same bytes into memory that was given back', async () => {
    const splitter = engine.splitter(cipher, { ...sharing, scheme: { k: 3, n: 5, t: 1 } })
    const opener = engine.opener(cipher, reading)
    for (let segment = 0; segment < 6; segment++) {
      const plaintext = engine.takeMemory(SEGMENT_PLAIN_BYTES)
      expect(plaintext.length).toBe(SEGMENT_PLAIN_BYTES)
      plaintext.set(bytesOf(SEGMENT_PLAIN_BYTES, segment))
      const blocks = await splitter.split(segment, plaintext, false)
      const framed = blocks.map((bytes, index) => ({ index, bytes })).slice(segment % 3)
      const opened = await opener.open(segment, false, SEGMENT_PLAIN_BYTES + 32, framed)
      expect('plaintext' in opened && Buffer.compare(opened.plaintext, bytesOf(SEGMENT_PLAIN_BYTES, segment))).toBe(0)
      engine.recycle(blocks)
    }
    splitter.close()
    opener.close()
  })

  it('splits a run as its segments one by one, the last of them short, full or empty', async () => {
    const splitter = engine.splitter(cipher, sharing)
    const opener = engine.opener(cipher, reading)
    const inner = 131_072 + 16
    for (const [lengthBytes, last] of [
      [3 * SEGMENT_PLAIN_BYTES, false],
      [3 * SEGMENT_PLAIN_BYTES, true],
      [2 * SEGMENT_PLAIN_BYTES + 77, true],
      [0, true],
    ] as const) {
      const plain = bytesOf(lengthBytes, 1)
      const shares = await splitter.split(4, bytesOf(lengthBytes, 1), last)
      const segments = Math.max(1, Math.ceil(lengthBytes / SEGMENT_PLAIN_BYTES))
      for (const i of range(segments)) {
        const content = plain.subarray(i * SEGMENT_PLAIN_BYTES, (i + 1) * SEGMENT_PLAIN_BYTES)
        const isLast = last && i === segments - 1
        const blocks = shares.map((share, index) => ({
          index,
          bytes: share.subarray(i * inner, isLast ? share.length : (i + 1) * inner),
        }))
        const opened = await opener.open(4 + i, isLast, content.length + 32, blocks.slice(i % 3))
        expect('plaintext' in opened && Buffer.compare(opened.plaintext, content)).toBe(0)
      }
      engine.recycle(shares)
    }
    await expect(splitter.split(8190, bytesOf(3 * SEGMENT_PLAIN_BYTES), false)).rejects.toEqual(code('E_INTERNAL'))
    await expect(splitter.split(0, bytesOf(SEGMENT_PLAIN_BYTES + 1), false)).rejects.toEqual(code('E_INTERNAL'))
    splitter.close()
    opener.close()
  })

  it('answers mistakes in the program with E_INTERNAL and goes on', async () => {
    const splitter = engine.splitter(cipher, sharing)
    await expect(splitter.split(0, bytesOf(5), false)).rejects.toEqual(code('E_INTERNAL'))
    await expect(splitter.split(8192, bytesOf(5), true)).rejects.toEqual(code('E_INTERNAL'))
    expect(await splitter.split(0, bytesOf(5), true)).toHaveLength(5)
    splitter.close()
    await expect(splitter.split(1, bytesOf(5), true)).rejects.toEqual(code('E_ABORTED'))
  })

  it('refuses keys and schemes that do not fit at once', () => {
    expect(() => engine.splitter({ ...cipher, dek: bytesOf(32, 9) }, sharing)).toThrow(code('E_HEADER_TAG'))
    expect(() => engine.opener({ ...cipher, aad: bytesOf(32, 9) }, reading)).toThrow(code('E_HEADER_TAG'))
    expect(() => engine.opener(cipher, { ...reading, scheme: { k: 1, n: 5, t: 0 } })).toThrow(code('E_SCHEME_INVALID'))
    expect(() => engine.splitter(cipher, { ...sharing, fragmentKeys: [] })).toThrow(RangeError)
  })

  it('keeps its own copy of the keys', async () => {
    const mine = { dek: cipher.dek.slice(), aad: cipher.aad, floeHeader: cipher.floeHeader }
    const splitter = engine.splitter(mine, sharing)
    mine.dek.fill(0)
    const blocks = await splitter.split(3, bytesOf(9), true)
    const opener = engine.opener(cipher, reading)
    const framed = blocks.map((bytes, index) => ({ index, bytes }))
    expect(await opener.open(3, true, 41, framed)).toEqual({ plaintext: bytesOf(9) })
    splitter.close()
    opener.close()
  })

  it('is closed for good', async () => {
    const other = create()
    const splitter = other.splitter(cipher, sharing)
    await other.close()
    await expect(splitter.split(0, bytesOf(5), true)).rejects.toEqual(code('E_ABORTED'))
    await other.close()
  })
})

/** Niceness of each thread of this process, by its id: proc(5), the nineteenth field. */
function nicenessOfThreads(): Map<string, number> {
  const of = (thread: string): number => {
    const behindName = readFileSync(`/proc/self/task/${thread}/stat`, 'latin1').split(') ').at(-1) ?? ''
    return Number(behindName.split(' ')[16])
  }
  return new Map(readdirSync('/proc/self/task').map((thread) => [thread, of(thread)]))
}

describe('worker engine', () => {
  const script = new URL('../../support/crashing-segment-worker.ts', import.meta.url)

  it('rejects what a crashed thread had, replaces it, and goes on with what waited', async () => {
    const engine = createWorkerEngine({ workers: 1, script })
    const splitter = engine.splitter(cipher, sharing)
    const segments = [1, 13, 2, 3, 13, 13, 4, 5]
    const results = await Promise.allSettled(segments.map((segment) => splitter.split(segment, bytesOf(5), true)))
    results.forEach((result, i) => {
      if (segments[i] === 13)
        expect(result).toMatchObject({ status: 'rejected', reason: { code: 'E_INTERNAL', retry: 'later' } })
      // one more may have lain at the thread that crashed
      else if (result.status === 'rejected') expect(result.reason).toEqual(code('E_INTERNAL'))
    })
    expect(results.filter((result) => result.status === 'fulfilled').length).toBeGreaterThanOrEqual(2)
    expect(await splitter.split(6, bytesOf(5), true)).toHaveLength(5)
    await engine.close()
  })

  it.runIf(process.platform === 'linux')('has threads that make way for all others', async () => {
    const before = nicenessOfThreads()
    const engine = createWorkerEngine({ workers: 2 })
    const splitter = engine.splitter(cipher, sharing)
    await Promise.all([0, 1].map((segment) => splitter.split(segment, bytesOf(SEGMENT_PLAIN_BYTES), false)))
    const added = [...nicenessOfThreads()].filter(([thread]) => !before.has(thread)).map(([, niceness]) => niceness)
    expect(added.filter((niceness) => niceness === Math.max(9, getPriority()))).toHaveLength(2)
    expect(nicenessOfThreads().get(String(process.pid))).toBe(before.get(String(process.pid)))
    splitter.close()
    await engine.close()
  })

  it('rejects what is under way when it is closed', async () => {
    const engine = createWorkerEngine({ workers: 1 })
    const splitter = engine.splitter(cipher, sharing)
    const results = Promise.allSettled(
      range(6).map((segment) => splitter.split(segment, bytesOf(SEGMENT_PLAIN_BYTES), false)),
    )
    await engine.close()
    for (const result of await results)
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'E_ABORTED' } })
  })

  it('copies plaintext that no thread can read where it lies, and leaves it as it is', async () => {
    const engine = createWorkerEngine({ workers: 1 })
    const splitter = engine.splitter(cipher, sharing)
    const whole = bytesOf(100)
    const pooled = bytesOf(500).subarray(100, 200)
    await Promise.all([splitter.split(0, whole, true), splitter.split(1, pooled, true)])
    expect(whole).toEqual(bytesOf(100))
    expect(pooled).toEqual(bytesOf(500).subarray(100, 200))
    await engine.close()
  })

  it('lends memory to one at a time, however often it is given back, and takes none that is not its own', async () => {
    const engine = createWorkerEngine({ workers: 1 })
    const memory = engine.takeMemory(1000)
    engine.recycle([memory])
    engine.recycle([memory])
    const stranger = new Uint8Array(new SharedArrayBuffer(1000))
    engine.recycle([stranger])
    const [first, second] = [engine.takeMemory(1000), engine.takeMemory(1000)]
    expect(first.buffer).toBe(memory.buffer)
    expect(second.buffer).not.toBe(memory.buffer)
    expect(second.buffer).not.toBe(stranger.buffer)
    await engine.close()
  })

  it('opens shares that lie in its own memory, and copies others', async () => {
    const engine = createWorkerEngine({ workers: 1 })
    const splitter = engine.splitter(cipher, sharing)
    const opener = engine.opener(cipher, { ...sharing, fragmentKeys: new Map(sharing.fragmentKeys.entries()) })
    const shares = await splitter.split(0, bytesOf(5000), true)
    const lent = shares.map((share) => {
      const memory = engine.takeMemory(share.length)
      memory.set(share)
      return memory
    })
    for (const given of [shares, lent, shares.map((share) => Uint8Array.from(share))]) {
      const blocks = given.map((bytes, index) => ({ index, bytes }))
      const before = given.map((bytes) => Uint8Array.from(bytes))
      expect(await opener.open(0, true, 5032, blocks)).toEqual({ plaintext: bytesOf(5000) })
      expect(given.map((bytes) => Uint8Array.from(bytes))).toEqual(before)
    }
    await engine.close()
  })
})

describe('kernel of this process', () => {
  it('is the table only where the modules are missing', () => {
    const empty = pathToFileURL(join(mkdtempSync(join(tmpdir(), 'mosaik-kernel-')), '/'))
    expect(loadKernel(empty).name).toBe('table')
    expect(loadKernel().name).not.toBe('table')
  })

  it('does not change the answers', async () => {
    const engine = createInlineEngine(createCodecTools(createTableKernel()))
    const blocks = await engine.splitter(cipher, sharing).split(0, bytesOf(700), true)
    const framed = blocks.map((bytes, index) => ({ index, bytes })).slice(2)
    expect(await createInlineEngine().opener(cipher, reading).open(0, true, 732, framed)).toEqual({
      plaintext: bytesOf(700),
    })
  })
})
