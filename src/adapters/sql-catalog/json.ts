import { MosaikError } from '../../domain/errors.ts'

/** Reads a JSON column. */
export function fromJson<T>(text: string): T {
  return JSON.parse(text) as T
}

export function fromJsonOrNull<T>(text: string | null): T | null {
  return text === null ? null : fromJson<T>(text)
}

export function toJsonOrNull(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value)
}

/** Bytes in memory of their own; the drivers hand out Buffers and views of their own pages. */
export function toBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}

export function toBytesOrNull(bytes: Uint8Array | null): Uint8Array<ArrayBuffer> | null {
  return bytes === null ? null : toBytes(bytes)
}

/** An int8 as PostgreSQL writes it. @throws E_INTERNAL beyond what a JavaScript number holds exactly. */
export function parseInt8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new MosaikError('E_INTERNAL', 'a number in the catalog is above 2^53')
  return value
}
