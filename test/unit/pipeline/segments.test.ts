import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cutSegments, paddedContent } from '../../../src/pipeline/segments.ts'
import { bytesOf } from '../../support/bytes.ts'

const SIZE = 16

async function* chunked(content: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0
  for (const length of lengths) {
    yield content.slice(at, at + length)
    at += length
  }
  if (at < content.length) yield content.slice(at)
}

async function cut(content: Uint8Array, lengths: readonly number[]) {
  const observed: Uint8Array[] = []
  const segments = []
  for await (const segment of cutSegments(chunked(content, lengths), SIZE, (chunk) => observed.push(chunk))) {
    segments.push(segment)
  }
  return { segments, observed: Buffer.concat(observed) }
}

describe('cutSegments', () => {
  for (const length of [0, 1, SIZE - 1, SIZE, SIZE + 1, 2 * SIZE - 1, 2 * SIZE, 2 * SIZE + 1, 5 * SIZE]) {
    it(`cuts ${length} bytes, however they come`, async () => {
      const content = bytesOf(length)
      for (const lengths of [[], [1], [0, 0], [SIZE], [SIZE - 1, 1], [3, 0, 30], Array<number>(length).fill(1)]) {
        const { segments, observed } = await cut(content, lengths)
        expect(segments.length).toBe(Math.max(1, Math.ceil(length / SIZE)))
        expect(segments.map(({ index }) => index)).toEqual(segments.map((_, index) => index))
        expect(segments.map(({ last }) => last)).toEqual(segments.map((_, index) => index === segments.length - 1))
        expect(segments.slice(0, -1).every(({ bytes }) => bytes.length === SIZE)).toBe(true)
        expect(Buffer.concat(segments.map(({ bytes }) => bytes))).toEqual(Buffer.from(content))
        expect(observed).toEqual(Buffer.from(content))
      }
    })
  }

  it('gives the same segments for any chunking, each in a buffer of its own', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 100 }),
        fc.array(fc.nat({ max: 40 }), { maxLength: 12 }),
        async (content, lengths) => {
          const { segments } = await cut(content, lengths)
          expect(Buffer.concat(segments.map(({ bytes }) => bytes))).toEqual(Buffer.from(content))
          for (const { bytes } of segments) expect(bytes.buffer.byteLength).toBe(bytes.length)
          expect(new Set(segments.map(({ bytes }) => bytes.buffer)).size).toBe(segments.length)
        },
      ),
    )
  })

  it('copies: what the source does with its chunk afterwards changes nothing', async () => {
    async function* reusing(): AsyncGenerator<Uint8Array> {
      const chunk = new Uint8Array(10)
      for (const value of [1, 2, 3]) yield chunk.fill(value)
    }
    const seen: number[] = []
    for await (const { bytes } of cutSegments(reusing(), SIZE, () => undefined)) seen.push(...bytes)
    expect(seen).toEqual([...Array<number>(10).fill(1), ...Array<number>(10).fill(2), ...Array<number>(10).fill(3)])
  })

  it('asks for memory for a piece only when there is more than an eighth of it', async () => {
    const size = 64
    for (const [length, takes] of [
      [0, 0],
      [8, 0],
      [9, 1],
      [64, 1],
      [65, 2],
    ] as const) {
      for (const lengths of [[length], Array<number>(length).fill(1)]) {
        const content = bytesOf(length)
        let taken = 0
        const take = (): Uint8Array => {
          taken++
          return new Uint8Array(size).fill(0xee)
        }
        const seen: number[] = []
        for await (const { bytes } of cutSegments(chunked(content, lengths), size, () => undefined, take))
          seen.push(...bytes)
        expect(seen).toEqual([...content])
        expect(taken).toBe(takes)
      }
    }
  })

  it('passes on what the source throws, and closes a source that is not read to its end', async () => {
    let closed = false
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        while (true) yield new Uint8Array(SIZE)
      } finally {
        closed = true
      }
    }
    for await (const segment of cutSegments(endless(), SIZE, () => undefined)) if (segment.index === 3) break
    expect(closed).toBe(true)
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(3)
      throw new Error('the source broke')
    }
    const read = async (): Promise<void> => {
      for await (const segment of cutSegments(broken(), SIZE, () => undefined)) expect(segment).toBeUndefined()
    }
    await expect(read()).rejects.toThrow('the source broke')
  })
})

describe('paddedContent', () => {
  async function padded(content: Uint8Array, lengths: readonly number[], paddedBytes: number) {
    const [observed, came]: Uint8Array[][] = [[], []]
    const source = paddedContent(
      chunked(content, lengths),
      () => paddedBytes,
      (chunk) => observed!.push(chunk),
    )
    for await (const chunk of source) came!.push(chunk.slice())
    return {
      observed: Buffer.concat(observed!),
      came: Buffer.concat(came!),
      longest: Math.max(0, ...came!.map((one) => one.length)),
    }
  }

  it.each([
    [0, 0],
    [0, 7],
    [1, 1],
    [100, 104],
    [1000, 300_000],
    [1000, 1000 + 3 * 262_112],
  ])(
    'puts zeros behind %i bytes up to %i, in bounded pieces that nobody takes for content',
    async (length, paddedBytes) => {
      const content = bytesOf(length)
      const { observed, came, longest } = await padded(content, [3, 0, 30], paddedBytes)
      expect(observed.equals(content)).toBe(true)
      expect(came).toHaveLength(paddedBytes)
      expect(came.subarray(0, length).equals(content)).toBe(true)
      expect(came.subarray(length).every((byte) => byte === 0)).toBe(true)
      expect(longest).toBeLessThanOrEqual(262_112)
    },
  )

  it('asks for the length once, when the content has ended, and passes on what the source throws', async () => {
    const asked: number[] = []
    const lengthOf = (bytes: number): number => {
      asked.push(bytes)
      return bytes
    }
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(3)
      throw new Error('the source broke')
    }
    const read = async (): Promise<void> => {
      for await (const chunk of paddedContent(broken(), lengthOf, () => undefined)) expect(chunk).toHaveLength(3)
    }
    await expect(read()).rejects.toThrow('the source broke')
    expect(asked).toEqual([])
    for await (const chunk of paddedContent(chunked(bytesOf(9), [4]), lengthOf, () => undefined))
      expect(chunk.length).toBeGreaterThan(0)
    expect(asked).toEqual([9])
  })
})
