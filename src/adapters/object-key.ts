import { MosaikError } from '../domain/errors.ts'
import type { ByteRange, ObjectKey } from '../ports/object-store.ts'

/** The largest object that `put` takes and the size of a multipart part, in bytes. */
export const PART_BYTES = 8 * 1024 * 1024

/** The largest object that is read without a range: what a node claims must not decide over our memory. */
export const WHOLE_READ_BYTES = 256 * 1024 * 1024

// Two levels at most, the first one told apart by its form: on a node of the directory kind no key can then be both a
// file and a folder, and no name begins with a dot.
const keyGrammar = /^(?:mosaik-[a-z0-9-]{1,64}|[a-z0-9]{1,32}\/[a-z0-9][a-z0-9._-]{0,127})$/

/** Checks that `key` is a name of docs/FORMAT.md §11 (or of a probe). @throws E_INPUT */
export function checkKey(key: ObjectKey): void {
  if (!keyGrammar.test(key) || key.includes('..')) {
    throw new MosaikError('E_INPUT', `${JSON.stringify(key.slice(0, 80))} is not the name of an object`, {})
  }
}

/** Checks that `range` is a run of at least one byte. @throws E_INPUT */
export function checkRange(range: ByteRange): void {
  const { offsetBytes, lengthBytes } = range
  if (!Number.isSafeInteger(offsetBytes) || !Number.isSafeInteger(lengthBytes) || offsetBytes < 0 || lengthBytes < 1) {
    throw new MosaikError('E_INPUT', `${lengthBytes} bytes from ${offsetBytes} is not a range`, {
      offsetBytes,
      lengthBytes,
    })
  }
}

/** Checks that `bytes` is small enough for `put`. @throws E_INPUT */
export function checkSmall(key: ObjectKey, bytes: Uint8Array): void {
  if (bytes.length > PART_BYTES) {
    const message = `${key} has ${bytes.length} bytes: objects above ${PART_BYTES} are written with create()`
    throw new MosaikError('E_INPUT', message, { key, sizeBytes: bytes.length })
  }
}

/** The error of a call whose signal was aborted; the reason is its cause. */
export function aborted(signal: AbortSignal): MosaikError {
  return new MosaikError('E_ABORTED', 'the call was given up', {}, signal.reason)
}

/** @throws E_ABORTED when `signal` is aborted. */
export function checkSignal(signal: AbortSignal): void {
  if (signal.aborted) throw aborted(signal)
}
