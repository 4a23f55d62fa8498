import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { SPOOL_HEADER_BYTES, decodeSpoolHeader } from '../format/spool-header.ts'
import type { SpoolKeys } from '../ports/keyring.ts'
import type { SpoolFileInfo } from '../ports/spool-files.ts'
import type { Spool } from '../ports/spool.ts'
import { completeExtents, isPart, readExtentHeader, withFile } from './spool-extents.ts'
import { readUpload } from './spool-read.ts'
import { ExtentWriter, type ExtentPorts } from './spool-write.ts'

/** What the spool needs. */
export interface SpoolOptions extends ExtentPorts {
  readonly keys: SpoolKeys
  /** Segments of 256 KiB in an extent before the next one begins: what a crash may lose. 256 (64 MiB) when left out. */
  readonly extentSegments?: number
}

const EXTENT_SEGMENTS = 256

/**
 * The sealed spool (docs/FORMAT.md §10). Everything it knows it reads from its files, so a crash at any line leaves an upload that stands
 * where its last complete extent ends. Memory: two segments a running request.
 */
export function createSpool(options: SpoolOptions): Spool {
  const { files, keys, extentSegments = EXTENT_SEGMENTS } = options
  /** Uploads that this process writes to. Between processes the exclusive final name of an extent decides. */
  const writing = new Set<Id>()

  async function standing(upload: Id): Promise<{ number: number; offsetBytes: number; files: SpoolFileInfo[] }> {
    const listed = await files.list(upload)
    const extents = completeExtents(upload, listed)
    const last = extents.at(-1)
    if (last === undefined) return { number: 0, offsetBytes: 0, files: listed }
    const end = await withFile(files, upload, last.name, async (file) => {
      const { header, plainBytes } = await readExtentHeader(file)
      return header.offsetBytes + plainBytes
    }).catch((error: unknown) => {
      if (!isMosaikError(error) || error.code === 'E_SPOOL') throw error
      throw new MosaikError(
        'E_SPOOL',
        'the last extent of the upload is damaged; begin the upload anew',
        { upload },
        error,
      )
    })
    if (end === undefined) throw conflict(upload)
    return { number: extents.length, offsetBytes: end, files: listed }
  }

  async function append(upload: Id, offsetBytes: number, content: AsyncIterable<Uint8Array>): Promise<number> {
    await files.make(upload)
    const at = await standing(upload)
    if (at.offsetBytes !== offsetBytes) throw conflict(upload, at.offsetBytes)
    // Left by a crash. Should another process be writing there, it fails and the upload stands where it stood.
    for (const part of at.files.filter(isPart)) await files.discard(upload, part.name)
    let { number, offsetBytes: endBytes } = at
    let extent: ExtentWriter | undefined
    const complete = async (): Promise<void> => {
      if (extent === undefined) return
      endBytes += await extent.complete()
      number += 1
      extent = undefined
    }
    const chunks = content[Symbol.asyncIterator]()
    try {
      for (let chunk = await nextOrEnd(chunks); chunk !== undefined; chunk = await nextOrEnd(chunks)) {
        for (let taken = 0; taken < chunk.length;) {
          extent ??= await ExtentWriter.begin(options, upload, number, endBytes, extentSegments)
          taken += await extent.take(chunk.subarray(taken))
          if (extent.isFull) await complete()
        }
      }
      await complete()
      return endBytes
    } catch (error) {
      await extent?.abandon()
      await chunks.return?.()
      throw error
    }
  }

  return {
    begin: (upload) => files.make(upload),

    async append(upload, offsetBytes, content) {
      if (writing.has(upload))
        throw new MosaikError('E_CONFLICT', 'another request is writing to this upload', { upload })
      writing.add(upload)
      try {
        return await append(upload, offsetBytes, content)
      } finally {
        writing.delete(upload)
      }
    },

    offsetBytes: async (upload) => (await standing(upload)).offsetBytes,

    read: (upload, name, sizeBytes, sha256) => ({
      name,
      sizeBytes,
      sha256,
      open: (signal) => readUpload(options, upload, sizeBytes, signal),
    }),

    remove: (upload) => files.remove(upload),

    async rotateKeys() {
      const inUse = new Map<string, Uint8Array>()
      for (const upload of await files.uploads()) {
        for (const { name } of await files.list(upload)) {
          const keyId = await withFile(files, upload, name, keyIdOf)
          if (keyId !== undefined) inUse.set(keyId.join(), keyId)
        }
      }
      await keys.rotateSpoolKeys([...inUse.values()])
    },
  }
}

/** The key that a file needs, also one that is still being written; none when it is no file of the spool. Disk trouble is passed on. */
async function keyIdOf(file: Parameters<typeof readExtentHeader>[0]): Promise<Uint8Array | undefined> {
  if (file.sizeBytes < SPOOL_HEADER_BYTES) return undefined
  const bytes = await file.read(0, SPOOL_HEADER_BYTES)
  try {
    return decodeSpoolHeader(bytes).keyId
  } catch {
    return undefined
  }
}

/** The next chunk; `undefined` at the end, and when the content breaks off: what came until then is kept. */
async function nextOrEnd(chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array | undefined> {
  try {
    const step = await chunks.next()
    return step.done === true ? undefined : step.value
  } catch {
    return undefined
  }
}

function conflict(upload: Id, offsetBytes?: number): MosaikError {
  const words = offsetBytes === undefined ? 'is being changed' : `stands at byte ${offsetBytes}`
  return new MosaikError('E_CONFLICT', `the upload ${words}: ask where it stands and go on from there`, { upload })
}
