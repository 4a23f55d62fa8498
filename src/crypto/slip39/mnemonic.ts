import { MosaikError } from '../../domain/errors.ts'
import { ascii } from '../bytes.ts'
import { numberOfWord, WORDS } from './words.ts'

/**
 * One share as words (SLIP-0039 "Format of the share mnemonic"): ten bits a word. Words are text, so looking them up cannot hide from a
 * spy in the same processor which they are; the arithmetic on their bytes can, and does (secret-sharing.ts).
 */
export interface Share {
  /** 15 random bits, the same for all shares of a set. */
  readonly identifier: number
  readonly isExtendable: boolean
  /** PBKDF2 runs 10000 · 2^e rounds. */
  readonly iterationExponent: number
  /** Groups and members count from 0, thresholds and counts from 1; each at most 16. */
  readonly groupIndex: number
  readonly groupThreshold: number
  readonly groupCount: number
  readonly memberIndex: number
  readonly memberThreshold: number
  /** As long as the secret. Secret. */
  readonly value: Uint8Array
}

const WORD_BITS = 10
const WORD_MASK = 0x3ff
const HEADER_WORDS = 4
const CHECKSUM_WORDS = 3
const FRAME_WORDS = HEADER_WORDS + CHECKSUM_WORDS
const MIN_VALUE_BYTES = 16
const MIN_WORDS = FRAME_WORDS + Math.ceil((8 * MIN_VALUE_BYTES) / WORD_BITS)
/** A value has an even number of bytes; what is over are zeros in front, at most this many. */
const MAX_PADDING_BITS = 8

/** Words of a share of a 32-byte secret. */
export const WORDS_OF_32_BYTES = FRAME_WORDS + Math.ceil((8 * 32) / WORD_BITS)

/** The words of a share. A secret. */
export function encodeMnemonic(share: Share): string {
  const { identifier, isExtendable, iterationExponent, groupIndex, groupThreshold } = share
  const first = (identifier << 5) | (isExtendable ? 0x10 : 0) | iterationExponent
  const second =
    (groupIndex << 16) |
    ((groupThreshold - 1) << 12) |
    ((share.groupCount - 1) << 8) |
    (share.memberIndex << 4) |
    (share.memberThreshold - 1)
  const data = [first >>> 10, first & WORD_MASK, second >>> 10, second & WORD_MASK, ...toTens(share.value)]
  const rest = remainder(isExtendable, [...data, 0, 0, 0]) ^ 1
  const checksum = [rest >>> 20, (rest >>> 10) & WORD_MASK, rest & WORD_MASK]
  return [...data, ...checksum].map((number) => WORDS[number]!).join(' ')
}

/**
 * The share that words stand for. Case and white space do not matter.
 *
 * @param position of the share among those given, from 1, for the error.
 * @throws E_RECOVERY_KEY saying which share and what is wrong, never a word of it.
 */
export function decodeMnemonic(text: string, position: number): Share {
  const numbers = wordsOf(text).map((word, i) => {
    const number = numberOfWord(word)
    if (number === undefined) throw shareFault(position, `word ${i + 1} is not in the word list`)
    return number
  })
  const valueBits = WORD_BITS * (numbers.length - FRAME_WORDS)
  const paddingBits = valueBits % 16
  if (numbers.length < MIN_WORDS || paddingBits > MAX_PADDING_BITS) {
    throw shareFault(position, `it has ${numbers.length} words; a share of a recovery key has ${WORDS_OF_32_BYTES}`)
  }
  const first = (numbers[0]! << 10) | numbers[1]!
  const second = (numbers[2]! << 10) | numbers[3]!
  const isExtendable = (first & 0x10) !== 0
  if (remainder(isExtendable, numbers) !== 1) throw shareFault(position, 'a word is wrong, or two changed places')
  const nibble = (shift: number): number => (second >>> shift) & 0xf
  const value = fromTens(numbers.slice(HEADER_WORDS, -CHECKSUM_WORDS), paddingBits)
  if (value === undefined) throw shareFault(position, 'its padding is not zero')
  const share = {
    identifier: first >>> 5,
    isExtendable,
    iterationExponent: first & 0xf,
    groupIndex: nibble(16),
    groupThreshold: nibble(12) + 1,
    groupCount: nibble(8) + 1,
    memberIndex: nibble(4),
    memberThreshold: nibble(0) + 1,
    value,
  }
  if (share.groupThreshold > share.groupCount) {
    throw shareFault(position, `it asks for ${share.groupThreshold} groups of ${share.groupCount}`)
  }
  return share
}

/** The words of what somebody typed. */
export function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
}

/** The error of one share, by its position from 1. */
export function shareFault(position: number, what: string): MosaikError {
  return new MosaikError('E_RECOVERY_KEY', `share ${position} cannot be used: ${what}`, { share: position })
}

function toTens(value: Uint8Array): number[] {
  const numbers: number[] = []
  let pending = 0
  let pendingBits = (WORD_BITS - ((8 * value.length) % WORD_BITS)) % WORD_BITS
  for (const byte of value) {
    pending = ((pending << 8) | byte) & 0xffff
    pendingBits += 8
    if (pendingBits >= WORD_BITS) {
      pendingBits -= WORD_BITS
      numbers.push((pending >>> pendingBits) & WORD_MASK)
    }
  }
  return numbers
}

/** The bytes of ten-bit numbers after `paddingBits` zeros; `undefined` when those are not zero. */
function fromTens(numbers: readonly number[], paddingBits: number): Uint8Array<ArrayBuffer> | undefined {
  if (numbers[0]! >>> (WORD_BITS - paddingBits) !== 0) return undefined
  const value = new Uint8Array((WORD_BITS * numbers.length - paddingBits) / 8)
  let at = 0
  let pending = 0
  let pendingBits = -paddingBits
  for (const number of numbers) {
    pending = ((pending << WORD_BITS) | number) & 0x3ffff
    pendingBits += WORD_BITS
    while (pendingBits >= 8) {
      pendingBits -= 8
      value[at++] = (pending >>> pendingBits) & 0xff
    }
  }
  return value
}

const GENERATOR = [
  0xe0e040, 0x1c1c080, 0x3838100, 0x7070200, 0xe0e0009, 0x1c0c2412, 0x38086c24, 0x3090fc48, 0x21b1f890, 0x3f3f120,
]
const CUSTOMIZATION = { plain: ascii('shamir'), extendable: ascii('shamir_extendable') }

/** RS1024: the remainder of a Reed-Solomon code over GF(1024). Up to three wrong words are always noticed. */
function remainder(isExtendable: boolean, numbers: readonly number[]): number {
  let rest = 1
  for (const number of [...(isExtendable ? CUSTOMIZATION.extendable : CUSTOMIZATION.plain), ...numbers]) {
    const top = rest >>> 20
    rest = ((rest & 0xfffff) << 10) ^ number
    for (let bit = 0; bit < 10; bit++) rest ^= GENERATOR[bit]! & -((top >>> bit) & 1)
  }
  return rest
}
