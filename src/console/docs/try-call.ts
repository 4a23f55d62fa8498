import { exampleOf, type ApiDocument, type Parameter, type Place } from './document.ts'
import { byId, element } from './elements.ts'
import { texts, type Language } from './texts.ts'

const FIRST_BYTES = 'bytes=0-1023'

/** A form that sends a real call with the token above; none for uploads, which want a client of tus. */
export function tryForm(api: ApiDocument, { path, method, operation }: Place, language: Language): HTMLElement[] {
  if (operation.parameters.some((parameter) => parameter.in === 'header')) return []
  const words = texts[language]
  const fields = operation.parameters.map((parameter) => field(`${operation.operationId}-${parameter.name}`, parameter))
  const body = bodyField(api, { path, method, operation }, words.body)
  const send = element('button', { type: 'submit' }, words.send)
  const hint = element('p', { class: 'hint' }, method === 'get' ? '' : words.changes)
  const shown = element('div', { class: 'answer', 'aria-live': 'polite' })
  const form = element('form', { class: 'try' }, ...fields.map(({ box }) => box), ...body.boxes, hint, send, shown)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    const token = byId<HTMLInputElement>('token').value.trim()
    if (token === '') return say(shown, words.noToken)
    say(shown, words.sending)
    const values = new Map(fields.map(({ parameter, input }) => [parameter, input.value.trim()]))
    const isBytes = operation.responses['206'] !== undefined
    const headers: Record<string, string> = {
      authorization: `Bearer ${token}`,
      ...(body.input === undefined ? {} : { 'content-type': 'application/json' }),
      ...(isBytes ? { range: FIRST_BYTES } : {}),
    }
    const init: RequestInit = {
      method: method.toUpperCase(),
      headers,
      ...(body.input ? { body: body.input.value } : {}),
    }
    fetch(addressOf(path, values), init)
      .then((response) => show(shown, response, language, isBytes))
      .catch(() => say(shown, words.unreachable))
  })
  return [element('details', { class: 'tryout' }, element('summary', {}, words.try), form)]
}

function field(id: string, parameter: Parameter) {
  const input = element('input', { id, autocomplete: 'off', spellcheck: 'false' })
  input.required = parameter.in === 'path'
  return {
    parameter,
    input,
    box: element('div', { class: 'tool' }, element('label', { for: id }, parameter.name), input),
  }
}

function bodyField(api: ApiDocument, { operation }: Place, label: string) {
  const schema = operation.requestBody?.content['application/json']?.schema
  if (schema === undefined) return { input: undefined, boxes: [] }
  const id = `${operation.operationId}-body`
  const text = JSON.stringify(exampleOf(api, schema), null, 2)
  const input = element('textarea', {
    id,
    rows: String(Math.min(12, text.split('\n').length + 1)),
    spellcheck: 'false',
  })
  input.value = text
  return { input, boxes: [element('div', { class: 'tool' }, element('label', { for: id }, label), input)] }
}

/** Relative to the page, as the vault may lie under a path. */
function addressOf(path: string, values: ReadonlyMap<Parameter, string>): string {
  let filled = path
  const query = new URLSearchParams()
  for (const [{ name, in: where }, value] of values) {
    if (where === 'path') filled = filled.replace(`{${name}}`, encodeURIComponent(value))
    else if (value !== '') query.set(name, value)
  }
  return `v1${filled}${query.size === 0 ? '' : `?${query.toString()}`}`
}

async function show(box: HTMLElement, response: Response, language: Language, isBytes: boolean): Promise<void> {
  const words = texts[language]
  const type = response.headers.get('content-type') ?? ''
  const isGood = response.ok
  const status = element('code', { class: isGood ? 'good' : 'bad' }, `${response.status} ${response.statusText}`)
  const bytes = new Uint8Array(await response.arrayBuffer())
  const text = type.includes('json')
    ? JSON.stringify(JSON.parse(new TextDecoder().decode(bytes)), null, 2)
    : words.bytes.replace('{count}', String(bytes.length)).replace('{type}', type === '' ? '-' : type)
  const hint = isGood && isBytes ? [element('p', { class: 'hint' }, words.firstBytes)] : []
  const shown = element('pre', { tabindex: '0', role: 'region', 'aria-label': words.answer }, text)
  box.replaceChildren(element('p', {}, status), ...hint, shown)
}

function say(box: HTMLElement, words: string): void {
  box.replaceChildren(element('p', { class: 'hint' }, words))
}
