import { join } from 'node:path'
import { hasFileKeyring, openFileKeyring } from '../adapters/file-keyring/file-keyring.ts'
import type { FileKeyring } from '../adapters/file-keyring/opened-keyring.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../adapters/node-system.ts'
import { createNodeDriver } from '../adapters/open-store.ts'
import { openPostgresCatalog, openSqliteCatalog } from '../adapters/sql-catalog/open.ts'
import { MosaikError } from '../domain/errors.ts'
import { toHex } from '../domain/ids.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Config } from './config.ts'
import { CatalogNodePool } from './node-pool.ts'
import { findOpening } from './opening.ts'

/** Catalog, keyring and nodes of a data folder, beside the vault that may run on it: no workers, no queue, no doors. */
export interface UpkeepAccess {
  readonly catalog: Catalog
  readonly keyring: FileKeyring
  readonly pool: CatalogNodePool
  readonly primitives: typeof nodePrimitives
  readonly clock: typeof nodeClock
  close(): Promise<void>
}

/** @throws E_CONFIG when there is no vault in the data folder; E_KEYRING_PASSPHRASE; E_VAULT_SEALED */
export async function openForUpkeep(config: Config): Promise<UpkeepAccess> {
  if (!hasFileKeyring(config.data)) {
    throw new MosaikError(
      'E_CONFIG',
      `there is no keyring in ${config.data}: this command runs where the vault's data folder is; name it with --data`,
    )
  }
  const random = nodeRandom(config.entropyDevice)
  const opening = await findOpening(config, random)
  const keyring = await openFileKeyring({
    folder: config.data,
    ...opening.with,
    clock: nodeClock,
    random,
    primitives: nodePrimitives,
    record: () => Promise.reject(new MosaikError('E_INTERNAL', 'this command unwraps nothing')),
  })
  const catalog =
    config.databaseUrl === undefined
      ? openSqliteCatalog(join(config.data, 'catalog.sqlite'), nodeClock)
      : openPostgresCatalog(config.databaseUrl, nodeClock)
  try {
    await catalog.migrate()
    const pool = new CatalogNodePool({
      installation: catalog.installation,
      installationId: await catalog.installation.installation(toHex(random.bytes(16))),
      atRest: keyring,
      driver: createNodeDriver({ clock: nodeClock, random }),
      clock: nodeClock,
    })
    return {
      catalog,
      keyring,
      pool,
      primitives: nodePrimitives,
      clock: nodeClock,
      async close() {
        await pool.close()
        await catalog.close()
        keyring.close()
      },
    }
  } catch (error) {
    await catalog.close()
    throw error
  }
}
