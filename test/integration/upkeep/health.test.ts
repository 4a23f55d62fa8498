import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { annualLossChance, LossTally } from '../../../src/domain/durability.ts'
import { mayHold, neededShares, placementViolations, shareHealth } from '../../../src/domain/health.ts'
import type { StorageNode } from '../../../src/domain/node.ts'
import { createDoctor } from '../../../src/main/upkeep-doctor.ts'
import { DAY_MS, scrubBytesPerSecond } from '../../../src/main/upkeep-health.ts'
import { createVaultReader } from '../../../src/retrieve/open-recording.ts'
import { findingLog } from '../../../src/upkeep/blind/read-findings.ts'
import { failAll } from '../../support/memory-store.ts'
import { makeStage, never } from '../../support/upkeep-stage.ts'

const scheme = { k: 3, n: 5, t: 1 }
const node = (id: string, operator = id, country = 'DE'): StorageNode => ({
  ...{ id, name: id, driver: 's3', state: 'active' },
  ...{ country, operator, parent: operator, site: `site ${id}` },
})
const exposure = (id: string, index: number, operator = id) => ({
  ...{ node: id, index, operator, parent: operator, site: `site ${id}` },
})

describe('share health', () => {
  it('counts different shares, not copies', () => {
    expect(shareHealth(scheme, [0, 1, 1, 4])).toEqual({ healthy: 3, slack: 0, missing: [2, 3] })
    expect(shareHealth(scheme, [])).toEqual({ healthy: 0, slack: -3, missing: [0, 1, 2, 3, 4] })
    expect([neededShares({ k: 3, n: 5 }), neededShares({ k: 3, n: 3 })]).toEqual([4, 3])
  })

  it('lets nobody hold two shares of a sharing under strict, and the same share twice', () => {
    const held = [exposure('a', 0), exposure('b', 1, 'Owner')]
    expect(mayHold(scheme, 'strict', held, node('a'), 0)).toBe(true)
    expect(mayHold(scheme, 'strict', held, node('a'), 1)).toBe(false)
    expect(mayHold(scheme, 'none', held, node('a'), 1)).toBe(false)
    expect(mayHold(scheme, 'strict', held, node('c', ' owner '), 2)).toBe(false)
    expect(mayHold(scheme, 'strict', held, node('c', 'owner'), 1)).toBe(true)
    expect(mayHold(scheme, 'none', held, node('c', 'owner'), 2)).toBe(true)
    expect(mayHold({ k: 5, n: 9, t: 2 }, 'strict', held, node('c', 'owner'), 2)).toBe(true)
  })

  it('names who has held too much, by every kind of owner', () => {
    const held = [exposure('a', 0, 'X'), exposure('b', 1, 'x '), exposure('b', 1, 'x ')]
    expect(placementViolations(scheme, 'strict', held).map(({ owner, held: count }) => [owner, count])).toEqual([
      ['operator', 2],
      ['parent', 2],
    ])
    expect(placementViolations(scheme, 'none', held)).toEqual([])
    expect(placementViolations(scheme, 'strict', held.slice(1))).toEqual([])
  })
})

describe('durability', () => {
  it('is what the formula says: 10 · (1.9e-4)³ · 52 for three of five', () => {
    expect(annualLossChance(scheme)).toBeGreaterThan(3.5e-9)
    expect(annualLossChance(scheme)).toBeLessThan(4.5e-9)
    expect(annualLossChance({ k: 2, n: 3 })).toBeGreaterThan(annualLossChance(scheme))
    expect(annualLossChance({ k: 3, n: 3 }, { annualNodeLoss: 0.01, repairDays: 7 })).toBeCloseTo(0.03)
  })

  it('counts what would be lost with a node, an operator or a country', () => {
    const nodes = [node('a'), node('b'), node('c', 'same', 'FR'), node('d', 'same', 'FR'), node('e', 'Same', 'FR')]
    const tally = new LossTally(nodes)
    const shares = nodes.map(({ id }, index) => ({ index, node: id }))
    tally.add({ recording: 'r1', scheme, shares })
    tally.add({ recording: 'r2', scheme, shares: shares.slice(1) })
    tally.add({ recording: 'r2', scheme, shares })
    const of = (what: string, name: string) =>
      tally.losses().find((loss) => loss.what === what && loss.name.toLowerCase() === name)
    expect(of('operator', 'same')).toMatchObject({ nodesCount: 3, recordingsLost: 2, recordingsOnTheEdge: 0 })
    expect(of('country', 'fr')).toMatchObject({ recordingsLost: 2 })
    expect(of('country', 'de')).toMatchObject({ recordingsLost: 0, recordingsOnTheEdge: 2 })
    expect(of('node', 'b')).toMatchObject({ recordingsLost: 0, recordingsOnTheEdge: 1 })
    expect(of('node', 'a')).toMatchObject({ recordingsLost: 0, recordingsOnTheEdge: 0 })
  })

  it('a scrub pass of any size takes at most half of the period, also when it was stopped in the middle', () => {
    const periodMs = 30 * DAY_MS
    for (const bytes of [0, 1e9, 1e15]) {
      for (const done of [0, 0.25, 0.9]) {
        for (const idleMs of [0, periodMs / 8, 0.44 * periodMs]) {
          const rate = scrubBytesPerSecond(bytes, periodMs, { startedAtMs: 1000, done }, 1000 + idleMs)
          expect(idleMs + ((bytes * (1 - done)) / rate) * 1000).toBeLessThanOrEqual(periodMs / 2)
        }
      }
    }
  })
})

describe('the doctor', () => {
  it('tells of nodes, backlog, durability and losses', async () => {
    const stage = await makeStage()
    try {
      await stage.store(randomBytes(1000))
      stage.stores[1]!.fault = failAll()
      await stage.catalog.upkeep.setFlag('deletions-frozen', true, 5)
      const [row] = await stage.fragmentsOf((await stage.catalog.upkeep.survey(undefined, 1))[0]!.recording.id)
      const finding = { organisation: stage.organisation, recording: row!.recording, node: row!.node, object: row!.key }
      await stage.catalog.upkeep.report(
        [{ ...finding, kind: 'missing', group: 'g', index: 0, slack: 1, fields: {} }],
        7,
      )
      const doctor = createDoctor({
        ...stage,
        nodes: stage.operations,
        confinement: 'none',
        kernel: 'table',
        isReadOnly: () => false,
        scrubPeriodMs: 30 * DAY_MS,
      })
      const report = await doctor.report(never)
      expect(report.nodes.map(({ isHealthy }) => isHealthy)).toEqual([true, false, true, true, true])
      expect(report.backlog).toEqual([{ kind: 'missing', count: 1, oldestAtMs: 7 }])
      expect(report.repairEtaMs).toBeGreaterThan(0)
      expect(report).toMatchObject({ areDeletionsFrozen: true, recordingsCounted: 1, isSample: false })
      expect(report.durability.schemes).toMatchObject([{ scheme: { k: 3, n: 5, t: 1 } }])
      expect(report.losses.filter(({ recordingsLost }) => recordingsLost > 0).map(({ what }) => what)).toEqual([
        'country',
      ])
      expect(report.advice.join('\n')).toMatch(/memory-2.*E_NODE_UNREACHABLE/)
      expect(report.advice.join('\n')).toMatch(/frozen/)
    } finally {
      await stage.close()
    }
  })
})

describe('readers', () => {
  it('make a finding of a bad block, and go on reading', async () => {
    const stage = await makeStage()
    try {
      const recording = await stage.store(randomBytes(1000))
      for (const row of (await stage.fragmentsOf(recording)).slice(0, 2)) stage.storeOf(row.node).corrupt(row.key, 300)
      for (const row of (await stage.sharesOf(recording)).slice(0, 2)) stage.storeOf(row.node).corrupt(row.key, 300)
      // Nodes that happened to answer late while it was stored would not be asked: here it is those that are well.
      for (const row of (await stage.fragmentsOf(recording)).slice(2)) stage.pool.observe(row.node, 'ok', 1000)
      const reader = createVaultReader({ ...stage, log: findingLog(stage) })
      for (let i = 0; i < 8; i++) {
        const opened = await reader.open(stage.organisation, recording, 'play', never)
        for await (const _ of opened.asset(opened.manifest.assets[0]!.id).read(0, 1000, never));
      }
      await expect
        .poll(async () => (await stage.catalog.upkeep.backlog()).map(({ kind }) => kind), { timeout: 5000 })
        .toEqual(['flipped'])
      const found = (await stage.catalog.upkeep.repairQueue(Number.MAX_SAFE_INTEGER, 10)).flatMap(
        ({ findings }) => findings,
      )
      expect(found.every(({ index }) => index < 2)).toBe(true)
    } finally {
      await stage.close()
    }
  })
})
