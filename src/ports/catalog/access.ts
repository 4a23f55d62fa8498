import type { Id } from '../../domain/ids.ts'
import type { Link } from '../../domain/link.ts'
import type { Scheme } from '../../domain/dispersal.ts'
import type { StorageNode, NodeOwnership, NodeState } from '../../domain/node.ts'
import type { PlacementRule } from '../../domain/placement.ts'
import type { StateEntries } from '../../domain/organisation-state.ts'
import type { Role } from '../../domain/roles.ts'

export interface OrganisationRow {
  readonly id: Id
  readonly name: string
  readonly scheme: Scheme
  readonly placementRule: PlacementRule
  readonly createdAtMs: number
  /** Sequence number that was taken last for a state document; 0 before the first. */
  readonly stateGeneration: number
  readonly stateSha256: Uint8Array | null
}

export interface NodeRow extends StorageNode {
  /** Driver settings without secrets, as JSON. */
  readonly settings: Readonly<Record<string, unknown>>
  /** Credentials, wrapped by the keyring (subject: the node); null when the driver has none. */
  readonly wrappedSecret: Uint8Array | null
  /** What the probe found, as JSON. */
  readonly capabilities: Readonly<Record<string, unknown>>
  readonly addedAtMs: number
}

export interface InstallationCatalog {
  /** The installation's id; made by the first caller with `proposed`, the same for ever after. */
  installation(proposed: Id): Promise<Id>
  /** With its first vault card in the same transaction, where one is given: an organisation without a card could not be restored. */
  addOrganisation(
    organisation: OrganisationRow,
    card?: { readonly epoch: number; readonly card: Uint8Array },
  ): Promise<void>
  organisation(id: Id): Promise<OrganisationRow | undefined>
  organisations(): Promise<OrganisationRow[]>
  setOrganisationPolicy(
    id: Id,
    policy: { readonly scheme?: Scheme; readonly placementRule?: PlacementRule },
  ): Promise<void>
  /** Compare-and-set of the state document's sequence number. False when `expected` is not the present one. */
  advanceState(id: Id, expected: number, next: number, sha256: Uint8Array | null): Promise<boolean>
  /** From now on no manifest of an epoch before `leastEpoch` is committed: its vault key is about to be destroyed. Never goes back. */
  retireEpochsBefore(organisation: Id, leastEpoch: number): Promise<void>
  /** Keeps an organisation's vault card of an epoch (docs/FORMAT.md §8); the first one of an epoch stays. */
  putCard(organisation: Id, epoch: number, card: Uint8Array): Promise<void>
  /** Keeps what a state says besides; takes the place of what was kept before. */
  keepStateEntries(organisation: Id, entries: StateEntries): Promise<void>
  stateEntries(organisation: Id): Promise<StateEntries>
  /** The organisation's cards, oldest epoch first. */
  cards(organisation: Id): Promise<Uint8Array[]>
  /** @throws E_CONFLICT when the name or id is taken. */
  addNode(node: NodeRow): Promise<void>
  nodes(): Promise<NodeRow[]>
  node(id: Id): Promise<NodeRow | undefined>
  setNodeState(id: Id, state: NodeState): Promise<void>
  setNodeOwnership(id: Id, ownership: NodeOwnership): Promise<void>
  setNodeCapabilities(id: Id, capabilities: Readonly<Record<string, unknown>>): Promise<void>
  setNodeSecret(id: Id, wrappedSecret: Uint8Array | null): Promise<void>
}

/** One viewer's session after the exchange. The grant in the cookie is random; only its SHA-256 is here. */
export interface LinkSession {
  readonly grantSha256: Uint8Array
  readonly link: Id
  readonly expiresAtMs: number
}

/** A link to be kept; the passcode as PasscodeHasher gave it. */
export interface NewLink extends Omit<Link, 'viewsCount' | 'revokedAtMs' | 'hasPasscode'> {
  readonly passcodeHash: string | null
}

/** How many wrong passcodes a link bears, and how long it is closed then. */
export interface PasscodeLimit {
  readonly maxFailures: number
  /** Failures are forgotten after as long, too. */
  readonly lockMs: number
  /** A check that has not ended by then, because its process died, counts as a wrong one. */
  readonly checkMs: number
}

/** What there is to check a passcode against; that as many as may be wrong are being checked just now; or until when nothing is checked. */
export type PasscodeAttempt =
  | { readonly kind: 'open'; readonly passcodeHash: string }
  | { readonly kind: 'busy' }
  | { readonly kind: 'locked'; readonly untilMs: number }

export interface LinkCatalog {
  addLink(link: NewLink): Promise<void>
  link(id: Id): Promise<Link | undefined>
  links(recording: Id): Promise<Link[]>
  /** Revokes, and ends all sessions. Idempotent. */
  revokeLink(id: Id, atMs: number): Promise<void>
  /**
   * Begins to check a passcode: atomically counts the attempt as a failure before anybody knows whether it is one, so that of many
   * at once no more than the limit are checked; `exchange` takes it back. `busy` when the limit is reached only with attempts that are
   * under way: asking again helps. `undefined` when the link is unknown, expired, revoked or spent, or has no passcode: not told which.
   */
  beginPasscode(link: Id, limit: PasscodeLimit, nowMs: number): Promise<PasscodeAttempt | undefined>
  /** The attempt was a wrong one; or it was not compared at all, and is taken back. One that was right ends with `exchange`. */
  endPasscode(link: Id, outcome: 'wrong' | 'unchecked'): Promise<void>
  /**
   * One view: atomically, if the link exists, is not revoked, not expired and has views left, counts the view, adds the session, and
   * takes back the failure that `beginPasscode` counted. False otherwise; which of them it was is not told.
   *
   * @param passcodeHash what the passcode was checked against; a link with another one, or without one, is not opened.
   */
  exchange(
    link: Id,
    session: { readonly grantSha256: Uint8Array; readonly expiresAtMs: number },
    nowMs: number,
    passcodeHash?: string | null,
  ): Promise<boolean>
  /** The live session with its live link, or `undefined` (unknown, expired, revoked: not told). */
  session(
    grantSha256: Uint8Array,
    nowMs: number,
  ): Promise<{ readonly link: Link; readonly expiresAtMs: number } | undefined>
  /** Slides the session's end; never past the link's own. */
  prolongSession(grantSha256: Uint8Array, expiresAtMs: number): Promise<void>
  revokedLinks(organisation: Id): Promise<Id[]>
  dropExpiredSessions(nowMs: number): Promise<void>
}

export interface TokenRow {
  readonly id: Id
  readonly organisation: Id
  readonly role: Role
  readonly name: string
  readonly tokenSha256: Uint8Array
  readonly createdAtMs: number
  readonly revokedAtMs: number | null
}

export interface TokenCatalog {
  addToken(token: TokenRow): Promise<void>
  tokenByHash(tokenSha256: Uint8Array): Promise<TokenRow | undefined>
  token(id: Id): Promise<TokenRow | undefined>
  tokens(organisation: Id): Promise<TokenRow[]>
  revokeToken(id: Id, atMs: number): Promise<void>
  /** Puts another secret in place of a token's own, under its id; a revoked one is good again. */
  renewToken(id: Id, tokenSha256: Uint8Array): Promise<void>
}

/** A resumable upload into the sealed spool. */
export interface UploadRow {
  readonly id: Id
  readonly organisation: Id
  /** Token that began it; only that one goes on with it. */
  readonly owner: Id
  readonly state: 'receiving' | 'complete' | 'consumed' | 'aborted'
  readonly lengthBytes: number | null
  readonly offsetBytes: number
  /** Parsed Upload-Metadata as JSON: filename, title, host, sha256 … */
  readonly metadata: Readonly<Record<string, string>>
  readonly recording: Id | null
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

export interface UploadCatalog {
  addUpload(upload: UploadRow): Promise<void>
  upload(id: Id): Promise<UploadRow | undefined>
  /** What was consumed never becomes complete again: that change is left out. @throws E_INPUT when there is none with this id */
  updateUpload(
    id: Id,
    change: Partial<Pick<UploadRow, 'state' | 'lengthBytes' | 'offsetBytes' | 'recording'>>,
    atMs: number,
  ): Promise<void>
  uploads(state: UploadRow['state'], updatedBeforeMs: number): Promise<UploadRow[]>
  removeUpload(id: Id): Promise<void>
}

/** Use of keys: written before the key is used. */
export interface AuditCatalog {
  addAudit(entry: {
    readonly atMs: number
    readonly organisation: Id
    readonly kind: string
    readonly subject: Id | null
    readonly fields: Readonly<Record<string, string | number | boolean | null>>
  }): Promise<void>
  audit(
    organisation: Id,
    limit: number,
  ): Promise<
    readonly {
      readonly atMs: number
      readonly kind: string
      readonly subject: Id | null
      readonly fields: Readonly<Record<string, string | number | boolean | null>>
    }[]
  >
}
