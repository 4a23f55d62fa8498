import { describe, expect, test } from 'vitest'
import type { Id } from '../../../src/domain/ids.ts'
import type { AttemptRow, NewObject } from '../../../src/ports/catalog/layout.ts'
import type { Fence } from '../../../src/ports/catalog/recordings.ts'
import {
  aFragment,
  aManifestShare,
  anAttempt,
  day,
  newId,
  nodeIn,
  organisationIn,
  outcome,
  someBytes,
  storing,
  type CatalogUnderTest,
} from './fixtures.ts'
import { generationSuite } from './generations.ts'

/** A claimed recording with one attempt and a stored fragment of it on each of three nodes. */
export async function written(underTest: CatalogUnderTest): Promise<{
  organisation: Id
  recording: Id
  work: Id
  fence: Fence
  attempt: AttemptRow
  sharing: Id
  nodes: Id[]
  fragments: NewObject[]
}> {
  const { catalog } = underTest
  const begun = await storing(catalog)
  const nodes: Id[] = []
  for (let i = 0; i < 3; i++) nodes.push((await nodeIn(catalog)).id)
  const attempt = anAttempt(begun.organisation, begun.recording)
  await catalog.layout.addAttempt(attempt, begun.fence)
  const sharing = newId()
  const fragments = nodes.map((node, index) => aFragment(attempt, node, sharing, index))
  await catalog.layout.addObjects(fragments, begun.fence)
  for (const { node, key } of fragments) await catalog.layout.setObjectState(node, key, 'stored', 1000)
  return { ...begun, attempt, sharing, nodes, fragments }
}

export function layoutSuite(underTest: () => CatalogUnderTest): void {
  generationSuite(underTest)

  describe('attempts and objects', () => {
    test('an attempt is kept as it was given; without the lease it is not', async () => {
      const { catalog } = underTest()
      const { organisation, recording, work, fence } = await storing(catalog)
      const attempt = anAttempt(organisation, recording, { kind: 'captions' })
      await catalog.layout.addAttempt(attempt, fence)
      expect(await catalog.layout.attempt(attempt.id)).toEqual(attempt)
      expect(await catalog.layout.attempt(newId())).toBeUndefined()
      await catalog.work.claim(work, day + 60_000, 1000)
      const late = anAttempt(organisation, recording)
      expect(await outcome(catalog.layout.addAttempt(late, fence))).toBe('E_LEASE_LOST')
      expect(await catalog.layout.attempt(late.id)).toBeUndefined()
    })

    test('rows of objects are there as `intent` before any PUT, and can be added again', async () => {
      const { catalog, query } = underTest()
      const { organisation, recording, fence } = await storing(catalog)
      const attempt = anAttempt(organisation, recording)
      await catalog.layout.addAttempt(attempt, fence)
      const node = await nodeIn(catalog)
      const objects = Array.from({ length: 1200 }, (_, i) => aFragment(attempt, node.id, newId(), i % 5))
      await catalog.layout.addObjects(objects, fence)
      await catalog.layout.addObjects(objects, fence)
      const [counted] = await query(`select count(*) as n from objects where state = 'intent'`)
      expect(Number(counted?.['n'])).toBe(1200)
      expect(await catalog.layout.fragments(attempt.id)).toEqual([])
      await catalog.layout.addObjects([])
    })

    test('objects without the lease, on an unknown node, or under a name that is past writing are refused whole', async () => {
      const { catalog } = underTest()
      const { attempt, nodes, sharing, fragments, fence, work } = await written(underTest())
      const [node = ''] = nodes
      const fresh = aFragment(attempt, node, sharing, 0)
      expect(await outcome(catalog.layout.addObjects([fresh, { ...fresh, node: newId() }], fence))).toBe(
        'E_NODE_UNKNOWN',
      )
      expect(await outcome(catalog.layout.addObjects([fresh, ...fragments], fence))).toBe('E_CONFLICT')
      await catalog.work.claim(work, day + 60_000, 1000)
      expect(await outcome(catalog.layout.addObjects([fresh], fence))).toBe('E_LEASE_LOST')
      expect(await outcome(catalog.layout.setObjectState(node, fresh.key, 'stored'))).toBe('E_CONFLICT')
      expect(await catalog.layout.fragments(attempt.id)).toHaveLength(3)
    })

    test('fragments: the stored ones, every sharing, by extent and index', async () => {
      const { catalog } = underTest()
      const { attempt, nodes, sharing, fragments, fence } = await written(underTest())
      const [a = '', b = ''] = nodes
      const later = aFragment(attempt, a, sharing, 1, { role: { kind: 'fragment', attempt: attempt.id, extent: 1 } })
      const reshared = aFragment(attempt, b, newId(), 0)
      const pending = aFragment(attempt, b, newId(), 4)
      await catalog.layout.addObjects([later, reshared, pending], fence)
      await catalog.layout.setObjectState(a, later.key, 'stored', 2 ** 40)
      await catalog.layout.setObjectState(b, reshared.key, 'stored', 7)
      const found = await catalog.layout.fragments(attempt.id)
      expect(found.map((row) => [row.role.kind === 'fragment' && row.role.extent, row.index])).toEqual([
        [0, 0],
        [0, 0],
        [0, 1],
        [0, 2],
        [1, 1],
      ])
      expect(found[4]).toEqual({ ...later, state: 'stored', sizeBytes: 2 ** 40 })
      expect(found.some((row) => row.key === fragments[1]?.key)).toBe(true)
    })

    test('an object that was given up never comes back as stored', async () => {
      const { catalog } = underTest()
      const { attempt, fragments } = await written(underTest())
      const [{ node, key } = { node: '', key: '' }, second] = fragments
      await catalog.layout.setObjectState(node, key, 'failed')
      expect(await outcome(catalog.layout.setObjectState(node, key, 'stored', 1000))).toBe('E_CONFLICT')
      await catalog.layout.setObjectState(node, key, 'deleted')
      await catalog.layout.setObjectState(node, key, 'deleted')
      for (const state of ['intent', 'stored', 'failed', 'superseded'] as const) {
        expect(await outcome(catalog.layout.setObjectState(node, key, state)), state).toBe('E_CONFLICT')
      }
      await catalog.layout.setObjectState(second?.node ?? '', second?.key ?? '', 'stored', 1000)
      expect(await catalog.layout.fragments(attempt.id)).toHaveLength(2)
    })

    test('failWriting gives up what is being written, under the lease, and touches nothing that is stored', async () => {
      const { catalog, clock } = underTest()
      const { organisation, recording, attempt, fragments, fence, work, nodes } = await written(underTest())
      const stored = anAttempt(organisation, recording)
      await catalog.layout.addAttempt(stored, fence)
      const kept = aFragment(stored, nodes[0] ?? '', newId(), 0)
      await catalog.layout.addObjects([kept], fence)
      await catalog.layout.setObjectState(kept.node, kept.key, 'stored', 5)
      const generation = await catalog.layout.reserveGeneration(recording, 0, fence)
      await catalog.layout.commitGeneration(
        {
          recording,
          generation,
          sharing: newId(),
          sealedSha256: someBytes(),
          epoch: 1,
          attempts: [{ id: stored.id, sealedBytes: 5 }],
          supersede: [],
          atMs: day,
        },
        fence,
      )
      expect(await outcome(catalog.layout.failWriting(recording, { work, fence: 99 }))).toBe('E_LEASE_LOST')
      clock.set(day + 10)
      await catalog.layout.failWriting(recording, fence)
      expect((await catalog.layout.attempt(attempt.id))?.state).toBe('failed')
      expect((await catalog.layout.attempt(stored.id))?.state).toBe('stored')
      expect(await catalog.layout.fragments(stored.id)).toHaveLength(1)
      const collectable = await catalog.layout.collectable(day + 11, 10)
      expect(collectable.map((row) => row.key).sort()).toEqual(fragments.map((row) => row.key).sort())
    })

    test('a share that repair made stands only under the lease of its task', async () => {
      const { catalog } = underTest()
      const { attempt, sharing, fence, nodes } = await written(underTest())
      const made = aFragment(attempt, nodes[0] ?? '', sharing, 3)
      await catalog.layout.addObjects([made], fence)
      const share = { node: made.node, key: made.key, sizeBytes: 7 }
      const lost = (await catalog.upkeep.claimTask('repair', day, 1))!
      const held = (await catalog.upkeep.claimTask('repair', day + 1, 1))!
      expect(await outcome(catalog.layout.commitShare(share, lost))).toBe('E_LEASE_LOST')
      await catalog.layout.commitShare(share, held)
      const rows = await catalog.layout.fragments(attempt.id)
      expect(rows.find(({ key }) => key === made.key)).toMatchObject({ state: 'stored', sizeBytes: 7 })
      await catalog.layout.setObjectState(made.node, made.key, 'failed')
      expect(await outcome(catalog.layout.commitShare(share, held))).toBe('E_CONFLICT')
    })

    test("the catalog's clock is the database server's, or the one that was handed in", async () => {
      const { catalog, clock } = underTest()
      clock.set(day)
      const nowMs = await catalog.layout.nowMs()
      if (nowMs !== day) expect(Math.abs(nowMs - Date.now())).toBeLessThan(3_600_000)
    })

    test('collectable: only failed and superseded ones, unchanged since, oldest first; never a stored one', async () => {
      const { catalog, clock } = underTest()
      const { fragments, attempt, fence, sharing, nodes } = await written(underTest())
      const [a, b, c] = fragments as [NewObject, NewObject, NewObject]
      const intent = aFragment(attempt, nodes[0] ?? '', sharing, 3)
      await catalog.layout.addObjects([intent], fence)
      clock.set(day + 200)
      await catalog.layout.setObjectState(a.node, a.key, 'superseded')
      clock.set(day + 100)
      await catalog.layout.setObjectState(b.node, b.key, 'failed')
      const keys = async (beforeMs: number, limit = 10): Promise<string[]> =>
        (await catalog.layout.collectable(beforeMs, limit)).map((row) => row.key)
      expect(await keys(day + 100)).toEqual([])
      expect(await keys(day + 101)).toEqual([b.key])
      expect(await keys(day + 1e9)).toEqual([b.key, a.key])
      expect(await keys(day + 1e9, 1)).toEqual([b.key])
      clock.set(day + 500)
      await catalog.layout.setObjectState(b.node, b.key, 'failed')
      expect(await keys(day + 101)).toEqual([b.key])
      await catalog.layout.setObjectState(b.node, b.key, 'deleted')
      expect(await keys(day + 1e9)).toEqual([a.key])
      expect(await keys(day + 1e9)).not.toContain(c.key)
    })

    test('stale intents fail only when they are old and nobody works on their recording', async () => {
      const { catalog, clock } = underTest()
      const { attempt, fence, nodes, sharing, organisation } = await written(underTest())
      const [node = ''] = nodes
      const old = aFragment(attempt, node, sharing, 3)
      const young = aFragment(attempt, node, sharing, 4, { createdAtMs: day + 500 })
      const state: NewObject = {
        ...aManifestShare({ organisation, recording: '' }, 1, node, newId(), 0),
        key: `s/${newId()}`,
        recording: null,
        role: { kind: 'state', generation: 1 },
      }
      const card: NewObject = { ...state, key: `card/${newId()}${newId()}`, role: { kind: 'card' }, sharing: null }
      await catalog.layout.addObjects([old, young], fence)
      await catalog.layout.addObjects([state, card])
      expect(await catalog.layout.failStaleIntents(day)).toBe(0)
      clock.set(day + 100)
      expect(await catalog.layout.failStaleIntents(day + 1)).toBe(1)
      expect((await catalog.layout.collectable(day + 101, 10)).map((row) => row.key)).toEqual([state.key])
      await catalog.work.fail(fence, day + 1, { code: 'E_ABORTED', message: 'x' }, day + 1000)
      expect(await catalog.layout.failStaleIntents(day + 1)).toBe(1)
      expect(await outcome(catalog.layout.setObjectState(node, old.key, 'stored', 1))).toBe('E_CONFLICT')
      await catalog.layout.setObjectState(node, young.key, 'stored', 1)
      await catalog.layout.setObjectState(node, card.key, 'stored', 1)
    })

    test('exposures: every owner that ever held a share, through deletion, removal and a change of hands', async () => {
      const { catalog } = underTest()
      const { attempt, sharing, fragments, fence, nodes } = await written(underTest())
      const [a, b, c] = fragments as [NewObject, NewObject, NewObject]
      const extent = aFragment(attempt, a.node, sharing, 0, {
        role: { kind: 'fragment', attempt: attempt.id, extent: 1 },
      })
      await catalog.layout.addObjects([extent], fence)
      expect(await catalog.layout.exposures(sharing)).toHaveLength(3)

      await catalog.layout.setObjectState(b.node, b.key, 'superseded')
      await catalog.layout.setObjectState(b.node, b.key, 'deleted')
      await catalog.installation.setNodeState(b.node, 'removed')
      const sold = { country: 'US', operator: 'Bigger', parent: 'Biggest', site: 'Far' }
      for (const node of nodes) await catalog.installation.setNodeOwnership(node, sold)
      const exposures = await catalog.layout.exposures(sharing)
      const owners = (node: string): string[] =>
        exposures.filter((row) => row.node === node).map((row) => `${row.index} ${row.parent}`)
      // What was deleted before the sale was never in the buyer's hands; what lies there still is.
      expect(owners(b.node)).toEqual([`1 parent ${b.node.slice(0, 4)}`])
      expect(owners(a.node).sort()).toEqual(['0 Biggest', `0 parent ${a.node.slice(0, 4)}`])
      expect(owners(c.node).sort()).toEqual(['2 Biggest', `2 parent ${c.node.slice(0, 4)}`])
      expect(exposures.find((row) => row.parent === 'Biggest')).toMatchObject({ operator: 'Bigger', site: 'Far' })
      expect(await catalog.layout.exposures(newId())).toEqual([])
    })

    test('node usage counts what lies there, nodes without anything too', async () => {
      const { catalog } = underTest()
      const { fragments, nodes, fence, attempt } = await written(underTest())
      const empty = await nodeIn(catalog, { addedAtMs: day + 1 })
      const [a, b] = fragments as [NewObject, NewObject]
      const large = aFragment(attempt, a.node, newId(), 0)
      await catalog.layout.addObjects([large, aFragment(attempt, a.node, newId(), 0)], fence)
      await catalog.layout.setObjectState(a.node, large.key, 'stored', 2 ** 45)
      await catalog.layout.setObjectState(b.node, b.key, 'deleted')
      const usage = new Map((await catalog.layout.nodeUsage()).map((row) => [row.node, row]))
      expect(usage.get(a.node)).toEqual({ node: a.node, objectsCount: 2, bytes: 2 ** 45 + 1000 })
      expect(usage.get(b.node)).toEqual({ node: b.node, objectsCount: 0, bytes: 0 })
      expect(usage.get(nodes[2] ?? '')).toMatchObject({ objectsCount: 1, bytes: 1000 })
      expect(usage.get(empty.id)).toMatchObject({ objectsCount: 0, bytes: 0 })
    })

    test('state and cards of an organisation; a card can be written again after it was deleted', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const node = (await nodeIn(catalog)).id
      const card: NewObject = {
        node,
        key: `card/${newId()}${newId()}`,
        organisation,
        recording: null,
        role: { kind: 'card' },
        sharing: null,
        index: 0,
        createdAtMs: day,
      }
      const state: NewObject = {
        ...card,
        key: `s/${newId()}`,
        role: { kind: 'state', generation: 7 },
        sharing: newId(),
        index: 2,
      }
      await catalog.layout.addObjects([card, state])
      expect(await catalog.layout.organisationObjects(organisation, 'card')).toEqual([])
      await catalog.layout.setObjectState(node, card.key, 'stored', 9)
      await catalog.layout.setObjectState(node, state.key, 'stored', 8)
      expect(await catalog.layout.organisationObjects(organisation, 'card')).toEqual([
        { ...card, state: 'stored', sizeBytes: 9 },
      ])
      expect(await catalog.layout.organisationObjects(organisation, 'state')).toEqual([
        { ...state, state: 'stored', sizeBytes: 8 },
      ])
      expect(await catalog.layout.organisationObjects(newId(), 'card')).toEqual([])
      await catalog.layout.addObjects([card])
      expect(await catalog.layout.organisationObjects(organisation, 'card')).toHaveLength(1)
      await catalog.layout.setObjectState(node, card.key, 'deleted')
      await catalog.layout.addObjects([card])
      await catalog.layout.setObjectState(node, card.key, 'stored', 9)
      expect(await catalog.layout.organisationObjects(organisation, 'card')).toHaveLength(1)
    })
  })
}
