import { randomBytes } from 'node:crypto'
import { utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { nodeClock } from '../../../src/adapters/node-system.ts'
import { trustedSigner } from '../../../src/crypto/keys.ts'
import { MosaikError, type ErrorCode } from '../../../src/domain/errors.ts'
import type { Id } from '../../../src/domain/ids.ts'
import { verifyReceipt } from '../../../src/ledger/receipt.ts'
import { runWork, type QueueSpec } from '../../../src/main/runner.ts'
import type { ObjectRow } from '../../../src/ports/catalog/layout.ts'
import type { Clock } from '../../../src/ports/system.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { MemoryStore, failAll, type FaultHook } from '../../support/memory-store.ts'
import { RUN_SEGMENTS } from '../../../src/ports/segment-engine.ts'
import { makeTestVault, type TestVault, type TestVaultOptions } from '../../support/test-vault.ts'

const never = new AbortController().signal
/** The machine's clock, put forward: leases run out and back-offs end without waiting. */
class ForwardClock implements Clock {
  aheadMs = 0
  nowMs = (): number => nodeClock.nowMs() + this.aheadMs
  monotonicMs = (): number => nodeClock.monotonicMs() + this.aheadMs
  sleep = (delayMs: number, signal?: AbortSignal): Promise<void> => nodeClock.sleep(delayMs, signal)
}

// Two runs of segments, so that nodes are written to before the source was read to its end.
const content = randomBytes(RUN_SEGMENTS * 262_112 + 5_000)
let vault: TestVault
let nodes: MemoryStore[]
let clock: ForwardClock
afterEach(() => vault.close())

async function open(options: TestVaultOptions = {}, count = 5): Promise<void> {
  clock = new ForwardClock()
  nodes = Array.from({ length: count }, (_, index) => new MemoryStore({ label: `memory-${index + 1}` }))
  vault = await makeTestVault({ memory: nodes, clock, threads: 0, ...options })
}

async function deposit(bytes: Buffer = content, extra: { sha256?: string; name?: string } = {}): Promise<Id> {
  const path = join(vault.folder, extra.name ?? 'meeting.mp4')
  writeFileSync(path, bytes)
  return await vault.deposit(path, { ...(await describeFile(path)), ...(extra.sha256 ? { sha256: extra.sha256 } : {}) })
}

/** Runs the store work until it has ended, or `tries` are over; time passes in between. */
async function runStore(recording: Id, tries = 8): Promise<void> {
  for (let i = 0; i < tries; i++) {
    const work = await vault.workOf(recording, 'store')
    if (work.state === 'done' || work.state === 'failed') return
    clock.aheadMs += 120_000
    await vault.runOnce(work)
  }
}

async function rowOf(recording: Id) {
  const row = await vault.recordings.get(recording, vault.organisation)
  if (!row) throw new Error('no such recording')
  return row
}

/** Every live object that the catalog knows. */
async function storedObjects(recording: Id): Promise<ObjectRow[]> {
  const row = await rowOf(recording)
  const attempts = await attemptsOf(recording)
  const fragments = await Promise.all(attempts.map((attempt) => vault.layout.fragments(attempt)))
  const shares = row.generation === 0 ? [] : await vault.layout.manifestShares(recording, row.generation)
  return [...fragments.flat(), ...shares, ...(await vault.layout.organisationObjects(vault.organisation, 'card'))]
}

/** Attempts that the manifest names. */
async function attemptsOf(recording: Id): Promise<Id[]> {
  if ((await rowOf(recording)).generation === 0) return []
  const { manifest } = await vault.reader.open(vault.organisation, recording, 'play', never)
  return manifest.assets.flatMap(({ sealed }) =>
    sealed ? [Buffer.from(sealed.header).subarray(58, 74).toString('hex')] : [],
  )
}

/** After the collector, every node holds exactly what the catalog calls stored. */
async function expectNoOrphans(recording: Id): Promise<void> {
  for (const node of nodes) node.fault = undefined
  clock.aheadMs += 10
  const { left } = await collect(vault, never, 0)
  expect(left).toBe(0)
  const known = await storedObjects(recording)
  for (const node of await vault.pool.nodes()) {
    const number = Number(node.name.split('-')[1]) - 1
    const expected = known.filter((row) => row.node === node.id).map(({ key }) => key)
    expect([...nodes[number]!.objects.keys()].filter((key) => key !== 'mosaik-node').sort()).toEqual(expected.sort())
    expect(nodes[number]!.openWriters).toBe(0)
  }
}

async function expectStored(recording: Id, fragments = 5): Promise<void> {
  const row = await rowOf(recording)
  expect(row).toMatchObject({ state: 'stored', reason: null, contentBytes: content.length })
  const bytes = await vault.recordings.receipt(recording)
  const { signing } = await vault.keyring.publicKeys(vault.organisation)
  const receipt = verifyReceipt(vault.primitives, bytes!, [
    trustedSigner(vault.primitives, vault.organisation, signing),
  ])
  expect(receipt).toMatchObject({ recording, contentBytes: content.length, generation: row.generation })
  expect(receipt.fragmentsVerified).toBe(fragments)
  const attempts = await attemptsOf(recording)
  expect(attempts.length).toBe(1)
  expect(receipt.attempt).toBe(attempts[0])
  expect((await vault.layout.fragments(attempts[0]!)).length).toBe(fragments)
  expect((await readOriginal(recording)).equals(content)).toBe(true)
}

async function readOriginal(recording: Id): Promise<Buffer> {
  const opened = await vault.reader.open(vault.organisation, recording, 'download', never)
  const original = opened.manifest.assets[0]!
  const chunks: Uint8Array[] = []
  for await (const chunk of opened.asset(original.id).read(0, original.contentBytes, never)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Gives `hook` the number of every call on any node, from 1 on. */
function onCall(hook: (number: number, call: string) => ReturnType<FaultHook>): { count: number } {
  const seen = { count: 0 }
  for (const node of nodes) node.fault = ({ call }) => hook(++seen.count, call)
  return seen
}

describe('a store call that fails', () => {
  it('the first, the second, the third …: the recording is stored in the end, and nothing is left over', async () => {
    await open()
    const counting = await deposit(content, { name: 'count.mp4' })
    const seen = onCall(() => undefined)
    await runStore(counting)
    const calls = seen.count
    expect(calls).toBeGreaterThanOrEqual(5 * 5)
    await expectNoOrphansOf([counting])
    for (let failing = 1; failing <= calls; failing++) {
      const recording = await deposit(content, { name: `${failing}.mp4` })
      onCall((number) => (number === failing ? { fail: 'E_NODE_UNREACHABLE' } : undefined))
      await runStore(recording)
      for (const node of nodes) node.fault = undefined
      const row = await rowOf(recording)
      expect(row).toMatchObject({ state: 'stored', reason: null })
      const receipt = await verified(recording)
      // One node of five failed once: either its fragment is missing, or its manifest share.
      expect(receipt.fragmentsVerified + receipt.manifestSharesVerified).toBe(9)
      expect((await readOriginal(recording)).equals(content)).toBe(true)
    }
    await expectNoOrphansOf(await allRecordings())
  })

  it('every call from the first, second, third … on, for a while: retried, stored, nothing left over', async () => {
    await open()
    for (let failing = 1; failing <= 32; failing += 2) {
      const recording = await deposit(content, { name: `${failing}.mp4` })
      onCall((number) => (number >= failing ? { fail: 'E_NODE_UNREACHABLE' } : undefined))
      await vault.runOnce(await vault.workOf(recording, 'store'))
      const waiting = await rowOf(recording)
      if (failing <= 26) {
        expect(waiting.state).toBe('received')
        expect(waiting.reason).toMatchObject({ code: 'E_NODES_TOO_FEW' })
        expect(waiting.reason!.message).toMatch(/of 5 nodes took their .*memory-\d/)
        expect(await vault.recordings.receipt(recording)).toBeUndefined()
      }
      for (const node of nodes) node.fault = undefined
      await runStore(recording)
      const receipt = await verified(recording)
      if (waiting.state === 'received') expect(receipt.fragmentsVerified).toBe(5)
      expect((await rowOf(recording)).reason).toBeNull()
    }
    await expectNoOrphansOf(await allRecordings())
  })
})

async function verified(recording: Id) {
  const { signing } = await vault.keyring.publicKeys(vault.organisation)
  return verifyReceipt(vault.primitives, (await vault.recordings.receipt(recording))!, [
    trustedSigner(vault.primitives, vault.organisation, signing),
  ])
}

async function allRecordings(): Promise<Id[]> {
  return (await vault.recordings.list({ organisation: vault.organisation, limit: 200 })).map(({ id }) => id)
}

async function expectNoOrphansOf(recordings: readonly Id[]): Promise<void> {
  for (const node of nodes) node.fault = undefined
  clock.aheadMs += 10
  expect((await collect(vault, never, 0)).left).toBe(0)
  const cards = await vault.layout.organisationObjects(vault.organisation, 'card')
  const known = new Set(cards.map(({ node, key }) => `${node} ${key}`))
  for (const recording of recordings) {
    for (const { node, key } of await storedObjects(recording)) known.add(`${node} ${key}`)
  }
  const found = new Set<string>()
  for (const node of await vault.pool.nodes()) {
    for (const key of nodes[Number(node.name.split('-')[1]) - 1]!.objects.keys()) {
      if (key !== 'mosaik-node') found.add(`${node.id} ${key}`)
    }
  }
  expect([...found].sort()).toEqual([...known].sort())
}

describe('a process that dies', () => {
  it('at any call of a store: the next run stores, with one live attempt and nothing left over', async () => {
    await open()
    const all: Id[] = []
    for (let dying = 1; dying <= 33; dying += 4) {
      const recording = await deposit(content, { name: `${dying}.mp4` })
      all.push(recording)
      // From that call on the process does nothing any more: its calls hang, and what it would still say is never heard.
      const dead = deadCatalog()
      onCall((number) => {
        if (number < dying) return undefined
        dead.die()
        return 'stall'
      })
      const work = await vault.workOf(recording, 'store')
      const controller = new AbortController()
      const run = runWork(
        { ...vault, catalog: dead.catalog, announce: () => undefined },
        dead.table()[work.stage],
        work.id,
        controller.signal,
      )
      await Promise.race([run, new Promise((resolve) => setTimeout(resolve, 400))])
      controller.abort()
      await run
      for (const node of nodes) node.fault = undefined
      const before = await vault.workOf(recording, 'store')
      // Under its lease nobody else may have it …
      if (before.state === 'running') {
        await vault.runOnce(before)
        expect((await vault.workOf(recording, 'store')).fence).toBe(before.fence)
      }
      // … and then somebody else has.
      await runStore(recording)
      await expectStored(recording)
    }
    await expectNoOrphansOf(all)
  })
})

/** The vault's catalog as a process sees it that dies: from `die()` on every write fails, and nobody is told. */
function deadCatalog() {
  let isDead = false
  const guard = <T extends object>(part: T): T =>
    new Proxy(part, {
      get(target, name, receiver) {
        const value: unknown = Reflect.get(target, name, receiver)
        if (typeof value === 'object' && value !== null) return guard(value)
        if (typeof value !== 'function') return value
        return (...given: unknown[]): unknown => {
          if (isDead) return Promise.reject(new MosaikError('E_INTERNAL', 'this process is dead'))
          return Reflect.apply(value as (...all: unknown[]) => unknown, target, given)
        }
      },
    })
  const catalog = guard(vault.catalog)
  return {
    catalog,
    table: () => vault.tableWith(catalog),
    die: () => {
      isDead = true
    },
  }
}

describe('two runners on one work', () => {
  it('have one winner; what the loser wrote is collected', async () => {
    await open()
    const recording = await deposit()
    const work = await vault.workOf(recording, 'store')
    // The first one hangs at the commit of every fragment until its lease is long over.
    let release: () => void = () => undefined
    const gate = new Promise<void>((resolve) => (release = resolve))
    const slow = Object.assign({}, vault.table.store, {
      leaseMs: 200,
      handler: async (...given: Parameters<QueueSpec['handler']>) => {
        const outcome = vault.table.store.handler(...given)
        outcome.catch(() => undefined) // it may fail long before the gate opens
        await gate
        return await outcome
      },
    } satisfies Partial<QueueSpec>)
    for (const node of nodes) node.fault = ({ call }) => (call === 'commit' ? 'stall' : undefined)
    const first = runWork({ ...vault, announce: () => undefined }, slow, work.id, never)
    await new Promise((resolve) => setTimeout(resolve, 50))
    // The catalog takes no renewal of it: its machine is away.
    clock.aheadMs += 600_000
    for (const node of nodes) node.fault = undefined
    const second = vault.runOnce(work)
    await second
    release()
    await first
    await expectStored(recording)
    expect((await vault.workOf(recording, 'store')).state).toBe('done')
    await expectNoOrphans(recording)
  })

  it('that start at the same moment do the work once', async () => {
    await open()
    const recording = await deposit()
    const work = await vault.workOf(recording, 'store')
    await Promise.all([1, 2, 3, 4].map(() => vault.runOnce(work)))
    expect((await vault.workOf(recording, 'store')).attemptsCount).toBe(1)
    await expectStored(recording)
    await expectNoOrphans(recording)
    expect((await vault.catalog.work.ofRecording(recording)).map(({ stage }) => stage).sort()).toEqual([
      'release',
      'store',
      'transcode',
    ])
  })
})

describe('a source that is not what it was', () => {
  const final = async (recording: Id, code: ErrorCode): Promise<void> => {
    await runStore(recording, 10)
    const row = await rowOf(recording)
    expect(row).toMatchObject({ state: 'failed', generation: 0, reason: { code } })
    expect(row.reason!.message.length).toBeGreaterThan(20)
    expect(await vault.recordings.receipt(recording)).toBeUndefined()
    expect((await vault.recordings.events(recording)).at(-1)).toMatchObject({ kind: 'failed', fields: { code } })
    expect((await vault.workOf(recording, 'store')).state).toBe('failed')
    await expectNoOrphans(recording)
  }

  it('a wrong SHA-256', async () => {
    await open()
    await final(await deposit(content, { sha256: 'ab'.repeat(32) }), 'E_SOURCE_HASH')
  })

  it('an empty file', async () => {
    await open()
    await final(await deposit(Buffer.alloc(0)), 'E_SOURCE_EMPTY')
  })

  it('a file that is gone', async () => {
    await open()
    const path = join(vault.folder, 'gone.mp4')
    const recording = await vault.deposit(path, { sizeBytes: 5, modifiedAtMs: 0 })
    await final(recording, 'E_SOURCE_UNREADABLE')
    expect((await rowOf(recording)).reason!.message).toContain('there is no such file')
  })

  it('a file that was changed since it was offered', async () => {
    await open()
    const recording = await deposit()
    writeFileSync(join(vault.folder, 'meeting.mp4'), randomBytes(content.length))
    utimesSync(join(vault.folder, 'meeting.mp4'), 1, 1)
    await final(recording, 'E_SOURCE_CHANGED')
  })

  it('a file that is changed while it is read', async () => {
    await open()
    const recording = await deposit()
    const path = join(vault.folder, 'meeting.mp4')
    onCall((number) => {
      if (number === 8) utimesSync(path, 1, 1)
      return undefined
    })
    await final(recording, 'E_SOURCE_CHANGED')
  })

  it('a file that grows while it is read', async () => {
    await open()
    const path = join(vault.folder, 'grows.mp4')
    writeFileSync(path, content)
    const recording = await vault.deposit(path, { ...(await describeFile(path)), sizeBytes: content.length - 1 })
    await final(recording, 'E_SOURCE_CHANGED')
  })
})

describe('too few nodes', () => {
  it('a recording waits, says why, and completes itself when the nodes are back', async () => {
    await open()
    const recording = await deposit()
    for (const node of nodes.slice(0, 2)) node.fault = failAll()
    for (let i = 0; i < 12; i++) {
      clock.aheadMs += 120_000
      await vault.runOnce(await vault.workOf(recording, 'store'))
    }
    const waiting = await rowOf(recording)
    expect(waiting).toMatchObject({ state: 'received', reason: { code: 'E_NODES_TOO_FEW' } })
    expect(waiting.reason!.message).toMatch(
      /3 of 5 nodes took their fragment and 4 are needed \(memory-\d: E_NODE_UNREACHABLE/,
    )
    // Not more than the tries that others have: waiting for nodes uses none up.
    expect((await vault.workOf(recording, 'store')).state).toBe('pending')
    for (const node of nodes) node.fault = undefined
    await runStore(recording)
    await expectStored(recording)
    await expectNoOrphans(recording)
  })

  it('a try after long waiting that fails otherwise is not the last one', async () => {
    await open()
    const recording = await deposit()
    for (const node of nodes) node.fault = failAll()
    for (let i = 0; i < 8; i++) {
      clock.aheadMs += 120_000
      await vault.runOnce(await vault.workOf(recording, 'store'))
    }
    const table = vault.tableWith(vault.catalog, {
      issueReceipt: () => Promise.reject(new MosaikError('E_INTERNAL', 'a fault of the moment')),
    })
    for (const node of nodes) node.fault = undefined
    clock.aheadMs += 120_000
    const work = await vault.workOf(recording, 'store')
    await runWork({ ...vault, announce: () => undefined }, table.store, work.id, never)
    expect((await vault.workOf(recording, 'store')).state).toBe('pending')
    await runStore(recording)
    await expectStored(recording)
    await expectNoOrphans(recording)
  })

  it('with one of five nodes down it is stored on four, and the receipt says four', async () => {
    await open()
    const recording = await deposit()
    nodes[2]!.fault = failAll()
    await runStore(recording, 1)
    await expectStored(recording, 4)
    await expectNoOrphans(recording)
  })

  it('(2, 3, 1): no receipt while one of three is down, then all by itself', async () => {
    await open({ scheme: { k: 2, n: 3, t: 1 } }, 3)
    const recording = await deposit()
    nodes[1]!.fault = failAll()
    await vault.runOnce(await vault.workOf(recording, 'store'))
    expect(await rowOf(recording)).toMatchObject({
      state: 'received',
      generation: 0,
      reason: { code: 'E_NODES_TOO_FEW' },
    })
    expect(await vault.recordings.receipt(recording)).toBeUndefined()
    nodes[1]!.fault = undefined
    await runStore(recording)
    await expectStored(recording, 3)
    await expectNoOrphans(recording)
  })

  it('a placement rule that cannot be met is said in words', async () => {
    await open({ placementRule: 'strict' })
    for (const { id } of await vault.installation.nodes()) {
      await vault.installation.setNodeOwnership(id, { country: 'DE', operator: 'One', parent: 'One', site: 'One' })
    }
    vault.pool.refresh()
    const recording = await deposit()
    await vault.runOnce(await vault.workOf(recording, 'store'))
    expect(await rowOf(recording)).toMatchObject({ state: 'received', reason: { code: 'E_PLACEMENT_RULE' } })
    expect((await rowOf(recording)).reason!.message).toContain('add nodes of 4 more operators')
  })
})

describe('order of writing', () => {
  it('a row is durable before its object, a manifest names only stored fragments, nothing is let go before the receipt', async () => {
    const seen: string[] = []
    await open({
      wrapStore: (store) => {
        const before = async (key: string): Promise<void> => {
          if (!/^[fm]\//.test(key)) return
          // Through a connection of its own: what is only in a transaction is not there.
          const { DatabaseSync } = await import('node:sqlite')
          const other = new DatabaseSync(join(vault.folder, 'catalog.sqlite'), { readOnly: true })
          const row = other.prepare('select state from objects where key = ?').get(key)
          if (key.startsWith('m/')) {
            const fragments = other
              .prepare("select state, count(*) as n from objects where kind = 'fragment' group by state")
              .all()
            seen.push(`fragments ${fragments.map(({ state, n }) => `${String(state)} ${String(n)}`).join()}`)
          }
          other.close()
          seen.push(`${key.slice(0, 1)} ${String(row?.['state'])}`)
        }
        return {
          get: (...given) => store.get(...given),
          head: (...given) => store.head(...given),
          list: (...given) => store.list(...given),
          delete: (...given) => store.delete(...given),
          close: () => store.close(),
          create: async (key: string, signal: AbortSignal) => {
            await before(key)
            return await store.create(key, signal)
          },
          put: async (key: string, bytes: Uint8Array, signal: AbortSignal) => {
            await before(key)
            await store.put(key, bytes, signal)
          },
        }
      },
    })
    const path = join(vault.folder, 'meeting.mp4')
    writeFileSync(path, content)
    const recording = await vault.deposit(path, { ...(await describeFile(path)), deleteAfterReceipt: true })
    await runStore(recording)
    expect(seen.filter((line) => line === 'f intent').length).toBe(5)
    expect(seen.filter((line) => line === 'm intent').length).toBe(5)
    expect(seen.filter((line) => line.startsWith('fragments'))).toEqual(Array(5).fill('fragments stored 5'))
    expect((await describeFile(path)).sizeBytes).toBe(content.length)
    await vault.runOnce(await vault.workOf(recording, 'release'))
    await expect(describeFile(path)).rejects.toThrow('there is no such file')
  })
})
