import { constants, mkdirSync } from 'node:fs'
import { link, lstat, mkdir, open, readdir, rmdir, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { MosaikError } from '../domain/errors.ts'
import { isId, parseId, type Id } from '../domain/ids.ts'
import type { SpoolFileReader, SpoolFiles, SpoolFileWriter } from '../ports/spool-files.ts'

const namePattern = /^[0-9a-z][0-9a-z.-]{0,63}$/

/**
 * The spool's files in a folder on a local disk; makes the folder (0700). Files are 0600, links are refused.
 *
 * @throws E_SPOOL when the folder cannot be made
 */
export function openSpoolFiles(folder: string): SpoolFiles {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw spoolError(error, 'make the folder')
  }

  const pathOf = (upload: Id, name?: string): string => {
    parseId(upload, 'upload')
    if (name === undefined) return join(folder, upload)
    if (!namePattern.test(name)) throw new MosaikError('E_SPOOL', 'a file of the spool cannot have this name')
    return join(folder, upload, name)
  }

  return {
    async uploads() {
      return await attempt('list the uploads', async () => {
        const entries = await readdir(folder, { withFileTypes: true })
        return entries.filter((entry) => entry.isDirectory() && isId(entry.name)).map(({ name }) => name)
      })
    },

    async make(upload) {
      await attempt('make room for an upload', async () => {
        await mkdir(pathOf(upload), { mode: 0o700 }).catch((error: unknown) => {
          if (codeOf(error) !== 'EEXIST') throw error
        })
        await syncFolder(folder)
      })
    },

    async list(upload) {
      return await attempt('list an upload', async () => {
        const names = await readdir(pathOf(upload)).catch(emptyWhenAbsent)
        const files = []
        for (const name of names) {
          const stat = await lstat(join(pathOf(upload), name)).catch(undefinedWhenAbsent)
          if (stat?.isFile() === true) files.push({ name, sizeBytes: stat.size })
        }
        return files
      })
    },

    async create(upload, name) {
      return await attempt('create a file', async () => {
        const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
        return new Writer(await open(pathOf(upload, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600))
      })
    },

    async complete(upload, name, finalName) {
      await attempt('complete a file', async () => {
        // link refuses a taken name, where rename would overwrite it
        await link(pathOf(upload, name), pathOf(upload, finalName)).catch((error: unknown) => {
          if (codeOf(error) !== 'EEXIST') throw error
          throw new MosaikError('E_CONFLICT', 'another request has already written this part of the upload', { upload })
        })
        await unlink(pathOf(upload, name))
        await syncFolder(pathOf(upload))
      })
    },

    async open(upload, name) {
      return await attempt('open a file', async () => {
        const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
        const file = await open(pathOf(upload, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(undefinedWhenAbsent)
        if (file === undefined) return undefined
        try {
          const stat = await file.stat()
          if (!stat.isFile()) throw new MosaikError('E_SPOOL', 'something in the spool is not a file', { upload })
          return reader(file, stat.size)
        } catch (error) {
          await file.close()
          throw error
        }
      })
    },

    async discard(upload, name) {
      await attempt('delete a file', () => unlink(pathOf(upload, name)).catch(undefinedWhenAbsent))
    },

    async remove(upload) {
      await attempt('delete an upload', async () => {
        const names = await readdir(pathOf(upload)).catch(undefinedWhenAbsent)
        if (names === undefined) return
        for (const name of names.toSorted().toReversed()) {
          await unlink(join(pathOf(upload), name)).catch(undefinedWhenAbsent)
        }
        await rmdir(pathOf(upload)).catch(undefinedWhenAbsent)
        await syncFolder(folder)
      })
    },
  }
}

class Writer implements SpoolFileWriter {
  readonly #file: FileHandle
  #closed = false

  constructor(file: FileHandle) {
    this.#file = file
  }

  async write(bytes: Uint8Array): Promise<void> {
    await attempt('write', async () => {
      for (let at = 0; at < bytes.length;) {
        const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at)
        at += bytesWritten
      }
    })
  }

  async sync(): Promise<void> {
    await attempt('sync', () => this.#file.sync())
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await attempt('close', () => this.#file.close())
  }
}

function reader(file: FileHandle, sizeBytes: number): SpoolFileReader {
  return {
    sizeBytes,
    read: (positionBytes, lengthBytes) =>
      attempt('read', async () => {
        const bytes = new Uint8Array(lengthBytes)
        for (let at = 0; at < lengthBytes;) {
          const { bytesRead } = await file.read(bytes, at, lengthBytes - at, positionBytes + at)
          if (bytesRead === 0) throw new MosaikError('E_SPOOL', 'a file of the spool ends too early')
          at += bytesRead
        }
        return bytes
      }),
    close: () => attempt('close', () => file.close()),
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function attempt<Value>(what: string, task: () => Promise<Value>): Promise<Value> {
  try {
    return await task()
  } catch (error) {
    throw error instanceof MosaikError ? error : spoolError(error, what)
  }
}

function spoolError(error: unknown, what: string): MosaikError {
  const code = codeOf(error) ?? 'unknown'
  const words =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'the disk of the spool is full: make room, then send the rest of the upload'
      : code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
        ? 'the folder of the spool may not be written to by this user'
        : code === 'ENAMETOOLONG' || code === 'ELOOP'
          ? 'the spool holds something that is not its own'
          : `the disk of the spool failed (${code})`
  return new MosaikError('E_SPOOL', words, { cause: code, step: what }, error)
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}

function undefinedWhenAbsent(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error
}

function emptyWhenAbsent(error: unknown): string[] {
  if (codeOf(error) !== 'ENOENT') throw error
  return []
}
