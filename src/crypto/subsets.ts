/**
 * The subsets of `size` of `items`: first the first `size`, then those that exchange one of them for a later item, then two,
 * and so on. So a single bad item among the first is found after at most size · (items − size) tries.
 */
export function* exchanges<T>(items: readonly T[], size: number): Generator<T[]> {
  const first = items.slice(0, size)
  const spare = items.slice(size)
  for (let count = 0; count <= Math.min(size, spare.length); count++) {
    for (const leaving of choose(first, count)) {
      const staying = first.filter((item) => !leaving.includes(item))
      for (const entering of choose(spare, count)) yield [...staying, ...entering]
    }
  }
}

/** All subsets of `size` of `items`, each in the items' order. */
function* choose<T>(items: readonly T[], size: number): Generator<T[]> {
  if (size === 0) {
    yield []
    return
  }
  for (let i = 0; i <= items.length - size; i++) {
    for (const rest of choose(items.slice(i + 1), size - 1)) yield [items[i]!, ...rest]
  }
}
