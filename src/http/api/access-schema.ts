import { z } from 'zod'
import { roles } from '../../domain/roles.ts'
import { answerSchemas, idSchema, requestSchemas, timeSchema, told } from './described.ts'
import { plainFields } from './recordings-schema.ts'

const schemeSchema = z.strictObject({ k: z.int(), n: z.int(), t: z.int() })
const placementRule = told(
  z.enum(['strict', 'none']),
  'strict: no operator, parent or site may hold more than may be known or lost.',
  'strict: Kein Betreiber, keine Muttergesellschaft und kein Standort darf mehr halten, als bekannt werden oder verloren gehen darf.',
)

/** Answer of `GET /whoami`. */
export const identity = z
  .strictObject({
    token: told(idSchema, 'Id of the token, not the token.', 'Kennung des Tokens, nicht das Token.'),
    name: z.string(),
    role: z.enum(roles),
    organisation: z.strictObject({ id: idSchema, name: z.string().nullable() }),
  })
  .register(answerSchemas, { id: 'Identity' })

/** Body of `PATCH /policy`: what new recordings get. */
export const policyChange = z
  .strictObject({ scheme: schemeSchema.optional(), placementRule: placementRule.optional() })
  .register(requestSchemas, { id: 'PolicyChange' })

/** Answer of `/policy`. */
export const policy = z.strictObject({ scheme: schemeSchema, placementRule }).register(answerSchemas, { id: 'Policy' })

/** Body of `POST /organisations`. */
export const organisationRequest = z
  .strictObject({
    name: z.string().trim().min(1).max(100),
    scheme: schemeSchema.optional(),
    placementRule: placementRule.optional(),
  })
  .register(requestSchemas, { id: 'OrganisationRequest' })

/** An organisation as its administrators see it. */
export const organisationView = z
  .strictObject({
    id: idSchema,
    name: z.string(),
    createdAt: timeSchema,
    scheme: schemeSchema,
    placementRule,
    isProvider: told(
      z.boolean(),
      'The installation’s first one, which runs it.',
      'Die erste der Installation, die sie betreibt.',
    ),
  })
  .register(answerSchemas, { id: 'Organisation' })

/** Answer of `GET /organisations`. */
export const organisationList = z
  .strictObject({ organisations: z.array(organisationView) })
  .register(answerSchemas, { id: 'OrganisationList' })

const organisation = told(
  idSchema.optional(),
  "An organisation; the caller's own when left out. Another one is the provider's to name.",
  'Eine Organisation; ohne Angabe die eigene. Eine andere darf nur der Anbieter nennen.',
)

/** Query of `GET /tokens`. */
export const tokenQuery = z.strictObject({ organisation })

/** Body of `POST /tokens`. */
export const tokenRequest = z
  .strictObject({
    role: z.enum(roles),
    name: told(z.string().trim().min(1).max(100), 'What it is for.', 'Wofür es ist.'),
    organisation,
  })
  .register(requestSchemas, { id: 'TokenRequest' })

/** Answer of `POST /tokens`. */
export const createdToken = z
  .strictObject({
    id: idSchema,
    token: told(
      z.string(),
      'Shown this once; only its hash is kept.',
      'Wird nur dieses eine Mal gezeigt; aufbewahrt wird nur sein Hash.',
    ),
    role: z.enum(roles),
    organisation: idSchema,
  })
  .register(answerSchemas, { id: 'NewToken' })

/** Answer of `GET /tokens`. */
export const tokenList = z
  .strictObject({
    tokens: z.array(
      z.strictObject({
        id: idSchema,
        role: z.enum(roles),
        name: z.string(),
        createdAt: timeSchema,
        revokedAt: timeSchema.nullable(),
      }),
    ),
  })
  .register(answerSchemas, { id: 'TokenList' })

/** Query of `GET /audit`. */
export const auditQuery = z.strictObject({
  limit: told(z.coerce.number().int().min(1).max(1000).default(100), 'Newest entries.', 'Neueste Einträge.'),
})

/** Answer of `GET /audit`. */
export const auditList = z
  .strictObject({
    entries: z.array(
      z.strictObject({ at: timeSchema, kind: z.string(), subject: idSchema.nullable(), fields: plainFields }),
    ),
  })
  .register(answerSchemas, { id: 'AuditList' })
