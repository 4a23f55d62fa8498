import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { MosaikError } from '../../domain/errors.ts'
import type { VaultClient } from '../client.ts'
import { bytesWords, table, type Screen } from '../screen.ts'

const nodeView = z.object({
  id: z.string(),
  name: z.string(),
  driver: z.string(),
  state: z.string(),
  country: z.string(),
  operator: z.string(),
  parent: z.string(),
  site: z.string(),
  objectsCount: z.number(),
  bytes: z.number(),
  trouble: z.object({ code: z.string(), message: z.string() }).nullable(),
  capabilities: z.record(z.string(), z.unknown()),
})
type NodeView = z.infer<typeof nodeView>
const nodeList = z.object({ nodes: z.array(nodeView) })

export interface NodeAddOptions {
  readonly path?: string | undefined
  readonly endpoint?: string | undefined
  readonly region?: string | undefined
  readonly bucket?: string | undefined
  readonly prefix?: string | undefined
  readonly accessKey?: string | undefined
  readonly secretKeyFile?: string | undefined
  readonly country: string
  readonly operator: string
  readonly parent?: string | undefined
  readonly site: string
}

/** `mosaik nodes add NAME`: a directory with --path, a bucket with --endpoint. The secret key comes from a file or MOSAIK_SECRET_KEY, never from argv. */
export async function addNode(
  client: VaultClient,
  screen: Screen,
  name: string,
  options: NodeAddOptions,
  secretKey: string | undefined,
): Promise<void> {
  const { country, operator, site } = options
  const settings = nodeSettingsOf(options, secretKey)
  const request = { name, country, operator, parent: options.parent ?? operator, site, settings }
  const node = nodeView.parse(await client.post('operator', '/nodes', request))
  screen.result(`added ${node.name} (${node.id})\n${capabilityWords(node)}`, node)
}

function nodeSettingsOf(options: NodeAddOptions, secretKey: string | undefined): Record<string, unknown> {
  const { path, endpoint, region, bucket, prefix, accessKey } = options
  if ((path === undefined) === (endpoint === undefined)) {
    throw new MosaikError('E_INPUT', 'give either --path for a folder, or --endpoint, --region and --bucket for S3')
  }
  if (path !== undefined) return { driver: 'directory', path }
  if (accessKey === undefined) throw new MosaikError('E_INPUT', 'S3 needs --access-key')
  const secretAccessKey = secretKeyOf(options.secretKeyFile, secretKey)
  return {
    driver: 's3',
    endpoint,
    region,
    bucket,
    ...(prefix === undefined ? {} : { prefix }),
    accessKeyId: accessKey,
    secretAccessKey,
  }
}

/** The secret key of a bucket, from a file or the environment, never from argv. @throws E_INPUT */
export function secretKeyOf(path: string | undefined, fromEnvironment: string | undefined): string {
  const secret = path === undefined ? fromEnvironment : readSecret(path)
  if (secret) return secret
  throw new MosaikError('E_INPUT', 'S3 needs its secret key in --secret-key-file or MOSAIK_SECRET_KEY')
}

function readSecret(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new MosaikError('E_INPUT', `the file ${path} of the secret key cannot be read`, {}, error)
  }
}

/** `mosaik nodes ls` */
export async function listNodes(client: VaultClient, screen: Screen): Promise<void> {
  const { nodes } = nodeList.parse(await client.get('operator', '/nodes'))
  const rows = nodes.map((node) => [
    node.name,
    node.id,
    node.driver,
    node.trouble ? `${node.state}, ${node.trouble.code}` : node.state,
    node.country,
    node.operator,
    node.parent,
    node.site,
    String(node.objectsCount),
    bytesWords(node.bytes),
  ])
  const header = ['name', 'id', 'driver', 'state', 'country', 'operator', 'parent', 'site', 'objects', 'size']
  screen.result(nodes.length === 0 ? 'no nodes yet: add some with `mosaik nodes add`' : table(header, rows), { nodes })
}

/** `mosaik nodes probe NODE`, by id or name. */
export async function probeNode(client: VaultClient, screen: Screen, which: string): Promise<void> {
  const { nodes } = nodeList.parse(await client.get('operator', '/nodes'))
  const found = nodes.find((node) => node.id === which || node.name === which)
  if (!found) throw new MosaikError('E_NODE_UNKNOWN', `there is no node ${which}; \`mosaik nodes ls\` lists them`)
  const node = nodeView.parse(await client.post('operator', `/nodes/${found.id}/probe`))
  screen.result(`${node.name}\n${capabilityWords(node)}`, node)
}

function capabilityWords(node: NodeView): string {
  return Object.entries(node.capabilities)
    .map(([name, value]) => `  ${name}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join('\n')
}
