import type { Catalog } from '../ports/catalog.ts'
import type { JobQueue } from '../ports/jobs.ts'
import type { NodePool } from '../ports/node-pool.ts'

/** Words for what keeps the vault from serving; empty when it is ready. Without names and addresses: anyone may read them. */
export async function readiness(ports: {
  readonly catalog: Catalog
  readonly pool: NodePool
  /** Where the process cannot do its work without. */
  readonly queue?: JobQueue | undefined
}): Promise<string[]> {
  const { catalog, pool, queue } = ports
  const troubles: string[] = []
  await catalog.ping().catch(() => troubles.push('the catalog does not answer'))
  await queue?.ping().catch(() => troubles.push('Redis does not answer'))
  const nodes = await pool.nodes().catch(() => [])
  const healthy = nodes.filter((node) => pool.isHealthy(node.id)).length
  const organisations = await catalog.installation.organisations().catch(() => [])
  const needed = Math.max(0, ...organisations.map(({ scheme }) => scheme.k))
  if (healthy < needed) troubles.push(`${healthy} nodes answer and ${needed} are needed`)
  return troubles
}
