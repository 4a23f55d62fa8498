import type { MosaikError } from '../domain/errors.ts'
import type { Clock } from './system.ts'

/** Time that one call to one node may take. */
export interface Deadline {
  readonly clock: Clock
  readonly limitMs: number
  readonly signal: AbortSignal
  /** What the call rejects with when it took longer. */
  readonly late: () => MosaikError
}

/**
 * Runs a call to a node with a signal that aborts at the deadline, and does not wait for a call that does not listen to it (a file
 * system that hangs). @throws what the call throws, `late()`, or the signal's reason
 */
export async function withDeadline<T>(deadline: Deadline, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { clock, limitMs, signal, late } = deadline
  signal.throwIfAborted()
  const timer = new AbortController()
  const own = new AbortController()
  const follow = (): void => own.abort(signal.reason)
  signal.addEventListener('abort', follow, { once: true })
  void clock.sleep(limitMs, timer.signal).then(
    () => own.abort(late()),
    () => undefined, // the call was quicker
  )
  try {
    return await new Promise<T>((resolve, reject) => {
      own.signal.addEventListener('abort', () => reject(own.signal.reason as Error), { once: true })
      call(own.signal).then(resolve, reject)
    })
  } finally {
    timer.abort()
    signal.removeEventListener('abort', follow)
  }
}
