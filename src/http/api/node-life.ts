import type { NodeLife } from '../../ports/node-life.ts'
import type { Words } from './described.ts'
import {
  nodeCredentials,
  nodeProgress,
  nodeStateAnswer,
  rebalancePreview,
  rebalanceRequest,
  rebalanceView,
  reshareAllRequest,
  reshareAnswer,
  reshareProgress,
  reshareRequest,
} from './node-life-schema.ts'
import { unknownNode } from './nodes.ts'
import { operation, type Operation } from './operation.ts'
import { idOf, unknownRecording } from './parsed.ts'

const forOperators = { tag: 'nodes', roles: ['operator'], isOfProvider: true } as const

/** What becomes of nodes. What takes long goes on in the background, whichever process has the upkeep; asking again goes on with it. */
export function nodeLifeOperations({ nodes }: { readonly nodes: NodeLife }): Operation[] {
  return [...leavingOperations(nodes), ...reshareOperations(nodes), ...rebalanceOperations(nodes)]
}

function leavingOperations(nodes: NodeLife): Operation[] {
  const node = (params: Readonly<Record<string, string>>): string => idOf(params['id'], unknownNode)
  const progress = (words: Words) => ({ status: 200, says: words, json: nodeProgress }) as const
  const begun = (words: Words) => ({ status: 202, says: words, json: nodeStateAnswer }) as const
  const paused = (words: Words) => ({ status: 200, says: words, json: nodeStateAnswer }) as const
  const stateOf = async (id: string) => {
    const { state } = await nodes.progress(id)
    return { node: id, state }
  }
  const drain = { ...forOperators, path: '/nodes/{id}/drain' } as const
  const dismissal = { ...forOperators, path: '/nodes/{id}/dismissal' } as const
  return [
    operation(
      {
        ...{ id: 'getDrain', method: 'get', ...drain },
        summary: { en: 'How far a drain is', de: 'Wie weit das Leeren ist' },
        problems: ['E_NODE_UNKNOWN'],
        answer: progress({ en: 'What is left.', de: 'Was noch bleibt.' }),
      },
      async ({ params }) => await nodes.progress(node(params)),
    ),
    operation(
      {
        ...{ id: 'drainNode', method: 'post', ...drain },
        summary: {
          en: 'Empties a node in the background, or goes on',
          de: 'Leert einen Knoten im Hintergrund, oder fährt fort',
        },
        problems: ['E_NODE_UNKNOWN', 'E_CONFLICT'],
        answer: begun({ en: 'It has begun.', de: 'Es hat begonnen.' }),
      },
      async ({ params }) => {
        await nodes.drain(node(params))
        return await stateOf(node(params))
      },
    ),
    operation(
      {
        ...{ id: 'pauseDrain', method: 'delete', ...drain },
        summary: {
          en: 'Pauses a drain; the node stays read-only',
          de: 'Hält das Leeren an; der Knoten bleibt nur lesbar',
        },
        problems: ['E_NODE_UNKNOWN', 'E_CONFLICT'],
        answer: paused({ en: 'It is paused.', de: 'Es ist angehalten.' }),
      },
      async ({ params }) => {
        await nodes.pauseDrain(node(params))
        return await stateOf(node(params))
      },
    ),
    operation(
      {
        ...{ id: 'getDismissal', method: 'get', ...dismissal },
        summary: { en: 'How far a dismissal is', de: 'Wie weit eine Entlassung ist' },
        problems: ['E_NODE_UNKNOWN'],
        answer: progress({ en: 'What is left.', de: 'Was noch bleibt.' }),
      },
      async ({ params }) => await nodes.progress(node(params)),
    ),
    operation(
      {
        ...{ id: 'dismissNode', method: 'post', ...dismissal },
        summary: {
          en: 'Dismisses a node for cause, or goes on after a pause',
          de: 'Entlässt einen Knoten aus gutem Grund, oder fährt nach einer Pause fort',
        },
        about: {
          en: 'It is neither read nor written from now on. All that it ever had a share of is shared anew, so that what it knows is worthless. There is no way back.',
          de: 'Er wird von nun an weder gelesen noch beschrieben. Alles, wovon er je einen Teil hatte, wird neu aufgeteilt, so dass sein Wissen wertlos ist. Es gibt keinen Weg zurück.',
        },
        problems: ['E_NODE_UNKNOWN', 'E_CONFLICT'],
        answer: begun({ en: 'It is dismissed.', de: 'Er ist entlassen.' }),
      },
      async ({ params }) => {
        await nodes.dismiss(node(params))
        return await stateOf(node(params))
      },
    ),
    operation(
      {
        ...{ id: 'pauseDismissals', method: 'delete', ...dismissal },
        summary: {
          en: 'Pauses the new sharings for all dismissed nodes',
          de: 'Hält die neuen Aufteilungen für alle entlassenen Knoten an',
        },
        problems: ['E_NODE_UNKNOWN'],
        answer: paused({ en: 'They are paused.', de: 'Sie sind angehalten.' }),
      },
      async ({ params }) => {
        await nodes.progress(node(params))
        await nodes.pauseDismissals()
        return await stateOf(node(params))
      },
    ),
    operation(
      {
        ...{ id: 'setNodeCredentials', method: 'post', path: '/nodes/{id}/credentials', ...forOperators },
        summary: {
          en: 'Replaces the credentials of a bucket, after trying the new ones',
          de: 'Ersetzt die Zugangsdaten eines Buckets, nachdem die neuen erprobt sind',
        },
        problems: ['E_NODE_UNKNOWN', 'E_CONFLICT', 'E_NODE_REFUSED', 'E_NODE_FOREIGN', 'E_NODE_UNREACHABLE'],
        body: nodeCredentials,
        answer: { status: 204, says: { en: 'They are in use.', de: 'Sie sind in Gebrauch.' } },
      },
      async ({ params, body }) => await nodes.setCredentials(node(params), body),
    ),
    operation(
      {
        ...{ id: 'removeNode', method: 'delete', path: '/nodes/{id}', ...forOperators },
        summary: { en: 'Removes an empty node', de: 'Entfernt einen leeren Knoten' },
        problems: ['E_NODE_UNKNOWN', 'E_CONFLICT', 'E_NODE_UNREACHABLE', 'E_NODE_REFUSED'],
        answer: { status: 204, says: { en: 'It is removed.', de: 'Er ist entfernt.' } },
      },
      async ({ params }) => await nodes.remove(node(params)),
    ),
  ]
}

function reshareOperations(nodes: NodeLife): Operation[] {
  const path = '/reshare'
  return [
    operation(
      {
        ...{ id: 'reshareRecording', method: 'post', path: '/recordings/{id}/reshare', ...forOperators },
        summary: {
          en: 'A new sharing of a recording, by another scheme where one is given',
          de: 'Eine neue Aufteilung einer Aufzeichnung, nach einem anderen Schema, wenn eins angegeben ist',
        },
        problems: ['E_RECORDING_UNKNOWN', 'E_SCHEME_INVALID', 'E_NODES_TOO_FEW', 'E_PLACEMENT_RULE'],
        body: reshareRequest,
        answer: { status: 202, says: { en: 'It has begun.', de: 'Es hat begonnen.' }, json: reshareAnswer },
      },
      async ({ caller: { organisation }, params, body }) => {
        const recording = idOf(params['id'], unknownRecording)
        return { recordings: await nodes.reshare({ organisation, recording }, body?.scheme) }
      },
    ),
    operation(
      {
        ...{ id: 'reshareAll', method: 'post', path, ...forOperators },
        summary: {
          en: 'Another scheme for every recording of the organisation, or goes on after a pause',
          de: 'Ein anderes Schema für alle Aufzeichnungen der Organisation, oder fährt nach einer Pause fort',
        },
        problems: ['E_SCHEME_INVALID', 'E_NODES_TOO_FEW', 'E_PLACEMENT_RULE'],
        body: reshareAllRequest,
        answer: { status: 202, says: { en: 'It has begun.', de: 'Es hat begonnen.' }, json: reshareAnswer },
      },
      async ({ caller: { organisation }, body: { scheme } }) => {
        if (scheme) return { recordings: await nodes.reshare({ organisation }, scheme) }
        await nodes.pauseReshares(false)
        return { recordings: 0 }
      },
    ),
    operation(
      {
        ...{ id: 'getReshare', method: 'get', path, ...forOperators },
        summary: { en: 'What waits for a new sharing', de: 'Was auf eine neue Aufteilung wartet' },
        answer: { status: 200, says: { en: 'By reason.', de: 'Nach Grund.' }, json: reshareProgress },
      },
      async () => await nodes.reshareProgress(),
    ),
    operation(
      {
        ...{ id: 'pauseReshare', method: 'delete', path, ...forOperators },
        summary: {
          en: 'Pauses the new sharings that were asked for',
          de: 'Hält die neuen Aufteilungen an, um die gebeten wurde',
        },
        answer: { status: 200, says: { en: 'They are paused.', de: 'Sie sind angehalten.' }, json: reshareProgress },
      },
      async () => {
        await nodes.pauseReshares(true)
        return await nodes.reshareProgress()
      },
    ),
  ]
}

function rebalanceOperations(nodes: NodeLife): Operation[] {
  const path = '/rebalance'
  return [
    operation(
      {
        ...{ id: 'previewRebalance', method: 'get', path: '/rebalance/preview', ...forOperators },
        summary: { en: 'What a rebalance would move', de: 'Was ein Ausgleich bewegen würde' },
        answer: { status: 200, says: { en: 'From where, to where.', de: 'Woher, wohin.' }, json: rebalancePreview },
      },
      async ({ signal }) => await nodes.previewRebalance(signal),
    ),
    operation(
      {
        ...{ id: 'getRebalance', method: 'get', path, ...forOperators },
        summary: { en: 'How far the rebalance is', de: 'Wie weit der Ausgleich ist' },
        answer: { status: 200, says: { en: 'What was moved.', de: 'Was bewegt wurde.' }, json: rebalanceView },
      },
      async () => await nodes.rebalanceView(),
    ),
    operation(
      {
        ...{ id: 'rebalance', method: 'post', path, ...forOperators },
        summary: {
          en: 'Gives every node that takes writes its fair share, or goes on',
          de: 'Gibt jedem Knoten, der beschrieben wird, seinen gerechten Anteil, oder fährt fort',
        },
        body: rebalanceRequest,
        answer: { status: 202, says: { en: 'It has begun.', de: 'Es hat begonnen.' }, json: rebalanceView },
      },
      async ({ body }) => {
        await nodes.rebalance(body?.bytesPerSecond)
        return await nodes.rebalanceView()
      },
    ),
    operation(
      {
        ...{ id: 'pauseRebalance', method: 'delete', path, ...forOperators },
        summary: { en: 'Pauses the rebalance', de: 'Hält den Ausgleich an' },
        answer: { status: 200, says: { en: 'It is paused.', de: 'Er ist angehalten.' }, json: rebalanceView },
      },
      async () => {
        await nodes.pauseRebalance()
        return await nodes.rebalanceView()
      },
    ),
  ]
}
