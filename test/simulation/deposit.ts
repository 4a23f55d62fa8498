import type { Id } from '../../src/domain/ids.ts'

/** Something that a client wants kept, and what became of it. */
export interface Deposit {
  readonly externalId: string
  readonly path: string
  readonly content: Uint8Array
  readonly isPlayable: boolean
  /** Else it lies with its source, which is asked for it. */
  readonly isUploaded: boolean
  /** Recordings that were acknowledged for it: one, and it must be kept. */
  readonly acknowledged: Set<Id>
}
