import type { Captions } from './captions.ts'
import { dress, element, fill } from './page.ts'
import type { Playback } from './playback.ts'
import type { Preview } from './preview.ts'
import { clockText, speedText, text } from './texts.ts'
import { TrackChoices } from './track-choices.ts'

/** What the controls work on. */
export interface ControlsOptions {
  readonly stage: HTMLElement
  readonly video: HTMLVideoElement
  readonly captions: () => Captions
  readonly playback: () => Playback | undefined
  readonly preview: Preview
}

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
const STEP_SECONDS = 5
const LEAP_SECONDS = 10
const IDLE_AFTER_MS = 2_600
const SEEK_STEPS = 1_000

/** iPhones know only this one. */
interface PhoneVideo extends HTMLVideoElement {
  webkitEnterFullscreen?: () => void
}

/** The bar under the picture: pointer, touch and keyboard. */
export class Controls {
  readonly tracks: TrackChoices
  readonly #on: ControlsOptions
  readonly #bar = element('controls', HTMLDivElement)
  readonly #seek = element('seek', HTMLInputElement)
  readonly #hint = element('seek-hint', HTMLDivElement)
  readonly #picture = element('seek-picture', HTMLDivElement)
  readonly #play = element('play', HTMLButtonElement)
  readonly #mute = element('mute', HTMLButtonElement)
  readonly #volume = element('volume', HTMLInputElement)
  readonly #settingsToggle = element('settings-toggle', HTMLButtonElement)
  readonly #settings = element('settings', HTMLDivElement)
  readonly #quality = element('quality', HTMLSelectElement)
  readonly #speed = element('speed', HTMLSelectElement)
  readonly #fullscreen = element('fullscreen', HTMLButtonElement)
  #durationSeconds = 0
  #idleTimer: ReturnType<typeof setTimeout> | undefined
  #isTouch = false

  constructor(options: ControlsOptions) {
    this.#on = options
    this.tracks = new TrackChoices(options.captions, options.playback)
    this.#label()
    this.#bindVideo()
    this.#bindBar()
    this.#bindStage()
    document.addEventListener('keydown', (event) => this.#onKey(event))
  }

  /** Length of the recording, for as long as the browser does not know it. */
  setDuration(durationSeconds: number): void {
    this.#durationSeconds = durationSeconds
    element('time-all', HTMLSpanElement).textContent = clockText(durationSeconds)
  }

  show(): void {
    this.#bar.hidden = false
    this.#drawTime()
    this.#drawPlay()
    this.wake()
  }

  hide(): void {
    this.#bar.hidden = true
    this.#toggleSettings(false)
    this.#on.stage.classList.remove('busy', 'idle')
  }

  /** Shows the controls for a moment. */
  wake(): void {
    const { stage, video } = this.#on
    clearTimeout(this.#idleTimer)
    stage.classList.remove('idle')
    stage.classList.toggle('busy', !this.#bar.hidden)
    if (video.paused || !this.#settings.hidden || this.#isSound()) return
    this.#idleTimer = setTimeout(() => {
      if (video.paused || !this.#settings.hidden || this.#bar.querySelector(':focus-visible') !== null) return
      stage.classList.add('idle')
      stage.classList.remove('busy')
    }, IDLE_AFTER_MS)
  }

  /** The list of qualities, with the one that "automatic" uses at present. */
  drawQualities(): void {
    const playback = this.#on.playback()
    const all = playback?.lines ?? []
    element('quality-row', HTMLLabelElement).hidden = this.#isSound()
    this.#fullscreen.hidden = this.#isSound() || (!document.fullscreenEnabled && !this.#canPhoneFullscreen())
    const now = all[playback?.current ?? -1]
    const auto = now === undefined || now === 0 ? text('qualityAuto') : text('qualityAutoNow', { now: `${now}p` })
    const byLines = all.map((lines, index) => ({ lines, index })).sort((a, b) => b.lines - a.lines)
    fill(this.#quality, [
      [-1, auto],
      ...byLines.map(({ lines, index }) => [index, lines === 0 ? text('quality') : `${lines}p`] as const),
    ])
    this.#quality.value = String(playback?.chosen ?? -1)
    this.#quality.disabled = all.length < 2
  }

  #label(): void {
    this.#bar.setAttribute('aria-label', text('controls'))
    this.#seek.max = String(SEEK_STEPS)
    this.#seek.setAttribute('aria-label', text('position'))
    this.#volume.setAttribute('aria-label', text('volume'))
    this.#settings.setAttribute('aria-label', text('settings'))
    dress(this.#settingsToggle, 'settings', text('settings'))
    element('quality-label', HTMLSpanElement).textContent = text('quality')
    element('speed-label', HTMLSpanElement).textContent = text('speed')
    fill(
      this.#speed,
      SPEEDS.map((rate) => [rate, speedText(rate)] as const),
    )
    this.#speed.value = '1'
    this.#drawFullscreen()
    this.#drawVolume()
  }

  #bindVideo(): void {
    const { video } = this.#on
    const spinner = element('spinner', HTMLDivElement)
    for (const event of ['play', 'pause', 'ended', 'seeked']) {
      video.addEventListener(event, () => {
        this.#drawPlay()
        this.wake()
      })
    }
    for (const event of ['timeupdate', 'progress', 'seeking', 'durationchange']) {
      video.addEventListener(event, () => this.#drawTime())
    }
    for (const event of ['waiting', 'seeking']) video.addEventListener(event, () => (spinner.hidden = false))
    for (const event of ['playing', 'seeked', 'pause', 'emptied', 'canplay']) {
      video.addEventListener(event, () => (spinner.hidden = true))
    }
    video.addEventListener('volumechange', () => this.#drawVolume())
    video.addEventListener('ratechange', () => (this.#speed.value = String(video.playbackRate)))
  }

  #bindBar(): void {
    const { video } = this.#on
    this.#play.addEventListener('click', () => this.#togglePlay())
    this.#mute.addEventListener('click', () => this.#toggleMute())
    this.#volume.addEventListener('input', () => {
      video.volume = Number(this.#volume.value) / 100
      video.muted = video.volume === 0
    })
    this.#seek.addEventListener('input', () => this.#seekTo((Number(this.#seek.value) / SEEK_STEPS) * this.#length()))
    for (const event of ['pointerdown', 'pointermove'] as const) {
      this.#seek.addEventListener(event, (pointer) => this.#drawHint(pointer))
    }
    for (const event of ['pointerleave', 'pointercancel'] as const) {
      this.#seek.addEventListener(event, () => (this.#hint.hidden = true))
    }
    this.#seek.addEventListener('pointerup', (event) => {
      if (event.pointerType !== 'mouse') this.#hint.hidden = true
    })
    this.#settingsToggle.addEventListener('click', () => this.#toggleSettings(this.#settings.hidden === true))
    this.#quality.addEventListener('change', () => {
      const playback = this.#on.playback()
      if (playback !== undefined) playback.chosen = Number(this.#quality.value)
    })
    this.#speed.addEventListener('change', () => (video.playbackRate = Number(this.#speed.value)))
    this.#fullscreen.addEventListener('click', () => this.#toggleFullscreen())
    document.addEventListener('fullscreenchange', () => this.#drawFullscreen())
  }

  #bindStage(): void {
    const { stage, video } = this.#on
    for (const event of ['pointermove', 'pointerdown', 'focusin']) stage.addEventListener(event, () => this.wake())
    video.addEventListener('pointerdown', (event) => (this.#isTouch = event.pointerType !== 'mouse'))
    video.addEventListener('click', () => {
      if (!this.#settings.hidden) this.#toggleSettings(false)
      // a touch only brings up the bar, which pointerdown did already
      else if (!this.#isTouch) this.#togglePlay()
    })
    video.addEventListener('dblclick', () => {
      if (!this.#isTouch) this.#toggleFullscreen()
    })
    document.addEventListener('pointerdown', ({ target }) => {
      if (!(target instanceof Node) || this.#settings.contains(target) || this.#settingsToggle.contains(target)) return
      if (target !== video) this.#toggleSettings(false)
    })
  }

  #onKey(event: KeyboardEvent): void {
    const { target, key, ctrlKey, metaKey, altKey } = event
    if (this.#bar.hidden || ctrlKey || metaKey || altKey || target instanceof HTMLSelectElement) {
      if (key === 'Escape' && !this.#settings.hidden) this.#toggleSettings(false, true)
      return
    }
    if (target === this.#volume && key.startsWith('Arrow')) return
    if (
      (key === ' ' || key === 'Enter') &&
      (target instanceof HTMLButtonElement || target instanceof HTMLAnchorElement)
    )
      return
    const action = this.#keys()[key.length === 1 ? key.toLowerCase() : key]
    if (action === undefined) return
    event.preventDefault()
    action()
    this.wake()
  }

  #keys(): Readonly<Record<string, (() => void) | undefined>> {
    const { video } = this.#on
    const tenths = Object.fromEntries(
      Array.from({ length: 10 }, (_, digit) => [String(digit), () => this.#seekTo((digit / 10) * this.#length())]),
    )
    return {
      ...tenths,
      ' ': () => this.#togglePlay(),
      k: () => this.#togglePlay(),
      ArrowLeft: () => this.#seekTo(video.currentTime - STEP_SECONDS),
      ArrowRight: () => this.#seekTo(video.currentTime + STEP_SECONDS),
      j: () => this.#seekTo(video.currentTime - LEAP_SECONDS),
      l: () => this.#seekTo(video.currentTime + LEAP_SECONDS),
      Home: () => this.#seekTo(0),
      End: () => this.#seekTo(this.#length()),
      ArrowUp: () => this.#setVolume(video.volume + 0.1),
      ArrowDown: () => this.#setVolume(video.volume - 0.1),
      m: () => this.#toggleMute(),
      c: () => this.tracks.toggleCaptions(),
      f: () => this.#toggleFullscreen(),
      '<': () => this.#changeSpeed(-1),
      '>': () => this.#changeSpeed(1),
      Escape: this.#settings.hidden ? undefined : () => this.#toggleSettings(false, true),
    }
  }

  #length(): number {
    const { duration } = this.#on.video
    return Number.isFinite(duration) && duration > 0 ? duration : this.#durationSeconds
  }

  #seekTo(seconds: number): void {
    this.#on.video.currentTime = Math.min(Math.max(0, seconds), Math.max(0, this.#length() - 0.05))
    this.#drawTime()
  }

  #togglePlay(): void {
    const { video } = this.#on
    if (video.paused) void video.play().catch(() => undefined)
    else video.pause()
  }

  #toggleMute(): void {
    const { video } = this.#on
    video.muted = !video.muted
    if (!video.muted && video.volume === 0) video.volume = 0.5
  }

  #setVolume(volume: number): void {
    const { video } = this.#on
    video.volume = Math.min(1, Math.max(0, volume))
    video.muted = video.volume === 0
  }

  #changeSpeed(steps: number): void {
    const at = SPEEDS.indexOf(this.#on.video.playbackRate) + steps
    this.#on.video.playbackRate = SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at))] ?? 1
  }

  #toggleSettings(open: boolean, focus = false): void {
    this.#settings.hidden = !open
    this.#settingsToggle.setAttribute('aria-expanded', String(open))
    if (focus) this.#settingsToggle.focus()
    this.wake()
  }

  #toggleFullscreen(): void {
    const video: PhoneVideo = this.#on.video
    if (document.fullscreenElement !== null) void document.exitFullscreen()
    else if (document.fullscreenEnabled) void this.#on.stage.requestFullscreen().catch(() => undefined)
    else video.webkitEnterFullscreen?.()
  }

  /** Nothing to see: the bar stays, and there is nothing to make larger. */
  #isSound(): boolean {
    return this.#on.stage.classList.contains('sound')
  }

  #canPhoneFullscreen(): boolean {
    return 'webkitEnterFullscreen' in this.#on.video
  }

  #drawPlay(): void {
    const { video } = this.#on
    this.#on.stage.classList.toggle('still', video.paused)
    const icon = video.ended ? 'replay' : video.paused ? 'play' : 'pause'
    dress(this.#play, icon, text(video.paused ? 'play' : 'pause'), 'K')
  }

  #drawVolume(): void {
    const { video } = this.#on
    const silent = video.muted || video.volume === 0
    dress(this.#mute, silent ? 'silent' : 'sound', text(silent ? 'unmute' : 'mute'), 'M')
    const percent = silent ? 0 : Math.round(video.volume * 100)
    this.#volume.value = String(percent)
    this.#volume.style.setProperty('--played', `${percent}%`)
  }

  #drawFullscreen(): void {
    const isFull = document.fullscreenElement !== null
    dress(this.#fullscreen, isFull ? 'fullscreenEnd' : 'fullscreen', text(isFull ? 'fullscreenEnd' : 'fullscreen'), 'F')
  }

  #drawTime(): void {
    const { video } = this.#on
    const length = this.#length()
    const share = length > 0 ? Math.min(1, video.currentTime / length) : 0
    this.#seek.value = String(Math.round(share * SEEK_STEPS))
    this.#seek.style.setProperty('--played', `${share * 100}%`)
    this.#seek.style.setProperty('--buffered', `${this.#bufferedShare(length) * 100}%`)
    const now = clockText(video.currentTime)
    element('time-now', HTMLSpanElement).textContent = now
    this.#seek.setAttribute('aria-valuetext', text('positionText', { now, all: clockText(length) }))
  }

  /** How far the picture is there, from the present place on. */
  #bufferedShare(length: number): number {
    const { buffered, currentTime } = this.#on.video
    let end = currentTime
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= currentTime + 0.3 && buffered.end(i) > end) end = buffered.end(i)
    }
    return length > 0 ? Math.min(1, end / length) : 0
  }

  #drawHint(event: PointerEvent): void {
    const { left, width } = this.#seek.getBoundingClientRect()
    const share = Math.min(1, Math.max(0, (event.clientX - left) / width))
    const seconds = share * this.#length()
    this.#hint.hidden = false
    this.#picture.hidden = !this.#on.preview.draw(this.#picture, seconds)
    element('seek-time', HTMLSpanElement).textContent = clockText(seconds)
    // stays inside the stage at both ends
    const half = this.#hint.offsetWidth / 2
    this.#hint.style.setProperty('--at', `${Math.min(Math.max(share * width, half), width - half)}px`)
  }
}
