import { describe, expect, it } from 'vitest'
import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { nodeRandom } from '../../../src/adapters/node-system.ts'
import { recoveryKemSeed, rootSigningSeed, trustedSigner, vaultKemSeed } from '../../../src/crypto/keys.ts'
import { signingKeys, signPair } from '../../../src/crypto/signature.ts'
import { encodeManifest } from '../../../src/format/manifest.ts'
import { encodeState } from '../../../src/format/state.ts'
import { NO_SUBJECT } from '../../../src/format/sealed-document.ts'
import { issueReceipt, receiptCommitment, verifyReceipt } from '../../../src/ledger/receipt.ts'
import { issueFirstCard, issueNextCard, trustCards } from '../../../src/ledger/vault-card.ts'
import { sealDocument, type DocumentToSeal } from '../../../src/pipeline/seal-document.ts'
import { splitSealedDocument } from '../../../src/pipeline/split-document.ts'
import {
  combineShares,
  openSealedDocument,
  openShares,
  parseAndVerifyShare,
  readManifest,
  readState,
  unwrapWithRecoverySeed,
} from '../../../src/retrieve/open-document.ts'
import type { OrganisationPublicKeys } from '../../../src/ports/keyring.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import { choose } from '../../support/subsets.ts'
import * as sample from './samples.ts'

const code = (expected: string) => expect.objectContaining({ code: expected }) as Error
const random = nodeRandom()
const recoverySeed = random.bytes(32)
const root = signingKeys(primitives, rootSigningSeed(primitives, recoverySeed))
const signing = signingKeys(primitives, random.bytes(32))
const stranger = signingKeys(primitives, random.bytes(32))
const kemOf = (seed: Uint8Array) => ({ suite: 1 as const, publicKey: primitives.kem(1).keyPair(seed).publicKey })
const keys: OrganisationPublicKeys = {
  organisation: sample.organisation,
  epoch: 1,
  kem: [kemOf(vaultKemSeed(primitives, random.bytes(32), 1))],
  recovery: [kemOf(recoveryKemSeed(primitives, recoverySeed, 1))],
  signing: signing.publicKeys,
  root: root.publicKeys,
}
const document: DocumentToSeal = {
  kind: 'manifest',
  suite: 1,
  organisation: sample.organisation,
  subject: sample.recording,
  generation: 7,
  body: encodeManifest(sample.manifest),
  recipients: [...keys.kem, ...keys.recovery],
  random,
  primitives,
}
const trusted = [trustedSigner(primitives, sample.organisation, keys.signing)]
const unwrap = unwrapWithRecoverySeed(primitives, recoverySeed)
const split = (sealed: Uint8Array, k: number, n: number, keysToSign = signing) =>
  splitSealedDocument({
    sealed,
    k,
    n,
    sharing: sample.id(5),
    signing: keys.signing,
    sign: (message) => Promise.resolve(signPair(keysToSign, 'mosaik/v1/share', message)),
    random,
    primitives,
  })

describe('sealing and opening a document (§6)', () => {
  it('opens from any k of n shares, and from no k − 1', async () => {
    const sealed = sealDocument(document)
    const shares = (await split(sealed, 3, 5)).map((object) => parseAndVerifyShare(primitives, object, trusted))
    for (const some of choose(shares, 3)) {
      expect(combineShares(some)).toEqual(sealed)
    }
    for (const some of choose(shares, 2)) {
      expect(() => combineShares(some)).toThrow(code('E_SHARES_TOO_FEW'))
    }
    const opened = await openShares(primitives, shares, unwrap)
    expect(() => readManifest(primitives, opened)).toThrow(code('E_FORMAT_FIELD')) // the sample's inline hash is made up
    expect(opened.body).toEqual(document.body)
  })

  it('opens a state, of more than one segment', async () => {
    const revokedLinks = Array.from({ length: 20_000 }, (_, i) => i.toString(16).padStart(32, '0'))
    const state = { ...sample.state, revokedLinks }
    const sealed = sealDocument({
      ...document,
      kind: 'state',
      subject: NO_SUBJECT,
      generation: 3,
      body: encodeState(state),
    })
    expect(sealed.length).toBeGreaterThan(262_144)
    expect(readState(await openSealedDocument(primitives, sealed, unwrap))).toEqual(state)
    await expect(openSealedDocument(primitives, sealed.subarray(0, -1), unwrap)).rejects.toThrow(code('E_SEGMENT_TAG'))
  })

  it('draws fresh keys: two seals of one document share nothing but the header', () => {
    const [one, two] = [sealDocument(document), sealDocument(document)]
    expect(one.length).toBe(two.length)
    expect(one.subarray(0, 85)).toEqual(two.subarray(0, 85))
    const same = one.subarray(85).filter((byte, i) => byte === two[85 + i]).length
    expect(same).toBeLessThan(one.length / 50)
  })

  it('refuses recipients that could not open', () => {
    expect(() => sealDocument({ ...document, recipients: keys.kem })).toThrow(code('E_FORMAT_FIELD'))
    expect(() => sealDocument({ ...document, suite: 2 })).toThrow(code('E_INPUT'))
    expect(() => sealDocument({ ...document, recipients: [...keys.kem, ...keys.kem] })).toThrow(code('E_INPUT'))
  })

  it('does not write shares that a reader would refuse', async () => {
    await expect(split(sealDocument(document), 3, 5, stranger)).rejects.toThrow(code('E_SIGNATURE'))
    await expect(split(sealDocument(document), 1, 5)).rejects.toThrow(code('E_SCHEME_INVALID'))
  })

  it('asks for the keys in turn, and passes on what is wrong', async () => {
    const sealed = sealDocument(document)
    let asked = 0
    const unknown = () => {
      asked++
      return Promise.reject(new MosaikError('E_KEYRING_KEY_UNKNOWN', 'not here'))
    }
    await expect(openSealedDocument(primitives, sealed, unknown)).rejects.toThrow(code('E_HPKE_OPEN'))
    expect(asked).toBe(2)
    const rate = () => Promise.reject(new MosaikError('E_KEYRING_RATE', 'too many'))
    await expect(openSealedDocument(primitives, sealed, rate)).rejects.toThrow(code('E_KEYRING_RATE'))
    await expect(openSealedDocument(primitives, sealed, () => Promise.resolve(random.bytes(32)))).rejects.toThrow(
      code('E_HEADER_TAG'),
    )
  })
})

describe('vault cards and receipts (§8, §9)', () => {
  const installation = sample.id(7)
  const signAsRoot = (message: Uint8Array) => Promise.resolve(signPair(root, 'mosaik/v1/card', message))
  const signAs = (by: typeof signing) => (message: Uint8Array) =>
    Promise.resolve(signPair(by, 'mosaik/v1/card', message))

  it('are trusted from the root, along the epochs, in any order', async () => {
    const first = await issueFirstCard(primitives, { installation, keys, issuedAtMs: 1, sign: signAsRoot })
    const second = signingKeys(primitives, random.bytes(32))
    const next = {
      installation,
      keys: { ...keys, epoch: 2, signing: second.publicKeys },
      issuedAtMs: 2,
      previous: first,
      signer: keys.signing,
      sign: signAs(signing),
    }
    const card2 = await issueNextCard(primitives, next)
    const card3 = await issueNextCard(primitives, {
      ...next,
      keys: { ...next.keys, epoch: 3, signing: stranger.publicKeys },
      previous: card2,
      signer: second.publicKeys,
      sign: signAs(second),
    })
    const junk = random.bytes(100)
    const trust = trustCards(primitives, [card3, junk, card2, first, first], keys.root)
    expect(trust.trusted.map(({ card }) => card.epoch)).toEqual([1, 1, 2, 3])
    expect(trust.refused.map(({ position, error }) => [position, error.code])).toEqual([[1, 'E_FORMAT_MAGIC']])
    expect(trustCards(primitives, [card3, first], keys.root).signers).toHaveLength(1)
    expect(trustCards(primitives, [first], stranger.publicKeys).signers).toHaveLength(0)

    const faults: [string, Parameters<typeof issueNextCard>[1]][] = [
      ['E_INPUT', { ...next, keys: { ...next.keys, epoch: 3 } }],
      ['E_INPUT', { ...next, keys: { ...next.keys, recovery: keys.kem } }],
      ['E_INPUT', { ...next, keys: { ...next.keys, root: second.publicKeys } }],
      ['E_INPUT', { ...next, installation: sample.id(9) }],
      ['E_INPUT', { ...next, signer: stranger.publicKeys, sign: signAs(stranger) }],
      ['E_SIGNATURE', { ...next, sign: signAs(stranger) }],
    ]
    for (const [expected, request] of faults) {
      await expect(issueNextCard(primitives, request)).rejects.toThrow(code(expected))
    }
    await expect(
      issueFirstCard(primitives, { installation, keys: { ...keys, epoch: 2 }, issuedAtMs: 1, sign: signAsRoot }),
    ).rejects.toThrow(code('E_INPUT'))
  })

  it('issue and verify a receipt that commits to the content', async () => {
    const [salt, sha256] = [random.bytes(32), random.bytes(32)]
    const facts = { ...sample.receipt, commitment: receiptCommitment(primitives, salt, sha256) }
    const sign = (message: Uint8Array) => Promise.resolve(signPair(signing, 'mosaik/v1/receipt', message))
    const receipt = await issueReceipt({ facts, signing: keys.signing, sign, primitives })
    expect(verifyReceipt(primitives, receipt, trusted)).toMatchObject({
      recording: sample.recording,
      commitment: facts.commitment,
    })
    await expect(issueReceipt({ facts, signing: stranger.publicKeys, sign, primitives })).rejects.toThrow(
      code('E_SIGNATURE'),
    )
    await expect(
      issueReceipt({ facts: { ...facts, fragmentsVerified: 3 }, signing: keys.signing, sign, primitives }),
    ).rejects.toThrow(code('E_FORMAT_FIELD'))
    expect(() => verifyReceipt(primitives, receipt, [])).toThrow(code('E_CARD_UNTRUSTED'))
  })
})
