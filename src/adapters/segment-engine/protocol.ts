import type { ErrorCode, SafeFields } from '../../domain/errors.ts'
import type { AssetCipher, ExtentSharing, OpenedSegment } from '../../ports/segment-engine.ts'
import type { Scheme } from '../../domain/dispersal.ts'

/** Messages between worker-engine.ts and worker.ts. Both are of one build: no versions. */

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
  /** Its buffer comes back with the answer, to be filled again. */
  readonly plaintext: Uint8Array<ArrayBuffer>
  /** Where the shares go: exactly as long as they are. Without it the thread makes one. */
  readonly target: ArrayBuffer | undefined
}

export interface OpenRequest {
  readonly kind: 'open'
  readonly job: number
  readonly codec: number
  /** All blocks one behind the other; comes back with the answer. */
  readonly framed: ArrayBuffer
  /** Where the plaintexts go, one behind the other; comes back with the answer. */
  readonly plaintext: ArrayBuffer
  readonly run: readonly {
    readonly segment: number
    readonly last: boolean
    readonly sealedBytes: number
    readonly blocks: readonly { readonly index: number; readonly lengthBytes: number }[]
  }[]
}

export type ToWorker = CodecSetup | SplitRequest | OpenRequest | { readonly kind: 'forget'; readonly codec: number }

export type FromWorker =
  /** `framed`: what the n shares get, equally long. */
  | { readonly job: number; readonly framed: ArrayBuffer; readonly plaintext: ArrayBuffer }
  | { readonly job: number; readonly opened: OpenedSegment[]; readonly framed: ArrayBuffer }
  | {
      readonly job: number
      readonly error: { readonly code: ErrorCode; readonly message: string; readonly fields: SafeFields }
    }
