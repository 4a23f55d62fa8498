import { expect } from 'vitest'
import { z } from 'zod'

interface JsonOperation {
  readonly operationId: string
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: JsonSchema }>> }>
  >
}
type JsonSchema = Parameters<typeof z.fromJSONSchema>[0]

/** The document as a client reads it. */
export interface JsonDocument {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, JsonOperation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, object>> }
}

/** Holds real answers to the document alone: the status is one it tells, the body is of the schema it tells. */
export class Conformance {
  readonly #document: JsonDocument
  readonly #parsers = new Map<string, z.ZodType>()
  /** Operations that were answered, with the status. */
  readonly seen = new Set<string>()

  constructor(document: unknown) {
    this.#document = JSON.parse(JSON.stringify(document)) as JsonDocument
  }

  /** @param path below `/api/v1`, with query. What the document does not name must be a problem. */
  check(
    method: string,
    path: string,
    answer: { readonly status: number; readonly headers: Headers; readonly body: unknown; readonly bytes: Buffer },
  ): void {
    const what = `${method} ${path}: ${answer.status} ${answer.bytes.toString().slice(0, 300)}`
    const operation = this.#find(method === 'HEAD' ? 'GET' : method, path)
    const mediaType = answer.headers.get('content-type')?.split(';')[0] ?? ''
    if (answer.status >= 400) {
      expect(mediaType, what).toBe('application/problem+json')
      if (method !== 'HEAD') this.#expectOf({ $ref: '#/components/schemas/Problem' }, answer.body, what)
    }
    if (operation === undefined) {
      expect(answer.status, what).toBeGreaterThanOrEqual(400)
      return
    }
    const response = operation.responses[answer.status]
    expect(response, what).toBeDefined()
    this.seen.add(`${operation.operationId} ${answer.status}`)
    if (answer.status >= 400 || method === 'HEAD') return
    const content = response?.content
    if (content === undefined) return expect(answer.bytes, what).toHaveLength(0)
    if (content['application/octet-stream'] !== undefined) return
    expect(content[mediaType]?.schema, what).toBeDefined()
    this.#expectOf(content[mediaType]!.schema!, answer.body, what)
  }

  #find(method: string, path: string): JsonOperation | undefined {
    const asked = path.split('?')[0] ?? ''
    const paths = Object.keys(this.#document.paths).filter((candidate) =>
      new RegExp(`^${candidate.replace(/\{\w+\}/g, '[^/]+')}/?$`).test(asked),
    )
    // The most literal one: /nodes/health before /nodes/{id}.
    const best = paths.sort((one, other) => one.split('{').length - other.split('{').length)[0]
    return best === undefined ? undefined : this.#document.paths[best]?.[method.toLowerCase()]
  }

  #expectOf(schema: JsonSchema, value: unknown, what: string): void {
    const key = JSON.stringify(schema)
    let parser = this.#parsers.get(key)
    if (parser === undefined) {
      const inPlace = (json: unknown): object =>
        JSON.parse(JSON.stringify(json).replaceAll('#/components/schemas/', '#/$defs/')) as object
      const whole = { ...inPlace(schema), $defs: inPlace(this.#document.components.schemas) }
      parser = z.fromJSONSchema(whole as JsonSchema)
      this.#parsers.set(key, parser)
    }
    expect(parser.safeParse(value).error?.issues ?? [], what).toEqual([])
  }
}
