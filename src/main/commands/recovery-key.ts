import { hasFileKeyring, openFileKeyring } from '../../adapters/file-keyring/file-keyring.ts'
import { nodePrimitives } from '../../adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../adapters/node-system.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Config } from '../config.ts'
import { findOpening } from '../opening.ts'
import { offerRecoveryKey } from '../recovery-key.ts'
import { offerRecoveryShares, type Sharing } from '../recovery-shares.ts'
import type { Screen } from '../screen.ts'

/**
 * `mosaik recovery-key`: shows the recovery key of each organisation that was never shown, on the terminal, once, as one text or as shares.
 * Works beside a running vault.
 */
export async function recoveryKey(config: Config, screen: Screen, sharing?: Sharing): Promise<void> {
  if (!hasFileKeyring(config.data)) {
    throw new MosaikError(
      'E_CONFIG',
      `there is no keyring in ${config.data}; start the vault first, or name its folder with --data`,
    )
  }
  const random = nodeRandom()
  const opening = await findOpening(config, random)
  const keyring = await openFileKeyring({
    folder: config.data,
    ...opening.with,
    clock: nodeClock,
    random,
    primitives: nodePrimitives,
    record: () => Promise.reject(new MosaikError('E_INTERNAL', 'this command unwraps nothing')),
  })
  for (const organisation of keyring.organisations()) {
    const outcome = sharing
      ? await offerRecoveryShares(keyring, organisation, sharing, (lengthBytes) => random.bytes(lengthBytes))
      : await offerRecoveryKey({ keyring }, organisation, screen)
    if (outcome === 'gone')
      screen.say(`  The recovery key of organisation ${organisation} was shown before; the vault no longer has it.`)
    if (outcome === 'no terminal') {
      const what = sharing ? 'shares are' : 'the recovery key is'
      throw new MosaikError('E_INPUT', `${what} shown on a terminal only, and there is none: run this on one`)
    }
    if (outcome === 'shown' && sharing) {
      screen.say(
        `  ${sharing.n} shares were shown, ${sharing.k} give the recovery key back. The vault no longer has it.`,
      )
    }
  }
}

/** A sharing as it is written on the command line: 3-of-5. @throws E_INPUT */
export function parseSharing(text: string): Sharing {
  const [, k, n] = (/^(\d+)-of-(\d+)$/.exec(text) ?? []).map(Number)
  if (k === undefined || n === undefined || k < 2 || n < k || n > 16) {
    throw new MosaikError(
      'E_INPUT',
      `"${text}" is no sharing: write for example 3-of-5; at least 2 restore, at most 16 exist`,
    )
  }
  return { k, n }
}
