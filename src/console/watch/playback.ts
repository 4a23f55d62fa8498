import Hls, { type ErrorData, type HlsConfig } from 'hls.js'

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
}

/** A recording in a video element. */
export interface Playback {
  /** Heights of the pictures by index; empty where the browser chooses by itself (native HLS). */
  readonly heights: readonly number[]
  /** Index in use now, -1 before the first. */
  readonly current: number
  /** Chosen index, or -1: automatic. */
  chosen: number
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

/**
 * Half a minute ahead, however small the film (maxBufferSize 0): a store may stall without the viewer noticing, and little is fetched
 * that nobody looks at; a minute
 * behind, for going back at once. No worker: fragmented MP4 needs no remuxing, and the page's policy allows no blob scripts.
 */
const config: Partial<HlsConfig> = {
  enableWorker: false,
  maxBufferLength: 30,
  maxMaxBufferLength: 60,
  maxBufferSize: 0,
  backBufferLength: 60,
  abrEwmaDefaultEstimate: 4_000_000,
  capLevelToPlayerSize: true,
  fragLoadPolicy: loadPolicy(15_000, 60_000),
  playlistLoadPolicy: loadPolicy(10_000, 20_000),
  manifestLoadPolicy: loadPolicy(10_000, 20_000),
}

/** Starts loading `master` into `video` at a second, by Media Source where there is one, else by the browser's own HLS. */
export function startPlayback(
  video: HTMLVideoElement,
  master: string,
  startSeconds: number,
  events: PlaybackEvents,
): Playback | undefined {
  if (Hls.isSupported()) return startHls(video, master, startSeconds, events)
  if (video.canPlayType('application/vnd.apple.mpegurl') !== '') return startNative(video, master, startSeconds, events)
  return undefined
}

function startHls(video: HTMLVideoElement, master: string, startSeconds: number, events: PlaybackEvents): Playback {
  const hls = new Hls({ ...config, startPosition: startSeconds > 0 ? startSeconds : -1 })
  let retryTimer: ReturnType<typeof setTimeout> | undefined
  let retryMs = RETRY_FIRST_MS
  let mediaRecoveries = 0
  let inTrouble = false

  function tryAgain(): void {
    clearTimeout(retryTimer)
    retryTimer = setTimeout(() => {
      if (hls.levels.length === 0) hls.loadSource(master)
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
  hls.loadSource(master)
  hls.attachMedia(video)

  return {
    get heights() {
      return hls.levels.map(({ height }) => height)
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
    carriesCaptions: false,
    stop() {
      clearTimeout(retryTimer)
      hls.destroy()
      empty(video)
    },
  }
}

function startNative(video: HTMLVideoElement, master: string, startSeconds: number, events: PlaybackEvents): Playback {
  let retryTimer: ReturnType<typeof setTimeout> | undefined
  let retryMs = RETRY_FIRST_MS
  let goOnAt = startSeconds
  let goOn = false
  let inTrouble = false
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
      if (!inTrouble) return
      inTrouble = false
      events.recovered()
      if (goOn) void video.play().catch(() => undefined)
    },
    { signal },
  )
  video.src = master

  return {
    heights: [],
    current: -1,
    chosen: -1,
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
