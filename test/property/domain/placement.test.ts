import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Scheme } from '../../../src/domain/dispersal.ts'
import { isMosaikError } from '../../../src/domain/errors.ts'
import type { StorageNode } from '../../../src/domain/node.ts'
import { choosePlacement, placementCap, type Exposure } from '../../../src/domain/placement.ts'

const owners = ['operator', 'parent', 'site'] as const

const spelling = fc.constantFrom(
  (name: string) => name,
  (name: string) => name.toUpperCase(),
  (name: string) => ` ${name}\t`,
)
const ownership = (count: number) =>
  fc.record({
    operator: fc.nat({ max: count }).map((i) => `operator ${i}`),
    parent: fc.nat({ max: count }).map((i) => `parent ${i}`),
    site: fc.nat({ max: count }).map((i) => `site ${i}`),
  })

const nodesOf = (max: number): fc.Arbitrary<StorageNode[]> =>
  fc.array(fc.tuple(ownership(5), spelling), { maxLength: max }).map((all) =>
    all.map(([{ operator, parent, site }, spell], index) => ({
      id: index.toString(16).padStart(32, '0'),
      name: `node-${index}`,
      driver: 'directory' as const,
      state: 'active' as const,
      country: 'DE',
      operator: spell(operator),
      parent: spell(parent),
      site: spell(site),
    })),
  )

const schemes: fc.Arbitrary<Scheme> = fc.constantFrom(
  { k: 2, n: 3, t: 1 },
  { k: 3, n: 5, t: 1 },
  { k: 3, n: 5, t: 2 },
  { k: 3, n: 6, t: 0 },
  { k: 2, n: 4, t: 0 },
  { k: 2, n: 2, t: 1 },
)

const exposuresOf = fc.array(
  fc
    .tuple(ownership(5), fc.nat({ max: 12 }))
    .map(([owner, node]): Exposure => ({ ...owner, node: node.toString(16).padStart(32, '0'), index: 0 })),
  { maxLength: 3 },
)

function normal(name: string): string {
  return name.trim().toLowerCase()
}

function meetsCaps(chosen: readonly StorageNode[], exposures: readonly Exposure[], cap: number): boolean {
  return owners.every((key) => {
    const held = new Map<string, number>()
    for (const one of [...chosen, ...exposures]) held.set(normal(one[key]), (held.get(normal(one[key])) ?? 0) + 1)
    // Exposures alone may be past the cap: what counts is that no node was added to such an owner.
    return chosen.every((node) => (held.get(normal(node[key])) ?? 0) <= cap)
  })
}

function* choices<T>(all: readonly T[], count: number, from = 0): Generator<T[]> {
  if (count === 0) return yield []
  for (let i = from; i <= all.length - count; i++) {
    for (const rest of choices(all, count - 1, i + 1)) yield [all[i] as T, ...rest]
  }
}

describe('choosePlacement', () => {
  it('meets every cap, and finds a placement exactly when there is one', () => {
    let found = 0
    let refused = 0
    fc.assert(
      fc.property(schemes, nodesOf(9), exposuresOf, (scheme, nodes, exposures) => {
        const cap = placementCap(scheme)
        const free = nodes.filter((node) => exposures.every((exposure) => exposure.node !== node.id))
        const exists = [...choices(free, scheme.n)].some((chosen) => meetsCaps(chosen, exposures, cap))
        try {
          const chosen = choosePlacement(scheme, 'strict', nodes, exposures)
          expect(chosen.length).toBe(scheme.n)
          expect(new Set(chosen.map(({ id }) => id)).size).toBe(scheme.n)
          expect(chosen.every((node) => free.includes(node))).toBe(true)
          expect(meetsCaps(chosen, exposures, cap)).toBe(true)
          found++
        } catch (error) {
          if (!isMosaikError(error)) throw error
          expect(error.code).toBe(free.length < scheme.n ? 'E_NODES_TOO_FEW' : 'E_PLACEMENT_RULE')
          expect(exists).toBe(false)
          refused++
        }
      }),
      { numRuns: 1500 },
    )
    // A property that only ever met one of the two would show nothing.
    expect(Math.min(found, refused)).toBeGreaterThan(20)
  })

  it('takes the first nodes without a rule, none that the sharing was ever shown to', () => {
    fc.assert(
      fc.property(schemes, nodesOf(9), exposuresOf, (scheme, nodes, exposures) => {
        const free = nodes.filter((node) => exposures.every((exposure) => exposure.node !== node.id))
        fc.pre(free.length >= scheme.n)
        expect(choosePlacement(scheme, 'none', nodes, exposures)).toEqual(free.slice(0, scheme.n))
      }),
    )
  })
})
