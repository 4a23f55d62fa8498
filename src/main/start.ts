import { mkdirSync } from 'node:fs'
import { hasFileKeyring } from '../adapters/file-keyring/file-keyring.ts'
import type { KdfCost } from '../adapters/file-keyring/sealed-file.ts'
import { nativeXWing } from '../adapters/native-kem.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../adapters/node-system.ts'
import { runSelfTest } from '../adapters/self-test.ts'
import type { Id } from '../domain/ids.ts'
import { VaultClient } from './client.ts'
import { childEnvironment, type Config } from './config.ts'
import { claimDataFolder, forgetRunFile, writeRunFile } from './data-folder.ts'
import { ensureEmbedded } from './embedded.ts'
import { issueLocalToken, startHttp } from './http-server.ts'
import { openLog } from './log.ts'
import { findPassphrase } from './passphrase.ts'
import { offerRecoveryKey } from './recovery-key.ts'
import type { Screen } from './screen.ts'
import { openVault, type Vault } from './vault.ts'
import { startWatching } from './watching.ts'

export interface StartOptions {
  readonly askPassphrase: boolean
  readonly kdfCost?: KdfCost | undefined
}

/** A vault that runs in this process, with its doors open. */
export interface RunningVault {
  readonly vault: Vault
  readonly organisation: Id
  readonly isNew: boolean
  readonly client: VaultClient
  readonly publicUrl: string
  close(): Promise<void>
}

/** Opens the vault of the data folder with API, uploads, viewer, workers and watched folder in this process. */
export async function startVault(config: Config, options: StartOptions, screen: Screen): Promise<RunningVault> {
  const random = nodeRandom(config.entropyDevice)
  const clock = nodeClock
  runSelfTest(nodePrimitives, nativeXWing)
  mkdirSync(config.data, { recursive: true, mode: 0o700 })
  const unlock = claimDataFolder(config)
  const log = openLog(config, clock)
  try {
    const passphrase = await findPassphrase(config, random, hasFileKeyring(config.data), options.askPassphrase)
    const vault = await openVault({
      config,
      passphrase: passphrase.text,
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
      const http = await startHttp(ports)
      const tokens = {
        host: await issueLocalToken(ports, organisation, 'host'),
        operator: await issueLocalToken(ports, organisation, 'operator'),
        admin: await issueLocalToken(ports, organisation, 'admin'),
      }
      const texts = { host: tokens.host.token, operator: tokens.operator.token, admin: tokens.admin.token }
      writeRunFile(config, http.url, texts)
      const watching = startWatching(config, organisation, ports)
      if (passphrase.demoFile !== undefined && isNew) {
        screen.say(
          `  The keyring's passphrase was written to ${passphrase.demoFile} (mode 0600): good for a demonstration only.`,
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
      await offerRecoveryKey(vault, organisation, screen)
      return {
        vault,
        organisation,
        isNew,
        publicUrl: http.publicUrl,
        client: new VaultClient(http.url, texts),
        async close() {
          await watching?.close()
          await http.close()
          for (const { id } of Object.values(tokens)) {
            await vault.catalog.tokens.revokeToken(id, clock.nowMs()).catch(() => undefined)
          }
          await vault.close()
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
    log.close()
    unlock()
    throw error
  }
}
