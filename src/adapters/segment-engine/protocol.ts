import type { ErrorCode, SafeFields } from '../../domain/errors.ts'
import type { AssetCipher, ExtentSharing, OpenedSegment, SegmentToOpen } from '../../ports/segment-engine.ts'
import type { Scheme } from '../../domain/dispersal.ts'

/** Messages between worker-engine.ts and worker.ts. Both are of one build: no versions. Views are of shared memory. */

export interface OpenerSharing {
  readonly scheme: Scheme
  readonly extent: number
  readonly fragmentKeys: ReadonlyMap<number, Uint8Array>
}

/** Introduces a codec and its keys to a thread, once, before its first job there. */
export type CodecSetup =
  | { readonly kind: 'sealer'; readonly codec: number; readonly cipher: AssetCipher; readonly sharing: ExtentSharing }
  | { readonly kind: 'opener'; readonly codec: number; readonly cipher: AssetCipher; readonly sharing: OpenerSharing }

export interface SplitRequest {
  readonly kind: 'split'
  readonly job: number
  readonly codec: number
  /** The first of the run. */
  readonly segment: number
  readonly last: boolean
  readonly plaintext: Uint8Array
  /** Where the n shares go, one behind the other: exactly as long as they are. */
  readonly target: Uint8Array
}

export interface OpenRequest {
  readonly kind: 'open'
  readonly job: number
  readonly codec: number
  /** Where the plaintexts go, one behind the other; sent, and comes back with the answer. */
  readonly plaintext: ArrayBuffer
  readonly run: readonly SegmentToOpen[]
}

export type ToWorker = CodecSetup | SplitRequest | OpenRequest | { readonly kind: 'forget'; readonly codec: number }

export type FromWorker =
  /** The shares are in the target. */
  | { readonly job: number }
  | { readonly job: number; readonly opened: OpenedSegment[] }
  | {
      readonly job: number
      readonly error: { readonly code: ErrorCode; readonly message: string; readonly fields: SafeFields }
    }
