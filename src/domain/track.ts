/** A sound or captions track as a recording has it; the names of its assets tell it (docs/FORMAT.md §7). */
export interface Track {
  /** RFC 5646; "und" when unknown. */
  readonly language: string
  /** As the recording calls it: "Interpreter"; '' when it does not. */
  readonly title: string
}

/** One of several sound tracks of a recording. */
export interface SoundTrack extends Track {
  /** From 1; the first one is also in the renditions with a picture. */
  readonly number: number
}

const TITLE_MAX_CHARACTERS = 80
const languagePattern = /^[a-z]{2,8}(?:-[a-z0-9]{1,8})*$/i
const soundPattern = /^audio ([1-9]\d{0,3}) ([A-Za-z0-9-]+)(?: (\S.*))?$/s
const captionsPattern = /^([A-Za-z0-9-]+)(?: (\S.*))?$/s

/** A language as RFC 5646 has it ("ger", "deu", "DE" → "de"), or "und". Containers carry those of ISO 639-2. */
export function languageTag(said: string | null | undefined): string {
  const tag = said?.trim().replaceAll('_', '-') ?? ''
  if (!languagePattern.test(tag)) return 'und'
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? 'und'
  } catch {
    return 'und'
  }
}

/** A title as a track's name may hold it: one line without control and direction characters, at most 80 characters. */
export function trackTitle(said: string | null | undefined): string {
  const line = (said ?? '').replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]+/gu, ' ').replace(/\s+/g, ' ')
  return [...line.trim()].slice(0, TITLE_MAX_CHARACTERS).join('').trim()
}

/** Name of a sound rendition of a recording with several: "audio 2 en Interpreter". */
export function soundTrackName({ number, language, title }: SoundTrack): string {
  return ['audio', String(number), language, ...(title === '' ? [] : [title])].join(' ')
}

/** What the name of a sound rendition tells; `undefined` for "audio", and for names of another form. */
export function parseSoundTrackName(name: string): SoundTrack | undefined {
  const [, number, language, title = ''] = soundPattern.exec(name) ?? []
  return number === undefined || language === undefined ? undefined : { number: Number(number), language, title }
}

/** Name of a captions asset: "de", "en Interpreter". */
export function captionsTrackName({ language, title }: Track): string {
  return title === '' ? language : `${language} ${title}`
}

/** What the name of a captions asset tells; one of another form is a title. */
export function parseCaptionsTrackName(name: string): Track {
  const [, language, title = ''] = captionsPattern.exec(name) ?? []
  return language === undefined ? { language: 'und', title: trackTitle(name) } : { language, title }
}
