import { checkScheme, dataRows, type Scheme } from '../domain/dispersal.ts'
import { MosaikError } from '../domain/errors.ts'
import { blockBytes, extentOfSegment } from './dispersal.ts'
import { ExtentSplitter, type ExtentSharing } from './extent-splitter.ts'
import { FLOE_NONCE_BYTES, FloeKey, SEGMENT_BYTES, SEGMENT_OVERHEAD_BYTES, SEGMENT_PLAIN_BYTES } from './floe.ts'
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
import { dataRowNumbers, decodeRows, recoverRows } from './matrix.ts'
import { exchanges } from './subsets.ts'

/** DEK (32 bytes), FLOE header (74) and SHA-256 of the asset header (32) of an attempt. */
export interface ContentCipher {
  readonly dek: Uint8Array
  readonly floeHeader: Uint8Array
  readonly aad: Uint8Array
}

/** What sealing needs beyond `CodecTools`: fresh random bytes, for FLOE's nonces. */
export interface SealerTools extends CodecTools {
  randomFill(target: Uint8Array<ArrayBuffer>): void
}

/** What the opener says of a segment. */
export type CodecAnswer =
  | {
      readonly plaintext: Uint8Array<ArrayBuffer>
      /** Shares whose tag failed, when k others verified. Missing when there are none. */
      readonly corruptIndices?: readonly number[]
      /** Shares whose tag passed but which do not fit the segment that opened: someone with the verify key made them. */
      readonly forgedIndices?: readonly number[]
    }
  /** Fewer than k tags verified: these shares' did not. */
  | { readonly badIndices: readonly number[] }

/** Most subsets of the given blocks that are tried before a segment is given up: about a tenth of a second. */
export const MAX_SUBSETS = 1024

/** Most plans of combinations that are kept. */
const MAX_PLANS = 256

/** Seals, splits and tags the segments of one extent of one sharing (docs/FORMAT.md §2-§4). Synchronous. */
export class SegmentSealer {
  readonly #tools: SealerTools
  readonly #floe: FloeKey
  readonly #splitter: ExtentSplitter
  readonly #nonce = new Uint8Array(FLOE_NONCE_BYTES)

  /** @throws E_SCHEME_INVALID; E_HEADER_TAG, E_FORMAT_FIELD, E_FORMAT_LENGTH for a FLOE header that does not fit the DEK. */
  constructor(tools: SealerTools, cipher: ContentCipher, sharing: ExtentSharing) {
    this.#tools = tools
    this.#splitter = new ExtentSplitter(tools, sharing)
    this.#floe = new FloeKey(tools.primitives, cipher.dek, cipher.aad, cipher.floeHeader)
  }

  /**
   * One segment's blocks with tags, in order of share index: views of one buffer.
   *
   * @param segment global index, inside the extent; each is split exactly once under one sharing.
   * @param plaintext 262,112 bytes; fewer, also none, when `last`.
   * @throws RangeError for a segment of another extent or a plaintext of another length.
   */
  split(segment: number, plaintext: Uint8Array, last: boolean): Uint8Array[] {
    const shares = this.#splitter.shares(this.#framedBytes(plaintext.length, last))
    this.#splitInto(segment, plaintext, last, shares)
    return shares
  }

  /**
   * Consecutive segments: for each share, in order of index, its blocks with tags one behind the other, as they lie in the fragment.
   *
   * @param segment the first one's global index, as for `split`.
   * @param plaintext whole segments of 262,112 bytes; when `last`, they end with the recording's last one, which may be shorter or empty.
   * @param target of exactly n times the bytes of a share, all of which is written; without one, a new one.
   * @throws RangeError as `split`, and for a target of another length.
   */
  splitRun(segment: number, plaintext: Uint8Array, last: boolean, target?: Uint8Array): Uint8Array[] {
    const whole = Math.max(1, Math.ceil(plaintext.length / SEGMENT_PLAIN_BYTES)) - 1
    const tail = plaintext.subarray(whole * SEGMENT_PLAIN_BYTES)
    const inner = this.#framedBytes(SEGMENT_PLAIN_BYTES, false)
    const shares = this.#splitter.shares(whole * inner + this.#framedBytes(tail.length, last), target)
    for (let i = 0; i < whole; i++) {
      const [from, to] = [i * inner, (i + 1) * inner]
      const piece = plaintext.subarray(i * SEGMENT_PLAIN_BYTES, (i + 1) * SEGMENT_PLAIN_BYTES)
      const blocks = shares.map((share) => share.subarray(from, to))
      this.#splitInto(segment + i, piece, false, blocks)
    }
    const blocks = shares.map((share) => share.subarray(whole * inner))
    this.#splitInto(segment + whole, tail, last, blocks)
    return shares
  }

  #framedBytes(plainBytes: number, last: boolean): number {
    return this.#splitter.framedBytes(plainBytes + SEGMENT_OVERHEAD_BYTES, last)
  }

  #splitInto(segment: number, plaintext: Uint8Array, last: boolean, blocks: readonly Uint8Array[]): void {
    const seal = (place: Uint8Array<ArrayBuffer>): void => {
      this.#tools.randomFill(this.#nonce)
      this.#floe.sealSegmentInto(segment, plaintext, last, this.#nonce, place)
    }
    this.#splitter.splitInto(segment, plaintext.length + SEGMENT_OVERHEAD_BYTES, last, seal, blocks)
  }

  /** Overwrites keys as far as JavaScript can. */
  close(): void {
    this.#floe.destroy()
    this.#splitter.close()
  }
}

/** Checks, combines and opens the segments of one extent of one sharing. Synchronous. */
export class SegmentOpener {
  readonly #tools: CodecTools
  readonly #scheme: Scheme
  readonly #extent: number
  readonly #floe: FloeKey
  readonly #keys: BlockKeys
  readonly #plans = new Map<string, Multiplication>()

  /**
   * @param sharing fragment keys by share index; those of shares that are not read may be missing.
   * @throws as `SegmentSealer`.
   */
  constructor(
    tools: CodecTools,
    cipher: ContentCipher,
    sharing: {
      readonly scheme: Scheme
      readonly extent: number
      readonly fragmentKeys: ReadonlyMap<number, Uint8Array>
    },
  ) {
    checkScheme(sharing.scheme)
    this.#tools = tools
    this.#scheme = sharing.scheme
    this.#extent = sharing.extent
    this.#floe = new FloeKey(tools.primitives, cipher.dek, cipher.aad, cipher.floeHeader)
    this.#keys = prepareBlockKeys(tools.primitives, sharing.fragmentKeys)
  }

  /**
   * Checks every block's tag, combines the first k that verify and opens the segment. When the segment does not open,
   * other k-subsets are tried, those that exchange the fewest blocks first; what does not fit the one that opens is named.
   *
   * @param sealedBytes length of the FLOE segment and `last`: from the manifest, never from a node.
   * @param target of exactly the plaintext's bytes, where it goes; without one, a new one. Its content says nothing when nothing opened.
   * @throws E_SHARES_TOO_FEW, E_SHARES_MIXED, E_SCHEME_INVALID as `checkIndices`; E_FORMAT_LENGTH for a length that no
   *   segment has; E_SEGMENT_TAG when tags pass and no subset opens; RangeError for a segment of another extent.
   */
  open(
    segment: number,
    last: boolean,
    sealedBytes: number,
    blocks: readonly FramedBlock[],
    target?: Uint8Array<ArrayBuffer>,
  ): CodecAnswer {
    if (extentOfSegment(segment) !== this.#extent)
      throw new RangeError(`segment ${segment} is not of extent ${this.#extent}`)
    const shortest = last ? SEGMENT_OVERHEAD_BYTES : SEGMENT_BYTES
    if (!Number.isInteger(sealedBytes) || sealedBytes < shortest || sealedBytes > SEGMENT_BYTES) {
      throw new MosaikError('E_FORMAT_LENGTH', `no segment has ${sealedBytes} bytes`, { segment, sealedBytes, last })
    }
    checkIndices(this.#scheme, segment, blocks)
    const rowBytes = blockBytes(sealedBytes, dataRows(this.#scheme), last)
    const { good, bad } = sortByTag(this.#tools.primitives, this.#keys, segment, rowBytes, blocks)
    if (good.length < this.#scheme.k) return { badIndices: bad }

    const plaintext = target ?? this.#tools.allocate(sealedBytes - SEGMENT_OVERHEAD_BYTES)
    let tried = 0
    for (const subset of exchanges(good, this.#scheme.k)) {
      if (tried++ === MAX_SUBSETS) break
      this.#combine(rowBytes, subset)
      const sealed = this.#tools.kernel.output.subarray(0, sealedBytes)
      if (!this.#floe.openSegmentInto(segment, sealed, last, plaintext)) continue
      const forged = tried === 1 ? [] : this.#misfits(rowBytes, subset, good)
      return {
        plaintext,
        ...(bad.length > 0 && { corruptIndices: bad }),
        ...(forged.length > 0 && { forgedIndices: forged }),
      }
    }
    throw new MosaikError(
      'E_SEGMENT_TAG',
      `segment ${segment}: all tags pass, and no ${this.#scheme.k} shares open it`,
      {
        segment,
        indices: good.map((block) => String(block.index)),
      },
    )
  }

  /** Overwrites keys as far as JavaScript can. */
  close(): void {
    this.#floe.destroy()
  }

  #combine(rowBytes: number, subset: readonly FramedBlock[]): void {
    loadRows(this.#tools, rowBytes, subset)
    this.#tools.kernel.multiply(this.#planFor(subset.map((block) => block.index)), rowBytes)
  }

  /** Which of the other blocks are not what `subset`, whose rows are still in the kernel, says they should be. */
  #misfits(rowBytes: number, subset: readonly FramedBlock[], good: readonly FramedBlock[]): number[] {
    const { kernel, primitives } = this.#tools
    const { k, t } = this.#scheme
    const others = good.filter((block) => !subset.includes(block))
    const from = subset.map((block) => block.index)
    return others
      .filter((block) => {
        kernel.multiply(planMultiplication(recoverRows(k, t, from, [block.index])), rowBytes)
        return !primitives.equal(kernel.output.subarray(0, rowBytes), block.bytes.subarray(0, rowBytes))
      })
      .map((block) => block.index)
  }

  #planFor(indices: readonly number[]): Multiplication {
    const name = indices.join()
    const { k, t } = this.#scheme
    let plan = this.#plans.get(name)
    if (plan === undefined) {
      if (this.#plans.size >= MAX_PLANS) this.#plans.clear()
      plan = planMultiplication(decodeRows(k, t, indices, dataRowNumbers(k, t)))
      this.#plans.set(name, plan)
    }
    return plan
  }
}
