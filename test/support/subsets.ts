/** 0 … count − 1. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

/** All subsets of `size` of `items`, each in the items' order. */
export function choose<T>(items: readonly T[], size: number): T[][] {
  if (size === 0) return [[]]
  return items.flatMap((first, i) => choose(items.slice(i + 1), size - 1).map((rest) => [first, ...rest]))
}
