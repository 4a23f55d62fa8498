/** The time. One home: adapters/node-system.ts; a test holds the world still with one of its own. */
export interface Clock {
  /** Milliseconds since 1970. */
  nowMs(): number
  /** Milliseconds of a clock that never goes back; only differences mean anything. */
  monotonicMs(): number
  /** Resolves after `delayMs`, or rejects with the signal's reason. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

/** Randomness. One home: adapters/node-system.ts. */
export interface Random {
  /** Bytes for keys, ids and nonces. */
  bytes(lengthBytes: number): Uint8Array<ArrayBuffer>
  /**
   * Bytes straight from the operating system's generator (/dev/urandom), for the keys of random rows and nothing else:
   * they must not come from the generator that makes AES keys (docs/FORMAT.md §2).
   */
  entropy(lengthBytes: number): Uint8Array<ArrayBuffer>
  /** A number in [0, 1), for jitter only. */
  fraction(): number
}

/** What happened, for people who run the vault. Fields are safe by contract: ids, counts, codes; never titles, tokens, keys. */
export interface Log {
  info(event: string, fields?: Readonly<Record<string, unknown>>): void
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void
  error(event: string, fields?: Readonly<Record<string, unknown>>): void
}
