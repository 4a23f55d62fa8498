/** The page's words in one language. `{name}` is replaced. */
const english = {
  view: 'View',
  gateTitle: 'A recording has been shared with you',
  gateText: 'It opens when you press View. You need no account.',
  gateHeading: 'Recording',
  noTokenTitle: 'This link is not complete',
  noTokenText: 'Please copy the whole link, with everything behind the # sign, or ask for it again.',
  opening: 'Opening …',
  passcodeTitle: 'This recording is protected by a passcode',
  passcodeText: 'You got it from the person who sent the link, most likely in another message.',
  passcodeLabel: 'Passcode',
  passcodeShow: 'Show',
  passcodeShowName: 'Show the passcode',
  passcodeMissing: 'Please enter the passcode.',
  passcodeWrong: 'This is not the passcode. After five wrong ones the link is closed for a quarter of an hour.',
  passcodeOpen: 'Open',
  lockedTitle: 'Too many wrong passcodes',
  lockedText: 'The link is closed for now. Please try again in {minutes} min.',
  unplayableTitle: 'This recording cannot be played',
  unplayableText: 'It is stored safely, but no video could be made from it.',
  unplayableDownload: 'It is stored safely, but no video could be made from it. You can download the original.',
  invalidTitle: 'This link is not valid (any more)',
  invalidText: 'It may have expired or been withdrawn. Please ask the person who sent it for a new one.',
  lapsedTitle: 'You were away for a while',
  lapsedText: 'The recording was closed to be on the safe side. It goes on where you left it.',
  resume: 'Continue',
  unavailableTitle: 'Temporarily not available',
  unavailableText: 'We keep trying and go on by ourselves where you were.',
  preparingTitle: 'The recording is being prepared',
  preparingText: 'This page starts by itself when it is ready.',
  tooManyTitle: 'Too many attempts',
  tooManyText: 'Please wait a minute, then try again.',
  brokenTitle: 'This recording cannot be played here',
  brokenText: 'Your browser could not play it. Please try another browser or device.',
  retry: 'Try again',
  play: 'Play',
  pause: 'Pause',
  mute: 'Mute',
  unmute: 'Sound on',
  volume: 'Volume',
  position: 'Position',
  positionText: '{now} of {all}',
  controls: 'Player controls',
  captions: 'Captions',
  captionsOff: 'Off',
  sound: 'Audio track',
  unnamedTrack: 'Track {number}',
  settings: 'Settings',
  quality: 'Quality',
  qualityAuto: 'Automatic',
  qualityAutoNow: 'Automatic ({now})',
  speed: 'Speed',
  speedNormal: 'Normal',
  fullscreen: 'Full screen',
  fullscreenEnd: 'Leave full screen',
  downloads: 'Download',
  downloadOriginal: 'Original ({size})',
  downloadVideo: 'MP4, {lines}p ({size})',
  downloadSound: 'M4A, sound ({size})',
  downloadTrack: 'M4A, {track} ({size})',
  minutes: '{count} min',
  seconds: '{count} s',
  hours: '{hours} h {minutes} min',
  validUntil: 'Shared with you by link. The link is valid until {date}.',
  untitled: 'Recording',
} as const

/** Names of the page's texts. */
export type TextName = keyof typeof english

const german: Readonly<Record<TextName, string>> = {
  view: 'Ansehen',
  gateTitle: 'Eine Aufzeichnung wurde für Sie freigegeben',
  gateText: 'Sie öffnet sich mit „Ansehen“. Ein Konto brauchen Sie nicht.',
  gateHeading: 'Aufzeichnung',
  noTokenTitle: 'Dieser Link ist nicht vollständig',
  noTokenText:
    'Bitte kopieren Sie den ganzen Link samt allem hinter dem Zeichen #, oder lassen Sie ihn sich neu schicken.',
  opening: 'Wird geöffnet …',
  passcodeTitle: 'Diese Aufzeichnung ist mit einem Kenncode geschützt',
  passcodeText:
    'Sie haben ihn von der Person, die Ihnen den Link geschickt hat, wahrscheinlich in einer anderen Nachricht.',
  passcodeLabel: 'Kenncode',
  passcodeShow: 'Zeigen',
  passcodeShowName: 'Kenncode zeigen',
  passcodeMissing: 'Bitte geben Sie den Kenncode ein.',
  passcodeWrong: 'Das ist nicht der Kenncode. Nach fünf falschen ist der Link für eine Viertelstunde geschlossen.',
  passcodeOpen: 'Öffnen',
  lockedTitle: 'Zu viele falsche Kenncodes',
  lockedText: 'Der Link ist vorerst geschlossen. Bitte versuchen Sie es in {minutes} Min. noch einmal.',
  unplayableTitle: 'Diese Aufzeichnung lässt sich nicht abspielen',
  unplayableText: 'Sie ist sicher aufbewahrt, aber es ließ sich kein Video daraus machen.',
  unplayableDownload:
    'Sie ist sicher aufbewahrt, aber es ließ sich kein Video daraus machen. Das Original können Sie herunterladen.',
  invalidTitle: 'Dieser Link gilt nicht (mehr)',
  invalidText: 'Er ist abgelaufen oder wurde zurückgezogen. Bitte fragen Sie nach einem neuen.',
  lapsedTitle: 'Sie waren eine Weile nicht da',
  lapsedText: 'Zur Sicherheit wurde die Aufzeichnung geschlossen. Es geht dort weiter, wo Sie waren.',
  resume: 'Weiter ansehen',
  unavailableTitle: 'Vorübergehend nicht verfügbar',
  unavailableText: 'Wir versuchen es weiter; es geht von selbst dort weiter, wo Sie waren.',
  preparingTitle: 'Die Aufzeichnung wird noch vorbereitet',
  preparingText: 'Sie öffnet sich hier von selbst, sobald sie fertig ist.',
  tooManyTitle: 'Zu viele Versuche',
  tooManyText: 'Bitte warten Sie eine Minute und versuchen es dann noch einmal.',
  brokenTitle: 'Diese Aufzeichnung lässt sich hier nicht abspielen',
  brokenText: 'Ihr Browser konnte sie nicht abspielen. Bitte versuchen Sie es mit einem anderen Browser oder Gerät.',
  retry: 'Noch einmal versuchen',
  play: 'Abspielen',
  pause: 'Pause',
  mute: 'Ton aus',
  unmute: 'Ton an',
  volume: 'Lautstärke',
  position: 'Position',
  positionText: '{now} von {all}',
  controls: 'Bedienung',
  captions: 'Untertitel',
  captionsOff: 'Aus',
  sound: 'Tonspur',
  unnamedTrack: 'Spur {number}',
  settings: 'Einstellungen',
  quality: 'Qualität',
  qualityAuto: 'Automatisch',
  qualityAutoNow: 'Automatisch ({now})',
  speed: 'Tempo',
  speedNormal: 'Normal',
  fullscreen: 'Vollbild',
  fullscreenEnd: 'Vollbild beenden',
  downloads: 'Herunterladen',
  downloadOriginal: 'Original ({size})',
  downloadVideo: 'MP4, {lines}p ({size})',
  downloadSound: 'M4A, nur Ton ({size})',
  downloadTrack: 'M4A, {track} ({size})',
  minutes: '{count} Min.',
  seconds: '{count} Sek.',
  hours: '{hours} Std. {minutes} Min.',
  validUntil: 'Mit Ihnen per Link geteilt. Der Link gilt bis {date}.',
  untitled: 'Aufzeichnung',
}

/** The page's language: German where the browser prefers it to English, else English. */
export const language: 'de' | 'en' =
  navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag === 'de' || tag === 'en') === 'de'
    ? 'de'
    : 'en'

/** The browser's own tag of that language, for dates and numbers as its owner writes them. */
const locale = navigator.languages.find((tag) => tag.toLowerCase().startsWith(language)) ?? language

/** One of each: making one takes a browser some milliseconds, before the first picture. */
const dates = new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short' })
const numbers = new Intl.NumberFormat(locale)

/** A text in the page's language. */
export function text(name: TextName, values: Readonly<Record<string, string | number>> = {}): string {
  const template: string = (language === 'de' ? german : english)[name]
  return template.replace(/\{(\w+)\}/g, (whole, key: string) => String(values[key] ?? whole))
}

/** A day and time as people write it. */
export function dateText(iso: string): string {
  return dates.format(new Date(iso))
}

/** "1 h 5 min", "12 min", "40 s". */
export function durationText(durationMs: number): string {
  const seconds = Math.round(durationMs / 1000)
  const minutes = Math.round(seconds / 60)
  if (seconds < 60) return text('seconds', { count: seconds })
  if (minutes < 60) return text('minutes', { count: minutes })
  return text('hours', { hours: Math.floor(minutes / 60), minutes: minutes % 60 })
}

/** "4:05" or "1:04:05". */
export function clockText(seconds: number): string {
  const whole = Number.isFinite(seconds) ? Math.max(0, Math.floor(seconds)) : 0
  const two = (count: number): string => String(count).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`
}

/** "1.2 GB" in decimal units. */
export function sizeText(bytes: number): string {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte']
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3))
  const unit = units[step] ?? 'byte'
  const format = { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: step > 2 ? 1 : 0 } as const
  return new Intl.NumberFormat(locale, format).format(bytes / 1000 ** step)
}

/** A language's name in the page's language; the tag itself when it is none. */
export function languageText(tag: string): string {
  try {
    return new Intl.DisplayNames([locale], { type: 'language' }).of(tag) ?? tag
  } catch {
    return tag
  }
}

/** Names of tracks, by language in the page's language and by title; equal ones and those without either are numbered. */
export function trackTexts(tracks: readonly { readonly language: string; readonly title: string }[]): string[] {
  const plain = tracks.map(({ language, title }) =>
    [language === 'und' || language === '' ? '' : languageText(language), title]
      .filter((part) => part !== '')
      .join(' – '),
  )
  return plain.map((name, i) => {
    const equal = plain.flatMap((other, at) => (other === name ? [at] : []))
    if (name === '') return text('unnamedTrack', { number: i + 1 })
    return equal.length === 1 ? name : `${name} (${equal.indexOf(i) + 1})`
  })
}

/** A playing speed: "1.5×". */
export function speedText(rate: number): string {
  return rate === 1 ? text('speedNormal') : `${numbers.format(rate)}×`
}
