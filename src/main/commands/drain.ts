import { z } from 'zod'
import { MosaikError } from '../../domain/errors.ts'
import type { VaultClient } from '../client.ts'
import { bytesWords, type Screen } from '../screen.ts'

const nodeList = z.object({ nodes: z.array(z.object({ id: z.string(), name: z.string() })) })
const drainView = z.object({
  name: z.string(),
  state: z.string(),
  objectsLeft: z.number(),
  bytesLeft: z.number(),
  sharesWaiting: z.number(),
  etaMs: z.number().nullable(),
})

export interface DrainOptions {
  readonly pause?: boolean | undefined
  readonly status?: boolean | undefined
}

/** `mosaik drain NODE`: empties a node while the vault runs; `--pause` stops it, `--status` tells how far it is. */
export async function drain(client: VaultClient, screen: Screen, which: string, options: DrainOptions): Promise<void> {
  const { nodes } = nodeList.parse(await client.get('operator', '/nodes'))
  const node = nodes.find(({ id, name }) => id === which || name === which)
  if (!node) throw new MosaikError('E_NODE_UNKNOWN', `there is no node ${which}; \`mosaik nodes ls\` lists them`)
  const path = `/nodes/${node.id}/drain`
  if (options.pause === true) {
    const paused = await client.delete('operator', path)
    return screen.result(`${node.name} is read-only: nothing more is moved until you drain it again`, paused)
  }
  if (options.status !== true) await client.post('operator', path)
  const view = drainView.parse(await client.get('operator', path))
  const eta = view.etaMs === null ? '' : `, about ${Math.ceil(view.etaMs / 60_000)} minutes`
  screen.result(
    `${view.name} is ${view.state}: ${view.objectsLeft} objects (${bytesWords(view.bytesLeft)}) lie there, ${view.sharesWaiting} shares wait to be moved${eta}`,
    view,
  )
}
