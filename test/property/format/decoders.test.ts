import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MosaikError } from '../../../src/domain/errors.ts'
import { toHex } from '../../../src/domain/ids.ts'
import { decodeAssetHeader, encodeAssetHeader } from '../../../src/format/asset-header.ts'
import { decodeCbor, encodeCbor, type CborValue } from '../../../src/format/cbor.ts'
import { decodeDocumentShare, encodeDocumentShare, encodeShareForSigning } from '../../../src/format/document-share.ts'
import { decodeFragmentHeader, encodeFragmentHeader } from '../../../src/format/fragment-header.ts'
import { decodeManifest, encodeManifest } from '../../../src/format/manifest.ts'
import { decodeNodeMarker, encodeNodeMarker } from '../../../src/format/node-marker.ts'
import { decodeReceipt, encodeReceipt, encodeReceiptForSigning } from '../../../src/format/receipt.ts'
import {
  decodeDocumentHeader,
  decodeSealedDocument,
  encodeDocumentHeader,
} from '../../../src/format/sealed-document.ts'
import { decodeSpoolHeader, encodeSpoolHeader } from '../../../src/format/spool-header.ts'
import { decodeState, encodeState } from '../../../src/format/state.ts'
import { decodeVaultCard, encodeCardForSigning, encodeVaultCard } from '../../../src/format/vault-card.ts'
import * as sample from '../../unit/format/samples.ts'

const pair = sample.bytes(3373, 0x66)

interface Kind {
  readonly encoded: Uint8Array
  readonly decode: (bytes: Uint8Array) => unknown
}

const headers: Record<string, Kind> = {
  'asset header': { encoded: encodeAssetHeader(sample.assetHeader), decode: decodeAssetHeader },
  'fragment header': { encoded: encodeFragmentHeader(sample.fragmentHeader), decode: decodeFragmentHeader },
  'document header': { encoded: encodeDocumentHeader(sample.manifestHeader), decode: decodeDocumentHeader },
  'spool header': { encoded: encodeSpoolHeader(sample.spoolHeader), decode: decodeSpoolHeader },
  'node marker': { encoded: encodeNodeMarker(sample.marker), decode: decodeNodeMarker },
}
const documents: Record<string, Kind> = {
  'document share': {
    encoded: encodeDocumentShare(encodeShareForSigning(sample.documentShare), pair),
    decode: decodeDocumentShare,
  },
  'vault card': { encoded: encodeVaultCard(encodeCardForSigning(sample.card), pair), decode: decodeVaultCard },
  receipt: { encoded: encodeReceipt(encodeReceiptForSigning(sample.receipt), pair), decode: decodeReceipt },
  manifest: { encoded: encodeManifest(sample.manifest), decode: decodeManifest },
  state: { encoded: encodeState(sample.state), decode: decodeState },
  'sealed document': {
    encoded: Uint8Array.of(...encodeDocumentHeader(sample.manifestHeader), ...new Uint8Array(3 * 1168 + 106)),
    decode: decodeSealedDocument,
  },
}

/** The decoded value, or the code of the MosaikError; anything else is thrown on. */
function outcome(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): unknown {
  try {
    return decode(bytes)
  } catch (error) {
    if (error instanceof MosaikError) return error.code
    throw error
  }
}

describe('every flip of one bit of a header', () => {
  for (const [what, { encoded, decode }] of Object.entries(headers)) {
    it(`is refused, or changes what the ${what} says`, () => {
      const original = decode(encoded)
      for (let bit = 0; bit < encoded.length * 8; bit++) {
        const flipped = encoded.slice()
        flipped[bit >> 3]! ^= 1 << (bit & 7)
        expect(outcome(decode, flipped)).not.toEqual(original)
      }
    })
  }
})

describe('decoders', () => {
  for (const [what, { encoded, decode }] of Object.entries({ ...headers, ...documents })) {
    it(`of the ${what} throw nothing but MosaikError on mutations`, () => {
      const mutation = fc.record({
        from: fc.nat(encoded.length),
        remove: fc.nat(40),
        insert: fc.uint8Array({ maxLength: 40 }),
      })
      fc.assert(
        fc.property(fc.array(mutation, { minLength: 1, maxLength: 3 }), (mutations) => {
          let bytes: Uint8Array = encoded
          for (const { from, remove, insert } of mutations) {
            bytes = Uint8Array.of(...bytes.subarray(0, from), ...insert, ...bytes.subarray(from + remove))
          }
          outcome(decode, bytes)
        }),
        { numRuns: 150 },
      )
    })

    it(`of the ${what} throw nothing but MosaikError on changed bytes`, () => {
      fc.assert(
        fc.property(fc.array(fc.tuple(fc.nat(encoded.length - 1), fc.nat(255)), { maxLength: 4 }), (changes) => {
          const bytes = encoded.slice()
          for (const [at, value] of changes) bytes[at] = value
          outcome(decode, bytes)
        }),
        { numRuns: 300 },
      )
    })
  }

  it('of CBOR accept exactly what the encoder writes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), (bytes) => {
        const value = outcome(decodeCbor, bytes)
        if (value === 'E_FORMAT_CBOR') return
        expect(toHex(encodeCbor(value as CborValue))).toBe(toHex(bytes))
      }),
      { numRuns: 3000 },
    )
  })
})

describe('round trips', () => {
  const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(toHex)

  it('of CBOR values', () => {
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.constant(null),
        fc.maxSafeNat(),
        fc.string({ unit: 'binary' }),
        fc.uint8Array({ maxLength: 300 }),
        fc.array(tie('value'), { maxLength: 5 }),
        fc.array(fc.tuple(fc.string(), tie('value')), { maxLength: 5 }).map((entries) => new Map(entries)),
      ),
    }))
    fc.assert(
      fc.property(value, (one) => {
        expect(decodeCbor(encodeCbor(one as CborValue))).toEqual(one)
      }),
    )
  })

  it('of asset and fragment headers', () => {
    fc.assert(
      fc.property(fc.record({ organisation: id, recording: id, asset: id, attempt: id }), (header) => {
        expect(decodeAssetHeader(encodeAssetHeader(header))).toEqual(header)
      }),
    )
    const scheme = fc
      .tuple(fc.integer({ min: 2, max: 16 }), fc.integer({ min: 0, max: 16 }), fc.nat(15), fc.nat(31))
      .map(([k, more, t, index]) => ({ scheme: { k, n: k + more, t: t % k }, index: index % (k + more) }))
    fc.assert(
      fc.property(scheme, id, id, fc.nat(2 ** 32 - 1), (rows, attempt, sharing, extent) => {
        const header = { attempt, sharing, extent, ...rows }
        expect(decodeFragmentHeader(encodeFragmentHeader(header))).toEqual(header)
      }),
    )
  })
})
