import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ObjectStore } from '../../../src/ports/object-store.ts'
import { all, codeOf, never, stream } from './world.ts'

const MiB = 1024 * 1024
const PART = 8 * MiB

/** A node for the suite, empty when it is opened. */
export interface ContractNode {
  readonly store: ObjectStore
  /** What lies on the node behind the store's back besides objects: unfinished uploads, temporary files. */
  leftovers(): Promise<readonly string[]>
  close(): Promise<void>
}

export interface ContractOptions {
  /** Opens a node; called once, after the suite's services have started. */
  open(): Promise<ContractNode>
  /** Objects for the paging test: more than one page. */
  readonly manyKeys: number
}

/** What src/ports/object-store.ts promises, sentence by sentence. Call inside a `describe`. */
export function objectStoreContract(options: ContractOptions): void {
  let node: ContractNode
  let store: ObjectStore
  const data = randomBytes(20 * MiB + 1)
  let last = 0
  const freshKey = (): string => `f/${randomBytes(4).toString('hex')}${(last++).toString(16).padStart(4, '0')}`

  beforeAll(async () => {
    node = await options.open()
    store = node.store
  })
  afterAll(async () => {
    await node?.store.close()
    await node?.close()
  })

  async function holds(key: string, bytes: Uint8Array): Promise<void> {
    const found = await store.get(key, undefined, never())
    // Not toEqual: it takes seconds for megabytes.
    expect(Buffer.compare(found, bytes)).toBe(0)
    expect(await store.head(key, never())).toEqual({ key, sizeBytes: bytes.length })
  }

  describe('an object that is not there', () => {
    it('is E_OBJECT_ABSENT for get, undefined for head, nothing to do for delete, nothing in a list', async () => {
      const key = freshKey()
      expect(await codeOf(store.get(key, undefined, never()))).toBe('E_OBJECT_ABSENT')
      expect(await codeOf(store.get(key, { offsetBytes: 0, lengthBytes: 1 }, never()))).toBe('E_OBJECT_ABSENT')
      expect(await store.head(key, never())).toBeUndefined()
      await store.delete(key, never())
      expect(await all(store.list(key, never()))).toEqual([])
    })
  })

  describe('put', () => {
    it.each([0, 1, 256, PART - 1, PART])('stores %i bytes whole', async (length) => {
      const key = freshKey()
      await store.put(key, data.subarray(0, length), never())
      await holds(key, data.subarray(0, length))
    })

    it('replaces as a whole, also by something shorter, and may be repeated', async () => {
      const key = freshKey()
      await store.put(key, data.subarray(0, 1000), never())
      await store.put(key, data.subarray(1000, 1300), never())
      await store.put(key, data.subarray(1000, 1300), never())
      await holds(key, data.subarray(1000, 1300))
    })

    it('takes at most 8 MiB', async () => {
      expect(await codeOf(store.put(freshKey(), data.subarray(0, PART + 1), never()))).toBe('E_INPUT')
    })
  })

  describe('a writer', () => {
    it.each([
      [0, [1]],
      [1, [1]],
      [PART - 1, [65_537]],
      [PART, [131_088]],
      [PART + 1, [131_088]],
      [2 * PART, [PART]],
      [20 * MiB + 1, [3, 1_000_003, 131_088, 9 * MiB, 1]],
    ])('stores %i bytes in pieces of %j', async (length, pieces) => {
      const key = freshKey()
      const info = await stream(store, key, data.subarray(0, length), pieces)
      expect(info).toEqual({ key, sizeBytes: length })
      await holds(key, data.subarray(0, length))
      expect(await node.leftovers()).toEqual([])
    })

    it('shows nothing before commit, neither a first object nor a change of an old one', async () => {
      const [fresh, old] = [freshKey(), freshKey()]
      await store.put(old, data.subarray(0, 10), never())
      const writers = [await store.create(fresh, never()), await store.create(old, never())]
      for (const writer of writers) await writer.write(data.subarray(0, PART + MiB))
      expect(await store.head(fresh, never())).toBeUndefined()
      expect(await all(store.list(fresh, never()))).toEqual([])
      await holds(old, data.subarray(0, 10))
      for (const writer of writers) await writer.commit()
      await holds(fresh, data.subarray(0, PART + MiB))
      await holds(old, data.subarray(0, PART + MiB))
    })

    it.each([0, 1000, PART + 1, 20 * MiB])('leaves nothing after abort at %i bytes', async (length) => {
      const key = freshKey()
      const writer = await store.create(key, never())
      await writer.write(data.subarray(0, length))
      await writer.abort()
      expect(await store.head(key, never())).toBeUndefined()
      expect(await node.leftovers()).toEqual([])
      await writer.abort()
    })

    it('leaves the old object after abort', async () => {
      const key = freshKey()
      await store.put(key, data.subarray(0, 10), never())
      const writer = await store.create(key, never())
      await writer.write(data.subarray(0, PART + 1))
      await writer.abort()
      await holds(key, data.subarray(0, 10))
    })

    it('ends with E_ABORTED when its signal does, and leaves nothing', async () => {
      const key = freshKey()
      const controller = new AbortController()
      const writer = await store.create(key, controller.signal)
      await writer.write(data.subarray(0, 2 * PART + 5))
      controller.abort(new Error('no longer wanted'))
      expect(await codeOf(writer.write(data.subarray(0, PART)))).toBe('E_ABORTED')
      expect(await codeOf(writer.commit())).toBe('E_ABORTED')
      await writer.abort()
      expect(await store.head(key, never())).toBeUndefined()
      expect(await node.leftovers()).toEqual([])
    })

    it('works beside others', async () => {
      const keys = Array.from({ length: 6 }, freshKey)
      await Promise.all(keys.map((key, i) => stream(store, key, data.subarray(i, PART + 1000 + 2 * i), [700_001])))
      for (const [i, key] of keys.entries()) await holds(key, data.subarray(i, PART + 1000 + 2 * i))
    })
  })

  describe('get', () => {
    const length = PART + 3 * MiB
    let key: string
    beforeAll(async () => {
      key = freshKey()
      await stream(store, key, data.subarray(0, length), [MiB])
    })

    it.each([
      [0, 1],
      [0, 4096],
      [1, 256],
      [length - 1, 1],
      [PART - 1, 2],
      [PART, 131_088],
      [5 * MiB + 7, 4 * MiB],
      [0, length],
    ])('gives exactly the range from %i of %i bytes', async (offsetBytes, lengthBytes) => {
      const found = await store.get(key, { offsetBytes, lengthBytes }, never())
      expect(found.length).toBe(lengthBytes)
      expect(Buffer.compare(found, data.subarray(offsetBytes, offsetBytes + lengthBytes))).toBe(0)
    })

    it('gives memory of its own', async () => {
      const range = { offsetBytes: 10, lengthBytes: 100 }
      const found = await store.get(key, range, never())
      expect(found.byteOffset).toBe(0)
      expect(found.buffer.byteLength).toBe(100)
      found.fill(0)
      expect(Buffer.compare(await store.get(key, range, never()), data.subarray(10, 110))).toBe(0)
    })

    it.each([
      [length - 1, 2],
      [length, 1],
      [length + PART, 10],
      [0, length + 1],
    ])('is E_OBJECT_RANGE when the object ends before: from %i, %i bytes', async (offsetBytes, lengthBytes) => {
      expect(await codeOf(store.get(key, { offsetBytes, lengthBytes }, never()))).toBe('E_OBJECT_RANGE')
    })

    it('is E_OBJECT_RANGE for any range of an empty object', async () => {
      const empty = freshKey()
      await store.put(empty, new Uint8Array(0), never())
      expect(await codeOf(store.get(empty, { offsetBytes: 0, lengthBytes: 1 }, never()))).toBe('E_OBJECT_RANGE')
    })

    it.each([
      [0, 0],
      [-1, 5],
      [0.5, 1],
      [0, Number.NaN],
    ])('is E_INPUT for what is no range: from %d, %d bytes', async (offsetBytes, lengthBytes) => {
      expect(await codeOf(store.get(key, { offsetBytes, lengthBytes }, never()))).toBe('E_INPUT')
    })

    it('is one of what replaced the object, or E_OBJECT_ABSENT, as soon as that is so', async () => {
      const fresh = freshKey()
      const range = { offsetBytes: 2, lengthBytes: 3 }
      for (const at of [0, 100]) {
        await store.put(fresh, data.subarray(at, at + 10), never())
        for (let again = 0; again < 2; again++)
          expect(Buffer.compare(await store.get(fresh, range, never()), data.subarray(at + 2, at + 5))).toBe(0)
      }
      const writer = await store.create(fresh, never())
      await writer.write(data.subarray(200, 210))
      await writer.commit()
      expect(Buffer.compare(await store.get(fresh, range, never()), data.subarray(202, 205))).toBe(0)
      await store.delete(fresh, never())
      expect(await codeOf(store.get(fresh, range, never()))).toBe('E_OBJECT_ABSENT')
    })

    it('serves many at once', async () => {
      const ranges = Array.from({ length: 40 }, (_, i) => ({ offsetBytes: i * 131_088, lengthBytes: 131_088 }))
      const found = await Promise.all(ranges.map((range) => store.get(key, range, never())))
      for (const [i, { offsetBytes, lengthBytes }] of ranges.entries()) {
        expect(
          Buffer.compare(found[i] ?? new Uint8Array(), data.subarray(offsetBytes, offsetBytes + lengthBytes)),
        ).toBe(0)
      }
    })
  })

  describe('list', () => {
    it('gives every object with its size, in order of keys, over all pages', async () => {
      const names = Array.from(
        { length: options.manyKeys },
        (_, i) => `many/${((i * 7919) % options.manyKeys).toString(16).padStart(6, '0')}`,
      )
      for (let i = 0; i < names.length; i += 16) {
        await Promise.all(
          names
            .slice(i, i + 16)
            .map((name) => store.put(name, data.subarray(0, Number.parseInt(name.slice(5), 16) % 5), never())),
        )
      }
      const listed = await all(store.list('many/', never()))
      expect(listed.map((info) => info.key)).toEqual([...names].sort())
      for (const { key, sizeBytes } of listed) expect(sizeBytes).toBe(Number.parseInt(key.slice(5), 16) % 5)
      expect((await all(store.list('many/00000', never()))).length).toBe(Math.min(16, options.manyKeys))
    })

    it('takes any prefix: a room, a part of a name, a name, nothing', async () => {
      const keys = ['la/ab', 'la/ab-c', 'la/ab.d', 'la/abc', 'la/ac', 'la/b', 'lb/ab', 'mosaik-list']
      for (const key of keys) await store.put(key, data.subarray(0, 3), never())
      const under = async (prefix: string): Promise<string[]> =>
        (await all(store.list(prefix, never()))).map(({ key }) => key)
      expect(await under('la/')).toEqual(keys.slice(0, 6))
      expect(await under('la')).toEqual(keys.slice(0, 6))
      expect(await under('l')).toEqual(keys.slice(0, 7))
      expect(await under('la/a')).toEqual(keys.slice(0, 5))
      expect(await under('la/ab')).toEqual(keys.slice(0, 4))
      expect(await under('la/ab-')).toEqual(['la/ab-c'])
      expect(await under('lb/ab')).toEqual(['lb/ab'])
      expect(await under('lb/ab/')).toEqual([])
      expect(await under('mosaik-l')).toEqual(['mosaik-list'])
      expect((await under('')).filter((key) => keys.includes(key))).toEqual(keys)
    })

    it('shows a write and a deletion at once', async () => {
      const key = freshKey()
      await store.put(key, data.subarray(0, 3), never())
      expect(await all(store.list(key, never()))).toEqual([{ key, sizeBytes: 3 }])
      await store.delete(key, never())
      expect(await all(store.list(key, never()))).toEqual([])
    })
  })

  describe('delete', () => {
    it('removes the object, and only it; again is success', async () => {
      const key = freshKey()
      await store.put(key, data.subarray(0, 3), never())
      await store.put(`${key}0`, data.subarray(0, 4), never())
      await store.delete(key, never())
      expect(await store.head(key, never())).toBeUndefined()
      expect(await codeOf(store.get(key, undefined, never()))).toBe('E_OBJECT_ABSENT')
      await store.delete(key, never())
      await holds(`${key}0`, data.subarray(0, 4))
    })

    it('makes room for the same key', async () => {
      const key = freshKey()
      await stream(store, key, data.subarray(0, PART + 1), [MiB])
      await store.delete(key, never())
      await store.put(key, data.subarray(5, 10), never())
      await holds(key, data.subarray(5, 10))
    })
  })

  describe('names', () => {
    it.each([
      '',
      '/',
      'f',
      'f/',
      '/f/a',
      'f/../m',
      'f/..',
      'f/.a',
      'f/a/b',
      'f//a',
      'F/a',
      'f/a b',
      'f/ä',
      'f/a\0',
      '.tmp/a',
      'f/a..b',
    ])('%j is refused with E_INPUT', async (key) => {
      expect(await codeOf(store.put(key, data.subarray(0, 1), never()))).toBe('E_INPUT')
      expect(await codeOf(store.get(key, undefined, never()))).toBe('E_INPUT')
      expect(await codeOf(store.head(key, never()))).toBe('E_INPUT')
      expect(await codeOf(store.delete(key, never()))).toBe('E_INPUT')
      expect(await codeOf(store.create(key, never()))).toBe('E_INPUT')
    })

    it.each(['mosaik-node', 'f/0123456789abcdef0123456789abcdef', `card/${'ab'.repeat(32)}`, 's/a'])(
      '%j is one',
      async (key) => {
        await store.put(key, data.subarray(0, 4), never())
        await holds(key, data.subarray(0, 4))
      },
    )
  })

  describe('an aborted signal', () => {
    it('ends every call with E_ABORTED, its reason as cause', async () => {
      const reason = new Error('enough')
      const gone = AbortSignal.abort(reason)
      const key = freshKey()
      expect(await codeOf(store.put(key, data.subarray(0, 1), gone))).toBe('E_ABORTED')
      expect(await codeOf(store.get(key, undefined, gone))).toBe('E_ABORTED')
      expect(await codeOf(store.head(key, gone))).toBe('E_ABORTED')
      expect(await codeOf(all(store.list(key, gone)))).toBe('E_ABORTED')
      expect(await codeOf(store.delete(key, gone))).toBe('E_ABORTED')
      expect(await codeOf(store.create(key, gone))).toBe('E_ABORTED')
      await expect(store.head(key, gone)).rejects.toMatchObject({ cause: reason })
    })
  })
}
