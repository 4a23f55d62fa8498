import { describe, expect, it } from 'vitest'
import type { StorageNode } from '../../../src/domain/node.ts'
import { choosePlacement, placementCap } from '../../../src/domain/placement.ts'

const scheme = { k: 3, n: 5, t: 1 }

function node(number: number, owner: Partial<StorageNode> = {}): StorageNode {
  const operator = owner.operator ?? `operator ${number}`
  return {
    id: number.toString(16).padStart(32, '0'),
    name: `node-${number}`,
    driver: 's3',
    state: 'active',
    country: 'DE',
    operator,
    parent: operator,
    site: `site ${number}`,
    ...owner,
  }
}

const five = [1, 2, 3, 4, 5].map((number) => node(number))

describe('placementCap', () => {
  it.each([
    [{ k: 3, n: 5, t: 1 }, 1],
    [{ k: 3, n: 5, t: 2 }, 2],
    [{ k: 2, n: 3, t: 1 }, 1],
    [{ k: 4, n: 7, t: 3 }, 3],
    [{ k: 5, n: 6, t: 3 }, 1],
    [{ k: 3, n: 6, t: 0 }, 2],
    [{ k: 3, n: 4, t: 0 }, 1],
  ])('%j: %i', (given, cap) => {
    expect(placementCap(given)).toBe(cap)
  })
})

describe('choosePlacement', () => {
  it('keeps the order of the candidates as far as the rule allows', () => {
    const candidates = [five[3]!, five[0]!, node(6, { operator: 'OPERATOR 4 ' }), five[1]!, five[2]!, five[4]!]
    expect(choosePlacement(scheme, 'strict', candidates).map(({ name }) => name)).toEqual([
      'node-4',
      'node-1',
      'node-2',
      'node-3',
      'node-5',
    ])
  })

  it('says how many nodes are missing', () => {
    expect(() => choosePlacement(scheme, 'none', five.slice(0, 3))).toThrow(
      'a (3, 5, 1) recording needs 5 nodes that take writes, and there are 3; add 2 with `mosaik nodes add`',
    )
  })

  it('says which owner stands in the way, and how many more are needed', () => {
    const twins = five.map((one, index) => ({ ...one, parent: index < 3 ? 'Holding' : one.parent }))
    expect(() => choosePlacement(scheme, 'strict', twins)).toThrow(
      /at most 1 of the 5 fragments .* the 5 nodes belong to 3 parent companies, which carry 3: add nodes of 2 more parent companies/,
    )
    const sameSite = five.map((one) => ({ ...one, site: 'Falkenstein' }))
    expect(() => choosePlacement(scheme, 'strict', sameSite)).toThrow(
      /1 site, which carry 1: add nodes of 4 more sites/,
    )
  })

  it('says so when only all three owners together stand in the way', () => {
    const crossed = [
      node(1, { operator: 'a', parent: 'x', site: '1' }),
      node(2, { operator: 'b', parent: 'x', site: '2' }),
      node(3, { operator: 'a', parent: 'y', site: '2' }),
    ]
    const shamir = { k: 2, n: 2, t: 1 }
    expect(() => choosePlacement({ ...shamir, n: 3 }, 'strict', crossed)).toThrow(/add nodes of 1 more/)
    expect(() => choosePlacement(shamir, 'strict', [crossed[0]!, crossed[1]!])).toThrow(/parent compan/)
  })

  it('counts what an owner held once: a move back to it is refused, and the words say what to add', () => {
    const exposures = [{ node: 'f'.repeat(32), index: 0, operator: ' operator 1', parent: 'x', site: 'y' }]
    expect(() => choosePlacement(scheme, 'strict', five, exposures)).toThrow(/add nodes of 1 more operator/)
    expect(choosePlacement(scheme, 'strict', [...five, node(6)], exposures).map(({ name }) => name)).not.toContain(
      'node-1',
    )
  })

  it('never gives a share to a node that held one of this sharing', () => {
    const exposures = [{ node: five[0]!.id, index: 2, operator: 'old name', parent: 'old name', site: 'elsewhere' }]
    expect(() => choosePlacement(scheme, 'none', five, exposures)).toThrow(/there are 4; add 1/)
  })

  it('takes names for the same in any case, spaces around, and either way of writing an umlaut', () => {
    const umlaut = five.map((one, index) =>
      index === 0 ? { ...one, site: 'Köln' } : index === 1 ? { ...one, site: ' KÖLN' } : one,
    )
    expect(() => choosePlacement(scheme, 'strict', umlaut)).toThrow(/sites/)
  })

  it('answers quickly for many nodes of few owners', () => {
    const many = Array.from({ length: 40 }, (_, index) => node(index, { operator: `operator ${index % 4}` }))
    expect(() => choosePlacement(scheme, 'strict', many)).toThrow(
      /4 operators, which carry 4: add nodes of 1 more operator/,
    )
  })
})
