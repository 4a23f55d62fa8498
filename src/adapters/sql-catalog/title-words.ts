/** Longest word that is indexed, in characters; longer ones are cut, in titles and in queries alike. */
const maxWordChars = 64

/** One character each for scripts that write without spaces; runs of letters, marks and digits for all others. */
const word =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]|[[\p{L}\p{M}\p{N}]--[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}]]+/gv

/**
 * The words of a title or of a query, without case: composed and decomposed letters are the same, STRASSE is straße, and
 * everything that is no letter or digit only separates. Umlauts and accents count: Müller is not Muller.
 */
export function titleWords(text: string): string[] {
  const folded = text.normalize('NFKC').toUpperCase().toLowerCase().replaceAll('ς', 'σ').normalize('NFKC')
  return (folded.match(word) ?? []).map((found) => Array.from(found).slice(0, maxWordChars).join(''))
}

/** The words in the form of the column `title_words`: a space before each. */
export function titleWordsColumn(title: string): string {
  return titleWords(title)
    .map((found) => ` ${found}`)
    .join('')
}
