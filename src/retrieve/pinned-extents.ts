import { checkFramedBlock, fragmentKey } from '../crypto/fragment-tag.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { MosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { SealedAsset } from '../domain/recording.ts'
import { encodeFragmentHeader } from '../format/fragment-header.ts'
import type { AttemptRow, LayoutCatalog, ObjectRow } from '../ports/catalog/layout.ts'
import type { FramedBlock, SegmentEngine, SegmentOpener } from '../ports/segment-engine.ts'
import type { GatherPorts, ShareSource } from './gather.ts'

/** What finding and keying the extents of a read needs. */
export interface ExtentPorts extends Pick<GatherPorts, 'pool'> {
  readonly layout: LayoutCatalog
  readonly engine: SegmentEngine
  readonly primitives: Primitives
}

/** Which shares are combined with which. */
interface ExtentPlace {
  readonly scheme: AttemptRow['scheme']
  readonly number: number
  readonly sharing: Id
}

/** Which of the attempt's verify keys each share is checked with, by index; the first until another one is found. */
export interface Keying {
  readonly keyNumbers: ReadonlyMap<number, number>
  readonly opener: SegmentOpener
}

/** One extent as a read sees it: where its shares lie, and the keys that they are checked with. */
export interface PinnedExtent extends ExtentPlace {
  /** Tells layouts apart. */
  readonly layout: string
  readonly sources: readonly ShareSource[]
  keying: Keying
}

/** The extents of one read of one asset: a sharing is pinned for each, and kept as long as it serves. */
export class PinnedExtents {
  readonly #ports: ExtentPorts
  readonly #sealed: SealedAsset
  readonly #attempt: Id
  readonly #aad: Uint8Array
  readonly #pinned = new Map<number, Promise<PinnedExtent>>()
  readonly #openers: SegmentOpener[] = []
  #attemptRow: Promise<AttemptRow> | undefined
  #fragments: Promise<ObjectRow[]> | undefined

  /** @param aad of the asset's FLOE message (docs/FORMAT.md §4) */
  constructor(ports: ExtentPorts, sealed: SealedAsset, attempt: Id, aad: Uint8Array) {
    this.#ports = ports
    this.#sealed = sealed
    this.#attempt = attempt
    this.#aad = aad
  }

  close(): void {
    for (const opener of this.#openers) opener.close()
  }

  /** @throws E_SHARES_TOO_FEW when no sharing of it has k fragments */
  of(number: number): Promise<PinnedExtent> {
    let extent = this.#pinned.get(number)
    if (!extent) {
      extent = this.#pin(number, new Set()).then((pinned) => {
        if (!pinned) throw new MosaikError('E_INTERNAL', `nothing is known of extent ${number}`)
        return pinned
      })
      this.#pinned.set(number, extent)
    }
    return extent
  }

  /** Looks into the catalog again: a layout that was not tried yet, pinned from now on; `undefined` when all were. */
  async another(number: number, tried: ReadonlySet<string>): Promise<PinnedExtent | undefined> {
    this.#fragments = this.#ports.layout.fragments(this.#attempt)
    const other = await this.#pin(number, tried)
    if (other) this.#pinned.set(number, Promise.resolve(other))
    return other
  }

  /** Where the share lies by now, when the layout has changed since it was pinned. */
  async relocate(extent: PinnedExtent, lost: ShareSource): Promise<ShareSource | undefined> {
    const rows = (await this.#ports.layout.fragments(this.#attempt)).filter(isOfExtent(extent.number))
    const moved = rows.filter(
      ({ sharing, index, node, key }) =>
        sharing === extent.sharing &&
        index === lost.index &&
        (node !== lost.node || key !== lost.key) &&
        !extent.sources.some((source) => source.node === node && source.key === key),
    )
    return (await this.#sourcesOf(moved))[0]
  }

  /** Whether another of the attempt's verify keys than the one in `keying` verifies the block; the extent then uses that one for its share. */
  findVerifyKey(extent: PinnedExtent, keying: Keying, segment: number, { index, bytes }: FramedBlock): boolean {
    const { primitives } = this.#ports
    for (const number of this.#sealed.verifyKeys.keys()) {
      if (number === keying.keyNumbers.get(index)) continue
      const key = primitives.gcm(this.#fragmentKey(extent, index, number))
      if (!checkFramedBlock(primitives, key, segment, bytes)) continue
      // Another run may have come to the same meanwhile.
      const { keyNumbers } = extent.keying
      if (keyNumbers.get(index) !== number)
        extent.keying = this.#keyingOf(extent, new Map(keyNumbers).set(index, number))
      return true
    }
    return false
  }

  /**
   * The sharing that has the most fragments of this extent to spare, among the layouts that were not tried yet; `undefined` when all were.
   * @throws E_SHARES_TOO_FEW when none has k and none was tried
   */
  async #pin(number: number, tried: ReadonlySet<string>): Promise<PinnedExtent | undefined> {
    this.#attemptRow ??= this.#ports.layout.attempt(this.#attempt).then((row) => {
      if (!row) throw new MosaikError('E_INTERNAL', 'the manifest names an attempt that the catalog does not know')
      return row
    })
    this.#fragments ??= this.#ports.layout.fragments(this.#attempt)
    // Together: while one is awaited, the other may fail.
    const [attempt, fragments] = await Promise.all([this.#attemptRow, this.#fragments])
    const bySharing = Map.groupBy(fragments.filter(isOfExtent(number)), ({ sharing }) => sharing ?? '')
    const candidates = [...bySharing]
      .map(([sharing, rows]) => ({
        sharing,
        rows,
        // Of this sharing: the recording may be on its way to another one.
        scheme: rows[0]?.scheme ?? attempt.scheme,
        layout: rows.map(({ node, key }) => `${node} ${key}`).join(),
        indicesCount: new Set(rows.map(({ index }) => index)).size,
      }))
      .toSorted((a, b) => b.indicesCount - b.scheme.k - (a.indicesCount - a.scheme.k))
    const best = candidates.find(({ layout, indicesCount, scheme }) => indicesCount >= scheme.k && !tried.has(layout))
    if (!best) {
      if (tried.size > 0) return undefined
      const { indicesCount: came, scheme } = candidates[0] ?? { indicesCount: 0, scheme: attempt.scheme }
      throw new MosaikError(
        'E_SHARES_TOO_FEW',
        `${scheme.k} fragments are needed and the catalog knows ${came} of extent ${number}`,
        { needed: scheme.k, came },
      )
    }
    const place = { scheme: best.scheme, number, sharing: best.sharing }
    const firstKeys = new Map(Array.from({ length: best.scheme.n }, (_, index) => [index, 0]))
    return {
      ...place,
      layout: best.layout,
      sources: await this.#sourcesOf(best.rows),
      keying: this.#keyingOf(place, firstKeys),
    }
  }

  async #sourcesOf(rows: readonly ObjectRow[]): Promise<ShareSource[]> {
    const names = new Map((await this.#ports.pool.nodes()).map((node) => [node.id, node.name]))
    return rows.map(({ index, node, key }) => ({ index, node, nodeName: names.get(node) ?? node, key }))
  }

  #keyingOf(extent: ExtentPlace, keyNumbers: ReadonlyMap<number, number>): Keying {
    const { scheme, number } = extent
    const fragmentKeys = new Map(
      Array.from(keyNumbers, ([index, keyNumber]) => [index, this.#fragmentKey(extent, index, keyNumber)]),
    )
    const { dek, floeHeader } = this.#sealed
    const cipher = { dek, floeHeader, aad: this.#aad }
    const opener = this.#ports.engine.opener(cipher, { scheme, extent: number, fragmentKeys })
    this.#openers.push(opener)
    return { keyNumbers, opener }
  }

  #fragmentKey({ scheme, number, sharing }: ExtentPlace, index: number, keyNumber: number): Uint8Array {
    const verifyKey = this.#sealed.verifyKeys[keyNumber]
    if (!verifyKey) throw new MosaikError('E_FORMAT_FIELD', 'the manifest names no verify key')
    const header = encodeFragmentHeader({ attempt: this.#attempt, sharing, extent: number, index, scheme })
    return fragmentKey(this.#ports.primitives, verifyKey, header)
  }
}

function isOfExtent(number: number): (row: ObjectRow) => boolean {
  return ({ role }) => role.kind === 'fragment' && role.extent === number
}
