import { describeOperation } from './describe.ts'
import { placesOf, wordsOf, type ApiDocument, type Place } from './document.ts'
import { byId, element, withCode } from './elements.ts'
import { texts, type Language } from './texts.ts'
import { tryForm } from './try-call.ts'

let language: Language = navigator.language.toLowerCase().startsWith('de') ? 'de' : 'en'
const filter = byId<HTMLInputElement>('filter')

/** Everything in the present language; what was open stays open. */
function draw(api: ApiDocument): void {
  const words = texts[language]
  const open = new Set(
    [...document.querySelectorAll<HTMLDetailsElement>('details.operation[open]')].map(({ id }) => id),
  )
  document.documentElement.lang = language
  document.title = `Mosaik – ${words.title}`
  byId('title').textContent = words.title
  byId('about').replaceChildren(...withCode(wordsOf(api.info, language)))
  byId('language').textContent = words.other
  byId('language').lang = language === 'de' ? 'en' : 'de'
  byId('filter-label').textContent = words.filter
  byId('token-label').textContent = words.token
  byId('token-hint').textContent = words.tokenHint
  const chapters = byId('chapters')
  chapters.setAttribute('aria-label', words.chapters)
  const places = placesOf(api)
  chapters.replaceChildren(
    ...api.tags.map((tag) => element('a', { href: `#chapter-${tag.name}` }, wordsOf(tag, language))),
  )
  byId('operations').replaceChildren(
    ...api.tags.map((tag) =>
      element(
        'section',
        { 'aria-labelledby': `chapter-${tag.name}` },
        element('h2', { id: `chapter-${tag.name}` }, wordsOf(tag, language)),
        ...places
          .filter(({ operation }) => operation.tags.includes(tag.name))
          .map((place) => operationBox(api, place, open.has(place.operation.operationId))),
      ),
    ),
  )
  find()
}

/** One operation; its inside is made when it is opened. */
function operationBox(api: ApiDocument, place: Place, isOpen: boolean): HTMLElement {
  const { path, method, operation } = place
  const summary = language === 'de' ? operation['x-summary-de'] : operation.summary
  const head = element(
    'summary',
    {},
    element('span', { class: `method ${method}` }, method.toUpperCase()),
    element('code', { class: 'path' }, ...pathParts(path)),
    element('span', { class: 'short' }, summary),
  )
  const box = element('details', { class: 'operation', id: operation.operationId }, head)
  box.dataset['words'] = `${method} ${path} ${summary} ${operation.operationId}`.toLowerCase()
  const fill = (): void => {
    if (box.children.length > 1) return
    const about = element('h3', {}, summary)
    box.append(
      element(
        'div',
        { class: 'inside' },
        about,
        ...describeOperation(api, operation, language),
        ...tryForm(api, place, language),
      ),
    )
  }
  box.addEventListener('toggle', fill)
  if (isOpen) {
    fill()
    box.open = true
  }
  return box
}

/** A path may break before each slash. */
function pathParts(path: string): (Node | string)[] {
  return path
    .split('/')
    .slice(1)
    .flatMap((part) => [element('wbr'), `/${part}`])
}

/** Shows what has all the words looked for. */
function find(): void {
  const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean)
  let shownCount = 0
  for (const section of document.querySelectorAll<HTMLElement>('#operations section')) {
    let inSection = 0
    for (const box of section.querySelectorAll<HTMLElement>('details.operation')) {
      box.hidden = !wanted.every((word) => box.dataset['words']?.includes(word))
      if (!box.hidden) inSection += 1
    }
    section.hidden = inSection === 0
    shownCount += inSection
  }
  byId('note').textContent = shownCount === 0 ? texts[language].nothing : ''
}

/** Opens what the address names behind its #. */
function openNamed(): void {
  const named = document.getElementById(location.hash.slice(1))
  if (!(named instanceof HTMLDetailsElement)) return
  named.open = true
  named.scrollIntoView()
}

try {
  const response = await fetch('v1/openapi.json')
  if (!response.ok) throw new Error(`the vault answered ${response.status}`)
  const api = (await response.json()) as ApiDocument
  draw(api)
  openNamed()
  filter.addEventListener('input', find)
  addEventListener('hashchange', openNamed)
  byId('language').addEventListener('click', () => {
    language = language === 'de' ? 'en' : 'de'
    draw(api)
  })
} catch {
  byId('title').textContent = texts[language].title
  byId('note').textContent = texts[language].failed
}
