import express, { type ErrorRequestHandler, type RequestHandler } from 'express'
import type { z } from 'zod'
import { MosaikError } from '../../domain/errors.ts'
import { isId, type Id } from '../../domain/ids.ts'

/** Largest body of a request that carries JSON. */
export const BODY_MAX_BYTES = 64 * 1024

/**
 * What a client sent, checked. Unknown fields are refused by name; values are never repeated, since some are secrets.
 *
 * @param what names the place in the error: "the body", "the query".
 * @throws E_INPUT naming every field that is wrong
 */
export function parsed<Schema extends z.ZodType>(schema: Schema, value: unknown, what: string): z.output<Schema> {
  const result = schema.safeParse(value, { reportInput: false })
  if (result.success) return result.data
  throw new MosaikError('E_INPUT', `${what} is not right: ${issueWords(result.error).join('; ')}`)
}

/** One sentence for each fault, with the field's name in front. */
export function issueWords(error: z.ZodError): string[] {
  return error.issues.map((issue) => {
    const path = issue.path.join('.')
    if (issue.code === 'unrecognized_keys') {
      const names = issue.keys.map((name) => JSON.stringify(name.slice(0, 60))).join(', ')
      return `${path === '' ? '' : `${path}: `}there is no field ${names}`
    }
    return path === '' ? issue.message : `${path}: ${issue.message}`
  })
}

/** An id out of a path. What is no id names nothing, so it is answered like an unknown one: by `unknown`. */
export function idOf(text: string | string[] | undefined, unknown: () => MosaikError): Id {
  if (typeof text !== 'string' || !isId(text)) throw unknown()
  return text
}

/** The recording that does not exist, or belongs to another organisation: not told which. */
export function unknownRecording(): MosaikError {
  return new MosaikError('E_RECORDING_UNKNOWN', 'there is no such recording')
}

/** Reads a JSON body into `request.body`; other media types are refused. A request without a body has `undefined` there. */
export function readJson(): readonly [RequestHandler, RequestHandler, ErrorRequestHandler] {
  return [
    (request, _response, next) => {
      const hasBody =
        request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
      if (hasBody && request.is('application/json') === false) {
        throw new MosaikError('E_CONTENT_TYPE', 'send JSON, with Content-Type: application/json')
      }
      next()
    },
    express.json({ limit: BODY_MAX_BYTES, type: 'application/json', inflate: false }),
    (error: unknown, _request, _response, next) => {
      const type = typeof error === 'object' && error !== null && 'type' in error ? error.type : undefined
      next(type === 'entity.parse.failed' ? new MosaikError('E_INPUT', 'the body is not valid JSON') : error)
    },
  ]
}
