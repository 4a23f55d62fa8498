import { Router } from 'express'
import { MosaikError } from '../../domain/errors.ts'
import type { NodeOperations, NodeReport } from '../../ports/node-operations.ts'
import { sendJson } from '../headers.ts'
import { allow } from './authenticate.ts'
import { nodeChange, nodeRequest } from './nodes-schema.ts'
import { idOf, parsed } from './parsed.ts'
import { nothing } from './recordings-schema.ts'

/** `/nodes`: what operators do with nodes while the vault runs. */
export function nodeRoutes({ nodes }: { readonly nodes: NodeOperations }): Router {
  const router = Router({ caseSensitive: true })
  router.use('/nodes', allow('operator'))

  router.get('/nodes', async (_request, response) => {
    sendJson(response, 200, { nodes: (await nodes.list()).map(reportOf) })
  })

  router.post('/nodes', async (request, response) => {
    const added = await nodes.add(parsed(nodeRequest, request.body, 'the body'))
    sendJson(response, 201, reportOf(added))
  })

  router.post('/nodes/:id/probe', async (request, response) => {
    parsed(nothing, request.body, 'the body')
    sendJson(response, 200, reportOf(await nodes.probe(idOf(request.params['id'], unknownNode))))
  })

  router.patch('/nodes/:id', async (request, response) => {
    const { state } = parsed(nodeChange, request.body, 'the body')
    const id = idOf(request.params['id'], unknownNode)
    const present = (await nodes.list()).find((node) => node.id === id)
    if (present === undefined) throw unknownNode()
    if (present.state !== 'active' && present.state !== 'read-only') {
      throw new MosaikError('E_CONFLICT', `a node that is ${present.state} does not become ${state} again`)
    }
    await nodes.setState(id, state)
    sendJson(response, 200, reportOf({ ...present, state }))
  })
  return router
}

function unknownNode(): MosaikError {
  return new MosaikError('E_NODE_UNKNOWN', 'there is no such node')
}

/** Field by field, so that nothing more ever leaves than the schema says. */
function reportOf(node: NodeReport): NodeReport {
  const { id, name, driver, state, country, operator, parent, site } = node
  const { settings, capabilities, objectsCount, bytes, trouble } = node
  return {
    ...{ id, name, driver, state, country, operator, parent, site },
    ...{ settings, capabilities, objectsCount, bytes, trouble },
  }
}
