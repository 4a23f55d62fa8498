import {
  resolved,
  typesOf,
  wordsOf,
  type ApiDocument,
  type Operation,
  type Parameter,
  type Schema,
} from './document.ts'
import { element, withCode } from './elements.ts'
import { texts, type Language, type Texts } from './texts.ts'

/** What an operation takes and gives, for reading. */
export function describeOperation(api: ApiDocument, operation: Operation, language: Language): HTMLElement[] {
  const words = texts[language]
  const parts: HTMLElement[] = []
  const about = wordsOf(operation, language)
  if (about !== '') parts.push(element('p', {}, ...withCode(about)))
  parts.push(rolesOf(operation, words))
  if (operation.parameters.length > 0) {
    const rows = operation.parameters.map((parameter) => parameterRow(api, parameter, language))
    parts.push(element('h4', {}, words.parameters), element('ul', { class: 'fields' }, ...rows))
  }
  for (const [mediaType, { schema }] of Object.entries(operation.requestBody?.content ?? {})) {
    parts.push(element('h4', {}, `${words.body} `, element('code', {}, mediaType)))
    if (schema !== undefined) parts.push(...fieldsOf(api, schema, language))
  }
  parts.push(element('h4', {}, words.answers))
  const answers = Object.entries(operation.responses).map(([status, answer]) => {
    const schema = Object.values(answer.content ?? {})[0]?.schema
    const told = element('span', {}, ...withCode(wordsOf(answer, language)))
    const line = [element('code', { class: Number(status) < 400 ? 'good' : 'bad' }, status), ' ', told]
    const isOk = Number(status) < 400
    return element('li', {}, ...line, ...(isOk && schema !== undefined ? fieldsOf(api, schema, language) : []))
  })
  parts.push(element('ul', { class: 'answers' }, ...answers))
  return parts
}

function rolesOf(operation: Operation, words: Texts): HTMLElement {
  const roles = operation['x-roles'].map((role) => element('code', { class: 'role' }, role))
  const provider = operation['x-provider-only'] ? [` ${words.provider}`] : []
  return element('p', { class: 'roles' }, `${words.roles} `, ...roles.flatMap((role) => [role, ' ']), ...provider)
}

function parameterRow(api: ApiDocument, parameter: Parameter, language: Language): HTMLElement {
  const isOptional = parameter.required !== true
  const told = { ...parameter.schema, ...definedWords(parameter) }
  return fieldRow(api, `${parameter.name}`, told, isOptional, language, ` ${parameter.in}`)
}

function definedWords({ description, 'x-description-de': german }: Parameter): Partial<Schema> {
  return description === undefined
    ? {}
    : { description, ...(german === undefined ? {} : { 'x-description-de': german }) }
}

/** The fields of an object, or of the objects in a list; nothing for anything else. */
function fieldsOf(api: ApiDocument, schema: Schema, language: Language): HTMLElement[] {
  const shown = insideOf(api, schema)
  const properties = Object.entries(shown.properties ?? {})
  if (properties.length === 0) return []
  const required = new Set(shown.required)
  const rows = properties.map(([name, field]) => fieldRow(api, name, field, !required.has(name), language))
  return [element('ul', { class: 'fields' }, ...rows)]
}

/** The object that a reader cares for: behind references, lists and "or null". */
function insideOf(api: ApiDocument, schema: Schema): Schema {
  const shown = resolved(api, schema)
  if (shown.items !== undefined) return insideOf(api, shown.items)
  const real = shown.anyOf?.filter(({ type }) => type !== 'null')
  return real?.length === 1 ? insideOf(api, real[0] ?? {}) : shown
}

function fieldRow(
  api: ApiDocument,
  name: string,
  schema: Schema,
  isOptional: boolean,
  language: Language,
  where = '',
): HTMLElement {
  const words = texts[language]
  const told = wordsOf(resolved(api, schema), language) || wordsOf(insideOf(api, schema), language)
  const kind = `${typeOf(api, schema, words)}${isOptional ? `, ${words.optional}` : ''}${where}`
  const line = [element('code', {}, name), ' ', element('span', { class: 'kind' }, kind)]
  const says = told === '' ? [] : [element('span', { class: 'says' }, ...withCode(told))]
  return element('li', {}, ...line, ...says, ...fieldsOf(api, schema, language))
}

function typeOf(api: ApiDocument, schema: Schema, words: Texts): string {
  const shown = resolved(api, schema)
  if (shown.enum !== undefined) return shown.enum.length > 20 ? 'string' : shown.enum.map(String).join(' | ')
  if (shown.const !== undefined) return JSON.stringify(shown.const)
  if (shown.anyOf !== undefined) {
    const real = shown.anyOf.filter(({ type }) => type !== 'null').map((one) => typeOf(api, one, words))
    return `${real.join(' | ')}${real.length < shown.anyOf.length ? ` ${words.orNull}` : ''}`
  }
  if (shown.items !== undefined) return `${words.list} ${typeOf(api, shown.items, words)}`
  const more = shown.additionalProperties
  if (typeof more === 'object' && shown.properties === undefined) return `${words.map} ${typeOf(api, more, words)}`
  const { types, isNullable } = typesOf(shown)
  return `${types.join(' | ') || words.anything}${isNullable ? ` ${words.orNull}` : ''}`
}
