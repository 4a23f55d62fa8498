/** Name of an object on a node: `f/…`, `m/…`, `s/…`, `card/…` or `mosaik-node` (docs/FORMAT.md §11). */
export type ObjectKey = string

/** A half-open run of bytes of an object. */
export interface ByteRange {
  readonly offsetBytes: number
  /** At least 1. */
  readonly lengthBytes: number
}

export interface ObjectInfo {
  readonly key: ObjectKey
  readonly sizeBytes: number
}

/**
 * Writes one object of unknown length. Nothing is visible under the key before `commit` resolves.
 * One call at a time; exactly one of `commit` or `abort` ends it.
 */
export interface ObjectWriter {
  /**
   * Takes `chunk` (its memory belongs to the writer until the promise resolves, and is free afterwards).
   * Resolves when the writer can take more: this is the back-pressure.
   * @throws E_NODE_UNREACHABLE, E_NODE_REFUSED, E_NODE_FULL; the writer is then dead, `abort` it.
   */
  write(chunk: Uint8Array): Promise<void>

  /**
   * Makes the object durable and **verified**: the store enforced a checksum over every byte, or every byte was read
   * back and compared. Only then does it resolve.
   * @throws E_NODE_CORRUPT when what lies there is not what was written, and the others of `write`.
   */
  commit(): Promise<ObjectInfo>

  /** Leaves nothing behind as far as the node answers: no object, no upload, no temporary file. Never rejects. */
  abort(): Promise<void>
}

/**
 * One storage node. Every implementation passes `test/contract/object-store`.
 *
 * *Absent is not unreachable*: an answer "no such object" is E_OBJECT_ABSENT (or `undefined`, or nothing to do);
 * no answer is E_NODE_UNREACHABLE; a refusal (403, quota, read-only) is E_NODE_REFUSED or E_NODE_FULL. The cause is
 * always kept. All calls may be repeated after a failure; a key always carries the same bytes.
 */
export interface ObjectStore {
  /**
   * Opens a writer. An object already under `key` is replaced as a whole at `commit`.
   * `signal` covers the writer's whole life.
   */
  create(key: ObjectKey, signal: AbortSignal): Promise<ObjectWriter>

  /** Writes a small object (≤ 8 MiB) whole; durable and verified when it resolves. Throws as ObjectWriter does. */
  put(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal): Promise<void>

  /**
   * Reads the range, or the whole object. The result has exactly the length asked for, in memory of its own: in `into` where the store
   * can, which is as long as the range. When it rejects, `into` may still be written.
   * What another process deleted may be given for two seconds more.
   * @throws E_OBJECT_ABSENT, E_OBJECT_RANGE when the object ends before the range does (a truncated object shows so),
   * E_NODE_UNREACHABLE (also when the body breaks off), E_NODE_REFUSED.
   */
  get(key: ObjectKey, range: ByteRange | undefined, signal: AbortSignal, into?: Uint8Array): Promise<Uint8Array>

  /** Size of the object, or `undefined` when the node says that there is none. */
  head(key: ObjectKey, signal: AbortSignal): Promise<ObjectInfo | undefined>

  /** Every object whose key starts with `prefix`, in order of keys. A failed page rejects; it never ends the list early. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo>

  /**
   * Deletes the object, all its versions and its unfinished uploads. An absent object is success.
   * Resolves only when the node has confirmed; a later `head` says `undefined`.
   */
  delete(key: ObjectKey, signal: AbortSignal): Promise<void>

  /** Releases connections. The store is not used afterwards. */
  close(): Promise<void>
}
