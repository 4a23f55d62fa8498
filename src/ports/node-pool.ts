import type { Id } from '../domain/ids.ts'
import type { StorageNode } from '../domain/node.ts'
import type { ObjectStore } from './object-store.ts'

/** The nodes as the data path sees them. */
export interface NodePool {
  /** All nodes of the catalog; seen again at most every few seconds. */
  nodes(): Promise<readonly StorageNode[]>
  /** The open store of a node. @throws E_NODE_UNKNOWN, E_NODE_FOREIGN (another vault's), E_NODE_UNREACHABLE */
  store(node: Id): Promise<ObjectStore>
  /** The store of a node in whatever state, also of one that is neither read nor written any more: to delete there. Throws as `store`. */
  storeToDelete(node: Id): Promise<ObjectStore>
  /** False while the node did not answer the last times it was asked. */
  isHealthy(node: Id): boolean
  /** Expected time to the first answer, in ms; for ranking and hedging. */
  expectedMs(node: Id): number
  /** What came of a call: keeps `isHealthy` and `expectedMs` true. `elapsedMs` of failed calls does not count as speed. */
  observe(node: Id, outcome: 'ok' | 'failed', elapsedMs: number): void
  /** The node is later than expected and a spare is asked; it may still answer. For whoever counts such things. */
  late?(node: Id): void
}
