import { keepChoice, keptChoice } from './page.ts'
import { trackTexts } from './texts.ts'
import type { Track } from './visit.ts'

const STORAGE_KEY = 'mosaik captions'

/**
 * Captions over the picture, in our own letters: above the controls when these are shown, and the same in every browser. Only where a
 * phone takes the video into its own full screen are the browser's captions used.
 */
export class Captions {
  readonly #video: HTMLVideoElement
  readonly #screen: HTMLElement
  readonly #changed: () => void
  /** The track that is shown; what is asked for before there are tracks is a language. */
  #chosen: TextTrack | undefined
  #wanted: string | null
  #names: readonly string[] | undefined

  /** @param changed called when tracks come, or another one is chosen. */
  constructor(video: HTMLVideoElement, screen: HTMLElement, changed: () => void) {
    this.#video = video
    this.#screen = screen
    this.#changed = changed
    this.#wanted = keptChoice(STORAGE_KEY)
    video.textTracks.addEventListener('addtrack', () => this.#apply())
    video.addEventListener('webkitbeginfullscreen', () => this.#apply('showing'))
    video.addEventListener('webkitendfullscreen', () => this.#apply())
  }

  /** What the tracks are called, in the page's language. */
  get names(): readonly string[] {
    const tracks = this.#tracks()
    return this.#names?.length === tracks.length
      ? this.#names
      : trackTexts(tracks.map(({ label, language }) => ({ language: label === '' ? language : 'und', title: label })))
  }

  /** Index of the track that is shown, or -1: off. */
  get chosen(): number {
    return this.#chosen === undefined ? -1 : this.#tracks().indexOf(this.#chosen)
  }

  set chosen(index: number) {
    this.#chosen = this.#tracks()[index]
    this.#wanted = this.#chosen?.language ?? null
    keepChoice(STORAGE_KEY, this.#wanted)
    this.#apply()
  }

  /** Adds the tracks of a recording; those of one before go. */
  load(tracks: readonly (Track & { readonly address: string })[]): void {
    for (const track of this.#video.querySelectorAll('track')) track.remove()
    this.#chosen = undefined
    this.#names = tracks.length === 0 ? undefined : trackTexts(tracks)
    tracks.forEach(({ language, address }, i) => {
      const track = document.createElement('track')
      track.kind = 'captions'
      track.srclang = language
      track.label = this.#names?.[i] ?? language
      track.src = address
      this.#video.append(track)
    })
    this.#apply()
  }

  #tracks(): TextTrack[] {
    return Array.from(this.#video.textTracks).filter(({ kind }) => kind === 'captions' || kind === 'subtitles')
  }

  /** `hidden` loads and times the cues without drawing them. */
  #apply(mode: TextTrackMode = 'hidden'): void {
    const tracks = this.#tracks()
    this.#chosen =
      tracks.find((track) => track === this.#chosen) ?? tracks.find(({ language }) => language === this.#wanted)
    this.#screen.replaceChildren()
    for (const track of tracks) {
      const isChosen = track === this.#chosen
      track.mode = isChosen ? mode : 'disabled'
      track.oncuechange = isChosen && mode === 'hidden' ? () => this.#show(track) : null
      if (isChosen && mode === 'hidden') this.#show(track)
    }
    this.#screen.lang = this.#chosen?.language ?? ''
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
