import { rmdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { DirectoryCapabilities } from '../../ports/node-driver.ts'
import type { ObjectStore } from '../../ports/object-store.ts'
import type { Clock, Random } from '../../ports/system.ts'
import { openDirectoryStore } from '../directory-store.ts'
import { roundTrip } from '../round-trip.ts'
import { fileError } from './errors.ts'
import { TEMPORARY } from './paths.ts'

const SAMPLE_BYTES = 4096

export interface DirectoryProbeOptions {
  readonly path: string
  readonly label: string
  readonly clock: Pick<Clock, 'nowMs'>
  readonly random: Pick<Random, 'bytes'>
}

/**
 * Tries a folder as a node and leaves nothing behind. The folder has to exist; a marker need not.
 * @throws E_NODE_UNSUITABLE, E_NODE_UNREACHABLE, E_NODE_REFUSED, E_NODE_FULL
 */
export async function probeDirectory(
  options: DirectoryProbeOptions,
  signal: AbortSignal,
): Promise<DirectoryCapabilities> {
  const { path, label, clock, random } = options
  const temporary = join(path, TEMPORARY)
  const wasThere = await exists(temporary)
  const store = await openDirectoryStore({ ...options, registration: true })
  const prefix = `mosaik-probe-${Buffer.from(random.bytes(8)).toString('hex')}`
  const keys = [`${prefix}-a`, `${prefix}-b`] as const
  try {
    await roundTrip({ store, label, keys, prefix, bytes: random.bytes(SAMPLE_BYTES) }, signal)
    const [{ bavail, bsize }, { dev }] = await Promise.all([statfs(path), stat(path)])
    return { driver: 'directory', probedAtMs: clock.nowMs(), freeBytes: bavail * bsize, device: String(dev) }
  } catch (error) {
    throw fileError(error, label, 'probe')
  } finally {
    await clear(store, keys)
    // Not one that a running store writes to.
    if (!wasThere) await rmdir(temporary).catch(() => {})
  }
}

async function clear(store: ObjectStore, keys: readonly string[]): Promise<void> {
  for (const key of keys) await store.delete(key, new AbortController().signal).catch(() => {})
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
