import { MosaikError, isMosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import type { NodeState } from '../domain/node.ts'
import { decodeNodeMarker, encodeNodeMarker } from '../format/node-marker.ts'
import { MARKER_NAME } from '../format/object-names.ts'
import type { Catalog } from '../ports/catalog.ts'
import type { NodeRow } from '../ports/catalog/access.ts'
import type { AtRestVault } from '../ports/keyring.ts'
import { nodeCapabilities, type NodeDriver } from '../ports/node-driver.ts'
import type { NodeOperations, NodeReport, NodeRequest } from '../ports/node-operations.ts'
import type { Clock, Random } from '../ports/system.ts'
import { createNodeLife } from './node-life.ts'
import { checkOwnership, tidyOwnership } from './node-ownership.ts'
import type { CatalogNodePool } from './node-pool.ts'
import { joinNodeSettings, parseNodeSettings, splitNodeSettings } from './node-settings.ts'

export interface NodeOperationsPorts {
  readonly catalog: Catalog
  readonly installationId: Id
  readonly atRest: AtRestVault
  readonly driver: NodeDriver
  readonly pool: CatalogNodePool
  readonly clock: Clock
  readonly random: Random
  /** Puts every organisation's vault card on the node. */
  readonly spreadCards: (node: Id) => Promise<unknown>
  /** The organisations' states have to be written anew. */
  readonly nodesChanged: () => void
}

const PROBE_TIMEOUT_MS = 120_000
const CHECK_TIMEOUT_MS = 10_000
const namePattern = /^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u

/** What operators do with nodes while the vault runs. */
export function createNodeOperations(ports: NodeOperationsPorts): NodeOperations {
  const report = async (row: NodeRow): Promise<NodeReport> => {
    const usage = (await ports.catalog.layout.nodeUsage()).find(({ node }) => node === row.id)
    const { wrappedSecret: _hidden, addedAtMs: _added, ...shown } = row
    return {
      ...shown,
      objectsCount: usage?.objectsCount ?? 0,
      bytes: usage?.bytes ?? 0,
      trouble: await troubleOf(ports, row),
    }
  }
  const find = async (id: Id): Promise<NodeRow> => {
    const row = await ports.catalog.installation.node(id)
    if (!row) throw new MosaikError('E_NODE_UNKNOWN', `there is no node ${id}`, { node: id })
    return row
  }

  return {
    ...createNodeLife(ports),

    async list() {
      return await Promise.all((await ports.catalog.installation.nodes()).map(report))
    },

    async add(request) {
      checkRequest(request)
      const settings = parseNodeSettings(request.settings)
      const { shown, secret } = splitNodeSettings(settings)
      for (const other of await ports.catalog.installation.nodes()) {
        if (other.name === request.name) {
          throw new MosaikError('E_CONFLICT', `there is a node named ${request.name} already`)
        }
      }
      const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS)
      const capabilities = await ports.driver.probe(settings, signal)
      const store = await ports.driver.open(settings, capabilities, { registration: true, label: request.name })
      let id: Id
      try {
        id =
          (await ownMarker(ports, store.get(MARKER_NAME, undefined, signal), request.name)) ??
          toHex(ports.random.bytes(16))
        await store.put(MARKER_NAME, encodeNodeMarker({ installation: ports.installationId, node: id }), signal)
      } finally {
        await store.close()
      }
      const row: NodeRow = {
        id,
        name: request.name,
        driver: settings.driver,
        state: 'active',
        ...tidyOwnership(request),
        settings: shown,
        wrappedSecret: secret && (await ports.atRest.wrapAtRest(id, secret)),
        capabilities,
        addedAtMs: ports.clock.nowMs(),
      }
      await ports.catalog.installation.addNode(row)
      ports.pool.refresh()
      await ports.spreadCards(id)
      ports.nodesChanged()
      return await report(row)
    },

    async probe(id) {
      const row = await find(id)
      const secret = row.wrappedSecret && (await ports.atRest.unwrapAtRest(id, row.wrappedSecret))
      const settings = joinNodeSettings(row.settings, secret)
      const capabilities = await ports.driver.probe(settings, AbortSignal.timeout(PROBE_TIMEOUT_MS))
      await ports.catalog.installation.setNodeCapabilities(id, nodeCapabilities.parse(capabilities))
      ports.pool.refresh()
      return await report(await find(id))
    },

    async setState(id: Id, state: NodeState) {
      await find(id)
      await ports.catalog.installation.setNodeState(id, state)
      ports.pool.refresh()
      ports.nodesChanged()
    },
  }
}

function checkRequest(request: NodeRequest): void {
  if (!namePattern.test(request.name)) {
    throw new MosaikError('E_INPUT', 'name must have 1 to 64 letters, digits, spaces or . _ -')
  }
  checkOwnership(request)
}

/**
 * The node id of a marker that an earlier, cut-off `add` of this vault left; undefined for an empty place.
 * @throws E_NODE_FOREIGN when the place belongs to somebody else, or to a node that the catalog knows
 */
async function ownMarker(
  ports: NodeOperationsPorts,
  marker: Promise<Uint8Array>,
  name: string,
): Promise<Id | undefined> {
  let bytes: Uint8Array
  try {
    bytes = await marker
  } catch (error) {
    if (isMosaikError(error, 'E_OBJECT_ABSENT')) return undefined
    throw error
  }
  let owner = 'something else'
  try {
    const { installation, node } = decodeNodeMarker(bytes)
    const known = await ports.catalog.installation.node(node)
    if (installation === ports.installationId && !known) return node
    owner = known ? `node ${known.name}` : `node ${node} of installation ${installation}`
  } catch (error) {
    if (!isMosaikError(error)) throw error
  }
  throw new MosaikError('E_NODE_FOREIGN', `the place of ${name} carries the marker of ${owner}; give an empty one`)
}

async function troubleOf(ports: NodeOperationsPorts, row: NodeRow): Promise<NodeReport['trouble']> {
  if (row.state === 'removed' || row.state === 'dismissed') return null
  try {
    const store = await ports.pool.store(row.id)
    const info = await store.head(MARKER_NAME, AbortSignal.timeout(CHECK_TIMEOUT_MS))
    return info ? null : { code: 'E_NODE_FOREIGN', message: 'the marker is gone' }
  } catch (error) {
    if (isMosaikError(error)) return { code: error.code, message: error.message }
    throw error
  }
}
