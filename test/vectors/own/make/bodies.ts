import { signingKeys, signPair, type SigningKeys } from '../../../../src/crypto/signature.ts'
import { encodeManifest } from '../../../../src/format/manifest.ts'
import { encodeReceipt, encodeReceiptForSigning, type Receipt } from '../../../../src/format/receipt.ts'
import { encodeRecordForSigning } from '../../../../src/format/signed-record.ts'
import { encodeState } from '../../../../src/format/state.ts'
import type { Manifest, ManifestAsset } from '../../../../src/domain/recording.ts'
import { decodeAssetHeader, encodeAssetHeader, sealedLength } from '../../../../src/format/asset-header.ts'
import { signerId } from '../../../../src/crypto/keys.ts'
import { issueNextCard } from '../../../../src/ledger/vault-card.ts'
import { hex } from '../vector.ts'
import { cut, Family, flip, inner, join, patch, recode, replaceHex, type Draft } from './edit.ts'
import { primitives, SmallVault } from './small-vault.ts'

const scheme = { k: 3, n: 5, t: 1 }
const zero = Uint8Array.of(0)

/** Vectors of CBOR bodies and of the signed records around them. */
export async function bodyVectors(): Promise<Draft[]> {
  const families = [items(), manifests(), states(), receipts(), await cards()]
  return families.flatMap((family) => family.drafts)
}

/** One CBOR item each: how deep it may be nested cannot be seen from a document with all of its keys listed. */
function items(): Family {
  const nested = (levels: number, around: string, within: string) =>
    new Uint8Array(Buffer.from(around.repeat(levels) + within, 'hex'))
  const [array, map] = ['81', 'a16161'] // of one element; of the key "a"
  return new Family('cbor')
    .ok('valid-level-16', nested(16, array, '00'))
    .ok('valid-level-16-empty-array', nested(16, array, '80'))
    .ok('valid-level-16-in-maps', nested(16, map, 'f6'))
    .fault('E_FORMAT_CBOR', 'level-17', nested(17, array, '00'))
    .fault('E_FORMAT_CBOR', 'level-17-empty-array', nested(17, array, '80'))
    .fault('E_FORMAT_CBOR', 'level-17-in-maps', nested(17, map, 'f6'))
}

function manifestWithAssets(vault: SmallVault): Manifest {
  const recording = vault.id()
  const original = vault.splitAsset(recording, vault.random.bytes(1000), scheme, { paddedBytes: 1024 }).asset
  const rendition: ManifestAsset = {
    ...vault.splitAsset(recording, vault.random.bytes(900), scheme, { kind: 'rendition' }).asset,
    mediaType: 'video/mp4',
    name: '720p',
    playback: {
      codecs: 'avc1.4d401f,mp4a.40.2',
      width: 1280,
      height: 720,
      bandwidthBitsPerSecond: 2_500_000,
      durationMs: 8_000,
      initBytes: 100,
      segments: [
        [100, 400, 4_000_000],
        [500, 400, 4_000_000],
      ],
    },
  }
  const captions = new TextEncoder().encode('WEBVTT\n\n00:00.000 --> 00:01.000\nHallo\n')
  const inline: ManifestAsset = {
    id: vault.id(),
    kind: 'captions',
    mediaType: 'text/vtt',
    name: 'de',
    contentBytes: captions.length,
    sha256: primitives.sha256(captions),
    inline: captions,
    sealed: null,
    playback: null,
  }
  return vault.manifest(recording, [original, rendition, inline], { generation: 2, previous: vault.random.bytes(32) })
}

/** The same with two sound tracks, and captions that have a title. */
function withTracks(vault: SmallVault, manifest: Manifest): Manifest {
  const [original, rendition, captions] = manifest.assets as [ManifestAsset, ManifestAsset, ManifestAsset]
  const sound = (name: string): ManifestAsset => ({
    ...vault.splitAsset(manifest.recording, vault.random.bytes(300), scheme, { kind: 'rendition' }).asset,
    mediaType: 'audio/mp4',
    name,
    playback: {
      ...{ codecs: 'mp4a.40.2', width: 0, height: 0, bandwidthBitsPerSecond: 128_000, durationMs: 8_000 },
      ...{ initBytes: 100, segments: [[100, 200, 8_000_000]] },
    },
  })
  return {
    ...manifest,
    assets: [
      ...[original, rendition, sound('audio 1 de'), sound('audio 2 en Interpreter – Ærø')],
      ...[captions, { ...captions, id: vault.id(), name: 'de-CH for the hard of hearing' }],
    ],
  }
}

function manifests(): Family {
  const vault = new SmallVault('manifest')
  const manifest = manifestWithAssets(vault)
  const valid = encodeManifest(manifest)
  const first = encodeManifest({
    ...manifest,
    generation: 1,
    previous: null,
    startedAtMs: null,
    participants: [],
    assets: [],
  })
  const asset = (map: unknown, i = 0) => inner(map, 'assets', i)
  const sealed = (map: unknown) => inner(map, 'assets', 0, 'sealed')
  const headerOf = (change: Partial<Parameters<typeof encodeAssetHeader>[0]>) =>
    encodeAssetHeader({
      organisation: vault.organisation,
      recording: manifest.recording,
      asset: manifest.assets[0]!.id,
      attempt: vault.id(),
      ...change,
    })
  const paddedTo = (bytes: number) => (map: Map<string, unknown>) => sealed(map).set('sealedBytes', sealedLength(bytes))
  const family = new Family('manifest').ok('valid', valid).ok('valid-first-and-empty', first)

  const cbor = (name: string, bytes: Uint8Array) => family.fault('E_FORMAT_CBOR', `cbor-${name}`, bytes)
  const generation = '6a67656e65726174696f6e' // "generation"
  cbor('empty', new Uint8Array(0))
  cbor('cut-short', cut(valid, valid.length - 1))
  cbor('byte-behind', join(valid, zero))
  cbor('item-behind', join(valid, valid))
  cbor('integer-in-two-bytes', replaceHex(valid, `${generation}02`, `${generation}1802`))
  cbor('integer-in-nine-bytes', replaceHex(valid, `${generation}02`, `${generation}1b0000000000000002`))
  cbor('integer-2-to-53', replaceHex(valid, `${generation}02`, `${generation}1b0020000000000000`))
  cbor('integer-negative', replaceHex(valid, `${generation}02`, `${generation}20`))
  cbor('float', replaceHex(valid, `${generation}02`, `${generation}f94000`))
  cbor('tag', replaceHex(valid, `${generation}02`, `${generation}c102`))
  cbor('true', replaceHex(valid, `${generation}02`, `${generation}f5`))
  cbor('undefined', replaceHex(first, '6870726576696f7573f6', '6870726576696f7573f7'))
  cbor('simple-value', replaceHex(first, '6870726576696f7573f6', '6870726576696f7573f0'))
  cbor('length-in-two-bytes', replaceHex(valid, '646e616d6563416461', '646e616d657803416461'))
  cbor('indefinite-map', join(Uint8Array.of(0xbf), valid.subarray(1), Uint8Array.of(0xff)))
  cbor('indefinite-array', replaceHex(first, '6c7061727469636970616e747380', '6c7061727469636970616e74739fff'))
  cbor('indefinite-text', replaceHex(valid, '646e616d6563416461', '646e616d657f63416461ff'))
  cbor('text-not-utf-8', replaceHex(valid, '646e616d6563416461', '646e616d6563ff6461'))
  cbor('text-surrogate', replaceHex(valid, '646e616d6563416461', '646e616d6563eda080'))
  cbor('text-overlong', replaceHex(valid, '646e616d6563416461', '646e616d6563c08061'))
  cbor(
    'key-twice',
    replaceHex(
      recode(first, (m) => m.set('salu', new Uint8Array(32))),
      '6473616c75',
      '6473616c74',
    ),
  )
  cbor('key-is-integer', replaceHex(first, '6473616c74', '04'))
  cbor('keys-out-of-order', swapFirstKeys(first))
  cbor('not-a-map', Uint8Array.of(0x80))
  cbor(
    'unlisted-key',
    recode(valid, (m) => m.set('colour', 1)),
  )
  cbor(
    'missing-key',
    recode(valid, (m) => m.delete('salt')),
  )
  cbor(
    'unlisted-key-in-asset',
    recode(valid, (m) => asset(m).set('node', 'n1')),
  )
  cbor(
    'missing-key-in-sealed',
    recode(valid, (m) => sealed(m).delete('dek')),
  )
  cbor(
    'title-number',
    recode(valid, (m) => m.set('title', 7)),
  )
  cbor(
    'title-null',
    recode(valid, (m) => m.set('title', null)),
  )
  cbor(
    'generation-text',
    recode(valid, (m) => m.set('generation', '2')),
  )
  cbor(
    'salt-31-bytes',
    recode(valid, (m) => m.set('salt', new Uint8Array(31))),
  )
  cbor(
    'dek-16-bytes',
    recode(valid, (m) => sealed(m).set('dek', new Uint8Array(16))),
  )
  cbor(
    'assets-map',
    recode(valid, (m) => m.set('assets', new Map())),
  )
  cbor(
    'segment-of-two',
    recode(valid, (m) => inner(m, 'assets', 1, 'playback').set('segments', [[1, 2]])),
  )

  const storyboard = (m: Map<string, unknown>) => asset(m, 2).set('kind', 'storyboard').set('name', 'thumbnails')
  family.ok('valid-storyboard', recode(valid, storyboard))
  const field = (name: string, change: (m: Map<string, unknown>) => unknown) =>
    family.fault('E_FORMAT_FIELD', name, recode(valid, change))
  field('generation-0', (m) => m.set('generation', 0).set('previous', null))
  field('previous-in-generation-1', (m) => m.set('generation', 1))
  field('retention-mode', (m) => inner(m, 'retention').set('mode', 'maybe'))
  field('asset-kind', (m) => asset(m).set('kind', 'thumbnail'))
  field('inline-and-sealed', (m) => asset(m, 2).set('sealed', sealed(m)))
  field('neither-inline-nor-sealed', (m) => asset(m).set('sealed', null))
  field('inline-length', (m) => asset(m, 2).set('contentBytes', 5))
  field('inline-hash', (m) => asset(m, 2).set('sha256', new Uint8Array(32)))
  field('content-longer-than-sealed', (m) => asset(m).set('contentBytes', 1025))
  field('sealed-length-31', (m) => sealed(m).set('sealedBytes', 31))
  field('sealed-length-leaves-31', (m) => sealed(m).set('sealedBytes', 262_144 + 31))
  field('no-verify-key', (m) => sealed(m).set('verifyKeys', []))
  field('floe-parameters', (m) => sealed(m).set('floeHeader', patch(sealed(m).get('floeHeader') as Uint8Array, 3, 16)))
  field('header-of-other-organisation', (m) => sealed(m).set('header', headerOf({ organisation: vault.id() })))
  field('header-of-other-recording', (m) => sealed(m).set('header', headerOf({ recording: vault.id() })))
  field('header-of-other-asset', (m) => sealed(m).set('header', headerOf({ asset: vault.id() })))
  field('asset-id-twice', (m) => asset(m, 2).set('id', asset(m).get('id')))
  field('playback-of-original', (m) => asset(m).set('playback', asset(m, 1).get('playback')))
  return family
    .fault(
      'E_FORMAT_MAGIC',
      'header-magic',
      recode(valid, (m) => sealed(m).set('header', flip(headerOf({}), 0))),
    )
    .fault(
      'E_FORMAT_VERSION',
      'header-version',
      recode(valid, (m) => sealed(m).set('header', patch(headerOf({}), 9, 2))),
    )
    .ok(
      'valid-generation-2-without-previous',
      recode(valid, (m) => m.set('previous', null)),
    )
    .fault(
      'E_FORMAT_FIELD',
      'attempt-twice',
      recode(valid, (m) => inner(m, 'assets', 1, 'sealed').set('header', sameAttempt(manifest))),
    )
    .ok('valid-tracks', encodeManifest(withTracks(vault, manifest)))
    .ok('valid-longest-padding', recode(valid, paddedTo(2 * 1000 + 262_112)))
    .fault('E_FORMAT_FIELD', 'padding-too-long', recode(valid, paddedTo(2 * 1000 + 262_112 + 1)))
    .fault('E_FORMAT_FIELD', 'padding-absurd', recode(valid, paddedTo(2 ** 52)))
}

/** The header of the second asset, as if it were of the attempt of the first. */
function sameAttempt({ assets }: Manifest): Uint8Array {
  const [first, second] = assets.map(({ sealed }) => sealed?.header)
  return encodeAssetHeader({ ...decodeAssetHeader(second!), attempt: decodeAssetHeader(first!).attempt })
}

/** The first two entries of a map, each of a key and a value, change places. */
function swapFirstKeys(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  // "host" and "salt" are the first keys of a manifest: the shortest ones, in alphabetical order
  const saltAt = Buffer.from(bytes).indexOf(Buffer.from('6473616c74', 'hex'))
  const saltEnd = saltAt + 5 + 2 + 32
  return join(bytes.subarray(0, 1), bytes.subarray(saltAt, saltEnd), bytes.subarray(1, saltAt), bytes.subarray(saltEnd))
}

function states(): Family {
  const vault = new SmallVault('state')
  const [node, recording] = [vault.id(), vault.id()]
  const place = { operator: 'Op GmbH', parent: 'Group AG', site: 'fra1' }
  const valid = encodeState({
    organisation: vault.organisation,
    generation: 2,
    previous: vault.random.bytes(32),
    writtenAtMs: 1_800_000_000_000,
    nodes: [
      {
        id: node,
        name: 'n1',
        driver: 's3',
        location: 'https://s3.example.org/b1',
        country: 'DE',
        ...place,
        state: 'active',
      },
    ],
    exposures: [{ sharing: vault.id(), index: 3, node, ...place }],
    policies: [{ id: vault.id(), name: 'default', mode: 'none', retainMs: null, deleteAfterMs: 86_400_000 }],
    holds: [{ id: vault.id(), recording, name: 'matter 7', placedBy: 'officer-1', placedAtMs: 1_800_000_000_000 }],
    tombstones: [{ recording: vault.id(), decidedAtMs: 1_800_000_000_000, reason: 'request' }],
    revokedLinks: [vault.id(), vault.id()],
  })
  const cbor = (name: string, change: (m: Map<string, unknown>) => unknown) =>
    ['E_FORMAT_CBOR', name, recode(valid, change)] as const
  return new Family('state')
    .ok('valid', valid)
    .fault(...cbor('unlisted-key', (m) => m.set('colour', 1)))
    .fault(...cbor('missing-key', (m) => m.delete('holds')))
    .fault(...cbor('missing-key-in-node', (m) => inner(m, 'nodes', 0).delete('site')))
    .fault(...cbor('unlisted-key-in-hold', (m) => inner(m, 'holds', 0).set('until', 1)))
    .fault(...cbor('link-15-bytes', (m) => m.set('revokedLinks', [new Uint8Array(15)])))
    .fault(...cbor('index-text', (m) => inner(m, 'exposures', 0).set('index', '3')))
    .fault(...cbor('retain-missing-null', (m) => inner(m, 'policies', 0).set('retainMs', '')))
    .fault(
      'E_FORMAT_FIELD',
      'generation-0',
      recode(valid, (m) => m.set('generation', 0).set('previous', null)),
    )
    .ok(
      'valid-generation-2-without-previous',
      recode(valid, (m) => m.set('previous', null)),
    )
    .fault(
      'E_FORMAT_FIELD',
      'previous-in-generation-1',
      recode(valid, (m) => m.set('generation', 1)),
    )
    .ok(
      'valid-exposure-index-31',
      recode(valid, (m) => inner(m, 'exposures', 0).set('index', 31)),
    )
    .fault(
      'E_FORMAT_FIELD',
      'exposure-index-32',
      recode(valid, (m) => inner(m, 'exposures', 0).set('index', 32)),
    )
}

/** magic ‖ version ‖ length ‖ body ‖ signature pair, whatever the body is. */
function signedRecord(magic: string, context: string, body: Uint8Array, keys: SigningKeys): Uint8Array<ArrayBuffer> {
  const signed = encodeRecordForSigning(magic, body)
  return join(signed, signPair(keys, context, signed))
}

function receipts(): Family {
  const vault = new SmallVault('receipt')
  const content: Receipt = {
    installation: vault.installation,
    organisation: vault.organisation,
    recording: vault.id(),
    asset: vault.id(),
    attempt: vault.id(),
    contentBytes: 123_456_789,
    commitment: vault.random.bytes(32),
    generation: 1,
    ...scheme,
    fragmentsVerified: 4,
    manifestSharesVerified: 5,
    issuedAtMs: 1_800_000_000_000,
    signer: signerId(primitives, vault.keys.signing),
  }
  const context = 'mosaik/v1/receipt'
  const signed = encodeReceiptForSigning(content)
  const valid = encodeReceipt(signed, signPair(vault.signing, context, signed))
  const body = signed.subarray(14)
  const changed = (change: (m: Map<string, unknown>) => unknown) =>
    signedRecord('MOSAIKRC', context, recode(body, change), vault.signing)
  const trust = { signers: [{ organisation: vault.organisation, seed: hex(vault.signingSeed) }] }
  const stranger = { signers: [{ organisation: vault.organisation, seed: hex(vault.recoverySeed) }] }
  const elsewhere = { signers: [{ organisation: vault.id(), seed: hex(vault.signingSeed) }] }
  const other = signPair(vault.signing, 'mosaik/v1/share', signed)
  return new Family('receipt')
    .ok('valid', valid, trust)
    .ok('valid-unsigned-check', valid)
    .frame(valid, trust)
    .fault('E_FORMAT_LENGTH', 'ends-in-length', cut(valid, 13), trust)
    .fault('E_FORMAT_LENGTH', 'length-field', patch(valid, 13, valid[13]! + 1), trust)
    .fault('E_FORMAT_LENGTH', 'one-byte-short', cut(valid, valid.length - 1), trust)
    .fault('E_FORMAT_LENGTH', 'one-byte-long', join(valid, zero), trust)
    .fault(
      'E_FORMAT_CBOR',
      'unlisted-key',
      changed((m) => m.set('note', 'x')),
      trust,
    )
    .fault(
      'E_FORMAT_CBOR',
      'missing-key',
      changed((m) => m.delete('t')),
      trust,
    )
    .fault(
      'E_FORMAT_CBOR',
      'commitment-31-bytes',
      changed((m) => m.set('commitment', new Uint8Array(31))),
      trust,
    )
    .fault(
      'E_FORMAT_CBOR',
      'integer-in-two-bytes',
      signedRecord('MOSAIKRC', context, replaceHex(body, '616b03', '616b1803'), vault.signing),
      trust,
    )
    .fault(
      'E_FORMAT_FIELD',
      'generation-0',
      changed((m) => m.set('generation', 0)),
      trust,
    )
    .fault(
      'E_FORMAT_FIELD',
      'fragments-too-few',
      changed((m) => m.set('fragmentsVerified', 3)),
      trust,
    )
    .fault(
      'E_FORMAT_FIELD',
      'shares-too-few',
      changed((m) => m.set('manifestSharesVerified', 3)),
      trust,
    )
    .fault(
      'E_FORMAT_FIELD',
      'shares-more-than-n',
      changed((m) => m.set('manifestSharesVerified', 6)),
      trust,
    )
    .fault(
      'E_SCHEME_INVALID',
      'k-1',
      changed((m) => m.set('k', 1).set('t', 0)),
      trust,
    )
    .fault(
      'E_SCHEME_INVALID',
      't-is-k',
      changed((m) => m.set('t', 3)),
      trust,
    )
    .fault('E_CARD_UNTRUSTED', 'signer-unknown', valid, stranger)
    .fault('E_CARD_UNTRUSTED', 'signer-of-other-organisation', valid, elsewhere)
    .fault('E_SIGNATURE', 'body-changed', replaceHex(valid, '616b03', '616b02'), trust)
    .fault('E_SIGNATURE', 'ed25519', flip(valid, -3373), trust)
    .fault('E_SIGNATURE', 'mldsa65', flip(valid, -1), trust)
    .fault('E_SIGNATURE', 'other-context', encodeReceipt(signed, other), trust)
}

async function cards(): Promise<Family> {
  const vault = new SmallVault('vault-card')
  const context = 'mosaik/v1/card'
  const first = await vault.firstCard()
  const body = first.subarray(14, first.length - 3373)
  const changed = (change: (m: Map<string, unknown>) => unknown, keys = vault.root) =>
    signedRecord('MOSAIKVC', context, recode(body, change), keys)
  const trust = { recoverySeed: hex(vault.recoverySeed) }
  const after = { ...trust, cards: ['vault-card/valid'] }

  const nextSeed = vault.random.bytes(32)
  const nextKeys = signingKeys(primitives, nextSeed)
  const second = await issueNextCard(primitives, {
    installation: vault.installation,
    keys: { ...vault.keys, epoch: 2, signing: nextKeys.publicKeys },
    issuedAtMs: 1_810_000_000_000,
    previous: first,
    signer: vault.keys.signing,
    sign: (message) => vault.sign(context, message),
  })
  const secondBody = second.subarray(14, second.length - 3373)
  const next = (change: (m: Map<string, unknown>) => unknown, keys = vault.signing) =>
    signedRecord('MOSAIKVC', context, recode(secondBody, change), keys)
  const strangerId = signerId(primitives, nextKeys.publicKeys)
  const shortPair = (m: Map<string, unknown>) => inner(m, 'signing').set('ed25519', new Uint8Array(31))
  return new Family('vault-card')
    .ok('valid', first, trust)
    .ok('valid-second-epoch', second, after)
    .ok(
      'valid-second-epoch-by-root',
      next((m) => m.set('signer', signerId(primitives, vault.keys.root)), vault.root),
      after,
    )
    .frame(first)
    .fault('E_FORMAT_LENGTH', 'ends-in-length', cut(first, 13), trust)
    .fault('E_FORMAT_LENGTH', 'length-field', patch(first, 13, first[13]! + 1), trust)
    .fault('E_FORMAT_LENGTH', 'one-byte-short', cut(first, first.length - 1), trust)
    .fault('E_FORMAT_LENGTH', 'one-byte-long', join(first, zero), trust)
    .fault(
      'E_FORMAT_CBOR',
      'unlisted-key',
      changed((m) => m.set('note', 'x')),
      trust,
    )
    .fault(
      'E_FORMAT_CBOR',
      'missing-key',
      changed((m) => m.delete('root')),
      trust,
    )
    .fault('E_FORMAT_CBOR', 'ed25519-31-bytes', changed(shortPair), trust)
    .fault(
      'E_FORMAT_FIELD',
      'epoch-0',
      changed((m) => m.set('epoch', 0)),
      trust,
    )
    .fault(
      'E_SUITE_UNKNOWN',
      'suite-3',
      changed((m) => inner(m, 'kem', 0).set('suite', 3)),
      trust,
    )
    .fault(
      'E_FORMAT_FIELD',
      'key-of-other-suite',
      changed((m) => inner(m, 'kem', 0).set('suite', 2)),
      trust,
    )
    .fault('E_SIGNATURE', 'ed25519', flip(first, -3373), trust)
    .fault('E_SIGNATURE', 'mldsa65', flip(first, -1), trust)
    .fault('E_SIGNATURE', 'next-mldsa65', flip(second, -1), after)
    .fault('E_CARD_UNTRUSTED', 'other-recovery-key', first, { recoverySeed: hex(vault.vaultSeed) })
    .fault(
      'E_CARD_UNTRUSTED',
      'signer-unknown',
      changed((m) => m.set('signer', strangerId), nextKeys),
      trust,
    )
    .fault(
      'E_CARD_UNTRUSTED',
      'names-another-root',
      changed((m) => m.set('root', inner(m, 'signing'))),
      trust,
    )
    .fault('E_CARD_UNTRUSTED', 'next-without-first', second, trust)
    .fault(
      'E_CARD_UNTRUSTED',
      'next-epoch-3',
      next((m) => m.set('epoch', 3)),
      after,
    )
    .fault(
      'E_CARD_UNTRUSTED',
      'next-previous',
      next((m) => m.set('previous', new Uint8Array(32))),
      after,
    )
    .fault(
      'E_CARD_UNTRUSTED',
      'next-previous-null',
      next((m) => m.set('previous', null)),
      after,
    )
    .fault(
      'E_CARD_UNTRUSTED',
      'next-of-other-installation',
      next((m) => m.set('installation', new Uint8Array(16))),
      after,
    )
    .fault(
      'E_CARD_UNTRUSTED',
      'next-of-other-organisation',
      next((m) => m.set('organisation', new Uint8Array(16))),
      after,
    )
    .fault(
      'E_CARD_UNTRUSTED',
      'next-other-recovery',
      next((m) => m.set('recovery', m.get('kem'))),
      after,
    )
    .fault(
      'E_CARD_UNTRUSTED',
      'next-other-root',
      next((m) => m.set('root', m.get('signing'))),
      after,
    )
}
