import { beforeEach, describe, expect, test } from 'vitest'
import type { Catalog } from '../../../src/ports/catalog.ts'
import type { Finding } from '../../../src/ports/catalog/upkeep.ts'
import {
  aFragment,
  aManifestShare,
  anAttempt,
  aRecording,
  day,
  newId,
  nodeIn,
  organisationIn,
  outcome,
  storing,
  type CatalogUnderTest,
} from './fixtures.ts'

export function upkeepSuite(underTest: () => CatalogUnderTest): void {
  describe('upkeep', () => {
    let catalog: Catalog
    beforeEach(() => {
      catalog = underTest().catalog
    })

    const aFinding = (change: Partial<Finding> = {}): Finding => ({
      kind: 'missing',
      group: 'fragment/a/0/s',
      organisation: newId(),
      recording: newId(),
      node: newId(),
      object: `f/${newId()}`,
      index: 1,
      slack: 1,
      fields: { segment: 3 },
      ...change,
    })

    test('a survey gives every recording once, with all that is known of it and without deleted objects', async () => {
      const organisation = await organisationIn(catalog)
      const node = await nodeIn(catalog)
      const made: string[] = []
      for (let i = 0; i < 5; i++) {
        const { recording, fence } = await storing(catalog, { organisation })
        const attempt = anAttempt(organisation, recording)
        await catalog.layout.addAttempt(attempt, fence)
        const fragment = aFragment(attempt, node.id, newId(), i)
        const gone = aFragment(attempt, node.id, newId(), i)
        const share = aManifestShare({ organisation, recording }, 1, node.id, newId(), i)
        await catalog.layout.addObjects([fragment, gone, share])
        await catalog.layout.setObjectState(node.id, gone.key, 'deleted')
        made.push(recording)
      }
      const seen: string[] = []
      let after: string | undefined
      for (
        let page = await catalog.upkeep.survey(undefined, 2);
        page.length > 0;
        page = await catalog.upkeep.survey(after, 2)
      ) {
        expect(page.length).toBeLessThanOrEqual(2)
        for (const one of page) {
          seen.push(one.recording.id)
          expect(one.attempts).toHaveLength(1)
          expect(one.objects.map(({ role }) => role.kind).toSorted()).toEqual(['fragment', 'manifest'])
          expect(one.hasRunningWork).toBe(true)
          expect(one.receipt).toBeUndefined()
        }
        after = page.at(-1)?.recording.id
      }
      expect(seen).toEqual(made.toSorted())
      expect((await catalog.upkeep.surveyed(made[0]!))?.recording.id).toBe(made[0])
      expect(await catalog.upkeep.surveyed(newId())).toBeUndefined()
    })

    test("a node's objects are walked by prefix, each once, in every state", async () => {
      const { organisation, recording, fence } = await storing(catalog)
      const [node, other] = [await nodeIn(catalog), await nodeIn(catalog)]
      const attempt = anAttempt(organisation, recording)
      await catalog.layout.addAttempt(attempt, fence)
      const fragments = Array.from({ length: 7 }, (_, i) => aFragment(attempt, node.id, newId(), i % 5))
      const shares = [aManifestShare({ organisation, recording }, 1, node.id, newId(), 0)]
      await catalog.layout.addObjects([...fragments, ...shares, aFragment(attempt, other.id, newId(), 1)])
      await catalog.layout.setObjectState(node.id, fragments[0]!.key, 'deleted')
      const keys: string[] = []
      for (let after: string | undefined; ; after = keys.at(-1)) {
        const page = await catalog.upkeep.objectsOn(node.id, 'f/', after, 3)
        keys.push(...page.map(({ key }) => key))
        if (page.length < 3) break
      }
      expect(keys.toSorted()).toEqual(fragments.map(({ key }) => key).toSorted())
      expect(await catalog.upkeep.object(node.id, fragments[0]!.key)).toMatchObject({ state: 'deleted' })
      expect(await catalog.upkeep.object(node.id, `f/${newId()}`)).toBeUndefined()
    })

    test('a finding stands once, keeps its first time, and is a new one when it comes back', async () => {
      const finding = aFinding()
      await catalog.upkeep.report([finding], day)
      await catalog.upkeep.postpone(finding.group, day + 50)
      await catalog.upkeep.report([{ ...finding, slack: 0 }], day + 10)
      expect(await catalog.upkeep.findingsOf(finding.group)).toEqual([
        { ...finding, slack: 0, foundAtMs: day, triesCount: 1 },
      ])
      expect(await catalog.upkeep.repairQueue(day + 49, 10)).toEqual([])
      expect(await catalog.upkeep.repairQueue(day + 50, 10)).toHaveLength(1)
      await catalog.upkeep.resolve(finding.group, day + 60)
      expect(await catalog.upkeep.findingsOf(finding.group)).toEqual([])
      expect(await catalog.upkeep.backlog()).toEqual([])
      await catalog.upkeep.report([finding], day + 70)
      expect(await catalog.upkeep.findingsOf(finding.group)).toEqual([
        { ...finding, foundAtMs: day + 70, triesCount: 0 },
      ])
    })

    test('an index of a group is resolved alone', async () => {
      const findings = [aFinding(), aFinding({ index: 2 }), aFinding({ kind: 'unwritten', node: null, object: null })]
      await catalog.upkeep.report(findings, day)
      await catalog.upkeep.resolve('fragment/a/0/s', day, 1)
      expect((await catalog.upkeep.findingsOf('fragment/a/0/s')).map(({ index }) => index)).toEqual([2])
    })

    test('the repair queue has violations first, then what has the least to lose', async () => {
      await catalog.upkeep.report(
        [
          aFinding({ group: 'a', slack: 1 }),
          aFinding({ group: 'b', slack: 0 }),
          aFinding({ group: 'b', slack: 1, kind: 'flipped' }),
          aFinding({ group: 'c', slack: 2, kind: 'violation' }),
          aFinding({ group: 'd', slack: -1 }),
        ],
        day,
      )
      expect((await catalog.upkeep.repairQueue(day, 10)).map(({ group }) => group)).toEqual(['c', 'd', 'b', 'a'])
      expect(await catalog.upkeep.repairQueue(day, 2)).toHaveLength(2)
      expect(await catalog.upkeep.backlog()).toEqual([
        { kind: 'flipped', count: 1, oldestAtMs: day },
        { kind: 'missing', count: 3, oldestAtMs: day },
        { kind: 'violation', count: 1, oldestAtMs: day },
      ])
    })

    test('a task belongs to one process at a time and goes on where it was', async () => {
      const first = await catalog.upkeep.claimTask('scrub', day, 1000)
      expect(first).toEqual({ name: 'scrub', progress: {}, fence: 1 })
      expect(await catalog.upkeep.claimTask('scrub', day + 999, 1000)).toBeUndefined()
      await catalog.upkeep.noteTask(first!, day + 500, 1000, { after: 'x', bytes: 5, isFull: true, none: null })
      expect(await catalog.upkeep.claimTask('scrub', day + 1499, 1000)).toBeUndefined()
      const second = await (await underTest().another()).upkeep.claimTask('scrub', day + 1500, 1000)
      expect(second).toEqual({
        name: 'scrub',
        progress: { after: 'x', bytes: 5, isFull: true, none: null },
        fence: 2,
      })
      expect(await outcome(catalog.upkeep.noteTask(first!, day + 1501, 1000, {}))).toBe('E_LEASE_LOST')
      await catalog.upkeep.noteTask(second!, day + 1502, 0, { after: 'y' })
      expect(await catalog.upkeep.task('scrub')).toMatchObject({ progress: { after: 'y' } })
      expect(await catalog.upkeep.claimTask('scrub', day + 1502, 1000)).toMatchObject({ fence: 3 })
      expect(await catalog.upkeep.task('never')).toBeUndefined()
    })

    test('a flag stays until it is taken back', async () => {
      expect(await catalog.upkeep.isFlagged('deletions-frozen')).toBe(false)
      await catalog.upkeep.setFlag('deletions-frozen', true, day)
      await catalog.upkeep.setFlag('deletions-frozen', true, day + 1)
      expect(await catalog.upkeep.isFlagged('deletions-frozen')).toBe(true)
      await catalog.upkeep.setFlag('deletions-frozen', false, day)
      expect(await catalog.upkeep.isFlagged('deletions-frozen')).toBe(false)
    })

    test('a node is settled elsewhere', async () => {
      const node = await nodeIn(catalog)
      const place = { settings: { path: '/b' }, capabilities: { a: 1 }, wrappedSecret: null }
      await catalog.upkeep.settleNode(node.id, place)
      expect(await catalog.installation.node(node.id)).toEqual({ ...node, ...place })
      expect(await outcome(catalog.upkeep.settleNode(newId(), place))).toBe('E_NODE_UNKNOWN')
    })

    test('a recording is restored whole, once', async () => {
      const organisation = await organisationIn(catalog)
      const node = await nodeIn(catalog)
      const { id, title, hostId, sourceKind, scheme } = aRecording(organisation, { title: 'Weekly meeting' })
      const attempt = anAttempt(organisation, id, { state: 'stored', sealedBytes: 1000 })
      const fragment = { ...aFragment(attempt, node.id, newId(), 2), state: 'stored' as const, sizeBytes: 900 }
      const found = {
        recording: {
          ...{ id, organisation, title, hostId, sourceKind, scheme },
          state: 'ready' as const,
          externalId: 'x-1',
          startedAtMs: null,
          createdAtMs: day,
          updatedAtMs: day,
          storedAtMs: day,
          contentBytes: 900,
          durationMs: null,
          generation: 3,
          reason: null,
        },
        attempts: [attempt],
        generations: [
          {
            recording: id,
            generation: 3,
            state: 'stored' as const,
            sharing: newId(),
            sealedSha256: new Uint8Array(32),
            epoch: 2,
          },
        ],
        objects: [fragment],
      }
      expect(await catalog.upkeep.restore(found)).toBe('added')
      expect(await catalog.upkeep.restore(found)).toBe('known')
      expect(await catalog.recordings.get(id, organisation)).toEqual(found.recording)
      expect(await catalog.layout.fragments(attempt.id)).toEqual([fragment])
      expect(await catalog.layout.generation(id, 3)).toEqual(found.generations[0])
      expect(await catalog.recordings.list({ organisation, limit: 5, search: 'weekly' })).toHaveLength(1)
      await catalog.upkeep.restoreObjects([fragment])
      expect(await catalog.upkeep.objectsOn(node.id, '', undefined, 10)).toHaveLength(1)

      // A later generation takes its place; what it does not name is the collector's, and its work is over.
      await catalog.work.add({ id: newId(), recording: id, stage: 'store', input: { kind: 'vault' }, runAtMs: day })
      const next = anAttempt(organisation, id, { state: 'stored', sealedBytes: 2000 })
      const later = {
        recording: { ...found.recording, generation: 4, title: 'Renamed' },
        attempts: [next],
        generations: [{ ...found.generations[0]!, generation: 4 }],
        objects: [{ ...aFragment(next, node.id, newId(), 1), state: 'stored' as const, sizeBytes: 900 }],
      }
      expect(await catalog.upkeep.restore(later)).toBe('newer')
      expect(await catalog.upkeep.restore(found)).toBe('known')
      expect(await catalog.recordings.get(id, organisation)).toMatchObject({ generation: 4, title: 'Renamed' })
      for (const [search, count] of [
        ['renamed', 1],
        ['weekly', 0],
      ] as const) {
        expect(await catalog.recordings.list({ organisation, limit: 5, search })).toHaveLength(count)
      }
      expect(await catalog.layout.fragments(attempt.id)).toEqual([])
      expect((await catalog.layout.collectable(9e15, 10)).map(({ key }) => key)).toEqual([fragment.key])
      expect((await catalog.work.ofRecording(id)).map(({ state }) => state)).toEqual(['done'])

      await catalog.upkeep.forget(id, { code: 'E_RECORDING_UNKNOWN', message: 'erased' })
      expect(await catalog.recordings.get(id, organisation)).toMatchObject({ state: 'failed', generation: 0 })
      expect(await catalog.layout.collectable(9e15, 10)).toHaveLength(2)
    })

    test('findings with a violation come first, then those with the least to lose, however many there are', async () => {
      const organisation = await organisationIn(catalog)
      const finding = { organisation, recording: null, node: null, object: null, index: 0, fields: {} }
      const many = Array.from({ length: 300 }, (_, i) => ({
        ...{ ...finding, kind: 'missing' as const, group: `g-${i}`, slack: -1 },
      }))
      await catalog.upkeep.report(many, day)
      await catalog.upkeep.report([{ ...finding, kind: 'violation', group: 'v', slack: 2 }], day + 1)
      await catalog.upkeep.report([{ ...finding, kind: 'missing', group: 'worst', slack: -2 }], day + 2)
      const first = await catalog.upkeep.repairQueue(day + 3, 3)
      expect(first.map(({ group }) => group).slice(0, 2)).toEqual(['v', 'worst'])
      await catalog.upkeep.report([{ ...finding, kind: 'forged', group: 'v', slack: 2 }], day + 1)
      await catalog.upkeep.resolve('v', day + 4, 0, 'violation')
      expect((await catalog.upkeep.findingsOf('v')).map(({ kind }) => kind)).toEqual(['forged'])
    })

    test('what a state says is kept, and who held shares once is told again', async () => {
      const organisation = await organisationIn(catalog)
      const entries = {
        policies: [{ id: newId(), name: 'a', mode: 'none', retainMs: null, deleteAfterMs: 5 }],
        holds: [{ id: newId(), recording: newId(), name: 'h', placedBy: 'o', placedAtMs: 1 }],
        tombstones: [{ recording: newId(), decidedAtMs: 3, reason: 'r' }],
      }
      expect(await catalog.installation.stateEntries(organisation)).toEqual({ policies: [], holds: [], tombstones: [] })
      for (let i = 0; i < 2; i++) await catalog.installation.keepStateEntries(organisation, entries)
      expect(await catalog.installation.stateEntries(organisation)).toEqual(entries)
      const sharing = newId()
      const exposure = { sharing, index: 3, node: newId(), operator: 'a', parent: 'b', site: 'c' }
      for (let i = 0; i < 2; i++) await catalog.layout.keepExposures(organisation, [exposure])
      const { sharing: _, ...told } = exposure
      expect(await catalog.layout.exposures(sharing)).toEqual([told])
      // Of a sharing of which nothing is left nothing need be known.
      expect(await catalog.layout.pastExposures(organisation, 10)).toEqual([])
    })
  })
}
