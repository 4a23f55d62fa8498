import type { Scheme } from '../domain/dispersal.ts'

/** What every segment of one asset attempt has in common (docs/FORMAT.md §3). Holds the DEK: never log, never serialise. */
export interface AssetCipher {
  /** 32 bytes. */
  readonly dek: Uint8Array
  /** FLOE header, 74 bytes. */
  readonly floeHeader: Uint8Array
  /** SHA-256 of the asset header, 32 bytes: FLOE's additional data. */
  readonly aad: Uint8Array
}

/** One split of one extent: its shares' tag keys and its random rows (docs/FORMAT.md §2, §4). */
export interface ExtentSharing {
  readonly scheme: Scheme
  /** Number of the extent, 0 for the first 8192 segments. */
  readonly extent: number
  /** One fragment key of 32 bytes a share, in order of index. */
  readonly fragmentKeys: readonly Uint8Array[]
  /** ChaCha20 key of this sharing's and extent's random rows: 32 fresh bytes from the kernel, used for nothing else. Ignored when t = 0. */
  readonly rowsKey: Uint8Array
}

/** One share's block of one segment together with its 16-byte tag, as it lies in the fragment. */
export interface FramedBlock {
  readonly index: number
  readonly bytes: Uint8Array
}

/** Segments that are best handed to an engine together: one trip to a thread, and one write a node. Divides an extent. */
export const RUN_SEGMENTS = 8

export interface SegmentSplitter {
  /**
   * Seals and splits consecutive segments: FLOE, then rows, then one tagged block a share. For each share, in order of index, its
   * blocks one behind the other, as they lie in the fragment. They are views of one buffer, the caller's until it gives them to
   * `SegmentEngine.recycle`.
   * `plaintext` is one or more times 262,112 bytes; when `last`, the last of its segments may be shorter or empty. It is the engine's from
   * now on. `segment` is the global index of the first; each is split exactly once, in any order, and all are of one extent.
   */
  split(segment: number, plaintext: Uint8Array, last: boolean): Promise<Uint8Array[]>
  close(): void
}

/** Answer of an opener: the plaintext, or which shares' tags did not verify (ask other nodes for those). */
export type OpenedSegment =
  | {
      readonly plaintext: Uint8Array<ArrayBuffer>
      /** Shares whose tag failed although k others verified: report them, queue repair. */
      readonly corruptIndices?: readonly number[]
      /** Shares whose tag passed but which do not fit the segment: made by someone with the verify key. Alarm. */
      readonly forgedIndices?: readonly number[]
    }
  | { readonly badIndices: readonly number[] }

/** A segment to be opened. */
export interface SegmentToOpen {
  readonly segment: number
  readonly last: boolean
  /** Length of the FLOE segment (262,144, or the last one's): from the manifest, never from a node. */
  readonly sealedBytes: number
  /** k or more; those beyond the first k that verify are used to find a bad share when FLOE fails. */
  readonly blocks: readonly FramedBlock[]
}

export interface SegmentOpener {
  /**
   * Checks every block's tag, combines exactly k of them, opens the FLOE segment.
   * @param sealedBytes length of the FLOE segment (262,144, or the last one's): from the manifest, never from a node.
   * @param blocks k or more; those beyond the first k that verify are used to find a bad share when FLOE fails.
   * @throws E_SHARES_TOO_FEW fewer than k blocks given; E_SEGMENT_TAG when all tags pass and no k-subset opens.
   */
  open(segment: number, last: boolean, sealedBytes: number, blocks: readonly FramedBlock[]): Promise<OpenedSegment>
  /** Several segments in one trip to a worker; their plaintexts lie one behind the other in one buffer. Throws as `open` when any of them does: open them one by one then. */
  openRun(run: readonly SegmentToOpen[]): Promise<OpenedSegment[]>
  close(): void
}

/** Bulk cryptography, wherever it runs: worker threads in the vault, in place in tests. Bounded: callers await. */
export interface SegmentEngine {
  /** How many runs of segments may usefully be in flight at once. */
  readonly parallelism: number
  splitter(cipher: AssetCipher, sharing: ExtentSharing): SegmentSplitter
  /** `fragmentKeys` by share index; entries of shares that are not read may be missing. */
  opener(
    cipher: AssetCipher,
    sharing: {
      readonly scheme: Scheme
      readonly extent: number
      readonly fragmentKeys: ReadonlyMap<number, Uint8Array>
    },
  ): SegmentOpener
  /** Memory with anything in it, for plaintext that is to be split or shares that are to be opened: from there nothing need be copied. */
  takeMemory(sizeBytes: number): Uint8Array
  /**
   * Takes back what `takeMemory`, a `split` or an opener gave, to write later segments there: fresh pages cost more than all arithmetic. All
   * shares of a split, or all plaintexts of a run, at once, and only when nothing reads or writes them any more: others write there next.
   * Not calling it costs speed and nothing else.
   */
  recycle(views: readonly Uint8Array[]): void
  close(): Promise<void>
}
