import type { Id } from '../domain/ids.ts'
import type { SourceFile } from './source.ts'

/**
 * The sealed spool (docs/FORMAT.md §10): uploads that cannot be read twice wait here, as FLOE ciphertext on local disk, until the store job
 * has put them onto the nodes. Whoever appends cannot open.
 */
export interface Spool {
  /** Makes room for an upload. Idempotent. */
  begin(upload: Id): Promise<void>
  /**
   * Appends from `offsetBytes` on. Resolves with the new offset when `content` ended, or broke off: what arrived until then is kept, sealed and
   * fsynced. Only complete extents count.
   * @throws E_CONFLICT when `offsetBytes` is not where the upload stands, E_SPOOL when the disk is full or fails (nothing half counts)
   */
  append(upload: Id, offsetBytes: number, content: AsyncIterable<Uint8Array>): Promise<number>
  /** Where the upload stands: bytes in complete extents. 0 for an unknown one. */
  offsetBytes(upload: Id): Promise<number>
  /** Opens the upload for the store job. @throws E_SOURCE_UNREADABLE when it is not there, or a key of it was destroyed */
  read(upload: Id, name: string, sizeBytes: number, sha256: Uint8Array | undefined): SourceFile
  /** Removes the upload's files. Nothing to do is success. */
  remove(upload: Id): Promise<void>
  /** Replaces the spool key when it is older than a day or the spool is empty; destroys halves that no file needs. */
  rotateKeys(): Promise<void>
}
