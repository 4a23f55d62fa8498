import { z } from 'zod'
import { findingKinds } from '../../domain/health.ts'
import { nodeStates } from '../../domain/node.ts'
import { answerSchemas, idSchema, requestSchemas, told } from './described.ts'

const ownership = {
  country: told(z.string().min(2).max(2), 'ISO 3166-1 alpha-2.', 'ISO 3166-1 alpha-2.'),
  operator: told(z.string().min(1).max(100), 'Who runs it.', 'Wer ihn betreibt.'),
  parent: told(
    z.string().min(1).max(100),
    'Company that owns the operator; the operator itself when independent.',
    'Gesellschaft, der der Betreiber gehört; er selbst, wenn er unabhängig ist.',
  ),
  site: told(z.string().min(1).max(100), 'Data centre.', 'Rechenzentrum.'),
}

/** Body of `POST /nodes`. What settings a driver takes is the driver's to say. */
export const nodeRequest = z
  .strictObject({
    name: z.string().min(1).max(64),
    ...ownership,
    settings: told(
      z.record(z.string(), z.unknown()),
      '{"driver": "directory", "path"} or {"driver": "s3", "endpoint", "region", "bucket", "prefix"?, "accessKeyId", "secretAccessKey"}.',
      '{"driver": "directory", "path"} oder {"driver": "s3", "endpoint", "region", "bucket", "prefix"?, "accessKeyId", "secretAccessKey"}.',
    ),
  })
  .register(requestSchemas, { id: 'NodeRequest' })

/** Body of `PATCH /nodes/:id`. */
export const nodeChange = z
  .strictObject({
    state: z.enum(['active', 'read-only']).optional(),
    country: ownership.country.optional(),
    operator: ownership.operator.optional(),
    parent: ownership.parent.optional(),
    site: ownership.site.optional(),
  })
  .register(requestSchemas, { id: 'NodeChange' })

const trouble = told(
  z.strictObject({ code: z.string(), message: z.string() }).nullable(),
  'Null when it answers and is ours.',
  'null, wenn er antwortet und uns gehört.',
)
const node = {
  id: idSchema,
  name: z.string(),
  driver: z.enum(['directory', 's3']),
  state: z.enum(nodeStates),
  country: z.string(),
  operator: z.string(),
  parent: z.string(),
  site: z.string(),
  capabilities: told(z.record(z.string(), z.unknown()), 'What the probe found.', 'Was die Probe herausgefunden hat.'),
  objectsCount: z.number(),
  bytes: z.number(),
  trouble,
}

/** A node as operators see it: settings without secrets. */
export const nodeReport = z
  .strictObject({
    ...node,
    settings: told(z.record(z.string(), z.unknown()), 'Without secrets.', 'Ohne Geheimnisse.'),
  })
  .register(answerSchemas, { id: 'Node' })

/** Answer of `GET /nodes`. */
export const nodeList = z.strictObject({ nodes: z.array(nodeReport) }).register(answerSchemas, { id: 'NodeList' })

const scheme = z.strictObject({ k: z.number(), n: z.number(), t: z.number() })
const moment = told(z.number().nullable(), 'Milliseconds since 1970.', 'Millisekunden seit 1970.')

/** Answer of `GET /nodes/health`. */
export const healthReport = z
  .strictObject({
    atMs: z.number(),
    nodes: z.array(
      z.strictObject({
        ...node,
        isHealthy: z.boolean(),
        freeBytes: told(z.number().nullable(), 'A bucket does not tell.', 'Ein Bucket verrät es nicht.'),
      }),
    ),
    advice: told(z.array(z.string()), 'What somebody should do something about.', 'Worum sich jemand kümmern sollte.'),
    confinement: z.string(),
    kernel: z.string(),
    isReadOnly: z.boolean(),
    areDeletionsFrozen: z.boolean(),
    backlog: told(
      z.array(z.strictObject({ kind: z.enum(findingKinds), count: z.number(), oldestAtMs: z.number() })),
      'What waits for repair.',
      'Was auf Reparatur wartet.',
    ),
    repairEtaMs: z.number().nullable(),
    scrub: z.strictObject({
      passStartedAtMs: moment,
      passEndedAtMs: moment,
      startedAtMs: moment,
      isRunning: z.boolean(),
      done: told(z.number().nullable(), 'How far it is, 0 to 1.', 'Wie weit er ist, 0 bis 1.'),
      auditedAtMs: moment,
    }),
    durability: z.strictObject({
      assumptions: z.strictObject({ annualNodeLoss: z.number(), repairDays: z.number() }),
      schemes: z.array(z.strictObject({ scheme, annualLossChance: z.number() })),
    }),
    losses: told(
      z.array(
        z.strictObject({
          what: z.enum(['node', 'operator', 'parent', 'site', 'country']),
          name: z.string(),
          nodesCount: z.number(),
          recordingsLost: z.number(),
          recordingsOnTheEdge: z.number(),
        }),
      ),
      'What would be lost if everything of one of them vanished.',
      'Was verloren wäre, wenn alles eines davon verschwände.',
    ),
    recordingsCounted: z.number(),
    isSample: z.boolean(),
  })
  .register(answerSchemas, { id: 'Health' })
