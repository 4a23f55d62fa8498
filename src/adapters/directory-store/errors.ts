import { MosaikError, type ErrorCode } from '../../domain/errors.ts'

const codes: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'E_NODE_FULL',
  EDQUOT: 'E_NODE_FULL',
  EFBIG: 'E_NODE_FULL',
  EACCES: 'E_NODE_REFUSED',
  EPERM: 'E_NODE_REFUSED',
  EROFS: 'E_NODE_REFUSED',
  ELOOP: 'E_NODE_REFUSED',
}

const reasons: Partial<Record<ErrorCode, string>> = {
  E_NODE_FULL: 'the file system is full',
  E_NODE_REFUSED: 'the file system refused',
  E_NODE_UNREACHABLE: 'the file system did not serve',
}

/** The code of a system error (`ENOSPC`, …), or undefined when `error` is none. */
export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  return typeof code === 'string' ? code : undefined
}

/** True when the file system says that there is no such file. Whether the disk is there is another question. */
export function isMissing(error: unknown): boolean {
  const code = errnoOf(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

/** A file system's error as the vault's: full, refused, or, for everything else (EIO, ESTALE, ENODEV …), unreachable. */
export function fileError(error: unknown, label: string, operation: string): MosaikError {
  if (error instanceof MosaikError) return error
  const errno = errnoOf(error)
  const code = (errno === undefined ? undefined : codes[errno]) ?? 'E_NODE_UNREACHABLE'
  const message = `node ${label}: ${reasons[code] ?? ''} at ${operation} (${errno ?? 'unknown error'})`
  return new MosaikError(code, message, { node: label, operation, errno: errno ?? null }, error)
}
