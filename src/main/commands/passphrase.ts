import { existsSync, rmSync } from 'node:fs'
import { changePassphrase, openFileKeyring, type FileKeyringOptions } from '../../adapters/file-keyring/file-keyring.ts'
import { nodePrimitives } from '../../adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../adapters/node-system.ts'
import { isMosaikError, MosaikError } from '../../domain/errors.ts'
import type { Config } from '../config.ts'
import { findOpening, type Opening } from '../opening.ts'
import { findNewPassphrase } from '../passphrase.ts'
import type { Screen } from '../screen.ts'
import { requireKeyring } from './keys.ts'

/** `mosaik keys passphrase`: seals the keyring under another passphrase, whatever opened it until now. No process of the vault may run. */
export async function passphraseCommand(
  config: Config,
  screen: Screen,
  newPassphraseFile: string | undefined,
): Promise<void> {
  requireKeyring(config)
  const random = nodeRandom(config.entropyDevice)
  const old = await findOpening(config, random)
  const fresh = await findNewPassphrase(newPassphraseFile)
  const ports = { folder: config.data, clock: nodeClock, random, primitives: nodePrimitives }
  try {
    await changePassphrase({ ...ports, ...old.with }, fresh)
  } catch (error) {
    if (!(await wasChangedBefore(error, ports, old, fresh))) throw error
  }
  const lines = ['The keyring is sealed under the new passphrase.']
  if (old.demoFile !== undefined) {
    rmSync(old.demoFile, { force: true })
    lines.push(
      `The demonstration's file ${old.demoFile} was removed: from now on the vault asks, or is given MOSAIK_PASSPHRASE_FILE.`,
    )
  }
  if (config.passphraseFile !== undefined || config.passphrase !== undefined) {
    lines.push('Put the new passphrase where the vault is given the old one, before it starts again.')
  }
  lines.push('Back keyring.json up again. Copies of it from before still open with the old passphrase: destroy them.')
  screen.result(lines.join('\n'), {
    changed: true,
    demoFileRemoved: old.demoFile !== undefined && !existsSync(old.demoFile),
  })
}

/** A change that was cut off before the demonstration's file went: the old passphrase in it opens nothing any more, the new one does. */
async function wasChangedBefore(
  error: unknown,
  ports: Omit<FileKeyringOptions, 'passphrase' | 'record'>,
  old: Opening,
  fresh: string,
): Promise<boolean> {
  if (!isMosaikError(error, 'E_KEYRING_PASSPHRASE') || old.demoFile === undefined) return false
  try {
    const record = () => Promise.reject(new MosaikError('E_INTERNAL', 'this command unwraps nothing'))
    const keyring = await openFileKeyring({ ...ports, passphrase: fresh, record })
    keyring.close()
    return true
  } catch {
    return false
  }
}
