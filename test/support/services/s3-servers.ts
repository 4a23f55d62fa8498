import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { findProgram, run } from './commands.ts'
import type { S3Key, S3Node, ServiceOptions, Starter } from './kinds.ts'

/** However slow the machine is. */
const START_MS = 15 * 60_000

const scriptPath = (name: string): string =>
  fileURLToPath(new URL(`../../../scripts/services/${name}`, import.meta.url))
const cephScript = scriptPath('ceph-rgw.sh')

const gateways = s3Starter(
  'ceph-rgw.sh',
  ['ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'ceph', 'flock'],
  'ceph-mon ceph-osd radosgw',
  ['osd.0', 'mon.a'],
  // One object store daemon listens on mon-port + 10 … + 39.
  (port, store) => [
    ...['--port', String(port), '--mon-port', String(port + 50)],
    ...(store === undefined ? [] : ['--store', store]),
  ],
)

/** Ceph RGW: every node a gateway in a zone of its own. */
export const ceph: Starter<'ceph'> = {
  ...gateways,
  start: async (folder, firstPort, options) => ({
    ...(await gateways.start(folder, firstPort, options)),
    newKey: async (index): Promise<S3Key> => {
      const key = { accessKeyId: randomBytes(8).toString('hex'), secretAccessKey: randomBytes(16).toString('hex') }
      const admin = async (...args: string[]): Promise<void> => {
        const user = ['--uid', `user${index + 1}`, '--key-type', 's3', '--access-key', key.accessKeyId]
        await run('bash', [cephScript, 'admin', folder, String(index + 1), 'key', ...args, ...user], {
          timeoutMs: START_MS,
        })
      }
      await admin('create', '--secret-key', key.secretAccessKey)
      return { ...key, withdraw: () => admin('rm') }
    },
  }),
}

/** OpenStack Swift with s3api: every node a proxy with an account of its own. */
export const swift: Starter<'swift'> = s3Starter(
  'swift-s3.sh',
  ['swift-proxy-server', 'swift-object-server', 'swift-container-server', 'swift-account-server', 'memcached', 'flock'],
  'swift-proxy swift-account swift-container swift-object memcached',
  ['object', 'container', 'account', 'memcached'],
  (port) => ['--port', String(port), '--backend-port', String(port + 50)],
)

function s3Starter(
  scriptName: string,
  programs: readonly string[],
  packages: string,
  shared: readonly string[],
  settings: (firstPort: number, store: ServiceOptions['store']) => string[],
): Starter<'swift'> {
  const script = scriptPath(scriptName)
  const call = (...args: string[]): Promise<string> => run('bash', [script, ...args], { timeoutMs: START_MS })
  return {
    missing: () => {
      const absent = programs.filter((program) => findProgram(program) === undefined)
      if (absent.length === 0) return undefined
      return `no ${absent.join(', ')}; apt-get install --no-install-recommends ${packages}`
    },
    start: async (folder, firstPort, options) => {
      const running = await call('env', folder).then(readNodes, () => [])
      const count = Math.max(options.nodes ?? 1, running.length)
      const output = await call('start', folder, '--nodes', String(count), ...settings(firstPort, options.store))
      const nodes = readNodes(output).map((settings, i): S3Node => {
        const control = async (command: string, ...more: string[]): Promise<void> => {
          await call(command, folder, String(i + 1), ...more)
        }
        return {
          ...settings,
          stop: () => control('node-stop'),
          kill: () => control('node-stop', '--kill'),
          pause: () => control('node-pause'),
          resume: () => control('node-resume'),
          start: () => control('node-start'),
        }
      })
      const backends = shared.map((name) => ({
        name,
        kill: async () => void (await call('server-kill', folder, name)),
        start: async () => void (await call('server-start', folder, name)),
      }))
      return { nodes, backends }
    },
    destroy: async (folder) => {
      await call('destroy', folder)
    },
  }
}

type NodeAccess = Pick<S3Node, 'endpoint' | 'region' | 'accessKeyId' | 'secretAccessKey'>

/** The assignments `S3_<i>_<NAME>=<value>` that a script prints. */
function readNodes(output: string): NodeAccess[] {
  const values = new Map<string, string>()
  for (const line of output.split('\n')) {
    const equals = line.indexOf('=')
    if (line.startsWith('S3_') && equals > 0) values.set(line.slice(3, equals), line.slice(equals + 1))
  }
  const nodes: NodeAccess[] = []
  for (let i = 1; values.has(`${i}_ENDPOINT`); i++) {
    const value = (name: string): string => values.get(`${i}_${name}`) ?? ''
    nodes.push({
      endpoint: value('ENDPOINT'),
      region: value('REGION'),
      accessKeyId: value('ACCESS_KEY_ID'),
      secretAccessKey: value('SECRET_ACCESS_KEY'),
    })
  }
  return nodes
}
