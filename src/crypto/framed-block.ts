import type { Scheme } from '../domain/dispersal.ts'
import { MosaikError } from '../domain/errors.ts'
import { BLOCK_TAG_BYTES, checkFramedBlock } from './fragment-tag.ts'
import type { Kernel } from './kernel/kernel.ts'
import type { GcmKey, Primitives } from './primitives.ts'

/** What the codecs work with; one set serves one thread, and many codecs one after the other. */
export interface CodecTools {
  readonly primitives: Primitives
  readonly kernel: Kernel
  /** Makes the arrays that are handed out; content may be anything. `new Uint8Array(n)` always does. */
  allocate(bytes: number): Uint8Array<ArrayBuffer>
  /** What `target.set(source)` does: the two are equally long, and either may be shared memory. */
  copy(source: Uint8Array, target: Uint8Array): void
}

/** One share's block of one segment with its 16-byte tag, as it lies in the fragment. */
export interface FramedBlock {
  readonly index: number
  readonly bytes: Uint8Array
}

/** Fragment keys by share index, made ready for GMAC. */
export type BlockKeys = ReadonlyMap<number, GcmKey>

/** Makes fragment keys of 32 bytes ready. @throws RangeError for another length. */
export function prepareBlockKeys(primitives: Primitives, keys: Iterable<readonly [number, Uint8Array]>): BlockKeys {
  return new Map(Array.from(keys, ([index, key]) => [index, primitives.gcm(key)]))
}

/**
 * Checks that blocks can belong to one segment of one sharing: each index once, inside the scheme, at least k of them.
 *
 * @throws E_SHARES_TOO_FEW; E_SHARES_MIXED an index twice; E_SCHEME_INVALID an index outside 0 … n−1.
 */
export function checkIndices({ k, n }: Scheme, segment: number, blocks: readonly FramedBlock[]): void {
  const indices = blocks.map((block) => block.index)
  const outside = indices.find((index) => !Number.isInteger(index) || index < 0 || index >= n)
  if (outside !== undefined) {
    throw new MosaikError('E_SCHEME_INVALID', `segment ${segment}: there is no share ${outside} of ${n}`, {
      segment,
      n,
    })
  }
  if (new Set(indices).size !== indices.length) {
    throw new MosaikError('E_SHARES_MIXED', `segment ${segment}: one share was given twice`, {
      segment,
      indices: indices.map(String),
    })
  }
  if (indices.length < k) {
    throw new MosaikError(
      'E_SHARES_TOO_FEW',
      `segment ${segment}: ${indices.length} shares of the ${k} that restore it`,
      {
        segment,
        k,
        given: indices.length,
      },
    )
  }
}

/**
 * Sorts blocks by whether their length and tag are right, in the order given.
 *
 * @param rowBytes length of a block without its tag.
 * @throws RangeError when there is no key for a share.
 */
export function sortByTag(
  primitives: Primitives,
  keys: BlockKeys,
  segment: number,
  rowBytes: number,
  blocks: readonly FramedBlock[],
): { readonly good: FramedBlock[]; readonly bad: number[] } {
  const good: FramedBlock[] = []
  const bad: number[] = []
  for (const block of blocks) {
    const key = keys.get(block.index)
    if (key === undefined) throw new RangeError(`no fragment key for share ${block.index}`)
    const fits = block.bytes.length === rowBytes + BLOCK_TAG_BYTES
    if (fits && checkFramedBlock(primitives, key, segment, block.bytes)) good.push(block)
    else bad.push(block.index)
  }
  return { good, bad }
}

/** Writes the blocks, without tags, to the kernel's input rows, in the order given. */
export function loadRows(
  { kernel, copy }: Pick<CodecTools, 'kernel' | 'copy'>,
  rowBytes: number,
  blocks: readonly FramedBlock[],
): void {
  blocks.forEach((block, row) => {
    copy(block.bytes.subarray(0, rowBytes), kernel.input.subarray(row * rowBytes, (row + 1) * rowBytes))
  })
}
