import { describe, expect, it } from 'vitest'
import { decodeAssetHeader, encodeAssetHeader } from '../../../src/format/asset-header.ts'
import {
  decodeDocumentShare,
  encodeDocumentShare,
  encodeShareForSigning,
  shareGroupKey,
} from '../../../src/format/document-share.ts'
import { decodeFragmentHeader, encodeFragmentHeader } from '../../../src/format/fragment-header.ts'
import { decodeNodeMarker, encodeNodeMarker } from '../../../src/format/node-marker.ts'
import {
  decodeDocumentHeader,
  decodeSealedDocument,
  encodeDocumentHeader,
  encodeSealedDocument,
} from '../../../src/format/sealed-document.ts'
import { decodeSpoolHeader, encodeSpoolHeader, spoolLayout } from '../../../src/format/spool-header.ts'
import { suiteSizes, type Suite } from '../../../src/format/suites.ts'
import * as sample from './samples.ts'

const code = (expected: string) => expect.objectContaining({ code: expected }) as unknown
const share = encodeDocumentShare(encodeShareForSigning(sample.documentShare), sample.bytes(3373, 0x66))

interface HeaderKind {
  readonly encoded: Uint8Array
  readonly value: unknown
  readonly decode: (bytes: Uint8Array) => unknown
  /** [offset, byte to write there, expected code] */
  readonly faults: readonly (readonly [number, number, string])[]
}

const kinds: Record<string, HeaderKind> = {
  'asset header': {
    encoded: encodeAssetHeader(sample.assetHeader),
    value: sample.assetHeader,
    decode: decodeAssetHeader,
    faults: [
      [74, 1, 'E_FORMAT_FIELD'],
      [77, 8, 'E_FORMAT_FIELD'],
      [83, 12, 'E_FORMAT_FIELD'],
    ],
  },
  'fragment header': {
    encoded: encodeFragmentHeader(sample.fragmentHeader),
    value: sample.fragmentHeader,
    decode: decodeFragmentHeader,
    faults: [
      [11, 2, 'E_SUITE_UNKNOWN'],
      [48, 5, 'E_SCHEME_INVALID'],
      [49, 1, 'E_SCHEME_INVALID'],
      [49, 17, 'E_SCHEME_INVALID'],
      [50, 33, 'E_SCHEME_INVALID'],
      [51, 3, 'E_SCHEME_INVALID'],
      [53, 0x1d, 'E_FORMAT_FIELD'],
      [55, 8, 'E_FORMAT_FIELD'],
      [58, 1, 'E_FORMAT_FIELD'],
      [255, 1, 'E_FORMAT_FIELD'],
    ],
  },
  'document header of a manifest': {
    encoded: encodeDocumentHeader(sample.manifestHeader),
    value: sample.manifestHeader,
    decode: decodeDocumentHeader,
    faults: [
      [10, 0, 'E_FORMAT_FIELD'],
      [10, 3, 'E_FORMAT_FIELD'],
      [10, 2, 'E_FORMAT_FIELD'],
      [11, 0, 'E_SUITE_UNKNOWN'],
      [11, 3, 'E_SUITE_UNKNOWN'],
      [44, 0xff, 'E_FORMAT_FIELD'],
      [51, 0, 'E_FORMAT_FIELD'],
      [52, 2, 'E_FORMAT_LENGTH'],
      [52, 17, 'E_FORMAT_LENGTH'],
    ],
  },
  'document header of a state': {
    encoded: encodeDocumentHeader(sample.stateHeader),
    value: sample.stateHeader,
    decode: decodeDocumentHeader,
    faults: [[28, 1, 'E_FORMAT_FIELD']],
  },
  'document share': {
    encoded: share,
    value: sample.documentShare,
    decode: decodeDocumentShare,
    faults: [
      [10, 9, 'E_FORMAT_FIELD'],
      [11, 9, 'E_SUITE_UNKNOWN'],
      [51, 0, 'E_FORMAT_FIELD'],
      [68, 5, 'E_SCHEME_INVALID'],
      [69, 1, 'E_SCHEME_INVALID'],
      [70, 2, 'E_SCHEME_INVALID'],
      [71, 1, 'E_FORMAT_FIELD'],
      [73, 0x1d, 'E_FORMAT_FIELD'],
      [74, 1, 'E_FORMAT_FIELD'],
      [76, 0xff, 'E_FORMAT_LENGTH'],
    ],
  },
  'spool header': {
    encoded: encodeSpoolHeader(sample.spoolHeader),
    value: sample.spoolHeader,
    decode: decodeSpoolHeader,
    faults: [
      [10, 0, 'E_SUITE_UNKNOWN'],
      [11, 1, 'E_FORMAT_FIELD'],
      [32, 0x20, 'E_FORMAT_FIELD'],
    ],
  },
  'node marker': {
    encoded: encodeNodeMarker(sample.marker),
    value: sample.marker,
    decode: decodeNodeMarker,
    faults: [],
  },
}

for (const [what, { encoded, value, decode, faults }] of Object.entries(kinds)) {
  describe(what, () => {
    it('reads what it writes', () => {
      expect(decode(encoded)).toMatchObject(value as object)
    })

    it('refuses another magic, version and length, in this order', () => {
      const other = encoded.slice()
      other[9] = 2
      expect(() => decode(other)).toThrow(code('E_FORMAT_VERSION'))
      other[7] = 0x20
      expect(() => decode(other)).toThrow(code('E_FORMAT_MAGIC'))
      expect(() => decode(encoded.subarray(0, 7))).toThrow(code('E_FORMAT_MAGIC'))
      expect(() => decode(new Uint8Array(0))).toThrow(code('E_FORMAT_MAGIC'))
      for (let length = 8; length < Math.min(encoded.length, 120); length++) {
        expect(() => decode(encoded.subarray(0, length))).toThrow(code('E_FORMAT_LENGTH'))
      }
      expect(() => decode(Uint8Array.of(...encoded, 0))).toThrow(code('E_FORMAT_LENGTH'))
    })

    for (const [at, byte, expected] of faults) {
      it(`refuses ${byte} at ${at} as ${expected}`, () => {
        const other = encoded.slice()
        other[at] = byte
        expect(() => decode(other)).toThrow(code(expected))
      })
    }
  })
}

describe('sealed document (§6)', () => {
  for (const suite of [1, 2] as Suite[]) {
    const header = encodeDocumentHeader({ ...sample.manifestHeader, suite })
    const { encBytes, ctBytes } = suiteSizes[suite]
    const entries = sample.manifestHeader.recipients.map((keyId, i) => ({
      keyId,
      enc: sample.bytes(encBytes, i),
      ct: sample.bytes(ctBytes, 0x80 + i),
    }))
    const floeHeader = sample.sealedAsset.sealed!.floeHeader
    const segments = sample.bytes(32, 0x11)
    const sealed = encodeSealedDocument(header, entries, floeHeader, segments)

    it(`suite ${suite} comes apart as it was joined`, () => {
      const parts = decodeSealedDocument(sealed)
      expect(parts).toEqual({
        header: { ...sample.manifestHeader, suite },
        headerBytes: header,
        entries,
        floeHeader,
        segments,
      })
      expect(() => decodeSealedDocument(sealed.subarray(0, -1))).toThrow(code('E_FORMAT_LENGTH'))
      for (const r of [0, 1, 17]) {
        const other = sealed.slice()
        other[52] = r
        expect(() => decodeSealedDocument(other)).toThrow(code(r < 2 ? 'E_FORMAT_FIELD' : 'E_FORMAT_LENGTH'))
      }
      expect(() => encodeSealedDocument(header, entries.toReversed(), floeHeader, segments)).toThrow(
        code('E_FORMAT_FIELD'),
      )
    })
  }
})

describe('writers', () => {
  it('refuse what readers refuse', () => {
    const wide = { ...sample.fragmentHeader, extent: 2 ** 32 }
    expect(() => encodeFragmentHeader(wide)).toThrow(code('E_FORMAT_FIELD'))
    expect(() => encodeFragmentHeader({ ...sample.fragmentHeader, index: 5 })).toThrow(code('E_SCHEME_INVALID'))
    expect(() => encodeAssetHeader({ ...sample.assetHeader, asset: 'AB' })).toThrow(code('E_INPUT'))
    expect(() => encodeDocumentHeader({ ...sample.manifestHeader, generation: 0 })).toThrow(code('E_FORMAT_FIELD'))
    expect(() => encodeDocumentHeader({ ...sample.manifestHeader, recipients: [sample.bytes(16, 1)] })).toThrow(
      code('E_FORMAT_FIELD'),
    )
    expect(() => encodeShareForSigning({ ...sample.documentShare, share: sample.bytes(111, 0) })).toThrow(
      code('E_FORMAT_FIELD'),
    )
    expect(() => encodeShareForSigning({ ...sample.documentShare, k: 1 })).toThrow(code('E_SCHEME_INVALID'))
  })

  it('group shares by everything that they must agree in', () => {
    const key = shareGroupKey(sample.documentShare)
    expect(shareGroupKey({ ...sample.documentShare, index: 0 } as never)).toBe(key)
    for (const change of [
      { kind: 'state' },
      { suite: 2 },
      { generation: 8 },
      { sharing: sample.id(77) },
      { k: 2 },
      { n: 6 },
      { sealedBytes: 99 },
    ]) {
      expect(shareGroupKey({ ...sample.documentShare, ...change } as never)).not.toBe(key)
    }
  })

  it('know where a spool file has its parts', () => {
    expect(spoolLayout(1)).toEqual({ encAt: 56, ctAt: 56 + 1120, floeHeaderAt: 56 + 1120 + 48 })
  })
})
