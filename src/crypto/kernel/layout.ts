import { MAX_K, MAX_N } from '../../domain/dispersal.ts'

/**
 * How a kernel's memory is laid out. It never grows, so views of it stay valid.
 *
 * Rows lie one behind the other, without gaps, in two areas: so the sealed segment is one contiguous piece, both as
 * input rows of a split and as output rows of a combination. Only what is touched costs memory.
 */

/** Longest row, in bytes: a whole segment, when L = 1. */
export const MAX_ROW_BYTES = 262_144

/** Most input rows and output rows of one multiplication. */
export const MAX_INPUT_ROWS = MAX_K
export const MAX_OUTPUT_ROWS = MAX_N - 1

export const INPUT_AREA_BYTES = MAX_INPUT_ROWS * MAX_ROW_BYTES
export const OUTPUT_AREA_BYTES = MAX_OUTPUT_ROWS * MAX_ROW_BYTES

/** Lookup tables of one multiplication: 32 bytes a weight. */
export const TABLE_BYTES = 32 * MAX_INPUT_ROWS * MAX_OUTPUT_ROWS

/** Keeps output rows off the 4 KiB alias of input rows (an odd multiple of 64). */
export const STAGGER_BYTES = 33 * 64

/** Static data and stack of the compiled module before its rows: one page is plenty. */
const MODULE_BYTES = 65_536

/** Pages of 64 KiB of the WASM memory; scripts/build-kernel.ts gives them to the module. */
export const KERNEL_MEMORY_PAGES = Math.ceil(
  (MODULE_BYTES + TABLE_BYTES + INPUT_AREA_BYTES + STAGGER_BYTES + OUTPUT_AREA_BYTES) / 65_536,
)
