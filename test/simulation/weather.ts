import type { Seeded } from './seeded.ts'

/** How likely what goes wrong is, each time that it could. */
export interface Weather {
  /** A process dies at this call of a port, before or after what it does. */
  readonly death: number
  /** The catalog fails a call, before or after it was committed. */
  readonly catalog: number
  /** A node fails a call without having done anything; has done it and does not say so; never answers; answers late. */
  readonly failed: number
  readonly lostAnswer: number
  readonly silent: number
  readonly late: number
  /** The queue loses a hint; hands it out twice, to whoever asks. */
  readonly lostJob: number
  readonly doubledJob: number
  /** The media tool fails. */
  readonly tool: number
  /** What happens to the world, every few seconds. */
  readonly events: readonly WorldEvent[]
}

export type WorldEvent =
  | 'flush'
  | 'node-down'
  | 'node-full'
  | 'kill-all'
  | 'clock'
  | 'damage'
  | 'lose-node'
  | 'drain'
  | 'reshare'
  | 'rebalance'
  | 'rotate'
  | 'second-upkeep'
  | 'suspend'

const calmEvents: readonly WorldEvent[] = []

export const calm: Weather = {
  ...{ death: 0, catalog: 0, failed: 0, lostAnswer: 0, silent: 0, late: 0, lostJob: 0, doubledJob: 0, tool: 0 },
  events: calmEvents,
}

/** Each seed has some kinds of trouble and lacks others, so that they meet in every combination. */
export function weatherOf(chance: Seeded): Weather {
  const some = (most: number): number => (chance.chance(0.5) ? chance.fraction() ** 2 * most : 0)
  const all: readonly WorldEvent[] = [
    ...(['flush', 'node-down', 'node-full', 'kill-all', 'clock', 'damage', 'lose-node', 'drain'] as const),
    ...(['second-upkeep', 'suspend', 'reshare', 'rebalance', 'rotate'] as const),
  ]
  return {
    death: some(0.01),
    catalog: some(0.05),
    failed: some(0.3),
    lostAnswer: some(0.1),
    silent: some(0.03),
    late: some(0.2),
    lostJob: some(0.5),
    doubledJob: some(0.5),
    tool: some(0.2),
    events: all.filter(() => chance.chance(0.4)),
  }
}
