import { DatabaseSync } from 'node:sqlite'
import { MosaikError } from '../../domain/errors.ts'
import type { Clock } from '../../ports/system.ts'

const RETRY_MS = 20
const GIVE_UP_MS = 15_000
const SQLITE_BUSY = 5

/**
 * Runs `task` while no other process, and no other call in this one, runs one under the same lock file.
 *
 * The lock is SQLite's: an exclusive transaction on an empty database, that is a lock of the kernel on a byte of the file.
 * It ends with the process however the process ends, so there is no stale lock to judge by process numbers, which say
 * nothing across containers. Nothing is ever written into the file.
 *
 * @throws E_CONFLICT when others held the lock for 15 seconds.
 */
export async function withFileLock<T>(path: string, clock: Clock, task: () => T): Promise<T> {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    const startMs = clock.monotonicMs()
    while (!tryBegin(database)) {
      if (clock.monotonicMs() - startMs > GIVE_UP_MS) {
        throw new MosaikError('E_CONFLICT', 'another process is changing the keyring and does not finish; try again')
      }
      await clock.sleep(RETRY_MS)
    }
    return task()
  } finally {
    // closing rolls the empty transaction back
    database.close()
  }
}

function tryBegin(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    if (error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY) return false
    throw error
  }
}
