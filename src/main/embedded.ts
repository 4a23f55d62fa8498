import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { defaultScheme } from '../domain/dispersal.ts'
import type { Id } from '../domain/ids.ts'
import type { Config } from './config.ts'
import { createOrganisation, spreadCards } from './organisations.ts'
import type { Vault } from './vault.ts'

const EMBEDDED_NODES_COUNT = 5

/**
 * The embedded form on first use: one organisation, and five directory nodes in the data folder when the vault has none. What is there already
 * stays as it is; a first start that was cut off is completed.
 */
export async function ensureEmbedded(
  vault: Vault,
  config: Config,
): Promise<{ readonly organisation: Id; readonly isNew: boolean }> {
  const organisations = await vault.catalog.installation.organisations()
  const organisation =
    organisations[0]?.id ??
    (await createOrganisation(vault.organisations, {
      name: 'default',
      scheme: defaultScheme(EMBEDDED_NODES_COUNT),
      placementRule: 'none',
    }))
  const nodes = await vault.catalog.installation.nodes()
  const foreign = nodes.some(({ name }) => !name.startsWith('folder-'))
  for (let number = 1; number <= EMBEDDED_NODES_COUNT && !foreign; number++) {
    const name = `folder-${number}`
    if (nodes.some((node) => node.name === name)) continue
    const path = join(config.data, 'nodes', name)
    mkdirSync(path, { recursive: true, mode: 0o700 })
    await vault.nodes.add({
      name,
      country: 'EU',
      operator: 'this machine',
      parent: 'this machine',
      site: 'this machine',
      settings: { driver: 'directory', path },
    })
  }
  for (const node of await vault.catalog.installation.nodes()) await spreadCards(vault.organisations, node.id)
  return { organisation, isNew: organisations.length === 0 }
}
