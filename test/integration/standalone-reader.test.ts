import { execFileSync } from 'node:child_process'
import * as crypto from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as reader from '../../scripts/standalone-reader/read.ts'
import { checkVector, type decoders } from '../support/reader-check.ts'
import {
  be,
  cat,
  encodeCbor,
  FixtureVault,
  flip,
  floeSeal,
  inlineAsset,
  random,
  recoveryText,
  rootKeys,
  sha,
  signingKeys,
  splitData,
  toHex,
  type SealedAsset,
} from '../support/reader-fixture.ts'

const SCRIPT = path.resolve('scripts/standalone-reader/read.ts')
const directories: string[] = []

function temporary(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mosaik-reader-'))
  directories.push(directory)
  return directory
}

afterAll(() => {
  for (const directory of directories) fs.rmSync(directory, { recursive: true })
})

interface Run {
  code: number
  out: string[]
  err: string[]
}

async function run(vault: FixtureVault, ...args: string[]): Promise<Run> {
  const result: Run = { code: -1, out: [], err: [] }
  result.code = await reader.main(args, {
    out: (line) => result.out.push(line),
    err: (line) => result.err.push(line),
    env: { MOSAIK_RECOVERY_KEY: recoveryText(vault.recovery) },
  })
  return result
}

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof reader.ReaderError) return error.code
    throw error
  }
  return 'none'
}

/** One recording: an original of three segments and padding, a rendition, an inline poster. */
function makeRecording(vault: FixtureVault, options: { size?: number; name?: string } = {}) {
  const recording = random(16)
  const content = random(options.size ?? 600_000)
  const small = random(5000)
  const poster = random(700)
  const about = { kind: 'original', mediaType: 'video/mp4', name: options.name ?? 'talk.mp4' }
  const original = vault.putAsset(recording, content, about, 1000)
  const rendition = vault.putAsset(recording, small, { kind: 'rendition', mediaType: 'video/mp4', name: '720p' })
  const assets = [original.value, rendition.value, inlineAsset(poster, 'poster', 'image/jpeg', 'poster')]
  const manifest = vault.manifest(recording, assets)
  return { recording, id: toHex(recording), content, small, poster, original, rendition, assets, manifest }
}

describe('a recording on five nodes', () => {
  it('is restored byte for byte with two folders missing, in any order', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, content, small, poster, recording, manifest } = makeRecording(vault)
    vault.putDocument(1, recording, manifest)
    vault.putDocument(2, new Uint8Array(16), vault.state())
    const [, b, , d, e] = vault.folders as [string, string, string, string, string]
    const out = path.join(root, 'out')
    const gone = path.join(root, 'gone')
    const result = await run(vault, 'restore', '--out', out, e, gone, b, d)
    expect(result.err).toEqual([`warning: ${gone}: no such folder`])
    expect(result.code).toBe(0)
    expect(fs.readdirSync(path.join(out, id)).sort()).toEqual(['720p', 'poster', 'talk.mp4'])
    expect(fs.readFileSync(path.join(out, id, 'talk.mp4')).equals(content)).toBe(true)
    expect(fs.readFileSync(path.join(out, id, '720p')).equals(small)).toBe(true)
    expect(fs.readFileSync(path.join(out, id, 'poster')).equals(poster)).toBe(true)
  })

  it('is listed with what is there and what is needed', async () => {
    const vault = new FixtureVault(temporary())
    const { id, recording, manifest } = makeRecording(vault)
    vault.putDocument(1, recording, manifest)
    vault.putDocument(2, new Uint8Array(16), {
      ...vault.state(),
      tombstones: [{ recording, decidedAtMs: 1_700_000_000_000, reason: 'asked for' }],
    })
    const { code, out, err } = await run(vault, ...vault.folders.slice(1))
    const listing = out.join('\n')
    expect(err).toEqual([])
    expect(code).toBe(0)
    expect(listing).toContain(`organisation ${toHex(vault.organisation)}`)
    expect(listing).toContain(`recording ${id} "Größe des Raumes", 2023-11-14 22:13`)
    expect(listing).toContain('manifest generation 1, shares 4 of 5, 3 needed')
    expect(listing).toContain('original "talk.mp4", video/mp4, 600000 bytes: fragments 4 of 5, 3 needed')
    expect(listing).toContain('decided to be deleted 2023-11-14 22:13: asked for')
  })

  it('is restored from plain copies of buckets, without folders in between', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, content, recording, manifest } = makeRecording(vault, { size: 3000 })
    vault.putDocument(1, recording, manifest)
    for (const folder of vault.folders.slice(0, 3))
      for (const prefix of ['f', 'm', 'card'])
        for (const shard of fs.readdirSync(path.join(folder, prefix))) {
          for (const name of fs.readdirSync(path.join(folder, prefix, shard)))
            fs.renameSync(path.join(folder, prefix, shard, name), path.join(folder, prefix, name))
          fs.rmdirSync(path.join(folder, prefix, shard))
        }
    const result = await run(vault, 'restore', '--out', path.join(root, 'out'), ...vault.folders.slice(0, 4))
    expect(result).toMatchObject({ code: 0, err: [] })
    expect(fs.readFileSync(path.join(root, 'out', id, 'talk.mp4')).equals(content)).toBe(true)
  })

  it('is not restored from two nodes, and the reasons are named', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, recording, manifest } = makeRecording(vault)
    vault.putDocument(1, recording, manifest)
    const listed = await run(vault, ...vault.folders.slice(0, 2))
    expect(listed.code).toBe(1)
    expect(listed.err.join('\n')).toContain(`manifest ${id} generation 1`)
    expect(listed.err.join('\n')).toContain('E_SHARES_TOO_FEW')
  })

  it('is restored by the script itself, with the key from a file', () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, content, recording, manifest } = makeRecording(vault, { size: 1000 })
    vault.putDocument(1, recording, manifest)
    const keyFile = path.join(root, 'key.txt')
    fs.writeFileSync(keyFile, `${recoveryText(vault.recovery).toUpperCase()}\n`)
    const args = ['restore', '--recovery-key-file', keyFile, '--out', path.join(root, 'out'), '--original-only']
    const printed = execFileSync(process.execPath, [SCRIPT, ...args, '--recording', id, ...vault.folders], {
      encoding: 'utf8',
    })
    expect(printed).toContain('talk.mp4, 1000 bytes')
    expect(fs.readdirSync(path.join(root, 'out', id))).toEqual(['talk.mp4'])
    expect(fs.readFileSync(path.join(root, 'out', id, 'talk.mp4')).equals(content)).toBe(true)
  })

  it('may be empty, and may be of suite 2', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, recording, manifest } = makeRecording(vault, { size: 0 })
    vault.putDocument(1, recording, manifest, { suite: 2 })
    const out = path.join(root, 'out')
    const result = await run(vault, 'restore', '--out', out, ...vault.folders)
    expect(result).toMatchObject({ code: 0, err: [] })
    expect(fs.statSync(path.join(out, id, 'talk.mp4')).size).toBe(0)
  })
})

describe('damage', () => {
  it('a flipped bit in a block is named by folder, object and code, and costs nothing', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, content, recording, manifest, original } = makeRecording(vault)
    vault.putDocument(1, recording, manifest)
    const [folder, name] = [vault.folders[1] ?? '', original.names[1] ?? '']
    flip(folder, name, 256 + 131_072 + 16 + 5)
    const checked = await run(vault, 'check', ...vault.folders)
    expect(checked.code).toBe(1)
    expect(checked.err).toEqual([`${folder} ${name} E_BLOCK_TAG: block of segment 1`])
    const restored = await run(vault, 'restore', '--out', path.join(root, 'out'), ...vault.folders)
    expect(restored.code).toBe(1)
    expect(restored.err).toEqual(checked.err)
    expect(fs.readFileSync(path.join(root, 'out', id, 'talk.mp4')).equals(content)).toBe(true)
  })

  it('different blocks may be missing from different nodes', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, content, recording, manifest, original } = makeRecording(vault)
    vault.putDocument(1, recording, manifest)
    const block = 131_072 + 16
    for (const [node, segment] of [
      [0, 0],
      [1, 0],
      [1, 1],
      [2, 1],
      [3, 2],
      [4, 2],
    ] as const)
      flip(vault.folders[node] ?? '', original.names[node] ?? '', 256 + segment * block)
    const restored = await run(vault, 'restore', '--out', path.join(root, 'out'), ...vault.folders)
    expect(restored.code).toBe(1)
    expect(fs.readFileSync(path.join(root, 'out', id, 'talk.mp4')).equals(content)).toBe(true)
  })

  it('a share with good tags that does not fit is found among the others and named', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, content, recording, manifest, original } = makeRecording(vault, { size: 3000 })
    vault.putDocument(1, recording, manifest)
    const [folder, name] = [vault.folders[0] ?? '', original.names[0] ?? '']
    forge(path.join(folder, name), original)
    const restored = await run(vault, 'restore', '--out', path.join(root, 'out'), ...vault.folders)
    expect(restored.err).toEqual([`${folder} ${name} E_SEGMENT_TAG: block of segment 0 does not fit the other shares`])
    expect(fs.readFileSync(path.join(root, 'out', id, 'talk.mp4')).equals(content)).toBe(true)
  })

  it('an asset that cannot be had stays out, the others come', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, small, recording, manifest, original } = makeRecording(vault)
    vault.putDocument(1, recording, manifest)
    for (const node of [0, 1, 2]) fs.rmSync(path.join(vault.folders[node] ?? '', original.names[node] ?? ''))
    const restored = await run(vault, 'restore', '--out', path.join(root, 'out'), ...vault.folders)
    expect(restored.code).toBe(1)
    expect(restored.err.join('\n')).toContain('E_SHARES_TOO_FEW: extent 0')
    expect(fs.readdirSync(path.join(root, 'out', id)).sort()).toEqual(['720p', 'poster'])
    expect(fs.readFileSync(path.join(root, 'out', id, '720p')).equals(small)).toBe(true)
  })

  it('a lost segment leaves a hole in FILE.part, never a FILE', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, content, recording, manifest, original } = makeRecording(vault)
    vault.putDocument(1, recording, manifest)
    for (const node of [0, 1, 2]) flip(vault.folders[node] ?? '', original.names[node] ?? '', 300)
    const restored = await run(vault, 'restore', '--out', path.join(root, 'out'), ...vault.folders)
    expect(restored.code).toBe(1)
    expect(fs.existsSync(path.join(root, 'out', id, 'talk.mp4'))).toBe(false)
    const part = fs.readFileSync(path.join(root, 'out', id, 'talk.mp4.part'))
    expect(part.subarray(0, 262_112).every((byte) => byte === 0)).toBe(true)
    expect(part.subarray(262_112).equals(content.subarray(262_112))).toBe(true)
  })

  it('a truncated fragment gives the blocks that it has', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, content, recording, manifest, original } = makeRecording(vault)
    vault.putDocument(1, recording, manifest)
    const file = path.join(vault.folders[2] ?? '', original.names[2] ?? '')
    fs.truncateSync(file, 256 + 131_088 + 100)
    flip(vault.folders[3] ?? '', original.names[3] ?? '', 300)
    flip(vault.folders[4] ?? '', original.names[4] ?? '', 300)
    const restored = await run(vault, 'restore', '--out', path.join(root, 'out'), ...vault.folders)
    expect(restored.code).toBe(1)
    expect(restored.err[0]).toContain(`${vault.folders[2]} ${original.names[2]} E_FORMAT_LENGTH`)
    expect(fs.readFileSync(path.join(root, 'out', id, 'talk.mp4')).equals(content)).toBe(true)
  })

  it('content that is not what the manifest says is refused', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, recording, assets } = makeRecording(vault, { size: 3000 })
    const wrong = { ...(assets[0] as object), sha256: random(32) }
    const short = { ...(assets[1] as object), contentBytes: 4999 }
    vault.putDocument(1, recording, vault.manifest(recording, [wrong, short]))
    const restored = await run(vault, 'restore', '--out', path.join(root, 'out'), ...vault.folders)
    expect(restored.err).toEqual([
      `- ${id} talk.mp4 E_FORMAT_FIELD: SHA-256 is not the manifest’s`,
      `- ${id} 720p E_FORMAT_FIELD: not zero beyond the content length`,
    ])
    expect(fs.existsSync(path.join(root, 'out', id, 'talk.mp4'))).toBe(false)
  })
})

/** Changes the first block of a fragment as a holder of the verify key could: with a good tag. */
function forge(file: string, asset: SealedAsset): void {
  const bytes = fs.readFileSync(file)
  const block = bytes.subarray(256, bytes.length - 16)
  block[7] = (block[7] ?? 0) ^ 0x40
  const info = cat('mosaik/v1/fragment', sha(bytes.subarray(0, 256)))
  const key = new Uint8Array(crypto.hkdfSync('sha256', asset.verifyKey, new Uint8Array(), info, 32))
  const cipher = crypto.createCipheriv('aes-256-gcm', key, be(0, 12))
  cipher.setAAD(block)
  cipher.final()
  cipher.getAuthTag().copy(bytes, bytes.length - 16)
  fs.writeFileSync(file, bytes)
}

/** Puts a manifest on all nodes; returns the SHA-256 of the sealed document. */
function putGeneration(vault: FixtureVault, recording: Uint8Array, manifest: ReturnType<FixtureVault['manifest']>) {
  const generation = manifest['generation'] as number
  const sealed = vault.sealDocument(1, recording, encodeCbor(manifest), generation)
  vault.documentShares(1, recording, sealed, { generation }).forEach((share, i) => vault.object(i, 'm', share))
  return sha(sealed)
}

describe('manifests and trust', () => {
  it('a share of an untrusted signer is refused and named', async () => {
    const vault = new FixtureVault(temporary())
    const { recording, manifest } = makeRecording(vault, { size: 100 })
    vault.putDocument(1, recording, manifest)
    const forged = vault.putDocument(1, recording, vault.manifest(recording, [], 9), {
      generation: 9,
      signer: signingKeys(random(32)),
    })
    const { code, out, err } = await run(vault, 'list', ...vault.folders)
    expect(code).toBe(1)
    expect(out.join('\n')).toContain('manifest generation 1, shares 5 of 5')
    expect(err).toHaveLength(5)
    forged.forEach((name, i) => expect(err[i]).toContain(`${vault.folders[i]} ${name} E_CARD_UNTRUSTED`))
  })

  it('a share with a broken signature is refused and named, by either half of the pair', async () => {
    const vault = new FixtureVault(temporary())
    const { recording, manifest } = makeRecording(vault, { size: 100 })
    const names = vault.putDocument(1, recording, manifest)
    const size = fs.statSync(path.join(vault.folders[0] ?? '', names[0] ?? '')).size
    flip(vault.folders[0] ?? '', names[0] ?? '', size - 3373 + 3)
    flip(vault.folders[4] ?? '', names[4] ?? '', size - 100)
    const { code, out, err } = await run(vault, 'check', ...vault.folders)
    expect(code).toBe(1)
    expect(out[0]).toBe('1 trusted cards, 3 of 5 shares verified')
    expect(err.map((line) => line.split(': ')[0])).toEqual([
      `${vault.folders[0]} ${names[0]} E_SIGNATURE`,
      `${vault.folders[4]} ${names[4]} E_SIGNATURE`,
    ])
  })

  it('the highest generation that is whole is taken, a higher incomplete one is reported', async () => {
    const vault = new FixtureVault(temporary())
    const { id, recording, assets, manifest } = makeRecording(vault, { size: 100 })
    const previous = putGeneration(vault, recording, manifest)
    putGeneration(vault, recording, { ...vault.manifest(recording, assets, 2), previous })
    vault.putDocument(1, recording, vault.manifest(recording, assets, 3), { generation: 3, nodes: [0, 4] })
    const { code, out, err } = await run(vault, ...vault.folders)
    expect(code).toBe(1)
    expect(out.join('\n')).toContain('manifest generation 2, shares 5 of 5')
    expect(out.join('\n')).toContain(`recording ${id} generation 3 is not readable: E_SHARES_TOO_FEW`)
    expect(err).toHaveLength(1)
    expect(err[0]).toContain('E_SHARES_TOO_FEW: 2 shares, 3 needed')
  })

  it('a generation in between that was never committed does not matter', async () => {
    const vault = new FixtureVault(temporary())
    const { recording, assets, manifest } = makeRecording(vault, { size: 100 })
    const previous = putGeneration(vault, recording, { ...manifest, generation: 2 })
    putGeneration(vault, recording, { ...vault.manifest(recording, assets, 3), previous })
    putGeneration(vault, recording, { ...vault.manifest(recording, assets, 5), previous })
    const { code, out, err } = await run(vault, ...vault.folders)
    expect(err).toEqual([])
    expect(code).toBe(0)
    expect(out.join('\n')).toContain('manifest generation 5, shares 5 of 5')
  })

  it('lower generations that the newest does not follow are warned of, and nothing is refused', async () => {
    const vault = new FixtureVault(temporary())
    const { id, recording, assets, manifest } = makeRecording(vault, { size: 100 })
    putGeneration(vault, recording, manifest)
    putGeneration(vault, recording, { ...vault.manifest(recording, assets, 2), previous: null })
    vault.putDocument(1, recording, vault.manifest(recording, assets, 3), { generation: 3, nodes: [1, 2] })
    putGeneration(vault, recording, vault.manifest(recording, assets, 4))
    const state = new Uint8Array(16)
    for (const generation of [1, 3]) vault.putDocument(2, state, vault.state(generation), { generation })
    const { code, out, err } = await run(vault, ...vault.folders)
    const organisation = toHex(vault.organisation)
    expect(err).toEqual([
      `warning: manifest ${id} generation 4 names none of the lower generations that are there (2, 1) as its previous one`,
      `warning: state ${organisation} generation 3 names none of the lower generations that are there (1) as its previous one`,
    ])
    expect(code).toBe(0)
    expect(out.join('\n')).toContain('manifest generation 4, shares 5 of 5')
    expect(out.join('\n')).toContain('state generation 3, shares 5 of 5')
  })

  it('shares of two generations or sharings are not combined', () => {
    const vault = new FixtureVault(temporary())
    const recording = random(16)
    const first = vault.sealDocument(1, recording, encodeCbor(vault.manifest(recording, [])))
    const signers = [{ ...vault.signer.publicKeys, id: vault.signer.id, organisation: vault.organisation }]
    const open = (bytes: Uint8Array) => reader.verifyDocumentShare(bytes, signers)
    const one = vault.documentShares(1, recording, first).map(open)
    const two = vault.documentShares(1, recording, first, { generation: 2 }).map(open)
    const other = vault.documentShares(1, recording, first).map(open)
    const pick = (...shares: (typeof one)[number][]) => codeOf(() => reader.combineDocumentShares(shares))
    const [a, b, c, d, e] = one as [(typeof one)[0], (typeof one)[0], (typeof one)[0], (typeof one)[0], (typeof one)[0]]
    expect(toHex(reader.combineDocumentShares([e, a, c]))).toBe(toHex(first))
    expect(pick(a, b)).toBe('E_SHARES_TOO_FEW')
    expect(pick(a, b, b)).toBe('E_SHARES_MIXED')
    expect(pick(a, b, two[3] ?? d)).toBe('E_SHARES_MIXED')
    expect(pick(a, b, other[3] ?? d)).toBe('E_SHARES_MIXED')
    expect(codeOf(() => reader.combineDocumentShares([]))).toBe('E_SHARES_TOO_FEW')
  })

  it('a document whose shares say something else than its header is refused', async () => {
    const vault = new FixtureVault(temporary())
    const recording = random(16)
    const sealed = vault.sealDocument(1, recording, encodeCbor(vault.manifest(recording, [])))
    vault.documentShares(1, recording, sealed, { generation: 4 }).forEach((share, i) => vault.object(i, 'm', share))
    const { err } = await run(vault, ...vault.folders)
    expect(err[0]).toContain('E_FORMAT_FIELD: generation of the document is not the share’s')
  })

  it('a card that is longer than cards can be is not read any further', () => {
    const card = (bytes: number) => cat('MOSAIKVC', be(1, 2), be(bytes - 14 - 3373, 4), new Uint8Array(bytes - 14))
    expect(codeOf(() => reader.decodeVaultCard(card(65_536)))).toBe('E_FORMAT_CBOR')
    expect(codeOf(() => reader.decodeVaultCard(card(65_537)))).toBe('E_FORMAT_LENGTH')
  })

  it('a chain of cards is trusted link by link, and only by previous, epoch and signature', () => {
    const vault = new FixtureVault(temporary())
    const [second, third, stranger] = [signingKeys(random(32)), signingKeys(random(32)), signingKeys(random(32))]
    const one = vault.card(1, vault.signer, null, vault.root)
    const two = vault.card(2, second, sha(one), vault.signer)
    const three = vault.card(3, third, sha(two), second)
    const skipped = vault.card(4, third, sha(two), second)
    const elsewhere = vault.card(2, third, random(32), vault.signer)
    const strange = vault.card(2, stranger, sha(one), stranger)
    const broken = two.slice()
    broken[broken.length - 1] = (broken[broken.length - 1] ?? 0) ^ 1
    const cards = [three, skipped, elsewhere, two, strange, one, broken]
    const { trusted, refused, signers } = reader.trustCards(cards, vault.recovery)
    expect(trusted.map(({ position }) => position)).toEqual([5, 3, 0])
    expect(signers.map(({ id }) => toHex(id))).toEqual([vault.signer, second, third].map(({ id }) => toHex(id)))
    expect(refused.map(({ position, error }) => [position, error.code]).sort()).toEqual([
      [1, 'E_CARD_UNTRUSTED'],
      [2, 'E_CARD_UNTRUSTED'],
      [4, 'E_CARD_UNTRUSTED'],
      [6, 'E_SIGNATURE'],
    ])
    expect(reader.trustCards(cards, random(32)).trusted).toEqual([])
    expect(codeOf(() => checkVector('vault-card', two, { recoverySeed: vault.recovery }))).toBe('E_CARD_UNTRUSTED')
    expect(codeOf(() => checkVector('vault-card', two, { recoverySeed: vault.recovery, cards: [one] }))).toBe('none')
  })

  it('shares of the second epoch are read, those of another organisation are only counted', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const next = signingKeys(random(32))
    vault.putCard(2, next, vault.cardHash, vault.signer)
    const { recording, manifest } = makeRecording(vault, { size: 100 })
    vault.putDocument(1, recording, manifest, { signer: next })
    const other = new FixtureVault(root)
    const theirs = makeRecording(other, { size: 100 })
    other.putDocument(1, theirs.recording, theirs.manifest)
    const { code, out, err } = await run(vault, ...vault.folders)
    expect(err).toEqual([])
    expect(code).toBe(0)
    expect(out.join('\n')).toContain('of organisations that this key is not for: 1 cards, 5 shares')
    expect(out.join('\n')).toContain('10 fragments of 2 attempts that no readable manifest lists')
  })
})

describe('hostile folders', () => {
  it('names from the manifest stay below the output folder', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const recording = random(16)
    const [a, b, c] = [random(10), random(20), random(30)]
    const assets = [
      inlineAsset(a, 'original', 'video/mp4', '../../../evil'),
      inlineAsset(b, 'captions', 'text/vtt', 'de'),
      inlineAsset(c, 'captions', 'text/vtt', 'DE'),
      inlineAsset(c, 'captions', 'text/vtt', '/'),
      inlineAsset(c, 'captions', 'text/vtt', '..'),
      inlineAsset(c, 'captions', 'text/vtt', 'a.part'),
    ]
    vault.putDocument(1, recording, vault.manifest(recording, assets))
    const out = path.join(root, 'a', 'b', 'out')
    const { code } = await run(vault, 'restore', '--out', out, ...vault.folders)
    expect(code).toBe(0)
    expect(fs.readdirSync(path.join(root, 'a', 'b'))).toEqual(['out'])
    expect(fs.readdirSync(out)).toEqual([toHex(recording)])
    const names = fs.readdirSync(path.join(out, toHex(recording)))
    expect(names).toHaveLength(6)
    expect(names).toContain('_.._.._evil')
    expect(names).toContain('a.part_')
    expect(names.some((name) => name.endsWith('-1-de')) && names.some((name) => name.endsWith('-2-DE'))).toBe(true)
  })

  it('links, pipes, strays and garbage are not read as objects and do not stop anything', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, content, recording, manifest, original } = makeRecording(vault, { size: 2000 })
    vault.putDocument(1, recording, manifest)
    const folder = vault.folders[0] ?? ''
    const secret = path.join(root, 'secret')
    fs.copyFileSync(path.join(folder, original.names[0] ?? ''), secret)
    const linked = 'ab'.repeat(16)
    fs.mkdirSync(path.join(folder, 'f', 'ab'), { recursive: true })
    fs.symlinkSync(secret, path.join(folder, 'f', 'ab', linked))
    fs.symlinkSync(root, path.join(folder, 'f', 'zz'))
    execFileSync('mkfifo', [path.join(folder, 'f', 'ab', `${linked.slice(0, -2)}cd`)])
    fs.writeFileSync(path.join(folder, 'f', 'ab', 'README'), 'x')
    const garbage = vault.object(0, 'f', random(1000))
    const empty = vault.object(0, 'm', new Uint8Array())
    const card = vault.object(0, 'card', random(50), toHex(random(32)))
    const { code, err } = await run(vault, 'restore', '--out', path.join(root, 'out'), ...vault.folders)
    expect(code).toBe(1)
    const problems = err.filter((line) => !line.startsWith('warning'))
    expect(problems.map((line) => line.split(':')[0])).toEqual([
      `${folder} ${card} E_FORMAT_FIELD`,
      `${folder} ${card} E_FORMAT_MAGIC`,
      `${folder} ${empty} E_FORMAT_MAGIC`,
      `${folder} ${garbage} E_FORMAT_MAGIC`,
    ])
    expect(err.filter((line) => line.startsWith('warning'))).toHaveLength(4)
    expect(fs.readFileSync(path.join(root, 'out', id, 'talk.mp4')).equals(content)).toBe(true)
  })

  it('nothing is overwritten', async () => {
    const root = temporary()
    const vault = new FixtureVault(root)
    const { id, recording, manifest } = makeRecording(vault, { size: 10 })
    vault.putDocument(1, recording, manifest)
    const target = path.join(root, 'out', id, 'talk.mp4')
    fs.mkdirSync(path.dirname(target), { recursive: true })
    fs.writeFileSync(target, 'mine')
    const { code } = await run(vault, 'restore', '--out', path.join(root, 'out'), ...vault.folders)
    expect(code).toBe(1)
    expect(fs.readFileSync(target, 'utf8')).toBe('mine')
  })
})

describe('command line', () => {
  it('refuses what it does not know with exit code 2', async () => {
    const vault = new FixtureVault(temporary())
    for (const args of [
      [],
      ['restore', 'node'],
      ['list', '--out', 'x', 'node'],
      ['restore', '--out', 'x', '--recording', '../x', 'node'],
      ['list', '--recovery-key', 'x', 'node'],
      ['list', '--recovery-key-file', 'no-such-file', 'node'],
    ])
      expect((await run(vault, ...args)).code).toBe(2)
    const io = { out: () => undefined, err: () => undefined, env: { MOSAIK_RECOVERY_KEY: 'mosaik-recovery-1-x' } }
    expect(await reader.main(['node'], io)).toBe(2)
  })

  it('reads a recovery key as people type it', () => {
    const seed = random(32)
    const text = recoveryText(seed)
    const digits = text.slice('mosaik-recovery-1-'.length).replaceAll('-', '')
    for (const typed of [text, text.toUpperCase(), `  mosaik recovery 1 ${digits}\n`, `mosaik-recovery-1-${digits}`])
      expect(toHex(reader.decodeRecoveryKey(typed))).toBe(toHex(seed))
    const last = digits.at(-1) === 'a' ? 'e' : 'a'
    for (const typed of [
      '',
      digits,
      text.replace('-1-', '-2-'),
      text.slice(0, -1),
      `${text}a`,
      text.slice(0, -1) + last,
    ])
      expect(codeOf(() => reader.decodeRecoveryKey(typed))).toBe('E_RECOVERY_KEY')
    const loose = 'abcdefghijklmnopqrstuvwxyz234567'
    const odd = loose[loose.indexOf(digits.at(-1) ?? '') + 1] ?? ''
    expect(codeOf(() => reader.decodeRecoveryKey(text.slice(0, -1) + odd))).toBe('E_RECOVERY_KEY')
  })
})

describe('checks and their order, §14', () => {
  let vault: FixtureVault
  let valid: { [K in keyof typeof decoders]?: Uint8Array }

  beforeAll(() => {
    vault = new FixtureVault(temporary())
    const recording = random(16)
    const { value, names } = vault.putAsset(recording, random(10), { kind: 'original', mediaType: 'a/b', name: 'x' })
    const manifest = vault.manifest(recording, [value])
    const sealed = vault.sealDocument(1, recording, encodeCbor(manifest))
    const receiptBody = encodeCbor(receipt())
    const signedReceipt = cat('MOSAIKRC', be(1, 2), be(receiptBody.length, 4), receiptBody)
    valid = {
      'asset-header': (value as { sealed: { header: Uint8Array } }).sealed.header,
      'fragment-header': fs.readFileSync(path.join(vault.folders[0] ?? '', names[0] ?? '')).subarray(0, 256),
      'document-header': sealed.slice(0, 85),
      'sealed-document': sealed,
      'document-share': vault.documentShares(1, recording, sealed)[0] ?? sealed,
      'vault-card': vault.card(1, vault.signer, null, vault.root),
      receipt: cat(signedReceipt, vault.signer.sign(signedReceipt, 'mosaik/v1/receipt')),
      'node-marker': cat('MOSAIKNM', be(1, 2), random(32)),
      manifest: encodeCbor(manifest),
      state: encodeCbor(vault.state()),
      'spool-header': cat('MOSAIKSP', be(1, 2), be(1, 1), be(0, 1), random(16), be(3, 4), be(0, 8), random(16)),
    }
  })

  const receipt = () => ({
    installation: vault.installation,
    organisation: vault.organisation,
    recording: random(16),
    asset: random(16),
    attempt: random(16),
    contentBytes: 10,
    commitment: random(32),
    generation: 1,
    k: 3,
    n: 5,
    t: 1,
    fragmentsVerified: 4,
    manifestSharesVerified: 5,
    issuedAtMs: 1,
    signer: vault.signer.id,
  })

  const changed = (kind: keyof typeof valid, at: number, ...bytes: number[]): Uint8Array => {
    const copy = Uint8Array.from(valid[kind] ?? [])
    copy.set(bytes, at)
    return copy
  }

  it('what is right is taken', () => {
    for (const [kind, bytes] of Object.entries(valid))
      expect([kind, codeOf(() => checkVector(kind, bytes))]).toEqual([kind, 'none'])
  })

  it('magic, version and length of every binary kind', () => {
    for (const [kind, bytes] of Object.entries(valid)) {
      if (kind === 'manifest' || kind === 'state') continue
      const name = kind as keyof typeof valid
      const check = (b: Uint8Array) => [kind, codeOf(() => checkVector(kind, b))]
      expect(check(changed(name, 0, 0))).toEqual([kind, 'E_FORMAT_MAGIC'])
      expect(check(changed(name, 7, 0, 9, 9))).toEqual([kind, 'E_FORMAT_MAGIC'])
      expect(check(bytes.subarray(0, 7))).toEqual([kind, 'E_FORMAT_MAGIC'])
      expect(check(bytes.subarray(0, 9))).toEqual([kind, 'E_FORMAT_LENGTH'])
      expect(check(changed(name, 9, 2).subarray(0, 30))).toEqual([kind, 'E_FORMAT_VERSION'])
      if (kind === 'sealed-document') continue // its end is where the document ends
      expect(check(cat(bytes, be(0, 1)))).toEqual([kind, 'E_FORMAT_LENGTH'])
      expect(check(bytes.subarray(0, -1))).toEqual([kind, 'E_FORMAT_LENGTH'])
    }
  })

  it('suite, fields and scheme', () => {
    const check = (kind: keyof typeof valid, at: number, ...bytes: number[]) =>
      codeOf(() => checkVector(kind, changed(kind, at, ...bytes)))
    expect(check('asset-header', 74, 1)).toBe('E_FORMAT_FIELD')
    expect(check('fragment-header', 11, 2)).toBe('E_SUITE_UNKNOWN')
    expect(check('fragment-header', 53, 0x1d)).toBe('E_FORMAT_FIELD')
    expect(check('fragment-header', 57, 1)).toBe('E_FORMAT_FIELD')
    expect(check('fragment-header', 255, 1)).toBe('E_FORMAT_FIELD')
    expect(check('fragment-header', 48, 5)).toBe('E_SCHEME_INVALID')
    expect(check('fragment-header', 49, 1)).toBe('E_SCHEME_INVALID')
    expect(check('fragment-header', 50, 33)).toBe('E_SCHEME_INVALID')
    expect(check('fragment-header', 51, 3)).toBe('E_SCHEME_INVALID')
    expect(check('document-header', 10, 3)).toBe('E_FORMAT_FIELD')
    expect(check('document-header', 10, 2)).toBe('E_FORMAT_FIELD')
    expect(check('document-header', 11, 3)).toBe('E_SUITE_UNKNOWN')
    expect(check('document-header', 44, 0, 0, 0, 0, 0, 0, 0, 0)).toBe('E_FORMAT_FIELD')
    expect(check('document-header', 44, 255)).toBe('E_FORMAT_FIELD')
    expect(check('document-header', 52, 3)).toBe('E_FORMAT_LENGTH')
    const lonely = changed('document-header', 52, 1).subarray(0, 69)
    expect(codeOf(() => checkVector('document-header', lonely))).toBe('E_FORMAT_FIELD')
    expect(check('document-share', 71, 1)).toBe('E_FORMAT_FIELD')
    expect(check('document-share', 68, 5)).toBe('E_SCHEME_INVALID')
    expect(check('document-share', 76, 1)).toBe('E_FORMAT_LENGTH')
    expect(check('spool-header', 10, 9)).toBe('E_SUITE_UNKNOWN')
    expect(check('spool-header', 11, 1)).toBe('E_FORMAT_FIELD')
  })

  it('keys and tags of a sealed document', () => {
    const sealed = valid['sealed-document'] ?? new Uint8Array()
    const context = { recoverySeed: vault.recovery }
    const check = (at: number) => codeOf(() => checkVector('sealed-document', flipped(sealed, at), context))
    const flipped = (bytes: Uint8Array, at: number) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))
    const recovery = 85 + 1168
    expect(codeOf(() => checkVector('sealed-document', sealed, context))).toBe('none')
    expect(codeOf(() => checkVector('sealed-document', sealed, { recoverySeed: random(32) }))).toBe('E_HPKE_OPEN')
    expect(check(60)).toBe('E_HPKE_OPEN') // key id of the vault: additional data of the wrapped key
    expect(check(recovery)).toBe('E_HPKE_OPEN')
    expect(check(recovery + 1120)).toBe('E_HPKE_OPEN')
    expect(check(recovery + 1168 + 20)).toBe('E_HEADER_TAG')
    expect(check(recovery + 1168 + 2)).toBe('E_FORMAT_FIELD')
    expect(check(recovery + 1168 + 74)).toBe('E_SEGMENT_TAG')
    expect(check(sealed.length - 1)).toBe('E_SEGMENT_TAG')
    expect(codeOf(() => checkVector('sealed-document', sealed.subarray(0, -1), context))).toBe('E_SEGMENT_TAG')
    expect(codeOf(() => checkVector('sealed-document', sealed.subarray(0, 85 + 2 * 1168 + 80)))).toBe('E_FORMAT_LENGTH')
  })

  it('receipts: counts, scheme and signer', () => {
    const signers = [{ ...vault.signer.publicKeys, id: vault.signer.id, organisation: vault.organisation }]
    const check = (changes: object, by = vault.signer) => {
      const body = encodeCbor({ ...receipt(), ...changes })
      const signed = cat('MOSAIKRC', be(1, 2), be(body.length, 4), body)
      return codeOf(() => checkVector('receipt', cat(signed, by.sign(signed, 'mosaik/v1/receipt')), { signers }))
    }
    expect(check({})).toBe('none')
    expect(check({ fragmentsVerified: 3 })).toBe('E_FORMAT_FIELD')
    expect(check({ k: 5, n: 5, fragmentsVerified: 5 })).toBe('none')
    expect(check({ t: 3 })).toBe('E_SCHEME_INVALID')
    expect(check({ signer: random(16) })).toBe('E_CARD_UNTRUSTED')
    expect(check({}, signingKeys(random(32)))).toBe('E_SIGNATURE')
    expect(check({ k: null })).toBe('E_FORMAT_CBOR')
  })

  it('manifests: keys, types, and what must agree', () => {
    const recording = random(16)
    const { value } = vault.putAsset(recording, random(10), { kind: 'original', mediaType: 'a/b', name: 'x' })
    const asset = value as { sealed: { header: Uint8Array } }
    const check = (changes: object, assetChanges: object = {}) => {
      const manifest = { ...vault.manifest(recording, [{ ...asset, ...assetChanges }]), ...changes }
      return codeOf(() => reader.decodeManifest(encodeCbor(manifest)))
    }
    expect(check({})).toBe('none')
    expect(check({ extra: 1 })).toBe('E_FORMAT_CBOR')
    expect(check({ title: 1 })).toBe('E_FORMAT_CBOR')
    expect(check({ salt: random(31) })).toBe('E_FORMAT_CBOR')
    expect(check({ generation: 2 })).toBe('none')
    expect(check({ previous: random(32) })).toBe('E_FORMAT_FIELD')
    expect(check({ retention: { mode: 'x', retainUntilMs: null, deleteByMs: null } })).toBe('E_FORMAT_FIELD')
    expect(check({ recording: random(16) })).toBe('E_FORMAT_FIELD')
    expect(check({}, { kind: 'x' })).toBe('E_FORMAT_FIELD')
    expect(check({}, { inline: random(10) })).toBe('E_FORMAT_FIELD')
    expect(check({}, { sealed: null })).toBe('E_FORMAT_FIELD')
    expect(check({}, { contentBytes: 11 })).toBe('E_FORMAT_FIELD')
    expect(check({}, { sealed: { ...asset.sealed, verifyKeys: [] } })).toBe('E_FORMAT_FIELD')
    expect(check({}, { sealed: { ...asset.sealed, sealedBytes: 262_160 } })).toBe('E_FORMAT_FIELD')
    expect(check({}, { sealed: { ...asset.sealed, header: random(84) } })).toBe('E_FORMAT_MAGIC')
    const without = vault.manifest(recording, [])
    delete without['title']
    expect(codeOf(() => reader.decodeManifest(encodeCbor(without)))).toBe('E_FORMAT_CBOR')
  })
})

describe('CBOR, §1', () => {
  it('takes deterministic items', () => {
    const value = { a: 1, b: [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32, Number.MAX_SAFE_INTEGER], aa: null, c: 'ü' }
    const decoded = reader.decodeCbor(encodeCbor(value)) as Map<string, unknown>
    expect([...decoded.keys()]).toEqual(['a', 'b', 'c', 'aa'])
    expect(decoded.get('b')).toEqual(value.b)
  })

  it('refuses everything else', () => {
    const bad = [
      '', // nothing
      '0000', // two items
      '1817', // 23 in two bytes
      '190018', // 24 in three bytes
      '1a0000ffff',
      '1b00000000ffffffff',
      '1b0020000000000000', // 2^53
      '20', // negative
      '5f4100ff', // indefinite
      '9fff',
      'bfff',
      'c100', // tag
      'f4', // false
      'f7', // undefined
      'f90000', // floating point
      'f8f6', // null in two bytes
      '4200', // cut off
      '61ff', // not UTF-8
      '63eda080', // surrogate
      'a10000', // key that is not text
      'a2616100616100', // double key
      'a2616200616100', // unsorted
      'a262616100616200', // longer key first
      '9b001fffffffffffff', // more items than bytes
      '81'.repeat(10_000), // very deep
    ]
    for (const item of bad) {
      const bytes = Uint8Array.from(Buffer.from(item, 'hex'))
      expect([item, codeOf(() => reader.decodeCbor(bytes))]).toEqual([item, 'E_FORMAT_CBOR'])
    }
  })
})

describe('dispersal and FLOE', () => {
  it('any k of n shares restore, for many schemes', () => {
    for (const [k, n, t] of [
      [2, 2, 0],
      [2, 5, 1],
      [3, 6, 0],
      [3, 6, 1],
      [3, 6, 2],
      [4, 8, 2],
      [5, 8, 0],
    ] as const) {
      const data = random(16 * (k - t) - 3)
      const shares = splitData(data, 16, k, n, t).map((bytes, index) => ({ index, bytes }))
      for (let mask = 0; mask < 2 ** n; mask++) {
        const chosen = shares.filter((_, i) => (mask >> i) & 1)
        if (chosen.length !== k) continue
        expect(toHex(reader.combineFragments(chosen, { k, n, t }, data.length))).toBe(toHex(data))
      }
    }
  })

  it('the last of 32 shares with 16 needed', () => {
    const data = random(256)
    const shares = splitData(data, 32, 16, 32, 8).map((bytes, index) => ({ index, bytes }))
    expect(toHex(reader.combineFragments(shares.slice(16), { k: 16, n: 32, t: 8 }, 256))).toBe(toHex(data))
  })

  it('blocks lie where §4 says, in the first and in the second extent', () => {
    const scheme = { k: 4, n: 6, t: 1 }
    const sealedBytes = 262_144 * 8193 + 33 // inner block 128 * ceil(262144 / 384) = 87424
    expect(reader.blockPlace(0, sealedBytes, scheme)).toEqual({ offset: 256, length: 87_424 })
    expect(reader.blockPlace(8191, sealedBytes, scheme)).toEqual({ offset: 256 + 8191 * 87_440, length: 87_424 })
    expect(reader.blockPlace(8192, sealedBytes, scheme)).toEqual({ offset: 256, length: 87_424 })
    expect(reader.blockPlace(8193, sealedBytes, scheme)).toEqual({ offset: 256 + 87_440, length: 16 })
  })

  it('segments do not move, and the last one is the last one', () => {
    const [key, aad] = [random(32), random(32)]
    const { header, segments } = floeSeal(key, aad, random(300_000))
    const [first, second] = segments as [Uint8Array, Uint8Array]
    const keys = reader.floeKeys(key, header, aad)
    expect(reader.openSegment(keys, 0, false, first)).toHaveLength(262_112)
    expect(reader.openSegment(keys, 1, true, second)).toHaveLength(300_000 - 262_112)
    expect(codeOf(() => reader.openSegment(keys, 1, false, first))).toBe('E_SEGMENT_TAG')
    expect(codeOf(() => reader.openSegment(keys, 0, true, first))).toBe('E_SEGMENT_TAG')
    expect(codeOf(() => reader.openSegment(keys, 1, false, second))).toBe('E_SEGMENT_TAG')
    expect(codeOf(() => reader.floeKeys(random(32), header, aad))).toBe('E_HEADER_TAG')
    expect(codeOf(() => reader.floeKeys(key, header, random(32)))).toBe('E_HEADER_TAG')
  })

  it('the root keys of writer and reader agree', () => {
    const seed = random(32)
    const { publicKeys, id } = rootKeys(seed)
    const pair = reader.signingPair(reader.rootSigningSeed(seed))
    expect(toHex(pair.mldsa65)).toBe(toHex(publicKeys.mldsa65))
    expect(toHex(reader.signerId(pair))).toBe(toHex(id))
  })
})
