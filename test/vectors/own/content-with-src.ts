import { nodePrimitives as primitives } from '../../../src/adapters/node-primitives.ts'
import { checkFramedBlock, fragmentKey } from '../../../src/crypto/fragment-tag.ts'
import { createTableKernel } from '../../../src/crypto/kernel/table-kernel.ts'
import { SegmentOpener } from '../../../src/crypto/segment-codec.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import { segmentCount, segmentLength } from '../../../src/format/asset-header.ts'
import {
  blockLength,
  blockOffset,
  decodeFragmentHeader,
  FRAGMENT_HEADER_BYTES,
  fragmentLength,
  segmentsOfExtent,
} from '../../../src/format/fragment-header.ts'
import { concatenate } from '../../../src/format/header-bytes.ts'
import { hexBytes, plain, type VectorContext } from './vector.ts'

/** Checks a whole fragment: header, length, the tag of every block. @throws MosaikError */
export function fragment(bytes: Uint8Array, { verifyKeys = [], sealedBytes = 0 }: VectorContext): unknown {
  const head = bytes.subarray(0, FRAGMENT_HEADER_BYTES)
  const { scheme, ...rest } = decodeFragmentHeader(head)
  const { first, count } = segmentsOfExtent(sealedBytes, rest.extent)
  if (bytes.length !== fragmentLength(scheme, sealedBytes, rest.extent)) {
    throw new MosaikError('E_FORMAT_LENGTH', 'the fragment has another length than its extent')
  }
  const keys = verifyKeys.map((key) => primitives.gcm(fragmentKey(primitives, hexBytes(key), head)))
  for (let segment = first; segment < first + count; segment++) {
    const at = blockOffset(scheme, segment)
    const framed = bytes.subarray(at, at + blockLength(scheme, sealedBytes, segment) + 16)
    if (!keys.some((key) => checkFramedBlock(primitives, key, segment, framed))) {
      throw new MosaikError('E_BLOCK_TAG', 'the tag of a block does not verify', { segment })
    }
  }
  return plain({ ...rest, ...scheme })
}

/** Restores one extent from whole fragments, as the read path does; lengths come from the context, never from a fragment. */
export function content(fragments: readonly Uint8Array[], context: VectorContext): unknown {
  const sealedBytes = context.sealedBytes!
  const headers = fragments.map((one) => decodeFragmentHeader(one.subarray(0, FRAGMENT_HEADER_BYTES)))
  const first = headers[0]
  if (first === undefined) throw new MosaikError('E_SHARES_TOO_FEW', 'no fragments')
  const { scheme, sharing, attempt, extent } = first
  const alike = headers.every(
    (one) =>
      one.sharing === sharing &&
      one.attempt === attempt &&
      one.extent === extent &&
      one.scheme.k === scheme.k &&
      one.scheme.t === scheme.t,
  )
  if (!alike) throw new MosaikError('E_SHARES_MIXED', 'fragments of different sharings')
  const verifyKey = hexBytes(context.verifyKeys![0]!)
  const keyOf = (one: Uint8Array) => fragmentKey(primitives, verifyKey, one.subarray(0, FRAGMENT_HEADER_BYTES))
  const fragmentKeys = new Map(fragments.map((one, i) => [headers[i]!.index, keyOf(one)]))
  const tools = {
    primitives,
    kernel: createTableKernel(),
    allocate: (length: number) => new Uint8Array(length),
    copy: (source: Uint8Array, target: Uint8Array) => target.set(source),
  }
  const [dek, floeHeader] = [hexBytes(context.dek!), hexBytes(context.floeHeader!)]
  const cipher = { dek, floeHeader, aad: primitives.sha256(hexBytes(context.header!)) }
  const opener = new SegmentOpener(tools, cipher, { scheme, extent, fragmentKeys })
  const run = segmentsOfExtent(sealedBytes, extent)
  const parts = Array.from({ length: run.count }, (_, i) => {
    const segment = run.first + i
    const at = blockOffset(scheme, segment)
    const blocks = fragments.map((one, j) => ({
      index: headers[j]!.index,
      bytes: one.subarray(at, at + blockLength(scheme, sealedBytes, segment) + 16),
    }))
    const last = segment === segmentCount(sealedBytes) - 1
    const answer = opener.open(segment, last, segmentLength(sealedBytes, segment), blocks)
    if (!('plaintext' in answer)) throw new MosaikError('E_BLOCK_TAG', 'too few blocks verify')
    return answer.plaintext
  })
  const plaintext = concatenate(...parts)
  if (plaintext.subarray(context.contentBytes).some((byte) => byte !== 0)) {
    throw new MosaikError('E_FORMAT_FIELD', 'the padding is not zero')
  }
  return plain({ sha256: primitives.sha256(plaintext.subarray(0, context.contentBytes)) })
}
