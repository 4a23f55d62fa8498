import { describe, expect, test } from 'vitest'
import type { Id } from '../../../src/domain/ids.ts'
import {
  aFragment,
  aManifestShare,
  anAttempt,
  day,
  newId,
  nodeIn,
  outcome,
  someBytes,
  storing,
  type CatalogUnderTest,
} from './fixtures.ts'

export function generationSuite(underTest: () => CatalogUnderTest): void {
  describe('generations of a manifest', () => {
    test('numbers rise by one; a number is never given twice, whatever becomes of it', async () => {
      const { catalog } = underTest()
      const { recording, fence } = await storing(catalog)
      expect(await catalog.layout.reserveGeneration(recording, 0, fence)).toBe(1)
      expect(await catalog.layout.reserveGeneration(recording, 0, fence)).toBe(2)
      expect((await catalog.layout.generation(recording, 1))?.state).toBe('abandoned')
      expect(await catalog.layout.generation(recording, 2)).toEqual({
        recording,
        generation: 2,
        state: 'reserved',
        sharing: null,
        sealedSha256: null,
        epoch: 0,
      })
      expect(await catalog.layout.generation(recording, 3)).toBeUndefined()
      expect(await outcome(catalog.layout.reserveGeneration(recording, 1, fence))).toBe('E_CONFLICT')
      expect(await outcome(catalog.layout.reserveGeneration(newId(), 0, fence))).toBe('E_RECORDING_UNKNOWN')
      const lost = { ...fence, fence: 9 }
      expect(await outcome(catalog.layout.reserveGeneration(recording, 0, lost))).toBe('E_LEASE_LOST')
    })

    test('many reservations at once, by two pieces of work in two processes, get different numbers', async () => {
      const { catalog, another } = underTest()
      const other = await another()
      const { recording, fence } = await storing(catalog)
      const second = await catalog.work.add({
        id: newId(),
        recording,
        stage: 'transcode',
        input: { kind: 'vault' },
        runAtMs: day,
      })
      const claimed = await catalog.work.claim(second.id, day, 60_000)
      const otherFence = { work: second.id, fence: claimed?.fence ?? 0 }
      const numbers = await Promise.all(
        Array.from({ length: 40 }, (_, i) =>
          i % 2 === 0
            ? catalog.layout.reserveGeneration(recording, 0, fence)
            : other.layout.reserveGeneration(recording, 0, otherFence),
        ),
      )
      expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1))
    })

    test('a commit does all of its parts', async () => {
      const { catalog } = underTest()
      const { recording, organisation, fence } = await storing(catalog)
      const node = (await nodeIn(catalog)).id
      const [first, second] = [anAttempt(organisation, recording), anAttempt(organisation, recording)]
      const one = await generationOf(underTest(), { recording, organisation, fence, node })
      await catalog.layout.addAttempt(first, fence)
      const fragment = aFragment(first, node, newId(), 0)
      await catalog.layout.addObjects([fragment], fence)
      await catalog.layout.setObjectState(node, fragment.key, 'stored', 10)
      const receipt = someBytes(300)
      await catalog.layout.commitGeneration(
        {
          ...one,
          attempts: [{ id: first.id, sealedBytes: 2 ** 44 }],
          supersede: [],
          receipt,
          change: { state: 'stored', storedAtMs: day + 3 },
          atMs: day + 4,
        },
        fence,
      )
      expect(await catalog.recordings.get(recording, undefined)).toMatchObject({
        generation: 1,
        state: 'stored',
        storedAtMs: day + 3,
        updatedAtMs: day + 4,
      })
      expect(await catalog.recordings.receipt(recording)).toEqual(receipt)
      expect(await catalog.layout.attempt(first.id)).toMatchObject({ state: 'stored', sealedBytes: 2 ** 44 })
      expect(await catalog.layout.generation(recording, 1)).toMatchObject({
        state: 'stored',
        sharing: one.sharing,
        sealedSha256: one.sealedSha256,
      })
      expect(await catalog.layout.manifestShares(recording, 1)).toHaveLength(1)

      await catalog.layout.addAttempt(second, fence)
      const two = await generationOf(underTest(), { recording, organisation, fence, node })
      await catalog.layout.commitGeneration(
        {
          ...two,
          attempts: [{ id: second.id, sealedBytes: 7 }],
          supersede: [first.id],
          receipt: someBytes(3),
          atMs: day + 9,
        },
        fence,
      )
      expect(await catalog.recordings.get(recording, undefined)).toMatchObject({ generation: 2, state: 'stored' })
      expect(await catalog.recordings.receipt(recording)).toEqual(receipt)
      expect((await catalog.layout.attempt(first.id))?.state).toBe('superseded')
      expect(await catalog.layout.fragments(first.id)).toEqual([])
      expect(await catalog.layout.manifestShares(recording, 1)).toEqual([])
      expect(await catalog.layout.manifestShares(recording, 2)).toHaveLength(1)
      const collectable = await catalog.layout.collectable(day + 10, 10)
      expect(collectable.map((row) => row.key).sort()).toEqual([fragment.key, one.key].sort())
      expect(await catalog.layout.collectable(day + 9, 10)).toEqual([])
    })

    test('a commit that fails in any part leaves everything as it was', async () => {
      const { catalog } = underTest()
      const { recording, organisation, work, fence } = await storing(catalog)
      const node = (await nodeIn(catalog)).id
      const attempt = anAttempt(organisation, recording)
      const given = anAttempt(organisation, recording)
      await catalog.layout.addAttempt(given, fence)
      await catalog.layout.failWriting(recording, fence)
      await catalog.layout.addAttempt(attempt, fence)
      const next = await generationOf(underTest(), { recording, organisation, fence, node })
      const commit = {
        ...next,
        attempts: [{ id: attempt.id, sealedBytes: 1 }],
        supersede: [],
        receipt: someBytes(9),
        atMs: day,
      }
      const before = await catalog.recordings.get(recording, undefined)
      const unchanged = async (): Promise<void> => {
        expect(await catalog.recordings.get(recording, undefined)).toEqual(before)
        expect((await catalog.layout.attempt(attempt.id))?.state).toBe('writing')
        expect((await catalog.layout.generation(recording, 1))?.state).toBe('reserved')
        expect(await catalog.recordings.receipt(recording)).toBeUndefined()
      }
      // A manifest must not name an attempt that was given up: its fragments are the collector's.
      const withGivenUp = { ...commit, attempts: [...commit.attempts, { id: given.id, sealedBytes: 1 }] }
      expect(await outcome(catalog.layout.commitGeneration(withGivenUp, fence))).toBe('E_CONFLICT')
      await unchanged()
      expect(await outcome(catalog.layout.commitGeneration({ ...commit, generation: 5 }, fence))).toBe('E_CONFLICT')
      await unchanged()
      await catalog.work.claim(work, day + 60_000, 1000)
      expect(await outcome(catalog.layout.commitGeneration(commit, fence))).toBe('E_LEASE_LOST')
      await unchanged()
    })

    test('a commit repeated is done once; a reservation that another one followed cannot be committed', async () => {
      const { catalog } = underTest()
      const { recording, organisation, fence } = await storing(catalog)
      const node = (await nodeIn(catalog)).id
      const overtaken = await generationOf(underTest(), { recording, organisation, fence, node })
      const next = await generationOf(underTest(), { recording, organisation, fence, node })
      const rest = { attempts: [], supersede: [], atMs: day }
      expect(await outcome(catalog.layout.commitGeneration({ ...overtaken, ...rest }, fence))).toBe('E_CONFLICT')
      await catalog.layout.commitGeneration({ ...next, ...rest }, fence)
      await catalog.layout.commitGeneration({ ...next, ...rest, atMs: day + 5 }, fence)
      expect(await catalog.recordings.get(recording, undefined)).toMatchObject({ generation: 2, updatedAtMs: day })
      const other = { ...next, ...rest, sealedSha256: someBytes() }
      expect(await outcome(catalog.layout.commitGeneration(other, fence))).toBe('E_CONFLICT')
      // The overtaken one's shares are not wanted any more, also the one that was still being written.
      expect((await catalog.layout.collectable(day + 1, 10)).map((row) => row.key)).toEqual([overtaken.key])
      expect(await catalog.layout.reserveGeneration(recording, 2, fence)).toBe(3)
    })

    test('without a lease a generation is written only while nobody works on the recording', async () => {
      const { catalog } = underTest()
      const { recording, organisation, work, fence } = await storing(catalog)
      const node = (await nodeIn(catalog)).id
      const rest = { attempts: [], supersede: [], atMs: day }
      expect(await outcome(catalog.layout.reserveGeneration(recording, 0, undefined))).toBe('E_CONFLICT')
      const one = await generationOf(underTest(), { recording, organisation, fence, node })
      await catalog.layout.commitGeneration({ ...one, ...rest }, fence)
      await catalog.work.finish(fence, day)
      const two = await generationOf(underTest(), { recording, organisation, fence: undefined, node })
      // Work that begins in between will write the manifest itself: it must not lose what it does to this.
      const next = await catalog.work.add({
        ...{ id: newId(), recording, stage: 'transcode', input: { kind: 'vault' }, runAtMs: day },
      })
      const claimed = await catalog.work.claim(next.id, day, 60_000)
      expect(await outcome(catalog.layout.commitGeneration({ ...two, ...rest }, undefined))).toBe('E_CONFLICT')
      await catalog.work.finish({ work: next.id, fence: claimed?.fence ?? 0 }, day)
      await catalog.layout.commitGeneration({ ...two, ...rest, epoch: 7 }, undefined)
      await catalog.layout.commitGeneration({ ...two, ...rest, epoch: 7 }, undefined)
      expect(await catalog.layout.generation(recording, 2)).toMatchObject({ state: 'stored', epoch: 7 })
      expect((await catalog.work.get(work))?.state).toBe('done')
    })

    test('knows which manifests are of earlier epochs, and commits none of an epoch that is over', async () => {
      const { catalog } = underTest()
      const { recording, organisation, fence } = await storing(catalog)
      const other = await storing(catalog, { organisation })
      const node = (await nodeIn(catalog)).id
      const rest = { attempts: [], supersede: [], atMs: day }
      const of = { recording, organisation, fence, node }
      expect(await catalog.upkeep.countSealedBeforeEpoch(organisation, 9)).toEqual({ before: 0, all: 0 })
      await catalog.layout.commitGeneration({ ...(await generationOf(underTest(), of)), ...rest, epoch: 1 }, fence)
      const second = await generationOf(underTest(), { ...other, node })
      await catalog.layout.commitGeneration({ ...second, ...rest, epoch: 2 }, other.fence)
      const before = (epoch: number, after?: Id) => catalog.upkeep.sealedBeforeEpoch(organisation, epoch, after, 10)
      expect(await before(1)).toEqual([])
      expect(await before(2)).toEqual([recording])
      const both = [recording, other.recording].sort()
      expect(await before(3)).toEqual(both)
      expect(await before(3, both[0])).toEqual([both[1]])
      expect(await catalog.upkeep.sealedBeforeEpoch(organisation, 3, undefined, 1)).toEqual([both[0]])
      expect(await catalog.upkeep.sealedBeforeEpoch(newId(), 3, undefined, 10)).toEqual([])
      expect(await catalog.upkeep.countSealedBeforeEpoch(organisation, 2)).toEqual({ before: 1, all: 2 })

      const late = await generationOf(underTest(), of)
      await catalog.installation.retireEpochsBefore(organisation, 2)
      await catalog.installation.retireEpochsBefore(organisation, 1)
      expect(await outcome(catalog.layout.commitGeneration({ ...late, ...rest, epoch: 1 }, fence))).toBe('E_CONFLICT')
      expect((await catalog.layout.generation(recording, late.generation))?.state).toBe('reserved')
      await catalog.layout.commitGeneration({ ...late, ...rest, epoch: 2 }, fence)
      expect(await before(2)).toEqual([])
    })

    test('failWriting ends what was reserved, with its shares: it cannot be committed any more, and what is stored stays', async () => {
      const { catalog } = underTest()
      const { recording, organisation, fence } = await storing(catalog)
      const node = (await nodeIn(catalog)).id
      const rest = { attempts: [], supersede: [], atMs: day }
      const stored = await generationOf(underTest(), { recording, organisation, fence, node })
      await catalog.layout.commitGeneration({ ...stored, ...rest }, fence)
      const left = await generationOf(underTest(), { recording, organisation, fence, node })
      await catalog.layout.failWriting(recording, fence)
      expect(await catalog.layout.generation(recording, 1)).toMatchObject({ state: 'stored' })
      expect(await catalog.layout.generation(recording, 2)).toMatchObject({ state: 'abandoned' })
      expect(await outcome(catalog.layout.commitGeneration({ ...left, ...rest }, fence))).toBe('E_CONFLICT')
      expect((await catalog.layout.collectable(Number.MAX_SAFE_INTEGER, 10)).map((row) => row.key)).toEqual([left.key])
      expect(await catalog.layout.reserveGeneration(recording, 1, fence)).toBe(3)
    })
  })

  /** Reserves the next generation and stores one share of it. */
  async function generationOf(
    { catalog }: CatalogUnderTest,
    of: { recording: Id; organisation: Id; fence: { work: Id; fence: number } | undefined; node: Id },
  ): Promise<{
    recording: Id
    generation: number
    sharing: Id
    sealedSha256: Uint8Array
    epoch: number
    key: string
  }> {
    const row = await catalog.recordings.get(of.recording, undefined)
    const generation = await catalog.layout.reserveGeneration(of.recording, row?.generation ?? 0, of.fence)
    const sharing = newId()
    const share = aManifestShare(of, generation, of.node, sharing, 0)
    await catalog.layout.addObjects([share], of.fence)
    await catalog.layout.setObjectState(share.node, share.key, 'stored', 100)
    return { recording: of.recording, generation, sharing, sealedSha256: someBytes(), epoch: 1, key: share.key }
  }
}
