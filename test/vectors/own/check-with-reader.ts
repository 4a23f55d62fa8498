import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as reader from '../../../scripts/standalone-reader/read.ts'
import { checkFragment, checkVector, decoders } from '../../support/reader-check.ts'
import { hex, hexBytes, inputBytes, plain, type Folder, type Vector, type VectorContext } from './vector.ts'

/**
 * What the second implementation (scripts/standalone-reader, written from docs/FORMAT.md alone) makes of a vector, in the
 * shape of `expect.ok`.
 *
 * @throws its ReaderError, which has a `code`.
 */
export async function checkWithReader(vector: Vector, find: (name: string) => Vector): Promise<unknown> {
  const { kind, input } = vector
  const context = vector.context ?? {}
  if (kind === 'recovery-key') return hex(reader.decodeRecoveryKey(input as string))
  if (kind === 'vault') return restore(input as readonly Folder[], context)
  const inputs = inputBytes(vector, find)
  if (kind === 'content') return content(inputs, context)
  if (kind === 'document-shares') {
    const verified = inputs.map((bytes) => reader.verifyDocumentShare(bytes, signers(context)))
    return read(reader.openDocumentShares(verified, keyOf(context)))
  }
  const bytes = inputs[0]!
  const found = checkVector(kind, bytes, {
    ...(context.recoverySeed && { recoverySeed: hexBytes(context.recoverySeed) }),
    ...(context.kemSeed && { kemSeed: hexBytes(context.kemSeed) }),
    ...(context.signers && { signers: signers(context) }),
    ...(context.cards && { cards: context.cards.map((name) => inputBytes(find(name), find)[0]!) }),
    ...(context.verifyKeys && { verifyKeys: context.verifyKeys.map(hexBytes) }),
    ...(context.sealedBytes !== undefined && { sealedBytes: context.sealedBytes }),
  })
  if (kind === 'sealed-document') {
    const isOpened = context.recoverySeed !== undefined || context.kemSeed !== undefined
    return isOpened
      ? read(reader.openSealedDocument(bytes, keyOf(context)))
      : { header: plain(reader.decodeSealedDocument(bytes).header) }
  }
  if (kind === 'document-share') {
    const { bytes: share, ...fields } = found as ReturnType<typeof reader.decodeDocumentShare>
    return plain({ ...fields, bytesSha256: createHash('sha256').update(share).digest() })
  }
  return plain(found)
}

function signers({ signers: list = [] }: VectorContext): reader.TrustedSigner[] {
  return list.map(({ organisation, seed }) => {
    const pair = reader.signingPair(hexBytes(seed))
    return { ...pair, id: reader.signerId(pair), organisation: hexBytes(organisation) }
  })
}

function keyOf({ kemSeed, recoverySeed }: VectorContext): reader.DocumentKey {
  return kemSeed === undefined ? { recoverySeed: hexBytes(recoverySeed!) } : { kemSeed: hexBytes(kemSeed) }
}

function read({ header, plaintext }: { header: reader.DocumentHeader; plaintext: Uint8Array }): unknown {
  const decode = header.kind === 1 ? decoders.manifest : decoders.state
  return plain({ header, document: decode(plaintext, header) })
}

/** One extent from whole fragments, with the parts that the reader's own restoring is made of. */
export function content(fragments: readonly Uint8Array[], context: VectorContext): unknown {
  const sealedBytes = context.sealedBytes!
  const verifyKeys = context.verifyKeys!.map(hexBytes)
  const headers = fragments.map((fragment) => reader.decodeFragmentHeader(fragment.subarray(0, 256)))
  const first = headers[0]!
  const group = ({ attempt, sharing, extent, k, t }: reader.FragmentHeader) =>
    [hex(attempt), hex(sharing), extent, k, t].join()
  if (headers.some((header) => group(header) !== group(first))) {
    throw new reader.ReaderError('E_SHARES_MIXED', 'fragments of different sharings')
  }
  for (const fragment of fragments) checkFragment(fragment, verifyKeys, sealedBytes)
  const scheme = { ...first, n: Math.max(...headers.map(({ n }) => n)) }
  const aad = createHash('sha256').update(hexBytes(context.header!)).digest()
  const keys = reader.floeKeys(hexBytes(context.dek!), hexBytes(context.floeHeader!), new Uint8Array(aad))
  const count = reader.segmentCount(sealedBytes)
  const hash = createHash('sha256')
  let left = context.contentBytes!
  for (let i = 0; i < count; i++) {
    const { offset, length } = reader.blockPlace(i, sealedBytes, first)
    const shares = fragments.map((fragment, j) => ({
      index: headers[j]!.index,
      bytes: fragment.subarray(offset, offset + length),
    }))
    const last = i === count - 1
    const segmentBytes = last ? sealedBytes - 262_144 * i : 262_144
    const plaintext = reader.openSegment(keys, i, last, reader.combineFragments(shares, scheme, segmentBytes))
    hash.update(plaintext.subarray(0, Math.max(0, left)))
    left -= plaintext.length
  }
  return { sha256: hash.digest('hex') }
}

/** Runs the reader's command line on real folders: from all of them, and from the last k. */
async function restore(folders: readonly Folder[], { recoverySeed, scheme }: VectorContext): Promise<unknown> {
  const all = await restoreFiles(folders, hexBytes(recoverySeed!))
  const few = await restoreFiles(folders.slice(-scheme![0]), hexBytes(recoverySeed!))
  if (all.join() !== few.join()) throw new Error('k folders restore something else than all of them')
  return all
}

/** SHA-256 of every file that comes out, sorted. */
async function restoreFiles(folders: readonly Folder[], recoverySeed: Uint8Array): Promise<string[]> {
  const root = mkdtempSync(join(tmpdir(), 'mosaik-vector-'))
  try {
    const nodes = folders.map((folder, i) => {
      for (const [name, text] of Object.entries(folder)) {
        const path = join(root, `node-${i}`, name.replace(/^(\w+)\/(..)/, '$1/$2/$2'))
        mkdirSync(dirname(path), { recursive: true })
        writeFileSync(path, Buffer.from(text, 'base64'))
      }
      return join(root, `node-${i}`)
    })
    const keyFile = join(root, 'key')
    writeFileSync(keyFile, recoveryKeyText(recoverySeed))
    const out = join(root, 'out')
    const lines: string[] = []
    const say = (line: string) => void lines.push(line)
    const code = await reader.main(['restore', '--recovery-key-file', keyFile, '--out', out, ...nodes], {
      out: say,
      err: say,
      env: {},
    })
    if (code !== 0) throw new Error(`the reader ends with ${code}: ${lines.join('; ')}`)
    return readdirSync(out, { recursive: true, encoding: 'utf8' })
      .map((name) => join(out, name))
      .filter((path) => statSync(path).isFile() && !path.endsWith('.json'))
      .map((path) => createHash('sha256').update(readFileSync(path)).digest('hex'))
      .toSorted()
  } finally {
    rmSync(root, { recursive: true })
  }
}

/** Written here once more, so that nothing of src is in the way of the second implementation. */
function recoveryKeyText(seed: Uint8Array): string {
  const check = createHash('sha256').update('mosaik/v1/recovery-key').update(seed).digest().subarray(0, 4)
  let bits = BigInt(`0x${hex(seed)}${hex(check)}`) << 2n
  let text = ''
  for (let i = 0; i < 58; i++, bits >>= 5n) text = 'abcdefghijklmnopqrstuvwxyz234567'[Number(bits & 31n)]! + text
  return `mosaik-recovery-1-${text}`
}
