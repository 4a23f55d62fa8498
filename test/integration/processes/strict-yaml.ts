// Reads the YAML that our compose file is written in, and refuses everything else: block maps and lists by two spaces, flow lists
// and maps, plain and quoted scalars on one line, anchors on maps, aliases, merge keys, comments.

export type Yaml = string | number | boolean | null | readonly Yaml[] | YamlMap
export interface YamlMap {
  readonly [key: string]: Yaml
}

interface Line {
  readonly number: number
  readonly indent: number
  readonly text: string
}

/** @throws naming the line that it does not understand */
export function readStrictYaml(source: string): Yaml {
  const lines = logicalLines(source)
  const anchors = new Map<string, Yaml>()
  let at = 0

  const fail = (line: Line | undefined, why: string): never => {
    throw new Error(`line ${String(line?.number ?? 'end')}: ${why}: ${line?.text ?? ''}`)
  }

  function block(indent: number): Yaml {
    const first = lines[at]
    if (first === undefined || first.indent !== indent) return fail(first, `a block indented by ${indent} is missing`)
    if (/^[[{]/.test(first.text)) {
      at++
      return scalarOrFlow(first, first.text)
    }
    return first.text.startsWith('- ') ? list(indent) : map(indent)
  }

  function list(indent: number): Yaml[] {
    const items: Yaml[] = []
    for (let line = lines[at]; line?.indent === indent && line.text.startsWith('- '); line = lines[at]) {
      at++
      items.push(scalarOrFlow(line, line.text.slice(2)))
    }
    return items
  }

  function map(indent: number): YamlMap {
    const entries: Record<string, Yaml> = {}
    const own = new Set<string>()
    for (let line = lines[at]; line !== undefined && line.indent === indent; line = lines[at]) {
      const parts = /^([A-Za-z0-9_.<-]+):(?: (.*))?$/.exec(line.text)
      if (!parts) return fail(line, 'not a key')
      const [, key = '', value = ''] = parts
      at++
      if (own.has(key)) fail(line, 'twice')
      own.add(key)
      const anchor = /^&(\w+)$/.exec(value)
      const read = value === '' || anchor ? block(indent + 2) : scalarOrFlow(line, value)
      if (anchor) anchors.set(anchor[1] ?? '', read)
      if (key !== '<<') entries[key] = read
      else if (typeof read !== 'object' || read === null || Array.isArray(read)) fail(line, 'merges no map')
      else for (const [name, inherited] of Object.entries(read)) if (!own.has(name)) entries[name] = inherited
    }
    return entries
  }

  function scalarOrFlow(line: Line, text: string): Yaml {
    const alias = /^\*(\w+)$/.exec(text)
    if (alias) return anchors.get(alias[1] ?? '') ?? fail(line, 'no such anchor')
    const flow = new Flow(text, (why) => fail(line, why))
    const value = flow.value(false)
    flow.end()
    return value
  }

  const document = block(0)
  if (at < lines.length) fail(lines[at], 'does not belong here')
  return document
}

/** Lines without comments; a flow that goes over several is joined. */
function logicalLines(source: string): Line[] {
  const lines: Line[] = []
  let open = 0
  for (const [index, raw] of source.split('\n').entries()) {
    if (/^\s*(#.*)?$/.test(raw)) continue
    if (raw.includes('\t')) throw new Error(`line ${index + 1}: a tab`)
    const text = raw.trim()
    const last = lines.at(-1)
    if (open > 0 && last) lines[lines.length - 1] = { ...last, text: `${last.text} ${text}` }
    else lines.push({ number: index + 1, indent: raw.length - raw.trimStart().length, text })
    const bare = text.replace(/'[^']*'|"[^"]*"|\$\{[^}]*\}/g, '')
    open += (bare.match(/[[{]/g) ?? []).length - (bare.match(/[\]}]/g) ?? []).length
  }
  return lines
}

class Flow {
  readonly #text: string
  readonly #fail: (why: string) => never
  #at = 0

  constructor(text: string, fail: (why: string) => never) {
    this.#text = text
    this.#fail = fail
  }

  end(): void {
    this.#space()
    if (this.#at < this.#text.length) this.#fail('more than a value')
  }

  value(inFlow: boolean): Yaml {
    this.#space()
    const rest = this.#text.slice(this.#at)
    if (rest.startsWith('[')) return this.#list()
    if (rest.startsWith('{')) return this.#map()
    const quoted = /^(?:'((?:[^']|'')*)'|"([^"\\]*)")/.exec(rest)
    if (quoted) {
      this.#at += quoted[0].length
      return quoted[1]?.replaceAll("''", "'") ?? quoted[2] ?? ''
    }
    const plain = (inFlow ? /^[A-Za-z0-9_./-][^,[\]{}#:]*/ : /^[A-Za-z0-9_./$-].*$/).exec(rest)
    if (!plain) return this.#fail('not a value that is understood')
    if (plain[0].includes(' #')) this.#fail('a comment behind a value')
    this.#at += plain[0].length
    return plainValue(plain[0].trim())
  }

  #list(): Yaml[] {
    const items: Yaml[] = []
    this.#at++
    while (!this.#takes(']')) {
      items.push(this.value(true))
      if (!this.#takes(',') && this.#text[this.#at] !== ']') this.#fail('a list that does not end')
    }
    return items
  }

  #map(): YamlMap {
    const entries: Record<string, Yaml> = {}
    this.#at++
    while (!this.#takes('}')) {
      const key = String(this.value(true))
      if (!this.#takes(':')) this.#fail('a key without a value')
      entries[key] = this.value(true)
      if (!this.#takes(',') && this.#text[this.#at] !== '}') this.#fail('a map that does not end')
    }
    return entries
  }

  #takes(sign: string): boolean {
    this.#space()
    if (this.#text[this.#at] !== sign) return false
    this.#at++
    return true
  }

  #space(): void {
    while (this.#text[this.#at] === ' ') this.#at++
  }
}

function plainValue(text: string): Yaml {
  if (text === 'true' || text === 'false') return text === 'true'
  if (text === 'null') return null
  // What YAML 1.1 would take for something else has to be quoted.
  if (/^(yes|no|on|off|~|y|n)$/i.test(text)) throw new Error(`quote ${text}`)
  return /^-?\d+$/.test(text) ? Number(text) : text
}
