import { MosaikError } from '../../domain/errors.ts'
import type { Link } from '../../domain/link.ts'
import { captionsPlaylist, masterPlaylist, mediaPlaylist } from '../../domain/playlist.ts'
import type { Manifest, ManifestAsset, PlaybackIndex } from '../../domain/recording.ts'

/** What the watch page learns of a recording (`/s/<grant>/recording.json`). Names, e-mail addresses and node layout stay inside. */
export interface RecordingView {
  readonly title: string
  /** ISO 8601 or null when the source did not say. */
  readonly startedAt: string | null
  readonly durationMs: number
  /** When the link ends, ISO 8601. */
  readonly linkExpiresAt: string
  /** Empty while nothing can be played yet. Relative addresses throughout. */
  readonly renditions: readonly RenditionView[]
  readonly captions: readonly { readonly language: string; readonly url: string }[]
  readonly poster: string | null
  readonly allowDownload: boolean
  readonly download: { readonly url: string; readonly contentBytes: number } | null
}

/** One quality of a recording. */
export interface RenditionView {
  readonly name: string
  readonly width: number
  readonly height: number
  readonly bandwidthBitsPerSecond: number
  readonly playlist: string
}

type Rendition = ManifestAsset & { readonly playback: PlaybackIndex }

/** The view of an opened manifest through a link. */
export function recordingView(manifest: Manifest, link: Link): RecordingView {
  const renditions = playable(manifest)
  const poster = manifest.assets.find(({ kind }) => kind === 'poster')
  const original = link.allowDownload ? manifest.assets.find(({ kind }) => kind === 'original') : undefined
  return {
    title: manifest.title,
    startedAt: manifest.startedAtMs === null ? null : new Date(manifest.startedAtMs).toISOString(),
    durationMs: durationMs(renditions),
    linkExpiresAt: new Date(link.expiresAtMs).toISOString(),
    renditions: renditions.map(({ id, name, playback }) => ({
      name,
      width: playback.width,
      height: playback.height,
      bandwidthBitsPerSecond: playback.bandwidthBitsPerSecond,
      playlist: `${id}.m3u8`,
    })),
    captions: captionsOf(manifest).map(({ id, name }) => ({ language: name, url: `${id}.vtt` })),
    poster: poster === undefined ? null : `${poster.id}.jpg`,
    allowDownload: link.allowDownload,
    download: original === undefined ? null : { url: 'download', contentBytes: original.contentBytes },
  }
}

/** The master playlist. @throws E_RECORDING_NOT_READY while there is no rendition. */
export function masterPlaylistOf(manifest: Manifest): string {
  const renditions = playable(manifest)
  if (renditions.length === 0) throw new MosaikError('E_RECORDING_NOT_READY', 'there is no rendition yet')
  const captions = captionsOf(manifest).map(({ id, name }) => ({
    uri: `${id}.m3u8`,
    language: name,
    label: labelOf(name),
  }))
  return masterPlaylist(
    renditions.map(({ id, playback }) => ({ uri: `${id}.m3u8`, playback })),
    captions,
  )
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

function playable(manifest: Manifest): Rendition[] {
  return manifest.assets.filter((asset): asset is Rendition => asset.kind === 'rendition' && asset.playback !== null)
}

function captionsOf(manifest: Manifest): ManifestAsset[] {
  return manifest.assets.filter(({ kind }) => kind === 'captions')
}

function durationMs(renditions: readonly Rendition[]): number {
  return renditions.reduce((longest, { playback }) => Math.max(longest, playback.durationMs), 0)
}

/** A language's name in itself; the tag when it is none. */
function labelOf(language: string): string {
  try {
    return new Intl.DisplayNames([language], { type: 'language' }).of(language) ?? language
  } catch {
    return language
  }
}
