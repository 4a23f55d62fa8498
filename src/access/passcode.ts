import type { Random } from '../ports/system.ts'

/** Letters and digits that nobody takes for one another, read out or written down. */
const ALPHABET = 'abcdefghjkmnpqrstuvwxyz23456789'
const GROUPS = 3
const GROUP_CHARS = 4

/** A passcode like "k7wq-3mtp-x9dn": 59 bits. */
export function drawPasscode(random: Pick<Random, 'bytes'>): string {
  const fair = 256 - (256 % ALPHABET.length)
  let drawn = ''
  while (drawn.length < GROUPS * GROUP_CHARS) {
    for (const byte of random.bytes(GROUPS * GROUP_CHARS)) if (byte < fair) drawn += ALPHABET[byte % ALPHABET.length]
  }
  return Array.from({ length: GROUPS }, (_, group) => drawn.slice(group * GROUP_CHARS, (group + 1) * GROUP_CHARS)).join(
    '-',
  )
}
