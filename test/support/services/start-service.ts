import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ServiceKind, ServiceOptions, Services, Starter } from './kinds.ts'
import { reservePorts, runFolder, withLock } from './run-folder.ts'
import { starters, type Instance } from './starters.ts'

/** True when the programs of that server are on this machine. */
export function available(kind: ServiceKind): boolean {
  return starters[kind].missing() === undefined
}

/**
 * Starts a real server, or attaches to the one that a test of this run has started. It lives until the run ends.
 * @throws when its programs are missing or it does not start
 */
export async function service<K extends ServiceKind>(kind: K, options: ServiceOptions = {}): Promise<Services[K]> {
  const starter: Starter<K> = starters[kind]
  const missing = starter.missing()
  if (missing !== undefined) throw new Error(`${kind} cannot be started: ${missing}`)
  const run = runFolder()
  const name = `${kind}-${options.instance ?? 'shared'}`
  return withLock(run, name, async () => {
    const { firstPort } = await instanceOf(run, name, kind)
    return starter.start(join(run, name), firstPort, options)
  })
}

async function instanceOf(run: string, name: string, kind: ServiceKind): Promise<Instance> {
  const path = join(run, `${name}.json`)
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as Instance
  const instance: Instance = { kind, firstPort: await reservePorts() }
  writeFileSync(path, JSON.stringify(instance))
  return instance
}
