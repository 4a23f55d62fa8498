import { toHex } from '../domain/ids.ts'
import type { StorageNode } from '../domain/node.ts'
import { INLINE_MAX_BYTES, type AssetKind, type ManifestAsset } from '../domain/recording.ts'
import type { StageContext } from './stage.ts'
import { storeAsset, type StorePorts } from './store-asset.ts'

export interface SmallAsset {
  readonly kind: AssetKind
  readonly mediaType: string
  readonly name: string
  readonly content: Uint8Array
}

/** An asset for the manifest, and the attempt behind it when it did not fit inside. */
export interface KeptAsset {
  readonly asset: ManifestAsset
  readonly attempts: readonly { readonly id: string; readonly sealedBytes: number }[]
}

/** Keeps a poster or captions: inside the manifest up to 64 KiB, else sealed and split like any asset (docs/FORMAT.md §7). */
export async function keepSmallAsset(
  ports: StorePorts,
  context: StageContext,
  nodes: readonly StorageNode[],
  small: SmallAsset,
): Promise<KeptAsset> {
  const id = toHex(ports.random.bytes(16))
  const { kind, mediaType, name, content } = small
  const common = { id, kind, mediaType, name, contentBytes: content.length, playback: null }
  if (content.length <= INLINE_MAX_BYTES) {
    return {
      asset: { ...common, sha256: ports.primitives.sha256(content), inline: content, sealed: null },
      attempts: [],
    }
  }
  const stored = await storeAsset(
    ports,
    {
      organisation: context.recording.organisation,
      recording: context.recording.id,
      asset: id,
      kind,
      scheme: context.recording.scheme,
      nodes,
      content: oneChunk(content),
      fence: context.fence,
    },
    context.signal,
  )
  return {
    asset: { ...common, sha256: stored.sha256, inline: null, sealed: stored.sealed },
    attempts: [{ id: stored.attempt, sealedBytes: stored.sealed.sealedBytes }],
  }
}

async function* oneChunk(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield content
}
