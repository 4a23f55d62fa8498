import { checkScheme, type Scheme } from '../domain/dispersal.ts'
import { MosaikError } from '../domain/errors.ts'
import { BLOCK_TAG_BYTES, tagBlock } from './fragment-tag.ts'
import {
  checkIndices,
  loadRows,
  prepareBlockKeys,
  sortByTag,
  type BlockKeys,
  type CodecTools,
  type FramedBlock,
} from './framed-block.ts'
import { planMultiplication, type Multiplication } from './kernel/kernel.ts'
import { recoverRows } from './matrix.ts'

/**
 * Checks blocks and computes lost ones of one sharing, with the fragment keys alone: this file imports no FLOE and no
 * HPKE, and what it does cannot decrypt (docs/FORMAT.md §4). Synchronous.
 */
export class RepairCodec {
  readonly #tools: CodecTools
  readonly #scheme: Scheme
  readonly #keys: BlockKeys
  readonly #plans = new Map<string, Multiplication>()

  /**
   * @param fragmentKeys by share index: of the shares that are read and of those that are computed.
   * @throws E_SCHEME_INVALID
   */
  constructor(tools: CodecTools, scheme: Scheme, fragmentKeys: ReadonlyMap<number, Uint8Array>) {
    checkScheme(scheme)
    this.#tools = tools
    this.#scheme = scheme
    this.#keys = prepareBlockKeys(tools.primitives, fragmentKeys)
  }

  /**
   * The shares whose block of this segment has a wrong length or tag.
   *
   * @param segment global index.
   * @param rowBytes length of a block without tag, from the sealed length: `blockBytes`.
   */
  badIndices(segment: number, rowBytes: number, blocks: readonly FramedBlock[]): number[] {
    return sortByTag(this.#tools.primitives, this.#keys, segment, rowBytes, blocks).bad
  }

  /**
   * Share `to`'s block of a segment with its tag, from the blocks of k others: the same bytes that the split made.
   *
   * @param blocks exactly k.
   * @throws E_SHARES_TOO_FEW, E_SHARES_MIXED, E_SCHEME_INVALID as `checkIndices`; E_BLOCK_TAG when a tag does not verify,
   *   with the share indices in its fields.
   */
  recoverShare(segment: number, rowBytes: number, blocks: readonly FramedBlock[], to: number): Uint8Array<ArrayBuffer> {
    const key = this.#keys.get(to)
    if (key === undefined) throw new RangeError(`no fragment key for share ${to}`)
    this.#compute(segment, rowBytes, blocks, to)
    const block = this.#tools.kernel.output.subarray(0, rowBytes)
    const framed = this.#tools.allocate(rowBytes + BLOCK_TAG_BYTES)
    framed.set(block)
    framed.set(tagBlock(key, segment, block), rowBytes)
    return framed
  }

  /**
   * True when k + 1 blocks whose tags all verify fit together: finds a share that someone with the verify key made.
   *
   * @throws as `recoverShare`.
   */
  fitTogether(segment: number, rowBytes: number, blocks: readonly FramedBlock[]): boolean {
    const { k } = this.#scheme
    checkIndices({ ...this.#scheme, k: k + 1 }, segment, blocks)
    const probe = blocks[k]!
    this.#checkTags(segment, rowBytes, [probe])
    this.#compute(segment, rowBytes, blocks.slice(0, k), probe.index)
    const { kernel, primitives } = this.#tools
    return primitives.equal(kernel.output.subarray(0, rowBytes), probe.bytes.subarray(0, rowBytes))
  }

  #compute(segment: number, rowBytes: number, blocks: readonly FramedBlock[], to: number): void {
    checkIndices(this.#scheme, segment, blocks)
    this.#checkTags(segment, rowBytes, blocks)
    const plan = this.#planFor(
      blocks.map((block) => block.index),
      to,
    )
    loadRows(this.#tools, rowBytes, blocks)
    this.#tools.kernel.multiply(plan, rowBytes)
  }

  #checkTags(segment: number, rowBytes: number, blocks: readonly FramedBlock[]): void {
    const bad = this.badIndices(segment, rowBytes, blocks)
    if (bad.length === 0) return
    const indices = bad.map(String)
    throw new MosaikError(
      'E_BLOCK_TAG',
      `segment ${segment}: the blocks of shares ${indices.join(', ')} do not verify`,
      {
        segment,
        indices,
      },
    )
  }

  #planFor(from: readonly number[], to: number): Multiplication {
    const { k, n, t } = this.#scheme
    if (!Number.isInteger(to) || to < 0 || to >= n) {
      throw new MosaikError('E_SCHEME_INVALID', `there is no share ${to} of ${n}`, { n })
    }
    const name = `${from.join()}>${to}`
    let plan = this.#plans.get(name)
    if (plan === undefined) {
      plan = planMultiplication(recoverRows(k, t, from, [to]))
      this.#plans.set(name, plan)
    }
    return plan
  }
}
