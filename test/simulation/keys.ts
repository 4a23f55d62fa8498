import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFileKeyring, openFileKeyring } from '../../src/adapters/file-keyring/file-keyring.ts'
import type { FileKeyring } from '../../src/adapters/file-keyring/opened-keyring.ts'
import { nodePrimitives } from '../../src/adapters/node-primitives.ts'
import { openMemoryCatalog } from '../../src/adapters/sql-catalog/open.ts'
import type { Id } from '../../src/domain/ids.ts'
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
  /** The same one after a rotation. */
  readonly rotated: FileKeyring
  readonly organisation: OrganisationRow
  readonly card: { readonly epoch: number; readonly card: Uint8Array }
}

export async function makeKeys(): Promise<SimulationKeys> {
  const folder = mkdtempSync(join(tmpdir(), 'mosaik-simulation-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  // The same in every process: names of cards are hashes of keys and times.
  const random = seededRandom(new Seeded(0))
  const clock = new SimulatedClock(new SimulatedTime())
  const options = {
    ...{ folder, passphrase: 'a passphrase of simulations', clock, random, primitives: nodePrimitives },
    record: () => Promise.resolve(),
    unwrapsPerMinute: Infinity,
  }
  const keyring = await createFileKeyring(options, KDF_COST)
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
  const later = mkdtempSync(join(tmpdir(), 'mosaik-simulation-'))
  process.on('exit', () => rmSync(later, { recursive: true, force: true }))
  cpSync(folder, later, { recursive: true })
  const rotated = await openFileKeyring({ ...options, folder: later })
  const { epoch } = await rotated.prepareEpoch(id)
  await rotated.beginEpoch(id, epoch)
  return { keyring, rotated, organisation, card: { epoch: 1, card } }
}

/** A world's own keyring: as it was made, until a rotation begins the next epoch. Its keys are those of all worlds. */
export function turningKeyring({ keyring, rotated }: Pick<SimulationKeys, 'keyring' | 'rotated'>): FileKeyring {
  let present = keyring
  return new Proxy(keyring, {
    get(_, name) {
      if (name === 'prepareEpoch') return (organisation: Id) => rotated.publicKeys(organisation)
      if (name === 'beginEpoch') {
        return () => {
          present = rotated
          return Promise.resolve()
        }
      }
      const call = Reflect.get(present, name, present) as unknown
      return typeof call === 'function' ? (call.bind(present) as unknown) : call
    },
  })
}
