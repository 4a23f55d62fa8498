import { hasFileKeyring, openFileKeyring } from '../../adapters/file-keyring/file-keyring.ts'
import { nativeXWing } from '../../adapters/native-kem.ts'
import { nodePrimitives } from '../../adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../adapters/node-system.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Config } from '../config.ts'
import { findPassphrase } from '../passphrase.ts'
import { offerRecoveryKey } from '../recovery-key.ts'
import type { Screen } from '../screen.ts'

/** `mosaik recovery-key`: shows the recovery key of each organisation that was never shown, on the terminal, once. Works beside a running vault. */
export async function recoveryKey(config: Config, screen: Screen): Promise<void> {
  if (!hasFileKeyring(config.data)) {
    throw new MosaikError(
      'E_CONFIG',
      `there is no keyring in ${config.data}; start the vault first, or name its folder with --data`,
    )
  }
  const random = nodeRandom()
  const { text: passphrase } = await findPassphrase(config, random, true, false)
  const keyring = await openFileKeyring({
    folder: config.data,
    passphrase,
    clock: nodeClock,
    random,
    primitives: nodePrimitives,
    suite1Kem: nativeXWing,
    record: () => Promise.reject(new MosaikError('E_INTERNAL', 'this command unwraps nothing')),
  })
  for (const organisation of await keyring.organisations()) {
    const outcome = await offerRecoveryKey({ keyring }, organisation, screen)
    if (outcome === 'gone')
      screen.say(`  The recovery key of organisation ${organisation} was shown before; the vault no longer has it.`)
  }
}
