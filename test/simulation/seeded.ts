import type { Random } from '../../src/ports/system.ts'

/** The one source of chance of a simulated world (sfc32, 128 bits of state): the same seed, the same world. */
export class Seeded {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number, stream = 0) {
    this.#a = seed | 0
    this.#b = Math.floor(seed / 2 ** 32) | 0
    this.#c = (stream ^ 0x9e3779b9) | 0
    for (let i = 0; i < 16; i++) this.next()
  }

  /** 32 bits. */
  next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    return sum >>> 0
  }

  /** In [0, 1). */
  fraction(): number {
    return this.next() / 2 ** 32
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  /** A whole number in [from, to]. */
  between(from: number, to: number): number {
    return from + Math.floor(this.fraction() * (to - from + 1))
  }

  pick<T>(choices: readonly T[]): T {
    const chosen = choices[this.between(0, choices.length - 1)]
    if (chosen === undefined) throw new RangeError('nothing to choose from')
    return chosen
  }

  bytes(lengthBytes: number): Uint8Array<ArrayBuffer> {
    const words = new Uint32Array(Math.ceil(lengthBytes / 4))
    for (let i = 0; i < words.length; i++) words[i] = this.next()
    return new Uint8Array(words.buffer).slice(0, lengthBytes)
  }
}

/** The port's randomness on a stream of its own. */
export function seededRandom(seeded: Seeded): Random {
  return {
    bytes: (lengthBytes) => seeded.bytes(lengthBytes),
    entropy: (lengthBytes) => seeded.bytes(lengthBytes),
    fraction: () => seeded.fraction(),
  }
}
