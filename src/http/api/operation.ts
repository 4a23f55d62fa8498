import type { Request, RequestHandler, Response } from 'express'
import type { z } from 'zod'
import { MosaikError, type ErrorCode } from '../../domain/errors.ts'
import type { Role } from '../../domain/roles.ts'
import { sendJson } from '../headers.ts'
import { callerOf, endWithToken, type Caller } from './authenticate.ts'
import { nothing, type Words } from './described.ts'
import { parsed } from './parsed.ts'

export const methods = ['get', 'head', 'post', 'patch', 'delete'] as const
export type Method = (typeof methods)[number]

/** Chapters of the document. */
export const tags = ['recordings', 'links', 'uploads', 'work', 'nodes', 'access'] as const
export type Tag = (typeof tags)[number]

/** What an operation gives when it goes well. */
export type Answer<Schema extends z.ZodType = z.ZodType> =
  | { readonly status: 200 | 201 | 202; readonly says: Words; readonly json: Schema }
  /** Without a body: what there is to say stands in headers. */
  | { readonly status: 200 | 201 | 204; readonly says: Words }
  /** `bytes`: a media type. Ranged ones are answered with 206 and 416 too. */
  | { readonly status: 200; readonly says: Words; readonly bytes: string; readonly isRanged: boolean }

/** A header of requests or answers. */
export interface HeaderDescription {
  readonly name: string
  readonly says: Words
  readonly isRequired?: boolean
}

/** One operation of the API as the document tells it: where, for whom, what goes in and what comes out. */
export interface Description<
  Query extends z.ZodObject = z.ZodObject,
  Body extends z.ZodType = z.ZodType,
  Schema extends z.ZodType = z.ZodType,
> {
  /** Unique; programs that are made from the document name their functions by it. */
  readonly id: string
  readonly method: Method
  /** Below `/api/v1`, as OpenAPI writes it: `/recordings/{id}`. What stands in braces is an id. */
  readonly path: `/${string}`
  readonly tag: Tag
  readonly summary: Words
  readonly about?: Words
  /** Who may; all others get 403. */
  readonly roles: readonly Role[]
  /** Only of the provider's organisation, the installation's first: what is done there concerns all. */
  readonly isOfProvider?: boolean
  readonly query?: Query
  readonly body?: Body
  /** The body is not JSON but bytes of this media type. */
  readonly bodyBytes?: string
  readonly requestHeaders?: readonly HeaderDescription[]
  readonly answerHeaders?: readonly HeaderDescription[]
  readonly answer: Answer<Schema>
  /** Codes beyond those that every operation may answer with. */
  readonly problems?: readonly ErrorCode[]
}

/** One call, its query and body checked. */
export interface ApiCall<Query = unknown, Body = unknown> {
  readonly caller: Caller
  /** As the path has them; whether they name something is the operation's to find out. */
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: Body
  /** Aborted when the client has left. */
  readonly signal: AbortSignal
}

/** An operation that is served. */
export interface Operation extends Description {
  readonly handle: RequestHandler
}

/** A value with everything in it read-only: what an operation gives may be somebody else's. */
type Given<T> = T extends readonly (infer Item)[]
  ? readonly Given<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Given<T[Key]> }
    : T

/** An operation whose answer is JSON, checked on its way out: nothing leaves that the document does not tell; or 204. */
export function operation<Schema extends z.ZodType, Query extends z.ZodObject, Body extends z.ZodType>(
  description: Description<Query, Body, Schema>,
  run: (call: ApiCall<z.output<Query>, z.output<Body>>) => Promise<Given<z.input<Schema>> | void>,
): Operation {
  return {
    ...description,
    async handle(request, response) {
      const given = await run(callOf(description, request, response))
      const { answer } = description
      if ('json' in answer) {
        sendJson(response, answer.status, told(description, answer.json, given))
      } else {
        response.statusCode = answer.status
        response.end()
      }
    },
  }
}

/** An operation that sends bytes itself, as long as its token is good. */
export function streamed<Query extends z.ZodObject>(
  description: Description<Query>,
  send: (call: ApiCall<z.output<Query>>, request: Request, response: Response) => Promise<void>,
): Operation {
  return {
    ...description,
    async handle(request, response) {
      const call = callOf(description, request, response)
      endWithToken(request)
      await send(call, request, response)
    },
  }
}

function callOf<Query extends z.ZodObject, Body extends z.ZodType>(
  { query, body }: Description<Query, Body>,
  request: Request,
  response: Response,
): ApiCall<z.output<Query>, z.output<Body>> {
  const gone = new AbortController()
  response.once('close', () => gone.abort(new MosaikError('E_ABORTED', 'the client left')))
  return {
    caller: callerOf(request),
    params: request.params as Record<string, string>,
    query: parsed(query ?? nothing, request.query, 'the query') as z.output<Query>,
    body: parsed(body ?? nothing.optional(), request.body, 'the body') as z.output<Body>,
    signal: gone.signal,
  }
}

/** @throws E_INTERNAL naming the fields, never a value */
function told(description: Description, schema: z.ZodType, given: unknown): unknown {
  const result = schema.safeParse(given, { reportInput: false })
  if (result.success) return result.data
  throw new MosaikError('E_INTERNAL', 'the answer is not what the document says', {
    operation: description.id,
    fields: result.error.issues.map(({ path, code }) => `${path.join('.')}: ${code}`),
  })
}
