import { nodePrimitives } from '../adapters/node-primitives.ts'
import { decodeMnemonic, shareFault, type Share } from '../crypto/slip39/mnemonic.ts'
import type { Draw } from '../crypto/slip39/secret-sharing.ts'
import { checkShares, combineMnemonics, combineShares, splitToMnemonics } from '../crypto/slip39/slip39.ts'
import { isMosaikError, MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { encodeRecoveryKey } from '../format/recovery-key.ts'
import type { Keyring } from '../ports/keyring.ts'
import { readShare, showSharePages, type SharePages } from './share-pages.ts'
import { onPages, type Pages } from './terminal.ts'

/** k of n shares restore. */
export interface Sharing {
  readonly k: number
  readonly n: number
}

const SEED_BYTES = 32

/**
 * Shows the recovery key as n shares by SLIP-0039, a page each, on a terminal only, and destroys the keyring's copy when one was typed back or the
 * holders confirmed. The key itself is not shown.
 *
 * @throws E_ABORTED when it was ended before: the copy is still there, and the next run makes other shares.
 */
export async function offerRecoveryShares(
  keyring: Keyring,
  organisation: Id,
  sharing: Sharing,
  draw: Draw,
): Promise<'shown' | 'no terminal' | 'gone'> {
  const seed = await keyring.pendingRecoverySeed(organisation)
  if (!seed) return 'gone'
  const mnemonics = makeShares(seed, sharing, draw)
  const isShown = await onPages((pages) => showSharePages(pages, pagesOf(organisation, sharing, mnemonics))).catch(
    (error: unknown) => {
      if (!isMosaikError(error, 'E_ABORTED')) throw error
      const words =
        'ended before all shares were shown and checked. The vault still has the recovery key. Destroy what was written down: the next run makes other shares'
      throw new MosaikError('E_ABORTED', words)
    },
  )
  if (isShown === undefined) return 'no terminal'
  await keyring.confirmRecoveryShown(organisation)
  return 'shown'
}

function pagesOf(organisation: Id, { k, n }: Sharing, mnemonics: readonly string[]): SharePages {
  return {
    intro:
      `  The recovery key of organisation ${organisation} follows as ${n} shares, a page each, one for each holder.\n` +
      `  Any ${k} of them give it back; fewer say nothing. Each is shown only this once: write it down on paper.`,
    holder: (number) => `the holder of share ${number}`,
    title: (number) =>
      `  Share ${number} of ${n} of the recovery key; ${k} are needed.\n  Organisation ${organisation}`,
    mnemonics,
    invitation:
      'All shares were shown. Check one: its holder types it back from the paper.\n  After that the vault destroys its copy.',
  }
}

/** The copy is destroyed after this: every share is tried once before anybody sees one. */
function makeShares(seed: Uint8Array, { k, n }: Sharing, draw: Draw): string[] {
  const mnemonics = splitToMnemonics(k, n, seed, draw)
  mnemonics.forEach((_, first) => {
    const some = Array.from({ length: k }, (__, i) => mnemonics[(first + i) % n]!)
    if (!nodePrimitives.equal(combineMnemonics(some), seed)) {
      throw new MosaikError('E_INTERNAL', 'the shares do not give the recovery key back; none was shown')
    }
  })
  return mnemonics
}

/**
 * Asks for shares on the terminal until they suffice, and shows the recovery key there. Needs no vault.
 *
 * @throws E_INPUT without a terminal; E_RECOVERY_KEY when shares are each right and do not fit together; E_ABORTED.
 */
export async function combineRecoveryShares(): Promise<void> {
  const isDone = await onPages(async (pages) => {
    const seed = combineShares(await collectShares(pages))
    await pages.page(
      `  The recovery key, shown on this terminal only:\n\n    ${encodeRecoveryKey(seed, nodePrimitives.sha256)}\n\n` +
        `  The standalone reader asks for it. It opens everything of its organisation: leave it in no file that stays.`,
      'Press Enter when you have it.',
    )
    return true
  })
  if (!isDone) throw new MosaikError('E_INPUT', 'shares are typed on a terminal, and there is none')
}

async function collectShares(pages: Pages): Promise<Share[]> {
  const shares: Share[] = []
  let note = 'Type the shares of a recovery key, one after the other, in any order.'
  for (;;) {
    const position = shares.length + 1
    const first = await pages.page(
      `  ${note}\n\n  Share ${position}: its words on one line or on several, an empty line at the end.`,
      'Words:',
    )
    try {
      const share = decodeMnemonic(await readShare(pages, position, first), position)
      if (share.value.length !== SEED_BYTES) throw shareFault(position, 'it is of a shorter or longer secret')
      const all = [...shares, share]
      const missing = missingOf(all)
      shares.push(share)
      if (missing === undefined) return all
      note = `Share ${position} is good; ${missing}.`
    } catch (error) {
      if (!isMosaikError(error, 'E_RECOVERY_KEY')) throw error
      note = `Again, please: ${error.message}.`
    }
  }
}

/** What is missing, in words, or `undefined`. @throws E_RECOVERY_KEY naming the share that does not belong. */
function missingOf(shares: readonly Share[]): string | undefined {
  try {
    checkShares(shares)
    return undefined
  } catch (error) {
    if (isMosaikError(error, 'E_SHARES_TOO_FEW')) return error.message
    throw error
  }
}
