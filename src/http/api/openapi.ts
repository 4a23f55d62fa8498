import { z } from 'zod'
import { errorCodes, type ErrorCode } from '../../domain/errors.ts'
import { statusOf } from '../problem.ts'
import { answerSchemas, idSchema, requestSchemas, type Words } from './described.ts'
import { tags, type Description, type HeaderDescription } from './operation.ts'

type Json = Readonly<Record<string, unknown>>

const PROBLEM = 'application/problem+json'
/** What every call may be answered with. */
const EVERYWHERE: readonly ErrorCode[] = ['E_UNAUTHORIZED', 'E_RATE_LIMIT', 'E_INTERNAL']

/** Body of an error answer. */
export const problemSchema = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]).meta({
      description: 'Stable: never renamed, never reused.',
      'x-description-de': 'Fest: wird nie umbenannt und nie neu vergeben.',
    }),
    detail: z.string(),
    retry: z.enum(['never', 'later', 'elsewhere']).meta({
      description: 'Whether asking again can help.',
      'x-description-de': 'Ob es hilft, noch einmal zu fragen.',
    }),
    missingNodesCount: z.int().optional(),
  })
  .register(answerSchemas, { id: 'Problem' })

const tagWords: Readonly<Record<(typeof tags)[number], Words>> = {
  recordings: { en: 'Recordings', de: 'Aufzeichnungen' },
  links: { en: 'Links for viewers', de: 'Links für Zuschauer' },
  uploads: { en: 'Uploads', de: 'Hochladen' },
  work: { en: 'Work', de: 'Arbeit' },
  nodes: { en: 'Nodes and placement', de: 'Knoten und Verteilung' },
  access: { en: 'Access', de: 'Zugang' },
}

const about: Words = {
  en: 'Every call carries a token: `Authorization: Bearer …`. A token has a role and belongs to an organisation; what belongs to others does not exist for it. Errors are problem documents (RFC 9457) with stable codes; those of status 429, 503 and some of 409 say with `Retry-After` when to come back. `npx mosaik token` makes tokens.',
  de: 'Jeder Aufruf trägt ein Token: `Authorization: Bearer …`. Ein Token hat eine Rolle und gehört zu einer Organisation; was anderen gehört, gibt es für es nicht. Fehler sind Problemdokumente (RFC 9457) mit festen Codes; die mit Status 429, 503 und manche mit 409 sagen mit `Retry-After`, wann es sich wieder lohnt. `npx mosaik token` macht Token.',
}

/**
 * The OpenAPI 3.1 document of these operations. Their schemas are those that requests and answers are checked by.
 *
 * @param serverUrl where `/api/v1` is reached.
 */
export function openApiDocument(operations: readonly Description[], serverUrl: string): Json {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const operation of operations) {
    const path = (paths[operation.path] ??= {})
    path[operation.method] = operationOf(operation)
  }
  return {
    openapi: '3.1.0',
    info: {
      ...{ title: 'Mosaik', version: '1', license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      ...inBoth(about),
    },
    servers: [{ url: serverUrl }],
    security: [{ token: [] }],
    tags: tags.map((name) => ({ name, ...inBoth(tagWords[name]) })),
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { ...componentsOf(requestSchemas, 'input'), ...componentsOf(answerSchemas, 'output') },
    },
  }
}

function operationOf(operation: Description): Json {
  const { id, tag, summary, about: more, roles, isOfProvider = false, body, bodyBytes, answer } = operation
  return {
    operationId: id,
    tags: [tag],
    summary: summary.en,
    'x-summary-de': summary.de,
    ...(more === undefined ? {} : inBoth(more)),
    'x-roles': roles,
    'x-provider-only': isOfProvider,
    parameters: [...pathParameters(operation.path), ...queryParameters(operation), ...headerParameters(operation)],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: !body.safeParse(undefined).success,
            content: { 'application/json': { schema: schemaOf(body, 'input') } },
          },
        }),
    ...(bodyBytes === undefined ? {} : { requestBody: { required: true, content: { [bodyBytes]: {} } } }),
    responses: {
      ...successOf(operation),
      ...('isRanged' in answer && answer.isRanged
        ? {
            206: { ...successOf(operation)[200], ...inBoth({ en: 'A part of it.', de: 'Ein Teil davon.' }) },
          }
        : {}),
      ...problemsOf(operation),
    },
  }
}

function successOf({ answer, answerHeaders = [] }: Description): Record<number, Json> {
  const content =
    'json' in answer
      ? { content: { 'application/json': { schema: schemaOf(answer.json, 'output') } } }
      : 'bytes' in answer
        ? { content: { [answer.bytes]: {} } }
        : {}
  const headers = answerHeaders.length === 0 ? {} : { headers: headersOf(answerHeaders) }
  return { [answer.status]: { ...inBoth(answer.says), ...content, ...headers } }
}

/** Every status with the codes that come with it. */
function problemsOf({ answer, body, query, path, roles, isOfProvider = false, problems = [] }: Description): Json {
  const codes = new Set<ErrorCode>([...EVERYWHERE, ...problems])
  if (roles.length < 5 || isOfProvider) codes.add('E_FORBIDDEN')
  if (body !== undefined) for (const code of ['E_INPUT', 'E_TOO_LARGE', 'E_CONTENT_TYPE'] as const) codes.add(code)
  if (query !== undefined || path.includes('{')) codes.add('E_INPUT')
  if ('isRanged' in answer && answer.isRanged) codes.add('E_OBJECT_RANGE')
  const byStatus = Map.groupBy([...codes].sort(), statusOf)
  return Object.fromEntries(
    [...byStatus].map(([status, each]) => [
      status,
      {
        description: each.join(', '),
        content: { [PROBLEM]: { schema: { $ref: '#/components/schemas/Problem' } } },
      },
    ]),
  )
}

function pathParameters(path: string): Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    ...{ name, in: 'path', required: true, schema: schemaOf(idSchema, 'input') },
  }))
}

function queryParameters({ query }: Description): Json[] {
  return Object.entries(query?.shape ?? {}).map(([name, schema]) => {
    const { description, 'x-description-de': german, ...json } = schemaOf(schema as z.ZodType, 'output')
    const words = description === undefined ? {} : { description, 'x-description-de': german }
    return { name, in: 'query', ...words, schema: json }
  })
}

function headerParameters({ requestHeaders = [] }: Description): Json[] {
  return requestHeaders.map(({ name, says, isRequired = false }) => ({
    ...{ name, in: 'header', required: isRequired, ...inBoth(says), schema: { type: 'string' } },
  }))
}

function headersOf(headers: readonly HeaderDescription[]): Json {
  return Object.fromEntries(
    headers.map(({ name, says, isRequired = false }) => [
      name,
      { ...inBoth(says), required: isRequired, schema: { type: 'string' } },
    ]),
  )
}

/** A reference where the schema has a name, else the schema as it stands. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const names = io === 'input' ? requestSchemas : answerSchemas
  const inner = schema instanceof z.ZodDefault ? (schema.def.innerType as z.ZodType) : schema
  const id = names.get(inner)?.id
  if (id !== undefined) return { $ref: uriOf(id) }
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' })
  return json
}

function componentsOf(registry: typeof answerSchemas, io: 'input' | 'output'): Json {
  const { schemas } = z.toJSONSchema(registry, { io, target: 'draft-2020-12', uri: uriOf })
  return Object.fromEntries(
    Object.entries(schemas)
      .sort(([one], [other]) => one.localeCompare(other))
      .map(([name, { $schema: _, $id: __, ...json }]) => [name, json]),
  )
}

const uriOf = (id: string): string => `#/components/schemas/${id}`

function inBoth({ en, de }: Words): Json {
  return { description: en, 'x-description-de': de }
}
