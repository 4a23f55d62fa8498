import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { StoreWorld } from '../../../src/adapters/open-store.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import type { ObjectInfo, ObjectStore } from '../../../src/ports/object-store.ts'

/** The real clock and randomness, and time limits that no busy machine reaches. */
export const world: StoreWorld = {
  clock: {
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    sleep: (delayMs, signal) => sleep(delayMs, undefined, { ...(signal !== undefined && { signal }) }),
  },
  random: {
    bytes: (lengthBytes) => Uint8Array.from(randomBytes(lengthBytes)),
    entropy: (lengthBytes) => Uint8Array.from(randomBytes(lengthBytes)),
    fraction: () => Math.random(),
  },
  s3Limits: { connectMs: 20_000, idleMs: 20_000, backOffMs: 20, pageSize: 7 },
}

/** The same where a node falls silent and a test waits until the store has had enough. */
export const impatientWorld: StoreWorld = {
  ...world,
  s3Limits: { ...world.s3Limits, connectMs: 1_000, idleMs: 1_500 },
}

/** A signal that never ends. */
export function never(): AbortSignal {
  return new AbortController().signal
}

/** The code of the MosaikError that `call` rejects with. @throws when it does not, or with another error */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  return (await errorOf(call)).code
}

/** The MosaikError that `call` rejects with. */
export async function errorOf(call: Promise<unknown>): Promise<MosaikError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof MosaikError) return error
  throw error === undefined ? new Error('it did not fail') : error
}

/** All of an async iterable. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

/** Writes `bytes` through a writer, in pieces of those lengths, over and over. */
export async function stream(
  store: ObjectStore,
  key: string,
  bytes: Uint8Array,
  pieces: readonly number[],
): Promise<ObjectInfo> {
  const writer = await store.create(key, never())
  try {
    for (let offset = 0, i = 0; offset < bytes.length; i++) {
      const length = pieces[i % pieces.length] ?? bytes.length
      // A Buffer: its slice() shares memory, which a store must not trip over.
      const piece = Buffer.from(bytes.subarray(offset, offset + length))
      await writer.write(piece)
      // The memory is ours again: what we do with it must not matter.
      piece.fill(0xee)
      offset += length
    }
    return await writer.commit()
  } catch (error) {
    await writer.abort()
    throw error
  }
}
