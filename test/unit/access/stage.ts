import { randomBytes } from 'node:crypto'
import { createLinks } from '../../../src/access/links.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import type { Clock, Random } from '../../../src/ports/system.ts'
import { MemoryLinks } from '../../support/memory-links.ts'

/** A clock that stands still until it is moved; sleepers wake when their time has come. */
export class HeldClock implements Clock {
  #nowMs: number
  #sleepers: { readonly atMs: number; readonly wake: () => void }[] = []

  constructor(startMs: number) {
    this.#nowMs = startMs
  }

  nowMs = (): number => this.#nowMs
  monotonicMs = (): number => this.#nowMs

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) reject(signal.reason as Error)
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
      this.#sleepers.push({ atMs: this.#nowMs + delayMs, wake: resolve })
    })
  }

  /** Moves on and lets everything that follows from it happen. */
  async move(byMs: number): Promise<void> {
    this.#nowMs += byMs
    const due = this.#sleepers.filter(({ atMs }) => atMs <= this.#nowMs)
    this.#sleepers = this.#sleepers.filter(({ atMs }) => atMs > this.#nowMs)
    for (const { wake } of due) wake()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

export const random: Random = {
  bytes: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  entropy: (lengthBytes) => new Uint8Array(randomBytes(lengthBytes)),
  fraction: () => 0.5,
}

export const START_MS = Date.UTC(2026, 10, 23, 12)
export const organisation = 'aa'.repeat(16)
export const recording = 'bb'.repeat(16)

/** Links over a catalog in memory, two key periods and a clock that is moved by hand. */
export function stage() {
  const catalog = new MemoryLinks()
  const clock = new HeldClock(START_MS)
  const keyring = {
    linkKey: (asked: string, kid: string): Promise<Uint8Array> => {
      if (asked !== organisation) throw new MosaikError('E_KEYRING_KEY_UNKNOWN', 'no such organisation')
      return Promise.resolve(new TextEncoder().encode(kid.padEnd(32, '.')))
    },
  }
  const passcodes = {
    /** How often a passcode was compared. */
    checks: 0,
    hash: (passcode: string) => Promise.resolve(`hash of ${passcode}`),
    async verify(passcode: string, hash: string) {
      passcodes.checks += 1
      await new Promise((resolve) => setImmediate(resolve))
      return hash === `hash of ${passcode}`
    },
  }
  const links = createLinks({ catalog, keyring, passcodes, clock, random })
  return { catalog, clock, keyring, passcodes, links, target: { organisation, recording } }
}
