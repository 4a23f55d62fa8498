import type { DocumentHeader } from '../../../src/format/sealed-document.ts'
import type { DocumentShare } from '../../../src/format/document-share.ts'
import type { FragmentHeader } from '../../../src/format/fragment-header.ts'
import type { Receipt } from '../../../src/format/receipt.ts'
import type { SpoolHeader } from '../../../src/format/spool-header.ts'
import type { VaultCard } from '../../../src/format/vault-card.ts'
import { encodeAssetHeader, FLOE_PARAMETERS, sealedLength } from '../../../src/format/asset-header.ts'
import { NO_SUBJECT } from '../../../src/format/sealed-document.ts'
import type { Manifest, ManifestAsset } from '../../../src/domain/recording.ts'
import type { OrganisationState } from '../../../src/domain/organisation-state.ts'

/** Ids and byte strings that can be told apart, and one valid value of every object kind. */
export const id = (n: number): string => n.toString(16).padStart(2, '0').repeat(16)
export const bytes = (length: number, value: number): Uint8Array<ArrayBuffer> => new Uint8Array(length).fill(value)

export const organisation = id(1)
export const recording = id(2)

export const assetHeader = { organisation, recording, asset: id(3), attempt: id(4) }
export const fragmentHeader: FragmentHeader = {
  attempt: id(4),
  sharing: id(5),
  extent: 3,
  index: 4,
  scheme: { k: 3, n: 5, t: 1 },
}
export const manifestHeader: DocumentHeader = {
  kind: 'manifest',
  suite: 1,
  organisation,
  subject: recording,
  generation: 7,
  recipients: [bytes(16, 0x21), bytes(16, 0x22), bytes(16, 0x23)],
}
export const stateHeader: DocumentHeader = { ...manifestHeader, kind: 'state', suite: 2, subject: NO_SUBJECT }
export const documentShare: DocumentShare = {
  kind: 'manifest',
  suite: 1,
  organisation,
  subject: recording,
  generation: 7,
  sharing: id(5),
  index: 2,
  k: 3,
  n: 5,
  sealedBytes: 100,
  signer: bytes(16, 0x31),
  share: bytes(112, 0x41),
}
export const spoolHeader: SpoolHeader = {
  suite: 2,
  upload: id(6),
  number: 9,
  offsetBytes: 2 ** 40,
  keyId: bytes(16, 0x51),
}
export const marker = { installation: id(7), node: id(8) }

export const card: VaultCard = {
  installation: id(7),
  organisation,
  epoch: 2,
  issuedAtMs: 1_800_000_000_000,
  kem: [
    { suite: 1, publicKey: bytes(1216, 1) },
    { suite: 2, publicKey: bytes(1665, 2) },
  ],
  recovery: [{ suite: 1, publicKey: bytes(1216, 3) }],
  signing: { ed25519: bytes(32, 4), mldsa65: bytes(1952, 5) },
  root: { ed25519: bytes(32, 6), mldsa65: bytes(1952, 7) },
  previous: bytes(32, 8),
  signer: bytes(16, 9),
}

export const receipt: Receipt = {
  installation: id(7),
  organisation,
  recording,
  asset: id(3),
  attempt: id(4),
  contentBytes: 1000,
  commitment: bytes(32, 1),
  generation: 1,
  k: 3,
  n: 5,
  t: 1,
  fragmentsVerified: 4,
  manifestSharesVerified: 5,
  issuedAtMs: 1_800_000_000_000,
  signer: bytes(16, 9),
}

const floeHeader = new Uint8Array(74).fill(0x77)
floeHeader.set(FLOE_PARAMETERS)

export const sealedAsset: ManifestAsset = {
  id: id(3),
  kind: 'rendition',
  mediaType: 'video/mp4',
  name: '720p',
  contentBytes: 1000,
  sha256: bytes(32, 1),
  inline: null,
  sealed: {
    header: encodeAssetHeader(assetHeader),
    dek: bytes(32, 2),
    floeHeader,
    sealedBytes: sealedLength(1024),
    verifyKeys: [bytes(32, 3), bytes(32, 4)],
  },
  playback: {
    codecs: 'avc1.4d401f,mp4a.40.2',
    width: 1280,
    height: 720,
    bandwidthBitsPerSecond: 2_000_000,
    durationMs: 8000,
    initBytes: 100,
    segments: [
      [100, 450, 4_000_000],
      [550, 450, 4_000_000],
    ],
  },
}
export const inlineAsset: ManifestAsset = {
  id: id(9),
  kind: 'captions',
  mediaType: 'text/vtt',
  name: 'de',
  contentBytes: 6,
  sha256: bytes(32, 5),
  inline: new TextEncoder().encode('WEBVTT'),
  sealed: null,
  playback: null,
}

export const manifest: Manifest = {
  organisation,
  recording,
  generation: 7,
  previous: bytes(32, 9),
  salt: bytes(32, 10),
  title: 'Jahresgespräch 🎬',
  source: { kind: 'upload', externalId: null },
  host: { id: 'u-1', name: 'Ada', email: null },
  participants: [{ name: null, email: 'b@example.org' }],
  startedAtMs: null,
  depositedAtMs: 1_800_000_000_000,
  retention: { mode: 'governance', retainUntilMs: 1_900_000_000_000, deleteByMs: null },
  assets: [sealedAsset, inlineAsset],
}

export const state: OrganisationState = {
  organisation,
  generation: 3,
  previous: bytes(32, 9),
  writtenAtMs: 1_800_000_000_000,
  nodes: [
    {
      id: id(8),
      name: 'n1',
      driver: 's3',
      location: 'https://s3.example.org/b',
      country: 'DE',
      operator: 'Op',
      parent: 'Parent',
      site: 'fra1',
      state: 'active',
    },
  ],
  exposures: [{ sharing: id(5), index: 2, node: id(8), operator: 'Op', parent: 'Parent', site: 'fra1' }],
  policies: [{ id: id(10), name: 'default', mode: 'governance', retainMs: 1, deleteAfterMs: null }],
  holds: [{ id: id(11), recording, name: 'matter 7', placedBy: 'officer', placedAtMs: 1_800_000_000_000 }],
  tombstones: [{ recording: id(12), decidedAtMs: 1_800_000_000_000, reason: 'request' }],
  revokedLinks: [id(13)],
}
