import { describe, expect, test } from 'vitest'
import {
  aRecording,
  day,
  newId,
  organisationIn,
  outcome,
  someBytes,
  storing,
  type CatalogUnderTest,
} from './fixtures.ts'

export function recordingSuite(underTest: () => CatalogUnderTest): void {
  describe('recordings', () => {
    test('a new recording is `received`, with its first work pending in the same transaction', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const wanted = aRecording(organisation, { title: 'Größe «42» – 会議', externalId: 'zoom-1' })
      const { recording, created } = await catalog.recordings.create(wanted)
      expect(created).toBe(true)
      expect(recording).toEqual({
        id: wanted.id,
        organisation,
        state: 'received',
        title: 'Größe «42» – 会議',
        hostId: 'host-1',
        sourceKind: 'file',
        externalId: 'zoom-1',
        startedAtMs: day - 3_600_000,
        createdAtMs: day,
        updatedAtMs: day,
        storedAtMs: null,
        contentBytes: null,
        durationMs: null,
        scheme: { k: 3, n: 5, t: 1 },
        generation: 0,
        reason: null,
      })
      expect(await catalog.recordings.get(wanted.id, organisation)).toEqual(recording)
      const [work] = await catalog.work.ofRecording(wanted.id)
      expect(work).toMatchObject({
        id: wanted.work.id,
        stage: 'store',
        state: 'pending',
        runAtMs: day,
        attemptsCount: 0,
      })
      expect(work?.input).toEqual(wanted.work.input)
    })

    test('when the work cannot be added, the recording is not either', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const one = aRecording(organisation)
      await catalog.recordings.create(one)
      const two = aRecording(organisation, { work: one.work })
      expect(await outcome(catalog.recordings.create(two))).toBe('E_CONFLICT')
      expect(await catalog.recordings.get(two.id, undefined)).toBeUndefined()
    })

    test('a second deposit of the same thing is the first: same organisation, source kind and external id', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const first = aRecording(organisation, { externalId: 'x', title: 'first' })
      await catalog.recordings.create(first)
      const again = await catalog.recordings.create(aRecording(organisation, { externalId: 'x', title: 'second' }))
      expect(again.created).toBe(false)
      expect(again.recording).toMatchObject({ id: first.id, title: 'first' })
      expect(await catalog.work.ofRecording(first.id)).toHaveLength(1)

      const others = [
        aRecording(await organisationIn(catalog, 'Other'), { externalId: 'x' }),
        aRecording(organisation, { externalId: 'x', sourceKind: 'zoom' }),
        aRecording(organisation, { externalId: 'X' }),
        aRecording(organisation),
        aRecording(organisation),
      ]
      for (const other of others) expect((await catalog.recordings.create(other)).created).toBe(true)
    })

    test('the same id again without an external id is a conflict', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      const one = aRecording(organisation)
      await catalog.recordings.create(one)
      expect(await outcome(catalog.recordings.create({ ...one, title: 'other' }))).toBe('E_CONFLICT')
    })

    test('of many deposits of the same thing at once, from two processes, one is made', async () => {
      const { catalog, another } = underTest()
      const other = await another()
      const organisation = await organisationIn(catalog)
      const results = await Promise.all(
        Array.from({ length: 40 }, (_, i) =>
          (i % 2 === 0 ? catalog : other).recordings.create(aRecording(organisation, { externalId: 'race' })),
        ),
      )
      expect(results.filter((result) => result.created)).toHaveLength(1)
      expect(new Set(results.map((result) => result.recording.id)).size).toBe(1)
      const [recording] = await catalog.recordings.list({ organisation, limit: 10 })
      expect(await catalog.work.ofRecording(recording?.id ?? '')).toHaveLength(1)
    })

    test('a recording of another organisation does not exist; `undefined` asks for any', async () => {
      const { catalog } = underTest()
      const { recording, organisation } = await storing(catalog)
      const stranger = await organisationIn(catalog, 'Stranger')
      expect(await catalog.recordings.get(recording, stranger)).toBeUndefined()
      expect(await catalog.recordings.get(recording, organisation)).toMatchObject({ id: recording })
      expect(await catalog.recordings.get(recording, undefined)).toMatchObject({ id: recording })
      expect(await catalog.recordings.get(newId(), undefined)).toBeUndefined()
    })

    test('update changes what is named and nothing else', async () => {
      const { catalog } = underTest()
      const { recording } = await storing(catalog)
      const before = await catalog.recordings.get(recording, undefined)
      await catalog.recordings.update(recording, { state: 'stored', storedAtMs: day + 5 }, day + 6)
      expect(await catalog.recordings.get(recording, undefined)).toEqual({
        ...before,
        state: 'stored',
        storedAtMs: day + 5,
        updatedAtMs: day + 6,
      })
      const reason = { code: 'E_MEDIA_UNREADABLE', message: 'no moov: "ß"' } as const
      const huge = { contentBytes: Number.MAX_SAFE_INTEGER, durationMs: 7_200_000, generation: 3, reason }
      await catalog.recordings.update(recording, huge, day + 7)
      expect(await catalog.recordings.get(recording, undefined)).toMatchObject({ state: 'stored', ...huge })
      await catalog.recordings.update(recording, { reason: null }, day + 8)
      expect((await catalog.recordings.get(recording, undefined))?.reason).toBeNull()
      expect(await outcome(catalog.recordings.update(newId(), {}, day))).toBe('E_RECORDING_UNKNOWN')
    })

    test('update under a fence that was lost writes nothing', async () => {
      const { catalog } = underTest()
      const { recording, work, fence } = await storing(catalog)
      await catalog.recordings.update(recording, { state: 'storing' }, day + 1, fence)
      await catalog.work.claim(work, day + 60_000, 60_000)
      expect(await outcome(catalog.recordings.update(recording, { state: 'failed' }, day + 2, fence))).toBe(
        'E_LEASE_LOST',
      )
      expect(await catalog.recordings.get(recording, undefined)).toMatchObject({
        state: 'storing',
        updatedAtMs: day + 1,
      })
    })

    test('the timeline keeps its order, also within one millisecond', async () => {
      const { catalog } = underTest()
      const { recording } = await storing(catalog)
      for (let i = 0; i < 5; i++)
        await catalog.recordings.addEvent(recording, day, `kind-${i}`, { i, text: 'ü', none: null })
      await catalog.recordings.addEvent(recording, day - 1, 'earlier', {})
      const events = await catalog.recordings.events(recording)
      expect(events.map((event) => event.kind)).toEqual(['earlier', 'kind-0', 'kind-1', 'kind-2', 'kind-3', 'kind-4'])
      expect(events[3]).toEqual({ atMs: day, kind: 'kind-2', fields: { i: 2, text: 'ü', none: null } })
      expect(await catalog.recordings.events(newId())).toEqual([])
    })

    test('the first receipt stays', async () => {
      const { catalog } = underTest()
      const { recording } = await storing(catalog)
      expect(await catalog.recordings.receipt(recording)).toBeUndefined()
      const receipt = someBytes(5000)
      await catalog.recordings.putReceipt(recording, receipt, day)
      await catalog.recordings.putReceipt(recording, someBytes(10), day + 1)
      expect(await catalog.recordings.receipt(recording)).toEqual(receipt)
    })

    test('a NUL character is refused everywhere alike', async () => {
      const { catalog } = underTest()
      const organisation = await organisationIn(catalog)
      expect(await outcome(catalog.recordings.create(aRecording(organisation, { title: 'a\0b' })))).toBe('E_INPUT')
    })
  })
}
