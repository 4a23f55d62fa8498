import type { Scheme } from '../domain/dispersal.ts'
import type { Id } from '../domain/ids.ts'
import type { NodeOwnership, NodeState } from '../domain/node.ts'

/** What an operator changes about a node; what is left out stays. */
export type NodeChange = { readonly [Field in keyof NodeOwnership]?: string | undefined } & {
  readonly state?: 'active' | 'read-only' | undefined
}

/** What reaches a bucket. Secret. */
export interface NodeCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** How far a node is from having nothing to do with what stands. */
export interface NodeProgress {
  readonly node: Id
  readonly name: string
  readonly state: NodeState
  /** Objects that lie there, those that wait for their deletion and cards included. */
  readonly objectsLeft: number
  readonly bytesLeft: number
  /** Shares of what stands that lie there: to be made again elsewhere before the node is empty. */
  readonly sharesWaiting: number
  /** Standing sharings of which it holds, or once held, a share: to be made anew when it is dismissed. */
  readonly sharingsExposed: number
  /** Objects there whose deletion is not confirmed. */
  readonly undeletedObjects: number
  /** Nothing is moved for now, by an operator's wish. */
  readonly isPaused: boolean
  /** At the bandwidth of repair; null when nothing is to be done, or it stands still. */
  readonly etaMs: number | null
  /** What has to be added before a new sharing finds its place; null when nothing has. */
  readonly waitsFor: string | null
}

/** What waits for a new sharing, of the whole installation. */
export interface ReshareProgress {
  readonly isPaused: boolean
  readonly waiting: readonly { readonly kind: string; readonly count: number }[]
  readonly etaMs: number | null
}

export interface RebalanceView {
  readonly state: 'idle' | 'running' | 'paused'
  readonly bytesPerSecond: number
  readonly startedAtMs: number | null
  readonly endedAtMs: number | null
  readonly movedObjects: number
  readonly movedBytes: number
  readonly plannedObjects: number | null
  readonly plannedBytes: number | null
  /** Sharings that were made anew because the rule let nobody take a share as they were. */
  readonly resharings: number
  readonly etaMs: number | null
}

/** What a rebalance would move. */
export interface RebalancePreview {
  readonly transfers: readonly {
    readonly from: string
    readonly to: string
    readonly objectsCount: number
    readonly bytes: number
  }[]
  readonly objectsCount: number
  readonly bytes: number
  readonly resharings: number
}

/**
 * What becomes of nodes while the vault runs. What takes long is done by upkeep, whichever process has it, and only noted here: asking again
 * goes on with it.
 */
export interface NodeLife {
  /** @throws E_NODE_UNKNOWN, E_CONFLICT when the node is on its way out, E_INPUT */
  change(node: Id, change: NodeChange): Promise<void>
  /** Tries the new ones first: nothing is kept of what does not work. @throws E_INPUT, E_NODE_REFUSED, E_NODE_FOREIGN, E_NODE_UNREACHABLE */
  setCredentials(node: Id, credentials: NodeCredentials): Promise<void>
  drain(node: Id): Promise<void>
  pauseDrain(node: Id): Promise<void>
  /** For cause: neither read nor written from now on, and all that it has ever had a share of is shared anew. There is no way back. */
  dismiss(node: Id): Promise<void>
  /** Of all dismissed nodes. */
  pauseDismissals(): Promise<void>
  /** @throws E_CONFLICT saying what still lies there */
  remove(node: Id): Promise<void>
  progress(node: Id): Promise<NodeProgress>
  /**
   * A new sharing for a recording, by another scheme where one is given; without `recording` another scheme for all of the organisation's.
   * @returns how many recordings it is asked for. @throws E_INPUT, E_RECORDING_UNKNOWN, E_NODES_TOO_FEW, E_PLACEMENT_RULE
   */
  reshare(
    of: { readonly organisation: Id; readonly recording?: Id | undefined },
    scheme: Scheme | undefined,
  ): Promise<number>
  /** Pauses what was asked for, not what has to be. */
  pauseReshares(isPaused: boolean): Promise<void>
  reshareProgress(): Promise<ReshareProgress>
  previewRebalance(signal: AbortSignal): Promise<RebalancePreview>
  /** Begins, or goes on, or changes the bandwidth. */
  rebalance(bytesPerSecond: number | undefined): Promise<void>
  pauseRebalance(): Promise<void>
  rebalanceView(): Promise<RebalanceView>
}
