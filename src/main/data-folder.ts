import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { MosaikError } from '../domain/errors.ts'
import { RUN_FILE, runFile } from './client.ts'
import type { Config } from './config.ts'

const LOCK_FILE = 'mosaik.lock'

/**
 * Makes this process the only vault on the data folder; the answer gives it back. A lock of a process that is gone is taken over.
 * @throws E_CONFIG when another vault runs on it
 */
export function claimDataFolder(config: Config): () => void {
  const path = join(config.data, LOCK_FILE)
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const file = openSync(path, 'wx', 0o600)
      writeSync(file, String(process.pid))
      closeSync(file)
      return () => rmSync(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
        throw new MosaikError('E_CONFIG', `the data folder ${config.data} cannot be written`, {}, error)
      }
      const pid = Number(readFileSync(path, 'utf8'))
      if (isVault(pid)) {
        throw new MosaikError(
          'E_CONFIG',
          `a vault runs on ${config.data} already (process ${pid}); stop it, or give another folder with --data`,
          { pid },
        )
      }
      rmSync(path, { force: true })
    }
  }
  throw new MosaikError('E_CONFIG', `another process is starting a vault on ${config.data}`)
}

/** A process id may have been given to something else since: only one of ours counts. */
function isVault(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('main/cli.ts')
  } catch {
    return true
  }
}

/** Leaves address and tokens for clients of this user on this machine; mode 0600, replaced whole. */
export function writeRunFile(
  config: Config,
  url: string,
  tokens: { readonly host: string; readonly operator: string; readonly admin: string },
): void {
  const path = join(config.data, RUN_FILE)
  const part = `${path}.part`
  rmSync(part, { force: true })
  const file = openSync(part, 'wx', 0o600)
  try {
    writeSync(file, JSON.stringify(runFile.parse({ pid: process.pid, url, tokens })))
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(part, path)
}

export function forgetRunFile(config: Config): void {
  rmSync(join(config.data, RUN_FILE), { force: true })
}
