import { checkScheme, dataRows, type Scheme } from '../domain/dispersal.ts'
import { blockBytes, extentOfSegment, writeRandomRows } from './dispersal.ts'
import { BLOCK_TAG_BYTES, tagBlock } from './fragment-tag.ts'
import { prepareBlockKeys, type BlockKeys, type CodecTools } from './framed-block.ts'
import { planMultiplication, type Multiplication } from './kernel/kernel.ts'
import { encodeRows, systematicShares } from './matrix.ts'

/** One sharing of one extent: its shares' tag keys and its random rows (docs/FORMAT.md §2, §4). */
export interface ExtentSharing {
  readonly scheme: Scheme
  readonly extent: number
  /** One for each of the n shares, in order of index. */
  readonly fragmentKeys: readonly Uint8Array[]
  /** 32 bytes from the operating system, used for nothing else. */
  readonly rowsKey: Uint8Array
}

/** Splits sealed segments of one extent into rows and tagged blocks. Knows nothing of what is sealed in them. Synchronous. */
export class ExtentSplitter {
  readonly #tools: CodecTools
  readonly #scheme: Scheme
  readonly #extent: number
  readonly #keys: BlockKeys
  readonly #rowsKey: Uint8Array<ArrayBuffer>
  readonly #plan: Multiplication | undefined

  /** @throws E_SCHEME_INVALID; RangeError for another number of keys than shares. */
  constructor(tools: CodecTools, { scheme, extent, fragmentKeys, rowsKey }: ExtentSharing) {
    checkScheme(scheme)
    if (fragmentKeys.length !== scheme.n)
      throw new RangeError(`${fragmentKeys.length} fragment keys for ${scheme.n} shares`)
    this.#tools = tools
    this.#scheme = scheme
    this.#extent = extent
    this.#keys = prepareBlockKeys(tools.primitives, fragmentKeys.entries())
    this.#rowsKey = Uint8Array.from(rowsKey)
    const computed = Array.from({ length: scheme.n }, (_, i) => i).slice(systematicShares(scheme.k, scheme.t))
    this.#plan = computed.length === 0 ? undefined : planMultiplication(encodeRows(scheme.k, scheme.t, computed))
  }

  /** Length of a block with its tag. @param sealedBytes of the sealed segment. */
  framedBytes(sealedBytes: number, last: boolean): number {
    return this.#rowBytes(sealedBytes, last) + BLOCK_TAG_BYTES
  }

  /** Memory of n shares, one behind the other. @throws RangeError for a target of another length. */
  shares(shareBytes: number, target?: Uint8Array): Uint8Array[] {
    const { n } = this.#scheme
    if (target !== undefined && target.length !== n * shareBytes) throw new RangeError('the target does not fit')
    const whole: Uint8Array = target ?? this.#tools.allocate(n * shareBytes)
    return Array.from({ length: n }, (_, index) => whole.subarray(index * shareBytes, (index + 1) * shareBytes))
  }

  /**
   * Splits one segment.
   *
   * @param segment global index, inside the extent; each is split exactly once under one sharing.
   * @param write puts the sealed segment where it is split: `sealedBytes` long, in the kernel's input.
   * @param blocks where each share's block and tag go: exactly as long as they are.
   * @throws RangeError for a segment of another extent.
   */
  splitInto(
    segment: number,
    sealedBytes: number,
    last: boolean,
    write: (sealed: Uint8Array<ArrayBuffer>) => void,
    blocks: readonly Uint8Array[],
  ): void {
    if (extentOfSegment(segment) !== this.#extent)
      throw new RangeError(`segment ${segment} is not of extent ${this.#extent}`)
    const { kernel, primitives, copy } = this.#tools
    const { k, t } = this.#scheme
    const rowBytes = this.#rowBytes(sealedBytes, last)
    const dataAt = t * rowBytes

    // what writes it checks that it fits; a longer one must not spill over the rows
    write(kernel.input.subarray(dataAt, dataAt + sealedBytes))
    kernel.input.fill(0, dataAt + sealedBytes, k * rowBytes)
    writeRandomRows(primitives, this.#rowsKey, this.#scheme, segment, rowBytes, kernel.input.subarray(0, dataAt))
    if (this.#plan !== undefined) kernel.multiply(this.#plan, rowBytes)

    const unchanged = systematicShares(k, t)
    for (const [index, block] of blocks.entries()) {
      const area = index < unchanged ? kernel.input : kernel.output
      const at = (index < unchanged ? index : index - unchanged) * rowBytes
      copy(area.subarray(at, at + rowBytes), block.subarray(0, rowBytes))
      block.set(tagBlock(this.#keys.get(index)!, segment, block.subarray(0, rowBytes)), rowBytes)
    }
  }

  #rowBytes(sealedBytes: number, last: boolean): number {
    return blockBytes(sealedBytes, dataRows(this.#scheme), last)
  }

  /** Overwrites the key of the random rows as far as JavaScript can. */
  close(): void {
    this.#rowsKey.fill(0)
  }
}
