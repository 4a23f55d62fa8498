import { mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createFileKeyring, hasFileKeyring, openFileKeyring } from '../adapters/file-keyring/file-keyring.ts'
import type { FileKeyring } from '../adapters/file-keyring/opened-keyring.ts'
import type { KdfCost } from '../adapters/file-keyring/sealed-file.ts'
import { nativeXWing } from '../adapters/native-kem.ts'
import { nodePrimitives } from '../adapters/node-primitives.ts'
import { openPostgresCatalog, openSqliteCatalog } from '../adapters/sql-catalog/open.ts'
import { recoveryKemSeed, rootSigningSeed } from '../crypto/keys.ts'
import { signingKeys } from '../crypto/signature.ts'
import { MosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import { choosePlacement, type PlacementRule } from '../domain/placement.ts'
import type { Scheme } from '../domain/dispersal.ts'
import type { NodeEntry } from '../domain/organisation-state.ts'
import { acceptsReads, type StorageNode } from '../domain/node.ts'
import { sameBytes } from '../format/header-bytes.ts'
import { decodeNodeMarker } from '../format/node-marker.ts'
import { MARKER_NAME } from '../format/object-names.ts'
import { decodeRecoveryKey } from '../format/recovery-key.ts'
import type { VaultCard } from '../format/vault-card.ts'
import { issueNextCard, trustCards } from '../ledger/vault-card.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { ObjectRow } from '../ports/catalog/layout.ts'
import type { NodeRow } from '../ports/catalog/access.ts'
import type { NodeCapabilities, NodeDriver, NodeSettings } from '../ports/node-driver.ts'
import type { Clock, Log, Random } from '../ports/system.ts'
import { unwrapWithSeed } from '../retrieve/open-document.ts'
import { readCards, type BareNode } from '../upkeep/keyed/node-contents.ts'
import { findScheme, findState, rebuild, type RebuildReport } from '../upkeep/keyed/rebuild.ts'
import type { Config } from './config.ts'
import { parseNodeSettings, splitNodeSettings } from './node-settings.ts'

export interface RebuildRequest {
  readonly config: Pick<Config, 'data' | 'databaseUrl'>
  /** As it is printed. */
  readonly recoveryKey: string
  /** Of the keyring that is there, or of the new one. */
  readonly passphrase: string
  /** Folders, or JSON files with the settings of a node, credentials included. */
  readonly nodes: readonly string[]
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
  /** Nodes that the state names and that were not given; read-only until somebody says otherwise. */
  readonly nodesMissing: readonly string[]
  readonly state: {
    readonly generation: number
    readonly incomplete: number
    readonly holds: number
    readonly policies: number
  }
}

/** A trusted card, with its bytes as they lie on the nodes. */
type KnownCard = VaultCard & { readonly bytes: Uint8Array }

interface OpenedNode extends BareNode {
  readonly settings: NodeSettings
  readonly capabilities: NodeCapabilities
  readonly installation: Id
}

const PROBE_TIMEOUT_MS = 120_000

/**
 * A working vault from bare nodes and the recovery key: catalog, and keys of a new epoch when the keyring is lost too. Run again with more
 * nodes it adds what they have.
 *
 * @throws E_RECOVERY_KEY; E_CARD_UNTRUSTED when no card on the nodes is of this recovery key; E_NODE_FOREIGN nodes of several vaults;
 * E_CONFLICT when the data folder has a catalog that no rebuild made
 */
export async function rebuildVault(request: RebuildRequest, signal: AbortSignal): Promise<RebuildResult> {
  const { config, clock, random, log } = request
  const primitives = nodePrimitives
  const seed = decodeRecoveryKey(request.recoveryKey, primitives.sha256)
  mkdirSync(config.data, { recursive: true, mode: 0o700 })
  const nodes = await openNodes(request, signal)
  const catalog =
    config.databaseUrl === undefined
      ? openSqliteCatalog(join(config.data, 'catalog.sqlite'), clock)
      : openPostgresCatalog(config.databaseUrl, clock)
  let keyring: FileKeyring | undefined
  try {
    const cards = await readCards({ nodes, primitives, log }, signal)
    const trust = trustCards(
      primitives,
      cards.map(({ bytes }) => bytes),
      signingKeys(rootSigningSeed(primitives, seed)).publicKeys,
    )
    // The same card lies on every node.
    const byHash = new Map(
      trust.trusted.map(({ card, hash, position }) => [toHex(hash), { ...card, bytes: cards[position]!.bytes }]),
    )
    const trusted = [...byHash.values()].toSorted((a, b) => a.epoch - b.epoch)
    const newest = trusted.at(-1)
    if (!newest) {
      throw new MosaikError('E_CARD_UNTRUSTED', 'no vault card on these nodes is of this recovery key', {
        cards: cards.length,
      })
    }
    const { organisation, installation } = newest
    await catalog.migrate()
    await checkCatalog(catalog, installation, organisation, nodes)
    const kem = unwrapWithSeed(primitives, (suite) => recoveryKemSeed(primitives, seed, suite))
    const native = unwrapWithSeed(primitives, (suite) => recoveryKemSeed(primitives, seed, suite), nativeXWing)
    const common = {
      ...{ catalog, nodes, primitives, clock, log },
      newId: () => toHex(random.bytes(16)),
    }
    const { signers } = trust
    const unwrap: typeof kem = (id, wrapped) => (wrapped.suite === 1 ? native : kem)(id, wrapped)
    const found = await findState(common, organisation, signers, unwrap, signal)
    keyring = await openKeyring(request)
    const { epoch, hasNewKeys } = await ensureKeys(keyring, catalog, trusted, seed)
    const entries = found.state?.nodes ?? []
    await addNodes(catalog, keyring, nodes, entries, clock.nowMs())
    if (!(await catalog.installation.organisation(organisation))) {
      const scheme = await findScheme(common, signal)
      await catalog.installation.addOrganisation({
        ...{ id: organisation, name: 'default', scheme, createdAtMs: trusted[0]?.issuedAtMs ?? clock.nowMs() },
        placementRule: placementRuleFor(scheme, await catalog.installation.nodes()),
        stateGeneration: found.highestGeneration,
        stateSha256: found.incomplete.length > 0 ? null : found.sha256,
      })
    }
    for (const card of trusted) {
      await catalog.installation.putCard(organisation, card.epoch, card.bytes)
    }
    if (hasNewKeys) await issueCard(keyring, catalog, newest, clock)
    const cardRows = trust.trusted.map(({ card, position }): ObjectRow => {
      const { node, key, bytes } = cards[position]!
      return {
        ...{ node, key, organisation: card.organisation, recording: null, sharing: null, index: 0 },
        ...{ role: { kind: 'card' }, state: 'stored', sizeBytes: bytes.length, createdAtMs: clock.nowMs() },
      }
    })
    await catalog.upkeep.restoreObjects([...found.objects, ...cardRows])
    const report = await rebuild(
      { ...common, atRest: keyring },
      organisation,
      { signers, unwrap, state: found.state },
      signal,
    )
    const given = new Set(nodes.map(({ id }) => id))
    const rows = await catalog.installation.nodes()
    return {
      ...report,
      ...{ organisation, epoch, hasNewKeys },
      nodesFound: rows
        .filter(({ id }) => given.has(id))
        .map(({ name }) => name)
        .toSorted(),
      nodesMissing: rows
        .filter((row) => !given.has(row.id) && acceptsReads(row))
        .map(({ name }) => name)
        .toSorted(),
      state: {
        generation: found.state?.generation ?? 0,
        incomplete: found.incomplete.length,
        holds: found.state?.holds.length ?? 0,
        policies: found.state?.policies.length ?? 0,
      },
    }
  } finally {
    keyring?.close()
    await Promise.allSettled(nodes.map(({ store }) => store.close()))
    await catalog.close()
  }
}

async function openNodes({ nodes, driver }: RebuildRequest, signal: AbortSignal): Promise<OpenedNode[]> {
  if (nodes.length === 0)
    throw new MosaikError('E_INPUT', 'name the nodes with --node: folders, or JSON files with settings')
  return await Promise.all(
    nodes.map(async (given) => {
      const settings = settingsOf(given)
      const limited = AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)])
      const capabilities = await driver.probe(settings, limited)
      const store = await driver.open(settings, capabilities, { label: given })
      const marker = decodeNodeMarker(await store.get(MARKER_NAME, undefined, limited))
      return { id: marker.node, installation: marker.installation, store, settings, capabilities }
    }),
  )
}

function settingsOf(given: string): NodeSettings {
  if (!given.endsWith('.json')) return parseNodeSettings({ driver: 'directory', path: resolve(given) })
  let read: unknown
  try {
    read = JSON.parse(readFileSync(given, 'utf8'))
  } catch {
    // Not the cause: it would quote what may be a credential.
    throw new MosaikError('E_INPUT', `the file ${given} of a node's settings cannot be read as JSON`)
  }
  return parseNodeSettings(read)
}

/** An empty catalog, or one that an earlier rebuild of the same vault made. */
async function checkCatalog(
  catalog: Catalog,
  installation: Id,
  organisation: Id,
  nodes: readonly OpenedNode[],
): Promise<void> {
  const foreign = nodes.find((node) => node.installation !== installation)
  if (foreign) {
    throw new MosaikError('E_NODE_FOREIGN', `node ${foreign.id} belongs to another vault than the card`, {
      node: foreign.id,
    })
  }
  const organisations = await catalog.installation.organisations()
  const isOurs = organisations.length === 0 || organisations.some(({ id }) => id === organisation)
  const isRebuilt = organisations.length === 0 || (await catalog.upkeep.isFlagged('deletions-frozen'))
  if (!isOurs || !isRebuilt || (await catalog.installation.installation(installation)) !== installation) {
    throw new MosaikError(
      'E_CONFLICT',
      'there is a catalog already which no rebuild made; give another folder with --data, or move it away',
    )
  }
}

async function openKeyring(request: RebuildRequest): Promise<FileKeyring> {
  const { config, passphrase, clock, random, kdfCost } = request
  const options = {
    ...{ folder: config.data, passphrase, clock, random, primitives: nodePrimitives, suite1Kem: nativeXWing },
    record: () => Promise.reject(new MosaikError('E_INTERNAL', 'a rebuild opens with the recovery key only')),
  }
  return hasFileKeyring(config.data) ? await openFileKeyring(options) : await createFileKeyring(options, kdfCost)
}

/** The keyring's own epoch when it has the keys of a trusted card; else keys of a new epoch. */
async function ensureKeys(
  keyring: FileKeyring,
  catalog: Catalog,
  trusted: readonly KnownCard[],
  seed: Uint8Array,
): Promise<{ readonly epoch: number; readonly hasNewKeys: boolean }> {
  const newest = trusted.at(-1)!
  if (!keyring.organisations().includes(newest.organisation)) {
    const { epoch } = await keyring.adoptOrganisation(newest.organisation, newest.epoch + 1, seed)
    return { epoch, hasNewKeys: true }
  }
  const { epoch, signing } = await keyring.publicKeys(newest.organisation)
  const isOnCard = trusted.some((card) => card.epoch === epoch && sameBytes(card.signing.ed25519, signing.ed25519))
  if (isOnCard) return { epoch, hasNewKeys: false }
  // A rebuild was cut off after the keys and before their card.
  const known = await catalog.installation.cards(newest.organisation)
  if (epoch === newest.epoch + 1) return { epoch, hasNewKeys: known.length <= trusted.length }
  throw new MosaikError('E_CONFLICT', 'the keyring has keys of this organisation that no card on the nodes names', {
    epoch,
  })
}

/** Signed by the root: the recovery key is here for as long as this takes. */
async function issueCard(keyring: FileKeyring, catalog: Catalog, newest: KnownCard, clock: Clock): Promise<void> {
  const keys = await keyring.publicKeys(newest.organisation)
  const card = await issueNextCard(nodePrimitives, {
    ...{ installation: newest.installation, keys, issuedAtMs: clock.nowMs(), signer: keys.root },
    previous: newest.bytes,
    sign: (message) => keyring.signAsRoot(newest.organisation, 'mosaik/v1/card', message),
  })
  await catalog.installation.putCard(newest.organisation, keys.epoch, card)
}

/** The nodes that were given, under the names and owners that the state knows; and those that it knows besides, read-only. */
async function addNodes(
  catalog: Catalog,
  keyring: FileKeyring,
  nodes: readonly OpenedNode[],
  entries: readonly NodeEntry[],
  addedAtMs: number,
): Promise<void> {
  const present = await catalog.installation.nodes()
  for (const [i, { id, settings, capabilities }] of nodes.entries()) {
    const entry = entries.find((one) => one.id === id)
    const { shown, secret } = splitNodeSettings(settings)
    const wrappedSecret = secret && (await keyring.wrapAtRest(id, secret))
    const known = present.find((row) => row.id === id)
    if (known) {
      // One that was missing the last time, or lies elsewhere by now.
      await catalog.upkeep.settleNode(id, { settings: shown, capabilities, wrappedSecret })
      if (known.state === 'read-only') await catalog.installation.setNodeState(id, 'active')
      continue
    }
    const unknown = {
      name: `node-${i + 1}`,
      country: 'ZZ',
      operator: `unknown ${id}`,
      parent: `unknown ${id}`,
      site: `unknown ${id}`,
    }
    const { name, country, operator, parent, site } = entry ?? unknown
    await catalog.installation.addNode({
      ...{ id, name, country, operator, parent, site, driver: settings.driver, addedAtMs: addedAtMs + i },
      ...{ state: stateOf(entry) ?? 'active', settings: shown, capabilities, wrappedSecret },
    })
  }
  for (const entry of entries) {
    if (present.some(({ id }) => id === entry.id) || nodes.some(({ id }) => id === entry.id)) continue
    const state = stateOf(entry) ?? 'read-only'
    const { id, name, country, operator, parent, site, location } = entry
    await catalog.installation.addNode({
      ...{ id, name, country, operator, parent, site, addedAtMs, wrappedSecret: null, capabilities: {} },
      driver: entry.driver === 's3' ? 's3' : 'directory',
      state: state === 'active' ? 'read-only' : state,
      settings: entry.driver === 's3' ? { driver: 's3', location } : { driver: 'directory', path: location },
    })
  }
}

const known: readonly NodeRow['state'][] = ['active', 'read-only', 'draining', 'removed', 'dismissed']

function stateOf(entry: NodeEntry | undefined): NodeRow['state'] | undefined {
  return known.find((state) => state === entry?.state)
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
