import { MosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { Link } from '../../domain/link.ts'
import { captionsPlaylist, masterPlaylist, mediaPlaylist, type PlaylistTrack } from '../../domain/playlist.ts'
import type { Manifest, ManifestAsset, PlaybackIndex } from '../../domain/recording.ts'
import { SPRITE_FILE } from '../../domain/storyboard.ts'
import {
  captionsTrackName,
  parseCaptionsTrackName,
  parseSoundTrackName,
  type SoundTrack,
  type Track,
} from '../../domain/track.ts'

/** What the watch page learns of a recording (`/s/<grant>/recording.json`). Names, e-mail addresses and node layout stay inside. */
export interface RecordingView {
  readonly title: string
  /** ISO 8601 or null when the source did not say. */
  readonly startedAt: string | null
  readonly durationMs: number
  /** When the link ends, ISO 8601. */
  readonly linkExpiresAt: string
  /** `unplayable`: no rendition could be made of it, and none will be by itself; the original is safe. */
  readonly state: 'ready' | 'preparing' | 'unplayable'
  /** Empty unless `ready`. Relative addresses throughout. */
  readonly renditions: readonly RenditionView[]
  readonly captions: readonly CaptionsView[]
  readonly poster: string | null
  /** WebVTT whose cues name parts of a picture beside it (`storyboard.jpg#xywh=…`). */
  readonly storyboard: string | null
  readonly allowDownload: boolean
  /** The original, byte for byte. */
  readonly download: DownloadView | null
}

/** What the exchange tells of a recording that is ready, so that the page need not ask; else null and nothing. */
export interface ToldRecording {
  readonly recording: RecordingView | null
  /** By file name: the master playlist, and those it names if they are short. */
  readonly playlists: Readonly<Record<string, string>>
}

/** A file that may be taken away. */
export interface DownloadView {
  readonly url: string
  readonly contentBytes: number
}

/** One captions track. */
export interface CaptionsView extends Track {
  readonly url: string
}

/** One quality of a recording, or one of its sound tracks alone. */
export interface RenditionView {
  readonly name: string
  /** Which of several sound tracks it is; null for pictures, and where there is one sound only. */
  readonly track: SoundTrack | null
  readonly width: number
  readonly height: number
  readonly bandwidthBitsPerSecond: number
  readonly playlist: string
  /** The whole rendition as one MP4. */
  readonly download: DownloadView | null
}

type Rendition = ManifestAsset & { readonly playback: PlaybackIndex }

/** Names of a storyboard's parts: in the manifest, and in addresses. */
const storyboardParts = {
  [SPRITE_FILE]: { name: 'sprite', mediaType: 'image/jpeg' },
  'storyboard.vtt': { name: 'thumbnails', mediaType: 'text/vtt; charset=utf-8' },
} as const

/** The view of an opened manifest through a link. @param isUnplayable what the catalog says of it. */
export function recordingView(manifest: Manifest, link: Link, isUnplayable: boolean): RecordingView {
  const renditions = playable(manifest)
  const poster = manifest.assets.find(({ kind }) => kind === 'poster')
  const original = link.allowDownload ? manifest.assets.find(({ kind }) => kind === 'original') : undefined
  return {
    title: manifest.title,
    startedAt: manifest.startedAtMs === null ? null : new Date(manifest.startedAtMs).toISOString(),
    durationMs: durationMs(renditions),
    linkExpiresAt: new Date(link.expiresAtMs).toISOString(),
    state: renditions.length > 0 ? 'ready' : isUnplayable ? 'unplayable' : 'preparing',
    renditions: renditions.map(({ id, name, playback, contentBytes }) => ({
      name,
      track: playback.height === 0 ? (parseSoundTrackName(name) ?? null) : null,
      width: playback.width,
      height: playback.height,
      bandwidthBitsPerSecond: playback.bandwidthBitsPerSecond,
      playlist: `${id}.m3u8`,
      download: link.allowDownload ? { url: `${id}.download`, contentBytes } : null,
    })),
    captions: captionsOf(manifest).map(({ id, name }) => ({ ...parseCaptionsTrackName(name), url: `${id}.vtt` })),
    poster: poster === undefined ? null : `${poster.id}.jpg`,
    storyboard: Object.keys(storyboardParts).every((file) => storyboardPart(manifest, file)) ? 'storyboard.vtt' : null,
    allowDownload: link.allowDownload,
    download: original === undefined ? null : { url: 'download', contentBytes: original.contentBytes },
  }
}

/** True when there is something to play. */
export function isPlayable(manifest: Manifest): boolean {
  return playable(manifest).length > 0
}

/** A part of the storyboard by the name it has in addresses. */
export function storyboardPart(
  manifest: Manifest,
  file: string,
): { readonly id: Id; readonly mediaType: string } | undefined {
  const part = file in storyboardParts ? storyboardParts[file as keyof typeof storyboardParts] : undefined
  const asset = manifest.assets.find(({ kind, name }) => kind === 'storyboard' && name === part?.name)
  return part && asset && { id: asset.id, mediaType: part.mediaType }
}

/** A rendition as a file: what it is called, and its media type. @throws E_ASSET_UNKNOWN for anything else. */
export function renditionFile(
  manifest: Manifest,
  assetId: string,
): { readonly name: string; readonly mediaType: string } {
  const rendition = playable(manifest).find(({ id }) => id === assetId)
  if (rendition === undefined) throw new MosaikError('E_ASSET_UNKNOWN', 'there is no such rendition')
  const isSound = rendition.mediaType.startsWith('audio/')
  const title = manifest.title.trim() === '' ? 'recording' : manifest.title.replace(/[/\\]/g, '_')
  const track = parseSoundTrackName(rendition.name)
  const which = track === undefined ? '' : ` (${captionsTrackName(track).replace(/[/\\]/g, '_')})`
  return {
    name: isSound ? `${title}${which}.m4a` : `${title} (${rendition.name}).mp4`,
    mediaType: isSound ? 'audio/mp4' : 'video/mp4',
  }
}

/** The master playlist. @throws E_RECORDING_NOT_READY while there is no rendition. */
export function masterPlaylistOf(manifest: Manifest): string {
  const renditions = playable(manifest)
  if (renditions.length === 0) throw new MosaikError('E_RECORDING_NOT_READY', 'there is no rendition yet')
  const tracks = soundTracksOf(renditions)
  // Sounds that can be chosen are no variants: a player without bandwidth would change the language.
  const pictures = renditions.filter(({ playback }) => playback.height > 0)
  const variants =
    tracks.length === 0
      ? renditions
      : pictures.length > 0
        ? pictures
        : renditions.filter(({ id }) => id === tracks[0]?.id)
  return masterPlaylist(
    variants.map(({ id, playback }) => ({ uri: `${id}.m3u8`, playback })),
    playlistTracks(
      captionsOf(manifest).map(({ id, name }) => ({ id, unnamed: 'CC', track: parseCaptionsTrackName(name) })),
    ),
    playlistTracks(tracks.map(({ id, track }) => ({ id, unnamed: String(track.number), track }))),
  )
}

/** More than this takes longer to come, on a slow line, than the page saves by not asking. */
const SHORT_PLAYLISTS_CHARS = 32 * 1024

/** The master playlist, and those of the renditions if all of them are short, by file name. */
export function shortPlaylistsOf(manifest: Manifest): Record<string, string> {
  const media = playable(manifest).map(({ id }) => [`${id}.m3u8`, mediaPlaylistOf(manifest, id)] as const)
  const chars = media.reduce((sum, [, playlist]) => sum + playlist.length, 0)
  return {
    'master.m3u8': masterPlaylistOf(manifest),
    ...(chars <= SHORT_PLAYLISTS_CHARS ? Object.fromEntries(media) : {}),
  }
}

/** The media playlist of a rendition or of captions. @throws E_ASSET_UNKNOWN for anything else. */
export function mediaPlaylistOf(manifest: Manifest, assetId: string): string {
  const rendition = playable(manifest).find(({ id }) => id === assetId)
  if (rendition !== undefined) return mediaPlaylist(`${assetId}.mp4`, rendition.playback)
  if (captionsOf(manifest).some(({ id }) => id === assetId)) {
    return captionsPlaylist(`${assetId}.vtt`, durationMs(playable(manifest)))
  }
  throw new MosaikError('E_ASSET_UNKNOWN', 'there is no playlist for this asset')
}

/**
 * Media type under which an asset is shown in place; `undefined` when it is not to be (originals: by download only). Never what a
 * source claimed: a captions file that says text/html stays captions.
 */
export function inlineMediaType({ kind, mediaType }: ManifestAsset): string | undefined {
  if (kind === 'captions') return 'text/vtt; charset=utf-8'
  if (kind === 'poster') return mediaType === 'image/png' || mediaType === 'image/webp' ? mediaType : 'image/jpeg'
  if (kind === 'rendition') return mediaType.startsWith('audio/') ? 'audio/mp4' : 'video/mp4'
  return undefined
}

/** An original's own type only where a browser cannot run it. */
export function downloadMediaType({ mediaType }: ManifestAsset): string {
  return /^(?:video|audio)\/[a-z0-9.+-]+$/i.test(mediaType) ? mediaType : 'application/octet-stream'
}

function playable(manifest: Manifest): Rendition[] {
  return manifest.assets.filter((asset): asset is Rendition => asset.kind === 'rendition' && asset.playback !== null)
}

function captionsOf(manifest: Manifest): ManifestAsset[] {
  return manifest.assets.filter(({ kind }) => kind === 'captions')
}

function durationMs(renditions: readonly Rendition[]): number {
  return renditions.reduce((longest, { playback }) => Math.max(longest, playback.durationMs), 0)
}

/**
 * The sounds that can be chosen, the one of the pictures first; none when there is one only, or when the first one could not be made: what is
 * in the pictures alone cannot be left for another and come back.
 */
function soundTracksOf(renditions: readonly Rendition[]): { readonly id: Id; readonly track: SoundTrack }[] {
  const tracks = renditions
    .flatMap(({ id, name, playback }) => {
      const track = playback.height === 0 ? parseSoundTrackName(name) : undefined
      return track === undefined ? [] : [{ id, track }]
    })
    .sort((a, b) => a.track.number - b.track.number)
  return tracks.length > 1 && tracks[0]?.track.number === 1 ? tracks : []
}

/** Labels are different within a playlist (RFC 8216 §4.3.4.1.1): equal ones are counted. */
function playlistTracks(
  tracks: readonly { readonly id: Id; readonly track: Track; readonly unnamed: string }[],
): PlaylistTrack[] {
  const used = new Set<string>()
  return tracks.map(({ id, track, unnamed }) => {
    const plain = labelOf(track) || unnamed
    let label = plain
    for (let count = 2; used.has(label); count++) label = `${plain} ${count}`
    used.add(label)
    return { uri: `${id}.m3u8`, language: track.language, label }
  })
}

/** A language's name in itself, and the track's title: what there is of it. */
function labelOf({ language, title }: Track): string {
  return [languageName(language), title].filter((part) => part !== '').join(' – ')
}

function languageName(language: string): string {
  if (language === 'und') return ''
  try {
    return new Intl.DisplayNames([language], { type: 'language' }).of(language) ?? language
  } catch {
    return language
  }
}
