import { signPair } from '../../crypto/signature.ts'
import { linkKeyOf } from '../../crypto/keys.ts'
import type { HpkePrimitives } from '../../crypto/kem.ts'
import { MosaikError } from '../../domain/errors.ts'
import { toHex, type Id } from '../../domain/ids.ts'
import type {
  HeldEpochs,
  Keyring,
  OrganisationPublicKeys,
  SigningContext,
  Suite,
  UnwrapPurpose,
  WrappedKey,
} from '../../ports/keyring.ts'
import type { Clock, Random } from '../../ports/system.ts'
import { openAtRest, sealAtRest } from './at-rest.ts'
import { DerivedKeys } from './derived-keys.ts'
import {
  epochInForce,
  organisationSecrets,
  unknownKey,
  withEpochBegun,
  withNewOrganisation,
  withNextEpoch,
  withoutOldKeys,
  withoutPendingRecovery,
} from './organisation-secrets.ts'
import type { SealedStore } from './sealed-store.ts'
import type { EpochSecrets, KeyringSecrets, OrganisationSecrets, SpoolKey } from './secrets.ts'
import { SpoolKeyring } from './spool-keyring.ts'
import { DEFAULT_UNWRAPS_PER_MINUTE, UnwrapGate, type RecordUnwrap } from './unwrap-gate.ts'
import type { HeldLock } from './users-lock.ts'

export interface KeyringPorts {
  readonly clock: Clock
  readonly random: Random
  readonly primitives: HpkePrimitives
  /** Writes down each unwrap before it happens; when it rejects, nothing is unwrapped. */
  readonly record: RecordUnwrap
  /** Per organisation and process; 600 when left out. */
  readonly unwrapsPerMinute?: number
}

/** The files of a keyring, with the keys that open them. */
export interface KeyringFiles {
  readonly keys: SealedStore<KeyringSecrets>
  readonly spool: SealedStore<readonly SpoolKey[]>
  readonly spoolPath: string
  /** Says to others that the files are in use. */
  readonly user: HeldLock
}

/**
 * The embedded keyring (src/ports/keyring.ts): every secret in `keyring.json`, sealed under a key that argon2id makes of a
 * passphrase; spool keys in `keyring-spool.json`, so that a rotation can destroy old ones. While it is open its secrets lie
 * in this process's memory, and JavaScript cannot promise to wipe them: swap belongs off or encrypted.
 *
 * Processes may share the files: each change is made under a lock, on what the file has at that moment.
 */
export class FileKeyring implements Keyring {
  readonly #ports: KeyringPorts
  readonly #files: KeyringFiles
  readonly #derived: DerivedKeys
  readonly #spool: SpoolKeyring
  readonly #gate: UnwrapGate
  #isOpen = true

  /** @internal use `createFileKeyring` or `openFileKeyring`. */
  constructor(ports: KeyringPorts, files: KeyringFiles) {
    this.#ports = ports
    this.#files = files
    this.#derived = new DerivedKeys(ports.primitives)
    this.#spool = new SpoolKeyring(ports, files.spoolPath, files.spool)
    this.#gate = new UnwrapGate(ports.clock, ports.record, ports.unwrapsPerMinute ?? DEFAULT_UNWRAPS_PER_MINUTE)
  }

  /** Forgets the secrets, as far as JavaScript can. Every later call throws E_KEYRING_LOCKED. */
  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#files.keys.forget()
    this.#files.spool.forget()
    this.#derived.forget()
    this.#files.user.release()
  }

  /** Organisations that have keys here. */
  organisations(): Id[] {
    return [...this.#secrets().organisations.keys()]
  }

  async publicKeys(organisation: Id): Promise<OrganisationPublicKeys> {
    const secrets = this.#organisation(organisation)
    return Promise.resolve(this.#derived.publicKeys(organisation, secrets, epochInForce(secrets)))
  }

  async sign(organisation: Id, epoch: number, context: SigningContext, message: Uint8Array): Promise<Uint8Array> {
    const secrets = this.#organisation(organisation).epochs.find((one) => one.epoch === epoch)
    if (secrets === undefined) {
      throw new MosaikError('E_CONFLICT', `epoch ${epoch} is over and its signing key destroyed: sign under the next`, {
        organisation,
        epoch,
      })
    }
    return Promise.resolve(signPair(this.#derived.signer(organisation, secrets), context, message))
  }

  async unwrap(organisation: Id, id: Uint8Array, wrapped: WrappedKey, purpose: UnwrapPurpose): Promise<Uint8Array> {
    const wanted = toHex(id)
    const key = this.#derived.unwrapKey(organisation, wrapped.suite, this.#organisation(organisation), wanted)
    if (key === undefined) throw unknownKey('this keyring has no such vault key', { organisation, keyId: wanted })
    await this.#gate.pass({ organisation, keyId: wanted, purpose })
    return this.#derived.open(key.seed, wrapped)
  }

  async linkKey(organisation: Id, kid: string): Promise<Uint8Array> {
    return Promise.resolve(linkKeyOf(this.#ports.primitives, this.#organisation(organisation).linkSeed, kid))
  }

  async createOrganisation(organisation: Id): Promise<OrganisationPublicKeys> {
    const recoverySeed = this.#ports.random.bytes(32)
    return await this.#addOrganisation(organisation, {
      epochs: [{ epoch: 1, ...this.#freshSeeds() }],
      linkSeed: this.#ports.random.bytes(32),
      pendingRecoverySeed: recoverySeed,
      ...this.#derived.ofRecoverySeed(recoverySeed),
    })
  }

  /**
   * Makes keys of a new epoch for an organisation whose keyring is lost, from its recovery seed. The seed stays here, sealed, and opens what
   * is sealed to the lost keys, until `destroyOldKeys`.
   * @throws E_CONFLICT when the organisation has keys here
   */
  async adoptOrganisation(organisation: Id, epoch: number, recoverySeed: Uint8Array): Promise<OrganisationPublicKeys> {
    return await this.#addOrganisation(organisation, {
      epochs: [{ epoch, ...this.#freshSeeds() }],
      linkSeed: this.#ports.random.bytes(32),
      pendingRecoverySeed: null,
      rebuildSeed: new Uint8Array(recoverySeed),
      ...this.#derived.ofRecoverySeed(recoverySeed),
    })
  }

  async heldEpochs(organisation: Id): Promise<HeldEpochs> {
    const { epochs, rebuildSeed, nextEpoch } = this.#organisation(organisation)
    return Promise.resolve({
      epochs: epochs.map(({ epoch }) => epoch),
      hasRebuildSeed: rebuildSeed !== undefined,
      next: nextEpoch?.epoch,
    })
  }

  async prepareEpoch(organisation: Id): Promise<OrganisationPublicKeys> {
    const fresh = this.#freshSeeds()
    const changed = await this.#change((secrets) => withNextEpoch(secrets, organisation, fresh))
    const secrets = organisationSecrets(changed, organisation)
    return this.#derived.publicKeys(organisation, secrets, secrets.nextEpoch!)
  }

  async beginEpoch(organisation: Id, epoch: number): Promise<void> {
    await this.#change((secrets) => withEpochBegun(secrets, organisation, epoch))
  }

  async destroyOldKeys(organisation: Id, epoch: number): Promise<void> {
    await this.#change((secrets) => withoutOldKeys(secrets, organisation, epoch))
  }

  async pendingRecoverySeed(organisation: Id): Promise<Uint8Array | undefined> {
    const seed = this.#organisation(organisation).pendingRecoverySeed
    return Promise.resolve(seed === null ? undefined : new Uint8Array(seed))
  }

  async confirmRecoveryShown(organisation: Id): Promise<void> {
    await this.#change((secrets) => withoutPendingRecovery(secrets, organisation))
  }

  async signAsRoot(organisation: Id, context: SigningContext, message: Uint8Array): Promise<Uint8Array> {
    const { pendingRecoverySeed, rebuildSeed } = this.#organisation(organisation)
    const seed = pendingRecoverySeed ?? rebuildSeed ?? null
    if (seed === null) {
      throw unknownKey('the recovery key was shown and is no longer here: only its holder can sign as root', {
        organisation,
      })
    }
    return Promise.resolve(signPair(this.#derived.rootSigner(seed), context, message))
  }

  async wrapAtRest(subject: Id, secret: Uint8Array): Promise<Uint8Array> {
    const { primitives, random } = this.#ports
    return Promise.resolve(sealAtRest(primitives, this.#secrets().atRestKey, random.bytes(12), subject, secret))
  }

  async unwrapAtRest(subject: Id, wrapped: Uint8Array): Promise<Uint8Array> {
    return Promise.resolve(openAtRest(this.#ports.primitives, this.#secrets().atRestKey, subject, wrapped))
  }

  async spoolPublicKey(): Promise<{
    readonly suite: Suite
    readonly keyId: Uint8Array
    readonly publicKey: Uint8Array
  }> {
    this.#requireOpen()
    return await this.#spool.publicKey()
  }

  async openSpoolKey(id: Uint8Array, wrapped: WrappedKey): Promise<Uint8Array> {
    this.#requireOpen()
    return this.#derived.open(await this.#spool.seedOf(id), wrapped)
  }

  async rotateSpoolKeys(inUse: readonly Uint8Array[]): Promise<void> {
    this.#requireOpen()
    await this.#spool.rotate(inUse)
  }

  #freshSeeds(): Omit<EpochSecrets, 'epoch'> {
    const { random } = this.#ports
    return { vaultSeed: random.bytes(32), signingSeed: random.bytes(32) }
  }

  async #addOrganisation(organisation: Id, fresh: OrganisationSecrets): Promise<OrganisationPublicKeys> {
    await this.#change((secrets) => withNewOrganisation(secrets, organisation, fresh))
    return this.publicKeys(organisation)
  }

  async #change(change: (secrets: KeyringSecrets) => KeyringSecrets): Promise<KeyringSecrets> {
    this.#requireOpen()
    return await this.#files.keys.update(change)
  }

  #organisation(organisation: Id): OrganisationSecrets {
    return organisationSecrets(this.#secrets(), organisation)
  }

  #secrets(): KeyringSecrets {
    this.#requireOpen()
    return this.#files.keys.read()
  }

  #requireOpen(): void {
    if (!this.#isOpen) throw new MosaikError('E_KEYRING_LOCKED', 'the keyring is closed')
  }
}
