import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { isMosaikError, type MosaikError } from '../../../src/domain/errors.ts'
import type { Scheme } from '../../../src/domain/dispersal.ts'
import { createVaultReader } from '../../../src/retrieve/open-recording.ts'
import { failAll, MemoryStore } from '../../support/memory-store.ts'
import { choose, range } from '../../support/subsets.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

const never = new AbortController().signal
const content = randomBytes(3 * 262_112 + 999)

type Objects = Map<string, Uint8Array<ArrayBuffer>>

/** What a node does to everybody who asks it; the objects of the node in `pristine`, those of another recording in `other`. */
const faults: Readonly<Record<string, (node: MemoryStore, pristine: Objects, other: Objects) => void>> = {
  down: (node) => (node.fault = failAll()),
  'answering 5xx': (node) => (node.fault = failAll('E_NODE_UNREACHABLE')),
  'answering 403': (node) => (node.fault = failAll('E_NODE_REFUSED')),
  'foreign by now': (node) => (node.fault = failAll('E_NODE_FOREIGN')),
  slow: (node) => (node.fault = () => ({ delayMs: 400 })),
  stalled: (node) => (node.fault = () => 'stall'),
  'stalled from the third call on': (node) => {
    let calls = 0
    node.fault = () => (++calls > 2 ? 'stall' : undefined)
  },
  empty: (node) => node.objects.clear(),
  'giving garbage': (node, pristine) => {
    for (const [key, bytes] of pristine) node.objects.set(key, new Uint8Array(randomBytes(bytes.length)))
  },
  'giving half of it': (node, pristine) => {
    for (const [key, bytes] of pristine) node.objects.set(key, bytes.slice(0, bytes.length >> 1))
  },
  'giving what is of another recording': (node, pristine, other) => {
    const others = [...other]
    for (const [key, bytes] of pristine) {
      const same = others.find(([name, found]) => name.startsWith(key.slice(0, 2)) && found.length === bytes.length)
      if (same) node.objects.set(key, same[1].slice())
    }
  },
}
/** Beyond n − k these would only end after the deadline of half a minute (see test/unit/retrieve/gather.test.ts). */
const endless: ReadonlySet<string> = new Set(['slow', 'stalled', 'stalled from the third call on'])

describe.each<Scheme>([
  { k: 2, n: 3, t: 1 },
  { k: 2, n: 4, t: 1 },
  { k: 3, n: 5, t: 1 },
])('reading ($k, $n, $t)', (scheme) => {
  const { k, n } = scheme
  let vault: TestVault
  let nodes: MemoryStore[]
  let recording: string
  /** Of the recording alone, and of the other one. */
  let pristine: Objects[]
  let others: Objects[]

  beforeAll(async () => {
    nodes = Array.from({ length: n }, (_, i) => new MemoryStore({ label: `memory-${i + 1}` }))
    vault = await makeTestVault({ memory: nodes, scheme, threads: 0 })
    const store = async (name: string, bytes: Uint8Array): Promise<{ recording: string; objects: Objects[] }> => {
      const before = nodes.map(({ objects }) => new Set(objects.keys()))
      const path = join(vault.folder, name)
      writeFileSync(path, bytes)
      const deposited = await vault.deposit(path, await describeFile(path))
      await vault.runDue()
      const added = nodes.map(({ objects }, i) => new Map([...objects].filter(([key]) => !before[i]!.has(key))))
      return { recording: deposited, objects: added }
    }
    others = (await store('other.mp4', randomBytes(content.length))).objects
    const stored = await store('meeting.mp4', content)
    recording = stored.recording
    pristine = stored.objects
  })
  afterAll(() => vault.close())

  function heal(): void {
    for (const [i, node] of nodes.entries()) {
      node.fault = undefined
      for (const [key, bytes] of [...pristine[i]!, ...others[i]!]) node.objects.set(key, bytes.slice())
    }
  }

  /** Everything anew: the manifest is opened from the nodes too. */
  async function read(): Promise<Buffer> {
    const { manifest, asset } = await createVaultReader(vault).open(vault.organisation, recording, 'play', never)
    const chunks: Uint8Array[] = []
    for await (const chunk of asset(manifest.assets[0]!.id).read(0, content.length, never)) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  async function failure(): Promise<MosaikError> {
    const error: unknown = await read().catch((reason: unknown) => reason)
    if (!isMosaikError(error)) throw new Error('bytes came, or an error that says nothing', { cause: error })
    return error
  }

  it.each(Object.keys(faults))(`goes on with any n − k nodes %s`, { timeout: 60_000 }, async (kind) => {
    for (const bad of choose(range(n), n - k)) {
      // Of the marker nothing is asked any more; it stays.
      const markers = nodes.map(({ objects }) => objects.get('mosaik-node')!)
      for (const i of bad) faults[kind]!(nodes[i]!, pristine[i]!, others[i]!)
      nodes.forEach(({ objects }, i) => objects.set('mosaik-node', markers[i]!))
      expect({ bad, isRight: (await read()).equals(content) }).toEqual({ bad, isRight: true })
      heal()
    }
  })

  it.each(Object.keys(faults).filter((kind) => !endless.has(kind)))(
    'says which nodes are missing when one more is %s, gives no byte, and goes on when they are back',
    { timeout: 60_000 },
    async (kind) => {
      for (const bad of choose(range(n), n - k + 1)) {
        const markers = nodes.map(({ objects }) => objects.get('mosaik-node')!)
        for (const i of bad) faults[kind]!(nodes[i]!, pristine[i]!, others[i]!)
        nodes.forEach(({ objects }, i) => objects.set('mosaik-node', markers[i]!))
        const error = await failure()
        expect(error.code).toBe('E_SHARES_TOO_FEW')
        for (const i of bad) expect(error.message).toContain(`memory-${i + 1}: `)
        const isAbsent = kind === 'empty'
        expect(error.message.includes('E_OBJECT_ABSENT')).toBe(isAbsent)
        heal()
        expect((await read()).equals(content)).toBe(true)
      }
    },
  )
})
