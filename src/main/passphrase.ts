import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { MosaikError } from '../domain/errors.ts'
import type { Random } from '../ports/system.ts'
import type { Config } from './config.ts'
import { askHidden } from './terminal.ts'

/** Written by a demonstration that was given no passphrase: beside its data, for this user only. */
export const DEMO_PASSPHRASE_FILE = 'passphrase'

export interface Passphrase {
  readonly text: string
  /** Where a demonstration has just written it, or keeps it; then the keyring protects against nobody who reads the folder. */
  readonly demoFile: string | undefined
}

/**
 * The keyring's passphrase: MOSAIK_PASSPHRASE, else the file named in the settings, else a demonstration's own file, else a prompt. When there is
 * no keyring yet and nobody said anything, a demonstration's passphrase is drawn and written.
 *
 * @throws E_KEYRING_PASSPHRASE when there is none and no terminal to ask on
 */
export async function findPassphrase(
  config: Config,
  random: Random,
  hasKeyring: boolean,
  ask: boolean,
): Promise<Passphrase> {
  if (config.passphrase !== undefined) return { text: config.passphrase, demoFile: undefined }
  if (config.passphraseFile !== undefined) return { text: readSecretFile(config.passphraseFile), demoFile: undefined }
  const demoFile = join(config.data, DEMO_PASSPHRASE_FILE)
  if (existsSync(demoFile)) return { text: readSecretFile(demoFile), demoFile }
  if (!hasKeyring && !ask) {
    const text = Array.from(random.bytes(20), (byte) => byte.toString(16).padStart(2, '0')).join('')
    const file = openSync(demoFile, 'wx', 0o600)
    try {
      writeSync(file, `${text}\n`)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    return { text, demoFile }
  }
  const text = await askHidden('Passphrase of the keyring: ')
  if (text === undefined) {
    throw new MosaikError(
      'E_KEYRING_PASSPHRASE',
      'the keyring needs its passphrase: set MOSAIK_PASSPHRASE, or MOSAIK_PASSPHRASE_FILE, or start on a terminal',
    )
  }
  if (!hasKeyring && (await askHidden('Once more: ')) !== text) {
    throw new MosaikError('E_KEYRING_PASSPHRASE', 'the two passphrases differ; nothing was made')
  }
  return { text, demoFile: undefined }
}

/**
 * The passphrase that the keyring is to have: from the file, else asked for twice on the terminal.
 *
 * @throws E_KEYRING_PASSPHRASE when the two differ, or there is no file and no terminal
 */
export async function findNewPassphrase(file: string | undefined): Promise<string> {
  if (file !== undefined) return readSecretFile(file)
  const text = await askHidden('New passphrase of the keyring: ')
  if (text === undefined) {
    throw new MosaikError(
      'E_KEYRING_PASSPHRASE',
      'the new passphrase is asked for on a terminal, and there is none: put it into a file, and its path into MOSAIK_NEW_PASSPHRASE_FILE',
    )
  }
  if ((await askHidden('Once more: ')) !== text) {
    throw new MosaikError('E_KEYRING_PASSPHRASE', 'the two passphrases differ; nothing was changed')
  }
  return text
}

/** The first and only line of a file. @throws E_KEYRING_PASSPHRASE, or `code`, when it cannot be read */
export function readSecretFile(
  path: string,
  what = 'passphrase',
  code: 'E_KEYRING_PASSPHRASE' | 'E_HSM_PIN' = 'E_KEYRING_PASSPHRASE',
): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    throw new MosaikError(code, `the ${what} file ${path} cannot be read`, {}, error)
  }
}
