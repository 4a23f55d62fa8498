import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { hasFileKeyring } from '../adapters/file-keyring/file-keyring.ts'
import type { FileKeyring } from '../adapters/file-keyring/opened-keyring.ts'
import type { KdfCost } from '../adapters/file-keyring/sealed-file.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { openPostgresCatalog, openSqliteCatalog } from '../adapters/sql-catalog/open.ts'
import type { Scheme } from '../domain/dispersal.ts'
import { MosaikError, type ErrorCode } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import { acceptsReads, type StorageNode } from '../domain/node.ts'
import { choosePlacement, type PlacementRule } from '../domain/placement.ts'
import { trustCards, type Trust } from '../ledger/vault-card.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { ObjectRow } from '../ports/catalog/layout.ts'
import type { NodeDriver } from '../ports/node-driver.ts'
import type { Clock, Log, Random } from '../ports/system.ts'
import { readCards, type FoundCard } from '../upkeep/keyed/node-contents.ts'
import {
  endAbsent,
  findScheme,
  findState,
  rebuild,
  type FoundState,
  type RebuildReport,
} from '../upkeep/keyed/rebuild.ts'
import type { KeyringOpening } from '../adapters/file-keyring/unlock.ts'
import type { Config } from './config.ts'
import {
  ensureKeys,
  issueCard,
  openKeyring,
  openWithKeyring,
  openWithRecoveryKey,
  type KnownCard,
} from './rebuild-keys.ts'
import { addNodes, openKnownNodes, openNodes, settleNodeEntries, type OpenedNode } from './rebuild-nodes.ts'

export interface RebuildRequest {
  readonly config: Pick<Config, 'data' | 'databaseUrl'>
  /** As it is printed; without it the keyring in the data folder opens. */
  readonly recoveryKey: string | undefined
  /** Of the keyring that is there, or of the new one. */
  readonly opening: KeyringOpening
  /** Folders, or JSON files with the settings of a node, credentials included. */
  readonly nodes: readonly string[]
  /** The catalog was restored from a backup: it is brought up to what lies on the nodes, its own and those that are given. */
  readonly isMerge?: boolean
  readonly driver: NodeDriver
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly kdfCost?: KdfCost
}

export interface RebuildResult extends RebuildReport {
  readonly organisation: Id
  readonly epoch: number
  /** The old keyring was not there: new vault and signing keys were made. */
  readonly hasNewKeys: boolean
  readonly nodesFound: readonly string[]
  /** Nodes that the state or the catalog names and that were not looked at. */
  readonly nodesMissing: readonly string[]
  /** Objects, and whole listings, that nodes did not give or gave otherwise: how many of each code. Nothing is known of them. */
  readonly passedOver: readonly { readonly name: string; readonly code: ErrorCode; readonly count: number }[]
  /** Rows of an older catalog whose objects are not there any more. */
  readonly absent: number
  readonly state: {
    readonly generation: number
    /** Numbers above it of which shares are there, and too few. */
    readonly incomplete: FoundState['incomplete']
    readonly exposures: number
    readonly holds: number
    readonly policies: number
    readonly tombstones: number
    readonly revokedLinks: number
  }
}

/**
 * A working vault from bare nodes and the recovery key or the keyring: catalog, and keys of a new epoch when the keyring is lost. Run again
 * with more nodes it adds what they have. As a merge it brings a catalog from a backup up to the nodes. Deletions are frozen from its first
 * step on, until somebody releases them.
 *
 * @throws E_RECOVERY_KEY; E_CARD_UNTRUSTED when no card on the nodes is of this key; E_NODE_FOREIGN nodes of several vaults; E_CONFLICT when
 * the data folder has a catalog that no rebuild made, or, as a merge, none
 */
export async function rebuildVault(request: RebuildRequest, signal: AbortSignal): Promise<RebuildResult> {
  const { config, clock, random, log, isMerge = false } = request
  const primitives = nodePrimitives
  const byRecoveryKey = request.recoveryKey === undefined ? undefined : openWithRecoveryKey(request.recoveryKey)
  if (!byRecoveryKey && !hasFileKeyring(config.data)) {
    throw new MosaikError(
      'E_INPUT',
      `there is no keyring in ${config.data}: put keyring.json back there, or give the recovery key with --recovery-key-file`,
    )
  }
  if (request.nodes.length === 0 && !isMerge) {
    throw new MosaikError('E_INPUT', 'name the nodes with --node: folders, or JSON files with settings')
  }
  mkdirSync(config.data, { recursive: true, mode: 0o700 })
  const given = await openNodes(request.driver, request.nodes, signal)
  const nodes = [...given]
  const catalog =
    config.databaseUrl === undefined
      ? openSqliteCatalog(join(config.data, 'catalog.sqlite'), clock)
      : openPostgresCatalog(config.databaseUrl, clock)
  let keyring: FileKeyring | undefined
  try {
    await catalog.migrate()
    if (isMerge || !byRecoveryKey) keyring = await openKeyring(request, catalog)
    let silent: readonly { readonly name: string; readonly code: ErrorCode }[] = []
    if (isMerge && keyring) {
      await checkMerged(catalog)
      const known = await openKnownNodes({ driver: request.driver, catalog, atRest: keyring }, given, signal)
      nodes.push(...known.opened)
      silent = known.silent
    }
    const opener = byRecoveryKey ?? (await openWithKeyring(keyring!))
    const { unwrap } = opener
    const cards = await readCards({ nodes, primitives, log }, signal)
    const trust = trustCards(
      primitives,
      cards.map(({ bytes }) => bytes),
      opener.root,
    )
    const trusted = knownCards(trust, cards)
    const newest = trusted.at(-1)
    if (!newest) {
      throw new MosaikError('E_CARD_UNTRUSTED', 'no vault card on these nodes is of this key', { cards: cards.length })
    }
    const { organisation, installation } = newest
    await checkCatalog(catalog, installation, organisation, nodes, isMerge)
    // Before the first row: a run that is cut off can be run again, and nothing is deleted before somebody has looked.
    await catalog.upkeep.setFlag('deletions-frozen', true, clock.nowMs())
    const trouble = new Map<string, number>()
    const common = {
      ...{ catalog, nodes, primitives, clock, log },
      newId: () => toHex(random.bytes(16)),
      passedOver: (node: Id, code: ErrorCode) => {
        trouble.set(`${node} ${code}`, (trouble.get(`${node} ${code}`) ?? 0) + 1)
      },
    }
    const { signers } = trust
    const found = await findState(common, organisation, signers, unwrap, signal)
    keyring ??= await openKeyring(request, catalog)
    const { epoch, hasNewKeys } = await ensureKeys(keyring, catalog, trusted, opener.seed)
    const entries = found.state?.nodes ?? []
    await addNodes(catalog, keyring, given, entries, clock.nowMs())
    if (isMerge) await settleNodeEntries(catalog, entries)
    await settleOrganisation(common, organisation, found, trusted[0]?.issuedAtMs ?? clock.nowMs(), signal)
    for (const card of trusted) {
      await catalog.installation.putCard(organisation, card.epoch, card.bytes)
    }
    if (hasNewKeys) await issueCard(keyring, catalog, newest, clock)
    await catalog.upkeep.restoreObjects([...found.objects, ...cardRows(trust, cards, clock.nowMs())])
    const report = await rebuild(
      { ...common, atRest: keyring },
      organisation,
      { signers, unwrap, state: found.state },
      signal,
    )
    const absent = isMerge ? await endAbsent(common, signal) : 0
    const asked = new Set(nodes.map(({ id }) => id))
    const rows = await catalog.installation.nodes()
    const namesOf = (some: readonly StorageNode[]): string[] => some.map(({ name }) => name).toSorted()
    return {
      ...report,
      ...{ organisation, epoch, hasNewKeys, absent },
      nodesFound: namesOf(rows.filter(({ id }) => asked.has(id))),
      nodesMissing: namesOf(rows.filter((row) => !asked.has(row.id) && acceptsReads(row))),
      passedOver: [
        ...silent.map(({ name, code }) => ({ name, code, count: 1 })),
        ...[...trouble].map(([what, count]) => {
          const [id, code] = what.split(' ') as [Id, ErrorCode]
          return { name: rows.find((row) => row.id === id)?.name ?? id, code, count }
        }),
      ],
      state: {
        generation: found.state?.generation ?? 0,
        incomplete: found.incomplete,
        exposures: found.state?.exposures.length ?? 0,
        holds: found.state?.holds.length ?? 0,
        policies: found.state?.policies.length ?? 0,
        tombstones: found.state?.tombstones.length ?? 0,
        revokedLinks: found.state?.revokedLinks.length ?? 0,
      },
    }
  } finally {
    keyring?.close()
    await Promise.allSettled(nodes.map(({ store }) => store.close()))
    await catalog.close()
  }
}

/** The same card lies on every node: each once, oldest epoch first. */
function knownCards(trust: Trust, cards: readonly FoundCard[]): KnownCard[] {
  const byHash = new Map(
    trust.trusted.map(({ card, hash, position }) => [toHex(hash), { ...card, bytes: cards[position]!.bytes }]),
  )
  return [...byHash.values()].toSorted((a, b) => a.epoch - b.epoch)
}

function cardRows(trust: Trust, cards: readonly FoundCard[], nowMs: number): ObjectRow[] {
  return trust.trusted.map(({ card, position }) => {
    const { node, key, bytes } = cards[position]!
    return {
      ...{ node, key, organisation: card.organisation, recording: null, sharing: null, index: 0 },
      ...{ role: { kind: 'card' }, state: 'stored', sizeBytes: bytes.length, createdAtMs: nowMs },
    }
  })
}

/** Its row, and the number of the newest state: from then on no number is used twice. */
async function settleOrganisation(
  ports: Parameters<typeof findScheme>[0] & { readonly catalog: Catalog },
  organisation: Id,
  found: FoundState,
  createdAtMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { installation } = ports.catalog
  const sha256 = found.incomplete.length > 0 ? null : found.sha256
  const row = await installation.organisation(organisation)
  if (!row) {
    const scheme = await findScheme(ports, signal)
    return await installation.addOrganisation({
      ...{ id: organisation, name: 'default', scheme, createdAtMs },
      placementRule: placementRuleFor(scheme, await installation.nodes()),
      stateGeneration: found.highestGeneration,
      stateSha256: sha256,
    })
  }
  if (row.stateGeneration >= found.highestGeneration) return
  if (await installation.advanceState(organisation, row.stateGeneration, found.highestGeneration, sha256)) return
  throw new MosaikError('E_CONFLICT', 'another process writes to this catalog: stop the vault first', { organisation })
}

async function checkMerged(catalog: Catalog): Promise<void> {
  if ((await catalog.installation.organisations()).length > 0) return
  throw new MosaikError(
    'E_CONFLICT',
    'there is no catalog to be merged: put the backup back first, or run without --merge',
  )
}

/** An empty catalog, or one that an earlier rebuild of the same vault made; as a merge, one of the same vault. */
async function checkCatalog(
  catalog: Catalog,
  installation: Id,
  organisation: Id,
  nodes: readonly OpenedNode[],
  isMerge: boolean,
): Promise<void> {
  const foreign = nodes.find((node) => node.installation !== installation)
  if (foreign) {
    throw new MosaikError('E_NODE_FOREIGN', `node ${foreign.id} belongs to another vault than the card`, {
      node: foreign.id,
    })
  }
  const organisations = await catalog.installation.organisations()
  const isEmpty = organisations.length === 0
  const isRebuilt = isEmpty || (await catalog.upkeep.isFlagged('deletions-frozen'))
  const isOurs = isEmpty || organisations.some(({ id }) => id === organisation)
  if (isOurs && (isRebuilt || isMerge) && (await catalog.installation.installation(installation)) === installation)
    return
  throw new MosaikError(
    'E_CONFLICT',
    isMerge
      ? 'the catalog is of another vault than these nodes'
      : 'there is a catalog already which no rebuild made: bring it up to the nodes with --merge, give another folder with --data, or move it away',
  )
}

/** The state does not say the rule: the strict one where the nodes can meet it. */
function placementRuleFor(scheme: Scheme, nodes: readonly StorageNode[]): PlacementRule {
  try {
    choosePlacement(scheme, 'strict', nodes.filter(acceptsReads))
    return 'strict'
  } catch {
    return 'none'
  }
}
