import { isMosaikError } from '../../domain/errors.ts'
import type { SealedStore } from './sealed-store.ts'
import type { KeyringSecrets, SpoolKey } from './secrets.ts'

/** The spool's file under whichever key. */
export interface SpoolFile {
  exists(): boolean
  under(key: Uint8Array): SealedStore<readonly SpoolKey[]>
}

/**
 * The key of the spool's file, and the file sealed under it: completes a change of passphrase that was cut off between the two files.
 *
 * @param derived what a keyring of an earlier release used, which keeps no key for it.
 */
export async function settleSpoolSealKey(
  keys: SealedStore<KeyringSecrets>,
  file: SpoolFile,
  derived: Uint8Array,
): Promise<Uint8Array> {
  const { spoolSealKey, formerSpoolSealKey } = keys.read()
  if (spoolSealKey === undefined) return derived
  if (formerSpoolSealKey === undefined) return spoolSealKey
  if (file.exists() && !opens(file.under(spoolSealKey))) {
    await file.under(formerSpoolSealKey).reseal(spoolSealKey, { kdf: null }, (present) => present)
  }
  await keys.update(({ formerSpoolSealKey: _gone, ...secrets }) => secrets)
  return spoolSealKey
}

function opens(store: SealedStore<readonly SpoolKey[]>): boolean {
  try {
    store.read()
    return true
  } catch (error) {
    if (isMosaikError(error, 'E_KEYRING_PASSPHRASE')) return false
    throw error
  }
}
