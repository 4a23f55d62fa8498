import type { Id } from './ids.ts'

/** A person as a meeting system names them. */
export interface Person {
  readonly id?: string | undefined
  readonly name: string | null
  readonly email: string | null
}

/** What a source says about a recording; goes into the sealed manifest. */
export interface RecordingInfo {
  readonly title: string
  readonly source: { readonly kind: string; readonly externalId: string | null }
  readonly host: { readonly id: string; readonly name: string | null; readonly email: string | null }
  readonly participants: readonly { readonly name: string | null; readonly email: string | null }[]
  readonly startedAtMs: number | null
}

/**
 * Where a recording is on its way.
 *
 * received → storing → stored → transcoding → ready; `failed` when the original could never be stored.
 * `stored` and later: the original is safe and a receipt exists. `unplayable`: safe, but no rendition could be made.
 */
export const recordingStates = [
  'received',
  'storing',
  'stored',
  'transcoding',
  'ready',
  'unplayable',
  'failed',
] as const
export type RecordingState = (typeof recordingStates)[number]

/** True from the moment when the original is safe and a receipt was issued. */
export function isSafe(state: RecordingState): boolean {
  return state === 'stored' || state === 'transcoding' || state === 'ready' || state === 'unplayable'
}

export type AssetKind = 'original' | 'rendition' | 'poster' | 'captions' | 'storyboard'

/** Byte ranges of a fragmented MP4 (docs/FORMAT.md §7). */
export interface PlaybackIndex {
  /** RFC 6381. */
  readonly codecs: string
  /** 0 without video. */
  readonly width: number
  readonly height: number
  readonly bandwidthBitsPerSecond: number
  readonly durationMs: number
  readonly initBytes: number
  /** [offset in bytes, length in bytes, duration in microseconds]; each starts with a key frame. */
  readonly segments: readonly (readonly [number, number, number])[]
}

/** What is needed to read and check one sealed attempt (docs/FORMAT.md §7). Holds the DEK: never log. */
export interface SealedAsset {
  /** Asset header, 84 bytes. */
  readonly header: Uint8Array
  readonly dek: Uint8Array
  readonly floeHeader: Uint8Array
  /** Sum of the lengths of the FLOE segments. */
  readonly sealedBytes: number
  readonly verifyKeys: readonly Uint8Array[]
}

/** One asset as the manifest holds it. Exactly one of `inline` and `sealed` is null. */
export interface ManifestAsset {
  readonly id: Id
  readonly kind: AssetKind
  readonly mediaType: string
  readonly name: string
  readonly contentBytes: number
  readonly sha256: Uint8Array
  readonly inline: Uint8Array | null
  readonly sealed: SealedAsset | null
  readonly playback: PlaybackIndex | null
}

export interface Retention {
  readonly mode: 'none' | 'governance' | 'compliance'
  readonly retainUntilMs: number | null
  readonly deleteByMs: number | null
}

/** The opened manifest of a recording (docs/FORMAT.md §7). Lives in memory for at most ten minutes; never logged. */
export interface Manifest extends RecordingInfo {
  readonly organisation: Id
  readonly recording: Id
  readonly generation: number
  /** SHA-256 of the sealed document of the generation before. */
  readonly previous: Uint8Array | null
  /** 32 bytes; the same in all generations. */
  readonly salt: Uint8Array
  readonly depositedAtMs: number
  readonly retention: Retention
  readonly assets: readonly ManifestAsset[]
}

/** Largest asset that is kept inside the manifest. */
export const INLINE_MAX_BYTES = 65_536
