import { ShareCollector } from '../adapters/file-keyring/custody.ts'
import { hasFileKeyring, keyringLock } from '../adapters/file-keyring/file-keyring.ts'
import { withHsm } from '../adapters/file-keyring/hsm-lock.ts'
import type { Custody } from '../adapters/file-keyring/sealed-file.ts'
import { withMasterKey, type KeyringOpening } from '../adapters/file-keyring/unlock.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { nodeClock } from '../adapters/node-system.ts'
import { askProcesses } from '../adapters/seal-socket.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Random } from '../ports/system.ts'
import type { Config } from './config.ts'
import { findHsm } from './hsm.ts'
import { findPassphrase } from './passphrase.ts'
import { askHidden } from './terminal.ts'

/** What opens the keyring, found or asked for. */
export interface Opening {
  readonly with: KeyringOpening
  /** Where a demonstration's passphrase lies. */
  readonly demoFile: string | undefined
}

/** True when the keyring of the data folder opens with shares of officers only. */
export function isInCustody(config: Pick<Config, 'data'>): boolean {
  return hasFileKeyring(config.data) && keyringLock(config.data).custody !== undefined
}

/**
 * What opens the keyring: the HSM of the settings; officers' shares, asked for on the terminal one after the other; else the passphrase, as
 * `findPassphrase` finds it.
 *
 * @throws E_VAULT_SEALED without a terminal to give shares on; E_KEYRING_PASSPHRASE; E_CONFIG, E_HSM_PIN
 */
export async function findOpening(config: Config, random: Random, ask = false): Promise<Opening> {
  const hasKeyring = hasFileKeyring(config.data)
  const { custody, hsm } = hasKeyring ? keyringLock(config.data) : {}
  if (custody !== undefined) {
    return { with: { unlock: withMasterKey(await askForShares(custody)) }, demoFile: undefined }
  }
  if (hsm !== undefined) {
    return { with: { unlock: withHsm(await findHsm(config), nodePrimitives) }, demoFile: undefined }
  }
  const { text, demoFile } = await findPassphrase(config, random, hasKeyring, ask)
  return { with: { passphrase: text }, demoFile }
}

/** A mistyped folder is no reason to make a vault in it. @throws E_CONFIG when the data folder has no keyring */
export function refuseIfNone({ data }: Pick<Config, 'data'>): void {
  if (hasFileKeyring(data)) return
  throw new MosaikError(
    'E_CONFIG',
    `there is no vault in ${data}: \`npm start\` makes one; or name its folder with --data, or a vault elsewhere with MOSAIK_URL and MOSAIK_TOKEN`,
  )
}

/** A vault that runs on the data folder and is sealed does nothing for a command. @throws E_VAULT_SEALED */
export async function refuseIfSealed(config: Pick<Config, 'data'>): Promise<void> {
  if (!isInCustody(config)) return
  const [first] = await askProcesses(config.data, { ask: 'status' })
  if (first?.status.state !== 'sealed') return
  const { sharesGiven, sharesNeeded } = first.status
  throw new MosaikError(
    'E_VAULT_SEALED',
    `the vault is sealed: its officers have given ${sharesGiven} of ${sharesNeeded} shares since it started (\`npx mosaik keys unseal\`)`,
  )
}

/** Of shares typed on this terminal, for this command alone. A wrong one is asked for again. */
async function askForShares(custody: Custody): Promise<Uint8Array> {
  const collector = new ShareCollector(custody, { primitives: nodePrimitives, clock: nodeClock })
  const { threshold, officers, fingerprint } = collector
  let note = `The keyring of vault ${fingerprint} opens with ${threshold} of its ${officers} officers' shares.\n`
  try {
    for (;;) {
      const words = await askHidden(`${note}Share ${collector.given + 1} of ${threshold} that are needed: `)
      if (words === undefined) {
        throw new MosaikError(
          'E_VAULT_SEALED',
          `this command opens the keyring, and it opens with ${threshold} shares of officers: run it on a terminal where they can type them`,
        )
      }
      try {
        const masterKey = collector.give(words)
        if (masterKey !== undefined) return masterKey
        note = ''
      } catch (error) {
        if (!isMosaikError(error, 'E_KEYRING_SHARE')) throw error
        note = `${error.message}.\n`
      }
    }
  } finally {
    collector.forget()
  }
}
