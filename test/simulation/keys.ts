import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFileKeyring } from '../../src/adapters/file-keyring/file-keyring.ts'
import type { FileKeyring } from '../../src/adapters/file-keyring/opened-keyring.ts'
import { nodePrimitives } from '../../src/adapters/node-primitives.ts'
import { openMemoryCatalog } from '../../src/adapters/sql-catalog/open.ts'
import { createOrganisation } from '../../src/main/organisations.ts'
import type { OrganisationRow } from '../../src/ports/catalog/access.ts'
import { Seeded, seededRandom } from './seeded.ts'
import { SimulatedClock, SimulatedTime } from './time.ts'

/** Cheap argon2id. */
const KDF_COST = { memoryKiB: 64, passes: 1, parallelism: 1 }
export const INSTALLATION = '5a'.repeat(16)

/** The keys of every simulated vault of this process: made once, since worlds differ in what happens to them and not in keys. */
export interface SimulationKeys {
  readonly keyring: FileKeyring
  readonly organisation: OrganisationRow
  readonly card: { readonly epoch: number; readonly card: Uint8Array }
}

export async function makeKeys(): Promise<SimulationKeys> {
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-simulation-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  // The same in every process: names of cards are hashes of keys and times.
  const random = seededRandom(new Seeded(0))
  const clock = new SimulatedClock(new SimulatedTime())
  const keyring = await createFileKeyring(
    {
      ...{ folder, passphrase: 'a passphrase of simulations', clock, random, primitives: nodePrimitives },
      record: () => Promise.resolve(),
      unwrapsPerMinute: Infinity,
    },
    KDF_COST,
  )
  const catalog = openMemoryCatalog(clock)
  await catalog.migrate()
  const id = await createOrganisation(
    { catalog, keyring, installationId: INSTALLATION, primitives: nodePrimitives, clock, random },
    { name: 'simulated', scheme: { k: 3, n: 5, t: 1 }, placementRule: 'none' },
  )
  const organisation = await catalog.installation.organisation(id)
  const [card] = await catalog.installation.cards(id)
  await catalog.close()
  if (!organisation || !card) throw new Error('no organisation was made')
  return { keyring, organisation, card: { epoch: 1, card } }
}
