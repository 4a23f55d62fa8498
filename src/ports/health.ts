import type { DurabilityAssumptions, Loss } from '../domain/durability.ts'
import type { Scheme } from '../domain/dispersal.ts'
import type { FindingKind } from '../domain/health.ts'
import type { StorageNode } from '../domain/node.ts'

/** One node as the doctor sees it. */
export interface NodeHealth extends StorageNode {
  /** Null when it answers and is ours. */
  readonly trouble: { readonly code: string; readonly message: string } | null
  readonly isHealthy: boolean
  /** Null when nothing is known: a bucket does not tell. */
  readonly freeBytes: number | null
  readonly objectsCount: number
  readonly bytes: number
  readonly capabilities: Readonly<Record<string, unknown>>
}

/** How the vault is: what is wrong, what is being done about it, and what would be lost if somebody vanished. No secrets, no titles. */
export interface HealthReport {
  readonly atMs: number
  readonly nodes: readonly NodeHealth[]
  /** In plain words, what somebody should do something about; none when all is well. */
  readonly advice: readonly string[]
  readonly confinement: string
  readonly kernel: string
  readonly isReadOnly: boolean
  readonly areDeletionsFrozen: boolean
  readonly backlog: readonly { readonly kind: FindingKind; readonly count: number; readonly oldestAtMs: number }[]
  /** Time that repair needs for what is known, at its bandwidth; null when nothing waits. */
  readonly repairEtaMs: number | null
  readonly scrub: {
    /** When the last whole pass began and ended. */
    readonly passStartedAtMs: number | null
    readonly passEndedAtMs: number | null
    /** Of the pass that is under way: when it began, and how much of it is done, 0 … 1. */
    readonly startedAtMs: number | null
    readonly isRunning: boolean
    readonly done: number | null
    readonly auditedAtMs: number | null
  }
  readonly durability: {
    readonly assumptions: DurabilityAssumptions
    /** Rough chance that one recording is lost within a year, for each scheme in use. Nodes fail independently in it. */
    readonly schemes: readonly { readonly scheme: Scheme; readonly annualLossChance: number }[]
  }
  readonly losses: readonly Loss[]
  /** Recordings that `losses` and `durability` were computed from, and whether there are more. */
  readonly recordingsCounted: number
  readonly isSample: boolean
}

export interface HealthSource {
  report(signal: AbortSignal): Promise<HealthReport>
}
