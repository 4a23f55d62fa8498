import type { Id } from '../domain/ids.ts'
import { encodeRecoveryKey } from '../format/recovery-key.ts'
import type { Keyring } from '../ports/keyring.ts'
import type { Screen } from './screen.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { showOnTerminal } from './terminal.ts'

/**
 * Shows the recovery key once, on a terminal only (never on standard output, which may be a pipe or a log), and destroys the keyring's copy when
 * Enter was pressed. `later` typed before Enter keeps the copy. Without a terminal it stays sealed in the keyring.
 */
export async function offerRecoveryKey(
  vault: { readonly keyring: Keyring },
  organisation: Id,
  screen: Screen,
): Promise<'shown' | 'kept' | 'gone' | 'no terminal'> {
  const seed = await vault.keyring.pendingRecoverySeed(organisation)
  if (!seed) return 'gone'
  const words = encodeRecoveryKey(seed, nodePrimitives.sha256)
  const answer = showOnTerminal(
    `\n  Recovery key of this vault, shown only this once. Write it down and keep it off this machine:\n\n    ${words}\n\n  With it and the nodes everything can be restored, without this machine. Press Enter when you have it.\n  To have it as shares for several holders instead, type "later" and Enter, then run \`npx mosaik recovery-key --shares 3-of-5\`. `,
  )
  if (answer === 'end' || answer?.typed === 'later') {
    screen.say('  The vault keeps the recovery key for now: run `npx mosaik recovery-key`.')
    return 'kept'
  }
  if (!answer) return 'no terminal'
  await vault.keyring.confirmRecoveryShown(organisation)
  return 'shown'
}
