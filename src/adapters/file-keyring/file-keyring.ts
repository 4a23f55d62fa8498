import { argon2 } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ascii, concat } from '../../crypto/bytes.ts'
import { hpkeOpen } from '../../crypto/hpke.ts'
import { kemOfSuite, type Kem } from '../../crypto/kem.ts'
import { keyId, linkKeyOf, recoveryKemSeed, rootSigningSeed, vaultKemSeed } from '../../crypto/keys.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { signingKeys, signPair, type SigningKeys } from '../../crypto/signature.ts'
import { MosaikError } from '../../domain/errors.ts'
import { fromHex, toHex, type Id } from '../../domain/ids.ts'
import type {
  KemPublicKey,
  Keyring,
  OrganisationPublicKeys,
  SigningContext,
  Suite,
  UnwrapPurpose,
  WrappedKey,
} from '../../ports/keyring.ts'
import type { Clock, Random } from '../../ports/system.ts'
import { defaultKdfCost, fromBase64, readEnvelope, toBase64, type Kdf, type KdfCost } from './sealed-file.ts'
import { SealedStore } from './sealed-store.ts'
import {
  parseSecrets,
  parseSpoolKeys,
  secretsToJson,
  spoolKeysToJson,
  type EpochSecrets,
  type KeyringSecrets,
  type OrganisationSecrets,
  type SpoolKey,
} from './secrets.ts'
import { newSpoolKey, presentSpoolKey, rotated } from './spool-keys.ts'
import { DEFAULT_UNWRAPS_PER_MINUTE, UnwrapGate, type RecordUnwrap } from './unwrap-gate.ts'

export interface FileKeyringOptions {
  /** Holds keyring.json, keyring-spool.json and keyring.lock. Must exist; on a local disk. */
  readonly folder: string
  /** Any text; compared after Unicode normalisation NFKC. */
  readonly passphrase: string
  readonly clock: Clock
  readonly random: Random
  readonly primitives: Primitives
  /** Writes down each unwrap before it happens; when it rejects, nothing is unwrapped. */
  readonly record: RecordUnwrap
  /** Per organisation and process; 600 when left out. */
  readonly unwrapsPerMinute?: number
  /** A faster KEM of suite 1 than the portable one. */
  readonly suite1Kem?: Kem
}

const SUITES: readonly Suite[] = [1, 2]
const MIN_PASSPHRASE_CHARACTERS = 8
const AT_REST_VERSION = 1
const NONCE_BYTES = 12
const EMPTY = new Uint8Array(0)
const argon2id = promisify(argon2)

const keysFile = (folder: string) => join(folder, 'keyring.json')
const spoolFile = (folder: string) => join(folder, 'keyring-spool.json')

/** True when there is a keyring in the folder. */
export function hasFileKeyring(folder: string): boolean {
  return existsSync(keysFile(folder))
}

/**
 * Makes the keyring of a new installation: no organisations yet, sealed by the passphrase.
 *
 * @param cost of argon2id; 256 MiB, 3 passes, 4 lanes when left out.
 * @throws E_CONFLICT there is one already; E_INPUT a passphrase below 8 characters.
 */
export async function createFileKeyring(
  options: FileKeyringOptions,
  cost: KdfCost = defaultKdfCost,
): Promise<FileKeyring> {
  const { folder, passphrase, primitives, random } = options
  if ([...passphrase].length < MIN_PASSPHRASE_CHARACTERS) {
    throw new MosaikError(
      'E_INPUT',
      `the passphrase of the keyring must have at least ${MIN_PASSPHRASE_CHARACTERS} characters`,
    )
  }
  const kdf: Kdf = { algorithm: 'argon2id', salt: toBase64(random.bytes(16)), ...cost }
  const stores = openStores(options, await passphraseKey(passphrase, kdf), primitives)
  const first: KeyringSecrets = { atRestKey: random.bytes(32), organisations: new Map() }
  if (await stores.keys.createUnlessThere(() => hasFileKeyring(folder), 'keys', kdf, first)) {
    throw new MosaikError('E_CONFLICT', `there is a keyring in ${folder} already; it is left as it is`)
  }
  return new FileKeyring(options, stores)
}

/**
 * Opens the keyring of an installation. Takes about half a second and 256 MiB: that is what a guess costs, too.
 *
 * @throws E_CONFIG there is none, or it is damaged; E_KEYRING_PASSPHRASE, with no hint more.
 */
export async function openFileKeyring(options: FileKeyringOptions): Promise<FileKeyring> {
  const { kdf } = readEnvelope(keysFile(options.folder))
  if (kdf === null) throw new MosaikError('E_CONFIG', 'keyring.json names no key derivation: it is damaged')
  const stores = openStores(options, await passphraseKey(options.passphrase, kdf), options.primitives)
  stores.keys.read()
  return new FileKeyring(options, stores)
}

async function passphraseKey(passphrase: string, kdf: Kdf): Promise<Uint8Array> {
  const message = Buffer.from(passphrase.normalize('NFKC'), 'utf8')
  const { memoryKiB: memory, passes, parallelism } = kdf
  const key = await argon2id(kdf.algorithm, {
    message,
    nonce: fromBase64(kdf.salt),
    memory,
    passes,
    parallelism,
    tagLength: 32,
  })
  message.fill(0)
  return key
}

interface Stores {
  readonly keys: SealedStore<KeyringSecrets>
  readonly spool: SealedStore<readonly SpoolKey[]>
}

function openStores(options: FileKeyringOptions, passphraseDerived: Uint8Array, primitives: Primitives): Stores {
  const sealKey = (label: string) =>
    primitives.hkdfSha256(passphraseDerived, EMPTY, ascii(`mosaik/keyring/v1/${label}`), 32)
  const lockPath = join(options.folder, 'keyring.lock')
  const stores = {
    keys: new SealedStore<KeyringSecrets>(options, {
      path: keysFile(options.folder),
      lockPath,
      key: sealKey('keys'),
      parse: parseSecrets,
      toJson: secretsToJson,
    }),
    spool: new SealedStore<readonly SpoolKey[]>(options, {
      path: spoolFile(options.folder),
      lockPath,
      key: sealKey('spool'),
      parse: parseSpoolKeys,
      toJson: spoolKeysToJson,
    }),
  }
  passphraseDerived.fill(0)
  return stores
}

/**
 * The embedded keyring (src/ports/keyring.ts): every secret in `keyring.json`, sealed under a key that argon2id makes of a
 * passphrase; spool keys in `keyring-spool.json`, so that a rotation can destroy old ones. While it is open its secrets lie
 * in this process's memory, and JavaScript cannot promise to wipe them: swap belongs off or encrypted.
 *
 * Processes may share the files: each change is made under a lock, on what the file has at that moment.
 */
export class FileKeyring implements Keyring {
  readonly #options: FileKeyringOptions
  readonly #stores: Stores
  readonly #gate: UnwrapGate
  /** By organisation and epoch. Making a pair takes milliseconds. */
  readonly #signers = new Map<string, SigningKeys>()
  readonly #publicKeys = new Map<string, OrganisationPublicKeys>()
  readonly #kemIds = new Map<string, readonly { readonly keyId: string; readonly seed: Uint8Array }[]>()
  #open = true

  /** @internal use `createFileKeyring` or `openFileKeyring`. */
  constructor(options: FileKeyringOptions, stores: Stores) {
    this.#options = options
    this.#stores = stores
    this.#gate = new UnwrapGate(options.clock, options.record, options.unwrapsPerMinute ?? DEFAULT_UNWRAPS_PER_MINUTE)
  }

  /** Forgets the secrets, as far as JavaScript can. Every later call throws E_KEYRING_LOCKED. */
  close(): void {
    this.#open = false
    this.#stores.keys.forget()
    this.#stores.spool.forget()
    for (const { ed25519Seed, mldsa65SecretKey } of this.#signers.values()) {
      ed25519Seed.fill(0)
      mldsa65SecretKey.fill(0)
    }
    for (const key of [...this.#kemIds.values()].flat()) key.seed.fill(0)
    this.#signers.clear()
    this.#kemIds.clear()
  }

  /** Organisations that have keys here. */
  organisations(): Id[] {
    return [...this.#secrets().organisations.keys()]
  }

  async publicKeys(organisation: Id): Promise<OrganisationPublicKeys> {
    const secrets = this.#organisation(organisation)
    const { epoch, vaultSeed } = newest(secrets)
    const name = `${organisation}/${epoch}`
    let keys = this.#publicKeys.get(name)
    if (keys === undefined) {
      const kem = this.#kemPublicKeys((suite) => vaultKemSeed(this.#primitives, vaultSeed, suite))
      const { recovery, root } = secrets
      keys = {
        organisation,
        epoch,
        kem,
        recovery,
        signing: this.#signer(organisation, newest(secrets)).publicKeys,
        root,
      }
      this.#publicKeys.set(name, keys)
    }
    return Promise.resolve(keys)
  }

  async sign(organisation: Id, context: SigningContext, message: Uint8Array): Promise<Uint8Array> {
    const keys = this.#signer(organisation, newest(this.#organisation(organisation)))
    return Promise.resolve(signPair(keys, context, message))
  }

  async unwrap(organisation: Id, id: Uint8Array, wrapped: WrappedKey, purpose: UnwrapPurpose): Promise<Uint8Array> {
    const wanted = toHex(id)
    const key = this.#vaultKeys(organisation, wrapped.suite).find((one) => one.keyId === wanted)
    if (key === undefined) throw unknownKey('this keyring has no such vault key', { organisation, keyId: wanted })
    await this.#gate.pass({ organisation, keyId: wanted, purpose })
    return this.#unwrapWith(key.seed, wrapped)
  }

  async linkKey(organisation: Id, kid: string): Promise<Uint8Array> {
    return Promise.resolve(linkKeyOf(this.#primitives, this.#organisation(organisation).linkSeed, kid))
  }

  async createOrganisation(organisation: Id): Promise<OrganisationPublicKeys> {
    const { random } = this.#options
    const recoverySeed = random.bytes(32)
    const fresh: OrganisationSecrets = {
      epochs: [{ epoch: 1, vaultSeed: random.bytes(32), signingSeed: random.bytes(32) }],
      linkSeed: random.bytes(32),
      pendingRecoverySeed: recoverySeed,
      recovery: this.#kemPublicKeys((suite) => recoveryKemSeed(this.#primitives, recoverySeed, suite)),
      root: signingKeys(rootSigningSeed(this.#primitives, recoverySeed)).publicKeys,
    }
    await this.#change((secrets) => {
      if (secrets.organisations.has(organisation)) {
        throw new MosaikError('E_CONFLICT', 'the organisation has keys already', { organisation })
      }
      return { ...secrets, organisations: new Map(secrets.organisations).set(organisation, fresh) }
    })
    return this.publicKeys(organisation)
  }

  /**
   * Makes keys of a new epoch for an organisation whose keyring is lost, from its recovery seed. The seed stays here, sealed, and opens what
   * is sealed to the lost keys, until `forgetRebuildSeed`.
   * @throws E_CONFLICT when the organisation has keys here
   */
  async adoptOrganisation(organisation: Id, epoch: number, recoverySeed: Uint8Array): Promise<OrganisationPublicKeys> {
    const { random } = this.#options
    const fresh: OrganisationSecrets = {
      epochs: [{ epoch, vaultSeed: random.bytes(32), signingSeed: random.bytes(32) }],
      linkSeed: random.bytes(32),
      pendingRecoverySeed: null,
      rebuildSeed: new Uint8Array(recoverySeed),
      recovery: this.#kemPublicKeys((suite) => recoveryKemSeed(this.#primitives, recoverySeed, suite)),
      root: signingKeys(rootSigningSeed(this.#primitives, recoverySeed)).publicKeys,
    }
    await this.#change((secrets) => {
      if (secrets.organisations.has(organisation)) {
        throw new MosaikError('E_CONFLICT', 'the organisation has keys already', { organisation })
      }
      return { ...secrets, organisations: new Map(secrets.organisations).set(organisation, fresh) }
    })
    return this.publicKeys(organisation)
  }

  /** Everything is sealed to the present vault key again: destroys the recovery seed that a rebuild left. */
  async forgetRebuildSeed(organisation: Id): Promise<void> {
    await this.#change((secrets) => {
      const before = secrets.organisations.get(organisation)
      if (before?.rebuildSeed === undefined) return secrets
      const { rebuildSeed: _gone, ...after } = before
      return { ...secrets, organisations: new Map(secrets.organisations).set(organisation, after) }
    })
  }

  async pendingRecoverySeed(organisation: Id): Promise<Uint8Array | undefined> {
    const seed = this.#organisation(organisation).pendingRecoverySeed
    return Promise.resolve(seed === null ? undefined : new Uint8Array(seed))
  }

  async confirmRecoveryShown(organisation: Id): Promise<void> {
    this.#organisation(organisation)
    await this.#change((secrets) => {
      const before = secrets.organisations.get(organisation)
      if (before === undefined || before.pendingRecoverySeed === null) return secrets
      const after = { ...before, pendingRecoverySeed: null }
      return { ...secrets, organisations: new Map(secrets.organisations).set(organisation, after) }
    })
  }

  async signAsRoot(organisation: Id, context: SigningContext, message: Uint8Array): Promise<Uint8Array> {
    const { pendingRecoverySeed, rebuildSeed } = this.#organisation(organisation)
    const seed = pendingRecoverySeed ?? rebuildSeed ?? null
    if (seed === null) {
      throw unknownKey('the recovery key was shown and is no longer here: only its holder can sign as root', {
        organisation,
      })
    }
    return Promise.resolve(signPair(signingKeys(rootSigningSeed(this.#primitives, seed)), context, message))
  }

  async wrapAtRest(subject: Id, secret: Uint8Array): Promise<Uint8Array> {
    const nonce = this.#options.random.bytes(NONCE_BYTES)
    const sealed = this.#primitives.gcm(this.#secrets().atRestKey).seal(nonce, fromHex(subject), secret)
    return Promise.resolve(concat(Uint8Array.of(AT_REST_VERSION), nonce, sealed))
  }

  async unwrapAtRest(subject: Id, wrapped: Uint8Array): Promise<Uint8Array> {
    const gcm = this.#primitives.gcm(this.#secrets().atRestKey)
    const nonce = wrapped.subarray(1, 1 + NONCE_BYTES)
    const known = wrapped[0] === AT_REST_VERSION && nonce.length === NONCE_BYTES
    const secret = known ? gcm.open(nonce, fromHex(subject), wrapped.subarray(1 + NONCE_BYTES)) : undefined
    if (secret === undefined) throw unknownKey('wrapped by another keyring, or for another subject', { subject })
    return Promise.resolve(secret)
  }

  async spoolPublicKey(): Promise<{
    readonly suite: Suite
    readonly keyId: Uint8Array
    readonly publicKey: Uint8Array
  }> {
    let present = presentSpoolKey(await this.#spoolKeys())
    if (present === undefined) {
      const keys = await this.#stores.spool.update((now) =>
        presentSpoolKey(now) ? now : [...now, this.#newSpoolKey()],
      )
      present = presentSpoolKey(keys)!
    }
    return { suite: 1, keyId: present.keyId, publicKey: this.#kem(1).keyPair(present.seed).publicKey }
  }

  async openSpoolKey(id: Uint8Array, wrapped: WrappedKey): Promise<Uint8Array> {
    const wanted = toHex(id)
    const key = (await this.#spoolKeys()).find((one) => toHex(one.keyId) === wanted)
    if (key === undefined) throw unknownKey('this spool key was destroyed', { keyId: wanted })
    return this.#unwrapWith(key.seed, wrapped)
  }

  /**
   * Replaces the present key when it is a day old, or when the spool is empty and the key at least ten minutes old; destroys
   * superseded keys that `inUse` does not name, ten minutes after they were superseded. What a disk can keep of a destroyed
   * key says `replaceFile`.
   */
  async rotateSpoolKeys(inUse: readonly Uint8Array[]): Promise<void> {
    await this.#spoolKeys()
    const nowMs = this.#options.clock.nowMs()
    await this.#stores.spool.update((keys) => rotated(keys, inUse, nowMs, () => this.#newSpoolKey()))
  }

  get #primitives(): Primitives {
    return this.#options.primitives
  }

  #kem(suite: Suite): Kem {
    return (suite === 1 ? this.#options.suite1Kem : undefined) ?? kemOfSuite(suite)
  }

  #kemPublicKeys(seedOf: (suite: Suite) => Uint8Array): KemPublicKey[] {
    return SUITES.map((suite) => ({ suite, publicKey: this.#kem(suite).keyPair(seedOf(suite)).publicKey }))
  }

  #unwrapWith(seed: Uint8Array, { suite, info, aad, enc, ct }: WrappedKey): Uint8Array {
    return hpkeOpen(suite, this.#primitives, seed, enc, info, aad, ct, this.#kem(suite))
  }

  /** KEM seeds and key ids of all epochs of an organisation in one suite. */
  #vaultKeys(organisation: Id, suite: Suite): readonly { readonly keyId: string; readonly seed: Uint8Array }[] {
    const { epochs, rebuildSeed } = this.#organisation(organisation)
    const name = `${organisation}/${suite}/${epochs.length}/${rebuildSeed ? 'rebuilt' : ''}`
    let keys = this.#kemIds.get(name)
    if (keys === undefined) {
      const seeds = epochs.map(({ vaultSeed }) => vaultKemSeed(this.#primitives, vaultSeed, suite))
      if (rebuildSeed) seeds.push(recoveryKemSeed(this.#primitives, rebuildSeed, suite))
      keys = seeds.map((seed) => {
        const { publicKey } = this.#kem(suite).keyPair(seed)
        return { keyId: toHex(keyId(this.#primitives, suite, publicKey)), seed }
      })
      this.#kemIds.set(name, keys)
    }
    return keys
  }

  #signer(organisation: Id, { epoch, signingSeed }: EpochSecrets): SigningKeys {
    const name = `${organisation}/${epoch}`
    let keys = this.#signers.get(name)
    if (keys === undefined) {
      keys = signingKeys(signingSeed)
      this.#signers.set(name, keys)
    }
    return keys
  }

  #newSpoolKey(): SpoolKey {
    const { random, clock } = this.#options
    return newSpoolKey(this.#primitives, this.#kem(1), random.bytes(32), clock.nowMs())
  }

  async #spoolKeys(): Promise<readonly SpoolKey[]> {
    this.#requireOpen()
    const exists = () => existsSync(spoolFile(this.#options.folder))
    if (!exists()) await this.#stores.spool.createUnlessThere(exists, 'spool', null, [this.#newSpoolKey()])
    return this.#stores.spool.read()
  }

  async #change(change: (secrets: KeyringSecrets) => KeyringSecrets): Promise<void> {
    this.#requireOpen()
    await this.#stores.keys.update(change)
  }

  #organisation(organisation: Id): OrganisationSecrets {
    const secrets = this.#secrets().organisations.get(organisation)
    if (secrets === undefined) throw unknownKey('this keyring has no keys of the organisation', { organisation })
    return secrets
  }

  #secrets(): KeyringSecrets {
    this.#requireOpen()
    return this.#stores.keys.read()
  }

  #requireOpen(): void {
    if (!this.#open) throw new MosaikError('E_KEYRING_LOCKED', 'the keyring is closed')
  }
}

function newest({ epochs }: OrganisationSecrets): EpochSecrets {
  return epochs.reduce((last, one) => (one.epoch > last.epoch ? one : last))
}

function unknownKey(message: string, fields: Readonly<Record<string, string>>): MosaikError {
  return new MosaikError('E_KEYRING_KEY_UNKNOWN', message, fields)
}
