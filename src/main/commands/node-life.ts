import { z } from 'zod'
import { MosaikError } from '../../domain/errors.ts'
import type { VaultClient } from '../client.ts'
import { aboutMinutes, bytesWords, table, type Screen } from '../screen.ts'
import { parseScheme } from './policy.ts'

const nodeList = z.object({ nodes: z.array(z.object({ id: z.string(), name: z.string() })) })
const progressView = z.object({
  name: z.string(),
  state: z.string(),
  objectsLeft: z.number(),
  bytesLeft: z.number(),
  sharesWaiting: z.number(),
  sharingsExposed: z.number(),
  undeletedObjects: z.number(),
  isPaused: z.boolean(),
  etaMs: z.number().nullable(),
  waitsFor: z.string().nullable(),
})
type ProgressView = z.infer<typeof progressView>

/** The node of that id or name. @throws E_NODE_UNKNOWN */
async function find(client: VaultClient, which: string): Promise<{ readonly id: string; readonly name: string }> {
  const { nodes } = nodeList.parse(await client.get('operator', '/nodes'))
  const node = nodes.find(({ id, name }) => id === which || name === which)
  if (node) return node
  throw new MosaikError('E_NODE_UNKNOWN', `there is no node ${which}; \`mosaik nodes ls\` lists them`)
}

export interface StepOptions {
  readonly pause?: boolean | undefined
  readonly status?: boolean | undefined
}

/** `mosaik nodes drain NODE`: empties a node while the vault runs; `--pause` stops it, `--status` tells how far it is. */
export async function drain(client: VaultClient, screen: Screen, which: string, options: StepOptions): Promise<void> {
  const node = await find(client, which)
  const path = `/nodes/${node.id}/drain`
  if (options.pause === true) {
    const paused = await client.delete('operator', path)
    return screen.result(`${node.name} is read-only: nothing more is moved until you drain it again`, paused)
  }
  if (options.status !== true) await client.post('operator', path)
  const view = progressView.parse(await client.get('operator', path))
  const place = `${view.objectsLeft} objects (${bytesWords(view.bytesLeft)}) lie there`
  const words = [
    `${view.name} is ${view.state}: ${place}, ${view.sharesWaiting} shares wait to be moved${etaWords(view)}`,
  ]
  if (view.state === 'draining' && view.sharesWaiting === 0) words.push(deletionWords(view))
  screen.result([...words, ...waitWords(view)].join('\n'), view)
}

/** `mosaik nodes dismiss NODE`: for cause; `--pause` stops the new sharings of all dismissed nodes, `--status` tells how far it is. */
export async function dismiss(client: VaultClient, screen: Screen, which: string, options: StepOptions): Promise<void> {
  const node = await find(client, which)
  const path = `/nodes/${node.id}/dismissal`
  if (options.pause === true) {
    const paused = await client.delete('operator', path)
    return screen.result('nothing more is shared anew for dismissed nodes until you dismiss one again', paused)
  }
  if (options.status !== true) await client.post('operator', path)
  const view = progressView.parse(await client.get('operator', path))
  const words = [
    `${view.name} is ${view.state}: it knows a share of ${view.sharingsExposed} sharings that stand` +
      `${view.isPaused ? ', paused' : etaWords(view)}`,
    `${view.undeletedObjects} objects there are not known to be deleted: it is tried, and nothing relies on it`,
  ]
  screen.result([...words, ...waitWords(view)].join('\n'), view)
}

function etaWords({ etaMs }: Pick<ProgressView, 'etaMs'>): string {
  return etaMs === null ? '' : `, ${aboutMinutes(etaMs)}`
}

function waitWords({ waitsFor }: ProgressView): string[] {
  return waitsFor === null ? [] : [`it waits: ${waitsFor}`]
}

function deletionWords({ undeletedObjects, name }: ProgressView): string {
  return undeletedObjects === 0
    ? `it is empty: \`mosaik nodes remove ${name}\``
    : `${undeletedObjects} objects wait for their deletion, 15 minutes after they were moved`
}

export interface NodeSetOptions {
  readonly country?: string | undefined
  readonly operator?: string | undefined
  readonly parent?: string | undefined
  readonly site?: string | undefined
}

/** `mosaik nodes set NODE`, `nodes read-only NODE`, `nodes active NODE`. */
export async function setNode(
  client: VaultClient,
  screen: Screen,
  which: string,
  change: NodeSetOptions & { readonly state?: 'active' | 'read-only' },
): Promise<void> {
  if (Object.keys(change).length === 0) {
    throw new MosaikError('E_INPUT', 'say what changes: --operator, --parent, --site, --country')
  }
  const node = await find(client, which)
  const answer = await client.patch('operator', `/nodes/${node.id}`, change)
  const { state, country, operator, parent, site } = z
    .object({
      state: z.string(),
      country: z.string(),
      operator: z.string(),
      parent: z.string(),
      site: z.string(),
    })
    .parse(answer)
  const owner = `${operator} (${parent}), ${site}, ${country}`
  const after = change.state === undefined ? '; what is against the placement rule now is shared anew' : ''
  screen.result(`${node.name} is ${state}, of ${owner}${after}`, answer)
}

/** `mosaik nodes credentials NODE`. */
export async function setCredentials(
  client: VaultClient,
  screen: Screen,
  which: string,
  accessKeyId: string,
  secretAccessKey: string,
): Promise<void> {
  const node = await find(client, which)
  await client.post('operator', `/nodes/${node.id}/credentials`, { accessKeyId, secretAccessKey })
  screen.result(`${node.name} was tried with the new credentials, and is reached with them from now on`, {
    node: node.id,
  })
}

/** `mosaik nodes remove NODE`. */
export async function removeNode(client: VaultClient, screen: Screen, which: string): Promise<void> {
  const node = await find(client, which)
  await client.delete('operator', `/nodes/${node.id}`)
  screen.result(`${node.name} is removed`, { node: node.id, state: 'removed' })
}

const rebalanceView = z.object({
  state: z.string(),
  bytesPerSecond: z.number(),
  movedObjects: z.number(),
  movedBytes: z.number(),
  plannedObjects: z.number().nullable(),
  plannedBytes: z.number().nullable(),
  resharings: z.number(),
  etaMs: z.number().nullable(),
})
const previewView = z.object({
  transfers: z.array(z.object({ from: z.string(), to: z.string(), objectsCount: z.number(), bytes: z.number() })),
  objectsCount: z.number(),
  bytes: z.number(),
  resharings: z.number(),
})

/** `mosaik nodes rebalance`: `--dry-run` says what would move. */
export async function rebalance(
  client: VaultClient,
  screen: Screen,
  options: StepOptions & { readonly dryRun?: boolean; readonly bandwidth?: string },
): Promise<void> {
  if (options.dryRun === true) {
    const plan = previewView.parse(await client.get('operator', '/rebalance/preview'))
    const rows = plan.transfers.map(({ from, to, objectsCount, bytes }) => [
      ...[from, to, String(objectsCount), bytesWords(bytes)],
    ])
    const sum = `${plan.objectsCount} objects, ${bytesWords(plan.bytes)}; ${plan.resharings} of them by a new sharing`
    return screen.result(
      plan.objectsCount === 0 ? 'nothing would move' : `${table(['from', 'to', 'objects', 'size'], rows)}\n${sum}`,
      plan,
    )
  }
  if (options.pause === true) await client.delete('operator', '/rebalance')
  else if (options.status !== true) {
    const { bandwidth } = options
    await client.post(
      'operator',
      '/rebalance',
      bandwidth === undefined ? {} : { bytesPerSecond: parseBytes(bandwidth) },
    )
  }
  const view = rebalanceView.parse(await client.get('operator', '/rebalance'))
  const of = view.plannedObjects === null ? '' : ` of ${view.plannedObjects}`
  const size = `${bytesWords(view.movedBytes)}${view.plannedBytes === null ? '' : ` of ${bytesWords(view.plannedBytes)}`}`
  screen.result(
    `rebalance is ${view.state}: ${view.movedObjects}${of} objects (${size}) moved, ${view.resharings} by a new sharing, at ${bytesWords(view.bytesPerSecond)} a second${etaWords(view)}`,
    view,
  )
}

/** 10MiB, 500KiB, 1GiB, or bytes. @throws E_INPUT */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB)?$/i.exec(text.trim())
  if (!match) throw new MosaikError('E_INPUT', `${text} is not an amount of bytes, for example 10MiB`)
  const power = ['b', 'kib', 'mib', 'gib'].indexOf((match[2] ?? 'b').toLowerCase())
  return Math.round(Number(match[1]) * 1024 ** power)
}

const reshareView = z.object({
  isPaused: z.boolean(),
  waiting: z.array(z.object({ kind: z.string(), count: z.number() })),
  etaMs: z.number().nullable(),
})

/** `mosaik reshare RECORDING`, `mosaik reshare --all --scheme k,n,t`: a new sharing, by another scheme where one is given. */
export async function reshare(
  client: VaultClient,
  screen: Screen,
  recording: string | undefined,
  options: StepOptions & { readonly all?: boolean; readonly scheme?: string },
): Promise<void> {
  if (options.pause === true) await client.delete('operator', '/reshare')
  else if (options.status !== true) {
    const scheme = options.scheme === undefined ? {} : { scheme: parseScheme(options.scheme) }
    if ((recording === undefined) === (options.all !== true)) {
      throw new MosaikError('E_INPUT', 'name one recording, or give --all')
    }
    await client.post('operator', recording === undefined ? '/reshare' : `/recordings/${recording}/reshare`, scheme)
  }
  const view = reshareView.parse(await client.get('operator', '/reshare'))
  const kinds = view.waiting.map(({ kind, count }) => `${count} ${kind}`).join(', ')
  const paused = view.isPaused ? '; what was asked for is paused' : ''
  screen.result(`to be shared anew: ${kinds === '' ? 'nothing is waiting' : kinds}${etaWords(view)}${paused}`, view)
}
