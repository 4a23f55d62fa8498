/** How the length of what is sealed is hidden: not at all, or by Padmé. */
export type Padding = 'none' | 'padme'

/** Every way of padding; the first one is what a vault does without being told. */
export const paddings = ['none', 'padme'] as const satisfies readonly Padding[]

/**
 * The Padmé length of a content: the next length whose binary form ends in as many zeros as hide all but O(log log L) bits of it. Never more
 * than an eighth (at most 11.2 %) above the content length, and its own Padmé length.
 *
 * Nikitin, Barman, Lueks, Underwood, Hubaux, Ford: Reducing Metadata Leakage from Encrypted Files and Communication with PURBs,
 * PoPETs 2019(4), algorithm 1: E = ⌊log2 L⌋, S = ⌊log2 E⌋ + 1, the last E − S bits become zero.
 *
 * @param contentBytes a whole number below 2^52
 */
export function padmeBytes(contentBytes: number): number {
  if (contentBytes < 2) return contentBytes
  const exponent = floorLog2(contentBytes)
  const keptBits = floorLog2(exponent) + 1
  const step = 2 ** Math.max(0, exponent - keptBits)
  return Math.ceil(contentBytes / step) * step
}

/** Exact, which `Math.log2` is not close below a power of two. */
function floorLog2(value: number): number {
  let exponent = 0
  for (let rest = value; rest >= 2; rest /= 2) exponent++
  return exponent
}
