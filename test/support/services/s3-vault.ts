import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { probeNode } from '../../../src/adapters/open-store.ts'
import type { S3Settings } from '../../../src/ports/node-driver.ts'
import { makeTestVault, type TestVault, type TestVaultOptions } from '../test-vault.ts'
import { createBucket } from './buckets.ts'
import { needs } from './service.ts'
import { unfinishedUploads } from './unfinished-uploads.ts'

/** A vault whose nodes are buckets of three Ceph gateways and two Swift proxies, each of another provider. */
export interface S3Vault {
  readonly vault: TestVault
  /** In the order of the nodes; with the servers' own endpoints. */
  readonly buckets: readonly S3Settings[]
  /** Keys of a node's unfinished uploads, asked past the vault; what `fsck` is given. */
  leftovers(node: string): Promise<string[]>
}

/**
 * Says that a suite needs the S3 servers that are shared by all (nobody stops or kills those), and makes vaults on them. Buckets are the
 * vault's own, so that suites do not see each other.
 */
export function needsS3Nodes() {
  const ceph = needs('ceph', { nodes: 3 })
  const swift = needs('swift', { nodes: 2 })
  return {
    ceph: ceph.get,
    available: ceph.available && swift.available,
    define: (tests: () => void): void => swift.define(() => ceph.define(tests)),
    /**
     * @param count of buckets; from the sixth on the servers have several.
     * @param through gives the endpoint by which the vault reaches a node; the server's own without.
     */
    async makeVault(
      count: number,
      options: Omit<TestVaultOptions, 'nodes'> = {},
      through: (endpoint: string, index: number) => Promise<string> = (endpoint) => Promise.resolve(endpoint),
    ): Promise<S3Vault> {
      const servers = [...ceph.get().nodes.slice(0, 3), ...swift.get().nodes.slice(0, 2)]
      const buckets = await Promise.all(
        Array.from({ length: count }, (_, i) => createBucket(servers[i % servers.length]!, { prefix: 'vault/' })),
      )
      // One server of a kind finds out what the others do.
      const world = { clock: nodeClock, random: nodeRandom() }
      const [ofCeph, ofSwift] = await Promise.all(
        [buckets[0]!, buckets[3]!].map((settings) => probeNode(settings, world, AbortSignal.timeout(600_000))),
      )
      const endpoints = await Promise.all(buckets.map(({ endpoint }, i) => through(endpoint, i)))
      const vault = await makeTestVault({
        ...{ placementRule: 'strict', ...options },
        nodes: buckets.map((settings, i) => ({
          ...{ name: `store-${i + 1}`, operator: `Provider ${i + 1}` },
          settings: { ...settings, endpoint: endpoints[i] },
          capabilities: i % servers.length < 3 ? ofCeph! : ofSwift!,
        })),
      })
      return {
        vault,
        buckets,
        async leftovers(node) {
          const nodes = await vault.installation.nodes()
          return await unfinishedUploads(buckets[nodes.findIndex(({ id }) => id === node)]!)
        },
      }
    },
  }
}
