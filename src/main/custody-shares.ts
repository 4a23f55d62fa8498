import { isMosaikError, MosaikError } from '../domain/errors.ts'
import { showSharePages, type SharePages } from './share-pages.ts'
import { onPages } from './terminal.ts'

/**
 * Shows the officers' shares of a keyring, a page each, on a terminal only; at least one is typed back from paper, or the officers confirm.
 *
 * @throws E_ABORTED ended before: nothing was changed; E_INPUT without a terminal
 */
export async function showCustodyShares(vault: string, threshold: number, mnemonics: readonly string[]): Promise<void> {
  const officers = mnemonics.length
  const shares: SharePages = {
    intro:
      `  The keyring of vault ${vault} will open with ${threshold} of ${officers} shares, one for each officer, a page each.\n` +
      `  Fewer than ${threshold} say nothing, and without ${threshold} only the recovery key brings the recordings back. Each is shown\n` +
      `  only this once: write it down on paper, with the vault and its number.`,
    holder: (number) => `officer ${number}`,
    title: (number) => `  Share ${number} of ${officers} of the keyring; ${threshold} are needed.\n  Vault ${vault}`,
    mnemonics,
    invitation:
      'All shares were shown. Check one: its officer types it back from the paper.\n  After that the keyring opens with shares only.',
  }
  const isShown = await onPages((pages) => showSharePages(pages, shares)).catch((error: unknown) => {
    if (!isMosaikError(error, 'E_ABORTED')) throw error
    throw new MosaikError(
      'E_ABORTED',
      'ended before all shares were shown and checked. Nothing was changed. Destroy what was written down: the next run makes other shares',
    )
  })
  if (isShown === undefined) {
    throw new MosaikError(
      'E_INPUT',
      'shares are shown on a terminal, and there is none; --share-files FOLDER writes one file an officer instead. Nothing was changed',
    )
  }
}
