import type { Id } from '../domain/ids.ts'

/** A file of an upload, as a listing shows it. */
export interface SpoolFileInfo {
  readonly name: string
  readonly sizeBytes: number
}

/** A new file that is being written, from its start to its end. */
export interface SpoolFileWriter {
  /** Appends. The caller may use the buffer again when it resolves. @throws E_SPOOL */
  write(bytes: Uint8Array): Promise<void>
  /** Resolves when what was written survives a power cut. @throws E_SPOOL */
  sync(): Promise<void>
  /** Lets go of the file. Safe to repeat. */
  close(): Promise<void>
}

/** A file that is being read. */
export interface SpoolFileReader {
  readonly sizeBytes: number
  /** Exactly these bytes, in a buffer of the caller's own. @throws E_SPOOL, also when the file ends before them */
  read(positionBytes: number, lengthBytes: number): Promise<Uint8Array>
  close(): Promise<void>
}

/**
 * The few file operations that the sealed spool needs (docs/FORMAT.md §10). One folder an upload; names are plain. Only this user can read
 * what is there; links are never followed.
 */
export interface SpoolFiles {
  /** Uploads that have a folder. @throws E_SPOOL */
  uploads(): Promise<Id[]>
  /** Makes the upload's folder, durably. Idempotent. @throws E_SPOOL */
  make(upload: Id): Promise<void>
  /** Its files; none for an unknown upload. @throws E_SPOOL */
  list(upload: Id): Promise<SpoolFileInfo[]>
  /** @throws E_SPOOL, also when the name is taken */
  create(upload: Id, name: string): Promise<SpoolFileWriter>
  /**
   * Gives a synced file its final name, durably, in one step: after a power cut it has the one or the other.
   * @throws E_CONFLICT when the final name is taken (nothing is overwritten), E_SPOOL
   */
  complete(upload: Id, name: string, finalName: string): Promise<void>
  /** `undefined` when there is no such file. @throws E_SPOOL */
  open(upload: Id, name: string): Promise<SpoolFileReader | undefined>
  /** Deletes one file. Nothing to do is success. @throws E_SPOOL */
  discard(upload: Id, name: string): Promise<void>
  /** Deletes the upload with all its files, last name first, so that what a crash leaves is a beginning. @throws E_SPOOL */
  remove(upload: Id): Promise<void>
}
