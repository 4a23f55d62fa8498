import { MosaikError } from '../../domain/errors.ts'
import { masterKeyOf } from './master-key.ts'
import type { Lock } from './sealed-file.ts'

/**
 * Gives the master key, 32 bytes, of a keyring that is locked like that; the caller overwrites it.
 * @throws E_KEYRING_LOCK when it is locked in another way
 */
export type Unlock = (lock: Lock) => Promise<Uint8Array>

/** What a keyring is opened with: a passphrase, or whatever else gives its master key. */
export type KeyringOpening = { readonly passphrase: string } | { readonly unlock: Unlock }

export function unlockOf(opening: KeyringOpening): Unlock {
  return 'unlock' in opening ? opening.unlock : withPassphrase(opening.passphrase)
}

/** What a new keyring is made with. @throws E_CONFIG the keyring whose lock was looked at is gone */
export function passphraseOf(opening: KeyringOpening): { readonly passphrase: string } {
  if ('passphrase' in opening) return opening
  throw new MosaikError('E_CONFIG', 'keyring.json was there and is gone; put it back from its backup')
}

/** argon2id, as the file says. */
export function withPassphrase(passphrase: string): Unlock {
  return async (lock) => {
    if (lock.kdf === null) throw otherLock('a passphrase', lock)
    return await masterKeyOf(passphrase, lock.kdf)
  }
}

/** A master key that the officers' shares gave. It is copied: the caller keeps its own. */
export function withMasterKey(masterKey: Uint8Array): Unlock {
  return (lock) =>
    lock.custody === undefined ? Promise.reject(otherLock('shares', lock)) : Promise.resolve(new Uint8Array(masterKey))
}

/** @param what opens it not. */
export function otherLock(what: string, { kdf, custody, hsm }: Lock): MosaikError {
  const how = custody ? 'shares of officers' : hsm ? 'an HSM' : kdf ? 'a passphrase' : 'something else'
  return new MosaikError('E_KEYRING_LOCK', `the keyring does not open with ${what}: it needs ${how} by now`)
}
