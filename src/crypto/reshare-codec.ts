import { checkScheme, dataRows, type Scheme } from '../domain/dispersal.ts'
import { MosaikError } from '../domain/errors.ts'
import { blockBytes } from './dispersal.ts'
import { ExtentSplitter, type ExtentSharing } from './extent-splitter.ts'
import { checkIndices, loadRows, prepareBlockKeys, sortByTag } from './framed-block.ts'
import type { BlockKeys, CodecTools, FramedBlock } from './framed-block.ts'
import { planMultiplication, type Multiplication } from './kernel/kernel.ts'
import { dataRowNumbers, decodeRows, recoverRows } from './matrix.ts'

/**
 * Turns blocks of one sharing into blocks of another one of the same ciphertext, with fresh random rows and, where it is wanted, another
 * scheme: combine, split, tag. With the fragment keys alone: this file imports no FLOE and no HPKE, and what it does cannot decrypt
 * (docs/FORMAT.md §4). Synchronous.
 */
export class ReshareCodec {
  readonly #tools: CodecTools
  readonly #scheme: Scheme
  readonly #keys: BlockKeys
  readonly #splitter: ExtentSplitter
  readonly #plans = new Map<string, Multiplication>()

  /**
   * @param from the sharing that stands; fragment keys by index of the shares that are read.
   * @param to the new one.
   * @throws E_SCHEME_INVALID
   */
  constructor(
    tools: CodecTools,
    from: { readonly scheme: Scheme; readonly fragmentKeys: ReadonlyMap<number, Uint8Array> },
    to: ExtentSharing,
  ) {
    checkScheme(from.scheme)
    this.#tools = tools
    this.#scheme = from.scheme
    this.#keys = prepareBlockKeys(tools.primitives, from.fragmentKeys)
    this.#splitter = new ExtentSplitter(tools, to)
  }

  /** The shares whose block of this segment has a wrong length or tag. @param sealedBytes of the FLOE segment. */
  badIndices(segment: number, sealedBytes: number, last: boolean, blocks: readonly FramedBlock[]): number[] {
    const rowBytes = blockBytes(sealedBytes, dataRows(this.#scheme), last)
    return sortByTag(this.#tools.primitives, this.#keys, segment, rowBytes, blocks).bad
  }

  /**
   * The segment's blocks of the new sharing with their tags, in order of index.
   *
   * @param blocks k of the old sharing, or more: then all beyond the first k are held to those, for what is wrong now stays wrong for ever.
   * @throws E_SHARES_TOO_FEW, E_SHARES_MIXED (also when the blocks do not fit together although their tags verify), E_SCHEME_INVALID;
   *   E_BLOCK_TAG with the share indices in its fields.
   */
  reshare(segment: number, sealedBytes: number, last: boolean, blocks: readonly FramedBlock[]): Uint8Array[] {
    const { kernel, primitives } = this.#tools
    const { k } = this.#scheme
    checkIndices(this.#scheme, segment, blocks)
    const bad = this.badIndices(segment, sealedBytes, last, blocks)
    if (bad.length > 0) {
      const indices = bad.map(String)
      const message = `segment ${segment}: the blocks of shares ${indices.join(', ')} do not verify`
      throw new MosaikError('E_BLOCK_TAG', message, { segment, indices })
    }
    const rowBytes = blockBytes(sealedBytes, dataRows(this.#scheme), last)
    const front = blocks.slice(0, k)
    const probes = blocks.slice(k)
    loadRows(this.#tools, rowBytes, front)
    kernel.multiply(this.#planFor(front, probes), rowBytes)
    const probesAt = dataRows(this.#scheme)
    for (const [i, { bytes }] of probes.entries()) {
      const at = (probesAt + i) * rowBytes
      if (primitives.equal(kernel.output.subarray(at, at + rowBytes), bytes.subarray(0, rowBytes))) continue
      const indices = blocks.map(({ index }) => String(index))
      const message = `segment ${segment}: all tags verify, and shares ${indices.join(', ')} do not fit together: somebody made one`
      throw new MosaikError('E_SHARES_MIXED', message, { segment, indices })
    }
    const sealed = kernel.output.subarray(0, sealedBytes)
    const shares = this.#splitter.shares(this.#splitter.framedBytes(sealedBytes, last))
    this.#splitter.splitInto(segment, sealedBytes, last, (place) => place.set(sealed), shares)
    return shares
  }

  /** Overwrites keys as far as JavaScript can. */
  close(): void {
    this.#splitter.close()
  }

  /** The data rows, then what the probes should be. */
  #planFor(front: readonly FramedBlock[], probes: readonly FramedBlock[]): Multiplication {
    const { k, t } = this.#scheme
    const [from, to] = [front, probes].map((blocks) => blocks.map(({ index }) => index)) as [number[], number[]]
    const name = `${from.join()}>${to.join()}`
    let plan = this.#plans.get(name)
    if (plan === undefined) {
      const rows = decodeRows(k, t, from, dataRowNumbers(k, t))
      plan = planMultiplication(to.length === 0 ? rows : [...rows, ...recoverRows(k, t, from, to)])
      this.#plans.set(name, plan)
    }
    return plan
  }
}
