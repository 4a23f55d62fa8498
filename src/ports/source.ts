import type { Id } from '../domain/ids.ts'
import type { RecordingInfo } from '../domain/recording.ts'
import type { WorkInput } from './catalog/recordings.ts'

/**
 * One finished recording that a source offers. A meeting-system connector is one file under `src/sources` that makes these and
 * hands them to `Intake`; everything behind is the same for all.
 */
export interface SourceRecording {
  readonly info: RecordingInfo
  readonly original: SourceFile
  /** WebVTT or SubRip beside the recording, one for each language. */
  readonly captions: readonly SourceFile[]
}

/** Content that can be opened again from the start, as often as needed, until `release`. */
export interface SourceFile {
  /** Name as the source has it; goes into the sealed manifest. */
  readonly name: string
  /** Exact length, or `undefined` when the source cannot tell. */
  readonly sizeBytes: number | undefined
  /** What the source says of the content, checked while storing. @see E_SOURCE_HASH */
  readonly sha256: Uint8Array | undefined
  /**
   * The bytes from the start. A chunk is the caller's until the next one is asked for. @throws E_SOURCE_UNREADABLE, E_SOURCE_CHANGED (not what was offered; nothing is stored)
   */
  open(signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** What intake answers: the recording's id, and whether this deposit made it (a repeated one finds the first). */
export interface Deposited {
  readonly recording: Id
  readonly created: boolean
}

/** The one way in. A source calls `deposit` as often as it likes for the same thing: (source kind, external id) decides. */
export interface Intake {
  /** Durable when it resolves: the work of storing is in the catalog. @throws E_INPUT naming the field. */
  deposit(organisation: Id, offer: SourceOffer): Promise<Deposited>
}

/** Where the bytes wait until the store job fetches them. */
export interface SourceOffer {
  readonly info: RecordingInfo
  readonly original: SourcePlace
  /** At most `CAPTIONS_MAX`; of the same kind as the original. */
  readonly captions: readonly SourcePlace[]
}

export type SourcePlace =
  | {
      readonly kind: 'file'
      readonly path: string
      readonly sizeBytes: number
      readonly modifiedAtMs: number
      readonly deleteAfterReceipt: boolean
      /** What the source says of the content, hexadecimal; checked while storing. */
      readonly sha256?: string
    }
  | { readonly kind: 'upload'; readonly upload: Id }

/** Fetches what an offer named, when its work runs. */
export interface SourceAccess {
  /** @throws E_SOURCE_UNREADABLE when it is gone, E_SOURCE_CHANGED when it is not what was offered */
  open(input: WorkInput): Promise<Pick<SourceRecording, 'original' | 'captions'>>
  /**
   * Lets go of the source copy after the receipt: the spool always, a file only when its offer said so and it is still the one that was
   * read. An upload's row names `recording` from then on, even when whoever deposited it died before saying so. Nothing to do is success.
   */
  release(input: WorkInput, recording: Id): Promise<void>
}
