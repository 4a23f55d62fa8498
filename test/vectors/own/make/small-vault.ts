import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js'
import { nodePrimitives } from '../../../../src/adapters/node-primitives.ts'
import { noblePrimitives } from '../../../../src/crypto/noble-primitives.ts'
import { createFloeHeader } from '../../../../src/crypto/floe.ts'
import { fragmentKey } from '../../../../src/crypto/fragment-tag.ts'
import { recoveryKemSeed, rootSigningSeed, vaultKemSeed } from '../../../../src/crypto/keys.ts'
import { createTableKernel } from '../../../../src/crypto/kernel/table-kernel.ts'
import { SegmentSealer } from '../../../../src/crypto/segment-codec.ts'
import type { HpkePrimitives } from '../../../../src/crypto/kem.ts'
import { signedBytes, signingKeys, signingSeeds, signPair, type SigningKeys } from '../../../../src/crypto/signature.ts'
import type { Scheme } from '../../../../src/domain/dispersal.ts'
import { toHex, type Id } from '../../../../src/domain/ids.ts'
import type { Manifest, ManifestAsset, SealedAsset } from '../../../../src/domain/recording.ts'
import { encodeAssetHeader, SEGMENT_PLAINTEXT_BYTES, sealedLength } from '../../../../src/format/asset-header.ts'
import { encodeFragmentHeader } from '../../../../src/format/fragment-header.ts'
import { concatenate } from '../../../../src/format/header-bytes.ts'
import { encodeManifest } from '../../../../src/format/manifest.ts'
import { NO_SUBJECT, type DocumentKind } from '../../../../src/format/sealed-document.ts'
import { issueFirstCard, issueNextCard } from '../../../../src/ledger/vault-card.ts'
import { sealDocument } from '../../../../src/pipeline/seal-document.ts'
import { splitSealedDocument } from '../../../../src/pipeline/split-document.ts'
import type { KemPublicKey, OrganisationPublicKeys, Suite } from '../../../../src/ports/keyring.ts'
import type { Random } from '../../../../src/ports/system.ts'
import { seededRandom } from './seeded-random.ts'

/** Signatures and encapsulations are noble's, which are the same on every run. */
export const primitives: HpkePrimitives = {
  ...nodePrimitives,
  mldsa65: noblePrimitives.mldsa65,
  kem: (suite) => noblePrimitives.kem(suite),
}

/** An asset sealed and split, with everything that a reader or a fault needs. */
export interface SplitAsset {
  readonly asset: ManifestAsset
  readonly sealed: SealedAsset
  readonly content: Uint8Array<ArrayBuffer>
  /** By share index; one extent. */
  readonly fragments: readonly Uint8Array<ArrayBuffer>[]
}

/** A vault of one organisation that is the same on every run: the writer of the vectors. */
export class SmallVault {
  readonly random: Random
  readonly installation: Id
  readonly organisation: Id
  readonly recoverySeed: Uint8Array<ArrayBuffer>
  readonly vaultSeed: Uint8Array<ArrayBuffer>
  readonly signingSeed: Uint8Array<ArrayBuffer>
  readonly signing: SigningKeys
  readonly root: SigningKeys
  readonly keys: OrganisationPublicKeys

  /** @param before the same organisation in the epoch before. */
  constructor(label: string, before?: SmallVault) {
    this.random = seededRandom(label)
    this.installation = before?.installation ?? this.id()
    this.organisation = before?.organisation ?? this.id()
    this.recoverySeed = before?.recoverySeed ?? this.random.bytes(32)
    this.vaultSeed = this.random.bytes(32)
    this.signingSeed = this.random.bytes(32)
    this.signing = signingKeys(primitives, this.signingSeed)
    this.root = signingKeys(primitives, rootSigningSeed(primitives, this.recoverySeed))
    const pairs = (seedOf: (suite: Suite) => Uint8Array) =>
      ([1, 2] as const).map((suite) => ({ suite, publicKey: primitives.kem(suite).keyPair(seedOf(suite)).publicKey }))
    this.keys = {
      organisation: this.organisation,
      epoch: (before?.keys.epoch ?? 0) + 1,
      kem: pairs((suite) => this.kemSeed(suite)),
      recovery: pairs((suite) => recoveryKemSeed(primitives, this.recoverySeed, suite)),
      signing: this.signing.publicKeys,
      root: this.root.publicKeys,
    }
  }

  id(): Id {
    return toHex(this.random.bytes(16))
  }

  kemSeed(suite: Suite): Uint8Array {
    return vaultKemSeed(primitives, this.vaultSeed, suite)
  }

  sign(context: string, message: Uint8Array): Promise<Uint8Array> {
    return Promise.resolve(signPair(this.signing, context, message))
  }

  /** The other variant of ML-DSA (FIPS 204 §3.4), its randomness 07 07 07 … */
  signHedged(context: string, message: Uint8Array): Uint8Array {
    const signed = signedBytes(context, message)
    const { secretKey } = ml_dsa65.keygen(signingSeeds(primitives, this.signingSeed).mldsa65)
    return concatenate(
      this.signing.ed25519.sign(signed),
      ml_dsa65.sign(signed, secretKey, { extraEntropy: new Uint8Array(32).fill(7) }),
    )
  }

  firstCard(): Promise<Uint8Array<ArrayBuffer>> {
    return issueFirstCard(primitives, {
      installation: this.installation,
      keys: this.keys,
      issuedAtMs: 1_800_000_000_000,
      sign: (message) => Promise.resolve(signPair(this.root, 'mosaik/v1/card', message)),
    })
  }

  /** Signed by the signing pair of the epoch before. */
  nextCard(before: SmallVault, card: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    return issueNextCard(primitives, {
      installation: this.installation,
      keys: this.keys,
      issuedAtMs: 1_800_000_000_000 + this.keys.epoch,
      previous: card,
      signer: before.keys.signing,
      sign: (message) => before.sign('mosaik/v1/card', message),
    })
  }

  seal(kind: DocumentKind, suite: Suite, subject: Id, generation: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
    const recipients = [...this.keys.kem, ...this.keys.recovery].filter((key) => key.suite === suite)
    return this.sealTo(recipients, kind, suite, subject, generation, body)
  }

  sealTo(
    recipients: readonly KemPublicKey[],
    kind: DocumentKind,
    suite: Suite,
    subject: Id,
    generation: number,
    body: Uint8Array,
  ): Uint8Array<ArrayBuffer> {
    const { organisation, random } = this
    return sealDocument({
      kind,
      suite,
      organisation,
      subject: kind === 'state' ? NO_SUBJECT : subject,
      generation,
      body,
      recipients,
      random,
      primitives,
    })
  }

  split(sealed: Uint8Array, k: number, n: number): Promise<Uint8Array<ArrayBuffer>[]> {
    return splitSealedDocument({
      sealed,
      k,
      n,
      sharing: this.id(),
      signing: this.keys.signing,
      sign: (message) => this.sign('mosaik/v1/share', message),
      random: this.random,
      primitives,
    })
  }

  /** Seals and splits content. @param damage changes a FLOE segment before it is split, so that every tag passes. */
  splitAsset(
    recording: Id,
    content: Uint8Array<ArrayBuffer>,
    scheme: Scheme,
    options: { readonly paddedBytes?: number; readonly kind?: ManifestAsset['kind'] } = {},
  ): SplitAsset {
    const { organisation, random } = this
    const [asset, attempt, sharing] = [this.id(), this.id(), this.id()]
    const header = encodeAssetHeader({ organisation, recording, asset, attempt })
    const [dek, verifyKey] = [random.bytes(32), random.bytes(32)]
    const aad = primitives.sha256(header)
    const floeHeader = createFloeHeader(primitives, dek, aad, random.bytes(32))
    const padded = new Uint8Array(options.paddedBytes ?? content.length)
    padded.set(content)
    const sealed = { header, dek, floeHeader, sealedBytes: sealedLength(padded.length), verifyKeys: [verifyKey] }
    const fragments = this.fragments(sealed, aad, padded, scheme, attempt, sharing, random.entropy(32))
    return {
      asset: {
        id: asset,
        kind: options.kind ?? 'original',
        mediaType: 'application/octet-stream',
        name: 'content.bin',
        contentBytes: content.length,
        sha256: primitives.sha256(content),
        inline: null,
        sealed,
        playback: null,
      },
      sealed,
      content,
      fragments,
    }
  }

  /** The fragments of one extent. */
  fragments(
    sealed: SealedAsset,
    aad: Uint8Array,
    padded: Uint8Array,
    scheme: Scheme,
    attempt: Id,
    sharing: Id,
    rowsKey: Uint8Array,
  ): Uint8Array<ArrayBuffer>[] {
    const headers = Array.from({ length: scheme.n }, (_, index) =>
      encodeFragmentHeader({ attempt, sharing, extent: 0, index, scheme }),
    )
    const fragmentKeys = headers.map((one) => fragmentKey(primitives, sealed.verifyKeys[0]!, one))
    const tools = {
      primitives,
      kernel: createTableKernel(),
      allocate: (length: number) => new Uint8Array(length),
      copy: (source: Uint8Array, target: Uint8Array) => target.set(source),
      randomFill: (target: Uint8Array<ArrayBuffer>) => target.set(this.random.bytes(target.length)),
    }
    const sealer = new SegmentSealer(
      tools,
      { dek: sealed.dek, floeHeader: sealed.floeHeader, aad },
      { scheme, extent: 0, fragmentKeys, rowsKey },
    )
    const count = Math.max(1, Math.ceil(padded.length / SEGMENT_PLAINTEXT_BYTES))
    const blocks = Array.from({ length: count }, (_, i) => {
      const plaintext = padded.slice(i * SEGMENT_PLAINTEXT_BYTES, (i + 1) * SEGMENT_PLAINTEXT_BYTES)
      return sealer.split(i, plaintext, i === count - 1)
    })
    sealer.close()
    return headers.map((one, index) => concatenate(one, ...blocks.map((segment) => segment[index]!)))
  }

  manifest(recording: Id, assets: readonly ManifestAsset[], changes: Partial<Manifest> = {}): Manifest {
    return {
      organisation: this.organisation,
      recording,
      generation: 1,
      previous: null,
      salt: this.random.bytes(32),
      title: 'Wochenbesprechung – 週次会議 🎥',
      source: { kind: 'upload', externalId: null },
      host: { id: 'u-17', name: 'Ada', email: 'ada@example.org' },
      participants: [
        { name: 'Ada', email: null },
        { name: null, email: 'b@example.org' },
      ],
      startedAtMs: 1_799_999_000_000,
      depositedAtMs: 1_800_000_000_000,
      retention: { mode: 'governance', retainUntilMs: 1_900_000_000_000, deleteByMs: null },
      assets,
      ...changes,
    }
  }

  /** A manifest of generation 1, sealed. */
  sealManifest(manifest: Manifest, suite: Suite): Uint8Array<ArrayBuffer> {
    return this.seal('manifest', suite, manifest.recording, manifest.generation, encodeManifest(manifest))
  }
}
