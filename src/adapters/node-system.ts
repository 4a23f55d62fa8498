import { randomFillSync, randomInt } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { MosaikError } from '../domain/errors.ts'
import type { Clock, Random } from '../ports/system.ts'

/** The machine's clock. The one home of the time (src/ports/system.ts). */
export const nodeClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  async sleep(delayMs, signal) {
    try {
      await delay(delayMs, undefined, signal === undefined ? {} : { signal })
    } catch (error) {
      // timers/promises wraps the reason in an AbortError of its own; callers want the reason
      if (signal?.aborted === true) throw signal.reason
      throw error
    }
  },
}

const URANDOM = '/dev/urandom'

/**
 * The machine's randomness. The one home of it (src/ports/system.ts).
 *
 * `bytes` is OpenSSL's generator (AES-256-CTR DRBG). `entropy` reads the kernel's generator (/dev/urandom: ChaCha20 on
 * Linux) byte for byte, without OpenSSL in between: the keys of random rows must not rest on AES (docs/FORMAT.md §2).
 * `entropyDevice` names another device to mix in; its bytes are XORed onto the kernel's, so it can only add.
 */
export function nodeRandom(entropyDevice?: string): Random {
  return {
    bytes: (lengthBytes) => randomFillSync(new Uint8Array(lengthBytes)),
    entropy(lengthBytes) {
      const bytes = readDevice(URANDOM, lengthBytes)
      if (entropyDevice !== undefined) {
        const more = readDevice(entropyDevice, lengthBytes)
        for (let i = 0; i < lengthBytes; i++) bytes[i]! ^= more[i]!
      }
      return bytes
    },
    fraction: () => randomInt(2 ** 47) / 2 ** 47,
  }
}

/** @throws E_CONFIG when there is no such device, or it ends: random rows are never made from a weaker source instead. */
function readDevice(device: string, lengthBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(lengthBytes)
  let file: number
  try {
    file = openSync(device, 'r')
  } catch (cause) {
    const hint = 'random rows need the generator of the operating system: run on a system that has it, such as Linux'
    throw new MosaikError('E_CONFIG', `${device} cannot be opened; ${hint}`, { device }, cause)
  }
  try {
    for (let at = 0; at < lengthBytes;) {
      const count = readSync(file, bytes, at, lengthBytes - at, null)
      if (count === 0) throw new MosaikError('E_CONFIG', `${device} ended before ${lengthBytes} bytes`, { device })
      at += count
    }
  } finally {
    closeSync(file)
  }
  return bytes
}
