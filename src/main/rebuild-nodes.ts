import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { MosaikError, isMosaikError, type ErrorCode } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { acceptsReads } from '../domain/node.ts'
import type { NodeEntry } from '../domain/organisation-state.ts'
import { decodeNodeMarker } from '../format/node-marker.ts'
import { MARKER_NAME } from '../format/object-names.ts'
import type { AtRestVault } from '../ports/at-rest.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { NodeRow } from '../ports/catalog/access.ts'
import { nodeCapabilities, type NodeCapabilities, type NodeDriver, type NodeSettings } from '../ports/node-driver.ts'
import type { BareNode } from '../upkeep/keyed/node-contents.ts'
import { joinNodeSettings, parseNodeSettings, splitNodeSettings } from './node-settings.ts'

export interface OpenedNode extends BareNode {
  readonly settings: NodeSettings
  readonly capabilities: NodeCapabilities
  readonly installation: Id
}

const PROBE_TIMEOUT_MS = 120_000

/**
 * Opens nodes by what was given of them, and reads their markers.
 *
 * @param given folders, or JSON files with the settings of a node, credentials included.
 */
export async function openNodes(
  driver: NodeDriver,
  nodes: readonly string[],
  signal: AbortSignal,
): Promise<OpenedNode[]> {
  return await Promise.all(
    nodes.map(async (given) => {
      const settings = settingsOf(given)
      const limited = AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)])
      const capabilities = await driver.probe(settings, limited)
      return await openNode(driver, settings, capabilities, given, limited)
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

/** Nodes of a catalog that were not given anew; and those of them that cannot be asked, with the reason. */
export async function openKnownNodes(
  { driver, catalog, atRest }: { readonly driver: NodeDriver; readonly catalog: Catalog; readonly atRest: AtRestVault },
  given: readonly OpenedNode[],
  signal: AbortSignal,
): Promise<{ readonly opened: OpenedNode[]; readonly silent: { readonly name: string; readonly code: ErrorCode }[] }> {
  const opened: OpenedNode[] = []
  const silent: { name: string; code: ErrorCode }[] = []
  const rows = (await catalog.installation.nodes()).filter(
    (row) => acceptsReads(row) && given.every(({ id }) => id !== row.id),
  )
  await Promise.all(
    rows.map(async (row) => {
      try {
        const secret = row.wrappedSecret && (await atRest.unwrapAtRest(row.id, row.wrappedSecret))
        const settings = joinNodeSettings(row.settings, secret)
        const capabilities = nodeCapabilities.parse(row.capabilities)
        const node = await openNode(driver, settings, capabilities, row.name, signal)
        if (node.id === row.id) opened.push(node)
        else {
          silent.push({ name: row.name, code: 'E_NODE_FOREIGN' })
          await node.store.close()
        }
      } catch (error) {
        signal.throwIfAborted()
        silent.push({ name: row.name, code: isMosaikError(error) ? error.code : 'E_CONFIG' })
      }
    }),
  )
  return { opened, silent }
}

async function openNode(
  driver: NodeDriver,
  settings: NodeSettings,
  capabilities: NodeCapabilities,
  label: string,
  signal: AbortSignal,
): Promise<OpenedNode> {
  const store = await driver.open(settings, capabilities, { label })
  try {
    const marker = decodeNodeMarker(await store.get(MARKER_NAME, undefined, signal))
    return { id: marker.node, installation: marker.installation, store, settings, capabilities }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** Nodes that were bought, emptied or given up since the catalog was copied are so again. */
export async function settleNodeEntries(catalog: Catalog, entries: readonly NodeEntry[]): Promise<void> {
  const present = new Map((await catalog.installation.nodes()).map((row) => [row.id, row]))
  for (const entry of entries) {
    const row = present.get(entry.id)
    if (!row) continue
    const { country, operator, parent, site } = entry
    const isSame =
      [row.country, row.operator, row.parent, row.site].join('\n') === [country, operator, parent, site].join('\n')
    if (!isSame) await catalog.installation.setNodeOwnership(row.id, { country, operator, parent, site })
    const state = stateOf(entry)
    if (state && state !== row.state) await catalog.installation.setNodeState(row.id, state)
  }
}

/** The nodes that were given, under the names and owners that the state knows; and those that it knows besides, read-only. */
export async function addNodes(
  catalog: Catalog,
  keyring: AtRestVault,
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

const nodeStates: readonly NodeRow['state'][] = ['active', 'read-only', 'draining', 'removed', 'dismissed']

function stateOf(entry: NodeEntry | undefined): NodeRow['state'] | undefined {
  return nodeStates.find((state) => state === entry?.state)
}
