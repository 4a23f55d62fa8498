import { mkdirSync } from 'node:fs'
import type { KdfCost } from '../adapters/file-keyring/sealed-file.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../adapters/node-system.ts'
import { runSelfTest } from '../adapters/self-test.ts'
import type { Id } from '../domain/ids.ts'
import { VaultClient } from './client.ts'
import { childEnvironment, type Config } from './config.ts'
import { claimDataFolder, forgetRunFile, writeRunFile } from './data-folder.ts'
import { ensureEmbedded } from './embedded.ts'
import { startHttp } from './http-server.ts'
import { openLog } from './log.ts'
import { findOpening, isInCustody } from './opening.ts'
import { offerRecoveryKey } from './recovery-key.ts'
import type { Screen } from './screen.ts'
import { waitForShares, type SealPorts, type Unsealed } from './sealed.ts'
import { renewLocalToken } from './tokens.ts'
import { openVault, type Vault } from './vault.ts'
import { startWatching } from './watching.ts'

export interface StartOptions {
  readonly askPassphrase: boolean
  readonly kdfCost?: KdfCost | undefined
  /**
   * A keyring in custody: waits sealed until its officers have opened it, or this signal ends the wait. Without, they are asked for their
   * shares here.
   */
  readonly waitSealed?: AbortSignal | undefined
}

/** A vault that runs in this process, with its doors open. */
export interface RunningVault {
  readonly vault: Vault
  readonly organisation: Id
  readonly isNew: boolean
  readonly client: VaultClient
  readonly publicUrl: string
  /** Resolves when officers seal it again; whoever runs it closes it then. */
  readonly sealWanted: Promise<void>
  close(): Promise<void>
}

/**
 * Opens the vault of the data folder with API, uploads, viewer, workers and watched folder in this process.
 *
 * @throws E_KEYRING_PASSPHRASE, E_VAULT_SEALED, E_CONFIG; the reason of `waitSealed`
 */
export async function startVault(config: Config, options: StartOptions, screen: Screen): Promise<RunningVault> {
  const random = nodeRandom(config.entropyDevice)
  const clock = nodeClock
  runSelfTest(nodePrimitives)
  mkdirSync(config.data, { recursive: true, mode: 0o700 })
  const unlock = claimDataFolder(config)
  const log = openLog(config, clock)
  let unsealed: Unsealed | undefined
  try {
    unsealed = await waitIfSealed({ config, clock, random, log: log.log }, options.waitSealed, screen)
    const opening = unsealed
      ? { with: { unlock: unsealed.unlock }, demoFile: undefined }
      : await findOpening(config, random, options.askPassphrase)
    const vault = await openVault({
      config,
      opening: opening.with,
      clock,
      random,
      log: log.log,
      childEnvironment: childEnvironment(),
      ...(options.kdfCost ? { kdfCost: options.kdfCost } : {}),
    })
    try {
      const { organisation, isNew } = await ensureEmbedded(vault, config)
      if (isNew) vault.upkeep.stateChanged(organisation)
      const ports = { vault, config, clock, random, log: log.log }
      const http = await startHttp(ports, unsealed?.door)
      const tokenPorts = { ...ports, tokens: vault.catalog.tokens }
      const tokens = {
        host: await renewLocalToken(tokenPorts, organisation, 'host'),
        operator: await renewLocalToken(tokenPorts, organisation, 'operator'),
        admin: await renewLocalToken(tokenPorts, organisation, 'admin'),
      }
      const texts = { host: tokens.host.token, operator: tokens.operator.token, admin: tokens.admin.token }
      writeRunFile(config, http.url, texts)
      const watching = startWatching(config, organisation, ports)
      if (opening.demoFile !== undefined && isNew) {
        screen.say(
          `  The keyring's passphrase was written to ${opening.demoFile} (mode 0600): good for a demonstration only.`,
        )
      }
      if (isNew) {
        screen.say('  Five folders on one machine protect against nothing but a lost folder; add real stores with')
        screen.say('  `npx mosaik nodes add` (the placement rule is `none` until you set it).')
      }
      if (vault.isReadOnly) {
        screen.say(
          '  The catalog is older than what lies on the nodes: was it restored from a backup? The vault only plays;',
        )
        screen.say('  nothing is accepted, written or deleted. See docs/OPERATIONS.md, "The catalog is lost".')
      }
      if ((await offerRecoveryKey(vault, organisation, screen)) === 'no terminal') {
        screen.say('  The recovery key was not shown: no terminal. Run `npx mosaik recovery-key` on one, and keep the')
        screen.say('  key elsewhere.')
      }
      return {
        vault,
        organisation,
        isNew,
        publicUrl: http.publicUrl,
        sealWanted: unsealed?.sealWanted ?? new Promise(() => undefined),
        client: new VaultClient(http.url, texts),
        async close() {
          await watching?.close()
          await http.close()
          for (const { id } of Object.values(tokens)) {
            await vault.catalog.tokens.revokeToken(id, clock.nowMs()).catch(() => undefined)
          }
          await vault.close()
          await unsealed?.close()
          forgetRunFile(config)
          log.close()
          unlock()
        },
      }
    } catch (error) {
      await vault.close()
      throw error
    }
  } catch (error) {
    await unsealed?.door?.close()
    await unsealed?.close()
    log.close()
    unlock()
    throw error
  }
}

async function waitIfSealed(
  ports: Omit<SealPorts, 'name' | 'hasDoors'>,
  signal: AbortSignal | undefined,
  screen: Screen,
): Promise<Unsealed | undefined> {
  if (signal === undefined || !isInCustody(ports.config)) return undefined
  screen.say(
    '  The vault is sealed: its officers open it with `npx mosaik keys unseal`, one after the other. Stop with ^C.',
  )
  const unsealed = await waitForShares({ ...ports, name: 'vault', hasDoors: true }, signal)
  screen.say('  Its officers opened the vault.')
  return unsealed
}
