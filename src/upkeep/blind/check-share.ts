import { checkFramedBlock, fragmentKey } from '../../crypto/fragment-tag.ts'
import { findSigner, type TrustedSigner } from '../../crypto/keys.ts'
import type { GcmKey, Primitives } from '../../crypto/primitives.ts'
import { verifyPair } from '../../crypto/signature.ts'
import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { FindingKind } from '../../domain/health.ts'
import type { Id } from '../../domain/ids.ts'
import { decodeDocumentShare, SHARE_CONTEXT, type SignedShare } from '../../format/document-share.ts'
import {
  BLOCK_TAG_BYTES,
  FRAGMENT_HEADER_BYTES,
  blockLength,
  blockOffset,
  decodeFragmentHeader,
  encodeFragmentHeader,
  fragmentLength,
  segmentsOfExtent,
} from '../../format/fragment-header.ts'
import { sameBytes } from '../../format/header-bytes.ts'
import type { AtRestVault } from '../../ports/at-rest.ts'
import type { AttemptRow, ObjectRow } from '../../ports/catalog/layout.ts'
import { withDeadline } from '../../ports/deadline.ts'
import type { NodePool } from '../../ports/node-pool.ts'
import type { ByteRange } from '../../ports/object-store.ts'
import type { Clock } from '../../ports/system.ts'
import type { FragmentGroup, ManifestGroup } from './share-groups.ts'

export interface ShareReadPorts {
  readonly pool: NodePool
  readonly primitives: Primitives
  readonly clock: Clock
  /** Waits until so many bytes may be read. */
  readonly pace: (bytes: number, signal: AbortSignal) => Promise<void>
}

/** What is wrong with one share, as its node gives it. */
export interface ShareTrouble {
  readonly kind: FindingKind
  readonly fields: Readonly<Record<string, string | number | boolean | null>>
}

const READ_TIMEOUT_MS = 60_000
/** Segments that are read with one request. */
const RUN_SEGMENTS = 16

/** Reads of one object. @throws E_OBJECT_ABSENT, E_OBJECT_RANGE, and what says that the node cannot be asked */
export async function readShare(
  ports: ShareReadPorts,
  row: Pick<ObjectRow, 'node' | 'key'>,
  range: ByteRange | undefined,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  await ports.pace(range?.lengthBytes ?? sizeBytes, signal)
  const late = (): MosaikError =>
    new MosaikError('E_NODE_UNREACHABLE', 'the node did not answer in time', { node: row.node })
  return await withDeadline({ clock: ports.clock, limitMs: READ_TIMEOUT_MS, signal, late }, async (limited) => {
    const store = await ports.pool.store(row.node)
    return await store.get(row.key, range, limited)
  })
}

/** The verify key of an attempt. Cannot decrypt (docs/FORMAT.md §4). */
export async function verifyKeyOf(
  atRest: Pick<AtRestVault, 'unwrapAtRest'>,
  attempt: Pick<AttemptRow, 'id' | 'wrappedVerifyKey'>,
): Promise<Uint8Array> {
  return await atRest.unwrapAtRest(attempt.id, attempt.wrappedVerifyKey)
}

/** The header that share `index` of the group has. */
export function headerOf({ attempt, sharing, extent, scheme }: FragmentGroup, index: number): Uint8Array<ArrayBuffer> {
  return encodeFragmentHeader({ attempt: attempt.id, sharing, extent, index, scheme })
}

/** The key of one share's tags, ready. */
export function blockKey(
  primitives: Primitives,
  verifyKey: Uint8Array,
  group: FragmentGroup,
  index: number,
): Uint8Array {
  return fragmentKey(primitives, verifyKey, headerOf(group, index))
}

/** Where the blocks of `count` segments from `first` lie in a fragment of the group. */
export function rangeOf({ scheme, sealedBytes }: FragmentGroup, first: number, count: number): Required<ByteRange> {
  const last = first + count - 1
  const offsetBytes = blockOffset(scheme, first)
  const end = blockOffset(scheme, last) + blockLength(scheme, sealedBytes, last) + BLOCK_TAG_BYTES
  return { offsetBytes, lengthBytes: end - offsetBytes }
}

/** The block of `segment`, with its tag, in what `rangeOf(group, first, …)` gave. */
export function blockIn(
  { scheme, sealedBytes }: FragmentGroup,
  bytes: Uint8Array,
  first: number,
  segment: number,
): Uint8Array {
  const at = blockOffset(scheme, segment) - blockOffset(scheme, first)
  return bytes.subarray(at, at + blockLength(scheme, sealedBytes, segment) + BLOCK_TAG_BYTES)
}

/**
 * Checks one fragment: its length, its header, and the tag of every block, or of those of one segment.
 *
 * @param only one segment; all without.
 * @param beat called between reads.
 * @returns what is wrong; `undefined` when nothing is.
 * @throws what says that the node cannot be asked: then nothing is known
 */
export async function checkFragment(
  ports: ShareReadPorts,
  group: FragmentGroup,
  verifyKey: Uint8Array,
  row: ObjectRow,
  signal: AbortSignal,
  only?: number,
  beat: () => Promise<void> = () => Promise.resolve(),
): Promise<ShareTrouble | undefined> {
  const due = fragmentLength(group.scheme, group.sealedBytes, group.extent)
  try {
    const wrong = await checkHeader(ports, group, row, due, signal)
    if (wrong) return wrong
    const key = ports.primitives.gcm(blockKey(ports.primitives, verifyKey, group, row.index))
    const bad =
      only === undefined
        ? await badBlocks(ports, group, key, row, signal, beat)
        : await badBlock(ports, group, key, row, only, signal)
    if (bad.length === 0) return undefined
    return { kind: 'flipped', fields: { part: 'block', segment: bad[0]!, blocks: bad.length } }
  } catch (error) {
    return asTrouble(error)
  }
}

async function checkHeader(
  ports: ShareReadPorts,
  group: FragmentGroup,
  row: ObjectRow,
  due: number,
  signal: AbortSignal,
): Promise<ShareTrouble | undefined> {
  const range = { offsetBytes: 0, lengthBytes: FRAGMENT_HEADER_BYTES }
  const bytes = await readShare(ports, row, range, FRAGMENT_HEADER_BYTES, signal)
  if (!sameBytes(bytes, headerOf(group, row.index))) return otherHeader(group, row, bytes)
  const size = await sizeOf(ports, row, signal)
  if (size < due) return { kind: 'truncated', fields: { sizeBytes: size, dueBytes: due } }
  if (size > due) return { kind: 'flipped', fields: { part: 'length', sizeBytes: size, dueBytes: due } }
  return undefined
}

async function sizeOf(ports: ShareReadPorts, row: ObjectRow, signal: AbortSignal): Promise<number> {
  const late = (): MosaikError => new MosaikError('E_NODE_UNREACHABLE', 'no answer in time', { node: row.node })
  return await withDeadline({ clock: ports.clock, limitMs: READ_TIMEOUT_MS, signal, late }, async (limited) => {
    const info = await (await ports.pool.store(row.node)).head(row.key, limited)
    if (!info) throw new MosaikError('E_OBJECT_ABSENT', 'the node has no such object', { node: row.node })
    return info.sizeBytes
  })
}

/** A header of something else, or none. */
function otherHeader(group: FragmentGroup, row: ObjectRow, bytes: Uint8Array): ShareTrouble {
  try {
    const header = decodeFragmentHeader(bytes)
    const fields: readonly (readonly [string, unknown, unknown])[] = [
      ['asset', header.attempt, group.attempt.id],
      ['sharing', header.sharing, group.sharing],
      ['extent', header.extent, group.extent],
      ['share', header.index, row.index],
    ]
    const other = fields.find(([, found, expected]) => found !== expected)
    // The same ciphertext, split at another time: a share of before a re-share, or of one that was given up.
    if (other?.[0] === 'sharing')
      return { kind: 'stale', fields: { sharing: header.sharing, dueSharing: group.sharing } }
    if (other) {
      const owner = group.rows.find(({ index, node }) => index === header.index && node !== row.node)
      return { kind: 'swapped', fields: { other: other[0], belongsTo: (other[0] === 'share' && owner?.node) || null } }
    }
  } catch (error) {
    if (!isMosaikError(error)) throw error
  }
  return { kind: 'flipped', fields: { part: 'header' } }
}

async function badBlocks(
  ports: ShareReadPorts,
  group: FragmentGroup,
  key: GcmKey,
  row: ObjectRow,
  signal: AbortSignal,
  beat: () => Promise<void>,
): Promise<number[]> {
  const { first, count } = segmentsOfExtent(group.sealedBytes, group.extent)
  const bad: number[] = []
  for (let at = first; at < first + count; at += RUN_SEGMENTS) {
    const run = Math.min(RUN_SEGMENTS, first + count - at)
    const range = rangeOf(group, at, run)
    const bytes = await readShare(ports, row, range, range.lengthBytes, signal)
    for (let segment = at; segment < at + run; segment++) {
      if (!checkFramedBlock(ports.primitives, key, segment, blockIn(group, bytes, at, segment))) bad.push(segment)
    }
    await beat()
  }
  return bad
}

async function badBlock(
  ports: ShareReadPorts,
  group: FragmentGroup,
  key: GcmKey,
  row: ObjectRow,
  segment: number,
  signal: AbortSignal,
): Promise<number[]> {
  const range = rangeOf(group, segment, 1)
  const bytes = await readShare(ports, row, range, range.lengthBytes, signal)
  return checkFramedBlock(ports.primitives, key, segment, bytes) ? [] : [segment]
}

/** Absent and too short are answers about the object; everything else is thrown on. */
function asTrouble(error: unknown): ShareTrouble {
  if (isMosaikError(error, 'E_OBJECT_ABSENT')) return { kind: 'missing', fields: {} }
  if (isMosaikError(error, 'E_OBJECT_RANGE')) return { kind: 'truncated', fields: {} }
  throw error
}

/**
 * Checks one manifest share: what it is of, and its signature pair.
 *
 * @param trusted whose signatures count.
 * @returns the share when it is good, else what is wrong.
 * @throws what says that the node cannot be asked
 */
export async function checkManifestShare(
  ports: ShareReadPorts,
  group: ManifestGroup,
  trusted: readonly TrustedSigner[],
  row: ObjectRow,
  signal: AbortSignal,
): Promise<{ readonly share: SignedShare } | { readonly trouble: ShareTrouble }> {
  let bytes: Uint8Array
  try {
    bytes = await readShare(ports, row, undefined, row.sizeBytes ?? 0, signal)
  } catch (error) {
    return { trouble: asTrouble(error) }
  }
  try {
    const share = decodeDocumentShare(bytes)
    const { keys } = findSigner(trusted, group.organisation, share.signer)
    if (!verifyPair(ports.primitives, keys, SHARE_CONTEXT, share.signedBytes, share.signature)) {
      return { trouble: { kind: 'flipped', fields: { part: 'signature' } } }
    }
    const trouble = otherShare(group, row, share)
    return trouble ? { trouble } : { share }
  } catch (error) {
    if (!isMosaikError(error)) throw error
    const isShort = row.sizeBytes !== null && bytes.length < row.sizeBytes
    return { trouble: { kind: isShort ? 'truncated' : 'flipped', fields: { code: error.code } } }
  }
}

/** A genuine share of something else. */
function otherShare(group: ManifestGroup, row: ObjectRow, share: SignedShare): ShareTrouble | undefined {
  const { generation } = group.generation
  const isOfRecording = share.kind === 'manifest' && share.subject === group.recording
  if (isOfRecording && share.generation < generation) {
    return { kind: 'stale', fields: { generation: share.generation, dueGeneration: generation } }
  }
  const fields: readonly (readonly [string, unknown, unknown])[] = [
    ['recording', isOfRecording, true],
    ['generation', share.generation, generation],
    ['sharing', share.sharing, group.sharing],
    ['share', share.index, row.index],
  ]
  const other = fields.find(([, found, expected]) => found !== expected)
  if (!other) return undefined
  const owner: Id | undefined = group.rows.find(({ index, node }) => index === share.index && node !== row.node)?.node
  return { kind: 'swapped', fields: { other: other[0], belongsTo: (other[0] === 'share' && owner) || null } }
}
