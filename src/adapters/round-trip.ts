import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { ObjectStore } from '../ports/object-store.ts'

/** What a round trip needs. */
export interface RoundTrip {
  readonly store: ObjectStore
  /** Name of the node in errors. */
  readonly label: string
  /** Two keys of which neither is a prefix of the other, in order; nothing lies under them. */
  readonly keys: readonly [string, string]
  /** What both start with, and nothing else does. */
  readonly prefix: string
  /** Some kilobytes that nobody can guess. */
  readonly bytes: Uint8Array
}

/**
 * Writes, reads, lists and deletes on a node as the vault will, and compares.
 * @throws E_NODE_UNSUITABLE naming what it does wrongly, and what the store throws.
 */
export async function roundTrip(trip: RoundTrip, signal: AbortSignal): Promise<void> {
  const { store, keys, bytes, prefix } = trip
  const [first, second] = keys
  const middle = { offsetBytes: 17, lengthBytes: bytes.length - 100 }
  const beyond = { offsetBytes: bytes.length - 10, lengthBytes: 11 }
  const must = (holds: boolean, what: string): void => {
    if (!holds) throw unsuitable(trip.label, `it ${what}`)
  }
  must((await store.head(first, signal)) === undefined, 'claims to have an object that was never written')
  await store.put(second, bytes.subarray(0, 1), signal)
  await store.put(first, bytes, signal)
  must(same(await store.get(first, undefined, signal), bytes), 'gives back other bytes than were written')
  must(
    same(await store.get(first, middle, signal), slice(bytes, middle)),
    'gives other bytes for a range than were asked for',
  )
  await mustThrow(
    store.get(first, beyond, signal),
    'E_OBJECT_RANGE',
    'serves a range beyond the end of an object',
    trip.label,
  )
  must((await store.head(first, signal))?.sizeBytes === bytes.length, 'tells a wrong size')
  const listed: string[] = []
  for await (const info of store.list(prefix, signal)) listed.push(info.key)
  must(listed.join() === keys.join(), 'does not list what was just written, in order of names')
  await store.delete(first, signal)
  await store.delete(second, signal)
  must((await store.head(first, signal)) === undefined, 'keeps a deleted object')
  await mustThrow(store.get(first, undefined, signal), 'E_OBJECT_ABSENT', 'serves a deleted object', trip.label)
}

/** The error for a node that cannot be used as it is; `what` says what it does or what has to be changed. */
export function unsuitable(label: string, what: string, cause?: unknown): MosaikError {
  return new MosaikError('E_NODE_UNSUITABLE', `node ${label} cannot be used: ${what}`, { node: label }, cause)
}

async function mustThrow(
  call: Promise<unknown>,
  code: 'E_OBJECT_RANGE' | 'E_OBJECT_ABSENT',
  otherwise: string,
  label: string,
): Promise<void> {
  try {
    await call
  } catch (error) {
    if (isMosaikError(error, code)) return
    throw error
  }
  throw unsuitable(label, `it ${otherwise}`)
}

function slice(bytes: Uint8Array, range: { offsetBytes: number; lengthBytes: number }): Uint8Array {
  return bytes.subarray(range.offsetBytes, range.offsetBytes + range.lengthBytes)
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
