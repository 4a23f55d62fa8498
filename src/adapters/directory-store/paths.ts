import { mkdir, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ObjectKey } from '../../ports/object-store.ts'
import { checkKey } from '../object-key.ts'

/** Folder for files that are being written, below the root. Not objects. */
export const TEMPORARY = '.tmp'

/** Name of the marker: a folder without it is taken for a disk that is not mounted. */
export const MARKER = 'mosaik-node'

/** The folder inside a room in which an object of that name lies: the name's first two characters. */
export function fanOut(name: string): string {
  return name.slice(0, 2)
}

/** The file of an object: `f/abcdef` lies at `f/ab/abcdef` (docs/FORMAT.md §11). @throws E_INPUT */
export function objectPath(root: string, key: ObjectKey): string {
  checkKey(key)
  const slash = key.indexOf('/')
  if (slash < 0) return join(root, key)
  const name = key.slice(slash + 1)
  return join(root, key.slice(0, slash), fanOut(name), name)
}

/** Makes what was renamed into or removed from `folder` survive a power cut. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Folders whose own entries are known to be on the disk. */
export class DurableFolders {
  readonly #root: string
  readonly #known = new Set<string>()

  constructor(root: string) {
    this.#root = root
  }

  /** Makes `folder` and those above it, up to the root, and sees to it that they survive a power cut. */
  async make(folder: string): Promise<void> {
    if (folder === this.#root || this.#known.has(folder)) return
    await this.make(dirname(folder))
    await mkdir(folder).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    })
    // Also when it was there already: another process may have made it and not have synced it yet.
    await syncFolder(dirname(folder))
    this.#known.add(folder)
  }

  /** Has every folder looked for again at the next write: somebody removed one. */
  forget(): void {
    this.#known.clear()
  }
}
