import { trustedSigner } from '../crypto/keys.ts'
import type { Primitives } from '../crypto/primitives.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import { toHex, type Id } from '../domain/ids.ts'
import type { Manifest } from '../domain/recording.ts'
import type { InstallationCatalog } from '../ports/catalog/access.ts'
import type { GenerationRow, ObjectRow } from '../ports/catalog/layout.ts'
import type { RecordingCatalog, RecordingRow } from '../ports/catalog/recordings.ts'
import type { Keyring, UnwrapPurpose } from '../ports/keyring.ts'
import type { OpenedRecording, VaultReader } from '../ports/vault-reader.ts'
import { signersOf } from './signers.ts'
import { Gather, type ShareSource } from './gather.ts'
import { combineShares, openSealedDocument, parseAndVerifyShare, readManifest } from './open-document.ts'
import { inlineAssetReader, sealedAssetReader, type ReadPorts } from './read-asset.ts'

export interface VaultReaderPorts extends ReadPorts {
  readonly recordings: RecordingCatalog
  readonly keyring: Pick<Keyring, 'unwrap' | 'publicKeys'>
  readonly primitives: Primitives
  /** Where the organisation's cards are; without it only the present epoch's signer is trusted. */
  readonly installation?: Pick<InstallationCatalog, 'cards'>
}

/** Opened manifests live in memory this long, and no longer (docs/THREAT-MODEL.md). */
export const MANIFEST_TTL_MS = 10 * 60 * 1000
const MANIFEST_CACHE_COUNT = 500

interface CachedManifest {
  readonly manifest: Manifest
  readonly expiresAtMs: number
}

/** The read path: opens manifests, and hands out readers of their assets. */
export function createVaultReader(ports: VaultReaderPorts): VaultReader & { forgetExpired(): void } {
  const cache = new Map<string, CachedManifest>()

  const name = (row: RecordingRow): string => `${row.id}:${row.generation}`
  const forgetExpired = (): void => {
    const nowMs = ports.clock.monotonicMs()
    for (const [key, entry] of cache) if (entry.expiresAtMs <= nowMs) cache.delete(key)
  }
  const cached = (row: RecordingRow): Manifest | undefined => {
    forgetExpired()
    return cache.get(name(row))?.manifest
  }
  const keep = (row: RecordingRow, manifest: Manifest): void => {
    if (cache.has(name(row))) return
    while (cache.size >= MANIFEST_CACHE_COUNT) cache.delete(cache.keys().next().value as string)
    cache.set(name(row), { manifest, expiresAtMs: ports.clock.monotonicMs() + MANIFEST_TTL_MS })
  }

  return {
    /** Drops manifests whose time is over; an idle vault calls it now and then. */
    forgetExpired,

    async open(organisation, recording, purpose, signal): Promise<OpenedRecording> {
      let row = await recordingRow(organisation, recording)
      let manifest = cached(row)
      let standing = manifest ? undefined : await ports.layout.generation(recording, row.generation)
      while (!manifest) {
        try {
          manifest = await openManifest(ports, row, standing, purpose, signal)
        } catch (error) {
          // A newer generation, or a new sharing of this one, may stand by now, and the shares that were looked for be on their way out.
          const now = await recordingRow(organisation, recording)
          const standsNow = await ports.layout.generation(recording, now.generation)
          const isSame = now.generation === row.generation && standsNow?.sharing === standing?.sharing
          if (isSame || signal.aborted) throw error
          row = now
          standing = standsNow
          manifest = cached(row)
        }
      }
      keep(row, manifest)
      return openedRecording(ports, manifest)
    },
  }

  async function recordingRow(organisation: Id, recording: Id): Promise<RecordingRow> {
    const row = await ports.recordings.get(recording, organisation)
    if (!row) throw new MosaikError('E_RECORDING_UNKNOWN', 'there is no such recording', { recording })
    if (row.generation > 0) return row
    throw new MosaikError('E_RECORDING_NOT_READY', `the recording is still being stored (${row.state})`, { recording })
  }
}

function openedRecording(ports: VaultReaderPorts, manifest: Manifest): OpenedRecording {
  return {
    manifest,
    asset(id: Id) {
      const asset = manifest.assets.find((candidate) => candidate.id === id)
      if (asset?.inline) return inlineAssetReader(asset, asset.inline)
      if (asset?.sealed) return sealedAssetReader(ports, asset, asset.sealed)
      throw new MosaikError('E_ASSET_UNKNOWN', 'the recording has no such asset', { recording: manifest.recording })
    },
  }
}

/** Fetches k manifest shares, checks their signatures, combines, unwraps, and holds the result to what the catalog says. */
async function openManifest(
  ports: VaultReaderPorts,
  row: RecordingRow,
  generationRow: GenerationRow | undefined,
  purpose: UnwrapPurpose,
  signal: AbortSignal,
): Promise<Manifest> {
  const { organisation, generation } = row
  const recording = row.id
  const [shares, keys, nodes] = await Promise.all([
    ports.layout.manifestShares(recording, generation),
    ports.keyring.publicKeys(organisation),
    ports.pool.nodes(),
  ])
  const sharing = generationRow?.sharing
  const standing = shares.filter((share) => share.sharing === sharing)
  // Of this sharing: the recording may be on its way to another one.
  const scheme = standing[0]?.scheme ?? row.scheme
  const names = new Map(nodes.map((node) => [node.id, node.name]))
  const sourceOf = ({ index, node, key }: ObjectRow): ShareSource => ({
    index,
    node,
    nodeName: names.get(node) ?? node,
    key,
  })
  const sources = standing.map(sourceOf)
  const relocate = async (lost: ShareSource): Promise<ShareSource | undefined> =>
    (await ports.layout.manifestShares(recording, generation))
      .filter((share) => share.sharing === sharing && share.index === lost.index)
      .filter(({ key }) => sources.every((source) => source.key !== key))
      .map(sourceOf)[0]
  // Shares of an earlier epoch stand until they are written anew: the cards name whose signatures count.
  const { installation, primitives } = ports
  const trusted = [
    trustedSigner(primitives, organisation, keys.signing),
    ...(installation ? await signersOf({ installation, primitives }, organisation) : []),
  ]
  const gather = new Gather(
    ports,
    {
      scheme,
      sources,
      relocate,
      lacking: ({ node, key, index }, { code }) =>
        ports.log.warn('read.bad-share', { node, object: key, index, recording, generation, code }),
    },
    signal,
  )
  try {
    const verified: ReturnType<typeof parseAndVerifyShare>[] = []
    while (verified.length < scheme.k) {
      for (const share of await gather.take(scheme.k - verified.length)) {
        try {
          const parsed = parseAndVerifyShare(ports.primitives, share.bytes, trusted)
          if (
            parsed.subject !== recording ||
            parsed.generation !== generation ||
            parsed.sharing !== sharing ||
            parsed.index !== share.source.index
          ) {
            throw new MosaikError('E_SHARES_MIXED', 'the share is of another manifest', { node: share.source.node })
          }
          verified.push(parsed)
        } catch (error) {
          if (!isMosaikError(error)) throw error
          const { node, nodeName, key, index } = share.source
          const message = `node ${nodeName} gave a manifest share that is not what was stored: ${error.message}`
          gather.reject(share, new MosaikError(error.code, message, { node, object: key, index }, error))
          ports.log.warn('read.bad-share', { node, object: key, index, recording, generation, code: error.code })
        }
      }
    }
    const sealed = combineShares(verified)
    checkSealed(ports, generationRow, sealed)
    const opened = await openSealedDocument(ports.primitives, sealed, (keyId, wrapped) =>
      ports.keyring.unwrap(organisation, keyId, wrapped, purpose),
    )
    const manifest = readManifest(ports.primitives, opened)
    if (
      manifest.recording !== recording ||
      manifest.organisation !== organisation ||
      manifest.generation !== generation
    ) {
      throw new MosaikError('E_FORMAT_FIELD', 'the manifest is of another recording or generation', { recording })
    }
    return manifest
  } finally {
    gather.close()
  }
}

function checkSealed(ports: VaultReaderPorts, row: GenerationRow | undefined, sealed: Uint8Array): void {
  if (!row?.sealedSha256 || !ports.primitives.equal(row.sealedSha256, ports.primitives.sha256(sealed))) {
    throw new MosaikError('E_SHARES_MIXED', 'the combined manifest is not the one that was stored', {
      recording: row?.recording ?? null,
      sha256: toHex(ports.primitives.sha256(sealed)),
    })
  }
}
