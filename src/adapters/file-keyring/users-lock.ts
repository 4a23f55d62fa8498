import { DatabaseSync } from 'node:sqlite'
import { MosaikError } from '../../domain/errors.ts'

const SQLITE_BUSY = 5

/** Given back when the keyring is closed, or the process ends. */
export interface HeldLock {
  release(): void
}

/**
 * Says that this process has the keyring open. Any number may; nobody can change what the files are sealed under meanwhile.
 * The lock is SQLite's on an empty database, as in file-lock.ts: a lock of the kernel, which ends with the process.
 *
 * @throws E_CONFLICT while somebody changes what it is locked by.
 */
export function holdAsUser(path: string): HeldLock {
  return hold(
    path,
    // A shared lock is taken by reading, and kept until the transaction ends.
    ['begin', 'select count(*) from sqlite_master'],
    'what the keyring is locked by is being changed; start again when that is done',
  )
}

/**
 * Keeps everybody else from opening the keyring.
 *
 * @throws E_CONFLICT when a process has it open.
 */
export function holdAlone(path: string): HeldLock {
  return hold(
    path,
    ['begin exclusive'],
    'a process has the keyring open: stop the vault, all processes of it, and try again',
  )
}

function hold(path: string, statements: readonly string[], busy: string): HeldLock {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    for (const statement of statements) database.exec(statement)
  } catch (error) {
    database.close()
    const isBusy = error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY
    throw isBusy ? new MosaikError('E_CONFLICT', busy) : error
  }
  return { release: () => database.close() }
}
