import { readFileSync } from 'node:fs'
import { nodeClock, nodeRandom } from '../../adapters/node-system.ts'
import { createNodeDriver } from '../../adapters/open-store.ts'
import { MosaikError } from '../../domain/errors.ts'
import type { Config } from '../config.ts'
import { claimDataFolder } from '../data-folder.ts'
import { openLog } from '../log.ts'
import { findOpening } from '../opening.ts'
import { counted, type Screen } from '../screen.ts'
import { openForUpkeep } from '../upkeep-access.ts'
import { rebuildVault, type RebuildResult } from '../upkeep-rebuild.ts'
import { mkdirSync } from 'node:fs'

export interface RebuildOptions {
  readonly recoveryKeyFile?: string | undefined
  readonly node?: readonly string[] | undefined
  readonly release?: boolean | undefined
  readonly merge?: boolean | undefined
}

/**
 * `mosaik rebuild`: a working vault in an empty data folder, from the nodes and the recovery key, or the keyring that lies there; `--merge`
 * brings a catalog from a backup up to the nodes; `--release` lets deletions go on.
 */
export async function rebuildCommand(config: Config, screen: Screen, options: RebuildOptions): Promise<void> {
  if (options.release === true) return await release(config, screen)
  const recoveryKey = options.recoveryKeyFile === undefined ? undefined : readKey(options.recoveryKeyFile)
  mkdirSync(config.data, { recursive: true, mode: 0o700 })
  const unlock = claimDataFolder(config)
  const log = openLog(config, nodeClock)
  try {
    const random = nodeRandom(config.entropyDevice)
    const opening = await findOpening(config, random)
    const result = await rebuildVault(
      {
        ...{
          config,
          recoveryKey,
          opening: opening.with,
          nodes: options.node ?? [],
          random,
          isMerge: options.merge === true,
          log: log.log,
        },
        driver: createNodeDriver({ clock: nodeClock, random }),
        clock: nodeClock,
      },
      new AbortController().signal,
    )
    screen.result(words(result), result)
  } finally {
    log.close()
    unlock()
  }
}

function readKey(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new MosaikError('E_INPUT', `the file ${path} of the recovery key cannot be read`, {}, error)
  }
}

async function release(config: Config, screen: Screen): Promise<void> {
  const access = await openForUpkeep(config)
  try {
    await access.catalog.upkeep.setFlag('deletions-frozen', false, access.clock.nowMs())
  } finally {
    await access.close()
  }
  screen.result('deletions go on: what was superseded or given up is collected from now on', { released: true })
}

function words(result: RebuildResult): string {
  const lines = [
    `rebuilt organisation ${result.organisation}, epoch ${result.epoch}${result.hasNewKeys ? ' (new keys: the keyring was not there)' : ''}`,
    `  ${counted(result.recordings, 'recording')}${result.newer > 0 ? `, ${result.newer} that were there in an earlier generation` : ''}${result.known > 0 ? ` and ${result.known} that were there already` : ''}, ${counted(result.fragments, 'fragment')}`,
    `  nodes: ${result.nodesFound.join(', ')}${result.nodesMissing.length > 0 ? `; not looked at: ${result.nodesMissing.join(', ')}` : ''}`,
    result.state.generation === 0
      ? '  no organisation state could be opened: revoked links, holds, policies and owners of nodes are not known'
      : `  organisation state: generation ${result.state.generation}, ${result.state.holds} holds, ${result.state.policies} policies, ${result.state.tombstones} tombstones, ${result.state.revokedLinks} revoked links, ${result.state.exposures} past exposures`,
  ]
  for (const { generation, came, needed } of result.state.incomplete) {
    lines.push(`  organisation state ${generation} is newer, but incomplete: ${came} of ${needed} shares`)
  }
  for (const { name, code, count } of result.passedOver)
    lines.push(`  node ${name}: ${count} times ${code}, passed over`)
  if (result.absent > 0) lines.push(`  ${result.absent} objects of the catalog are not there any more`)
  for (const { recording, restored, missing } of result.incomplete) {
    const newer = missing
      .map(({ generation, came, needed }) => `${generation} (${came} of ${needed} shares)`)
      .join(', ')
    lines.push(`  recording ${recording}: generation ${restored}; newer, but incomplete: ${newer}`)
  }
  const list = (what: string, ids: readonly string[]): void => {
    if (ids.length > 0) lines.push(`  ${what}: ${ids.join(', ')}`)
  }
  list('cannot be read with these nodes', result.unreadable)
  list('generation before does not fit', result.brokenChains)
  list('decided to be erased, not restored', result.tombstoned)
  if (result.unnamedFragments > 0) {
    lines.push(`  ${result.unnamedFragments} fragments that no restored manifest names were left where they are`)
  }
  lines.push('Nothing is deleted until `npx mosaik rebuild --release`. Start the vault with `npm start`.')
  return lines.join('\n')
}
