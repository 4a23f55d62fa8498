import { describe, expect, it } from 'vitest'
import { fromHex } from '../../../src/domain/ids.ts'
import type { Manifest } from '../../../src/domain/recording.ts'
import { encodeAssetHeader } from '../../../src/format/asset-header.ts'
import { encodeCbor, decodeCbor, type CborValue } from '../../../src/format/cbor.ts'
import { decodeManifest, encodeManifest } from '../../../src/format/manifest.ts'
import { decodeReceipt, encodeReceipt, encodeReceiptForSigning } from '../../../src/format/receipt.ts'
import { decodeState, encodeState } from '../../../src/format/state.ts'
import { decodeVaultCard, encodeCardForSigning, encodeVaultCard } from '../../../src/format/vault-card.ts'
import * as sample from './samples.ts'

const code = (expected: string) => expect.objectContaining({ code: expected }) as unknown
type Changer = (map: Map<string, unknown>) => void

/** The sample manifest with `change` applied to its decoded CBOR. */
function changed(change: Changer): Uint8Array {
  const map = decodeCbor(encodeManifest(sample.manifest)) as unknown as Map<string, unknown>
  change(map)
  return encodeCbor(map as unknown as CborValue)
}
const asset = (map: Map<string, unknown>, i = 0) => (map.get('assets') as Map<string, unknown>[])[i]!
const sealed = (map: Map<string, unknown>) => asset(map).get('sealed') as Map<string, unknown>

describe('manifest (§7)', () => {
  it('reads what it writes', () => {
    expect(decodeManifest(encodeManifest(sample.manifest))).toEqual(sample.manifest)
  })

  it('stores a title that was cut inside a character', () => {
    const cut = { ...sample.manifest, title: 'Film \ud83c' }
    expect(decodeManifest(encodeManifest(cut)).title).toBe('Film \ufffd')
    const holds = [{ ...sample.state.holds[0]!, name: '\udfac' }]
    expect(decodeState(encodeState({ ...sample.state, holds })).holds[0]!.name).toBe('\ufffd')
  })

  it('holds four hours in segments of four seconds', () => {
    const segments = Array.from({ length: 3600 }, (_, i) => [900 + i * 1_500_000, 1_500_000, 4_000_000] as const)
    const rendition = (n: number) => {
      const header = encodeAssetHeader({ ...sample.assetHeader, asset: sample.id(n), attempt: sample.id(n + 1) })
      const playback = { ...sample.sealedAsset.playback!, segments }
      return { ...sample.sealedAsset, id: sample.id(n), sealed: { ...sample.sealedAsset.sealed!, header }, playback }
    }
    const assets = [rendition(100), rendition(102), rendition(104), sample.inlineAsset]
    const long: Manifest = { ...sample.manifest, assets }
    const encoded = encodeManifest(long)
    expect(encoded.length).toBeLessThan(400_000)
    expect(decodeManifest(encoded)).toEqual(long)
  })

  const faults: Record<string, [Changer, string]> = {
    'an unlisted key': [(m) => m.set('colour', 1), 'E_FORMAT_CBOR'],
    'a missing key': [(m) => m.delete('salt'), 'E_FORMAT_CBOR'],
    'an unlisted key in an asset': [(m) => asset(m).set('node', 'x'), 'E_FORMAT_CBOR'],
    'a title that is a number': [(m) => m.set('title', 1), 'E_FORMAT_CBOR'],
    'null where null is not listed': [(m) => m.set('title', null), 'E_FORMAT_CBOR'],
    'a short salt': [(m) => m.set('salt', new Uint8Array(31)), 'E_FORMAT_CBOR'],
    'an unlisted asset kind': [(m) => asset(m).set('kind', 'thumbnail'), 'E_FORMAT_FIELD'],
    'an unlisted retention': [
      (m) => (m.get('retention') as Map<string, unknown>).set('mode', 'maybe'),
      'E_FORMAT_FIELD',
    ],
    'generation 0': [(m) => m.set('generation', 0), 'E_FORMAT_FIELD'],
    'a previous in generation 1': [(m) => m.set('generation', 1), 'E_FORMAT_FIELD'],
    'inline and sealed': [(m) => asset(m).set('inline', new Uint8Array(1000)), 'E_FORMAT_FIELD'],
    'neither inline nor sealed': [(m) => asset(m).set('sealed', null), 'E_FORMAT_FIELD'],
    'an inline asset above 64 KiB': [
      (m) => asset(m, 1).set('inline', new Uint8Array(65_537)).set('contentBytes', 65_537),
      'E_FORMAT_FIELD',
    ],
    'an inline asset of another length': [(m) => asset(m, 1).set('contentBytes', 7), 'E_FORMAT_FIELD'],
    'more content than the segments hold': [(m) => asset(m).set('contentBytes', 1025), 'E_FORMAT_FIELD'],
    'a sealed length that no content has': [(m) => sealed(m).set('sealedBytes', 262_150), 'E_FORMAT_FIELD'],
    'no verify key': [(m) => sealed(m).set('verifyKeys', []), 'E_FORMAT_FIELD'],
    'another recording in the asset header': [
      (m) => sealed(m).set('header', encodeAssetHeader({ ...sample.assetHeader, recording: sample.id(99) })),
      'E_FORMAT_FIELD',
    ],
    'another asset in the asset header': [(m) => asset(m).set('id', fromHex(sample.id(99))), 'E_FORMAT_FIELD'],
    'one asset id twice': [(m) => asset(m, 1).set('id', fromHex(sample.id(3))), 'E_FORMAT_FIELD'],
    'playback of captions': [(m) => asset(m, 1).set('playback', asset(m).get('playback')), 'E_FORMAT_FIELD'],
  }
  for (const [what, [change, expected]] of Object.entries(faults)) {
    it(`refuses ${what}`, () => {
      const bytes = changed(change)
      expect(() => decodeManifest(bytes)).toThrow(code(expected))
    })
  }
})

describe('organisation state (§12)', () => {
  it('reads what it writes', () => {
    expect(decodeState(encodeState(sample.state))).toEqual(sample.state)
  })
})

describe('vault card and receipt (§8, §9)', () => {
  const signature = sample.bytes(3373, 0x66)
  const cardBytes = encodeVaultCard(encodeCardForSigning(sample.card), signature)
  const receiptBytes = encodeReceipt(encodeReceiptForSigning(sample.receipt), signature)

  it('read what they write', () => {
    expect(decodeVaultCard(cardBytes)).toMatchObject({ ...sample.card, signature })
    expect(decodeReceipt(receiptBytes)).toMatchObject({ ...sample.receipt, signature })
    expect(decodeReceipt(receiptBytes).signedBytes).toEqual(receiptBytes.subarray(0, receiptBytes.length - 3373))
  })

  it('are not each other', () => {
    expect(() => decodeVaultCard(receiptBytes)).toThrow(code('E_FORMAT_MAGIC'))
    expect(() => decodeReceipt(cardBytes)).toThrow(code('E_FORMAT_MAGIC'))
  })

  it('refuse other lengths', () => {
    expect(() => decodeVaultCard(cardBytes.subarray(0, -1))).toThrow(code('E_FORMAT_LENGTH'))
    expect(() => decodeReceipt(Uint8Array.of(...receiptBytes, 0))).toThrow(code('E_FORMAT_LENGTH'))
    expect(() => decodeReceipt(receiptBytes.subarray(0, 12))).toThrow(code('E_FORMAT_LENGTH'))
    const long = new Uint8Array(65_537)
    long.set(cardBytes.subarray(0, 10))
    new DataView(long.buffer).setUint32(10, long.length - 14 - signature.length)
    expect(() => decodeVaultCard(long)).toThrow(code('E_FORMAT_LENGTH'))
  })

  it('refuse to be issued on too little', () => {
    expect(() => encodeReceiptForSigning({ ...sample.receipt, fragmentsVerified: 3 })).toThrow(code('E_FORMAT_FIELD'))
    expect(() => encodeReceiptForSigning({ ...sample.receipt, t: 3 })).toThrow(code('E_SCHEME_INVALID'))
    const all = { ...sample.receipt, k: 3, n: 3, fragmentsVerified: 3, manifestSharesVerified: 3 }
    expect(encodeReceiptForSigning(all)).toBeInstanceOf(Uint8Array)
    const kem = [{ suite: 3 as 1, publicKey: sample.bytes(1216, 1) }]
    expect(() => encodeCardForSigning({ ...sample.card, kem })).toThrow(code('E_SUITE_UNKNOWN'))
    expect(() => encodeCardForSigning({ ...sample.card, epoch: 0 })).toThrow(code('E_FORMAT_FIELD'))
  })
})
