import { CAPTIONS_MAX } from '../domain/captions.ts'
import { mediaTypeOfName } from '../domain/media-type.ts'
import type { FolderFile } from '../ports/folder.ts'

/** Which files of a folder are recordings. */
export interface CandidateRules {
  /** Names, with * and ?; empty: whatever has the ending of a recording. */
  readonly include: readonly string[]
  /** Names, with * and ?, of files and folders that are left alone. */
  readonly ignore: readonly string[]
  readonly minBytes: number
}

/** Files that are still on their way, hidden ones, and those of programs that work in folders. */
export const DEFAULT_IGNORE: readonly string[] = [
  ...['*.part', '*.tmp', '*.crdownload', '*.filepart', '~*', '.*', '*.zoom', '.nfs*'],
]

/** A recording in a folder, with what lies beside it. */
export interface Candidate {
  readonly media: FolderFile
  /** `<name>.json` or `<stem>.json`. */
  readonly sidecar: FolderFile | undefined
  /** Set when the sidecar is `<stem>.json` and several recordings have that stem: whose it is cannot be told. */
  readonly isSidecarShared: boolean
  /** `<stem>.vtt` or `.srt`, and `<stem>.<language>.vtt` or `.srt`: one for each language, WebVTT before SubRip. */
  readonly captions: readonly FolderFile[]
  /** `<name>.done` or `<stem>.done`: whoever wrote it says that the recording is finished. */
  readonly isMarkedDone: boolean
  /** The same as long as nothing of it changes. */
  readonly signature: string
}

const companionPattern = /\.(?:json|done|vtt|srt)$/i
/** The stem of captions, and the language behind it. */
const captionsPattern = /^(.*?[^/])(\.[a-z]{2,3}(?:[-_][a-z0-9]{2,8})*)?\.(vtt|srt)$/is

/** Finds the recordings among a folder's files. */
export function findCandidates(files: readonly FolderFile[], rules: CandidateRules): Candidate[] {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const media = files.filter((file) => isRecording(file, rules))
  const stems = new Map<string, number>()
  for (const { path } of media) stems.set(stemOf(path), (stems.get(stemOf(path)) ?? 0) + 1)
  const captionsOfStem = findCaptions(files, stems)
  return media.map((file) => {
    const stem = stemOf(file.path)
    const own = byPath.get(`${file.path}.json`)
    const sidecar = own ?? byPath.get(`${stem}.json`)
    const captions = captionsOfStem.get(stem) ?? []
    return {
      media: file,
      sidecar,
      isSidecarShared: own === undefined && (stems.get(stem) ?? 0) > 1,
      captions,
      isMarkedDone: byPath.has(`${file.path}.done`) || byPath.has(`${stem}.done`),
      signature: [file, sidecar, ...captions].map(shapeOf).join('|'),
    }
  })
}

/** Captions by the stem that they belong to: `talk.de.vtt` is of `talk.de.mp4` where there is one, else of `talk.mp4`. */
function findCaptions(files: readonly FolderFile[], stems: ReadonlyMap<string, number>): Map<string, FolderFile[]> {
  const found = new Map<string, Map<string, FolderFile>>()
  // "talk.de.srt" before "talk.de.vtt": the later one stays
  for (const file of files.toSorted((a, b) => (a.path.toLowerCase() < b.path.toLowerCase() ? -1 : 1))) {
    const [, short, language = ''] = captionsPattern.exec(file.path) ?? []
    if (short === undefined) continue
    const whole = stemOf(file.path)
    const [stem, which] = stems.has(whole) ? [whole, ''] : [short, language.toLowerCase()]
    if (!found.has(stem)) found.set(stem, new Map())
    found.get(stem)?.set(which, file)
  }
  return new Map([...found].map(([stem, captions]) => [stem, [...captions.values()].slice(0, CAPTIONS_MAX)]))
}

/** Size, time and inode: what tells whether a file is still the one that was seen. */
export function shapeOf(file: FolderFile | undefined): string {
  return file === undefined ? '-' : `${file.path}:${file.sizeBytes}:${file.modifiedAtMs}:${file.inode}`
}

/** The last part of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** The path without the ending of its name. */
export function stemOf(path: string): string {
  return path.replace(/(?<=[^/])\.[^./]*$/, '')
}

function isRecording({ path, sizeBytes }: FolderFile, { include, ignore, minBytes }: CandidateRules): boolean {
  const name = nameOf(path)
  if (sizeBytes < minBytes || companionPattern.test(name)) return false
  if (path.split('/').some((part) => ignore.some((pattern) => matches(pattern, part)))) return false
  if (include.length > 0) return include.some((pattern) => matches(pattern, name))
  return mediaTypeOfName(name) !== 'application/octet-stream'
}

function matches(pattern: string, name: string): boolean {
  const expression = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  return new RegExp(`^${expression}$`, 'is').test(name)
}
