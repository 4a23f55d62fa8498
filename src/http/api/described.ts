import { z } from 'zod'

/** Words of the API's document, in both of its languages. */
export interface Words {
  readonly en: string
  readonly de: string
}

/** Schemas of request bodies that the document names; others lie where they are used. */
export const requestSchemas = z.registry<{ readonly id: string }>()
/** Schemas of answers that the document names. */
export const answerSchemas = z.registry<{ readonly id: string }>()

/** A schema with the words that the document has for it. OpenAPI knows one language: the German ones are an extension. */
export function told<Schema extends z.ZodType>(schema: Schema, en: string, de: string): Schema {
  return schema.meta({ description: en, 'x-description-de': de })
}

/** 32 hexadecimal digits. */
export const idSchema = z.string().regex(/^[0-9a-f]{32}$/, 'must be 32 lower-case hexadecimal digits')

/** A moment, in UTC. */
export const timeSchema = z.iso.datetime()

/** Query or body of requests that take none. */
export const nothing = z.strictObject({})
