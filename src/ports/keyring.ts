import type { Id } from '../domain/ids.ts'
import type { AtRestVault } from './at-rest.ts'

export type { AtRestVault } from './at-rest.ts'

/** The two cipher suites of docs/FORMAT.md §5. */
export type Suite = 1 | 2

export interface KemPublicKey {
  readonly suite: Suite
  readonly publicKey: Uint8Array
}

export interface SigningPublicKeys {
  readonly ed25519: Uint8Array
  readonly mldsa65: Uint8Array
}

/** What anyone may know of an organisation's keys; what the vault card says (docs/FORMAT.md §8). */
export interface OrganisationPublicKeys {
  readonly organisation: Id
  readonly epoch: number
  /** Vault key, one a suite. */
  readonly kem: readonly KemPublicKey[]
  /** Offline recovery key, one a suite. */
  readonly recovery: readonly KemPublicKey[]
  readonly signing: SigningPublicKeys
  readonly root: SigningPublicKeys
}

/** Contexts that the signing seed signs under (docs/FORMAT.md §6, §9). */
export type SigningContext = 'mosaik/v1/share' | 'mosaik/v1/receipt' | 'mosaik/v1/card'

/** Why a document key is needed: written to the log before the key is used. */
export type UnwrapPurpose = 'play' | 'download' | 'transcode' | 'commit' | 'rebuild' | 'rewrap'

export interface WrappedKey {
  readonly suite: Suite
  readonly info: Uint8Array
  readonly aad: Uint8Array
  readonly enc: Uint8Array
  readonly ct: Uint8Array
}

/** Public half: what intake and seal may hold. They sign and encapsulate, and cannot open. */
export interface PublicKeyring {
  /** Those of the epoch in force. @throws E_KEYRING_KEY_UNKNOWN */
  publicKeys(organisation: Id): Promise<OrganisationPublicKeys>
  /**
   * Signature pair (3373 bytes) by the organisation's signing key of `epoch` over context ‖ 00 ‖ message. The epoch is that of the public
   * keys which the caller names in what it signs: another one may come into force in between.
   * @throws E_CONFLICT when the epoch is over and its keys are destroyed: whoever tries again does so under the next
   */
  sign(organisation: Id, epoch: number, context: SigningContext, message: Uint8Array): Promise<Uint8Array>
}

/** Epochs whose secrets a keyring has. */
export interface HeldEpochs {
  /** In order; the last one is in force. */
  readonly epochs: readonly number[]
  /** The recovery seed that a rebuild left, which opens what was sealed to lost keys. */
  readonly hasRebuildSeed: boolean
  /** Prepared, and not in force yet. */
  readonly next: number | undefined
}

/** Turning over of an organisation's vault and signing keys (docs/FORMAT.md §8). Each call may be repeated. */
export interface EpochKeys {
  heldEpochs(organisation: Id): Promise<HeldEpochs>
  /** Makes the keys of the next epoch, or finds those that were made, and gives their public halves. Nothing is sealed or signed with them yet. */
  prepareEpoch(organisation: Id): Promise<OrganisationPublicKeys>
  /**
   * From now on everything is sealed to and signed with the prepared keys; those before still open and sign. Only when its card lies on
   * every node. @throws E_KEYRING_KEY_UNKNOWN
   */
  beginEpoch(organisation: Id, epoch: number): Promise<void>
  /** Destroys the seeds of all epochs before `epoch`, and what a rebuild left. What still is sealed to them, only the recovery key opens. */
  destroyOldKeys(organisation: Id, epoch: number): Promise<void>
}

/** Keys of the sealed spool (docs/FORMAT.md §10): replaced at least daily and when the spool is empty. */
export interface SpoolKeys {
  spoolPublicKey(): Promise<{ readonly suite: Suite; readonly keyId: Uint8Array; readonly publicKey: Uint8Array }>
  /** @throws E_KEYRING_KEY_UNKNOWN when the key pair was already destroyed. */
  openSpoolKey(keyId: Uint8Array, wrapped: WrappedKey): Promise<Uint8Array>
  /** Makes a new spool key when the present one is older than a day or `spoolEmpty`; destroys those in `unused`. */
  rotateSpoolKeys(inUse: readonly Uint8Array[]): Promise<void>
}

/** Secret half: opens documents. Each call is logged first and counted against a rate cap. */
export interface Keyring extends PublicKeyring, EpochKeys, AtRestVault, SpoolKeys {
  /**
   * Opens a wrapped document key with the vault key named by `keyId` (16 bytes).
   * @throws E_KEYRING_KEY_UNKNOWN, E_HPKE_OPEN, E_KEYRING_RATE
   */
  unwrap(organisation: Id, keyId: Uint8Array, wrapped: WrappedKey, purpose: UnwrapPurpose): Promise<Uint8Array>
  /** HMAC-SHA-256 key of signed links for the key period `kid` (for example "2026-11"), 32 bytes. */
  linkKey(organisation: Id, kid: string): Promise<Uint8Array>
  /**
   * Makes the keys of a new organisation, epoch 1. Returns the recovery seed once; it stays in the keyring, sealed,
   * only until `confirmRecoveryShown`.
   */
  createOrganisation(organisation: Id): Promise<OrganisationPublicKeys>
  /** The recovery seed as long as it was never shown, else `undefined`. */
  pendingRecoverySeed(organisation: Id): Promise<Uint8Array | undefined>
  /** The recovery seed was shown on a terminal: destroys the copy in the keyring. */
  confirmRecoveryShown(organisation: Id): Promise<void>
  /** Signature by the root pair; possible only while the recovery seed is pending (set-up). @throws E_KEYRING_KEY_UNKNOWN */
  signAsRoot(organisation: Id, context: SigningContext, message: Uint8Array): Promise<Uint8Array>
}
