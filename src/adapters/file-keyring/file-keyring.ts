import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { MosaikError } from '../../domain/errors.ts'
import { checkPassphrase, derivedSpoolSealKey, keysSealKey, masterKeyOf } from './master-key.ts'
import { FileKeyring, type KeyringPorts } from './opened-keyring.ts'
import { defaultKdfCost, readEnvelope, toBase64, type Kdf, type KdfCost, type Lock } from './sealed-file.ts'
import { SealedStore, type SealedStorePorts } from './sealed-store.ts'
import {
  parseSecrets,
  parseSpoolKeys,
  secretsToJson,
  spoolKeysToJson,
  type KeyringSecrets,
  type SpoolKey,
} from './secrets.ts'
import { settleSpoolSealKey } from './spool-seal-key.ts'
import { unlockOf, type KeyringOpening } from './unlock.ts'
import { holdAlone, holdAsUser, type HeldLock } from './users-lock.ts'

export interface FileKeyringOptions extends KeyringPorts {
  /** Holds keyring.json, keyring-spool.json, keyring.lock and keyring.users. Must exist; on a local disk. */
  readonly folder: string
  /** Any text; compared after Unicode normalisation NFKC. */
  readonly passphrase: string
}

/** Of a keyring that is there already. */
export type OpenKeyringOptions = KeyringPorts & Pick<FileKeyringOptions, 'folder'> & KeyringOpening

const keysFile = (folder: string) => join(folder, 'keyring.json')
const spoolFile = (folder: string) => join(folder, 'keyring-spool.json')
const lockFile = (folder: string) => join(folder, 'keyring.lock')
const usersFile = (folder: string) => join(folder, 'keyring.users')

/** True when there is a keyring in the folder. */
export function hasFileKeyring(folder: string): boolean {
  return existsSync(keysFile(folder))
}

/** What the keyring in the folder is locked by. @throws E_CONFIG there is none, or it is damaged. */
export function keyringLock(folder: string): Lock {
  const { kdf, custody, hsm } = readEnvelope(keysFile(folder))
  if ([kdf ?? undefined, custody, hsm].filter((one) => one !== undefined).length !== 1) {
    throw new MosaikError('E_CONFIG', 'keyring.json does not say what opens it: it is damaged')
  }
  return { kdf, custody, hsm }
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
  const { folder, passphrase, random, primitives } = options
  checkPassphrase(passphrase)
  const kdf: Kdf = { algorithm: 'argon2id', salt: toBase64(random.bytes(16)), ...cost }
  const masterKey = await masterKeyOf(passphrase, kdf)
  const keys = keysStore(options, folder, keysSealKey(primitives, masterKey))
  masterKey.fill(0)
  const spoolSealKey = random.bytes(32)
  const first: KeyringSecrets = { atRestKey: random.bytes(32), spoolSealKey, organisations: new Map() }
  if (await keys.createUnlessThere(() => hasFileKeyring(folder), { content: 'keys', kdf }, first)) {
    throw new MosaikError('E_CONFLICT', `there is a keyring in ${folder} already; it is left as it is`)
  }
  return opened(options, keys, spoolSealKey, holdAsUser(usersFile(folder)))
}

/**
 * Opens the keyring of an installation. With a passphrase it takes about half a second and 256 MiB: that is what a guess costs, too.
 *
 * @throws E_CONFIG there is none, or it is damaged; E_KEYRING_PASSPHRASE, with no hint more; E_KEYRING_LOCK it is locked in another way;
 * E_CONFLICT while its lock is changed.
 */
export async function openFileKeyring(options: OpenKeyringOptions): Promise<FileKeyring> {
  const { folder, primitives } = options
  if (!hasFileKeyring(folder)) readEnvelope(keysFile(folder))
  const user = holdAsUser(usersFile(folder))
  try {
    const masterKey = await unlockOf(options)(keyringLock(folder))
    const keys = keysStore(options, folder, keysSealKey(primitives, masterKey))
    const derived = derivedSpoolSealKey(primitives, masterKey)
    masterKey.fill(0)
    keys.read()
    const spoolSealKey = await settleSpoolSealKey(keys, spoolStoreOf(options, folder), derived)
    return opened(options, keys, spoolSealKey, user)
  } catch (error) {
    user.release()
    throw error
  }
}

/**
 * Seals the keyring under another passphrase, with a new salt and a new key for the spool's file. Nobody may have it open. A crash leaves the
 * old passphrase or the new one in force, never both and never neither; what is left to do then is done by the next open.
 *
 * @param cost of argon2id from now on; what it was when left out, and the default when there was none.
 * @throws E_KEYRING_PASSPHRASE the old one is wrong; E_INPUT the new one is too short, or is the old one; E_CONFLICT a process has the keyring
 * open; E_CONFIG
 */
export async function changePassphrase(
  options: SealedStorePorts & Pick<FileKeyringOptions, 'folder'> & KeyringOpening,
  newPassphrase: string,
  cost?: KdfCost,
): Promise<void> {
  keyringLock(options.folder)
  checkPassphrase(newPassphrase)
  await relockKeyring(options, async ({ kdf: before }) => {
    if ('passphrase' in options && newPassphrase.normalize('NFKC') === options.passphrase.normalize('NFKC')) {
      throw new MosaikError('E_INPUT', 'the new passphrase is the old one; nothing was changed')
    }
    const { memoryKiB, passes, parallelism } = cost ?? before ?? defaultKdfCost
    const salt = toBase64(options.random.bytes(16))
    const kdf: Kdf = { algorithm: 'argon2id', salt, memoryKiB, passes, parallelism }
    return { lock: { kdf }, masterKey: await masterKeyOf(newPassphrase, kdf) }
  })
}

/** What a keyring is to be locked by from now on. */
export interface NewLock {
  readonly lock: Lock
  /** 32 bytes; overwritten when it is in force. */
  readonly masterKey: Uint8Array
}

/**
 * Seals the keyring under another master key, with a new key for the spool's file. Nobody may have it open. The new file is opened with
 * the new key and synced before it takes the place of the old one: a crash leaves the old lock or the new one in force.
 *
 * @param renew called once the old lock was opened and while nobody else can open the keyring; what it throws leaves everything as it was.
 * @throws what opening it throws; E_CONFLICT a process has the keyring open
 */
export async function relockKeyring(
  options: SealedStorePorts & Pick<FileKeyringOptions, 'folder'> & KeyringOpening,
  renew: (before: Lock) => Promise<NewLock>,
): Promise<void> {
  const { folder, primitives, random } = options
  const alone = holdAlone(usersFile(folder))
  const toForget: Uint8Array[] = []
  try {
    const before = keyringLock(folder)
    const oldMaster = await unlockOf(options)(before)
    const keys = keysStore(options, folder, keysSealKey(primitives, oldMaster))
    const derived = derivedSpoolSealKey(primitives, oldMaster)
    toForget.push(oldMaster, derived)
    keys.read()
    const former = await settleSpoolSealKey(keys, spoolStoreOf(options, folder), derived)
    const { lock, masterKey } = await renew(before)
    toForget.push(masterKey)
    const spoolSealKey = random.bytes(32)
    await keys.reseal(keysSealKey(primitives, masterKey), lock, (secrets) => ({
      ...secrets,
      spoolSealKey,
      formerSpoolSealKey: former,
    }))
    await settleSpoolSealKey(keys, spoolStoreOf(options, folder), derived)
    keys.forget()
  } finally {
    for (const key of toForget) key.fill(0)
    alone.release()
  }
}

function opened(
  options: KeyringPorts & Pick<FileKeyringOptions, 'folder'>,
  keys: SealedStore<KeyringSecrets>,
  spoolSealKey: Uint8Array,
  user: HeldLock,
): FileKeyring {
  const { folder } = options
  const spool = spoolStoreOf(options, folder).under(spoolSealKey)
  return new FileKeyring(options, { keys, spool, spoolPath: spoolFile(folder), user })
}

function keysStore(ports: SealedStorePorts, folder: string, key: Uint8Array): SealedStore<KeyringSecrets> {
  const parts = { path: keysFile(folder), lockPath: lockFile(folder), parse: parseSecrets, toJson: secretsToJson }
  return new SealedStore<KeyringSecrets>(ports, { ...parts, key })
}

function spoolStoreOf(ports: SealedStorePorts, folder: string) {
  const parts = { path: spoolFile(folder), lockPath: lockFile(folder), parse: parseSpoolKeys, toJson: spoolKeysToJson }
  return {
    exists: () => existsSync(spoolFile(folder)),
    under: (key: Uint8Array) => new SealedStore<readonly SpoolKey[]>(ports, { ...parts, key: new Uint8Array(key) }),
  }
}
