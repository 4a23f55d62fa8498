import type { z } from 'zod'
import { MosaikError } from '../../domain/errors.ts'
import type { HealthReport, HealthSource } from '../../ports/health.ts'
import type { NodeOperations, NodeReport } from '../../ports/node-operations.ts'
import { healthReport, nodeChange, nodeList, nodeReport, nodeRequest } from './nodes-schema.ts'
import { operation, type Operation } from './operation.ts'
import { idOf } from './parsed.ts'

/** `/nodes`: what operators of the provider do with nodes while the vault runs. */
export function nodeOperations({
  nodes,
  health,
}: {
  readonly nodes: NodeOperations
  readonly health: HealthSource
}): Operation[] {
  const forOperators = { tag: 'nodes', roles: ['operator'], isOfProvider: true } as const
  return [
    operation(
      {
        ...{ id: 'listNodes', method: 'get', path: '/nodes', ...forOperators },
        summary: { en: 'Lists the storage nodes', de: 'Listet die Speicherknoten' },
        answer: { status: 200, says: { en: 'The nodes.', de: 'Die Knoten.' }, json: nodeList },
      },
      async () => ({ nodes: (await nodes.list()).map(reportOf) }),
    ),
    operation(
      {
        ...{ id: 'addNode', method: 'post', path: '/nodes', ...forOperators },
        summary: { en: 'Probes a store and adds it', de: 'Prüft einen Speicher und nimmt ihn auf' },
        problems: ['E_NODE_UNSUITABLE', 'E_NODE_FOREIGN', 'E_NODE_UNREACHABLE', 'E_NODE_REFUSED', 'E_CONFLICT'],
        body: nodeRequest,
        answer: {
          status: 201,
          says: { en: 'The node.', de: 'Der Knoten.' },
          json: nodeReport satisfies z.ZodType<NodeReport>,
        },
      },
      async ({ body }) => reportOf(await nodes.add(body)),
    ),
    operation(
      {
        ...{ id: 'getHealth', method: 'get', path: '/nodes/health', ...forOperators },
        summary: {
          en: 'How the vault is, and what would be lost if somebody vanished',
          de: 'Wie es dem Tresor geht, und was verloren wäre, wenn jemand verschwände',
        },
        answer: {
          status: 200,
          says: { en: 'The report.', de: 'Der Bericht.' },
          json: healthReport satisfies z.ZodType<HealthReport>,
        },
      },
      ({ signal }) => health.report(signal),
    ),
    operation(
      {
        ...{ id: 'probeNode', method: 'post', path: '/nodes/{id}/probe', ...forOperators },
        summary: { en: 'Tries again what a node can do', de: 'Prüft noch einmal, was ein Knoten kann' },
        problems: ['E_NODE_UNKNOWN', 'E_NODE_UNREACHABLE', 'E_NODE_REFUSED'],
        answer: { status: 200, says: { en: 'The node.', de: 'Der Knoten.' }, json: nodeReport },
      },
      async ({ params }) => reportOf(await nodes.probe(idOf(params['id'], unknownNode))),
    ),
    operation(
      {
        ...{ id: 'changeNode', method: 'patch', path: '/nodes/{id}', ...forOperators },
        summary: {
          en: 'Opens a node for writing, or closes it; says who owns it now',
          de: 'Öffnet einen Knoten zum Schreiben oder schließt ihn; sagt, wem er jetzt gehört',
        },
        about: {
          en: 'What is against the placement rule then, past owners counted, is shared anew in the background.',
          de: 'Was danach gegen die Verteilregel ist, frühere Eigentümer mitgezählt, wird im Hintergrund neu aufgeteilt.',
        },
        problems: ['E_NODE_UNKNOWN', 'E_CONFLICT'],
        body: nodeChange,
        answer: { status: 200, says: { en: 'The node.', de: 'Der Knoten.' }, json: nodeReport },
      },
      async ({ params, body }) => {
        const id = idOf(params['id'], unknownNode)
        await nodes.change(id, body)
        const changed = (await nodes.list()).find((node) => node.id === id)
        if (!changed) throw unknownNode()
        return reportOf(changed)
      },
    ),
  ]
}

/** The node that does not exist. */
export function unknownNode(): MosaikError {
  return new MosaikError('E_NODE_UNKNOWN', 'there is no such node')
}

function reportOf(node: NodeReport): NodeReport {
  const { id, name, driver, state, country, operator, parent, site } = node
  const { settings, capabilities, objectsCount, bytes, trouble } = node
  return {
    ...{ id, name, driver, state, country, operator, parent, site },
    ...{ settings, capabilities, objectsCount, bytes, trouble },
  }
}
