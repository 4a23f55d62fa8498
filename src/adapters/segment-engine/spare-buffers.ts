/** Buffers to be written again, by size, the last used first: it may still be in the processor's cache. */
export class SpareBuffers<B extends ArrayBufferLike> {
  readonly #bySize = new Map<number, B[]>()
  readonly #make: (sizeBytes: number) => B
  readonly #mostBytes: number
  #keptBytes = 0

  /** @param mostBytes that wait for their next use; more are left to the garbage collector. */
  constructor(mostBytes: number, make: (sizeBytes: number) => B) {
    this.#mostBytes = mostBytes
    this.#make = make
  }

  /** A buffer of exactly that size with anything in it. */
  take(sizeBytes: number): B {
    const buffer = this.#bySize.get(sizeBytes)?.pop()
    if (buffer === undefined) return this.#make(sizeBytes)
    this.#keptBytes -= sizeBytes
    return buffer
  }

  /** Only when nothing reads or writes the buffer any more. */
  give(buffer: B): void {
    if (buffer.byteLength === 0) return
    // of sizes that are no longer asked for, nothing is kept
    while (this.#keptBytes + buffer.byteLength > this.#mostBytes) if (!this.#dropFrom(buffer.byteLength)) return
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
