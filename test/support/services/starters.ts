import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { ServiceKind, Starter } from './kinds.ts'
import { postgres } from './postgres.ts'
import { redis } from './redis.ts'
import { releasePorts } from './run-folder.ts'
import { ceph, swift } from './s3-servers.ts'

/** Every kind of server that the harness can start. */
export const starters: { readonly [K in ServiceKind]: Starter<K> } = { ceph, swift, redis, postgres }

/** What the harness keeps about an instance, in `<name>.json` beside its folder. */
export interface Instance {
  readonly kind: ServiceKind
  readonly firstPort: number
}

/** Ends every service of the run in `folder` and removes the folder. */
export async function destroyAll(folder: string): Promise<void> {
  if (!existsSync(folder)) return
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  const ended = names.map(async (file) => {
    const { kind, firstPort } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Instance
    await starters[kind].destroy(join(folder, file.replace(/\.json$/, '')))
    releasePorts(firstPort)
  })
  const failed = (await Promise.allSettled(ended)).filter((result) => result.status === 'rejected')
  if (failed.length > 0)
    throw new AggregateError(
      failed.map((result) => result.reason as unknown),
      `${folder} could not be cleared`,
    )
  rmSync(folder, { recursive: true, force: true })
}
