import { z } from 'zod'
import { nodeStates } from '../../domain/node.ts'
import { answerSchemas, idSchema, requestSchemas, told } from './described.ts'

/** Body of `POST /nodes/{id}/credentials`. */
export const nodeCredentials = z
  .strictObject({
    accessKeyId: z.string().min(1).max(256),
    secretAccessKey: z.string().min(1).max(256),
  })
  .register(requestSchemas, { id: 'NodeCredentials' })

/** Answer when a drain or a dismissal was begun or paused. */
export const nodeStateAnswer = z
  .strictObject({ node: idSchema, state: z.enum(nodeStates) })
  .register(answerSchemas, { id: 'NodeState' })

/** How far a drain or a dismissal is. */
export const nodeProgress = z
  .strictObject({
    node: idSchema,
    name: z.string(),
    state: z.enum(nodeStates),
    objectsLeft: told(
      z.number(),
      'What lies there still, what waits for its deletion included.',
      'Was noch dort liegt, auch was auf sein Löschen wartet.',
    ),
    bytesLeft: z.number(),
    sharesWaiting: told(
      z.number(),
      'Shares there that count: to be made elsewhere.',
      'Teile dort, die zählen: anderswo zu bilden.',
    ),
    sharingsExposed: told(
      z.number(),
      'Sharings that stand and of which it holds or once held a share.',
      'Bestehende Aufteilungen, von denen er einen Teil hat oder hatte.',
    ),
    undeletedObjects: told(z.number(), 'Their deletion is not confirmed.', 'Ihr Löschen ist nicht bestätigt.'),
    isPaused: z.boolean(),
    etaMs: z.number().nullable(),
    waitsFor: told(z.string().nullable(), 'What has to be added first.', 'Was zuerst hinzukommen muss.'),
  })
  .register(answerSchemas, { id: 'NodeProgress' })

const scheme = z.strictObject({ k: z.int(), n: z.int(), t: z.int() })

/** Body of `POST /recordings/{id}/reshare`. */
export const reshareRequest = z.strictObject({ scheme: scheme.optional() }).optional()

/** Body of `POST /reshare`. */
export const reshareAllRequest = z.strictObject({ scheme: scheme.optional() })

export const reshareAnswer = z.strictObject({ recordings: z.number() })

export const reshareProgress = z
  .strictObject({
    isPaused: z.boolean(),
    waiting: z.array(z.strictObject({ kind: z.string(), count: z.number() })),
    etaMs: z.number().nullable(),
  })
  .register(requestSchemas, { id: 'ReshareRequest' })
  .register(answerSchemas, { id: 'ReshareProgress' })

/** Body of `POST /rebalance`. */
export const rebalanceRequest = z
  .strictObject({ bytesPerSecond: z.int().min(65_536).optional() })
  .register(requestSchemas, { id: 'RebalanceRequest' })
  .optional()

export const rebalanceView = z
  .strictObject({
    state: z.enum(['idle', 'running', 'paused']),
    bytesPerSecond: z.number(),
    startedAtMs: z.number().nullable(),
    endedAtMs: z.number().nullable(),
    movedObjects: z.number(),
    movedBytes: z.number(),
    plannedObjects: z.number().nullable(),
    plannedBytes: z.number().nullable(),
    resharings: z.number(),
    etaMs: z.number().nullable(),
  })
  .register(requestSchemas, { id: 'ReshareAllRequest' })
  .register(answerSchemas, { id: 'Rebalance' })

export const rebalancePreview = z
  .strictObject({
    transfers: z.array(
      z.strictObject({ from: z.string(), to: z.string(), objectsCount: z.number(), bytes: z.number() }),
    ),
    objectsCount: z.number(),
    bytes: z.number(),
    resharings: z.number(),
  })
  .register(answerSchemas, { id: 'ReshareAnswer' })
  .register(answerSchemas, { id: 'RebalancePreview' })
