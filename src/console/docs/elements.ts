/** An element with attributes and content; texts are texts, never markup. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string>> = {},
  ...content: (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value)
  made.append(...content)
  return made
}

/** Words in which what stands between backticks is code. */
export function withCode(words: string): (Node | string)[] {
  return words.split('`').map((part, i) => (i % 2 === 1 ? element('code', {}, part) : part))
}

/** An element that the page has. */
export function byId<Found extends HTMLElement = HTMLElement>(id: string): Found {
  return document.getElementById(id) as Found
}
