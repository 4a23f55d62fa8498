import { Router } from 'express'
import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { HealthSource } from '../../ports/health.ts'
import type { NodeOperations, NodeReport } from '../../ports/node-operations.ts'
import { sendJson } from '../headers.ts'
import { allow } from './authenticate.ts'
import { idOf, parsed } from './parsed.ts'
import { nothing } from './recordings-schema.ts'

/**
 * `/nodes/:id/drain`: empties a node. Its shares are computed anew onto others in the background; the node is read as long as it is there.
 * POST begins, or goes on; DELETE pauses: the node is then read-only; GET tells how far it is.
 */
export function drainRoutes({
  nodes,
  health,
}: {
  readonly nodes: NodeOperations
  readonly health: HealthSource
}): Router {
  const router = Router({ caseSensitive: true })
  router.use('/nodes/:id/drain', allow('operator'))

  router.get('/nodes/:id/drain', async (request, response) => {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    sendJson(response, 200, await progress(await find(request.params['id']), gone.signal))
  })

  router.post('/nodes/:id/drain', async (request, response) => {
    parsed(nothing, request.body, 'the body')
    const node = await find(request.params['id'])
    refuse(node, ['active', 'read-only', 'draining'])
    await nodes.setState(node.id, 'draining')
    sendJson(response, 202, { node: node.id, state: 'draining' })
  })

  router.delete('/nodes/:id/drain', async (request, response) => {
    const node = await find(request.params['id'])
    refuse(node, ['draining'])
    await nodes.setState(node.id, 'read-only')
    sendJson(response, 200, { node: node.id, state: 'read-only' })
  })

  async function find(id: string | undefined): Promise<NodeReport> {
    const wanted: Id = idOf(id, unknownNode)
    const node = (await nodes.list()).find((one) => one.id === wanted)
    if (!node) throw unknownNode()
    return node
  }

  async function progress({ id, name, state, objectsCount, bytes }: NodeReport, signal: AbortSignal) {
    const { backlog, repairEtaMs } = await health.report(signal)
    const leaving = backlog.find(({ kind }) => kind === 'leaving')?.count ?? 0
    return {
      node: id,
      name,
      state,
      /** What lies there still, what waits for its deletion included. */
      ...{ objectsLeft: objectsCount, bytesLeft: bytes },
      /** Shares of all draining nodes that have not been moved yet. */
      sharesWaiting: leaving,
      etaMs: leaving === 0 ? null : repairEtaMs,
    }
  }
  return router
}

function refuse(node: NodeReport, from: readonly NodeReport['state'][]): void {
  if (from.includes(node.state)) return
  throw new MosaikError('E_CONFLICT', `node ${node.name} is ${node.state}`)
}

function unknownNode(): MosaikError {
  return new MosaikError('E_NODE_UNKNOWN', 'there is no such node')
}
