import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SEGMENT_PLAIN_BYTES } from '../../../src/crypto/floe.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import { bytesOf } from '../../support/bytes.ts'
import { brokenAfter, chunksOf, collect, NEVER, spoolStage, upload } from './spool-stage.ts'

const SEGMENT = SEGMENT_PLAIN_BYTES

async function readBack({ spool }: Pick<ReturnType<typeof spoolStage>, 'spool'>, content: Uint8Array): Promise<void> {
  const read = await collect(spool.read(upload, 'a.mp4', content.length, undefined).open(NEVER))
  expect(Buffer.compare(read, content)).toBe(0)
}

async function refusal(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await promise
  } catch (error) {
    if (error instanceof MosaikError) return { code: error.code, message: error.message }
    throw error
  }
  throw new Error('it was not refused')
}

describe('an upload', () => {
  it.each([1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT - 1, 2 * SEGMENT, 2 * SEGMENT + 1, 5 * SEGMENT + 17])(
    'of %i bytes comes back as it was',
    async (length) => {
      const stage = spoolStage()
      const content = bytesOf(length)
      await stage.spool.begin(upload)
      expect(await stage.spool.append(upload, 0, chunksOf(content))).toBe(length)
      expect(await stage.restart().offsetBytes(upload)).toBe(length)
      expect(stage.files.folders.get(upload)?.size).toBe(Math.ceil(length / (2 * SEGMENT)))
      await readBack(stage, content)
    },
  )

  it('comes back the same, however it was cut into requests, chunks and broken connections', async () => {
    const content = bytesOf(3 * SEGMENT + 1234)
    const cut = fc.record({
      length: fc.integer({ min: 0, max: SEGMENT * 2 }),
      breaks: fc.boolean(),
      chunk: fc.nat(SEGMENT),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(cut, { maxLength: 5 }), async (cuts) => {
        const stage = spoolStage()
        let offset = 0
        for (const { length, breaks, chunk } of [...cuts, { length: content.length, breaks: false, chunk: 1 }]) {
          const part = content.slice(offset, Math.min(content.length, offset + length))
          const body = breaks ? brokenAfter(part) : chunksOf(part, [chunk % (part.length + 1), 1].slice(0, part.length))
          const next = await stage.restart().append(upload, offset, body)
          expect(next).toBe(offset + part.length)
          offset = next
        }
        await readBack(stage, content)
      }),
      { numRuns: 25 },
    )
  })

  it('keeps what arrived before the connection broke', async () => {
    const { spool } = spoolStage()
    const content = bytesOf(SEGMENT + 100)
    expect(await spool.append(upload, 0, brokenAfter(content))).toBe(content.length)
    expect(await spool.append(upload, content.length, brokenAfter(new Uint8Array(0)))).toBe(content.length)
  })

  it('takes no bytes for another place than where it stands', async () => {
    const { spool } = spoolStage()
    await spool.append(upload, 0, chunksOf(bytesOf(100)))
    for (const offset of [0, 99, 101]) {
      expect((await refusal(spool.append(upload, offset, chunksOf(bytesOf(5))))).code).toBe('E_CONFLICT')
    }
    expect(await spool.offsetBytes(upload)).toBe(100)
  })

  it('is written by one request at a time', async () => {
    const { spool } = spoolStage()
    let go = (): void => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    async function* slow() {
      yield bytesOf(10)
      await gate
    }
    const first = spool.append(upload, 0, slow())
    expect((await refusal(spool.append(upload, 0, chunksOf(bytesOf(5))))).code).toBe('E_CONFLICT')
    go()
    expect(await first).toBe(10)
  })

  it('that nobody knows stands at 0, cannot be read, and is removed without complaint', async () => {
    const { spool } = spoolStage()
    expect(await spool.offsetBytes(upload)).toBe(0)
    expect((await refusal(collect(spool.read(upload, 'a', 5, undefined).open(NEVER)))).code).toBe('E_SOURCE_UNREADABLE')
    await spool.remove(upload)
  })

  it('is gone after its removal', async () => {
    const stage = spoolStage()
    await stage.spool.append(upload, 0, chunksOf(bytesOf(100)))
    await stage.spool.remove(upload)
    expect(stage.files.folders.size).toBe(0)
    expect(await stage.spool.offsetBytes(upload)).toBe(0)
  })

  it('can be read again from the start, and stops when told', async () => {
    const stage = spoolStage()
    const content = bytesOf(3 * SEGMENT)
    await stage.spool.append(upload, 0, chunksOf(content))
    await readBack(stage, content)
    await readBack(stage, content)
    const abort = new AbortController()
    const reading = stage.spool.read(upload, 'a', content.length, undefined).open(abort.signal)[Symbol.asyncIterator]()
    await reading.next()
    abort.abort(new Error('enough'))
    await expect(reading.next()).rejects.toThrow('enough')
  })
})

describe('a crash', () => {
  it('at any step leaves an upload that goes on where it stands', async () => {
    const content = bytesOf(2 * SEGMENT + 500)
    let steps = 0
    let isFinished = false
    for (let killAt = 1; !isFinished; killAt++) {
      const stage = spoolStage(1)
      let step = 0
      stage.files.step = (what) => {
        step += 1
        if (step >= killAt) throw new MosaikError('E_SPOOL', `killed at ${what}`)
      }
      const outcome = await stage.spool
        .append(upload, 0, chunksOf(content, [300_000, 7]))
        .catch((error: unknown) => error)
      isFinished = outcome === content.length
      steps = step
      stage.files.step = () => undefined

      const spool = stage.restart()
      const stands = await spool.offsetBytes(upload)
      expect([0, SEGMENT, 2 * SEGMENT, content.length]).toContain(stands)
      expect(await spool.append(upload, stands, chunksOf(content.slice(stands)))).toBe(content.length)
      await readBack({ spool }, content)
      const names = [...(stage.files.folders.get(upload)?.keys() ?? [])]
      expect(names.filter((name) => name.endsWith('.part'))).toEqual([])
    }
    expect(steps).toBeGreaterThan(15)
  })

  it('says in plain words that the disk is full, and nothing half counts', async () => {
    const stage = spoolStage()
    let writes = 0
    stage.files.step = (what) => {
      if (what === 'write' && ++writes === 3) throw new MosaikError('E_SPOOL', 'the disk of the spool is full')
    }
    const error = await refusal(stage.spool.append(upload, 0, chunksOf(bytesOf(2 * SEGMENT - 5))))
    expect(error).toEqual({ code: 'E_SPOOL', message: 'the disk of the spool is full' })
    expect(stage.files.folders.get(upload)?.size).toBe(0)
    expect(await stage.spool.offsetBytes(upload)).toBe(0)
  })
})

describe('damage', () => {
  async function spoiled(spoil: (files: Map<string, Uint8Array>) => void) {
    const stage = spoolStage(1)
    const content = bytesOf(3 * SEGMENT)
    await stage.spool.append(upload, 0, chunksOf(content))
    const files = stage.files.folders.get(upload)
    if (!files) throw new Error('no files')
    spoil(files)
    const released: Uint8Array[] = []
    const error = await refusal(
      (async () => {
        for await (const chunk of stage.spool.read(upload, 'a', content.length, undefined).open(NEVER))
          released.push(chunk)
      })(),
    )
    // whatever was released before the fault was met is a true beginning
    const prefix = Buffer.concat(released)
    expect(Buffer.compare(prefix, content.slice(0, prefix.length))).toBe(0)
    return { error, releasedBytes: prefix.length }
  }
  const get = (files: Map<string, Uint8Array>, name: string): Uint8Array => files.get(name) ?? new Uint8Array(0)

  it('of one flipped bit anywhere in an extent is found before the segment is released', async () => {
    const places = [0, 8, 10, 11, 13, 30, 35, 45, 60, 1_000, 1_200, 1_230, 1_250, 1_290, 1_300, 1_310, 100_000, -1]
    for (const place of places) {
      const { error, releasedBytes } = await spoiled((files) => {
        const bytes = get(files, '00000001')
        const at = place < 0 ? bytes.length + place : place
        bytes[at] = (bytes[at] ?? 0) ^ 1
      })
      expect(error.code, `byte ${place}`).toBe('E_SOURCE_UNREADABLE')
      expect(releasedBytes, `byte ${place}`).toBeLessThanOrEqual(SEGMENT)
    }
  })

  it.each<[string, (files: Map<string, Uint8Array>) => void]>([
    [
      'swapped extents',
      (files) => {
        const [first, second] = [get(files, '00000000'), get(files, '00000001')]
        files.set('00000000', second).set('00000001', first)
      },
    ],
    ['a doubled extent', (files) => files.set('00000001', get(files, '00000000'))],
    ['a missing last extent', (files) => files.delete('00000002')],
    ['a missing middle extent', (files) => files.delete('00000001')],
    ['a missing first extent', (files) => files.delete('00000000')],
    ['an extent cut short', (files) => files.set('00000001', get(files, '00000001').slice(0, -1))],
    ['an extent cut to its header', (files) => files.set('00000001', get(files, '00000001').slice(0, 56))],
    ['an empty extent', (files) => files.set('00000002', new Uint8Array(0))],
    [
      'an extent that is too long',
      (files) => files.set('00000002', Buffer.concat([get(files, '00000002'), bytesOf(1)])),
    ],
    ['an extent too many', (files) => files.set('00000003', get(files, '00000002'))],
  ])('by %s is refused before a byte leaves', async (_what, spoil) => {
    expect(await spoiled(spoil)).toMatchObject({ error: { code: 'E_SOURCE_UNREADABLE' }, releasedBytes: 0 })
  })

  it("by another upload's extent is refused", async () => {
    const stage = spoolStage()
    const other = 'cd'.repeat(16)
    const content = bytesOf(1_000)
    await stage.spool.append(upload, 0, chunksOf(content))
    await stage.spool.append(other, 0, chunksOf(bytesOf(1_000, 2)))
    stage.files.folders
      .get(upload)
      ?.set('00000000', stage.files.folders.get(other)?.get('00000000') ?? new Uint8Array(0))
    const reading = collect(stage.spool.read(upload, 'a', 1_000, undefined).open(NEVER))
    expect((await refusal(reading)).code).toBe('E_SOURCE_UNREADABLE')
  })

  it('is said aloud when the upload is to go on', async () => {
    const stage = spoolStage(1)
    await stage.spool.append(upload, 0, chunksOf(bytesOf(2 * SEGMENT)))
    stage.files.folders.get(upload)?.delete('00000000')
    const error = await refusal(stage.spool.append(upload, 2 * SEGMENT, chunksOf(bytesOf(5))))
    expect(error).toMatchObject({ code: 'E_SPOOL', message: expect.stringMatching(/extent 0 .* missing/) as string })
  })
})

describe('keys', () => {
  it('in use are kept, others destroyed; an upload whose key is gone is unreadable', async () => {
    const stage = spoolStage(1)
    const content = bytesOf(SEGMENT + 5)
    await stage.spool.append(upload, 0, chunksOf(content.slice(0, SEGMENT)))
    await stage.spool.rotateKeys()
    await stage.spool.append(upload, SEGMENT, chunksOf(content.slice(SEGMENT)))
    expect(stage.keys.count).toBe(2)
    await stage.spool.rotateKeys()
    expect(stage.keys.count).toBe(3)
    await readBack(stage, content)

    const held = stage.files.folders.get(upload)
    if (!held) throw new Error('no files')
    stage.files.folders.clear()
    await stage.spool.rotateKeys()
    stage.files.folders.set(upload, held)
    const error = await refusal(collect(stage.spool.read(upload, 'a', content.length, undefined).open(NEVER)))
    expect(error.code).toBe('E_SOURCE_UNREADABLE')
    expect(error.message).toMatch(/key was destroyed/)
  })

  it('of an extent that is still being written are in use', async () => {
    const stage = spoolStage(4)
    let go = (): void => undefined
    const gate = new Promise<void>((resolve) => (go = resolve))
    const content = bytesOf(2 * SEGMENT)
    async function* slow() {
      yield content
      await gate
    }
    const appending = stage.spool.append(upload, 0, slow())
    while (![...(stage.files.folders.get(upload)?.values() ?? [])].some(({ length }) => length > 2_000))
      await Promise.resolve()
    await stage.spool.rotateKeys()
    go()
    await appending
    await readBack(stage, content)
  })

  it('are not destroyed when the disk does not say what is in use', async () => {
    const stage = spoolStage()
    await stage.spool.append(upload, 0, chunksOf(bytesOf(10)))
    stage.files.step = (what) => {
      if (what === 'read') throw new MosaikError('E_SPOOL', 'the disk of the spool failed')
    }
    expect((await refusal(stage.spool.rotateKeys())).code).toBe('E_SPOOL')
    expect(stage.keys.count).toBe(1)
  })
})

it('neither plaintext nor DEK is in the files, and no two extents share a DEK', async () => {
  const stage = spoolStage(1)
  const canary = new TextEncoder().encode('CANARY: the board will sell the company. ')
  const content = Buffer.alloc(2 * SEGMENT + 99, canary)
  await stage.spool.append(upload, 0, chunksOf(content))
  const files = [...(stage.files.folders.get(upload)?.values() ?? [])].map((bytes) => Buffer.from(bytes))
  expect(files).toHaveLength(3)
  const lengths = new Set(stage.random.given.map(({ length }) => length))
  expect(lengths).toContain(32)
  // DEK and IV are 32 bytes both; of each pair only the IV may be found, and in one file only
  const long = stage.random.given.filter(({ length }) => length === 32)
  const found = long.map((bytes) => files.filter((file) => file.includes(Buffer.from(bytes))).length)
  expect(found.filter((count) => count === 1)).toHaveLength(3)
  expect(found.filter((count) => count === 0).length).toBeGreaterThanOrEqual(3)
  for (const file of files) expect(file.includes(Buffer.from(canary.slice(0, 16)))).toBe(false)
})
