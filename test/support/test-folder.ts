import { accessSync, constants, mkdtempSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MEMORY = '/dev/shm'
const ENOUGH_BYTES = 2 ** 30

/**
 * A new folder for a vault of a test: in memory where there is room, since a vault waits for the disk some fifty times a recording. The caller
 * removes it.
 */
export function makeTestFolder(prefix: string): string {
  return mkdtempSync(join(hasRoom(MEMORY) ? MEMORY : tmpdir(), prefix))
}

function hasRoom(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder)
    accessSync(folder, constants.W_OK)
    return bavail * bsize >= ENOUGH_BYTES
  } catch {
    // no such folder, as on macOS, or not for us
    return false
  }
}
