import { open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MosaikError } from '../../domain/errors.ts'
import type { ObjectInfo, ObjectKey, ObjectWriter } from '../../ports/object-store.ts'
import type { GcmKey } from '../../crypto/primitives.ts'
import { nodePrimitives } from '../node-primitives.ts'
import { checkSignal } from '../object-key.ts'
import { fileError, isMissing } from './errors.ts'
import { syncFolder, type DurableFolders } from './paths.ts'

/** Longest piece that is written, and read back, at once: a share's part of a run. Each call wakes a thread, which costs more than writing 128 KiB. */
const PIECE_BYTES = 2.5 * 1024 * 1024

/** Where a writer writes, and what it asks its store. */
export interface WritePlace {
  readonly label: string
  readonly key: ObjectKey
  /** Below `.tmp/`, on the same file system as `path`. */
  readonly temporaryPath: string
  readonly path: string
  readonly folders: DurableFolders
  /** 32 random bytes for this object only. */
  readonly macKey: Uint8Array
  /** @throws E_NODE_UNREACHABLE when the disk is no longer mounted. */
  checkMounted(): Promise<void>
  /** The file under `path` is another one now, or gone. */
  replaced(): void
}

/** Opens the temporary file. @throws E_NODE_UNREACHABLE, E_NODE_REFUSED, E_NODE_FULL */
export async function openDirectoryWriter(place: WritePlace, signal: AbortSignal): Promise<DirectoryWriter> {
  checkSignal(signal)
  await place.checkMounted()
  try {
    // Never re-made here: on a disk that has just been unmounted the folder is missing, and must stay so.
    const file = await open(place.temporaryPath, 'wx+', 0o600)
    return new DirectoryWriter(place, file, signal)
  } catch (error) {
    if (isMissing(error)) await place.checkMounted()
    throw fileError(error, place.label, 'create')
  }
}

/**
 * Writes to a temporary file; `commit` syncs it, reads it back (through the page cache: it proves what the file system
 * holds, not the platter), renames it into place and syncs the folder.
 *
 * What is read back is compared by a GMAC under a key of the writer's own: on a processor with AES that takes a third of the time of a CRC-32.
 */
export class DirectoryWriter implements ObjectWriter {
  readonly #place: WritePlace
  readonly #signal: AbortSignal
  readonly #file: FileHandle
  readonly #mac: GcmKey
  /** Of the pieces that were written, in order. */
  readonly #pieces: { readonly lengthBytes: number; readonly tag: Uint8Array }[] = []
  #sizeBytes = 0
  #failure: MosaikError | undefined
  #state: 'open' | 'renamed' | 'committed' | 'aborted' = 'open'

  constructor(place: WritePlace, file: FileHandle, signal: AbortSignal) {
    this.#place = place
    this.#file = file
    this.#signal = signal
    this.#mac = nodePrimitives.gcm(place.macKey)
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#guard('write', async () => {
      for (let at = 0; at < chunk.length; at += PIECE_BYTES)
        await this.#writePiece(chunk.subarray(at, at + PIECE_BYTES))
    })
  }

  async commit(): Promise<ObjectInfo> {
    const { key, path } = this.#place
    await this.#guard('commit', async () => {
      await this.#file.sync()
      await this.#verify()
      await this.#file.close()
      await this.#place.checkMounted()
      checkSignal(this.#signal)
      await this.#moveIntoPlace()
      await syncFolder(dirname(path))
      await this.#place.checkMounted()
      this.#state = 'committed'
    })
    return { key, sizeBytes: this.#sizeBytes }
  }

  async abort(): Promise<void> {
    const renamed = this.#state === 'renamed'
    await this.discard()
    if (!renamed) return
    await unlink(this.#place.path).catch(ignore)
    this.#place.replaced()
    await syncFolder(dirname(this.#place.path)).catch(ignore)
  }

  /** Ends the writer and removes its temporary file, but nothing that already lies under the key. Never rejects. */
  async discard(): Promise<void> {
    if (this.#state === 'committed' || this.#state === 'aborted') return
    this.#state = 'aborted'
    await this.#file.close().catch(ignore)
    await unlink(this.#place.temporaryPath).catch(ignore)
  }

  async #moveIntoPlace(): Promise<void> {
    const { path, temporaryPath, folders } = this.#place
    const move = async (): Promise<void> => {
      await folders.make(dirname(path))
      await rename(temporaryPath, path)
    }
    await move().catch(async (error: unknown) => {
      if (!isMissing(error)) throw error
      await this.#place.checkMounted()
      folders.forget()
      await move()
    })
    this.#state = 'renamed'
    this.#place.replaced()
  }

  async #writePiece(piece: Uint8Array): Promise<void> {
    const lengthBytes = piece.length
    const written = this.#writeAll(piece)
    // while another thread writes it
    this.#pieces.push({ lengthBytes, tag: this.#tag(this.#pieces.length, piece) })
    await written
    this.#sizeBytes += lengthBytes
  }

  async #writeAll(piece: Uint8Array): Promise<void> {
    for (let offset = 0; offset < piece.length;) {
      const left = piece.length - offset
      const { bytesWritten } = await this.#file.write(piece, offset, left, this.#sizeBytes + offset)
      offset += bytesWritten
    }
  }

  #tag(number: number, piece: Uint8Array): Uint8Array {
    const nonce = new Uint8Array(12)
    new DataView(nonce.buffer).setUint32(8, number)
    return this.#mac.gmac(nonce, piece)
  }

  async #verify(): Promise<void> {
    const longest = this.#pieces.reduce((longer, { lengthBytes }) => Math.max(longer, lengthBytes), 1)
    const buffers = [Buffer.allocUnsafeSlow(longest), Buffer.allocUnsafeSlow(longest)] as const
    const placeOf = (number: number, lengthBytes: number): Uint8Array => buffers[number % 2]!.subarray(0, lengthBytes)
    let position = 0
    let reading = this.#readBack(placeOf(0, this.#pieces[0]?.lengthBytes ?? 1), 0)
    for (const [number, { lengthBytes, tag }] of this.#pieces.entries()) {
      const read = await reading
      // One is read while the other is looked at; behind the last there is nothing.
      reading = this.#readBack(placeOf(number + 1, this.#pieces[number + 1]?.lengthBytes ?? 1), position + lengthBytes)
      const isGood = read === lengthBytes && nodePrimitives.equal(this.#tag(number, placeOf(number, read)), tag)
      if (!isGood || this.#signal.aborted) await reading.catch(ignore)
      if (!isGood) throw this.#corrupt(position + read)
      checkSignal(this.#signal)
      position += lengthBytes
    }
    if ((await reading) > 0) throw this.#corrupt(position + 1)
    // Freed at once: left to the garbage collector, these would pile up.
    for (const { buffer } of buffers) buffer.transfer(0)
  }

  /** Fills the buffer from there on, as far as the file goes. */
  async #readBack(buffer: Uint8Array, position: number): Promise<number> {
    let done = 0
    while (done < buffer.length) {
      const { bytesRead } = await this.#file.read(buffer, done, buffer.length - done, position + done)
      if (bytesRead === 0) break
      done += bytesRead
    }
    return done
  }

  #corrupt(readBytes: number): MosaikError {
    const { label, key } = this.#place
    return new MosaikError('E_NODE_CORRUPT', `node ${label}: what lies under ${key} is not what was written`, {
      node: label,
      key,
      writtenBytes: this.#sizeBytes,
      readBytes,
    })
  }

  /** Runs one step; a failed one leaves the writer dead. */
  async #guard(operation: string, step: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#state !== 'open') throw new MosaikError('E_INTERNAL', `${operation} on a writer that has ended`)
    try {
      checkSignal(this.#signal)
      await step()
    } catch (error) {
      this.#failure = fileError(error, this.#place.label, operation)
      throw this.#failure
    }
  }
}

function ignore(): void {
  // What cannot be cleaned up now is found by its age when the store is opened the next time.
}
