import { resolve } from 'node:path'
import { nodeFolder } from '../adapters/node-folder.ts'
import type { Id } from '../domain/ids.ts'
import { startWatchedFolder } from '../sources/watched-folder.ts'
import type { Clock, Log } from '../ports/system.ts'
import type { Config } from './config.ts'
import type { Vault } from './vault.ts'

/** Watches the folder of the settings for one organisation; undefined when none is set. */
export function startWatching(
  config: Config,
  organisation: Id,
  { vault, clock, log }: { readonly vault: Vault; readonly clock: Clock; readonly log: Log },
): { close(): Promise<void> } | undefined {
  if (config.watch === undefined) return undefined
  return startWatchedFolder({
    folder: nodeFolder(resolve(config.watch)),
    intake: vault.intake,
    organisation,
    clock,
    log,
    stableMs: config.watchStableSeconds * 1000,
    deleteAfterReceipt: config.watchDeleteAfterReceipt,
  })
}
