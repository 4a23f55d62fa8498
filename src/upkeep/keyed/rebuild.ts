import type { TrustedSigner } from '../../crypto/keys.ts'
import type { Primitives } from '../../crypto/primitives.ts'
import { defaultScheme, type Scheme } from '../../domain/dispersal.ts'
import { isMosaikError } from '../../domain/errors.ts'
import type { Id } from '../../domain/ids.ts'
import type { OrganisationState } from '../../domain/organisation-state.ts'
import type { Manifest } from '../../domain/recording.ts'
import { decodeAssetHeader } from '../../format/asset-header.ts'
import { extentCount } from '../../format/fragment-header.ts'
import { objectPrefix } from '../../format/object-names.ts'
import type { AtRestVault } from '../../ports/at-rest.ts'
import type { Catalog } from '../../ports/catalog.ts'
import type { AttemptRow, GenerationRow, ObjectRow } from '../../ports/catalog/layout.ts'
import type { RecordingRow } from '../../ports/catalog/recordings.ts'
import type { RestoredRecording } from '../../ports/catalog/upkeep.ts'
import type { Clock, Log } from '../../ports/system.ts'
import { readManifest, readState, type Unwrap } from '../../retrieve/open-document.ts'
import { newestDocument, type NewestDocument, type NewestOutcome } from './newest-document.ts'
import {
  listFragments,
  listShares,
  type BareNode,
  type ContentsPorts,
  type FoundFragment,
  type FoundShare,
} from './node-contents.ts'

export interface RebuildPorts {
  readonly catalog: Pick<Catalog, 'installation' | 'recordings' | 'upkeep' | 'layout' | 'links' | 'work'>
  readonly nodes: readonly BareNode[]
  readonly atRest: AtRestVault
  readonly primitives: Primitives
  readonly clock: Clock
  readonly log: Log
  readonly newId: () => Id
  readonly passedOver?: NonNullable<ContentsPorts['passedOver']>
}

/** The newest state of an organisation that the nodes give. */
export interface FoundState {
  readonly state: OrganisationState | undefined
  readonly sha256: Uint8Array | null
  /** Highest number that any genuine share bears, so that it is never used again. */
  readonly highestGeneration: number
  /** Rows for its shares. */
  readonly objects: readonly ObjectRow[]
  readonly incomplete: NewestOutcome['incomplete']
}

/** What a rebuild came to. Nothing is passed over in silence. */
export interface RebuildReport {
  readonly recordings: number
  /** They were there already; what their nodes have was added. */
  readonly known: number
  /** They were there in an earlier generation, and are what the nodes have now. */
  readonly newer: number
  readonly fragments: number
  /** Recordings of which a newer generation is there in part; `none`: no generation could be opened. */
  readonly incomplete: readonly {
    readonly recording: Id
    readonly restored: number | 'none'
    readonly missing: NewestOutcome['incomplete']
  }[]
  /** Recordings of which an asset has fewer than k fragments on these nodes. */
  readonly unreadable: readonly Id[]
  readonly brokenChains: readonly Id[]
  /** Decided to be erased; they were not restored. */
  readonly tombstoned: readonly Id[]
  /** Fragments of attempts that no restored manifest names: left where they are. */
  readonly unnamedFragments: number
}

/** Reads the organisation's state. @param signers of trusted cards. */
export async function findState(
  ports: Pick<RebuildPorts, 'nodes' | 'primitives' | 'log' | 'clock'>,
  organisation: Id,
  signers: readonly TrustedSigner[],
  unwrap: Unwrap,
  signal: AbortSignal,
): Promise<FoundState> {
  const found = (await listShares(ports, 'state-share', signal)).get(organisation) ?? []
  const { newest, incomplete } = await newestDocument(
    { ...ports, signers, unwrap },
    found,
    (opened) => readState(opened).previous,
    signal,
  )
  return {
    state: newest && readState(newest.opened),
    sha256: newest?.sealedSha256 ?? null,
    highestGeneration: Math.max(0, newest?.generation ?? 0, ...incomplete.map(({ generation }) => generation)),
    objects: newest ? shareRows(newest, organisation, null, ports.clock.nowMs()) : [],
    incomplete,
  }
}

/** The most frequent scheme among the fragments; what a state does not say. */
export async function findScheme(
  ports: Pick<RebuildPorts, 'nodes' | 'primitives' | 'log'>,
  signal: AbortSignal,
): Promise<Scheme> {
  const counts = new Map<string, number>()
  for (const fragments of (await listFragments(ports, signal)).values()) {
    const name = JSON.stringify(fragments[0]?.scheme)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  const best = [...counts].toSorted((a, b) => b[1] - a[1])[0]
  return best ? (JSON.parse(best[0]) as Scheme) : defaultScheme(Math.max(3, ports.nodes.length))
}

/**
 * Restores the recordings of one organisation into a catalog that has its row and its nodes: manifests give recordings and attempts, headers
 * of fragments say what lies where. Deletes and writes nothing on the nodes. Run again it adds what it did not find before, for example from
 * nodes that were missing.
 *
 * @param signers of trusted cards: shares of any other signer do not count.
 */
export async function rebuild(
  ports: RebuildPorts,
  organisation: Id,
  trust: {
    readonly signers: readonly TrustedSigner[]
    readonly unwrap: Unwrap
    readonly state: OrganisationState | undefined
  },
  signal: AbortSignal,
): Promise<RebuildReport> {
  const { catalog, clock } = ports
  // Before the first row: nothing that these rows supersede is to be deleted before somebody has looked.
  await catalog.upkeep.setFlag('deletions-frozen', true, clock.nowMs())
  const fragments = await listFragments(ports, signal)
  const manifests = await listShares(ports, 'manifest-share', signal)
  const tombstones = new Set(trust.state?.tombstones.map(({ recording }) => recording))
  const report = {
    recordings: 0,
    known: 0,
    newer: 0,
    fragments: 0,
    incomplete: [] as { recording: Id; restored: number | 'none'; missing: NewestOutcome['incomplete'] }[],
    unreadable: [] as Id[],
    brokenChains: [] as Id[],
    tombstoned: [] as Id[],
    unnamedFragments: 0,
  }
  const named = new Set<Id>()
  for (const [recording, shares] of manifests) {
    signal.throwIfAborted()
    const own = shares.filter((share) => share.organisation === organisation)
    if (own.length === 0) continue
    if (tombstones.has(recording)) {
      report.tombstoned.push(recording)
      if (await catalog.recordings.get(recording, organisation)) {
        const message = 'it was decided to erase this recording; an older catalog still had it'
        await catalog.upkeep.forget(recording, { code: 'E_RECORDING_UNKNOWN', message })
      }
      continue
    }
    const found = await newestDocument(
      { ...ports, ...trust },
      own,
      (opened) => readManifest(ports.primitives, opened).previous,
      signal,
    )
    const { newest, incomplete, isChainBroken } = found
    if (incomplete.length > 0) {
      report.incomplete.push({ recording, restored: newest?.generation ?? 'none', missing: incomplete })
    }
    if (isChainBroken) report.brokenChains.push(recording)
    if (!newest) continue
    const manifest = readManifest(ports.primitives, newest.opened)
    const restored = await rowsOf(ports, manifest, newest, incomplete, fragments)
    for (const { id } of restored.attempts) named.add(id)
    report.fragments += restored.objects.filter(({ role }) => role.kind === 'fragment').length
    if (restored.attempts.some((attempt) => !isReadable(attempt, fragments.get(attempt.id) ?? []))) {
      report.unreadable.push(recording)
    }
    const outcome = await catalog.upkeep.restore(restored)
    if (outcome === 'known') report.known++
    else {
      if (outcome === 'added') report.recordings++
      else report.newer++
      await afterRestore(ports, restored, incomplete)
    }
  }
  for (const [attempt, found] of fragments) if (!named.has(attempt)) report.unnamedFragments += found.length
  if (trust.state) await restoreState(ports, organisation, trust.state)
  return report
}

function isReadable(attempt: AttemptRow, found: readonly FoundFragment[]): boolean {
  const extents = Array.from({ length: extentCount(attempt.sealedBytes ?? 0) }, (_, extent) => extent)
  return extents.every((number) => {
    const bySharing = Map.groupBy(
      found.filter(({ extent }) => extent === number),
      ({ sharing }) => sharing,
    )
    return [...bySharing.values()].some(
      (rows) => new Set(rows.map(({ index }) => index)).size >= (schemeOf(rows) ?? attempt.scheme).k,
    )
  })
}

/** The scheme that most nodes tell: a header is not signed, and one node alone decides nothing. */
function schemeOf(found: readonly FoundFragment[]): Scheme | undefined {
  const votes = Map.groupBy(found, ({ scheme }) => JSON.stringify(scheme))
  const voters = (rows: readonly FoundFragment[]): number => new Set(rows.map(({ node }) => node)).size
  return [...votes.values()].toSorted((a, b) => voters(b) - voters(a))[0]?.[0]?.scheme
}

async function rowsOf(
  ports: RebuildPorts,
  manifest: Manifest,
  newest: NewestDocument,
  incomplete: NewestOutcome['incomplete'],
  fragments: ReadonlyMap<Id, readonly FoundFragment[]>,
): Promise<RestoredRecording> {
  const { organisation, recording } = manifest
  const nowMs = ports.clock.nowMs()
  const attempts: AttemptRow[] = []
  const objects: ObjectRow[] = []
  for (const { id: asset, kind, sealed } of manifest.assets) {
    if (!sealed) continue
    const attempt = decodeAssetHeader(sealed.header).attempt
    const found = fragments.get(attempt) ?? []
    const scheme = schemeOf(found) ?? { k: newest.k, n: newest.n, t: newest.k - 1 }
    const wrappedVerifyKey = await ports.atRest.wrapAtRest(attempt, sealed.verifyKeys[0]!)
    attempts.push({
      ...{ id: attempt, organisation, recording, asset, kind, state: 'stored' },
      ...{ wrappedVerifyKey, sealedBytes: sealed.sealedBytes, scheme },
    })
    const others = new Map(
      [...Map.groupBy(found, (one) => one.sharing)].flatMap(([id, rows]) => {
        const own = schemeOf(rows)
        return own && JSON.stringify(own) !== JSON.stringify(scheme) ? [[id, own] as const] : []
      }),
    )
    for (const { node, key, sizeBytes, sharing, extent, index } of found) {
      const own = others.get(sharing)
      objects.push({
        ...(own && { scheme: own }),
        ...{ node, key, organisation, recording, sharing, index, sizeBytes },
        ...{ role: { kind: 'fragment', attempt, extent }, state: 'stored', createdAtMs: nowMs },
      })
    }
  }
  objects.push(...shareRows(newest, organisation, recording, nowMs))
  const { generation, sharing, sealedSha256 } = newest
  const generations: GenerationRow[] = [
    { recording, generation, state: 'stored', sharing, sealedSha256, epoch: 0 },
    // Their numbers are never given again.
    ...incomplete.map((one) => ({
      ...{ recording, generation: one.generation, state: 'abandoned' as const },
      ...{ sharing: null, sealedSha256: null, epoch: 0 },
    })),
  ]
  const scheme = attempts[0]?.scheme ?? { k: newest.k, n: newest.n, t: newest.k - 1 }
  return { recording: recordingRow(manifest, scheme, nowMs), attempts, generations, objects }
}

/** Rows of the shares of the newest generation, and of earlier ones, which are superseded. */
function shareRows(newest: NewestDocument, organisation: Id, recording: Id | null, nowMs: number): ObjectRow[] {
  const kind = recording === null ? ('state' as const) : ('manifest' as const)
  const row = (share: FoundShare, state: ObjectRow['state']): ObjectRow => ({
    ...{ node: share.node, key: share.key, organisation, recording, sharing: share.sharing, index: share.index },
    ...{ role: { kind, generation: share.generation }, state, sizeBytes: share.sizeBytes, createdAtMs: nowMs },
  })
  return [
    ...newest.shares.map((share) => row(share, 'stored')),
    ...newest.earlier.map((share) => row(share, 'superseded')),
  ]
}

function recordingRow(manifest: Manifest, scheme: Scheme, nowMs: number): RecordingRow {
  const { organisation, recording, title, source, host, startedAtMs, depositedAtMs, generation, assets } = manifest
  const original = assets.find(({ kind }) => kind === 'original')
  const playback = assets.find(({ kind }) => kind === 'rendition')?.playback
  return {
    ...{ id: recording, organisation, title, hostId: host.id, sourceKind: source.kind, externalId: source.externalId },
    ...{ startedAtMs, createdAtMs: depositedAtMs, updatedAtMs: nowMs, storedAtMs: depositedAtMs },
    state: playback ? 'ready' : 'stored',
    contentBytes: original?.contentBytes ?? null,
    durationMs: playback?.durationMs ?? null,
    ...{ scheme, generation, reason: null },
  }
}

/**
 * Rows that say `stored` of objects which a node, that listed everything it has, does not have: an older catalog's shares that were moved or
 * collected since. Repair and readers are not to look for them.
 *
 * @returns how many.
 */
export async function endAbsent(ports: Pick<RebuildPorts, 'catalog' | 'nodes'>, signal: AbortSignal): Promise<number> {
  const { layout, upkeep } = ports.catalog
  let count = 0
  for (const { id, store } of ports.nodes) {
    for (const kind of ['fragment', 'manifest-share', 'state-share'] as const) {
      const prefix = objectPrefix(kind)
      const present = new Set<string>()
      try {
        for await (const { key } of store.list(prefix, signal)) present.add(key)
      } catch (error) {
        signal.throwIfAborted()
        if (!isMosaikError(error)) throw error
        // Unreachable is not absent: nothing is said of what lies there.
        continue
      }
      for (let after: string | undefined; ;) {
        const rows = await upkeep.objectsOn(id, prefix, after, 500)
        for (const { key, state } of rows) {
          if (state !== 'stored' || present.has(key)) continue
          await layout.setObjectState(id, key, 'failed')
          count++
        }
        after = rows.at(-1)?.key
        if (after === undefined) break
      }
    }
  }
  return count
}

/** Its timeline says where it comes from; what was never made for it is made now. */
async function afterRestore(
  { catalog, clock, newId }: RebuildPorts,
  { recording }: RestoredRecording,
  incomplete: NewestOutcome['incomplete'],
): Promise<void> {
  await catalog.recordings.addEvent(recording.id, clock.nowMs(), 'rebuilt', {
    generation: recording.generation,
    incompleteGeneration: incomplete[0]?.generation ?? null,
  })
  if (recording.state !== 'stored') return
  await catalog.work.add({
    ...{ id: newId(), recording: recording.id, stage: 'transcode', input: { kind: 'vault' } },
    runAtMs: clock.nowMs(),
  })
}

/** Who held shares once, policies, holds, tombstones; and what was revoked stays so. */
async function restoreState(ports: RebuildPorts, organisation: Id, state: OrganisationState): Promise<void> {
  await ports.catalog.layout.keepExposures(organisation, state.exposures)
  await ports.catalog.installation.keepStateEntries(organisation, state)
  await restoreRevokedLinks(ports, organisation, state)
}

/** A link that is not known becomes a row that is over and revoked: nothing else of it is known. */
async function restoreRevokedLinks(
  { catalog, clock }: RebuildPorts,
  organisation: Id,
  state: OrganisationState,
): Promise<void> {
  const any = (await catalog.recordings.list({ organisation, limit: 1 }))[0]
  if (!any) return
  const present = new Set(await catalog.links.revokedLinks(organisation))
  for (const id of state.revokedLinks.filter((link) => !present.has(link))) {
    if (await catalog.links.link(id)) {
      await catalog.links.revokeLink(id, clock.nowMs())
      continue
    }
    try {
      await catalog.links.addLink({
        ...{ id, organisation, recording: any.id, createdAtMs: 0, expiresAtMs: 0, maxViews: 0, allowDownload: false },
        passcodeHash: null,
      })
      await catalog.links.revokeLink(id, clock.nowMs())
    } catch (error) {
      if (!isMosaikError(error, 'E_CONFLICT')) throw error
    }
  }
}
