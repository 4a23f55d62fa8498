import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import { acceptsReads, type StorageNode } from '../domain/node.ts'
import type { InstallationCatalog, NodeRow } from '../ports/catalog/access.ts'
import type { AtRestVault } from '../ports/keyring.ts'
import { nodeCapabilities, type NodeCapabilities, type NodeDriver, type NodeSettings } from '../ports/node-driver.ts'
import type { NodePool } from '../ports/node-pool.ts'
import type { ObjectStore } from '../ports/object-store.ts'
import type { Clock } from '../ports/system.ts'
import { checkMarker } from './node-marker-check.ts'
import { joinNodeSettings } from './node-settings.ts'

export interface NodePoolPorts {
  readonly installation: InstallationCatalog
  readonly installationId: Id
  readonly atRest: AtRestVault
  readonly driver: NodeDriver
  readonly clock: Clock
  /** Told the name of a node that was late. */
  readonly late?: ((node: string) => void) | undefined
}

/** The catalog's nodes are read again after this long. */
const REFRESH_MS = 2_000
/** A node with this many failures in a row is asked last … */
const FAILURES_UNTIL_SICK = 3
/** … and tried again after this long. */
const SICK_MS = 5_000

interface Health {
  expectedMs: number
  failures: number
  sickUntilMs: number
}

/** Keeps one open store a node, knows which ones answer and how fast. */
export class CatalogNodePool implements NodePool {
  readonly #ports: NodePoolPorts
  readonly #stores = new Map<Id, { readonly settingsKey: string; readonly store: Promise<ObjectStore> }>()
  readonly #health = new Map<Id, Health>()
  #rows: Promise<NodeRow[]> | undefined
  #rowsAtMs = -Infinity

  constructor(ports: NodePoolPorts) {
    this.#ports = ports
  }

  async nodes(): Promise<readonly StorageNode[]> {
    return await this.#nodeRows()
  }

  async store(node: Id): Promise<ObjectStore> {
    const row = (await this.#nodeRows()).find(({ id }) => id === node)
    if (!row || !acceptsReads(row))
      throw new MosaikError('E_NODE_UNKNOWN', `there is no node ${node} (any more)`, { node })
    return await this.#storeOf(row)
  }

  async storeToDelete(node: Id): Promise<ObjectStore> {
    const row = (await this.#nodeRows()).find(({ id }) => id === node)
    if (!row) throw new MosaikError('E_NODE_UNKNOWN', `there is no node ${node}`, { node })
    return await this.#storeOf(row)
  }

  async #storeOf(row: NodeRow): Promise<ObjectStore> {
    const node = row.id
    const settingsKey = JSON.stringify([row.settings, row.capabilities, row.wrappedSecret && [...row.wrappedSecret]])
    const open = this.#stores.get(node)
    if (open?.settingsKey === settingsKey) return await open.store
    if (open) void open.store.then((store) => store.close()).catch(() => undefined)
    const store = this.#open(row)
    this.#stores.set(node, { settingsKey, store })
    store.catch(() => {
      if (this.#stores.get(node)?.store === store) this.#stores.delete(node)
    })
    return await store
  }

  isHealthy(node: Id): boolean {
    const health = this.#health.get(node)
    return health === undefined || health.sickUntilMs <= this.#ports.clock.monotonicMs()
  }

  expectedMs(node: Id): number {
    return this.#health.get(node)?.expectedMs ?? 0
  }

  observe(node: Id, outcome: 'ok' | 'failed', elapsedMs: number): void {
    const health = this.#health.get(node) ?? { expectedMs: elapsedMs, failures: 0, sickUntilMs: 0 }
    this.#health.set(node, health)
    if (outcome === 'ok') {
      health.expectedMs = 0.8 * health.expectedMs + 0.2 * elapsedMs
      health.failures = 0
      health.sickUntilMs = 0
    } else if (++health.failures >= FAILURES_UNTIL_SICK) {
      health.sickUntilMs = this.#ports.clock.monotonicMs() + SICK_MS
    }
  }

  late(node: Id): void {
    const { late } = this.#ports
    if (!late) return
    this.#nodeRows().then(
      (rows) => late(rows.find(({ id }) => id === node)?.name ?? 'unknown'),
      () => undefined,
    )
  }

  /** Forgets what it knew of the catalog's nodes; the next call looks. */
  refresh(): void {
    this.#rows = undefined
  }

  async close(): Promise<void> {
    const stores = [...this.#stores.values()]
    this.#stores.clear()
    await Promise.allSettled(stores.map(async ({ store }) => (await store).close()))
  }

  #nodeRows(): Promise<NodeRow[]> {
    const nowMs = this.#ports.clock.monotonicMs()
    if (!this.#rows || nowMs - this.#rowsAtMs > REFRESH_MS) {
      this.#rowsAtMs = nowMs
      const rows = this.#ports.installation.nodes()
      rows.catch(() => (this.#rows = undefined))
      this.#rows = rows
    }
    return this.#rows
  }

  /** Opens the node's store and makes sure that it is our node and not an empty bucket or somebody else's. */
  async #open(row: NodeRow): Promise<ObjectStore> {
    const store = await this.#ports.driver.open(await this.#settings(row), capabilitiesOf(row), { label: row.name })
    try {
      await checkMarker(row, this.#ports.installationId, store, this.#ports.clock)
      return store
    } catch (error) {
      await store.close()
      throw error
    }
  }

  async #settings(row: NodeRow): Promise<NodeSettings> {
    const secret = row.wrappedSecret && (await this.#ports.atRest.unwrapAtRest(row.id, row.wrappedSecret))
    return joinNodeSettings(row.settings, secret)
  }
}

function capabilitiesOf(row: NodeRow): NodeCapabilities {
  const parsed = nodeCapabilities.safeParse(row.capabilities)
  if (parsed.success) return parsed.data
  throw new MosaikError('E_CONFIG', `what the catalog knows of node ${row.name} cannot be read; probe it again`, {
    node: row.id,
  })
}
