import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MosaikError } from '../../domain/errors.ts'
import type { Catalog } from '../../ports/catalog.ts'
import { FSCK_GRACE_MS, fsck, type FsckReport } from '../../upkeep/blind/fsck.ts'
import type { Config } from '../config.ts'
import { counted, table, type Screen } from '../screen.ts'
import { openForUpkeep } from '../upkeep-access.ts'

/**
 * `mosaik fsck`: holds the catalog against itself and against the nodes, changes nothing. Works beside a running vault.
 * @throws E_NODE_CORRUPT when a promise does not hold
 */
export async function fsckCommand(config: Config, screen: Screen): Promise<void> {
  const access = await openForUpkeep(config)
  let report: FsckReport
  try {
    const ports = {
      ...access,
      leftovers: (node: string) => unfinishedWrites(access.catalog, node, access.clock.nowMs()),
    }
    report = await fsck(ports, new AbortController().signal)
  } finally {
    await access.close()
  }
  screen.result(fsckWords(report), report)
  const broken = report.violations.filter(({ severity }) => severity === 'broken').length
  if (broken > 0) {
    throw new MosaikError('E_NODE_CORRUPT', `${broken} ${broken === 1 ? 'promise does' : 'promises do'} not hold`)
  }
}

function fsckWords({ checked, violations, unreachable }: FsckReport): string {
  const lines = [
    `looked at ${counted(checked.recordings, 'recording')} and ${counted(checked.objects, 'object')} on ${counted(checked.nodes, 'node')}`,
    ...unreachable.map(
      ({ name, code }) => `node ${name} was not looked at (${code}): nothing is said of what lies there`,
    ),
  ]
  if (violations.length === 0) return [...lines, 'nothing is broken'].join('\n')
  const rows = violations.map((one) => [one.severity, one.name, one.recording ?? '', one.object ?? '', one.detail])
  return [...lines, table(['', 'what', 'recording', 'object', ''], rows)].join('\n')
}

/** What a folder keeps of writes that ended long ago without an object; of buckets nothing is known here. */
async function unfinishedWrites(
  catalog: Pick<Catalog, 'installation'>,
  node: string,
  nowMs: number,
): Promise<readonly string[]> {
  const row = await catalog.installation.node(node)
  const path = row?.driver === 'directory' ? row.settings['path'] : undefined
  if (typeof path !== 'string') return []
  const names = await readdir(join(path, '.tmp')).catch(() => [])
  const found: string[] = []
  for (const name of names) {
    const info = await stat(join(path, '.tmp', name)).catch(() => undefined)
    if (info && nowMs - info.mtimeMs > FSCK_GRACE_MS) found.push(`.tmp/${name}`)
  }
  return found
}
