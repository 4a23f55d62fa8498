import { fileSource, releaseFile } from '../adapters/file-source.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import { fromHex, type Id } from '../domain/ids.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { SourceAccess, SourceFile } from '../ports/source.ts'
import type { Spool } from '../ports/spool.ts'
import type { Clock } from '../ports/system.ts'

/** Where the work of storing reads from: files of this machine, and uploads in the sealed spool. */
export function sourceAccess(catalog: Catalog, spool: Spool, clock: Clock): SourceAccess {
  return {
    async open(input) {
      if (input.kind === 'file') return fileSource(input)
      if (input.kind === 'vault') throw new MosaikError('E_INTERNAL', 'this work reads the vault, not a source')
      const original = await uploadSource(input.upload)
      const captions = await Promise.all(input.captionsUploads.map(captionsSource))
      return { original, captions }
    },
    async release(input, recording) {
      if (input.kind === 'file') await releaseFile(input)
      if (input.kind !== 'upload') return
      for (const upload of [input.upload, ...input.captionsUploads]) {
        await spool.remove(upload)
        // The row stays a day: a client whose last answer was lost must not begin again. Captions of a second recording may have lost theirs.
        await catalog.uploads
          .updateUpload(upload, { state: 'consumed', recording }, clock.nowMs())
          .catch((error: unknown) => {
            if (!isMosaikError(error, 'E_INPUT')) throw error
          })
      }
      await spool.rotateKeys()
    },
  }

  /** Captions that are gone are no reason to fail the recording: the error waits until they are read. */
  async function captionsSource(id: Id): Promise<SourceFile> {
    try {
      return await uploadSource(id)
    } catch (error) {
      return { name: 'captions', sizeBytes: undefined, sha256: undefined, open: () => failing(error) }
    }
  }

  async function uploadSource(id: Id): Promise<SourceFile> {
    const upload = await catalog.uploads.upload(id)
    if (upload === undefined || upload.lengthBytes === null) {
      throw new MosaikError('E_SOURCE_UNREADABLE', 'the upload is gone or never became complete', { upload: id })
    }
    const { filename = 'recording', sha256 } = upload.metadata
    return spool.read(id, filename, upload.lengthBytes, sha256 === undefined ? undefined : fromHex(sha256))
  }
}

async function* failing(error: unknown): AsyncGenerator<Uint8Array> {
  throw error
}
