import { constants } from 'node:fs'
import { lstat, open, readdir, type FileHandle } from 'node:fs/promises'
import { join, resolve, sep } from 'node:path'
import { MosaikError } from '../domain/errors.ts'
import type { Folder, FolderFile } from '../ports/folder.ts'

/** Sub-folders below sub-folders: deeper ones are not looked into. */
const MAX_DEPTH = 8
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** A folder on this machine, or mounted on it. Looked at by listing: network file systems send no events. */
export function nodeFolder(root: string): Folder {
  const base = resolve(root)

  const absolute = (path: string): string => {
    const full = resolve(base, path)
    if (!full.startsWith(base + sep))
      throw new MosaikError('E_SOURCE_UNREADABLE', 'a path leads out of the watched folder')
    return full
  }

  async function walk(folder: string, prefix: string, depth: number, files: FolderFile[]): Promise<void> {
    const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
      // A sub-folder may go, or be closed to us; only the root has to be there.
      if (depth > 0) return []
      throw unreadable('the watched folder', error)
    })
    for (const entry of entries) {
      const path = `${prefix}${entry.name}`
      if (entry.isDirectory() && depth < MAX_DEPTH) await walk(join(folder, entry.name), `${path}/`, depth + 1, files)
      if (!entry.isFile()) continue
      const stat = await lstat(join(folder, entry.name)).catch(() => undefined)
      if (stat?.isFile() === true) files.push(fileOf(path, stat))
    }
  }

  async function opened<Value>(path: string, task: (file: FileHandle) => Promise<Value>): Promise<Value | undefined> {
    let file: FileHandle
    try {
      file = await open(absolute(path), OPEN_FLAGS)
    } catch (error) {
      if (['ENOENT', 'ELOOP', 'ENOTDIR'].includes(codeOf(error))) return undefined
      throw error instanceof MosaikError ? error : unreadable('a file in the watched folder', error)
    }
    try {
      return await task(file)
    } finally {
      await file.close()
    }
  }

  return {
    absolute,

    async list() {
      const files: FolderFile[] = []
      await walk(base, '', 0, files)
      return files
    },

    stat: (path) =>
      opened(path, async (file) => {
        const stat = await file.stat()
        return stat.isFile() ? fileOf(path, stat) : undefined
      }),

    async readText(path, maxBytes) {
      const text = await opened(path, async (file) => {
        const stat = await file.stat()
        if (!stat.isFile()) return undefined
        if (stat.size > maxBytes) {
          throw new MosaikError('E_SOURCE_UNREADABLE', `a text in the watched folder has more than ${maxBytes} bytes`)
        }
        try {
          return new TextDecoder('utf-8', { fatal: true }).decode(await file.readFile())
        } catch (error) {
          throw new MosaikError('E_SOURCE_UNREADABLE', 'a text in the watched folder is not UTF-8', {}, error)
        }
      })
      if (text === undefined) throw new MosaikError('E_SOURCE_UNREADABLE', 'a text in the watched folder is gone')
      return text
    },
  }
}

function fileOf(
  path: string,
  { size, mtimeMs, ino }: { readonly size: number; readonly mtimeMs: number; readonly ino: number },
): FolderFile {
  return { path, sizeBytes: size, modifiedAtMs: Math.round(mtimeMs), inode: String(ino) }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown'
}

function unreadable(what: string, error: unknown): MosaikError {
  const code = codeOf(error)
  return new MosaikError('E_SOURCE_UNREADABLE', `${what} cannot be read (${code})`, { cause: code }, error)
}
