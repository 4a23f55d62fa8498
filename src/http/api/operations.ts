import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { HealthSource } from '../../ports/health.ts'
import type { NodeOperations, NodeReport } from '../../ports/node-operations.ts'
import { drainProgress, drainState } from './nodes-schema.ts'
import { unknownNode } from './nodes.ts'
import { operation, type Operation } from './operation.ts'
import { idOf } from './parsed.ts'

/**
 * `/nodes/:id/drain`: empties a node. Its shares are computed anew onto others in the background; the node is read as long as it is there.
 * POST begins, or goes on; DELETE pauses: the node is then read-only; GET tells how far it is.
 */
export function drainOperations({
  nodes,
  health,
}: {
  readonly nodes: NodeOperations
  readonly health: HealthSource
}): Operation[] {
  const forOperators = { tag: 'nodes', roles: ['operator'], isOfProvider: true, path: '/nodes/{id}/drain' } as const

  async function find(id: string | undefined): Promise<NodeReport> {
    const wanted: Id = idOf(id, unknownNode)
    const node = (await nodes.list()).find((one) => one.id === wanted)
    if (!node) throw unknownNode()
    return node
  }

  return [
    operation(
      {
        ...{ id: 'getDrain', method: 'get', ...forOperators },
        summary: { en: 'How far a drain is', de: 'Wie weit das Leeren ist' },
        problems: ['E_NODE_UNKNOWN'],
        answer: { status: 200, says: { en: 'What is left.', de: 'Was noch bleibt.' }, json: drainProgress },
      },
      async ({ params, signal }) => {
        const { id, name, state, objectsCount, bytes } = await find(params['id'])
        const { backlog, repairEtaMs } = await health.report(signal)
        const leaving = backlog.find(({ kind }) => kind === 'leaving')?.count ?? 0
        return {
          ...{ node: id, name, state, objectsLeft: objectsCount, bytesLeft: bytes },
          ...{ sharesWaiting: leaving, etaMs: leaving === 0 ? null : repairEtaMs },
        }
      },
    ),
    operation(
      {
        ...{ id: 'drainNode', method: 'post', ...forOperators },
        summary: {
          en: 'Empties a node in the background, or goes on',
          de: 'Leert einen Knoten im Hintergrund, oder fährt fort',
        },
        problems: ['E_NODE_UNKNOWN', 'E_CONFLICT'],
        answer: { status: 202, says: { en: 'It has begun.', de: 'Es hat begonnen.' }, json: drainState },
      },
      async ({ params }) => {
        const node = await find(params['id'])
        refuse(node, ['active', 'read-only', 'draining'])
        await nodes.setState(node.id, 'draining')
        return { node: node.id, state: 'draining' as const }
      },
    ),
    operation(
      {
        ...{ id: 'pauseDrain', method: 'delete', ...forOperators },
        summary: {
          en: 'Pauses a drain; the node stays read-only',
          de: 'Hält das Leeren an; der Knoten bleibt nur lesbar',
        },
        problems: ['E_NODE_UNKNOWN', 'E_CONFLICT'],
        answer: { status: 200, says: { en: 'It is paused.', de: 'Es ist angehalten.' }, json: drainState },
      },
      async ({ params }) => {
        const node = await find(params['id'])
        refuse(node, ['draining'])
        await nodes.setState(node.id, 'read-only')
        return { node: node.id, state: 'read-only' as const }
      },
    ),
  ]
}

function refuse(node: NodeReport, from: readonly NodeReport['state'][]): void {
  if (from.includes(node.state)) return
  throw new MosaikError('E_CONFLICT', `node ${node.name} is ${node.state}`)
}
