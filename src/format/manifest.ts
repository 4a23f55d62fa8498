import { MosaikError } from '../domain/errors.ts'
import { fromHex } from '../domain/ids.ts'
import {
  INLINE_MAX_BYTES,
  type Manifest,
  type ManifestAsset,
  type PlaybackIndex,
  type Retention,
  type SealedAsset,
} from '../domain/recording.ts'
import {
  ASSET_HEADER_BYTES,
  decodeAssetHeader,
  FLOE_HEADER_BYTES,
  FLOE_PARAMETERS,
  longestPaddedBytes,
  plaintextLength,
} from './asset-header.ts'
import {
  readArray,
  readBytes,
  readBytesOf,
  readId,
  readInteger,
  readMap,
  readNullable,
  readOneOf,
  readText,
  requireField,
  type Read,
} from './cbor-fields.ts'
import { decodeCbor, encodeCbor, wellFormed, type CborMap } from './cbor.ts'
import { sameBytes } from './header-bytes.ts'

/**
 * The body of a manifest document: CBOR with exactly the keys of docs/FORMAT.md §7.
 *
 * A lone surrogate in a text has no UTF-8 and is written as U+FFFD.
 *
 * @throws E_FORMAT_CBOR, E_FORMAT_FIELD, … whatever a reader would throw: what is written can be read.
 */
export function encodeManifest(manifest: Manifest): Uint8Array<ArrayBuffer> {
  const bytes = encodeCbor(
    wellFormed({
      organisation: fromHex(manifest.organisation),
      recording: fromHex(manifest.recording),
      generation: manifest.generation,
      previous: manifest.previous,
      salt: manifest.salt,
      title: manifest.title,
      source: { kind: manifest.source.kind, externalId: manifest.source.externalId },
      host: { id: manifest.host.id, name: manifest.host.name, email: manifest.host.email },
      participants: manifest.participants.map(({ name, email }) => ({ name, email })),
      startedAtMs: manifest.startedAtMs,
      depositedAtMs: manifest.depositedAtMs,
      retention: {
        mode: manifest.retention.mode,
        retainUntilMs: manifest.retention.retainUntilMs,
        deleteByMs: manifest.retention.deleteByMs,
      },
      assets: manifest.assets.map(assetToCbor),
    }),
  )
  decodeManifest(bytes)
  return bytes
}

function assetToCbor(asset: ManifestAsset): CborMap {
  return {
    id: fromHex(asset.id),
    kind: asset.kind,
    mediaType: asset.mediaType,
    name: asset.name,
    contentBytes: asset.contentBytes,
    sha256: asset.sha256,
    inline: asset.inline,
    sealed: asset.sealed === null ? null : sealedToCbor(asset.sealed),
    playback: asset.playback === null ? null : playbackToCbor(asset.playback),
  }
}

function sealedToCbor(sealed: SealedAsset): CborMap {
  return {
    header: sealed.header,
    dek: sealed.dek,
    floeHeader: sealed.floeHeader,
    sealedBytes: sealed.sealedBytes,
    verifyKeys: sealed.verifyKeys,
  }
}

function playbackToCbor(playback: PlaybackIndex): CborMap {
  return {
    codecs: playback.codecs,
    width: playback.width,
    height: playback.height,
    bandwidthBitsPerSecond: playback.bandwidthBitsPerSecond,
    durationMs: playback.durationMs,
    initBytes: playback.initBytes,
    segments: playback.segments.map((segment) => [...segment]),
  }
}

const readPerson = (value: Parameters<Read<unknown>>[0], what: string) =>
  readMap<{ name: string | null; email: string | null }>(value, what, {
    name: readNullable(readText),
    email: readNullable(readText),
  })

const readRetention: Read<Retention> = (value, what) =>
  readMap<Retention>(value, what, {
    mode: readOneOf('none', 'governance', 'compliance'),
    retainUntilMs: readNullable(readInteger),
    deleteByMs: readNullable(readInteger),
  })

const readSegment: Read<readonly [number, number, number]> = (value, what) => {
  const numbers = readArray(readInteger)(value, what)
  if (numbers.length !== 3) throw new MosaikError('E_FORMAT_CBOR', `${what} must be [offset, length, duration]`)
  return [numbers[0]!, numbers[1]!, numbers[2]!]
}

const readPlayback: Read<PlaybackIndex> = (value, what) =>
  readMap<PlaybackIndex>(value, what, {
    codecs: readText,
    width: readInteger,
    height: readInteger,
    bandwidthBitsPerSecond: readInteger,
    durationMs: readInteger,
    initBytes: readInteger,
    segments: readArray(readSegment),
  })

const readSealed: Read<SealedAsset> = (value, what) => {
  const sealed = readMap<SealedAsset>(value, what, {
    header: readBytesOf(ASSET_HEADER_BYTES),
    dek: readBytesOf(32),
    floeHeader: readBytesOf(FLOE_HEADER_BYTES),
    sealedBytes: readInteger,
    verifyKeys: readArray(readBytesOf(32)),
  })
  requireField(sealed.verifyKeys.length > 0, `${what}.verifyKeys must not be empty`)
  const parameters = sealed.floeHeader.subarray(0, FLOE_PARAMETERS.length)
  requireField(sameBytes(parameters, FLOE_PARAMETERS), `${what}.floeHeader has other parameters than version 1`)
  return sealed
}

const readAsset: Read<ManifestAsset> = (value, what) => {
  const asset = readMap<ManifestAsset>(value, what, {
    id: readId,
    kind: readOneOf('original', 'rendition', 'poster', 'captions', 'storyboard'),
    mediaType: readText,
    name: readText,
    contentBytes: readInteger,
    sha256: readBytesOf(32),
    inline: readNullable(readBytes),
    sealed: readNullable(readSealed),
    playback: readNullable(readPlayback),
  })
  requireField((asset.inline === null) !== (asset.sealed === null), `${what}: one of inline and sealed must be null`)
  if (asset.inline !== null) {
    requireField(asset.inline.length <= INLINE_MAX_BYTES, `${what}.inline is above ${INLINE_MAX_BYTES} bytes`)
    requireField(asset.inline.length === asset.contentBytes, `${what}.contentBytes is not the length of inline`)
  }
  if (asset.sealed !== null) {
    const room = plaintextLength(asset.sealed.sealedBytes)
    requireField(asset.contentBytes <= room, `${what}.contentBytes is more than sealedBytes can hold`)
    requireField(room <= longestPaddedBytes(asset.contentBytes), `${what} has more padding than any content needs`)
  }
  requireField(asset.playback === null || asset.kind === 'rendition', `${what}.playback is for renditions`)
  return asset
}

/**
 * Reads a manifest and checks what it says about itself: the asset headers name this organisation, recording and asset;
 * lengths fit; exactly one of `inline` and `sealed`. That organisation, recording and generation are the document header's
 * is for the caller, who has that header (`openManifest` in src/retrieve/open-document.ts).
 *
 * @throws E_FORMAT_CBOR; E_FORMAT_FIELD; for an asset header also E_FORMAT_MAGIC, E_FORMAT_VERSION
 */
export function decodeManifest(bytes: Uint8Array): Manifest {
  const manifest = readMap<Manifest>(decodeCbor(bytes), 'manifest', {
    organisation: readId,
    recording: readId,
    generation: readInteger,
    previous: readNullable(readBytesOf(32)),
    salt: readBytesOf(32),
    title: readText,
    source: (value, what) =>
      readMap<Manifest['source']>(value, what, { kind: readText, externalId: readNullable(readText) }),
    host: (value, what) =>
      readMap<Manifest['host']>(value, what, {
        id: readText,
        name: readNullable(readText),
        email: readNullable(readText),
      }),
    participants: readArray(readPerson),
    startedAtMs: readNullable(readInteger),
    depositedAtMs: readInteger,
    retention: readRetention,
    assets: readArray(readAsset),
  })
  requireField(manifest.generation >= 1, 'manifest.generation counts from 1')
  // null above generation 1 is allowed: no number before may have been committed
  requireField(manifest.generation > 1 || manifest.previous === null, 'manifest.previous of generation 1 must be null')
  requireField(unique(manifest.assets.map(({ id }) => id)), 'two assets of the manifest have one id')
  const attempts: string[] = []
  for (const { id, sealed } of manifest.assets) {
    if (sealed === null) continue
    const header = decodeAssetHeader(sealed.header)
    attempts.push(header.attempt)
    const fits =
      header.organisation === manifest.organisation && header.recording === manifest.recording && header.asset === id
    requireField(fits, `the header of asset ${id} names another organisation, recording or asset`)
  }
  requireField(unique(attempts), 'two assets of the manifest are of one attempt')
  return manifest
}

function unique(ids: readonly string[]): boolean {
  return new Set(ids).size === ids.length
}
