import type { HpkePrimitives } from '../crypto/kem.ts'
import { captionsLanguage, normaliseCaptions } from '../domain/captions.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import { mediaTypeOfName } from '../domain/media-type.ts'
import type { StorageNode } from '../domain/node.ts'
import type { Manifest, ManifestAsset } from '../domain/recording.ts'
import type { RecordingCatalog, SourcePeople, WorkInput } from '../ports/catalog/recordings.ts'
import type { Suite } from '../ports/keyring.ts'
import type { SourceAccess, SourceFile } from '../ports/source.ts'
import { concatenate } from '../format/header-bytes.ts'
import { commitManifest } from './commit-manifest.ts'
import type { DocumentPorts } from './place-document.ts'
import { placeNewSharing, type PlacementPorts } from './placement.ts'
import { keepSmallAsset, type KeptAsset } from './small-asset.ts'
import type { StageContext, StageOutcome } from './stage.ts'
import { givingUpAttempts, storeAsset, type StorePorts, type StoredAsset } from './store-asset.ts'

/** What a receipt says besides who signs it (docs/FORMAT.md §9). */
export interface ReceiptFacts {
  readonly organisation: Id
  readonly recording: Id
  readonly asset: Id
  readonly attempt: Id
  readonly contentBytes: number
  /** HMAC-SHA-256(salt, SHA-256 of the content). */
  readonly commitment: Uint8Array
  readonly generation: number
  readonly scheme: { readonly k: number; readonly n: number; readonly t: number }
  readonly fragmentsVerified: number
  readonly manifestSharesVerified: number
  readonly issuedAtMs: number
}

export interface StoreOriginalPorts extends StorePorts, DocumentPorts, PlacementPorts {
  readonly primitives: HpkePrimitives
  readonly recordings: RecordingCatalog
  readonly sources: SourceAccess
  readonly suite: Suite
  readonly issueReceipt: (facts: ReceiptFacts) => Promise<Uint8Array>
}

/**
 * First stage: the original is safe before anything else happens. Stores it, checks it against what the source said, commits manifest
 * generation 1 and the signed receipt in one transaction. Run again after a crash it starts a fresh attempt, or finds its work done.
 *
 * @throws E_SOURCE_HASH, E_SOURCE_EMPTY, E_SOURCE_UNREADABLE, E_SOURCE_CHANGED, E_NODES_TOO_FEW, E_PLACEMENT_RULE, E_LEASE_LOST
 */
export async function storeOriginal(ports: StoreOriginalPorts, context: StageContext): Promise<StageOutcome> {
  const { recording, work, fence } = context
  const after: StageOutcome = {
    next: [
      { stage: 'transcode', input: { kind: 'vault' } },
      { stage: 'release', input: withoutPeople(work.input) },
    ],
  }
  if (recording.generation > 0) return after
  await givingUpAttempts(ports, recording.id, fence, () => store(ports, context))
  return after
}

async function store(ports: StoreOriginalPorts, context: StageContext): Promise<void> {
  const { recording, work, fence, signal } = context
  await ports.layout.failWriting(recording.id, fence)
  // The reason of an earlier try stays until this one succeeds.
  await ports.recordings.update(recording.id, { state: 'storing' }, ports.clock.nowMs(), fence)
  const source = await ports.sources.open(work.input)
  const nodes = await placeNewSharing(ports, recording.organisation, recording.scheme)
  const asset = toHex(ports.random.bytes(16))
  const stored = await storeAsset(
    ports,
    {
      organisation: recording.organisation,
      recording: recording.id,
      asset,
      kind: 'original',
      scheme: recording.scheme,
      nodes,
      content: source.original.open(signal),
      fence,
      progress: (doneBytes) => context.progress(doneBytes, source.original.sizeBytes ?? null),
    },
    signal,
  )
  checkAgainstSource(stored, source.original, ports)
  const salt = ports.random.bytes(32)
  const assets: ManifestAsset[] = [
    {
      id: asset,
      kind: 'original',
      mediaType: mediaTypeOfName(source.original.name),
      name: source.original.name,
      contentBytes: stored.contentBytes,
      sha256: stored.sha256,
      inline: null,
      sealed: stored.sealed,
      playback: null,
    },
  ]
  const captions: KeptAsset[] = []
  for (const file of source.captions) captions.push(...(await keepCaptions(ports, context, nodes, file)))
  assets.push(...captions.map((kept) => kept.asset))
  const nowMs = ports.clock.nowMs()
  const people: SourcePeople | null = work.input.kind === 'vault' ? null : work.input.people
  const manifest: Omit<Manifest, 'generation' | 'previous'> = {
    organisation: recording.organisation,
    recording: recording.id,
    salt,
    title: recording.title,
    source: { kind: recording.sourceKind, externalId: recording.externalId },
    host: { id: recording.hostId, name: people?.hostName ?? null, email: people?.hostEmail ?? null },
    participants: people?.participants ?? [],
    startedAtMs: recording.startedAtMs,
    depositedAtMs: recording.createdAtMs,
    retention: { mode: 'none', retainUntilMs: null, deleteByMs: null },
    assets,
  }
  const committed = await commitManifest(
    ports,
    {
      manifest,
      expectedStored: 0,
      suite: ports.suite,
      scheme: recording.scheme,
      nodes,
      attempts: [
        { id: stored.attempt, sealedBytes: stored.sealed.sealedBytes },
        ...captions.flatMap((kept) => kept.attempts),
      ],
      supersede: [],
      change: { state: 'stored', storedAtMs: nowMs, contentBytes: stored.contentBytes, reason: null },
      fence,
      receipt: ({ generation, manifestSharesVerified }) =>
        ports.issueReceipt({
          organisation: recording.organisation,
          recording: recording.id,
          asset,
          attempt: stored.attempt,
          contentBytes: stored.contentBytes,
          commitment: ports.primitives.hmacSha256(salt, stored.sha256),
          generation,
          scheme: recording.scheme,
          fragmentsVerified: stored.fragmentsVerified,
          manifestSharesVerified,
          issuedAtMs: ports.clock.nowMs(),
        }),
    },
    signal,
  )
  await ports.recordings.addEvent(recording.id, ports.clock.nowMs(), 'stored', {
    generation: committed.generation,
    contentBytes: stored.contentBytes,
    fragmentsVerified: stored.fragmentsVerified,
    fragments: recording.scheme.n,
  })
}

function checkAgainstSource(stored: StoredAsset, source: SourceFile, ports: StorePorts): void {
  if (stored.contentBytes === 0) throw new MosaikError('E_SOURCE_EMPTY', 'the file is empty: there is nothing to keep')
  if (source.sizeBytes !== undefined && source.sizeBytes !== stored.contentBytes) {
    throw new MosaikError(
      'E_SOURCE_CHANGED',
      `the source promised ${source.sizeBytes} bytes and gave ${stored.contentBytes}`,
      { promisedBytes: source.sizeBytes, gaveBytes: stored.contentBytes },
    )
  }
  if (source.sha256 && !ports.primitives.equal(source.sha256, stored.sha256)) {
    throw new MosaikError('E_SOURCE_HASH', 'the content does not have the SHA-256 that the source gave; send it again')
  }
}

/** Captions never keep a recording from being safe: what is wrong with them is told on the timeline. */
async function keepCaptions(
  ports: StoreOriginalPorts,
  context: StageContext,
  nodes: readonly StorageNode[],
  source: SourceFile,
): Promise<KeptAsset[]> {
  try {
    const given = await readWhole(source, context.signal)
    const content = normaliseCaptions(given)
    const name = captionsLanguage(given, source.name)
    return [await keepSmallAsset(ports, context, nodes, { kind: 'captions', mediaType: 'text/vtt', name, content })]
  } catch (error) {
    context.signal.throwIfAborted()
    if (!isMosaikError(error, 'E_INPUT', 'E_SOURCE_UNREADABLE', 'E_SOURCE_CHANGED')) throw error
    await ports.recordings.addEvent(context.recording.id, ports.clock.nowMs(), 'captions-refused', {
      code: error.code,
      message: error.message,
    })
    return []
  }
}

const CAPTIONS_MAX_BYTES = 8 * 1024 * 1024

async function readWhole(source: SourceFile, signal: AbortSignal): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of source.open(signal)) {
    sizeBytes += chunk.length
    if (sizeBytes > CAPTIONS_MAX_BYTES) throw new MosaikError('E_INPUT', 'captions must have at most 8 MiB')
    chunks.push(Uint8Array.from(chunk))
  }
  return concatenate(...chunks)
}

/** What the release needs of an input: nothing about people or content. */
function withoutPeople(input: WorkInput): WorkInput {
  if (input.kind === 'file') return { ...input, people: null, sha256: null }
  return input.kind === 'upload' ? { ...input, people: null } : input
}
