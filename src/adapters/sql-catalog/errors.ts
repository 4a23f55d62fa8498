import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'

/** What both drivers put on their errors, as far as we look at it. */
interface DriverError {
  readonly message?: unknown
  /** SQLSTATE, a system error's name, or ERR_SQLITE_ERROR. */
  readonly code?: unknown
  /** SQLite's extended result code. */
  readonly errcode?: unknown
  readonly table?: unknown
  readonly constraint?: unknown
}

const SQLITE_FULL = 13
const SQLITE_NOTADB = 26
const SQLITE_CORRUPT = 11
const SQLITE_READONLY = 8
const sqliteUnique = [1555, 2067, 2579]
const SQLITE_CONSTRAINT_FOREIGNKEY = 787
/** SQLITE_ERROR, MISMATCH, MISUSE, RANGE. */
const sqliteMistakes = [1, 20, 21, 25]

/** True when PostgreSQL broke a transaction off for another one's sake: it may simply run again. */
export function isTransient(error: unknown): boolean {
  const { code } = error as DriverError
  return code === '40001' || code === '40P01'
}

/** True when a row with the same unique value exists. */
export function isUniqueViolation(error: unknown): boolean {
  const { code, errcode } = error as DriverError
  return code === '23505' || (typeof errcode === 'number' && sqliteUnique.includes(errcode))
}

function isForeignKeyViolation(error: unknown): boolean {
  const { code, errcode } = error as DriverError
  return code === '23503' || errcode === SQLITE_CONSTRAINT_FOREIGNKEY
}

/**
 * The driver's error in the house's words. The cause keeps the driver's message and code, and nothing else: PostgreSQL's
 * details quote the row.
 */
export function toMosaikError(error: unknown, what: string): MosaikError {
  if (error instanceof MosaikError) return error
  const { code, errcode, table, constraint } = error as DriverError
  const cause = Object.assign(new Error(error instanceof Error ? error.message : String(error)), { code, errcode })
  const fields = {
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof errcode === 'number' ? { errcode } : {}),
    ...(typeof table === 'string' ? { table } : {}),
    ...(typeof constraint === 'string' ? { constraint } : {}),
  }
  if (isUniqueViolation(error)) {
    return new MosaikError('E_CONFLICT', `could not ${what}: there is one with the same id or name`, fields, cause)
  }
  if (isForeignKeyViolation(error)) {
    return new MosaikError(
      'E_CONFLICT',
      `could not ${what}: it names a row that the catalog does not have`,
      fields,
      cause,
    )
  }
  const primary = typeof errcode === 'number' ? errcode & 0xff : undefined
  if (primary === SQLITE_NOTADB || primary === SQLITE_CORRUPT) {
    const message = `could not ${what}: the catalog's file is damaged or not a catalog; restore it, or rebuild it from the nodes`
    return new MosaikError('E_CONFIG', message, fields, cause)
  }
  if (primary === SQLITE_READONLY) {
    return new MosaikError('E_CONFIG', `could not ${what}: the catalog's file may not be written`, fields, cause)
  }
  if (primary === SQLITE_FULL || code === '53100') {
    return new MosaikError('E_CATALOG_UNREACHABLE', `could not ${what}: the catalog's disk is full`, fields, cause)
  }
  if (code === '28P01' || code === '28000' || code === '3D000') {
    const message = `could not ${what}: PostgreSQL refuses the user, the password or the database's name`
    return new MosaikError('E_CONFIG', message, fields, cause)
  }
  if (code === '22021')
    return new MosaikError('E_INPUT', `could not ${what}: a text holds a NUL character`, fields, cause)
  if (isMistake(code, primary)) {
    return new MosaikError('E_INTERNAL', `could not ${what}: the database does not take the statement`, fields, cause)
  }
  return new MosaikError(
    'E_CATALOG_UNREACHABLE',
    `could not ${what}: the catalog's database does not answer as it should`,
    fields,
    cause,
  )
}

/** True when the statement is to blame: to wait would not help. Of PostgreSQL the classes 22 (data) and 42 (syntax, access). */
function isMistake(code: unknown, primary: number | undefined): boolean {
  if (primary !== undefined) return sqliteMistakes.includes(primary)
  return typeof code === 'string' && (/^(?:22|42)[0-9A-Z]{3}$/.test(code) || code.startsWith('ERR_INVALID_'))
}

/** The catalog has no such recording. */
export function unknownRecording(id: Id): MosaikError {
  return new MosaikError('E_RECORDING_UNKNOWN', `there is no recording ${id}`, { recording: id })
}
