import type { NodeLife } from './node-life.ts'
import type { Id } from '../domain/ids.ts'
import type { NodeOwnership, NodeState, StorageNode } from '../domain/node.ts'

/** What an operator says of a new node; `settings` as the driver defines them, secrets included. */
export interface NodeRequest extends NodeOwnership {
  readonly name: string
  readonly settings: Readonly<Record<string, unknown>>
}

export interface NodeReport extends StorageNode {
  /** Driver settings without secrets. */
  readonly settings: Readonly<Record<string, unknown>>
  readonly capabilities: Readonly<Record<string, unknown>>
  readonly objectsCount: number
  readonly bytes: number
  /** Answer of the last probe or call: null when it is well. */
  readonly trouble: { readonly code: string; readonly message: string } | null
}

/** What operators do with nodes while the vault runs. */
export interface NodeOperations extends NodeLife {
  list(): Promise<NodeReport[]>
  /** Probes by behaviour, marks the node as ours, adds it as `active`, puts the vault cards on it. @throws E_INPUT, E_NODE_UNSUITABLE, E_NODE_FOREIGN, E_NODE_UNREACHABLE, E_NODE_REFUSED, E_CONFLICT */
  add(request: NodeRequest): Promise<NodeReport>
  /** Probes again and keeps what was found. @throws E_NODE_UNKNOWN */
  probe(id: Id): Promise<NodeReport>
  setState(id: Id, state: NodeState): Promise<void>
}
