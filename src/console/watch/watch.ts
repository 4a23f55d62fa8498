import { Captions } from './captions.ts'
import { Controls } from './controls.ts'
import { element, layTiles } from './page.ts'
import { loadHls, type HlsClass } from './hls-script.ts'
import { Preview } from './preview.ts'
import { startPlayback, type Playback, type PlaybackTrouble } from './playback.ts'
import { dateText, durationText, language, sizeText, text, trackTexts, type TextName } from './texts.ts'
import { Refused, Visit, type Download, type Recording, type Refusal } from './visit.ts'

/** While somebody watches, the server is asked this often whether the link still holds: a revocation is seen within 5 s. */
const WATCHING_BEAT_MS = 3_000
/** While the picture stands but the page is in view, this often, so that the session does not lapse. */
const PAUSED_BEAT_MS = 60_000
const PREPARING_RETRY_MS = 10_000
const OPENING_RETRY_MS = 4_000
const HAVE_FUTURE_DATA = 3

type StageState = 'gate' | 'message' | 'poster' | 'waiting' | 'playing'

const stage = element('stage', HTMLDivElement)
const video = element('video', HTMLVideoElement)
const begin = element('begin', HTMLButtonElement)
const preview = new Preview()
const captions = new Captions(video, element('captions', HTMLDivElement), () => controls?.tracks.drawCaptions())
/** Made when the film is on its way: until then nobody needs them, and it would come later. */
let controls: Controls | undefined

let visit = Visit.fromAddress(location.hash)
let playback: Playback | undefined
/** Loads the small pictures of the seek bar; nothing when they are there. */
let previewNow: () => void = () => undefined
let starved = false
let timer: ReturnType<typeof setTimeout> | undefined
let beatTimer: ReturnType<typeof setTimeout> | undefined

/** Shows the cover: what is the matter, and the button if there is something to press. */
function cover(
  state: StageState,
  words: {
    title?: string
    words?: string
    button?: string
    busy?: boolean
    press?: () => void
    /** Asks for the passcode too; the text says what was wrong with the last one. */
    passcode?: string
  } = {},
): void {
  stage.dataset['state'] = state
  element('cover-title', HTMLParagraphElement).textContent = words.title ?? ''
  element('cover-text', HTMLParagraphElement).textContent = words.words ?? ''
  element('cover-busy', HTMLDivElement).hidden = words.busy !== true
  begin.hidden = words.button === undefined
  element('begin-label', HTMLSpanElement).textContent = words.button ?? ''
  begin.onclick = words.press ?? null
  const form = element('passcode-form', HTMLFormElement)
  form.hidden = words.passcode === undefined
  stage.classList.toggle('asking', words.passcode !== undefined)
  element('passcode-fault', HTMLParagraphElement).textContent = words.passcode ?? ''
  if (state !== 'playing' && words.title !== undefined) say(words.title)
}

/** Tells those who listen. */
function say(words: string): void {
  element('status', HTMLParagraphElement).textContent = words
}

/** The heading below the stage; while there is no recording it is for screen readers only. */
function heading(title: string, meta: string): void {
  element('title', HTMLHeadingElement).textContent = title
  element('title', HTMLHeadingElement).classList.toggle('unseen', meta === '')
  element('meta', HTMLParagraphElement).textContent = meta
}

function gate(): void {
  heading(text('gateHeading'), '')
  cover('gate', {
    title: text('gateTitle'),
    words: text('gateText'),
    button: text('view'),
    press: () => void enter(true),
  })
}

/** Asks for the passcode. @param fault what was wrong with the last one. */
function askPasscode(fault = ''): void {
  const field = element('passcode', HTMLInputElement)
  cover('gate', {
    title: text('passcodeTitle'),
    words: text('passcodeText'),
    button: text('passcodeOpen'),
    passcode: fault,
    press: () => {
      if (field.value.trim() === '') askPasscode(text('passcodeMissing'))
      else void enter(true, field.value)
    },
  })
  field.setAttribute('aria-invalid', String(fault !== ''))
  field.select()
  field.focus()
}

/** Goes in: by exchanging the token where needed, then by opening the recording. */
async function enter(play: boolean, passcode?: string): Promise<void> {
  if (visit === undefined) return
  clearTimeout(timer)
  cover(playback === undefined ? 'gate' : 'waiting', { title: text('opening'), busy: true })
  const current = visit
  const light = loadHls('hls-light')
  light.catch(() => undefined) // awaited when it is known that it is what is needed
  try {
    if (!current.isBegun) await current.begin(passcode)
    if (passcode !== undefined) element('passcode', HTMLInputElement).value = ''
    const recording = await current.recording()
    const isPlayable = recording.state === 'ready'
    open(current, recording, play, isPlayable ? await (hasSounds(recording) ? loadHls('hls') : light) : undefined)
  } catch (error) {
    const refused = error instanceof Refused ? error : new Refused('unavailable')
    if (refused.refusal === 'passcode') askPasscode(passcode === undefined ? '' : text('passcodeWrong'))
    else if (refused.refusal === 'unavailable' && !visit.isBegun && passcode !== undefined) {
      refuse('unavailable', play, 0, passcode)
    } else refuse(refused.refusal, play, refused.waitMs)
  }
}

function refuse(refusal: Refusal, play: boolean, waitMs = 0, passcode?: string): void {
  const message = (title: TextName, words: TextName) => ({ title: text(title), words: text(words) })
  clearTimeout(timer)
  if (refusal === 'unavailable' || refusal === 'preparing') {
    const preparing = refusal === 'preparing'
    const words = preparing
      ? message('preparingTitle', 'preparingText')
      : message('unavailableTitle', 'unavailableText')
    cover('message', { ...words, busy: true })
    timer = setTimeout(() => void enter(play, passcode), preparing ? PREPARING_RETRY_MS : OPENING_RETRY_MS)
    return
  }
  close()
  if (refusal === 'too-many') {
    cover('message', {
      ...message('tooManyTitle', 'tooManyText'),
      button: text('retry'),
      press: () => void enter(true),
    })
    return
  }
  if (refusal === 'locked') {
    cover('message', {
      title: text('lockedTitle'),
      words: text('lockedText', { minutes: Math.max(1, Math.ceil(waitMs / 60_000)) }),
      button: text('retry'),
      press: () => askPasscode(),
    })
    return
  }
  if (refusal === 'lapsed') {
    visit?.leave()
    cover('message', {
      ...message('lapsedTitle', 'lapsedText'),
      button: text('resume'),
      press: () => void enter(true),
    })
    return
  }
  visit?.forget()
  heading(text('gateHeading'), '')
  document.title = 'Mosaik'
  element('footer', HTMLElement).textContent = ''
  cover('message', message('invalidTitle', 'invalidText'))
}

/** Puts the recording on the stage. */
function open(current: Visit, recording: Recording, play: boolean, hls: HlsClass | undefined): void {
  if (recording.state !== 'ready') {
    describe(current, recording)
    if (recording.state === 'preparing') refuse('preparing', play)
    else showUnplayable(recording)
    return
  }

  starved = false
  playback?.stop()
  const isSound = recording.renditions.every(({ height }) => height === 0)
  stage.classList.toggle('sound', isSound)
  stage.classList.toggle(
    'upright',
    recording.renditions.some(({ width, height }) => height > width),
  )
  const { storyboard } = recording
  // small pictures of the seek bar compete with the first picture of the film: they come after it
  previewNow = () => preview.load(storyboard === null ? null : current.address(storyboard))
  // whoever has pressed waits for the film: its poster would only come before it
  if (recording.poster !== null && (isSound || !play)) video.poster = current.address(recording.poster)
  const source = {
    ...{ master: current.address('master.m3u8'), playlists: current.playlists },
    startSeconds: current.positionSeconds,
    sounds: soundsAlone(current, recording),
  }
  playback = startPlayback(hls, video, source, {
    trouble: (trouble) => onTrouble(trouble),
    recovered: () => {
      starved = false
      if (stage.dataset['state'] === 'waiting') cover('playing')
    },
    qualities: () => controls?.drawQualities(),
    sounds: () => controls?.tracks.drawSounds(),
  })
  // the film is on its way: time for words and buttons
  controls ??= new Controls({ stage, video, captions: () => captions, playback: () => playback, preview })
  describe(current, recording)
  if (playback === undefined) {
    onTrouble('broken')
    return
  }
  captions.load(
    playback.carriesCaptions
      ? []
      : recording.captions.map(({ language, title, url }) => ({ language, title, address: current.address(url) })),
  )
  controls.tracks.load(recording.renditions.flatMap(({ track }) => (track === null ? [] : [track])))
  controls.drawQualities()
  controls.setDuration(recording.durationMs / 1000)
  poster()
  if (play) void start()
  beat()
}

/** Title, times and what may be taken away, below the stage. */
function describe(current: Visit, recording: Recording): void {
  const title = recording.title.trim() === '' ? text('untitled') : recording.title
  const started = recording.startedAt === null ? [] : [dateText(recording.startedAt)]
  const length = recording.state === 'ready' ? [durationText(recording.durationMs)] : []
  heading(title, [...started, ...length].join(' · '))
  document.title = `${title} – Mosaik`
  element('footer', HTMLElement).textContent = text('validUntil', { date: dateText(recording.linkExpiresAt) })
  showDownloads(current, recording)
}

/** True when there are sounds to choose from beside a picture. */
function hasSounds({ renditions }: Recording): boolean {
  return renditions.some(({ track }) => track !== null) && renditions.some(({ height }) => height > 0)
}

/** The sounds of a recording that has several, and no picture. */
function soundsAlone(current: Visit, { renditions }: Recording) {
  if (renditions.length < 2 || renditions.some(({ track }) => track === null)) return []
  return renditions.map(({ track, playlist }) => ({
    ...{ language: track?.language ?? '', label: track?.title ?? '' },
    address: current.address(playlist),
  }))
}

/** No rendition could be made: said as it is, instead of being waited for. */
function showUnplayable(recording: Recording): void {
  cover('message', {
    title: text('unplayableTitle'),
    words: text(recording.download === null ? 'unplayableText' : 'unplayableDownload'),
  })
}

/** What may be taken away: the original, and each quality as one file. */
function showDownloads(current: Visit, { download, renditions }: Recording): void {
  const size = (file: Download): string => sizeText(file.contentBytes)
  const sounds = trackTexts(renditions.flatMap(({ track }) => (track === null ? [] : [track])))
  const files = download === null ? [] : [{ file: download, name: text('downloadOriginal', { size: size(download) }) }]
  for (const { track, width, height, download: file } of renditions) {
    const sound = track === null ? undefined : sounds.shift()
    if (file === null) continue
    const values = { size: size(file), lines: Math.min(width, height), track: sound ?? '' }
    files.push({ file, name: text(sound ? 'downloadTrack' : height === 0 ? 'downloadSound' : 'downloadVideo', values) })
  }
  element('downloads', HTMLDetailsElement).hidden = files.length === 0
  element('downloads-label', HTMLElement).textContent = text('downloads')
  element('downloads-list', HTMLUListElement).replaceChildren(
    ...files.map(({ file, name }) => {
      const link = document.createElement('a')
      link.href = current.address(file.url)
      link.textContent = name
      const item = document.createElement('li')
      item.append(link)
      return item
    }),
  )
}

function poster(): void {
  controls?.hide()
  cover('poster', { button: text('play'), press: () => void start() })
}

async function start(): Promise<void> {
  cover('playing')
  controls?.show()
  try {
    await video.play()
  } catch (error) {
    // the browser wants a press of its own; an abort comes from a new load
    if (error instanceof DOMException && error.name === 'NotAllowedError') poster()
  }
}

function onTrouble(trouble: PlaybackTrouble): void {
  if (trouble === 'broken') {
    close()
    cover('message', {
      title: text('brokenTitle'),
      words: text('brokenText'),
      button: text('retry'),
      press: () => void enter(true),
    })
    return
  }
  if (trouble === 'starved') starved = true
  if (trouble === 'refused') beat(true)
  showStarved()
}

/** Only when the picture really stands: what is buffered is played to its end. */
function showStarved(): void {
  if (!starved || playback === undefined || video.readyState >= HAVE_FUTURE_DATA) return
  cover('waiting', { title: text('unavailableTitle'), words: text('unavailableText'), busy: true })
}

function close(): void {
  clearTimeout(beatTimer)
  starved = false
  keepPosition()
  playback?.stop()
  playback = undefined
  captions.load([])
  controls?.hide()
  previewNow = () => undefined
  preview.load(null)
  stage.classList.remove('sound', 'upright')
  element('downloads', HTMLDetailsElement).hidden = true
}

function keepPosition(): void {
  if (video.currentTime > 0) visit?.keepPosition(video.ended ? 0 : video.currentTime)
}

/**
 * Asks whether the link still holds, now and from time to time; not when it has just been said, unless there is `doubt`. A page that nobody
 * sees is silent: its session lapses.
 */
function beat(doubt = false): void {
  clearTimeout(beatTimer)
  const current = visit
  if (current === undefined || playback === undefined) return
  const watching = !video.paused && !video.ended
  const holdsForMs = doubt ? 0 : Math.max(0, WATCHING_BEAT_MS - current.sinceUseMs)
  const nextMs = watching ? holdsForMs || WATCHING_BEAT_MS : PAUSED_BEAT_MS
  beatTimer = setTimeout(() => beat(), nextMs)
  if (!watching && document.hidden) return
  keepPosition()
  if (holdsForMs > 0) return
  current.stay().catch((error: unknown) => {
    const refusal = error instanceof Refused ? error.refusal : 'unavailable'
    if (playback !== undefined && (refusal === 'invalid' || refusal === 'lapsed')) refuse(refusal, true)
  })
}

document.documentElement.lang = language
element('passcode-label', HTMLLabelElement).textContent = text('passcodeLabel')
const showPasscode = element('passcode-show', HTMLButtonElement)
showPasscode.textContent = text('passcodeShow')
showPasscode.setAttribute('aria-label', text('passcodeShowName'))
showPasscode.addEventListener('click', () => {
  const field = element('passcode', HTMLInputElement)
  const isShown = field.type === 'text'
  field.type = isShown ? 'password' : 'text'
  showPasscode.setAttribute('aria-pressed', String(!isShown))
})
element('passcode-form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  begin.click()
})
layTiles(element('tiles', SVGSVGElement))
for (const event of ['waiting', 'stalled']) video.addEventListener(event, showStarved)
video.addEventListener('playing', () => {
  previewNow()
  previewNow = () => undefined
})
for (const event of ['play', 'pause']) video.addEventListener(event, () => beat())
document.addEventListener('visibilitychange', () => beat())
element('cover', HTMLDivElement).addEventListener('click', (event) => {
  if (stage.dataset['state'] === 'poster' && event.target !== begin && !begin.contains(event.target as Node))
    begin.click()
})
window.addEventListener('hashchange', () => {
  close()
  visit = Visit.fromAddress(location.hash)
  arrive()
})

function arrive(): void {
  if (visit === undefined) {
    heading(text('gateHeading'), '')
    cover('message', { title: text('noTokenTitle'), words: text('noTokenText') })
  } else if (visit.isBegun) void enter(false)
  else gate()
}

arrive()
