/** One line of the table. */
export interface Row {
  readonly name: string
  /** `null`: not measured, see `skipped`. */
  readonly value: number | null
  /** What the value is, and whether more or less of it is better. */
  readonly unit: string
  readonly goal: number | null
  /** What it was compared with. */
  readonly peer: string
  readonly skipped?: string
  /** The absolute figures behind the ratio. */
  readonly detail?: string
}

export interface Options {
  readonly isFull: boolean
  /** Counted repetitions, at least 5. */
  readonly repetitions: number
  /** Folder on tmpfs for everything large. */
  readonly folder: string
}

/** Something that is measured at one go; gives one row or several. */
export interface Measurement {
  /** Names of its rows. */
  readonly names: readonly string[]
  readonly unit: string
  run(options: Options): Promise<Row[]>
}

export const MORE = 'ratio, more is better'
export const LESS = 'ratio, less is better'

export function isMet({ value, goal, unit }: Row): boolean | undefined {
  if (value === null || goal === null) return undefined
  return unit.includes('less is better') ? value <= goal : value >= goal
}

/** Not an error: something that this machine does not have. */
export class Skipped extends Error {}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no values')
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The value under which a share of all values lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
}

/** Runs all in turn, A B A B …, after one uncounted turn; gives the medians in the same order. */
export async function interleave(
  repetitions: number,
  runs: readonly (() => Promise<number>)[],
  between: () => Promise<void> | void = () => undefined,
): Promise<number[]> {
  const values: number[][] = runs.map(() => [])
  for (let i = 0; i <= repetitions; i++) {
    for (const [at, run] of runs.entries()) {
      await between()
      const value = await run()
      if (i > 0) values[at]!.push(value)
    }
  }
  return values.map(median)
}

export function gigabytes(value: number): string {
  return `${value.toFixed(2)} GB/s`
}
