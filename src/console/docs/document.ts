import type { Language } from './texts.ts'

/** A schema of the document, as far as the page shows it. */
export interface Schema {
  readonly $ref?: string
  /** Several where one of them may be null (JSON Schema 2020-12). */
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly anyOf?: readonly Schema[]
  readonly additionalProperties?: boolean | Schema
  readonly description?: string
  readonly 'x-description-de'?: string
}

export interface Parameter extends Told {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required?: boolean
  readonly schema: Schema
}

type Content = Readonly<Record<string, { readonly schema?: Schema }>>

export interface Operation extends Told {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly 'x-summary-de': string
  readonly 'x-roles': readonly string[]
  readonly 'x-provider-only': boolean
  readonly parameters: readonly Parameter[]
  readonly requestBody?: { readonly required: boolean; readonly content: Content }
  readonly responses: Readonly<Record<string, Told & { readonly content?: Content }>>
}

interface Told {
  readonly description?: string
  readonly 'x-description-de'?: string
}

/** `openapi.json` of the vault. */
export interface ApiDocument {
  readonly info: Told
  readonly tags: readonly (Told & { readonly name: string })[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

/** An operation with where it is. */
export interface Place {
  readonly path: string
  readonly method: string
  readonly operation: Operation
}

export function placesOf(api: ApiDocument): Place[] {
  return Object.entries(api.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
  )
}

export function wordsOf(told: Told, language: Language): string {
  return (language === 'de' ? told['x-description-de'] : undefined) ?? told.description ?? ''
}

/** The schema that a reference names; words beside the reference stay. */
export function resolved(api: ApiDocument, schema: Schema): Schema {
  const name = schema.$ref?.split('/').at(-1)
  return name === undefined ? schema : { ...api.components.schemas[name], ...schema }
}

/** The types that a value may have, without null, and whether it may be null. */
export function typesOf({ type }: Schema): { readonly types: readonly string[]; readonly isNullable: boolean } {
  const all = [type ?? []].flat()
  const types = all.filter((one) => one !== 'null')
  return { types, isNullable: types.length < all.length }
}

/** A body to begin with: a value for each field that must be there. */
export function exampleOf(api: ApiDocument, schema: Schema): unknown {
  const shown = resolved(api, schema)
  if (shown.default !== undefined) return shown.default
  if (shown.enum !== undefined) return shown.enum[0]
  if (shown.anyOf !== undefined) return exampleOf(api, shown.anyOf[0] ?? {})
  const type = typesOf(shown).types[0]
  if (type === 'object') {
    const names = shown.required ?? []
    return Object.fromEntries(names.map((name) => [name, exampleOf(api, shown.properties?.[name] ?? {})]))
  }
  if (type === 'array') return []
  return type === 'number' || type === 'integer' ? 0 : type === 'boolean' ? false : ''
}
