const STORAGE_KEY = 'mosaik captions'

/**
 * Captions over the picture, in our own letters: above the controls when these are shown, and the same in every browser. Only where a
 * phone takes the video into its own full screen are the browser's captions used.
 */
export class Captions {
  readonly #video: HTMLVideoElement
  readonly #screen: HTMLElement
  readonly #changed: () => void
  #chosen: string | null = null

  /** @param changed called when tracks come, or another one is chosen. */
  constructor(video: HTMLVideoElement, screen: HTMLElement, changed: () => void) {
    this.#video = video
    this.#screen = screen
    this.#changed = changed
    this.#chosen = keptChoice()
    video.textTracks.addEventListener('addtrack', () => this.#apply())
    video.addEventListener('webkitbeginfullscreen', () => this.#apply('showing'))
    video.addEventListener('webkitendfullscreen', () => this.#apply())
  }

  /** Languages there are. */
  get languages(): readonly string[] {
    return this.#tracks().map(({ language }) => language)
  }

  /** Language shown, or null: off. */
  get chosen(): string | null {
    return this.languages.find((language) => language === this.#chosen) ?? null
  }

  set chosen(language: string | null) {
    this.#chosen = language
    keepChoice(language)
    this.#apply()
  }

  /** Adds the tracks of a recording; those of one before go. */
  load(tracks: readonly { readonly language: string; readonly label: string; readonly address: string }[]): void {
    for (const track of this.#video.querySelectorAll('track')) track.remove()
    for (const { language, label, address } of tracks) {
      const track = document.createElement('track')
      track.kind = 'captions'
      track.srclang = language
      track.label = label
      track.src = address
      this.#video.append(track)
    }
    this.#apply()
  }

  #tracks(): TextTrack[] {
    return Array.from(this.#video.textTracks).filter(({ kind }) => kind === 'captions' || kind === 'subtitles')
  }

  /** `hidden` loads and times the cues without drawing them. */
  #apply(mode: TextTrackMode = 'hidden'): void {
    const chosen = this.chosen
    this.#screen.replaceChildren()
    for (const track of this.#tracks()) {
      const isChosen = track.language === chosen
      track.mode = isChosen ? mode : 'disabled'
      track.oncuechange = isChosen && mode === 'hidden' ? () => this.#show(track) : null
      if (isChosen && mode === 'hidden') this.#show(track)
    }
    this.#screen.lang = chosen ?? ''
    this.#changed()
  }

  #show(track: TextTrack): void {
    const lines = Array.from(track.activeCues ?? [], (cue) => {
      const words = document.createElement('span')
      // the parsed cue: the browser makes nothing but its few harmless elements of it
      if (cue instanceof VTTCue) words.append(cue.getCueAsHTML())
      const line = document.createElement('div')
      line.append(words)
      return line
    })
    this.#screen.replaceChildren(...lines)
  }
}

function keptChoice(): string | null {
  try {
    return localStorage.getItem(STORAGE_KEY)
  } catch {
    return null
  }
}

function keepChoice(language: string | null): void {
  try {
    if (language === null) localStorage.removeItem(STORAGE_KEY)
    else localStorage.setItem(STORAGE_KEY, language)
  } catch {
    // storage may be switched off: then it is chosen anew each time
  }
}
