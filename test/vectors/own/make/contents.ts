import { decodeAssetHeader, encodeAssetHeader } from '../../../../src/format/asset-header.ts'
import { objectName } from '../../../../src/format/object-names.ts'
import { encodeNodeMarker } from '../../../../src/format/node-marker.ts'
import type { Scheme } from '../../../../src/domain/dispersal.ts'
import { padmeBytes } from '../../../../src/domain/padding.ts'
import { base64, hex, type Folder, type VectorContext } from '../vector.ts'
import { cut, Family, flip, join, patch, type Draft } from './edit.ts'
import { primitives, SmallVault, type SplitAsset } from './small-vault.ts'

type Numbers = readonly [k: number, n: number, t: number]

const schemes: readonly Numbers[] = [
  [3, 5, 1],
  [2, 3, 1],
  [3, 5, 0],
  [3, 5, 2],
]
const schemeOf = ([k, n, t]: Numbers): Scheme => ({ k, n, t })
const EXTENT_BYTES = 8192 * 262_144
/** Two whole FLOE segments and a little: three segments. */
const THREE_SEGMENTS_BYTES = 2 * 262_112 + 777

/** Vectors of fragments, of content restored from them, and of whole small vaults. */
export async function contentVectors(): Promise<Draft[]> {
  const families = [fragments(), contents(), splits(), await vaults()]
  return families.flatMap((family) => family.drafts)
}

/** What a reader knows of an asset from its manifest. */
export function contextOf({ sealed, asset }: SplitAsset): VectorContext {
  return {
    header: hex(sealed.header),
    dek: hex(sealed.dek),
    floeHeader: hex(sealed.floeHeader),
    verifyKeys: sealed.verifyKeys.map(hex),
    sealedBytes: sealed.sealedBytes,
    contentBytes: asset.contentBytes,
  }
}

function fragments(): Family {
  const vault = new SmallVault('fragment')
  const context = (asset: SplitAsset, ...more: Uint8Array[]): VectorContext => ({
    verifyKeys: [...more, ...asset.sealed.verifyKeys].map(hex),
    sealedBytes: asset.sealed.sealedBytes,
  })
  const family = new Family('fragment')
  for (const numbers of schemes) {
    const split = vault.splitAsset(vault.id(), vault.random.bytes(500), schemeOf(numbers))
    split.fragments.forEach((one, i) => family.ok(`valid-${numbers.join('-')}-index-${i}`, one, context(split)))
  }
  const empty = vault.splitAsset(vault.id(), new Uint8Array(0), schemeOf(schemes[0]!))
  const padded = vault.splitAsset(vault.id(), vault.random.bytes(100), schemeOf(schemes[0]!), { paddedBytes: 128 })
  family.ok('valid-empty-asset', empty.fragments[0]!, context(empty))
  family.ok('valid-padded-asset', padded.fragments[4]!, context(padded))
  family.ok('valid-second-verify-key', padded.fragments[1]!, context(padded, vault.random.bytes(32)))

  // L = 16: blocks of 16 KiB, so that three segments fit a small file
  const long = vault.splitAsset(vault.id(), vault.random.bytes(THREE_SEGMENTS_BYTES), { k: 16, n: 16, t: 0 })
  const three = long.fragments[9]!
  const step = 16_384 + 16
  const [first, second, last] = [256, 256 + step, 256 + 2 * step]
  const swapped = join(
    three.subarray(0, first),
    three.subarray(second, last),
    three.subarray(first, second),
    three.subarray(last),
  )
  family
    .ok('valid-three-segments', three, context(long))
    .fault('E_BLOCK_TAG', 'blocks-swapped', swapped, context(long))
    .fault('E_FORMAT_LENGTH', 'last-block-missing', cut(three, last), context(long))

  const split = vault.splitAsset(vault.id(), vault.random.bytes(500), schemeOf(schemes[0]!))
  const valid = split.fragments[2]!
  const known = context(split)
  return family
    .fault('E_FORMAT_MAGIC', 'magic', flip(valid, 0), known)
    .fault('E_FORMAT_LENGTH', 'one-byte-short', cut(valid, valid.length - 1), known)
    .fault('E_FORMAT_LENGTH', 'one-byte-long', join(valid, Uint8Array.of(0)), known)
    .fault('E_FORMAT_LENGTH', 'header-only', cut(valid, 256), known)
    .fault('E_FORMAT_LENGTH', 'ends-in-header', cut(valid, 255), known)
    .fault('E_BLOCK_TAG', 'block', flip(valid, 256), known)
    .fault('E_BLOCK_TAG', 'tag', flip(valid, -1), known)
    .fault('E_BLOCK_TAG', 'attempt-changed', flip(valid, 12), known)
    .fault('E_BLOCK_TAG', 'sharing-changed', flip(valid, 28), known)
    .fault('E_BLOCK_TAG', 'index-changed', patch(valid, 48, 3), known)
    .fault('E_BLOCK_TAG', 'n-changed', patch(valid, 50, 6), known)
    .fault('E_BLOCK_TAG', 'extent-changed', patch(valid, 47, 1), {
      ...known,
      sealedBytes: EXTENT_BYTES + split.sealed.sealedBytes,
    })
    .fault('E_BLOCK_TAG', 'k-and-t-changed', patch(valid, 49, 4, 5, 2), known)
    .fault(
      'E_BLOCK_TAG',
      'block-of-other-index',
      join(valid.subarray(0, 256), split.fragments[3]!.subarray(256)),
      known,
    )
    .fault('E_BLOCK_TAG', 'other-verify-key', valid, { ...known, verifyKeys: [hex(vault.random.bytes(32))] })
    .fault('E_FORMAT_FIELD', 'extent-beyond', patch(valid, 47, 1), known)
}

function contents(): Family {
  const vault = new SmallVault('content')
  const family = new Family('content')
  const pick = (split: SplitAsset, ...indices: number[]) => indices.map((i) => base64(split.fragments[i]!))
  for (const numbers of schemes) {
    const split = vault.splitAsset(vault.id(), vault.random.bytes(1001), schemeOf(numbers))
    const [k, n] = numbers
    const [front, back] = [Array.from({ length: k }, (_, i) => i), Array.from({ length: k }, (_, i) => n - 1 - i)]
    family.ok(`valid-${numbers.join('-')}-first`, pick(split, ...front), contextOf(split))
    family.ok(`valid-${numbers.join('-')}-last`, pick(split, ...back), contextOf(split))
  }
  const scheme = schemeOf(schemes[0]!)
  const recording = vault.id()
  const empty = vault.splitAsset(recording, new Uint8Array(0), scheme)
  const padded = vault.splitAsset(recording, vault.random.bytes(100), scheme, { paddedBytes: 512 })
  const split = vault.splitAsset(recording, vault.random.bytes(1001), scheme)
  const other = vault.splitAsset(recording, vault.random.bytes(1001), scheme)
  const known = contextOf(split)
  const { organisation } = vault
  const padme = new SmallVault('content/padme').splitAsset(recording, new Uint8Array(1100).fill(7), scheme, {
    paddedBytes: padmeBytes(1100),
  })
  const again = splitAgain(split, scheme)
  const otherHeader = encodeAssetHeader({ organisation, recording, asset: split.asset.id, attempt: vault.id() })
  const floeFault = (offset: number) => ({ ...known, floeHeader: hex(flip(split.sealed.floeHeader, offset)) })
  return family
    .ok('valid-empty-asset', pick(empty, 1, 2, 3), contextOf(empty))
    .ok('valid-padded-asset', pick(padded, 0, 2, 4), contextOf(padded))
    .ok('valid-other-n', [...pick(split, 0, 1), base64(laterIndex(split))], known)
    .fault('E_SHARES_TOO_FEW', 'two-of-three', pick(split, 1, 3), known)
    .fault('E_SHARES_MIXED', 'index-twice', pick(split, 1, 3, 3), known)
    .fault('E_SHARES_MIXED', 'two-attempts', [...pick(split, 0, 1), ...pick(other, 2)], known)
    .fault('E_SHARES_MIXED', 'two-sharings', [...pick(split, 0, 1), base64(again[2]!)], known)
    .fault('E_SHARES_MIXED', 'two-extents', [...pick(split, 0, 1), base64(patched(split, 2, 47, 1))], known)
    .fault('E_SHARES_MIXED', 'two-thresholds', [...pick(split, 0, 1), base64(patched(split, 2, 51, 2))], known)
    .fault('E_SHARES_MIXED', 'two-ks', [...pick(split, 0, 1), base64(patched(split, 2, 49, 4))], known)
    .fault('E_SEGMENT_TAG', 'index-of-another', [...pick(split, 0, 1), base64(renamed(split, 2, 3))], known)
    .fault('E_HEADER_TAG', 'other-dek', pick(split, 0, 1, 2), { ...known, dek: hex(vault.random.bytes(32)) })
    .fault('E_HEADER_TAG', 'other-asset-header', pick(split, 0, 1, 2), { ...known, header: hex(otherHeader) })
    .fault('E_HEADER_TAG', 'floe-iv', pick(split, 0, 1, 2), floeFault(20))
    .fault('E_HEADER_TAG', 'floe-header-tag', pick(split, 0, 1, 2), floeFault(73))
    .fault('E_FORMAT_FIELD', 'floe-parameters', pick(split, 0, 1, 2), floeFault(5))
    .fault('E_SEGMENT_TAG', 'forged-block', [...pick(split, 0, 1), base64(forge(split, 2))], known)
    .ok('valid-padme-asset', pick(padme, 1, 2, 3), contextOf(padme))
}

/** The same ciphertext under another sharing id and other random rows. */
function splitAgain({ sealed, content }: SplitAsset, scheme: Scheme): Uint8Array<ArrayBuffer>[] {
  const { attempt } = decodeAssetHeader(sealed.header)
  const aad = primitives.sha256(sealed.header)
  const vault = new SmallVault('content/again')
  return vault.fragments(sealed, aad, content, scheme, attempt, vault.id(), vault.random.entropy(32))
}

/** A share whose header says something else, tagged anew by someone who holds the verify key. */
function patched(split: SplitAsset, index: number, at: number, value: number): Uint8Array<ArrayBuffer> {
  const fragment = split.fragments[index]!
  return retag(split, patch(fragment.subarray(0, 256), at, value), fragment.subarray(256, -16))
}

/** The block of one index under the name of another, tagged anew by someone who holds the verify key. */
function renamed(split: SplitAsset, index: number, name: number): Uint8Array<ArrayBuffer> {
  return patched(split, index, 48, name)
}

/** Block and tag of a share changed by someone who holds the verify key: the tag passes, FLOE must not. */
function forge(split: SplitAsset, index: number): Uint8Array<ArrayBuffer> {
  const fragment = flip(split.fragments[index]!, 300)
  return retag(split, fragment.subarray(0, 256), fragment.subarray(256, -16))
}

/** The same share under a header that says n = 6: what an index that was added later carries. */
function laterIndex(split: SplitAsset): Uint8Array<ArrayBuffer> {
  const fragment = split.fragments[2]!
  return retag(split, patch(fragment.subarray(0, 256), 50, 6), fragment.subarray(256, -16))
}

/** A fragment of one segment with its tag made anew. */
function retag(split: SplitAsset, header: Uint8Array, block: Uint8Array): Uint8Array<ArrayBuffer> {
  const info = join(new TextEncoder().encode('mosaik/v1/fragment'), primitives.sha256(header))
  const key = primitives.hkdfSha256(split.sealed.verifyKeys[0]!, new Uint8Array(0), info, 32)
  return join(header, block, primitives.gcm(key).gmac(new Uint8Array(12), block))
}

/** The asset of a vector of kind `split`. */
export function makeSplit(label: string, numbers: Numbers): SplitAsset {
  const vault = new SmallVault(label)
  return vault.splitAsset(vault.id(), vault.random.bytes(THREE_SEGMENTS_BYTES), schemeOf(numbers))
}

function splits(): Family {
  const family = new Family('split')
  for (const numbers of schemes) {
    const name = `three-segments-${numbers.join('-')}`
    family.ok(name, '', { label: `split/${name}`, scheme: numbers })
  }
  return family
}

async function vaults(): Promise<Family> {
  const family = new Family('vault')
  for (const numbers of schemes) {
    const vault = new SmallVault(`vault/${numbers.join('-')}`)
    const [k, n] = numbers
    const recording = vault.id()
    const original = vault.splitAsset(recording, vault.random.bytes(700), schemeOf(numbers), { paddedBytes: 704 })
    const poster = vault.random.bytes(200)
    const inline = {
      ...original.asset,
      id: vault.id(),
      kind: 'poster' as const,
      mediaType: 'image/jpeg',
      name: 'poster',
      contentBytes: poster.length,
      sha256: primitives.sha256(poster),
      inline: poster,
      sealed: null,
    }
    const sealed = vault.sealManifest(vault.manifest(recording, [original.asset, inline]), 1)
    const shares = await vault.split(sealed, k, n)
    const card = await vault.firstCard()
    const folders = Array.from({ length: n }, (_, i) => ({
      'mosaik-node': base64(encodeNodeMarker({ installation: vault.installation, node: vault.id() })),
      // a real vault has it on every node; twice keeps the file small
      ...(i >= n - 2 && { [objectName('card', primitives.sha256(card))]: base64(card) }),
      [objectName('manifest-share', vault.random.bytes(16))]: base64(shares[i]!),
      [objectName('fragment', vault.random.bytes(16))]: base64(original.fragments[i]!),
    }))
    family.ok(numbers.join('-'), folders, { recoverySeed: hex(vault.recoverySeed), scheme: numbers })
  }
  return family.ok('three-epochs', ...(await threeEpochs())).ok('padme', ...(await padded()))
}

/** Folders of nodes with nothing in them but their markers. */
function markedFolders(vault: SmallVault, n: number): Record<string, string>[] {
  return Array.from({ length: n }, () => ({
    'mosaik-node': base64(encodeNodeMarker({ installation: vault.installation, node: vault.id() })),
  }))
}

/** One recording with its original: a share and a fragment a folder. */
async function put(
  folders: readonly Record<string, string>[],
  vault: SmallVault,
  original: SplitAsset,
  sealed: Uint8Array,
  k: number,
): Promise<void> {
  const shares = await vault.split(sealed, k, folders.length)
  folders.forEach((folder, i) => {
    folder[objectName('manifest-share', vault.random.bytes(16))] = base64(shares[i]!)
    folder[objectName('fragment', vault.random.bytes(16))] = base64(original.fragments[i]!)
  })
}

/** A vault that pads by Padmé: an original of 700 bytes sealed as 704, and one whose length is its own Padmé length. */
async function padded(): Promise<[Folder[], VectorContext]> {
  const numbers: Numbers = [2, 3, 1]
  const [k, n] = numbers
  const vault = new SmallVault('vault/padme')
  const folders = markedFolders(vault, n)
  const card = await vault.firstCard()
  folders[n - 1]![objectName('card', primitives.sha256(card))] = base64(card)
  for (const contentBytes of [700, 704]) {
    const recording = vault.id()
    const paddedBytes = padmeBytes(contentBytes)
    const original = vault.splitAsset(recording, vault.random.bytes(contentBytes), schemeOf(numbers), { paddedBytes })
    const sealed = vault.sealManifest(vault.manifest(recording, [original.asset]), 1)
    await put(folders, vault, original, sealed, k)
  }
  return [folders, { recoverySeed: hex(vault.recoverySeed), scheme: numbers }]
}

/**
 * A vault whose keys were rotated twice: a manifest that still is of epoch 1, one that was sealed under epoch 2, and one that was wrapped anew
 * under epoch 3. Only the first card is signed by the root.
 */
async function threeEpochs(): Promise<[Folder[], VectorContext]> {
  const numbers: Numbers = [2, 3, 1]
  const [k, n] = numbers
  const first = new SmallVault('vault/three-epochs')
  const second = new SmallVault('vault/three-epochs/2', first)
  const third = new SmallVault('vault/three-epochs/3', second)
  const cards = [await first.firstCard()]
  cards.push(await second.nextCard(first, cards[0]!))
  cards.push(await third.nextCard(second, cards[1]!))
  const folders = markedFolders(first, n)
  for (const card of cards) folders[n - 1]![objectName('card', primitives.sha256(card))] = base64(card)
  for (const vault of [first, second, third]) {
    const recording = vault.id()
    const original = vault.splitAsset(recording, vault.random.bytes(300), schemeOf(numbers))
    const isRewrapped = vault === third
    const before = first.sealManifest(first.manifest(recording, [original.asset]), 1)
    const change = isRewrapped ? { generation: 2, previous: primitives.sha256(before) } : {}
    const sealed = vault.sealManifest(vault.manifest(recording, [original.asset], change), 1)
    await put(folders, vault, original, sealed, k)
  }
  return [folders, { recoverySeed: hex(first.recoverySeed), scheme: numbers }]
}
