import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { custodyFingerprint, splitMasterKey, type NewCustody } from '../../adapters/file-keyring/custody.ts'
import { hasFileKeyring, keyringLock, relockKeyring } from '../../adapters/file-keyring/file-keyring.ts'
import { newHsmLock, withHsm } from '../../adapters/file-keyring/hsm-lock.ts'
import { nodePrimitives } from '../../adapters/node-primitives.ts'
import { nodeClock, nodeRandom } from '../../adapters/node-system.ts'
import { askProcesses, type SealAnswer, type SealRequest } from '../../adapters/seal-socket.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Config } from '../config.ts'
import { showCustodyShares } from '../custody-shares.ts'
import { findHsm } from '../hsm.ts'
import { findOpening, type Opening } from '../opening.ts'
import { table, type Screen } from '../screen.ts'
import { askHidden } from '../terminal.ts'

export interface CustodyOptions {
  readonly officers: number
  readonly threshold: number
  /** Folder for one file an officer; without, the shares are shown on the terminal. */
  readonly shareFiles?: string | undefined
}

/**
 * `mosaik keys custody`: from now on the keyring opens with shares of officers. No process of the vault may run. The shares are shown, or written,
 * before anything changes: what opened the keyring until now does so until the last step, and after a crash.
 */
export async function custodyCommand(config: Config, screen: Screen, options: CustodyOptions): Promise<void> {
  requireKeyring(config)
  const random = nodeRandom(config.entropyDevice)
  const { officers, threshold, shareFiles } = options
  const made = splitMasterKey({ primitives: nodePrimitives, random }, officers, threshold)
  const vault = custodyFingerprint(made.custody)
  const opening = await findOpening(config, random)
  const ports = { folder: config.data, clock: nodeClock, random, primitives: nodePrimitives }
  await relockKeyring({ ...ports, ...opening.with }, async () => {
    if (shareFiles === undefined) await showCustodyShares(vault, threshold, made.mnemonics)
    else writeShareFiles(shareFiles, vault, threshold, made)
    return { lock: { kdf: null, custody: made.custody }, masterKey: made.masterKey }
  })
  const lines = [
    `The keyring of vault ${vault} opens with ${threshold} of ${officers} shares from now on, and with nothing else.`,
    ...afterRelock(config, opening),
    'The vault starts sealed: officers open it with `npx mosaik keys unseal`, one after the other.',
    'Back keyring.json up again. Copies of it from before still open as before: destroy them.',
  ]
  screen.result(lines.join('\n'), { vault, officers, threshold, ...(shareFiles && { shareFiles }) })
}

/** `mosaik keys hsm`: from now on the keyring opens with the HSM of the settings. No process of the vault may run. */
export async function hsmCommand(config: Config, screen: Screen): Promise<void> {
  requireKeyring(config)
  const random = nodeRandom(config.entropyDevice)
  const hsm = await findHsm(config)
  const opening = await findOpening(config, random)
  const ports = { folder: config.data, clock: nodeClock, random, primitives: nodePrimitives }
  await relockKeyring({ ...ports, ...opening.with }, async () => {
    const fresh = await newHsmLock(hsm, ports)
    // The second answer must be the first: what differs from day to day would open nothing tomorrow.
    ;(await withHsm(hsm, nodePrimitives)(fresh.lock)).fill(0)
    return fresh
  })
  const lines = [
    `The keyring opens with the key "${config.hsmKey}" on token "${config.hsmToken ?? ''}" from now on, and with nothing else.`,
    ...afterRelock(config, opening),
    'When that key is lost, only the recovery key brings the recordings back: back the HSM up as its maker says.',
    'Back keyring.json up again. Copies of it from before still open as before: destroy them.',
  ]
  screen.result(lines.join('\n'), { token: config.hsmToken, key: config.hsmKey })
}

/** What is left of the way to open it before. */
export function afterRelock(config: Config, { demoFile }: Opening): string[] {
  if (demoFile !== undefined) {
    rmSync(demoFile, { force: true })
    return [`The demonstration's file ${demoFile} was removed.`]
  }
  const isGiven = config.passphraseFile !== undefined || config.passphrase !== undefined
  return isGiven ? ['The old passphrase opens it no more: take it out of the settings of the vault.'] : []
}

function writeShareFiles(folder: string, vault: string, threshold: number, { mnemonics }: NewCustody): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const [i, words] of mnemonics.entries()) {
    const path = join(folder, `share-${i + 1}.txt`)
    const text = `# Share ${i + 1} of ${mnemonics.length} of the keyring of Mosaik vault ${vault}; ${threshold} are needed. A secret: for its officer only.\n${words}\n`
    let file: number
    try {
      file = openSync(path, 'wx', 0o600)
    } catch (error) {
      throw new MosaikError(
        'E_INPUT',
        `the share file ${path} cannot be made: is it there already? Nothing was changed`,
        {},
        error,
      )
    }
    try {
      writeSync(file, text)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
  }
}

export interface UnsealOptions {
  readonly shareFile?: string | undefined
}

/** `mosaik keys unseal`: gives one officer's share to every sealed process of the vault on this machine. */
export async function unsealCommand(config: Config, screen: Screen, { shareFile }: UnsealOptions): Promise<void> {
  const before = await askAll(config, { ask: 'status' })
  const [sealed] = before.filter(({ status }) => status.state === 'sealed')
  if (sealed === undefined) {
    throw new MosaikError('E_CONFLICT', `no process of the vault on this machine is sealed: ${before.length} are open`)
  }
  const words = shareFile === undefined ? await askShare(sealed.status.vault) : readShareFile(shareFile)
  // Those that are open have no use for it.
  const answers = (await askAll(config, { ask: 'share', words })).filter(
    ({ error, status }) => !(error?.code === 'E_CONFLICT' && status.state === 'open'),
  )
  // A process that was started since has fewer shares than the others: the share may be news to it alone.
  const refused = answers.filter(({ error }) => error !== undefined)
  if (refused.length === answers.length && refused[0]?.error) throw refused[0].error
  tell(
    screen,
    answers.filter(({ error }) => error === undefined),
  )
}

/** `mosaik keys status`: which processes of the vault on this machine are sealed. */
export async function sealStatusCommand(config: Config, screen: Screen): Promise<void> {
  tell(screen, await askAll(config, { ask: 'status' }))
}

/** `mosaik keys seal`: every process of the vault on this machine hands its work back and forgets its keys. */
export async function sealCommand(config: Config, screen: Screen): Promise<void> {
  const answers = await askAll(config, { ask: 'seal' })
  screen.result(
    `${answers.length} ${answers.length === 1 ? 'process was' : 'processes were'} told to seal: running work is handed back, keys and shares are forgotten`,
    { processes: answers.map(({ status }) => status) },
  )
}

async function askAll(config: Config, request: SealRequest): Promise<SealAnswer[]> {
  requireKeyring(config)
  if (keyringLock(config.data).custody === undefined) {
    throw new MosaikError(
      'E_CONFLICT',
      'the keyring is not in the custody of officers: `npx mosaik keys custody --officers 5 --threshold 3` puts it there',
    )
  }
  const answers = await askProcesses(config.data, request)
  if (answers.length > 0) return answers
  throw new MosaikError(
    'E_CONFLICT',
    `no process of the vault in ${config.data} runs on this machine as this user; start it first`,
  )
}

async function askShare(vault: string): Promise<string> {
  const words = await askHidden(`Your share of vault ${vault} (33 words, not shown): `)
  if (words !== undefined) return words
  throw new MosaikError('E_INPUT', 'a share is typed on a terminal, and there is none: use --share-file FILE')
}

/** Lines that begin with # are not words. */
function readShareFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/^#.*$/gm, '')
  } catch (error) {
    throw new MosaikError('E_INPUT', `the share file ${path} cannot be read`, {}, error)
  }
}

function tell(screen: Screen, answers: readonly SealAnswer[]): void {
  const processes = answers.map(({ status }) => status)
  const rows = processes.map(({ process, pid, state, sharesGiven, sharesNeeded }) => [
    ...[process, String(pid), state],
    state === 'sealed' ? `${sharesGiven} of ${sharesNeeded}` : '',
  ])
  screen.result(`vault ${processes[0]?.vault ?? ''}\n${table(['process', 'pid', 'state', 'shares'], rows)}`, {
    processes,
  })
}

export function requireKeyring(config: Config): void {
  if (hasFileKeyring(config.data)) return
  throw new MosaikError('E_CONFIG', `there is no keyring in ${config.data}; name the vault's data folder with --data`)
}
