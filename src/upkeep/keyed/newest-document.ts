import type { TrustedSigner } from '../../crypto/keys.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { isMosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { DocumentShare } from '../../format/document-share.ts'
import {
  combineShares,
  openShares,
  parseAndVerifyShare,
  type OpenedDocument,
  type Unwrap,
} from '../../retrieve/open-document.ts'
import type { BareNode, FoundShare } from './node-contents.ts'

export interface DocumentPortsOfRebuild {
  readonly nodes: readonly BareNode[]
  readonly primitives: Primitives
  /** Signers of trusted cards. */
  readonly signers: readonly TrustedSigner[]
  readonly unwrap: Unwrap
}

export interface NewestDocument {
  readonly opened: OpenedDocument
  readonly sealedSha256: Uint8Array
  readonly sharing: Id
  readonly generation: number
  readonly k: number
  readonly n: number
  /** Genuine shares of it. */
  readonly shares: readonly FoundShare[]
  /** Genuine shares of generations before it, and of other sharings of it. */
  readonly earlier: readonly FoundShare[]
}

export interface NewestOutcome {
  readonly newest: NewestDocument | undefined
  /** Generations above it of which genuine shares are there, and too few: never silently passed over. */
  readonly incomplete: readonly { readonly generation: number; readonly came: number; readonly needed: number }[]
  /** The generation before is there, and is not the one that the newest names. */
  readonly isChainBroken: boolean
}

/** The highest generation of a document of which k shares of one sharing verify and open (docs/FORMAT.md §6). */
export async function newestDocument(
  ports: DocumentPortsOfRebuild,
  found: readonly FoundShare[],
  previousOf: (opened: OpenedDocument) => Uint8Array | null,
  signal: AbortSignal,
): Promise<NewestOutcome> {
  const incomplete: { generation: number; came: number; needed: number }[] = []
  const generations = [...new Set(found.map(({ generation }) => generation))].toSorted((a, b) => b - a)
  for (const generation of generations) {
    const bySharing = Map.groupBy(
      found.filter((share) => share.generation === generation),
      ({ sharing }) => sharing,
    )
    let best = { came: 0, needed: 0 }
    // A new sharing may have been on its way when the vault was lost: the one with the most shares stands.
    for (const [sharing, group] of [...bySharing].toSorted((a, b) => b[1].length - a[1].length)) {
      const genuine = await verified(ports, group, signal)
      const first = genuine[0]?.share
      if (!first) continue
      if (genuine.length < first.k) {
        if (genuine.length > best.came) best = { came: genuine.length, needed: first.k }
        continue
      }
      const opened = await open(ports, genuine.map(({ share }) => share).slice(0, first.k))
      if (!opened) {
        best = { came: genuine.length, needed: first.k }
        continue
      }
      const shares = genuine.map(({ place }) => place)
      const newest: NewestDocument = {
        opened,
        sealedSha256: ports.primitives.sha256(opened.sealed),
        ...{ sharing, generation, k: first.k, n: first.n, shares },
        earlier: found.filter((share) => share.generation <= generation && !group.includes(share)),
      }
      const isChainBroken = await isBroken(ports, found, generation, previousOf(opened), signal)
      return { newest, incomplete, isChainBroken }
    }
    if (best.came > 0) incomplete.push({ generation, ...best })
  }
  return { newest: undefined, incomplete, isChainBroken: false }
}

async function open(
  ports: DocumentPortsOfRebuild,
  shares: readonly DocumentShare[],
): Promise<(OpenedDocument & { readonly sealed: Uint8Array }) | undefined> {
  try {
    return await openShares(ports.primitives, shares, ports.unwrap)
  } catch (error) {
    // A document that does not open is one that is not there; an earlier one may be.
    if (isMosaikError(error) && error.retry === 'never') return undefined
    if (isMosaikError(error, 'E_SEGMENT_TAG')) return undefined
    throw error
  }
}

/** Genuine shares, each index once. */
async function verified(
  ports: DocumentPortsOfRebuild,
  group: readonly FoundShare[],
  signal: AbortSignal,
): Promise<{ readonly place: FoundShare; readonly share: DocumentShare }[]> {
  const genuine: { place: FoundShare; share: DocumentShare }[] = []
  for (const place of group) {
    if (genuine.some(({ share }) => share.index === place.index)) continue
    const store = ports.nodes.find(({ id }) => id === place.node)?.store
    try {
      const bytes = await store?.get(place.key, undefined, signal)
      if (bytes) genuine.push({ place, share: parseAndVerifyShare(ports.primitives, bytes, ports.signers) })
    } catch (error) {
      signal.throwIfAborted()
      if (!isMosaikError(error)) throw error
    }
  }
  return genuine
}

/** When the generation before can be put together, its hash must be `previous`. */
async function isBroken(
  ports: DocumentPortsOfRebuild,
  found: readonly FoundShare[],
  generation: number,
  previous: Uint8Array | null,
  signal: AbortSignal,
): Promise<boolean> {
  const before = found.filter((share) => share.generation === generation - 1)
  for (const group of Map.groupBy(before, ({ sharing }) => sharing).values()) {
    const genuine = await verified(ports, group, signal)
    const k = genuine[0]?.share.k ?? Infinity
    if (genuine.length < k) continue
    const hash = ports.primitives.sha256(combineShares(genuine.slice(0, k).map(({ share }) => share)))
    if (!previous || !ports.primitives.equal(hash, previous)) return true
  }
  return false
}
