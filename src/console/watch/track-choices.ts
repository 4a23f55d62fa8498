import type { Captions } from './captions.ts'
import { dress, element, fill, keptChoice, keepChoice } from './page.ts'
import type { Playback } from './playback.ts'
import { text, trackTexts } from './texts.ts'
import type { Track } from './visit.ts'

const SOUND_KEY = 'mosaik sound'

/** Which sound and which captions: two lists among the settings, and a button. */
export class TrackChoices {
  readonly #captions: () => Captions
  readonly #playback: () => Playback | undefined
  readonly #toggle = element('captions-toggle', HTMLButtonElement)
  readonly #captionsChoice = element('captions-choice', HTMLSelectElement)
  readonly #soundChoice = element('sound', HTMLSelectElement)
  #sounds: readonly Track[] = []
  #lastCaptions = 0
  #isSoundRecalled = false

  constructor(captions: () => Captions, playback: () => Playback | undefined) {
    this.#captions = captions
    this.#playback = playback
    dress(this.#toggle, 'captions', text('captions'), 'C')
    element('sound-label', HTMLSpanElement).textContent = text('sound')
    element('captions-label', HTMLSpanElement).textContent = text('captions')
    this.#toggle.addEventListener('click', () => this.toggleCaptions())
    this.#captionsChoice.addEventListener('change', () => (captions().chosen = Number(this.#captionsChoice.value)))
    this.#soundChoice.addEventListener('change', () => this.#chooseSound(Number(this.#soundChoice.value)))
  }

  /** The sounds of a recording, in the order of its stream; none: there is nothing to choose. */
  load(sounds: readonly Track[]): void {
    this.#sounds = sounds
    this.#isSoundRecalled = false
    this.drawSounds()
  }

  drawSounds(): void {
    const playback = this.#playback()
    const streamed = playback?.sounds ?? []
    element('sound-row', HTMLLabelElement).hidden = streamed.length < 2
    if (playback === undefined || streamed.length < 2) return
    // the recording tells more than the stream does, as long as they speak of the same
    const told = streamed.length === this.#sounds.length ? this.#sounds : undefined
    const names = trackTexts(
      told ?? streamed.map(({ language, label }) => ({ language: label === '' ? language : 'und', title: label })),
    )
    fill(
      this.#soundChoice,
      names.map((name, index) => [index, name] as const),
    )
    if (!this.#isSoundRecalled) {
      this.#isSoundRecalled = true
      const kept = keptChoice(SOUND_KEY)
      const index = streamed.findIndex(({ language }) => language === kept)
      if (index >= 0 && index !== playback.sound) playback.sound = index
    }
    this.#soundChoice.value = String(playback.sound)
  }

  drawCaptions(): void {
    const { names, chosen } = this.#captions()
    this.#toggle.hidden = names.length === 0
    element('captions-row', HTMLLabelElement).hidden = names.length === 0
    this.#toggle.setAttribute('aria-pressed', String(chosen >= 0))
    fill(this.#captionsChoice, [[-1, text('captionsOff')], ...names.map((name, index) => [index, name] as const)])
    this.#captionsChoice.value = String(chosen)
    if (chosen >= 0) this.#lastCaptions = chosen
  }

  toggleCaptions(): void {
    const captions = this.#captions()
    const again = this.#lastCaptions < captions.names.length ? this.#lastCaptions : 0
    captions.chosen = captions.chosen >= 0 ? -1 : again
  }

  #chooseSound(index: number): void {
    const playback = this.#playback()
    const sound = playback?.sounds[index]
    if (playback === undefined || sound === undefined) return
    playback.sound = index
    keepChoice(SOUND_KEY, sound.language)
  }
}
