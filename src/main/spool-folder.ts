import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { Config } from './config.ts'

/** Names the installation whose spool a folder is; made by `mosaik setup`. Not an upload's name, so the spool leaves it alone. */
const MARKER = 'mosaik-spool'

const markerPath = (config: Config): string => join(config.data, 'spool', MARKER)

/** Makes the spool's folder the installation's. Safe to repeat. @throws E_CONFIG when it is another's */
export function markSpool(config: Config, installation: Id): void {
  mkdirSync(join(config.data, 'spool'), { recursive: true, mode: 0o700 })
  try {
    writeFileSync(markerPath(config), `${installation}\n`, { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw cannotBeUsed(config, error)
    checkSpool(config, installation)
  }
}

/**
 * A folder that is not the shared one (a volume that was not mounted) would look like an empty spool: uploads would not be found, and the
 * keys that they need destroyed. So a process of a group begins only where the marker is.
 *
 * @throws E_CONFIG
 */
export function checkSpool(config: Config, installation: Id): void {
  let found: string
  try {
    found = readFileSync(markerPath(config), 'utf8').trim()
  } catch (error) {
    throw cannotBeUsed(config, error)
  }
  if (found === installation) return
  const message = `${join(config.data, 'spool')} is the spool of installation ${found}, and this one is ${installation}`
  throw new MosaikError('E_CONFIG', message, { found, installation })
}

function cannotBeUsed(config: Config, error: unknown): MosaikError {
  const { code = 'unknown' } = error as NodeJS.ErrnoException
  const path = join(config.data, 'spool')
  const words =
    code === 'ENOENT'
      ? `${path} is not the installation's spool: mount the volume that \`mosaik setup\` saw`
      : `the spool's folder ${path} cannot be used (${code})`
  return new MosaikError('E_CONFIG', words, { cause: code }, error)
}
