import { mkdirSync } from 'node:fs'
import { createFileKeyring, hasFileKeyring, openFileKeyring } from '../adapters/file-keyring/file-keyring.ts'
import type { FileKeyring } from '../adapters/file-keyring/opened-keyring.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../adapters/node-system.ts'
import { runSelfTest } from '../adapters/self-test.ts'
import { openPostgresCatalog } from '../adapters/sql-catalog/open.ts'
import type { Scheme } from '../domain/dispersal.ts'
import { MosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import type { PlacementRule } from '../domain/placement.ts'
import type { Role } from '../domain/roles.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { Config } from './config.ts'
import { createOrganisation } from './organisations.ts'
import { findOpening } from './opening.ts'
import { findPassphrase } from './passphrase.ts'
import { markSpool } from './spool-folder.ts'
import { issueToken } from './tokens.ts'

export interface SetupRequest {
  readonly name: string
  readonly scheme: Scheme
  readonly placementRule: PlacementRule
}

/**
 * Makes a vault of many processes, once: schema, keyring, organisation, the spool's marker. Nodes are the operator's to add. What is there
 * stays as it is, and a set-up that was cut off is completed by the next.
 */
export async function setUp(
  config: Config,
  request: SetupRequest,
): Promise<{ readonly organisation: Id; readonly isNew: boolean }> {
  const clock = nodeClock
  const random = nodeRandom(config.entropyDevice)
  runSelfTest(nodePrimitives)
  mkdirSync(config.data, { recursive: true, mode: 0o700 })
  return await withCatalog(config, async (catalog) => {
    await catalog.migrate()
    const organisations = await catalog.installation.organisations()
    const hasKeyring = hasFileKeyring(config.data)
    if (!hasKeyring && organisations.length > 0) {
      throw new MosaikError(
        'E_CONFIG',
        `the catalog knows organisations and ${config.data} has no keyring.json; put it back from its backup`,
      )
    }
    const keyring = await openOrCreate(config, hasKeyring)
    const installationId = await catalog.installation.installation(toHex(random.bytes(16)))
    markSpool(config, installationId)
    const standing = organisations[0]?.id
    if (standing !== undefined) return { organisation: standing, isNew: false }
    const ports = { catalog, keyring, installationId, primitives: nodePrimitives, clock, random }
    return { organisation: await createOrganisation(ports, request), isNew: true }
  })

  async function openOrCreate(of: Config, hasKeyring: boolean): Promise<FileKeyring> {
    const options = {
      folder: of.data,
      clock,
      random,
      primitives: nodePrimitives,
      record: () => Promise.reject(new MosaikError('E_INTERNAL', 'the set-up unwraps nothing')),
    }
    // `true`: it asks where it may, and never writes one down.
    if (hasKeyring) return await openFileKeyring({ ...options, ...(await findOpening(of, random, true)).with })
    const { text: passphrase } = await findPassphrase(of, random, false, true)
    return await createFileKeyring({ ...options, passphrase })
  }
}

/** A bearer token of a role, straight into the catalog: whoever reaches the database may make one. */
export async function makeToken(
  config: Config,
  role: Role,
  { name, organisation: wanted }: { readonly name: string; readonly organisation?: string | undefined },
): Promise<{ readonly id: Id; readonly token: string; readonly role: Role; readonly organisation: Id }> {
  return await withCatalog(config, async (catalog) => {
    const organisations = await catalog.installation.organisations()
    if (organisations.length === 0) {
      throw new MosaikError('E_CONFIG', 'there is no organisation yet; run `mosaik setup` first')
    }
    const found =
      wanted === undefined
        ? organisations[0]
        : organisations.find((one) => one.id === wanted || one.name.toLowerCase() === wanted.toLowerCase())
    if (found === undefined) {
      throw new MosaikError('E_ORGANISATION_UNKNOWN', `there is no organisation ${wanted ?? ''}`)
    }
    const ports = { tokens: catalog.tokens, clock: nodeClock, random: nodeRandom() }
    const owner = { organisation: found.id, role, name }
    return { ...(await issueToken(ports, owner)), role, organisation: found.id }
  })
}

async function withCatalog<T>(config: Config, task: (catalog: Catalog) => Promise<T>): Promise<T> {
  if (config.databaseUrl === undefined) {
    throw new MosaikError(
      'E_CONFIG',
      'MOSAIK_DATABASE_URL is not set: this is for a vault of many processes on PostgreSQL; `npm start` sets up the embedded one',
    )
  }
  const catalog = openPostgresCatalog(config.databaseUrl, nodeClock)
  try {
    return await task(catalog)
  } finally {
    await catalog.close()
  }
}
