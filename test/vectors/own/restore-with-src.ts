import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { rootSigningSeed } from '../../../src/crypto/keys.ts'
import { signingKeys } from '../../../src/crypto/signature.ts'
import { decodeAssetHeader } from '../../../src/format/asset-header.ts'
import { decodeFragmentHeader } from '../../../src/format/fragment-header.ts'
import { shareGroupKey, type DocumentShare } from '../../../src/format/document-share.ts'
import { objectKind } from '../../../src/format/object-names.ts'
import { trustCards } from '../../../src/ledger/vault-card.ts'
import {
  openShares,
  parseAndVerifyShare,
  readManifest,
  unwrapWithRecoverySeed,
} from '../../../src/retrieve/open-document.ts'
import { content } from './content-with-src.ts'
import { bytesOf, hex } from './vector.ts'

/** One restored asset, as vectors of kind `vault` expect it. */
export interface RestoredAsset {
  readonly recording: string
  readonly asset: string
  readonly contentBytes: number
  readonly sha256: string
}

/** Restores every recording from folders and the recovery seed alone (docs/FORMAT.md §13), whole objects in memory. */
export async function restoreFolders(
  folders: readonly Readonly<Record<string, string>>[],
  recoverySeed: Uint8Array,
): Promise<readonly RestoredAsset[]> {
  const objects = folders.flatMap((folder) =>
    Object.entries(folder).map(([name, text]) => ({ name, bytes: bytesOf(text) })),
  )
  const ofKind = (kind: string) => objects.filter(({ name }) => objectKind(name) === kind).map(({ bytes }) => bytes)
  const root = signingKeys(primitives, rootSigningSeed(primitives, recoverySeed)).publicKeys
  const { signers } = trustCards(primitives, ofKind('card'), root)
  const groups = new Map<string, DocumentShare[]>()
  for (const bytes of ofKind('manifest-share')) {
    const share = parseAndVerifyShare(primitives, bytes, signers)
    groups.set(shareGroupKey(share), [...(groups.get(shareGroupKey(share)) ?? []), share])
  }
  const restored: RestoredAsset[] = []
  for (const group of groups.values()) {
    const manifest = readManifest(
      primitives,
      await openShares(primitives, group, unwrapWithRecoverySeed(primitives, recoverySeed)),
    )
    for (const asset of manifest.assets) {
      const { sealed, contentBytes } = asset
      const { recording } = manifest
      if (sealed === null) {
        restored.push({ recording, asset: asset.id, contentBytes, sha256: hex(primitives.sha256(asset.inline!)) })
        continue
      }
      const { attempt } = decodeAssetHeader(sealed.header)
      const fragments = ofKind('fragment').filter(
        (one) => decodeFragmentHeader(one.subarray(0, 256)).attempt === attempt,
      )
      const { sha256 } = content(fragments, {
        header: hex(sealed.header),
        dek: hex(sealed.dek),
        floeHeader: hex(sealed.floeHeader),
        verifyKeys: sealed.verifyKeys.map(hex),
        sealedBytes: sealed.sealedBytes,
        contentBytes,
      }) as { sha256: string }
      restored.push({ recording, asset: asset.id, contentBytes, sha256 })
    }
  }
  return restored.toSorted((a, b) => (a.asset < b.asset ? -1 : 1))
}
