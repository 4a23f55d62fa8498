import { decodeMnemonic, WORDS_OF_32_BYTES, wordsOf } from '../crypto/slip39/mnemonic.ts'
import { numberOfWord } from '../crypto/slip39/words.ts'
import { isMosaikError } from '../domain/errors.ts'
import type { Pages } from './terminal.ts'

/** Shares of something, to be shown on a terminal to those who will hold them. */
export interface SharePages {
  /** First page: what follows, and what it is good for. */
  readonly intro: string
  /** Who shall be alone with the page of a share, by its number from 1. */
  readonly holder: (number: number) => string
  /** Above the words of a share. */
  readonly title: (number: number) => string
  /** Each a secret. */
  readonly mnemonics: readonly string[]
  /** Last page: asks to check one, and says what comes after. */
  readonly invitation: string
}

const COLUMNS = 4

/** Shows every share, a page each, until one was typed back from paper or the holders confirmed. */
export async function showSharePages(pages: Pages, shares: SharePages): Promise<true> {
  const { intro, holder, title, mnemonics, invitation } = shares
  for (const [i, words] of mnemonics.entries()) {
    await pages.page(i === 0 ? intro : '', `Press Enter when only ${holder(i + 1)} sees the screen.`)
    await pages.page(
      `${title(i + 1)}\n\n${inColumns(words)}`,
      `Write down the words with their numbers. Press Enter when you have them.`,
    )
  }
  await checkWriting(pages, mnemonics, invitation)
  return true
}

/** One share typed back from paper, or the word of the holders. */
async function checkWriting(pages: Pages, mnemonics: readonly string[], invitation: string): Promise<void> {
  let note = invitation
  for (;;) {
    const answer = await pages.page(`  ${note}`, `Number of the share to check, or "confirm" to do without:`)
    if (answer.trim() === 'confirm') return
    const position = Number(answer)
    const shown = mnemonics[position - 1]
    if (shown === undefined) {
      note = `There are shares 1 to ${mnemonics.length}.`
      continue
    }
    const typed = await readShare(pages, position, '')
    if (typed === shown) return
    note = `Share ${position} is not written down right: ${whyNot(typed, position)}.`
  }
}

function whyNot(typed: string, position: number): string {
  try {
    decodeMnemonic(typed, position)
    return 'these are the words of another share'
  } catch (error) {
    if (isMosaikError(error)) return error.message
    throw error
  }
}

/** Lines up to the last word of a share or an empty one. A line with an unknown word is asked for again. */
export async function readShare(pages: Pages, position: number, first: string): Promise<string> {
  const words: string[] = []
  for (let line = first; ; line = await pages.line(`Share ${position}, from word ${words.length + 1}:`)) {
    const more = wordsOf(line)
    const unknown = more.findIndex((word) => numberOfWord(word) === undefined)
    if (unknown >= 0) {
      pages.say(`Word ${words.length + unknown + 1} is not in the word list; type this line again.`)
      continue
    }
    words.push(...more)
    if (words.length >= WORDS_OF_32_BYTES || (more.length === 0 && words.length > 0)) return words.join(' ')
  }
}

/** Words with their numbers, to be read along the rows. */
function inColumns(mnemonic: string): string {
  const cells = mnemonic.split(' ').map((word, i) => `${String(i + 1).padStart(4)}. ${word.padEnd(9)}`)
  const rows = Array.from({ length: Math.ceil(cells.length / COLUMNS) }, (_, row) =>
    cells.slice(row * COLUMNS, (row + 1) * COLUMNS).join(''),
  )
  return rows.join('\n')
}
