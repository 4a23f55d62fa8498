/** An element of index.html. @throws when the page and the program do not belong together. */
export function element<T extends Element>(id: string, type: new () => T): T {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} #${id}`)
  return found
}

/** The page's clock, in ms; only differences mean anything. The one place in the browser that asks for the time. */
export function nowMs(): number {
  return performance.now()
}

const SVG = 'http://www.w3.org/2000/svg'

/** Drawings of the buttons: paths in a 24 by 24 box. */
const icons = {
  play: 'M8 5.2v13.6L19 12z',
  pause: 'M7 5h3.5v14H7zM13.5 5H17v14h-3.5z',
  replay: 'M12 5V1.8L7 6.6l5 4.8V8a5 5 0 1 1-5 5H4a8 8 0 1 0 8-8z',
  sound:
    'M4 9.2v5.6h3.6L12.5 19V5L7.6 9.2zM15 8.7a4.3 4.3 0 0 1 0 6.6zM15 4.6v2a6.5 6.5 0 0 1 0 10.8v2a8.4 8.4 0 0 0 0-14.8z',
  silent:
    'M4 9.2v5.6h3.6L12.5 19V5L7.6 9.2zM21 9.9 19.6 8.5 17.5 10.6 15.4 8.5 14 9.9 16.1 12 14 14.1 15.4 15.5 17.5 13.4 19.6 15.5 21 14.1 18.9 12z',
  captions:
    'M5 5h14a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2zm1 6v2h2v-2zm3.5 0v2H18v-2zM6 14.5v2h8.5v-2zm10 0v2h2v-2z',
  settings:
    'M19.4 13a7.5 7.5 0 0 0 0-2l2.1-1.6-2-3.5-2.5 1a7.6 7.6 0 0 0-1.7-1L15 3.3h-4l-.4 2.6a7.6 7.6 0 0 0-1.7 1l-2.5-1-2 3.5L6.5 11a7.5 7.5 0 0 0 0 2l-2.1 1.6 2 3.5 2.5-1a7.6 7.6 0 0 0 1.7 1l.4 2.6h4l.4-2.6a7.6 7.6 0 0 0 1.7-1l2.5 1 2-3.5zM13 15.2a3.2 3.2 0 1 1 0-6.4 3.2 3.2 0 0 1 0 6.4z',
  fullscreen: 'M5 14H3v7h7v-2H5zM3 10h2V5h5V3H3zM19 19h-5v2h7v-7h-2zM14 3v2h5v5h2V3z',
  fullscreenEnd: 'M3 16h5v5h2v-7H3zM8 8H3v2h7V3H8zM14 21h2v-5h5v-2h-7zM16 8V3h-2v7h7V8z',
} as const

/** Names of the drawings. */
export type IconName = keyof typeof icons

/** Gives a button its drawing and its name, for eyes, ears and pointers. */
export function dress(button: HTMLButtonElement, icon: IconName, name: string, key?: string): void {
  if (button.dataset['icon'] !== icon) {
    const path = document.createElementNS(SVG, 'path')
    path.setAttribute('d', icons[icon])
    path.setAttribute('fill-rule', 'evenodd')
    const svg = document.createElementNS(SVG, 'svg')
    svg.setAttribute('viewBox', '0 0 24 24')
    svg.setAttribute('aria-hidden', 'true')
    svg.append(path)
    button.replaceChildren(svg)
    button.dataset['icon'] = icon
  }
  button.setAttribute('aria-label', name)
  button.title = key === undefined ? name : `${name} (${key})`
}

const TILE_COLOURS = ['#2f9b93', '#35558f', '#d98a3d', '#4aa79d', '#22303d']

/** Fills the stage with quiet tiles while there is no picture; the same ones each time. */
export function layTiles(svg: SVGSVGElement): void {
  for (let y = 0; y < 9; y++) {
    for (let x = 0; x < 16; x++) {
      const mixed = Math.imul(x * 73 + y * 151 + 17, 2_654_435_761) >>> 8
      const distance = Math.hypot((x - 7.5) / 8, (y - 4) / 4.5)
      const tile = document.createElementNS(SVG, 'rect')
      tile.setAttribute('x', String(x + 0.03))
      tile.setAttribute('y', String(y + 0.03))
      tile.setAttribute('width', '0.94')
      tile.setAttribute('height', '0.94')
      tile.setAttribute('rx', '0.09')
      tile.setAttribute('fill', TILE_COLOURS[mixed % TILE_COLOURS.length] ?? '')
      const strength = Math.max(0, distance - 0.35) * (0.06 + ((mixed >>> 5) % 100) / 320)
      tile.setAttribute('fill-opacity', strength.toFixed(3))
      svg.append(tile)
    }
  }
}

/** What was chosen in this browser before; null when nothing was. */
export function keptChoice(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

/** Keeps a choice for the next visit; null forgets it. */
export function keepChoice(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key)
    else localStorage.setItem(key, value)
  } catch {
    // storage may be switched off: then it is chosen anew each time
  }
}

/** Puts options into a list. */
export function fill(
  select: HTMLSelectElement,
  options: readonly (readonly [value: string | number, label: string])[],
): void {
  select.replaceChildren(
    ...options.map(([value, label]) => {
      const option = document.createElement('option')
      option.value = String(value)
      option.textContent = label
      return option
    }),
  )
}
