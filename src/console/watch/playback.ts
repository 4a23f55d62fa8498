import type { ErrorData, HlsConfig } from 'hls.js'
import { playlistLoader, segmentLoader } from './hls-loaders.ts'
import type { HlsClass } from './hls-script.ts'

/** What goes wrong while playing. */
export type PlaybackTrouble =
  /** Data does not come; it is tried again without end. */
  | 'starved'
  /** The server says that there is nothing: the session has to be asked. */
  | 'refused'
  /** The browser cannot play what comes. */
  | 'broken'

/** What the page wants to hear of. */
export interface PlaybackEvents {
  trouble(trouble: PlaybackTrouble): void
  /** Data comes again after trouble. */
  recovered(): void
  /** The qualities, or the one in use, have changed. */
  qualities(): void
  /** The sound tracks, or the one in use, have changed. */
  sounds(): void
}

/** A sound track as the stream names it. */
export interface Sound {
  /** BCP 47. */
  readonly language: string
  readonly label: string
}

/** A recording in a video element. */
export interface Playback {
  /** Lines of the pictures, the shorter side, by index; 0 without a picture, empty where the browser chooses by itself (native HLS). */
  readonly lines: readonly number[]
  /** Index in use now, -1 before the first. */
  readonly current: number
  /** Chosen index, or -1: automatic. */
  chosen: number
  /** Sounds that can be chosen; empty where there is one only. */
  readonly sounds: readonly Sound[]
  /** Index of the sound in use, -1 before the first. */
  sound: number
  /** Captions lie in the stream already (native HLS); else they are `<track>` elements. */
  readonly carriesCaptions: boolean
  stop(): void
}

const RETRY_FIRST_MS = 1_500
const RETRY_LONGEST_MS = 15_000
const MEDIA_RECOVERIES = 3

/** One more try by hls.js itself; what then still fails is ours, without end. */
const loadPolicy = (firstByteMs: number, wholeMs: number) => ({
  default: {
    maxTimeToFirstByteMs: firstByteMs,
    maxLoadTimeMs: wholeMs,
    timeoutRetry: { maxNumRetry: 1, retryDelayMs: 0, maxRetryDelayMs: 0 },
    errorRetry: { maxNumRetry: 1, retryDelayMs: 700, maxRetryDelayMs: 2_000 },
  },
})

/** What of hls.js is not used: the page has captions of its own, and nothing is encrypted, steered or interrupted. */
const unused: Readonly<Record<string, undefined>> = Object.fromEntries(
  [
    ...['subtitleStreamController', 'subtitleTrackController', 'timelineController', 'emeController'],
    ...['cmcdController', 'contentSteeringController', 'interstitialsController'],
  ].map((controller) => [controller, undefined]),
)

/**
 * Half a minute ahead, however small the film (maxBufferSize 0): a store may stall without the viewer noticing, and little is fetched
 * that nobody looks at; a minute
 * behind, for going back at once. No worker: fragmented MP4 needs no remuxing, and the page's policy allows no blob scripts.
 */
const config: Partial<HlsConfig> = {
  enableWorker: false,
  startFragPrefetch: true,
  maxBufferLength: 30,
  maxMaxBufferLength: 60,
  maxBufferSize: 0,
  backBufferLength: 60,
  abrEwmaDefaultEstimate: 4_000_000,
  capLevelToPlayerSize: true,
  fragLoadPolicy: loadPolicy(15_000, 60_000),
  playlistLoadPolicy: loadPolicy(10_000, 20_000),
  manifestLoadPolicy: loadPolicy(10_000, 20_000),
  ...unused,
}

/** What is to be played. */
export interface Source {
  /** Address of the master playlist. */
  readonly master: string
  /** Playlists that need not be fetched, by address. */
  readonly playlists: ReadonlyMap<string, string>
  /** Of a recording without a picture that has several sounds: each by its own playlist, for players take the sound of a picture only for another. */
  readonly sounds: readonly (Sound & { readonly address: string })[]
  readonly startSeconds: number
}

/** Starts loading into `video`, by Media Source where there is one, else by the browser's own HLS; `undefined`: by neither. */
export function startPlayback(
  Hls: HlsClass | undefined,
  video: HTMLVideoElement,
  source: Source,
  events: PlaybackEvents,
): Playback | undefined {
  if (Hls?.isSupported() === true) return startHls(Hls, video, source, events)
  if (video.canPlayType('application/vnd.apple.mpegurl') !== '') return startNative(video, source, events)
  return undefined
}

function startHls(Hls: HlsClass, video: HTMLVideoElement, source: Source, events: PlaybackEvents): Playback {
  const { startSeconds, sounds: alone } = source
  let address = alone[0]?.address ?? source.master
  const startPosition = startSeconds > 0 ? startSeconds : -1
  // Where sounds can be chosen, each has a buffer of its own beside the picture's, and that of the pictures is left out.
  const fLoader = segmentLoader(Hls, () => hls.audioTracks.length > 0)
  const pLoader = playlistLoader(Hls, source.playlists)
  const hls: InstanceType<HlsClass> = new Hls({ ...config, startPosition, fLoader, pLoader })
  let retryTimer: ReturnType<typeof setTimeout> | undefined
  let retryMs = RETRY_FIRST_MS
  let mediaRecoveries = 0
  let inTrouble = false

  function tryAgain(): void {
    clearTimeout(retryTimer)
    retryTimer = setTimeout(() => {
      if (hls.levels.length === 0) hls.loadSource(address)
      else hls.startLoad(video.currentTime)
    }, retryMs)
    retryMs = Math.min(RETRY_LONGEST_MS, retryMs * 1.6)
  }

  function onError(data: ErrorData): void {
    const status = data.response?.code
    // 404 with or without further tries: the session is over, or something is; 503 and silence pass
    if (status === 404 || status === 403) events.trouble('refused')
    if (!data.fatal) return
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && mediaRecoveries < MEDIA_RECOVERIES) {
      mediaRecoveries += 1
      hls.recoverMediaError()
      return
    }
    if (data.type !== Hls.ErrorTypes.NETWORK_ERROR) {
      events.trouble('broken')
      return
    }
    inTrouble = true
    events.trouble('starved')
    tryAgain()
  }

  hls.on(Hls.Events.ERROR, (_event, data) => onError(data))
  hls.on(Hls.Events.FRAG_BUFFERED, () => {
    retryMs = RETRY_FIRST_MS
    if (inTrouble) {
      inTrouble = false
      clearTimeout(retryTimer)
      events.recovered()
    }
  })
  hls.on(Hls.Events.MANIFEST_PARSED, () => events.qualities())
  hls.on(Hls.Events.LEVEL_SWITCHED, () => events.qualities())
  hls.on(Hls.Events.AUDIO_TRACKS_UPDATED, () => events.sounds())
  hls.on(Hls.Events.AUDIO_TRACK_SWITCHING, () => events.sounds())
  hls.loadSource(address)
  hls.attachMedia(video)

  return {
    get lines() {
      return hls.levels.map(({ width, height }) => Math.min(width, height))
    },
    get current() {
      return hls.currentLevel
    },
    get chosen() {
      return hls.manualLevel
    },
    set chosen(index) {
      // from the next segment on: what is buffered of the other quality goes, and the picture never stops
      hls.nextLevel = index
      events.qualities()
    },
    get sounds() {
      if (alone.length > 0) return alone
      return hls.audioTracks.map(({ lang = '', name }) => ({ language: lang, label: name }))
    },
    get sound() {
      return alone.length > 0 ? alone.findIndex((sound) => sound.address === address) : hls.audioTrack
    },
    set sound(index) {
      const next = alone[index]
      if (next === undefined) {
        hls.audioTrack = index
        return
      }
      address = next.address
      hls.config.startPosition = video.currentTime
      if (!video.paused) hls.once(Hls.Events.MANIFEST_PARSED, () => void video.play().catch(() => undefined))
      hls.loadSource(address)
      events.sounds()
    },
    carriesCaptions: false,
    stop() {
      clearTimeout(retryTimer)
      hls.destroy()
      empty(video)
    },
  }
}

/** Sound tracks of a video element, which only some browsers tell. */
type NativeSounds = EventTarget & ArrayLike<{ readonly language: string; readonly label: string; enabled: boolean }>

function nativeSounds(video: HTMLVideoElement) {
  return (video as HTMLVideoElement & { readonly audioTracks?: NativeSounds }).audioTracks
}

function startNative(video: HTMLVideoElement, source: Source, events: PlaybackEvents): Playback {
  const { startSeconds, sounds: alone } = source
  let address = alone[0]?.address ?? source.master
  let retryTimer: ReturnType<typeof setTimeout> | undefined
  let retryMs = RETRY_FIRST_MS
  let goOnAt = startSeconds
  let goOn = false
  let inTrouble = false
  let isChanging = false
  const listening = new AbortController()
  const { signal } = listening

  video.addEventListener(
    'error',
    () => {
      if (video.error?.code === MediaError.MEDIA_ERR_DECODE) {
        events.trouble('broken')
        return
      }
      if (!inTrouble) {
        goOnAt = video.currentTime > 0 ? video.currentTime : goOnAt
        goOn = !video.paused
      }
      inTrouble = true
      events.trouble('refused')
      events.trouble('starved')
      retryTimer = setTimeout(() => video.load(), retryMs)
      retryMs = Math.min(RETRY_LONGEST_MS, retryMs * 1.6)
    },
    { signal },
  )
  video.addEventListener(
    'loadedmetadata',
    () => {
      if (goOnAt > 0) video.currentTime = goOnAt
      retryMs = RETRY_FIRST_MS
      if (!inTrouble && !isChanging) return
      if (inTrouble) events.recovered()
      inTrouble = isChanging = false
      if (goOn) void video.play().catch(() => undefined)
    },
    { signal },
  )
  const tracks = nativeSounds(video)
  for (const event of ['addtrack', 'removetrack', 'change']) {
    tracks?.addEventListener(event, () => events.sounds(), { signal })
  }
  video.src = address

  return {
    lines: [],
    current: -1,
    chosen: -1,
    get sounds() {
      if (alone.length > 0) return alone
      return tracks === undefined || tracks.length < 2
        ? []
        : Array.from(tracks, ({ language, label }) => ({ language, label }))
    },
    get sound() {
      if (alone.length > 0) return alone.findIndex((sound) => sound.address === address)
      return Array.from(tracks ?? []).findIndex(({ enabled }) => enabled)
    },
    set sound(index) {
      const next = alone[index]
      if (next !== undefined) {
        address = next.address
        goOnAt = video.currentTime
        goOn = !video.paused
        isChanging = true
        video.src = address
        events.sounds()
        return
      }
      Array.from(tracks ?? []).forEach((track, i) => (track.enabled = i === index))
    },
    carriesCaptions: true,
    stop() {
      listening.abort()
      clearTimeout(retryTimer)
      empty(video)
    },
  }
}

/** Takes the picture away too: what was withdrawn is not to stand still on the screen. */
function empty(video: HTMLVideoElement): void {
  video.pause()
  video.removeAttribute('src')
  video.removeAttribute('poster')
  video.load()
}
