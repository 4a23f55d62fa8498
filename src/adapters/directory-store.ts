import { mkdir, readdir, stat, unlink, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MosaikError } from '../domain/errors.ts'
import type { ByteRange, ObjectInfo, ObjectKey, ObjectStore, ObjectWriter } from '../ports/object-store.ts'
import type { Clock, Random } from '../ports/system.ts'
import { fileError, isMissing } from './directory-store/errors.ts'
import { listObjects } from './directory-store/listing.ts'
import { DurableFolders, MARKER, objectPath, syncFolder, TEMPORARY } from './directory-store/paths.ts'
import { OpenFiles } from './directory-store/open-files.ts'
import { openDirectoryWriter, type DirectoryWriter } from './directory-store/writer.ts'
import { checkRange, checkSignal, checkSmall, WHOLE_READ_BYTES } from './object-key.ts'

/** Age from which a temporary file belongs to a process that is gone: a living writer touches its file far more often. */
const STALE_MS = 24 * 60 * 60 * 1000

export interface DirectoryStoreOptions {
  /** Absolute path of the node's folder. */
  readonly path: string
  /** Name of the node in errors. */
  readonly label: string
  /** Only while the node is being registered: the marker need not be there. */
  readonly registration: boolean
  readonly clock: Pick<Clock, 'nowMs'>
  readonly random: Pick<Random, 'bytes'>
}

/**
 * Opens a folder as a node and removes the temporary files of dead processes.
 * @throws E_NODE_UNREACHABLE when the folder or its marker is not there: a disk that is not mounted is not an empty one.
 */
export async function openDirectoryStore(options: DirectoryStoreOptions): Promise<ObjectStore> {
  const store = new DirectoryStore(options)
  await store.prepare()
  return store
}

/** A node that is a folder. Each object is one file; writes are atomic by renaming. */
class DirectoryStore implements ObjectStore {
  readonly #options: DirectoryStoreOptions
  readonly #root: string
  readonly #folders: DurableFolders
  readonly #files = new OpenFiles()

  constructor(options: DirectoryStoreOptions) {
    this.#options = options
    this.#root = options.path
    this.#folders = new DurableFolders(options.path)
  }

  async prepare(): Promise<void> {
    await this.#checkMounted()
    await this.#guard('open', async () => {
      const folder = join(this.#root, TEMPORARY)
      await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      })
      for (const name of await readdir(folder)) {
        const path = join(folder, name)
        const info = await stat(path).catch(() => undefined)
        if (info !== undefined && this.#options.clock.nowMs() - info.mtimeMs > STALE_MS)
          await unlink(path).catch(() => {})
      }
    })
  }

  async create(key: ObjectKey, signal: AbortSignal): Promise<ObjectWriter> {
    return this.#create(key, signal)
  }

  async #create(key: ObjectKey, signal: AbortSignal): Promise<DirectoryWriter> {
    const path = objectPath(this.#root, key)
    const name = Buffer.from(this.#options.random.bytes(16)).toString('hex')
    const place = {
      label: this.#options.label,
      key,
      path,
      temporaryPath: join(this.#root, TEMPORARY, name),
      folders: this.#folders,
      macKey: this.#options.random.bytes(32),
      checkMounted: () => this.#checkMounted(),
      replaced: () => this.#files.forget(path),
    }
    return openDirectoryWriter(place, signal)
  }

  async put(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    checkSmall(key, bytes)
    const writer = await this.#create(key, signal)
    try {
      await writer.write(bytes)
      await writer.commit()
    } catch (error) {
      await writer.discard()
      throw error
    }
  }

  async get(key: ObjectKey, range: ByteRange | undefined, signal: AbortSignal, into?: Uint8Array): Promise<Uint8Array> {
    const path = objectPath(this.#root, key)
    if (range !== undefined) checkRange(range)
    checkSignal(signal)
    return this.#guard('get', async () => {
      const bytes = await this.#presentOrMounted(
        this.#files.use(path, async (file) => {
          const { offsetBytes, lengthBytes } = range ?? {
            offsetBytes: 0,
            lengthBytes: await this.#wholeBytes(file, key),
          }
          // neither pooled, since it is memory of its own, nor zeroed, since every byte is written
          const place = into ?? new Uint8Array(Buffer.allocUnsafeSlow(lengthBytes).buffer)
          await this.#fill(file, key, offsetBytes, place, signal)
          return place
        }),
      )
      // what is read whole is not asked for again
      if (range === undefined) this.#files.forget(path)
      if (bytes === undefined) throw this.#absent(key)
      return bytes
    })
  }

  async head(key: ObjectKey, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    const path = objectPath(this.#root, key)
    checkSignal(signal)
    return this.#guard('head', async () => {
      const info = await this.#presentOrMounted(stat(path))
      return info === undefined || !info.isFile() ? undefined : { key, sizeBytes: info.size }
    })
  }

  async *list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectInfo> {
    checkSignal(signal)
    await this.#checkMounted()
    try {
      for await (const info of listObjects(this.#root, prefix)) {
        checkSignal(signal)
        yield info
      }
    } catch (error) {
      throw fileError(error, this.#options.label, 'list')
    }
    // Unmounted meanwhile: what came last was the end of the mount, not the end of the list.
    await this.#checkMounted()
  }

  async delete(key: ObjectKey, signal: AbortSignal): Promise<void> {
    const path = objectPath(this.#root, key)
    checkSignal(signal)
    await this.#guard('delete', async () => {
      await this.#presentOrMounted(unlink(path))
      this.#files.forget(path)
      // Also when it was absent: an earlier attempt may have died between unlink and sync.
      await this.#presentOrMounted(syncFolder(dirname(path)))
    })
  }

  async close(): Promise<void> {
    this.#files.forgetAll()
  }

  /** The answer, or undefined when the file system says "no such file" and the disk is mounted. */
  async #presentOrMounted<T>(answer: Promise<T>): Promise<T | undefined> {
    try {
      return await answer
    } catch (error) {
      if (!isMissing(error)) throw error
      await this.#checkMounted()
      return undefined
    }
  }

  /** @throws E_INPUT when that is too much for one read. */
  async #wholeBytes(file: FileHandle, key: ObjectKey): Promise<number> {
    const { size } = await file.stat()
    if (size <= WHOLE_READ_BYTES) return size
    throw new MosaikError('E_INPUT', `${key} has ${size} bytes: read it in ranges`, { key, sizeBytes: size })
  }

  async #fill(
    file: FileHandle,
    key: ObjectKey,
    offsetBytes: number,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<void> {
    const lengthBytes = bytes.length
    for (let done = 0; done < lengthBytes;) {
      checkSignal(signal)
      const { bytesRead } = await file.read(bytes, done, lengthBytes - done, offsetBytes + done)
      // asked only now: a range has all but always its bytes, and each call wakes a thread
      if (bytesRead === 0) throw this.#tooShort(key, offsetBytes + lengthBytes, (await file.stat()).size)
      done += bytesRead
    }
  }

  /** @throws E_NODE_UNREACHABLE when the root or its marker is not there. */
  async #checkMounted(): Promise<void> {
    const { label, registration } = this.#options
    const witness = registration ? this.#root : join(this.#root, MARKER)
    await stat(witness).catch((error: unknown) => {
      if (!isMissing(error)) throw fileError(error, label, 'look for the marker')
      const message = registration
        ? `node ${label}: there is no such folder; create it, or mount the disk`
        : `node ${label}: the marker ${MARKER} is not there; is the disk mounted?`
      throw new MosaikError('E_NODE_UNREACHABLE', message, { node: label }, error)
    })
  }

  async #guard<T>(operation: string, step: () => Promise<T>): Promise<T> {
    try {
      return await step()
    } catch (error) {
      throw fileError(error, this.#options.label, operation)
    }
  }

  #absent(key: ObjectKey): MosaikError {
    const { label } = this.#options
    return new MosaikError('E_OBJECT_ABSENT', `node ${label} has no ${key}`, { node: label, key })
  }

  #tooShort(key: ObjectKey, neededBytes: number, sizeBytes: number): MosaikError {
    const { label } = this.#options
    const message = `node ${label}: ${key} ends at ${sizeBytes}, ${neededBytes} bytes are needed`
    return new MosaikError('E_OBJECT_RANGE', message, { node: label, key, neededBytes, sizeBytes })
  }
}
