import type { Generated, Insertable, Selectable } from 'kysely'

/**
 * The tables as both databases hold them: ids as 32 hexadecimal digits, times in milliseconds, lengths in bytes, JSON as
 * text, truth values as 0 and 1. The columns' meaning is in ports/catalog; here only what the ports do not show.
 */
export interface Tables {
  installation: { singleton: number; id: string }
  organisations: OrganisationsTable
  cards: { organisation: string; epoch: number; card: Uint8Array }
  nodes: NodesTable
  node_owners: NodeOwnersTable
  recordings: RecordingsTable
  /** Dictionary: each word once an organisation. */
  title_words: { id: Generated<number>; organisation: string; word: string }
  /** Where a word occurs; `created_at_ms` is the recording's. */
  title_hits: { word: number; created_at_ms: number; recording: string }
  receipts: { recording: string; receipt: Uint8Array; at_ms: number }
  events: { seq: Generated<number>; recording: string; at_ms: number; kind: string; fields: string }
  work: WorkTable
  attempts: AttemptsTable
  generations: GenerationsTable
  objects: ObjectsTable
  links: LinksTable
  link_sessions: { grant_sha256: Uint8Array; link: string; expires_at_ms: number }
  tokens: TokensTable
  uploads: UploadsTable
  audit: {
    seq: Generated<number>
    at_ms: number
    organisation: string
    kind: string
    subject: string | null
    fields: string
  }
  past_exposures: {
    organisation: string
    sharing: string
    share_index: number
    node: string
    operator: string
    parent: string
    site: string
  }
  /** Policies, holds and tombstones as JSON. */
  state_entries: { organisation: string; kind: string; id: string; entry: string }
  findings: FindingsTable
  upkeep_tasks: { name: string; progress: string; fence: number; lease_until_ms: number }
  upkeep_flags: { name: string; at_ms: number }
}

/** Empty text stands for no node and no object: both are part of the key. */
export interface FindingsTable {
  group_name: string
  kind: string
  share_index: number
  node: string
  object: string
  organisation: string
  recording: string | null
  slack: number
  fields: string
  found_at_ms: number
  seen_at_ms: number
  /** Null while it stands. */
  resolved_at_ms: number | null
  tries: number
  /** Not tried before. */
  try_at_ms: number
}

export interface OrganisationsTable {
  id: string
  name: string
  scheme: string
  placement_rule: string
  created_at_ms: number
  state_generation: number
  state_sha256: Uint8Array | null
  /** Manifests of earlier epochs are no longer committed. */
  least_epoch: Generated<number>
}

export interface NodesTable {
  id: string
  name: string
  driver: string
  state: string
  country: string
  operator: string
  parent: string
  site: string
  /** Counts the changes of ownership; names the present row of node_owners. */
  owner_epoch: number
  settings: string
  wrapped_secret: Uint8Array | null
  capabilities: string
  added_at_ms: number
}

/** Everybody who ever owned a node, by epoch: what makes a past exposure nameable. Never deleted. */
export interface NodeOwnersTable {
  node: string
  epoch: number
  operator: string
  parent: string
  site: string
}

export interface RecordingsTable {
  id: string
  organisation: string
  state: string
  title: string
  /** The title's words as title-words.ts makes them, a space before each: what the search index is built on. */
  title_words: string
  host_id: string
  source_kind: string
  external_id: string | null
  started_at_ms: number | null
  created_at_ms: number
  updated_at_ms: number
  stored_at_ms: number | null
  content_bytes: number | null
  duration_ms: number | null
  scheme: string
  generation: number
  reason: string | null
}

export interface WorkTable {
  id: string
  recording: string
  organisation: string
  stage: string
  state: string
  input: string
  attempts_count: number
  run_at_ms: number
  lease_until_ms: number | null
  fence: number
  done_units: number
  total_units: number | null
  error: string | null
  /** When somebody may claim it: the run time while pending, the lease's end while running, null when finished. */
  due_at_ms: number | null
}

export interface AttemptsTable {
  id: string
  organisation: string
  recording: string
  asset: string
  kind: string
  state: string
  wrapped_verify_key: Uint8Array
  sealed_bytes: number | null
  scheme: string
}

export interface GenerationsTable {
  recording: string
  generation: number
  state: string
  sharing: string | null
  sealed_sha256: Uint8Array | null
  /** Of the vault key that it is sealed to; 0 when not known. */
  epoch: Generated<number>
}

export interface ObjectsTable {
  node: string
  key: string
  organisation: string
  recording: string | null
  kind: string
  attempt: string | null
  extent: number | null
  generation: number | null
  sharing: string | null
  share_index: number
  state: string
  size_bytes: number | null
  created_at_ms: number
  /** When `state` last changed. */
  changed_at_ms: number
  /** Epochs of the node's owners from the row's making to its deletion (null: it lies there still). */
  first_epoch: number
  last_epoch: number | null
  /** Null where it is the attempt's own. */
  scheme: Generated<string | null>
}

export interface LinksTable {
  id: string
  organisation: string
  recording: string
  created_at_ms: number
  expires_at_ms: number
  revoked_at_ms: number | null
  views_count: number
  max_views: number | null
  allow_download: number
  passcode_hash: Generated<string | null>
  passcode_failures: Generated<number>
  passcode_wrong: Generated<number>
  passcode_failed_at_ms: Generated<number | null>
}

export interface TokensTable {
  id: string
  organisation: string
  role: string
  name: string
  token_sha256: Uint8Array
  created_at_ms: number
  revoked_at_ms: number | null
}

export interface UploadsTable {
  id: string
  organisation: string
  owner: string
  state: string
  length_bytes: number | null
  offset_bytes: number
  metadata: string
  recording: string | null
  created_at_ms: number
  updated_at_ms: number
}

/** A row as it is read from `Table`. */
export type Row<Table extends keyof Tables> = Selectable<Tables[Table]>
/** A row as it is written to `Table`. */
export type NewRow<Table extends keyof Tables> = Insertable<Tables[Table]>
