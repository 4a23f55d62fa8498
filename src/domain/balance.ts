import type { Id } from './ids.ts'

/** A share that lies on a node, as far as its weight goes. */
export interface WeighedShare {
  readonly index: number
  readonly node: Id
  readonly bytes: number
}

/** One share from one node to another. */
export interface BalanceMove extends WeighedShare {
  readonly to: Id
}

/** Nodes that differ by less than this part of the mean are as even as it gets. */
const TOLERANCE = 0.05

/** How much lies on each of the nodes that take writes; says which share makes it fairer elsewhere. Every node's fair share is the same. */
export class Balance {
  readonly #bytes: Map<Id, number>
  readonly #least: number

  constructor(nodes: readonly { readonly node: Id; readonly bytes: number }[]) {
    this.#bytes = new Map(nodes.map(({ node, bytes }) => [node, bytes]))
    const total = nodes.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#least = (TOLERANCE * total) / Math.max(1, nodes.length)
  }

  /** Nodes, the emptiest first. */
  get emptiest(): Id[] {
    return [...this.#bytes].toSorted((a, b) => a[1] - b[1]).map(([node]) => node)
  }

  /**
   * The move that evens out most: from the fullest holder to the emptiest node that may take its share. None when no move makes it fairer, so
   * that nothing ever goes back and forth.
   */
  next(shares: readonly WeighedShare[], mayTake: (share: WeighedShare, to: Id) => boolean): BalanceMove | undefined {
    const holders = shares
      .filter(({ node }) => this.#bytes.has(node))
      .toSorted((a, b) => this.#of(b.node) - this.#of(a.node))
    for (const share of holders) {
      for (const to of this.emptiest) {
        if (!this.isFairer(share, to)) break
        if (mayTake(share, to)) return { ...share, to }
      }
    }
    return undefined
  }

  /** Whether a share is better off on another node. */
  isFairer({ node, bytes }: WeighedShare, to: Id): boolean {
    const difference = this.#of(node) - this.#of(to)
    return difference >= 2 * bytes && difference > this.#least
  }

  move({ node, bytes }: WeighedShare, to: Id): void {
    this.#bytes.set(node, this.#of(node) - bytes)
    this.#bytes.set(to, this.#of(to) + bytes)
  }

  #of(node: Id): number {
    return this.#bytes.get(node) ?? 0
  }
}
