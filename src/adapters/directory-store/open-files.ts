import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'

/** A file stays open for so long: one that another process removed or replaced is read no longer than that, and the call that is on its way. */
const KEPT_MS = 2000

/** Files that are kept open at most, of a node, so that many viewers do not use up what a process may have open. */
const KEPT_FILES = 64

interface Opened {
  readonly file: Promise<FileHandle>
  readonly timer: NodeJS.Timeout
  users: number
  isKept: boolean
}

/**
 * Files that are being read in ranges. A range is mostly followed by the next one of the same file: to open and close it for each
 * wakes a thread three times where one would do (docs/PERFORMANCE.md, "Waking a thread").
 */
export class OpenFiles {
  /** In the order in which they were opened. */
  readonly #kept = new Map<string, Opened>()

  /**
   * Calls `work` with the file, opened for reading; once more with the file opened anew where a file system over the network says that
   * another machine replaced or removed the one that was kept. Rejects as opening it (a link is refused) and `work` do; the next call then opens it anew.
   */
  async use<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T> {
    const kept = this.#kept.get(path)
    const opened = kept ?? this.#open(path)
    opened.users++
    try {
      return await work(await opened.file)
    } catch (error) {
      this.#leave(path, opened)
      if (kept !== undefined && (error as NodeJS.ErrnoException).code === 'ESTALE') return await this.use(path, work)
      throw error
    } finally {
      opened.users--
      closeUnused(opened)
    }
  }

  /** From now on another file, or none, is under this path. Calls that are on their way end with the former one. */
  forget(path: string): void {
    const opened = this.#kept.get(path)
    if (opened !== undefined) this.#leave(path, opened)
  }

  forgetAll(): void {
    for (const path of this.#kept.keys()) this.forget(path)
  }

  #open(path: string): Opened {
    const [oldest] = this.#kept.keys()
    if (oldest !== undefined && this.#kept.size >= KEPT_FILES) this.forget(oldest)
    const opened: Opened = {
      file: open(path, constants.O_RDONLY | constants.O_NOFOLLOW),
      // counted from now: a file system that never answers is asked again
      timer: setTimeout(() => this.#leave(path, opened), KEPT_MS).unref(),
      users: 0,
      isKept: true,
    }
    this.#kept.set(path, opened)
    return opened
  }

  #leave(path: string, opened: Opened): void {
    if (!opened.isKept) return
    opened.isKept = false
    clearTimeout(opened.timer)
    this.#kept.delete(path)
    closeUnused(opened)
  }
}

function closeUnused({ file, users, isKept }: Opened): void {
  if (isKept || users > 0) return
  // only read: nobody has to wait for it
  void file.then((handle) => handle.close()).catch(() => undefined)
}
