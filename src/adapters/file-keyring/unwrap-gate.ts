import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { UnwrapPurpose } from '../../ports/keyring.ts'
import type { Clock } from '../../ports/system.ts'

/** What is written down before a document key is unwrapped. */
export interface UnwrapEntry {
  readonly organisation: Id
  /** key id of the vault key, hexadecimal. */
  readonly keyId: string
  readonly purpose: UnwrapPurpose
  readonly atMs: number
}

/** Makes an entry durable, or rejects: then nothing is unwrapped. */
export type RecordUnwrap = (entry: UnwrapEntry) => Promise<void>

export const DEFAULT_UNWRAPS_PER_MINUTE = 600
const MINUTE_MS = 60_000

/** Stands before every unwrap: the rate cap of the organisation in this process, then the record. */
export class UnwrapGate {
  readonly #clock: Clock
  readonly #record: RecordUnwrap
  readonly #perMinute: number
  /** Times of the unwraps of the last minute, by organisation; oldest first. */
  readonly #times = new Map<Id, number[]>()

  constructor(clock: Clock, record: RecordUnwrap, perMinute: number) {
    this.#clock = clock
    this.#record = record
    this.#perMinute = perMinute
  }

  /** @throws E_KEYRING_RATE; whatever the record rejects with. */
  async pass(entry: Omit<UnwrapEntry, 'atMs'>): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    const recent = (this.#times.get(entry.organisation) ?? []).filter((atMs) => nowMs - atMs < MINUTE_MS)
    this.#times.set(entry.organisation, recent)
    if (recent.length >= this.#perMinute) {
      throw new MosaikError(
        'E_KEYRING_RATE',
        `more than ${this.#perMinute} documents of the organisation would be opened within a minute; wait, and look for who does it`,
        { organisation: entry.organisation, perMinute: this.#perMinute },
      )
    }
    recent.push(nowMs)
    await this.#record({ ...entry, atMs: this.#clock.nowMs() })
  }
}
