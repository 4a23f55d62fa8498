import { describe, expect, test } from 'vitest'
import type { WorkRow } from '../../../src/ports/catalog/recordings.ts'
import {
  aRecording,
  day,
  fileInput,
  newId,
  organisationIn,
  outcome,
  storing,
  type CatalogUnderTest,
} from './fixtures.ts'

export function workSuite(underTest: () => CatalogUnderTest): void {
  describe('work', () => {
    test('add: one piece of a stage stands at a time; a failed one makes room', async () => {
      const { catalog } = underTest()
      const { recording, organisation, fence } = await storing(catalog)
      const transcode = {
        id: newId(),
        recording,
        stage: 'transcode',
        input: { kind: 'vault' },
        runAtMs: day + 9,
      } as const
      const added = await catalog.work.add(transcode, fence)
      expect(added).toEqual<WorkRow>({
        id: transcode.id,
        recording,
        organisation,
        stage: 'transcode',
        state: 'pending',
        input: { kind: 'vault' },
        attemptsCount: 0,
        runAtMs: day + 9,
        leaseUntilMs: null,
        fence: 0,
        doneUnits: 0,
        totalUnits: null,
        error: null,
      })
      expect((await catalog.work.add({ ...transcode, id: newId() })).id).toBe(transcode.id)
      expect((await catalog.work.add(transcode)).id).toBe(transcode.id)

      const claimed = await catalog.work.claim(transcode.id, day + 9, 1000)
      const error = { code: 'E_MEDIA_UNREADABLE', message: 'no' } as const
      await catalog.work.fail({ work: transcode.id, fence: claimed?.fence ?? 0 }, day + 10, error, null)
      const second = await catalog.work.add({ ...transcode, id: newId() })
      expect(second.id).not.toBe(transcode.id)
      // Two of a stage must never stand: the old one may not come back beside the new one.
      expect(await outcome(catalog.work.retry(transcode.id, day + 11))).toBe('E_CONFLICT')
      await expect(catalog.work.retry(transcode.id, day + 11)).rejects.toThrow(/there is a later try/)

      const done = await catalog.work.claim(second.id, day + 12, 1000)
      await catalog.work.finish({ work: second.id, fence: done?.fence ?? 0 }, day + 13)
      expect((await catalog.work.add({ ...transcode, id: newId() })).id).toBe(second.id)
      expect(await outcome(catalog.work.add({ ...transcode, recording: newId() }))).toBe('E_RECORDING_UNKNOWN')
    })

    test('add under a fence that was lost adds nothing', async () => {
      const { catalog } = underTest()
      const { recording, work, fence } = await storing(catalog)
      await catalog.work.claim(work, day + 60_000, 60_000)
      const release = { id: newId(), recording, stage: 'release', input: { kind: 'vault' }, runAtMs: day } as const
      expect(await outcome(catalog.work.add(release, fence))).toBe('E_LEASE_LOST')
      expect(await catalog.work.get(release.id)).toBeUndefined()
    })

    test('of many adds at once one stands', async () => {
      const { catalog, another } = underTest()
      const other = await another()
      const { recording } = await storing(catalog)
      const rows = await Promise.all(
        Array.from({ length: 30 }, (_, i) =>
          (i % 2 === 0 ? catalog : other).work.add({
            id: newId(),
            recording,
            stage: 'transcode',
            input: { kind: 'vault' },
            runAtMs: day,
          }),
        ),
      )
      expect(new Set(rows.map((row) => row.id)).size).toBe(1)
      expect(await catalog.work.ofRecording(recording)).toHaveLength(2)
    })

    test('claim takes what is pending and due; raises fence and attempts', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const recording = aRecording(organisation)
      await catalog.recordings.create(recording)
      const { id } = recording.work
      expect(await catalog.work.claim(id, day - 1, 1000)).toBeUndefined()
      expect(await catalog.work.claim(newId(), day, 1000)).toBeUndefined()
      const claimed = await catalog.work.claim(id, day, 1000)
      expect(claimed).toMatchObject({ state: 'running', fence: 1, attemptsCount: 1, leaseUntilMs: day + 1000 })
      expect(await catalog.work.get(id)).toEqual(claimed)
      expect(await catalog.work.claim(id, day + 999, 1000)).toBeUndefined()
      const taken = await catalog.work.claim(id, day + 1000, 1000)
      expect(taken).toMatchObject({ state: 'running', fence: 2, attemptsCount: 2, leaseUntilMs: day + 2000 })
    })

    test('of fifty claims at once, from two processes, one wins; again when the lease has run out', async () => {
      const { catalog, another } = underTest()
      const other = await another()
      const organisation = await organisationIn(catalog)
      const recording = aRecording(organisation)
      await catalog.recordings.create(recording)
      for (const round of [1, 2, 3]) {
        const claims = await Promise.all(
          Array.from({ length: 50 }, (_, i) =>
            (i % 2 === 0 ? catalog : other).work.claim(recording.work.id, day + round * 1000, 1000),
          ),
        )
        const won = claims.filter((claim) => claim !== undefined)
        expect(won).toHaveLength(1)
        expect(won[0]).toMatchObject({ fence: round, attemptsCount: round })
      }
    })

    test('a lease that is renewed does not run out, and shows progress', async () => {
      const { catalog } = underTest()
      const { work, fence } = await storing(catalog)
      await catalog.work.renew(fence, day + 50_000, 60_000, { doneUnits: 2 ** 50, totalUnits: 2 ** 51 })
      expect(await catalog.work.claim(work, day + 60_000, 1000)).toBeUndefined()
      await catalog.work.renew(fence, day + 51_000, 60_000)
      expect(await catalog.work.get(work)).toMatchObject({
        leaseUntilMs: day + 111_000,
        doneUnits: 2 ** 50,
        totalUnits: 2 ** 51,
      })
      // Late, but nobody took it: it is still ours.
      await catalog.work.renew(fence, day + 500_000, 60_000)
      expect(await catalog.work.claim(work, day + 560_000, 1000)).toMatchObject({ doneUnits: 0, totalUnits: null })
    })

    test('whoever lost the lease can neither renew nor finish nor fail', async () => {
      const { catalog } = underTest()
      const { work, fence } = await storing(catalog)
      const second = await catalog.work.claim(work, day + 60_000, 60_000)
      const error = { code: 'E_INTERNAL', message: 'x' } as const
      expect(await outcome(catalog.work.renew(fence, day, 1))).toBe('E_LEASE_LOST')
      expect(await outcome(catalog.work.finish(fence, day))).toBe('E_LEASE_LOST')
      expect(await outcome(catalog.work.fail(fence, day, error, day))).toBe('E_LEASE_LOST')
      expect(await catalog.work.get(work)).toEqual(second)
    })

    test('finish ends it for good and forgets the people', async () => {
      const { catalog, query } = underTest()
      const { work, fence, recording } = await storing(catalog)
      await catalog.work.finish(fence, day + 1)
      expect(await catalog.work.get(work)).toMatchObject({
        state: 'done',
        leaseUntilMs: null,
        error: null,
        input: { ...fileInput, people: null },
      })
      const raw = JSON.stringify(await query('select * from work'))
      expect(raw).toContain('meeting.mp4')
      expect(raw).not.toMatch(/Fingerhut|zoe@|Ödön/)
      expect(await catalog.work.claim(work, day + 1e9, 1000)).toBeUndefined()
      expect(await outcome(catalog.work.finish(fence, day + 2))).toBe('E_LEASE_LOST')
      expect(await outcome(catalog.work.renew(fence, day + 2, 1000))).toBe('E_LEASE_LOST')
      await catalog.work.retry(work, day + 3)
      expect((await catalog.work.get(work))?.state).toBe('done')

      const people = { hostName: 'Fingerhut', hostEmail: null, participants: [] }
      const input = { kind: 'upload', upload: newId(), captionsUploads: [], people } as const
      const release = await catalog.work.add({ id: newId(), recording, stage: 'release', input, runAtMs: day })
      const claimed = await catalog.work.claim(release.id, day, 1000)
      await catalog.work.finish({ work: release.id, fence: claimed?.fence ?? 0 }, day)
      expect((await catalog.work.get(release.id))?.input).toEqual({ ...input, people: null })
    })

    test('fail: pending at the time given, or failed; retry makes it due now', async () => {
      const { catalog } = underTest()
      const { work, fence } = await storing(catalog)
      const error = { code: 'E_NODE_UNREACHABLE', message: 'node "a" läuft nicht' } as const
      await catalog.work.fail(fence, day + 1, error, day + 500)
      expect(await catalog.work.get(work)).toMatchObject({
        state: 'pending',
        runAtMs: day + 500,
        leaseUntilMs: null,
        error,
      })
      expect(await outcome(catalog.work.renew(fence, day + 2, 1000))).toBe('E_LEASE_LOST')
      expect(await catalog.work.claim(work, day + 499, 1000)).toBeUndefined()
      const again = await catalog.work.claim(work, day + 500, 1000)
      expect(again).toMatchObject({ attemptsCount: 2, fence: 2 })
      await catalog.work.fail({ work, fence: 2 }, day + 501, error, null)
      expect(await catalog.work.get(work)).toMatchObject({ state: 'failed', error })
      expect(await catalog.work.claim(work, day + 1e9, 1000)).toBeUndefined()
      expect((await catalog.work.get(work))?.input).toEqual(fileInput)

      await catalog.work.retry(work, day + 600)
      await catalog.work.retry(work, day + 700)
      expect(await catalog.work.get(work)).toMatchObject({ state: 'pending', runAtMs: day + 600 })
      await catalog.work.retry(newId(), day)
      expect(await catalog.work.claim(work, day + 600, 1000)).toMatchObject({ fence: 3 })
    })

    test('due: pending and due, or running with an expired lease, oldest first', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const make = async (atMs: number): Promise<string> => {
        const recording = aRecording(organisation, { atMs })
        await catalog.recordings.create(recording)
        return recording.work.id
      }
      const late = await make(day + 300)
      const early = await make(day + 100)
      const future = await make(day + 10_000)
      const running = await make(day)
      const expired = await make(day)
      const done = await make(day)
      await catalog.work.claim(running, day, 5000)
      await catalog.work.claim(expired, day, 200)
      const finished = await catalog.work.claim(done, day, 200)
      await catalog.work.finish({ work: done, fence: finished?.fence ?? 0 }, day)
      const due = async (nowMs: number, limit = 10): Promise<string[]> =>
        (await catalog.work.due(nowMs, limit)).map((row) => row.id)
      expect(await due(day + 300)).toEqual([early, expired, late])
      expect(await due(day + 300, 2)).toEqual([early, expired])
      expect(await due(day + 99)).toEqual([])
      expect(await due(day + 10_000)).toEqual([early, expired, late, running, future])
    })

    test('backlog: unfinished work by stage, what is due, what waits for its time, what runs', async () => {
      const { catalog } = underTest()
      const nowMs = day + 1000
      const counts = async (): Promise<Record<string, number>> =>
        Object.fromEntries(
          (await catalog.work.backlog(nowMs)).map(({ stage, state, count }) => [`${stage} ${state}`, count]),
        )
      const before = await counts()
      const organisation = await organisationIn(catalog)
      const make = async (atMs: number): Promise<string> => {
        const recording = aRecording(organisation, { atMs })
        await catalog.recordings.create(recording)
        return recording.work.id
      }
      await make(nowMs - 100)
      await make(nowMs + 100)
      await catalog.work.claim(await make(day), nowMs, 5000)
      await catalog.work.claim(await make(day), day, 200)
      const done = await catalog.work.claim(await make(day), day, 200)
      await catalog.work.finish({ work: done?.id ?? '', fence: done?.fence ?? 0 }, day)
      const more = (name: string, count: number): number => (before[name] ?? 0) + count
      expect(await counts()).toEqual({
        ...before,
        'store due': more('store due', 2),
        'store later': more('store later', 1),
        'store running': more('store running', 1),
      })
      const due = (await catalog.work.backlog(nowMs)).find(({ stage, state }) => stage === 'store' && state === 'due')
      expect(due?.oldestDueAtMs).toBeLessThanOrEqual(nowMs - 100)
    })
  })
}
