import type { Id } from './ids.ts'

/**
 * probing → active ⇄ read-only → draining → removed; `dismissed`: for cause, its shares count as exposed for ever.
 * New fragments go to `active` nodes only; all but `removed` and `dismissed` are read from.
 */
export const nodeStates = ['active', 'read-only', 'draining', 'removed', 'dismissed'] as const
export type NodeState = (typeof nodeStates)[number]

/** Who runs a node, and where: what the placement rule reasons over. Names are compared without case and outer spaces. */
export interface NodeOwnership {
  /** ISO 3166-1 alpha-2. */
  readonly country: string
  readonly operator: string
  /** Company that owns the operator; the operator itself when independent. */
  readonly parent: string
  /** Data centre. */
  readonly site: string
}

export interface StorageNode extends NodeOwnership {
  readonly id: Id
  readonly name: string
  readonly driver: 'directory' | 's3'
  readonly state: NodeState
}

export function acceptsWrites(node: StorageNode): boolean {
  return node.state === 'active'
}

export function acceptsReads(node: StorageNode): boolean {
  return node.state !== 'removed' && node.state !== 'dismissed'
}
