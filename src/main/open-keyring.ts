import { createFileKeyring, hasFileKeyring, openFileKeyring } from '../adapters/file-keyring/file-keyring.ts'
import type { FileKeyring } from '../adapters/file-keyring/opened-keyring.ts'
import type { KdfCost } from '../adapters/file-keyring/sealed-file.ts'
import { passphraseOf, type KeyringOpening } from '../adapters/file-keyring/unlock.ts'
import type { UnwrapEntry } from '../adapters/file-keyring/unwrap-gate.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { MosaikError } from '../domain/errors.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Metrics } from '../ports/metrics.ts'
import type { Clock, Random } from '../ports/system.ts'
import type { Config } from './config.ts'

/** What of a process the keyring needs. */
export interface KeyringOptions {
  readonly config: Pick<Config, 'data'>
  readonly opening: KeyringOpening
  readonly clock: Clock
  readonly random: Random
  /** Cost of the passphrase derivation of a new keyring; strong when left out. */
  readonly kdfCost?: KdfCost
  /** True where the keyring has to be there already. */
  readonly mayNotMake: boolean
}

/**
 * Opens the keyring in the data folder, or makes one where nothing needs one that is lost. Every unwrap is an entry in the audit log.
 *
 * @throws E_CONFIG when there ought to be one and is none; what opening it throws.
 */
export async function openKeyring(
  options: KeyringOptions,
  catalog: Catalog,
  metrics: Metrics | undefined,
): Promise<FileKeyring> {
  const { config, clock, random } = options
  const keyringOptions = {
    folder: config.data,
    clock,
    random,
    primitives: nodePrimitives,
    record: async ({ organisation, keyId, purpose, atMs }: UnwrapEntry) => {
      metrics?.unwrapped(purpose)
      await catalog.audit.addAudit({ atMs, organisation, kind: 'unwrap', subject: null, fields: { purpose, keyId } })
    },
  }
  const { opening } = options
  if (hasFileKeyring(config.data)) return await openFileKeyring({ ...keyringOptions, ...opening })
  if ((await catalog.installation.organisations()).length > 0) {
    throw new MosaikError(
      'E_CONFIG',
      `the catalog knows organisations and ${config.data} has no keyring.json; put it back from its backup`,
    )
  }
  if (options.mayNotMake) {
    throw new MosaikError('E_CONFIG', `there is no keyring.json in ${config.data}; run \`mosaik setup\` once, first`)
  }
  return await createFileKeyring({ ...keyringOptions, ...passphraseOf(opening) }, options.kdfCost)
}
