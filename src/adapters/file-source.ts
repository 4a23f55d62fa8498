import { constants } from 'node:fs'
import { open, unlink, type FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import { MosaikError } from '../domain/errors.ts'
import { fromHex } from '../domain/ids.ts'
import type { CaptionsFile, WorkInput } from '../ports/catalog/recordings.ts'
import type { SourceFile, SourceRecording } from '../ports/source.ts'

type FileInput = Extract<WorkInput, { kind: 'file' }>

const READ_BYTES = 2 * 1024 * 1024
/** A pipe that was put where the file was must not make `open` wait for ever. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * A local file as a source. Never follows a symbolic link in its last step, and holds the file to the size and time that were offered,
 * before and after the read: what changes while it is read is refused.
 */
export function fileSource(input: FileInput): Pick<SourceRecording, 'original' | 'captions'> {
  const original: SourceFile = {
    name: basename(input.path),
    sizeBytes: input.sizeBytes,
    sha256: input.sha256 === null ? undefined : fromHex(input.sha256),
    open: (signal) => readFile(input.path, input, signal),
  }
  const captions = input.captions.map(({ path }): SourceFile => ({
    name: basename(path),
    sizeBytes: undefined,
    sha256: undefined,
    open: (signal) => readFile(path, undefined, signal),
  }))
  return { original, captions }
}

/** Deletes the source file, and then its captions, if the offer said so and each is still the file that was offered. */
export async function releaseFile(input: FileInput): Promise<void> {
  if (!input.deleteAfterReceipt) return
  if (!(await isAsOffered(input))) return
  // The recording last: a run that is cut off finds it again, and goes on.
  for (const file of [...input.captions, input]) {
    if (!(await isAsOffered(file))) continue
    await unlink(file.path).catch((error: unknown) => {
      if (!isGone(error)) throw unreadable(file.path, error)
    })
  }
}

/** Whether a file is still the one that was offered; one that is gone is not. */
async function isAsOffered({ path, sizeBytes, modifiedAtMs }: CaptionsFile): Promise<boolean> {
  let handle: FileHandle
  try {
    handle = await open(path, OPEN_FLAGS)
  } catch (error) {
    if (isGone(error)) return false
    throw unreadable(path, error)
  }
  try {
    const { size, mtimeMs } = await handle.stat()
    return size === sizeBytes && Math.round(mtimeMs) === modifiedAtMs
  } finally {
    await handle.close()
  }
}

/** What an offer says of a file. @throws E_SOURCE_UNREADABLE when it is not a plain file that can be read */
export async function describeFile(
  path: string,
): Promise<{ readonly sizeBytes: number; readonly modifiedAtMs: number }> {
  let handle: FileHandle
  try {
    handle = await open(path, OPEN_FLAGS)
  } catch (error) {
    throw unreadable(path, error)
  }
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new MosaikError('E_SOURCE_UNREADABLE', `${path} is not a plain file`)
    return { sizeBytes: stat.size, modifiedAtMs: Math.round(stat.mtimeMs) }
  } finally {
    await handle.close()
  }
}

async function* readFile(
  path: string,
  expected: { readonly sizeBytes: number; readonly modifiedAtMs: number } | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let handle: FileHandle
  try {
    handle = await open(path, OPEN_FLAGS)
  } catch (error) {
    throw unreadable(path, error)
  }
  try {
    await checkUnchanged(handle, path, expected)
    // One buffer is with the caller while the other is filled.
    const buffers = [Buffer.allocUnsafeSlow(READ_BYTES), Buffer.allocUnsafeSlow(READ_BYTES)] as const
    const readAt = (turn: number, positionBytes: number): Promise<Uint8Array> => {
      const buffer = buffers[turn % 2]!
      const read = handle
        .read(buffer, 0, READ_BYTES, positionBytes)
        .then(({ bytesRead }) => buffer.subarray(0, bytesRead))
      read.catch(() => undefined) // awaited in order; an early rejection must not count as unhandled
      return read
    }
    let positionBytes = 0
    let ahead = readAt(0, 0)
    for (let turn = 1; ; turn++) {
      signal.throwIfAborted()
      const chunk = await ahead
      if (chunk.length === 0) break
      positionBytes += chunk.length
      // A file that grows as fast as it is read would never end.
      if (expected && positionBytes > expected.sizeBytes) throw changed(path)
      ahead = readAt(turn, positionBytes)
      yield chunk
    }
    await checkUnchanged(handle, path, expected)
  } catch (error) {
    if (error instanceof MosaikError || signal.aborted) throw error
    throw unreadable(path, error)
  } finally {
    await handle.close()
  }
}

async function checkUnchanged(
  handle: FileHandle,
  path: string,
  expected: { readonly sizeBytes: number; readonly modifiedAtMs: number } | undefined,
): Promise<void> {
  const stat = await handle.stat()
  if (!stat.isFile()) throw new MosaikError('E_SOURCE_UNREADABLE', `${path} is not a plain file`)
  if (!expected) return
  if (stat.size !== expected.sizeBytes || Math.round(stat.mtimeMs) !== expected.modifiedAtMs) throw changed(path)
}

function changed(path: string): MosaikError {
  return new MosaikError(
    'E_SOURCE_CHANGED',
    `${path} changed since it was offered; deposit it again when it is finished`,
  )
}

function isGone(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

function unreadable(path: string, error: unknown): MosaikError {
  const code = (error as NodeJS.ErrnoException).code
  const words =
    code === 'ENOENT'
      ? 'there is no such file'
      : code === 'EACCES'
        ? 'it may not be read by this user'
        : code === 'ELOOP'
          ? 'it is a symbolic link'
          : 'it cannot be read'
  return new MosaikError('E_SOURCE_UNREADABLE', `${path}: ${words}`, { cause: code ?? 'unknown' }, error)
}
