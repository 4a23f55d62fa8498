import { afterEach, describe, expect, it } from 'vitest'
import { startUpkeep, type UpkeepPorts } from '../../../src/main/upkeep.ts'
import { objectPrefix } from '../../../src/format/object-names.ts'
import { settled, HeldClock } from '../../support/held-clock.ts'
import { MemoryStore, failAll } from '../../support/memory-store.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

let vault: TestVault | undefined
afterEach(() => vault?.close())

const stores = (): MemoryStore[] => [1, 2, 3, 4, 5].map((number) => new MemoryStore({ label: `memory-${number}` }))
const spool = { rotateKeys: () => Promise.resolve() } as unknown as UpkeepPorts['spool']
const duties = { vault: true, spool: true, watch: false }

async function until(holds: () => Promise<boolean>, clock: HeldClock, limitMs: number): Promise<void> {
  for (let passedMs = 0; passedMs < limitMs; passedMs += 1_000) {
    if (await holds()) return
    await clock.advance(1_000, 1_000)
    for (let i = 0; i < 5; i++) await settled()
  }
  throw new Error(`it did not come in ${limitMs} ms`)
}

describe('upkeep', () => {
  it('writes a changed state within seconds; when nodes are away it tries less and less often, and then it is there', async () => {
    const nodes = stores()
    vault = await makeTestVault({ memory: nodes, threads: 0 })
    const clock = new HeldClock()
    const upkeep = startUpkeep({ ...vault, clock, spool, location: () => 'memory' }, duties)
    const generation = async (): Promise<number> =>
      (await vault!.installation.organisation(vault!.organisation))!.stateGeneration
    const shares = (): number =>
      nodes.filter(({ objects }) => [...objects.keys()].some((key) => key.startsWith(objectPrefix('state-share'))))
        .length
    try {
      upkeep.stateChanged(vault.organisation)
      await until(() => Promise.resolve(shares() === 5), clock, 20_000)
      expect(await generation()).toBe(1)

      for (const node of nodes) node.fault = failAll()
      upkeep.stateChanged()
      for (let i = 0; i < 60; i++) {
        await clock.advance(1_000, 1_000)
        for (let j = 0; j < 3; j++) await settled()
      }
      // 5, 10, 20 … seconds, and not each tick: every try spends a number and rows.
      expect(await generation()).toBeLessThanOrEqual(6)
      expect(await generation()).toBeGreaterThan(1)
      for (const node of nodes) {
        node.fault = undefined
        node.objects.clear()
      }
      await until(() => Promise.resolve(shares() === 5), clock, 11 * 60_000)
    } finally {
      await upkeep.close()
    }
    expect(clock.sleepersCount).toBe(0)
  }, 60_000)

  it('brings a node the vault cards that it could not take when it was added', async () => {
    const nodes = stores()
    nodes[4]!.fault = ({ call, key }) =>
      call === 'put' && key.startsWith('card/') ? { fail: 'E_NODE_UNREACHABLE' } : undefined
    vault = await makeTestVault({ memory: nodes, threads: 0 })
    const cards = (): number => [...nodes[4]!.objects.keys()].filter((key) => key.startsWith('card/')).length
    expect(cards()).toBe(0)
    nodes[4]!.fault = undefined
    const clock = new HeldClock()
    const upkeep = startUpkeep({ ...vault, clock, spool, location: () => 'memory' }, duties)
    try {
      await until(() => Promise.resolve(cards() === 1), clock, 3 * 60_000)
    } finally {
      await upkeep.close()
    }
  }, 60_000)
})
