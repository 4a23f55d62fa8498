import { FloeKey, createFloeHeader } from '../../../../src/crypto/floe.ts'
import { hpkeSeal } from '../../../../src/crypto/hpke.ts'
import { signerId } from '../../../../src/crypto/keys.ts'
import { signPair } from '../../../../src/crypto/signature.ts'
import {
  decodeDocumentShare,
  encodeShareForSigning,
  type DocumentShare,
} from '../../../../src/format/document-share.ts'
import { encodeManifest } from '../../../../src/format/manifest.ts'
import { decodeSealedDocument } from '../../../../src/format/sealed-document.ts'
import { encodeState } from '../../../../src/format/state.ts'
import type { Manifest } from '../../../../src/domain/recording.ts'
import { base64, hex, type VectorContext } from '../vector.ts'
import { cut, Family, flip, join, patch, recode, type Draft } from './edit.ts'
import { primitives, SmallVault } from './small-vault.ts'

const HEADER_BYTES = 85
const ENTRY_BYTES = 1168
/** Where the parts of a sealed document of suite 1 with two recipients lie. */
const at = {
  firstEnc: HEADER_BYTES,
  firstCt: HEADER_BYTES + 1120,
  secondEnc: HEADER_BYTES + ENTRY_BYTES,
  secondCt: HEADER_BYTES + ENTRY_BYTES + 1120,
  floe: HEADER_BYTES + 2 * ENTRY_BYTES,
  segment: HEADER_BYTES + 2 * ENTRY_BYTES + 74,
}

/** Vectors of sealed documents, of their shares, and of shares that are combined. */
export async function documentVectors(): Promise<Draft[]> {
  const families = [sealedDocuments(), await shares(), await combinations()]
  return families.flatMap((family) => family.drafts)
}

function smallManifest(vault: SmallVault, changes: Partial<Manifest> = {}): Manifest {
  return vault.manifest(vault.id(), [], changes)
}

function sealedDocuments(): Family {
  const vault = new SmallVault('sealed-document')
  const manifest = smallManifest(vault)
  const body = encodeManifest(manifest)
  const seal = (content: Uint8Array, generation = 1, subject = manifest.recording) =>
    vault.seal('manifest', 1, subject, generation, content)
  const valid = seal(body)
  const recovery: VectorContext = { recoverySeed: hex(vault.recoverySeed) }
  const online: VectorContext = { kemSeed: hex(vault.kemSeed(1)) }
  const state = encodeState({
    organisation: vault.organisation,
    generation: 1,
    previous: null,
    writtenAtMs: 1,
    nodes: [],
    exposures: [],
    policies: [],
    holds: [],
    tombstones: [],
    revokedLinks: [],
  })
  const suite2 = vault.sealManifest(manifest, 2)
  const family = new Family('sealed-document')
    .ok('valid-by-recovery-key', valid, recovery)
    .ok('valid-by-vault-key', valid, online)
    .ok('valid-suite-2', suite2, recovery)
    .ok('valid-suite-2-by-vault-key', vault.sealManifest(manifest, 2), { kemSeed: hex(vault.kemSeed(2)) })
    .ok('valid-state', vault.seal('state', 1, '', 1, state), recovery)
    .ok('valid-second-entry-corrupt-by-first', flip(valid, at.secondCt), online)
    .ok('valid-not-opened', valid)
    .frame(valid, recovery)
    .fault('E_SUITE_UNKNOWN', 'suite-3', patch(valid, 11, 3), recovery)
    .fault('E_FORMAT_LENGTH', 'ends-in-header', cut(valid, 52), recovery)
    .fault('E_FORMAT_LENGTH', 'ends-in-entries', cut(valid, at.secondEnc), recovery)
    .fault('E_FORMAT_LENGTH', 'ends-in-floe-header', cut(valid, at.segment - 1), recovery)
    .fault('E_FORMAT_LENGTH', 'ends-in-segment-overhead', cut(valid, at.segment + 31), recovery)
    .fault('E_FORMAT_LENGTH', 'says-sixteen-recipients', patch(valid, 52, 16), recovery)
    .fault('E_FORMAT_FIELD', 'says-one-recipient', patch(valid, 52, 1), recovery)
    .fault('E_FORMAT_FIELD', 'kind-3', patch(valid, 10, 3), recovery)
    .fault('E_FORMAT_FIELD', 'floe-parameters', patch(valid, at.floe + 3, 16), recovery)
    .fault('E_HPKE_OPEN', 'other-recovery-key', valid, { recoverySeed: hex(vault.vaultSeed) })
    .fault('E_HPKE_OPEN', 'key-id', flip(valid, 69), recovery)
    .fault('E_HPKE_OPEN', 'enc-mlkem-part', flip(valid, at.secondEnc), recovery)
    .fault('E_HPKE_OPEN', 'enc-x25519-part', flip(valid, at.secondEnc + 1100), recovery)
    .fault('E_HPKE_OPEN', 'ct', flip(valid, at.secondCt), recovery)
    .fault('E_HPKE_OPEN', 'ct-tag', flip(valid, at.secondCt + 47), recovery)
    .fault('E_HPKE_OPEN', 'entries-swapped', swapEntries(valid), recovery)
    .fault('E_HPKE_OPEN', 'generation-changed', flip(valid, 51 - 1), recovery)
    .fault('E_HPKE_OPEN', 'organisation-changed', flip(valid, 12), recovery)
    .fault('E_HPKE_OPEN', 'first-key-id-changed', flip(valid, 53), recovery)
    .fault('E_HPKE_OPEN', 'recipient-added', addRecipient(valid), recovery)
    .fault('E_HPKE_OPEN', 'recipient-removed', removeRecipient(vault, manifest), recovery)
    .fault('E_FORMAT_LENGTH', 'suite-2-said', patch(valid, 11, 2), recovery)
    .fault('E_FORMAT_FIELD', 'suite-1-said', patch(suite2, 11, 1), recovery)
    .fault('E_HPKE_OPEN', 'kind-changed', patch(patch(valid, 10, 2), 28, ...new Array<number>(16).fill(0)), recovery)
    .fault('E_HEADER_TAG', 'floe-iv', flip(valid, at.floe + 10), recovery)
    .fault('E_HEADER_TAG', 'floe-header-tag', flip(valid, at.floe + 73), recovery)
    .fault('E_HEADER_TAG', 'wraps-another-key', wrapAnotherKey(vault, valid), recovery)
    .fault('E_SEGMENT_TAG', 'marker', flip(valid, at.segment + 3), recovery)
    .fault('E_SEGMENT_TAG', 'nonce', flip(valid, at.segment + 4), recovery)
    .fault('E_SEGMENT_TAG', 'ciphertext', flip(valid, at.segment + 40), recovery)
    .fault('E_SEGMENT_TAG', 'segment-tag', flip(valid, -1), recovery)
    .fault('E_SEGMENT_TAG', 'one-byte-short', cut(valid, valid.length - 1), recovery)
    .fault('E_SEGMENT_TAG', 'one-byte-long', join(valid, Uint8Array.of(0)), recovery)
    .fault('E_SEGMENT_TAG', 'segment-of-other-place', sealAtOtherPlace(vault, valid), recovery)
    .fault('E_FORMAT_CBOR', 'body-padded', seal(join(body, new Uint8Array(16))), recovery)
    .fault('E_FORMAT_CBOR', 'body-empty', seal(new Uint8Array(0)), recovery)
    .fault('E_FORMAT_CBOR', 'body-of-a-state', seal(state), recovery)
    .fault('E_FORMAT_FIELD', 'body-of-other-generation', seal(body, 2), recovery)
    .fault('E_FORMAT_FIELD', 'body-of-other-recording', seal(body, 1, vault.id()), recovery)
  const elsewhere = recode(body, (m) => m.set('organisation', vault.random.bytes(16)))
  return family.fault('E_FORMAT_FIELD', 'body-of-other-organisation', seal(elsewhere), recovery)
}

function swapEntries(sealed: Uint8Array): Uint8Array<ArrayBuffer> {
  const first = sealed.subarray(at.firstEnc, at.secondEnc)
  const second = sealed.subarray(at.secondEnc, at.floe)
  return join(sealed.subarray(0, HEADER_BYTES), second, first, sealed.subarray(at.floe))
}

/** A third recipient put behind the two, with a wrapped key of its own: what a node that knows a public key can make. */
function addRecipient(sealed: Uint8Array): Uint8Array<ArrayBuffer> {
  const vault = new SmallVault('sealed-document/added recipient')
  const header = join(patch(sealed.subarray(0, HEADER_BYTES), 52, 3), vault.random.bytes(16))
  const entries = sealed.subarray(HEADER_BYTES, at.floe)
  return join(header, entries, vault.random.bytes(ENTRY_BYTES), sealed.subarray(at.floe))
}

/** The first of three recipients taken out, and everything moved up. */
function removeRecipient(vault: SmallVault, manifest: Manifest): Uint8Array<ArrayBuffer> {
  const other = new SmallVault('sealed-document/third recipient', vault)
  const recipients = [other.keys.kem[0]!, vault.keys.kem[0]!, vault.keys.recovery[0]!]
  const sealed = other.sealTo(recipients, 'manifest', 1, manifest.recording, 1, encodeManifest(manifest))
  const header = patch(join(sealed.subarray(0, 53), sealed.subarray(53 + 16, 53 + 48)), 52, 2)
  return join(header, sealed.subarray(53 + 48 + ENTRY_BYTES))
}

/** Document header and entries that open to `key`. */
function wrapKey(vault: SmallVault, sealed: Uint8Array, key: Uint8Array): Uint8Array<ArrayBuffer> {
  const { headerBytes } = decodeSealedDocument(sealed)
  const info = new TextEncoder().encode('mosaik/v1/manifest')
  const entries = [vault.keys.kem[0]!, vault.keys.recovery[0]!].flatMap(({ publicKey }) => {
    const random = vault.random.bytes(primitives.kem(1).randomBytes)
    const { enc, ct } = hpkeSeal(1, primitives, publicKey, info, headerBytes, key, random)
    return [enc, ct]
  })
  return join(headerBytes, ...entries)
}

/** Both entries open, and to a key that is not the one that the document was sealed with: what only the commitment notices. */
function wrapAnotherKey(vault: SmallVault, sealed: Uint8Array): Uint8Array<ArrayBuffer> {
  return join(wrapKey(vault, sealed, vault.random.bytes(32)), sealed.subarray(at.floe))
}

/** A document whose only segment was sealed as segment 1: right key, right marker, wrong place. */
function sealAtOtherPlace(vault: SmallVault, sealed: Uint8Array): Uint8Array<ArrayBuffer> {
  const key = vault.random.bytes(32)
  const aad = primitives.sha256(sealed.subarray(0, HEADER_BYTES))
  const floeHeader = createFloeHeader(primitives, key, aad, vault.random.bytes(32))
  const floe = new FloeKey(primitives, key, aad, floeHeader)
  const segment = floe.sealSegment(1, new Uint8Array(100), true, vault.random.bytes(12))
  return join(wrapKey(vault, sealed, key), floeHeader, segment)
}

/** A share with fields changed and signed again by the vault: the fault is not in the signature. */
function resign(vault: SmallVault, object: Uint8Array, change: Partial<DocumentShare>): Uint8Array<ArrayBuffer> {
  const { signedBytes: _signed, signature: _signature, ...share } = decodeDocumentShare(object)
  const signed = encodeShareForSigning({ ...share, ...change })
  return join(signed, signPair(vault.signing, 'mosaik/v1/share', signed))
}

async function shares(): Promise<Family> {
  const vault = new SmallVault('document-share')
  const manifest = smallManifest(vault)
  const valid = (await vault.split(vault.sealManifest(manifest, 1), 3, 5))[4]!
  const suite2 = (await vault.split(vault.sealManifest(manifest, 2), 2, 3))[0]!
  const trust = { signers: [{ organisation: vault.organisation, seed: hex(vault.signingSeed) }] }
  const stranger = { signers: [{ organisation: vault.organisation, seed: hex(vault.recoverySeed) }] }
  const elsewhere = { signers: [{ organisation: vault.id(), seed: hex(vault.signingSeed) }] }
  const signed = valid.subarray(0, valid.length - 3373)
  return new Family('document-share')
    .ok('valid', valid, trust)
    .ok('valid-suite-2', suite2, trust)
    .ok('valid-hedged', join(signed, vault.signHedged('mosaik/v1/share', signed)), trust)
    .ok('valid-not-verified', flip(valid, -1))
    .frame(valid, trust)
    .fault('E_FORMAT_LENGTH', 'ends-in-suite', cut(valid, 11), trust)
    .fault('E_SUITE_UNKNOWN', 'suite-0', patch(valid, 11, 0), trust)
    .fault('E_SUITE_UNKNOWN', 'suite-3', patch(valid, 11, 3), trust)
    .fault('E_FORMAT_LENGTH', 'ends-in-header', cut(valid, 95), trust)
    .fault('E_FORMAT_LENGTH', 'ends-in-signature', cut(valid, valid.length - 1), trust)
    .fault('E_FORMAT_LENGTH', 'one-byte-long', join(valid, Uint8Array.of(0)), trust)
    .fault('E_FORMAT_LENGTH', 'says-longer', patch(valid, 76, 0xff), trust)
    .fault('E_FORMAT_LENGTH', 'says-shorter', patch(valid, 76, 0, 0, 0, 1), trust)
    .fault('E_FORMAT_FIELD', 'kind-0', patch(valid, 10, 0), trust)
    .fault('E_FORMAT_FIELD', 'kind-3', patch(valid, 10, 3), trust)
    .fault('E_FORMAT_FIELD', 'state-with-subject', patch(valid, 10, 2), trust)
    .fault('E_FORMAT_FIELD', 'generation-0', patch(valid, 51, 0), trust)
    .fault('E_FORMAT_FIELD', 'generation-2-to-53', patch(valid, 45, 0x20), trust)
    .fault('E_SCHEME_INVALID', 'k-1', patch(valid, 69, 1), trust)
    .fault('E_SCHEME_INVALID', 'k-17', patch(valid, 69, 17, 32), trust)
    .fault('E_SCHEME_INVALID', 'n-below-k', patch(valid, 68, 0, 3, 2), trust)
    .fault('E_SCHEME_INVALID', 'n-33', patch(valid, 70, 33), trust)
    .fault('E_SCHEME_INVALID', 'index-is-n', patch(valid, 68, 5), trust)
    .fault('E_FORMAT_FIELD', 'reserved-byte-71', patch(valid, 71, 1), trust)
    .fault('E_FORMAT_FIELD', 'reserved-byte-74', patch(valid, 74, 1), trust)
    .fault('E_FORMAT_FIELD', 'reserved-byte-75', patch(valid, 75, 1), trust)
    .fault('E_FORMAT_FIELD', 'field-0x11d', patch(valid, 73, 0x1d), trust)
    .fault('E_CARD_UNTRUSTED', 'signer-unknown', valid, stranger)
    .fault('E_CARD_UNTRUSTED', 'signer-id-changed', flip(valid, 80), trust)
    .fault('E_CARD_UNTRUSTED', 'signer-of-other-organisation', valid, elsewhere)
    .fault('E_CARD_UNTRUSTED', 'organisation-changed', flip(valid, 12), trust)
    .fault('E_SIGNATURE', 'subject-changed', flip(valid, 28), trust)
    .fault('E_SIGNATURE', 'sharing-changed', flip(valid, 52), trust)
    .fault('E_SIGNATURE', 'index-changed', patch(valid, 68, 3), trust)
    .fault('E_SIGNATURE', 'share-changed', flip(valid, 100), trust)
    .fault('E_SIGNATURE', 'suite-downgraded', patch(suite2, 11, 1), trust)
    .fault('E_SIGNATURE', 'generation-changed', flip(valid, 51 - 1), trust)
    .fault('E_SIGNATURE', 'k-changed', patch(valid, 69, 4), trust)
    .fault('E_SIGNATURE', 'n-changed', patch(valid, 70, 6), trust)
    .fault('E_SIGNATURE', 'length-changed', flip(valid, 79), trust)
    .fault('E_SIGNATURE', 'ed25519', flip(valid, -3373), trust)
    .fault('E_SIGNATURE', 'ed25519-only', join(signed, valid.subarray(-3373, -3309), new Uint8Array(3309)), trust)
    .fault('E_SIGNATURE', 'mldsa65', flip(valid, -1), trust)
    .fault('E_SIGNATURE', 'mldsa65-only', join(signed, new Uint8Array(64), valid.subarray(-3309)), trust)
    .fault('E_SIGNATURE', 'other-context', join(signed, signPair(vault.signing, 'mosaik/v1/receipt', signed)), trust)
}

async function combinations(): Promise<Family> {
  const vault = new SmallVault('document-shares')
  const manifest = smallManifest(vault)
  const sealed = vault.sealManifest(manifest, 1)
  const all = await vault.split(sealed, 3, 5)
  const again = await vault.split(sealed, 3, 5)
  const context: VectorContext = {
    recoverySeed: hex(vault.recoverySeed),
    signers: [{ organisation: vault.organisation, seed: hex(vault.signingSeed) }],
  }
  const pick = (...objects: Uint8Array[]) => objects.map(base64)
  // the same manifest, wrapped anew after a rotation; and a lost share that was repaired after it: the same share, another signer
  const next = new SmallVault('document-shares/next epoch', vault)
  const rewrapped = { ...manifest, generation: 2, previous: primitives.sha256(sealed) }
  const ofNextEpoch = await next.split(next.sealManifest(rewrapped, 1), 3, 5)
  const repaired = resign(next, all[2]!, { signer: signerId(primitives, next.keys.signing) })
  const ofTwoEpochs: VectorContext = {
    ...context,
    signers: [...context.signers!, { organisation: vault.organisation, seed: hex(next.signingSeed) }],
  }
  const of = (...indices: number[]) => pick(...indices.map((i) => all[i]!))
  const changed = (change: Partial<DocumentShare>) => pick(all[0]!, all[1]!, resign(vault, all[2]!, change))
  /** Bytes of one share changed at the place of the document where `offset` is, and signed again. */
  const damaged = (offset: number) => {
    const { share } = decodeDocumentShare(all[2]!)
    return pick(all[0]!, all[1]!, resign(vault, all[2]!, { share: flip(share, offset) }))
  }
  const two = await vault.split(sealed, 2, 3)
  /** All shares say the same, and another thing than the document: signed by the vault for that organisation. */
  const disagree = (change: Partial<DocumentShare>) => pick(...all.slice(0, 3).map((one) => resign(vault, one, change)))
  const elsewhere = vault.installation
  const ofOther = { ...context, signers: [{ organisation: elsewhere, seed: hex(vault.signingSeed) }] }
  return new Family('document-shares')
    .ok('valid-0-1-2', of(0, 1, 2), context)
    .ok('valid-4-2-3', of(4, 2, 3), context)
    .ok('valid-all-five', of(0, 1, 2, 3, 4), context)
    .ok('valid-2-of-3', pick(two[2]!, two[1]!), context)
    .fault('E_SHARES_TOO_FEW', 'none', [], context)
    .fault('E_SHARES_TOO_FEW', 'two-of-three', of(0, 4), context)
    .fault('E_SHARES_MIXED', 'index-twice', of(0, 1, 1), context)
    .fault('E_SHARES_MIXED', 'index-twice-and-too-few', of(1, 1), context)
    .fault('E_SHARES_MIXED', 'two-sharings', pick(all[0]!, all[1]!, again[2]!), context)
    .fault('E_SHARES_MIXED', 'two-epochs', pick(all[0]!, all[1]!, ofNextEpoch[2]!), ofTwoEpochs)
    .ok('valid-share-signed-by-next-epoch', pick(all[0]!, all[1]!, repaired), ofTwoEpochs)
    .fault('E_SHARES_MIXED', 'other-kind', changed({ kind: 'state', subject: '0'.repeat(32) }), context)
    .fault('E_SHARES_MIXED', 'other-suite', changed({ suite: 2 }), context)
    .fault('E_SHARES_MIXED', 'other-subject', changed({ subject: vault.id() }), context)
    .fault('E_SHARES_MIXED', 'other-generation', changed({ generation: 2 }), context)
    .fault('E_SHARES_MIXED', 'other-k', changed({ k: 4 }), context)
    .fault('E_SHARES_MIXED', 'other-n', changed({ n: 6 }), context)
    .fault('E_SHARES_MIXED', 'other-length', changed({ sealedBytes: sealed.length - 1 }), context)
    .fault('E_FORMAT_MAGIC', 'wrong-bytes-in-magic', damaged(0), context)
    .fault('E_HPKE_OPEN', 'wrong-bytes-in-enc', damaged(at.secondEnc + 5), context)
    .fault('E_HPKE_OPEN', 'wrong-bytes-in-ct', damaged(at.secondCt + 5), context)
    .fault('E_HEADER_TAG', 'wrong-bytes-in-floe-header', damaged(at.floe + 50), context)
    .fault('E_SEGMENT_TAG', 'wrong-bytes-in-segment', damaged(at.segment + 60), context)
    .fault('E_SIGNATURE', 'one-share-changed', pick(all[0]!, flip(all[1]!, 200), all[2]!), context)
    .fault('E_FORMAT_FIELD', 'all-of-other-kind', disagree({ kind: 'state', subject: '0'.repeat(32) }), context)
    .fault('E_FORMAT_FIELD', 'all-of-other-suite', disagree({ suite: 2 }), context)
    .fault('E_FORMAT_FIELD', 'all-of-other-organisation', disagree({ organisation: elsewhere }), ofOther)
    .fault('E_FORMAT_FIELD', 'all-of-other-subject', disagree({ subject: elsewhere }), context)
    .fault('E_FORMAT_FIELD', 'all-of-other-generation', disagree({ generation: 2 }), context)
}
