import type { Lock, Locker, RequestRelease } from '@tus/utils'
import { MosaikError } from '../../domain/errors.ts'
import type { Clock } from '../../ports/system.ts'

/** Longest wait for a request that was asked to end. */
const WAIT_MS = 30_000

/**
 * One request at a time for an upload, within this process: a newcomer asks the present one to end, and waits. A client whose connection
 * broke off unnoticed gets on at once that way. Between processes the spool itself decides.
 */
export class UploadLocker implements Locker {
  readonly #clock: Clock
  readonly #held = new Map<string, { requestRelease: RequestRelease; waiters: (() => void)[] }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** True while a request works on the upload. */
  isHeld(id: string): boolean {
    return this.#held.has(id)
  }

  newLock(id: string): Lock {
    return {
      lock: (signal, requestRelease) => this.#lock(id, signal, requestRelease),
      unlock: () => {
        const waiters = this.#held.get(id)?.waiters ?? []
        this.#held.delete(id)
        for (const wake of waiters) wake()
        return Promise.resolve()
      },
    }
  }

  async #lock(id: string, signal: AbortSignal, requestRelease: RequestRelease): Promise<void> {
    const waited = new AbortController()
    const timeout = this.#clock.sleep(WAIT_MS, AbortSignal.any([signal, waited.signal])).then(
      () => 'timeout' as const,
      () => 'stopped' as const,
    )
    try {
      for (let held = this.#held.get(id); held !== undefined; held = this.#held.get(id)) {
        const { waiters } = held
        await held.requestRelease()
        const free = new Promise<'free'>((resolve) => waiters.push(() => resolve('free')))
        const woken = this.#held.get(id) === held ? await Promise.race([free, timeout]) : 'free'
        if (woken !== 'free') throw new MosaikError('E_CONFLICT', 'another request is still writing to this upload')
      }
      this.#held.set(id, { requestRelease, waiters: [] })
    } finally {
      waited.abort()
    }
  }
}
