/** Most bytes that wait for their next use; more are left to the garbage collector. */
const KEPT_BYTES = 32 * 1024 * 1024

/** Buffers to be written again, by size, the last used first: it may still be in the processor's cache. */
export class SpareBuffers {
  readonly #bySize = new Map<number, ArrayBuffer[]>()
  #keptBytes = 0

  /** A buffer of exactly that size with anything in it, or `undefined`. */
  take(sizeBytes: number): ArrayBuffer | undefined {
    const buffer = this.#bySize.get(sizeBytes)?.pop()
    if (buffer !== undefined) this.#keptBytes -= sizeBytes
    return buffer
  }

  /** `take`, or a new one; not zeroed. */
  takeOrMake(sizeBytes: number): ArrayBuffer {
    // neither pooled, so that it can be transferred, nor zeroed, since every byte is written
    return this.take(sizeBytes) ?? Buffer.allocUnsafeSlow(sizeBytes).buffer
  }

  /** Only when nothing reads the buffer any more. */
  give(buffer: ArrayBuffer): void {
    if (buffer.detached || buffer.byteLength === 0) return
    // of sizes that are no longer asked for, nothing is kept
    while (this.#keptBytes + buffer.byteLength > KEPT_BYTES) if (!this.#dropFrom(buffer.byteLength)) return
    const same = this.#bySize.get(buffer.byteLength)
    if (same === undefined) this.#bySize.set(buffer.byteLength, [buffer])
    else same.push(buffer)
    this.#keptBytes += buffer.byteLength
  }

  clear(): void {
    this.#bySize.clear()
    this.#keptBytes = 0
  }

  /** Drops one of another size; false when there is none. */
  #dropFrom(wantedBytes: number): boolean {
    for (const [sizeBytes, buffers] of this.#bySize) {
      if (sizeBytes === wantedBytes) continue
      if (buffers.pop() !== undefined) {
        this.#keptBytes -= sizeBytes
        return true
      }
      this.#bySize.delete(sizeBytes)
    }
    return false
  }
}
