import type { ErrorCode } from '../domain/errors.ts'
import type { WorkStage } from './catalog/recordings.ts'
import type { UnwrapPurpose } from './keyring.ts'

/** What a node was asked for; `write` is a whole object by its writer, from create to commit. */
export type NodeCall = 'write' | 'put' | 'get' | 'head' | 'list' | 'delete'

/** How a call ended: `aborted` when its caller no longer wanted it. */
export type CallOutcome = 'ok' | 'aborted' | ErrorCode

/** How a run of work ended: `error` is tried again or has failed, `workDeferred` and `workFailed` say which. */
export type WorkOutcome = 'done' | 'error' | 'handed-back' | 'lease-lost'

/**
 * Numbers for whoever runs the vault. What tells them apart is from small sets: stages, codes, purposes, names of nodes; never ids of
 * recordings, titles, people, links or keys. Calls are cheap and never fail.
 */
export interface Metrics {
  workEnded(stage: WorkStage, outcome: WorkOutcome, elapsedMs: number): void
  /** It will be tried again. */
  workDeferred(stage: WorkStage, code: ErrorCode): void
  /** It has failed for good. */
  workFailed(stage: WorkStage, code: ErrorCode): void
  /** Plaintext that was sealed and split. */
  sealedBytes(count: number): void
  /** Plaintext that was combined and opened. */
  openedBytes(count: number): void
  /** Blocks whose tag was wrong, or which passed their tag and did not fit the segment (`forged`). */
  badBlocks(kind: 'tag' | 'forged', count: number): void
  nodeCalled(node: string, call: NodeCall, outcome: CallOutcome, elapsedMs: number): void
  nodeBytes(node: string, direction: 'written' | 'read', count: number): void
  /** A spare was asked because this node was late. */
  hedged(node: string): void
  /** A stream of content begins; the answer ends it. */
  streamOpened(purpose: UnwrapPurpose): () => void
  streamedBytes(purpose: UnwrapPurpose, count: number): void
  unwrapped(purpose: UnwrapPurpose): void
  /** @param part of the catalog, for example "work" */
  catalogCalled(part: string, outcome: CallOutcome, elapsedMs: number): void
}
