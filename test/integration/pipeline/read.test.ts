import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { fragmentKey, tagBlock } from '../../../src/crypto/fragment-tag.ts'
import { MosaikError, isMosaikError } from '../../../src/domain/errors.ts'
import type { Id } from '../../../src/domain/ids.ts'
import { blockOffset, encodeFragmentHeader, innerBlockLength } from '../../../src/format/fragment-header.ts'
import type { ObjectRow } from '../../../src/ports/catalog/layout.ts'
import type { AssetReader } from '../../../src/ports/vault-reader.ts'
import { sealedAssetReader } from '../../../src/retrieve/read-asset.ts'
import { MemoryStore, failAll } from '../../support/memory-store.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

const never = new AbortController().signal
const SEGMENT = 262_112
/** Of several runs: 2 + 4 + 8 + 8 segments. */
const content = randomBytes(21 * SEGMENT + 999)
const small = [1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT]

interface Logged {
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

let vault: TestVault
let nodes: MemoryStore[]
let pristine: Map<string, Uint8Array<ArrayBuffer>>[]
let recording: Id
let others: { readonly bytes: Buffer; readonly recording: Id }[]
const logged: Logged[] = []

async function store(bytes: Buffer, name: string): Promise<Id> {
  const path = join(vault.folder, name)
  writeFileSync(path, bytes)
  return await vault.deposit(path, await describeFile(path))
}

beforeAll(async () => {
  nodes = [1, 2, 3, 4, 5].map((number) => new MemoryStore({ label: `memory-${number}` }))
  const note = (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
    void logged.push({ event, fields })
  vault = await makeTestVault({ memory: nodes, log: { info: note, warn: note, error: note } })
  recording = await store(content, 'meeting.mp4')
  others = []
  for (const length of small) {
    const bytes = randomBytes(length)
    others.push({ bytes, recording: await store(bytes, `${length}.mp4`) })
  }
  await vault.runDue()
  pristine = nodes.map((node) => new Map([...node.objects].map(([key, bytes]) => [key, bytes.slice()])))
})
afterAll(() => vault.close())
beforeEach(() => {
  logged.length = 0
  for (const [index, node] of nodes.entries()) {
    node.fault = undefined
    node.objects.clear()
    for (const [key, bytes] of pristine[index]!) node.objects.set(key, bytes.slice())
  }
})

async function original(of: Id = recording): Promise<AssetReader> {
  const opened = await vault.reader.open(vault.organisation, of, 'play', never)
  return opened.asset(opened.manifest.assets.find(({ kind }) => kind === 'original')!.id)
}

async function read(reader: AssetReader, start: number, end: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of reader.read(start, end, never)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Fragments of the recording, in order of index. */
async function fragmentsOf(of: Id = recording): Promise<ObjectRow[]> {
  const { manifest } = await vault.reader.open(vault.organisation, of, 'play', never)
  const header = Buffer.from(manifest.assets[0]!.sealed!.header)
  return await vault.layout.fragments(header.subarray(58, 74).toString('hex'))
}

async function nodeNumber(id: Id): Promise<number> {
  return (await vault.pool.nodes()).findIndex((node) => node.id === id)
}

async function bytesAt(row: ObjectRow): Promise<Uint8Array<ArrayBuffer>> {
  return nodes[await nodeNumber(row.node)]!.objects.get(row.key)!
}

const scheme = { k: 3, t: 1 }

describe('a catalog that fails while a read begins', () => {
  it('fails the read, and leaves no rejection behind that would end the process', async () => {
    const { manifest } = await vault.reader.open(vault.organisation, recording, 'play', never)
    const late = new Promise<void>((resolve) => setTimeout(resolve, 50))
    const layout = {
      ...vault.layout,
      attempt: async (id: Id) => {
        await late
        return await vault.layout.attempt(id)
      },
      fragments: () => Promise.reject(new MosaikError('E_CATALOG_UNREACHABLE', 'no answer')),
    }
    const asset = manifest.assets.find(({ kind }) => kind === 'original')!
    const reader = sealedAssetReader({ ...vault, layout }, asset, asset.sealed!)
    // Vitest fails a run in which a rejection was not handled.
    await expect(read(reader, 0, 1)).rejects.toMatchObject({ code: 'E_CATALOG_UNREACHABLE' })
  })
})

describe('reading any range', () => {
  it('gives the slice, whatever its ends', async () => {
    const reader = await original()
    const place = fc.oneof(
      fc.nat({ max: content.length }),
      fc
        .tuple(fc.nat({ max: 22 }), fc.integer({ min: -2, max: 2 }))
        .map(([segment, off]) => Math.min(content.length, Math.max(0, segment * SEGMENT + off))),
    )
    await fc.assert(
      fc.asyncProperty(place, place, async (a, b) => {
        const [start, end] = a < b ? [a, b] : [b, a]
        expect((await read(reader, start, end)).equals(content.subarray(start, end))).toBe(true)
      }),
      { numRuns: 60 },
    )
    expect((await read(reader, 0, content.length)).equals(content)).toBe(true)
  })

  it('gives contents around the size of a segment whole', async () => {
    for (const { bytes, recording: of } of others) {
      expect((await read(await original(of), 0, bytes.length)).equals(bytes)).toBe(true)
    }
  })

  it('refuses ranges outside', async () => {
    const reader = await original()
    for (const [start, end] of [
      [-1, 5],
      [5, 4],
      [0, content.length + 1],
      [0.5, 2],
      [Number.NaN, 2],
    ] as const) {
      await expect(read(reader, start, end)).rejects.toThrow(/bytes/)
    }
  })
})

/** Bad ways in which a node may give block `segment` of its fragment. */
const damages: Readonly<Record<string, (rows: ObjectRow[], at: number, segment: number) => Promise<void>>> = {
  'a flipped bit of a block': async (rows, at, segment) => {
    const bytes = await bytesAt(rows[at]!)
    bytes[blockOffset(scheme, segment) + 77]! ^= 1
  },
  'a flipped bit of a tag': async (rows, at, segment) => {
    const bytes = await bytesAt(rows[at]!)
    bytes[blockOffset(scheme, segment) + innerBlockLength(scheme) + 3]! ^= 0x80
  },
  "another segment's block": async (rows, at, segment) => {
    const bytes = await bytesAt(rows[at]!)
    const length = innerBlockLength(scheme) + 16
    const from = blockOffset(scheme, segment === 0 ? 1 : 0)
    bytes.copyWithin(blockOffset(scheme, segment), from, from + length)
  },
  "another recording's fragment": async (rows, at) => {
    const foreign = await fragmentsOf(others.at(-1).recording)
    const bytes = await bytesAt(foreign[at]!)
    const own = await bytesAt(rows[at]!)
    own.set(bytes.subarray(0, Math.min(bytes.length, own.length)))
  },
  'a truncated object': async (rows, at, segment) => {
    const { node, key } = rows[at]!
    nodes[await nodeNumber(node)]!.truncate(key, blockOffset(scheme, segment) + 5)
  },
  'an empty object': async (rows, at) => {
    const { node, key } = rows[at]!
    nodes[await nodeNumber(node)]!.truncate(key, 0)
  },
  zeros: async (rows, at) => {
    ;(await bytesAt(rows[at]!)).fill(0)
  },
}

describe('damage', () => {
  for (const [name, damage] of Object.entries(damages)) {
    it(`${name}: two of five nodes give right bytes and are named, three give an error and no byte`, async () => {
      const segment = 1
      let named = 0
      for (const bad of [
        [0, 1],
        [0, 2],
        [3, 4],
        [1, 3],
      ]) {
        const rows = await fragmentsOf()
        const before = await Promise.all(rows.map(async (row) => (await bytesAt(row)).slice()))
        for (const at of bad) await damage(rows, at, segment)
        const reader = await original()
        logged.length = 0
        expect((await read(reader, 0, content.length)).equals(content)).toBe(true)
        for (const { fields } of logged.filter(({ event }) => event === 'read.bad-share')) {
          expect(bad.map((at) => rows[at]!.node)).toContain(fields['node'])
          named++
        }
        for (const [index, row] of rows.entries()) {
          nodes[await nodeNumber(row.node)]!.objects.set(row.key, before[index]!)
        }
      }
      // In no case were all eight bad shares left unasked.
      expect(named).toBeGreaterThan(0)
      const rows = await fragmentsOf()
      for (const at of [0, 2, 4]) await damage(rows, at, segment)
      const failure: unknown = await read(await original(), segment * SEGMENT, (segment + 1) * SEGMENT).catch(
        (error: unknown) => error,
      )
      if (!isMosaikError(failure, 'E_SHARES_TOO_FEW')) throw failure
      for (const at of [0, 2, 4]) expect(failure.message).toContain(`memory-${(await nodeNumber(rows[at]!.node)) + 1}`)
    })
  }

  it('names each bad node once a read when all of one segment is asked of it', async () => {
    const rows = await fragmentsOf()
    for (const at of [0, 1]) await damages['zeros']!(rows, at, 0)
    // Nothing else than both bad ones and the three good ones can be asked, in whatever order.
    nodes[await nodeNumber(rows[2]!.node)]!.fault = undefined
    await read(await original(), 0, content.length)
    const named = logged.filter(({ event }) => event === 'read.bad-share').map(({ fields }) => fields['node'])
    expect(new Set(named).size).toBe(named.length)
    expect(named.length).toBeLessThanOrEqual(2)
  })

  it('swapped fragments of two nodes, other shares of the same segments, are found out', async () => {
    const rows = await fragmentsOf()
    const [a, b] = [await bytesAt(rows[0]!), await bytesAt(rows[1]!)]
    nodes[await nodeNumber(rows[0]!.node)]!.objects.set(rows[0]!.key, b)
    nodes[await nodeNumber(rows[1]!.node)]!.objects.set(rows[1]!.key, a)
    expect((await read(await original(), 0, content.length)).equals(content)).toBe(true)
    nodes[await nodeNumber(rows[2]!.node)]!.objects.set(rows[2]!.key, a.slice())
    await expect(read(await original(), 0, 10)).rejects.toThrow(/E_BLOCK_TAG/)
  })

  it('manifest shares that are damaged, stale or another recording’s are passed over, and named', async () => {
    const of = others[0]!.recording
    const shares = await vault.layout.manifestShares(of, 1)
    const foreign = await vault.layout.manifestShares(others[1]!.recording, 1)
    ;(await bytesAt(shares[0]!)).fill(7, 300, 310)
    nodes[await nodeNumber(shares[1]!.node)]!.objects.set(shares[1]!.key, (await bytesAt(foreign[1]!)).slice())
    const { createVaultReader } = await import('../../../src/retrieve/open-recording.ts')
    // A new reader has opened nothing yet.
    for (let tries = 0; tries < 5; tries++) {
      const { manifest } = await createVaultReader(vault).open(vault.organisation, of, 'play', never)
      expect(manifest.recording).toBe(of)
    }
    const named = logged.filter(({ event }) => event === 'read.bad-share').map(({ fields }) => fields['node'])
    for (const node of named) expect([shares[0]!.node, shares[1]!.node]).toContain(node)
    nodes[await nodeNumber(shares[4]!.node)]!.objects.delete(shares[4]!.key)
    const failure: unknown = await createVaultReader(vault)
      .open(vault.organisation, of, 'play', never)
      .catch((error: unknown) => error)
    if (!isMosaikError(failure, 'E_SHARES_TOO_FEW')) throw failure
    expect(failure.message).toMatch(/E_SIGNATURE|E_FORMAT/)
    expect(failure.message).toMatch(/E_SHARES_MIXED/)
    expect(failure.message).toMatch(/E_OBJECT_ABSENT/)
  })
})

describe('somebody who holds the verify key', () => {
  /** Alters segment 0 of a fragment, and makes a tag that verifies. */
  const forge = async (row: ObjectRow): Promise<void> => {
    const { manifest } = await vault.reader.open(vault.organisation, recording, 'play', never)
    const { header, verifyKeys } = manifest.assets[0]!.sealed!
    const bytes = await bytesAt(row)
    const length = innerBlockLength(scheme)
    const at = blockOffset(scheme, 0)
    bytes.fill(row.index + 1, at + 50, at + 60)
    const fragmentHeader = encodeFragmentHeader({
      attempt: Buffer.from(header).subarray(58, 74).toString('hex'),
      sharing: row.sharing!,
      extent: 0,
      index: row.index,
      scheme: { k: 3, n: 5, t: 1 },
    })
    expect(Buffer.from(bytes.subarray(0, 256))).toEqual(Buffer.from(fragmentHeader))
    const key = vault.primitives.gcm(fragmentKey(vault.primitives, verifyKeys[0]!, fragmentHeader))
    bytes.set(tagBlock(key, 0, bytes.subarray(at, at + length)), at + length)
  }

  it('does not get a wrong byte through: the forged shares are found among the others, and told as an alarm', async () => {
    for (const forged of [[0], [2], [0, 1], [2, 4]]) {
      const rows = await fragmentsOf()
      const before = await Promise.all(rows.map(async (row) => (await bytesAt(row)).slice()))
      for (const at of forged) await forge(rows[at]!)
      logged.length = 0
      // Without as many good ones as may be away, so that the forged ones have to be asked.
      const away = rows.filter((_, at) => !forged.includes(at)).slice(0, 2 - forged.length)
      for (const { node } of away) nodes[await nodeNumber(node)]!.fault = failAll()
      // The forged ones answer fastest, so that they are asked first.
      for (const [at, { node }] of rows.entries()) {
        for (let i = 0; i < 40; i++) vault.pool.observe(node, 'ok', forged.includes(at) ? 0 : 20)
      }
      for (let i = 0; i < 6; i++) {
        const reader = await original()
        expect((await read(reader, 0, 3 * SEGMENT)).equals(content.subarray(0, 3 * SEGMENT))).toBe(true)
      }
      const alarms = logged.filter(({ event }) => event === 'read.forged-share')
      expect(alarms.length).toBeGreaterThan(0)
      for (const { fields } of alarms) expect(forged.map((at) => rows[at]!.node)).toContain(fields['node'])
      for (const [index, row] of rows.entries()) {
        const node = nodes[await nodeNumber(row.node)]!
        node.objects.set(row.key, before[index]!)
        node.fault = undefined
      }
    }
  })

  it('gets an error and no byte when too many are forged', async () => {
    const rows = await fragmentsOf()
    for (const at of [0, 1, 2]) await forge(rows[at]!)
    await expect(read(await original(), 0, SEGMENT)).rejects.toThrow(/all tags pass, and no 3 shares open it/)
  })

  it('may be shut out by a second verify key: blocks under either are good', async () => {
    const { manifest } = await vault.reader.open(vault.organisation, recording, 'play', never)
    const asset = manifest.assets[0]!
    const [key] = asset.sealed!.verifyKeys
    for (const verifyKeys of [
      [randomBytes(32), key!],
      [randomBytes(32), randomBytes(32), key!],
    ]) {
      const reader = sealedAssetReader(vault, asset, { ...asset.sealed!, verifyKeys })
      expect((await read(reader, 0, content.length)).equals(content)).toBe(true)
    }
    const reader = sealedAssetReader(vault, asset, { ...asset.sealed!, verifyKeys: [randomBytes(32)] })
    await expect(read(reader, 0, 5)).rejects.toThrow(/E_BLOCK_TAG/)
  })
})

describe('nodes that are away', () => {
  it('plays with any two of five nodes down or silent', async () => {
    const reader = await original()
    for (let a = 0; a < 5; a++) {
      for (let b = a + 1; b < 5; b++) {
        for (const [index, node] of nodes.entries()) {
          node.fault = index === a ? failAll() : index === b ? () => 'stall' : undefined
        }
        expect(
          (await read(reader, 3 * SEGMENT - 5, 9 * SEGMENT)).equals(content.subarray(3 * SEGMENT - 5, 9 * SEGMENT)),
        ).toBe(true)
      }
    }
  })

  it('does not wait again and again for a node that never answers', async () => {
    const reader = await original()
    nodes[0]!.fault = () => 'stall'
    for (let i = 0; i < 4; i++) await read(reader, 0, SEGMENT)
    const startedMs = performance.now()
    for (let i = 0; i < 10; i++) await read(reader, 0, SEGMENT)
    expect(performance.now() - startedMs).toBeLessThan(10 * 40)
  })
})

describe('a layout that changes while it is read', () => {
  it('finds a fragment that was moved, without blaming the node it left', async () => {
    const rows = await fragmentsOf()
    // No node counts as late here, however busy the machine is: what makes one unhealthy is an answer.
    for (const { node } of rows) for (let i = 0; i < 40; i++) vault.pool.observe(node, 'ok', 2_000)
    const reader = await original()
    const iterator = reader.read(0, content.length, never)[Symbol.asyncIterator]()
    const chunks = [(await iterator.next()).value as Uint8Array]
    // Two shares are gone for good, and one is moved: all three that remain are needed.
    for (const at of [0, 1]) nodes[await nodeNumber(rows[at]!.node)]!.fault = failAll()
    const moved = rows[2]!
    const from = await nodeNumber(moved.node)
    const target = rows[3]!
    const key = `f/${'ab'.repeat(16)}`
    nodes[await nodeNumber(target.node)]!.objects.set(key, await bytesAt(moved))
    const { state: _state, sizeBytes: _sizeBytes, ...row } = moved
    await vault.layout.addObjects([{ ...row, node: target.node, key }])
    await vault.layout.setObjectState(target.node, key, 'stored', 1)
    await vault.layout.setObjectState(moved.node, moved.key, 'superseded')
    nodes[from]!.objects.delete(moved.key)
    logged.length = 0
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) chunks.push(next.value)
    expect(Buffer.concat(chunks).equals(content)).toBe(true)
    expect(vault.pool.isHealthy(moved.node)).toBe(true)
    expect(logged.filter(({ event }) => event === 'read.bad-share')).toEqual([])
  })
})

describe('a reader that leaves, or is slow', () => {
  it('stops fetching when the iteration stops', async () => {
    const reader = await original()
    for await (const chunk of reader.read(0, content.length, never)) {
      // The first run: two segments.
      expect(chunk.length).toBe(2 * SEGMENT)
      break
    }
    const count = (): number => nodes.reduce((sum, node) => sum + node.callCount, 0)
    await new Promise((resolve) => setTimeout(resolve, 20))
    const before = count()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(count()).toBe(before)
  })

  it('gives back what was fetched for it, and not what it has', async () => {
    const givenBack: Uint8Array[] = []
    const recycle = vi.spyOn(vault.engine, 'recycle').mockImplementation((views) => void givenBack.push(...views))
    const reader = await original()
    let taken: Uint8Array = new Uint8Array(0)
    for await (const chunk of reader.read(0, content.length, never)) {
      taken = chunk
      // until the next run has come
      await new Promise((resolve) => setTimeout(resolve, 100))
      break
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
    recycle.mockRestore()
    expect(givenBack.some((view) => view.buffer === taken.buffer)).toBe(false)
    const next = content.subarray(2 * SEGMENT, 3 * SEGMENT)
    expect(givenBack.some((view) => Buffer.from(view.subarray(0, SEGMENT)).equals(next))).toBe(true)
  })

  it('stops when it is aborted, with the reason', async () => {
    const reader = await original()
    const controller = new AbortController()
    const reading = async (): Promise<void> => {
      for await (const chunk of reader.read(0, content.length, controller.signal)) {
        expect(chunk.length).toBeGreaterThan(0)
        controller.abort(new Error('the viewer left'))
      }
    }
    await expect(reading()).rejects.toThrow('the viewer left')
  })

  it('fetches a bounded run ahead of a slow consumer', async () => {
    const long = randomBytes(120 * SEGMENT)
    const deposited = await store(long, 'long.mp4')
    await vault.runDue()
    const reader = await original(deposited)
    const before = nodes.map(({ callCount }) => callCount)
    const iterator = reader.read(0, long.length, never)[Symbol.asyncIterator]()
    const first = await iterator.next()
    await new Promise((resolve) => setTimeout(resolve, 200))
    const calls = nodes.reduce((sum, { callCount }, index) => sum + callCount - before[index]!, 0)
    // Runs of 2, 4 and twice 8 segments were begun, from three nodes each, and perhaps a hedge; 98 segments of 120 are not asked for.
    expect(calls).toBeLessThanOrEqual(4 * 5)
    const more: Uint8Array[] = first.done === true ? [] : [first.value]
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) more.push(next.value)
    expect(Buffer.concat(more).equals(long)).toBe(true)
  })
})
