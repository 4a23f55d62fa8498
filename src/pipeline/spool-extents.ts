import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { FLOE_HEADER_BYTES } from '../crypto/floe.ts'
import { plainLength } from '../crypto/floe-message.ts'
import { decodeSpoolHeader, SPOOL_HEADER_BYTES, spoolLayout, type SpoolHeader } from '../format/spool-header.ts'
import type { SpoolFileInfo, SpoolFileReader, SpoolFiles } from '../ports/spool-files.ts'

/** The name of a complete extent. An extent counts from the moment when it has it. */
export function extentName(number: number): string {
  return String(number).padStart(8, '0')
}

/** The name of an extent that is being written; counts for nothing, and is never continued. */
export function partName(number: number, mark: string): string {
  return `${extentName(number)}.${mark}.part`
}

/** True for the name of an extent that is, or was, being written. */
export function isPart({ name }: SpoolFileInfo): boolean {
  return name.endsWith('.part')
}

/** The complete extents among an upload's files, in order. @throws E_SPOOL when one is missing between others */
export function completeExtents(upload: Id, files: readonly SpoolFileInfo[]): SpoolFileInfo[] {
  const extents = files.filter(({ name }) => /^\d{8}$/.test(name)).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  extents.forEach(({ name }, number) => {
    if (name !== extentName(number)) {
      throw new MosaikError('E_SPOOL', `extent ${number} of the upload is missing; begin the upload anew`, {
        upload,
        extent: number,
      })
    }
  })
  return extents
}

/** Where the FLOE segments of a spool file start, in bytes. */
export function segmentsAt({ suite }: Pick<SpoolHeader, 'suite'>): number {
  return spoolLayout(suite).floeHeaderAt + FLOE_HEADER_BYTES
}

/** The header of a file, and how many bytes of the upload the file holds. @throws E_FORMAT_… when it is none, E_SPOOL */
export async function readExtentHeader(
  file: SpoolFileReader,
): Promise<{ readonly header: SpoolHeader; readonly bytes: Uint8Array; readonly plainBytes: number }> {
  if (file.sizeBytes < SPOOL_HEADER_BYTES) {
    throw new MosaikError('E_FORMAT_LENGTH', 'a file of the spool is shorter than its header')
  }
  const bytes = await file.read(0, SPOOL_HEADER_BYTES)
  const header = decodeSpoolHeader(bytes)
  return { header, bytes, plainBytes: plainLength(file.sizeBytes - segmentsAt(header)) }
}

/** Opens a file for `task` and closes it; `undefined` when it is not there. */
export async function withFile<Value>(
  files: SpoolFiles,
  upload: Id,
  name: string,
  task: (file: SpoolFileReader) => Promise<Value>,
): Promise<Value | undefined> {
  const file = await files.open(upload, name)
  if (file === undefined) return undefined
  try {
    return await task(file)
  } finally {
    await file.close()
  }
}
