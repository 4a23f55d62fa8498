import { execFileSync } from 'node:child_process'
import { hkdfSync, randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLinks } from '../../../src/access/links.ts'
import { createArgon2Passcodes } from '../../../src/adapters/argon2-passcode.ts'
import { createFfmpegTool } from '../../../src/adapters/ffmpeg/tool.ts'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import type { Id } from '../../../src/domain/ids.ts'
import { commitState } from '../../../src/pipeline/commit-state.ts'
import type { Random } from '../../../src/ports/system.ts'
import { collect } from '../../../src/upkeep/blind/collect.ts'
import { makeTestVault, type TestVault } from '../../support/test-vault.ts'

const never = new AbortController().signal
const CANARY = 'THE-CANARY-OF-THE-CONTENT-SINGS-IN-NO-FILE'
const CAPTION = 'nobody but the entitled reads this sentence'

/**
 * Remembers what the vault drew. Of 32 bytes: keys and seeds (keyring, DEK, verify key, document key, salt of the manifest, link grants) and
 * the IV of content's FLOE header, which lies in the sealed manifest: none may be found. Of 64: what encapsulates a document key. Other lengths
 * are public by design: ids and names of 16, nonces of 12, IV and nonces of a sealed document together (44 and more), samples of a probe.
 */
class RecordingRandom implements Random {
  readonly secrets = new Map<string, Buffer>()
  readonly #real = nodeRandom()
  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#real.bytes(length)
    if (length === 32 || length === 64) this.#keep(`bytes(${length})`, bytes)
    return bytes
  }
  /** Keys of random rows; of other lengths they are rows themselves, which are the first shares of a document. */
  entropy(length: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#real.entropy(length)
    if (length === 32) this.#keep('entropy(32)', bytes)
    return bytes
  }
  fraction = (): number => this.#real.fraction()
  #keep(what: string, bytes: Uint8Array): void {
    this.secrets.set(`${what} number ${this.secrets.size}`, Buffer.from(bytes.slice(0, 32)))
  }
}

/** The forms in which a secret might lie somewhere: as it is, hexadecimal, base64 at each of its three alignments. */
function forms(secret: Buffer): Buffer[] {
  const text = [secret.toString('hex'), secret.toString('hex').toUpperCase()]
  for (const shift of [0, 1, 2]) {
    const coded = Buffer.concat([Buffer.alloc(shift), secret, Buffer.alloc(2)]).toString('base64')
    // Without the characters that the neighbours have a part in.
    const inner = coded.slice(shift === 0 ? 0 : 4, 4 * Math.floor((shift + secret.length) / 3))
    text.push(inner, inner.replaceAll('+', '-').replaceAll('/', '_'))
  }
  return [secret, ...text.map((one) => Buffer.from(one))]
}

function* filesOf(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) yield* filesOf(path)
    else if (entry.isFile()) yield path
  }
}

let vault: TestVault
let outside: string
let scanned: string[]
let film: Buffer
let recording: Id
const random = new RecordingRandom()
const secrets = new Map<string, Buffer>()
const logged: string[] = []
const temporary = process.env['TMPDIR']

beforeAll(async () => {
  // The film comes from elsewhere; everything that the vault and its tools write is searched.
  outside = mkdtempSync(join(tmpdir(), 'mosaik-outside-'))
  const scratch = join(outside, 'scratch')
  mkdirSync(scratch)
  process.env['TMPDIR'] = scratch
  const note = (event: string, fields = {}): void => void logged.push(`${event} ${JSON.stringify(fields)}`)
  const log = { info: note, warn: note, error: note }
  vault = await makeTestVault({
    random,
    log,
    media: await createFfmpegTool({ clock: nodeClock, random: nodeRandom(), log }),
  })
  const path = join(outside, 'meeting.mp4')
  const source = '-f lavfi -i testsrc2=size=320x180:rate=10:duration=2 -f lavfi -i sine=duration=2'
  const coding = '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 20 -c:a aac'
  execFileSync('ffmpeg', ['-v', 'error', '-y', ...source.split(' '), ...coding.split(' '), path])
  appendFileSync(path, freeBox(Buffer.from(`${CANARY} `.repeat(8000))))
  film = readFileSync(path)
  const captionsPath = join(outside, 'meeting.vtt')
  writeFileSync(captionsPath, `WEBVTT\n\n00:00.000 --> 00:01.000\n${CAPTION}\n`)
  recording = await vault.deposit(path, { ...(await describeFile(path)), captionsPaths: [captionsPath] })
  // One run that is broken off on the way, too: its remains are searched as well.
  const shutdown = new AbortController()
  const work = await vault.workOf(recording, 'store')
  const broken = vault.runOnce(work, shutdown.signal)
  await nodeClock.sleep(15)
  shutdown.abort()
  await broken
  await vault.runDue()
  await commitState({ ...vault, location: () => 'a folder' }, vault.organisation, never)

  const links = createLinks({
    ...{ catalog: vault.links, keyring: vault.keyring, clock: vault.clock, random },
    passcodes: createArgon2Passcodes(random),
  })
  const { token, link } = await links.create({ organisation: vault.organisation, recording })
  secrets.set('link token', Buffer.from(token))
  const { grant, cookieSecret } = (await links.exchange(token))!
  secrets.set('session grant', Buffer.from(grant))
  secrets.set('session secret', Buffer.from(cookieSecret))
  expect(link.recording).toBe(recording)

  const opened = await vault.reader.open(vault.organisation, recording, 'play', never)
  for (const asset of opened.manifest.assets) {
    secrets.set(`SHA-256 of ${asset.name}`, Buffer.from(asset.sha256))
    if (!asset.sealed) continue
    secrets.set(`DEK of ${asset.name}`, Buffer.from(asset.sealed.dek))
    for (const key of asset.sealed.verifyKeys) secrets.set(`verify key of ${asset.name}`, Buffer.from(key))
    // What a player gets is searched for, too: not only what was put in.
    const chunks: Uint8Array[] = []
    for await (const chunk of opened.asset(asset.id).read(0, asset.contentBytes, never)) chunks.push(chunk)
    const content = Buffer.concat(chunks)
    for (let i = 0; i < 20; i++) {
      const at = Math.floor((content.length - 32) * (i / 20))
      const sample = content.subarray(at, at + 32)
      if (new Set(sample).size > 12) secrets.set(`${asset.name} at ${at}`, sample)
    }
  }
  secrets.set('salt', Buffer.from(opened.manifest.salt))
  secrets.set('recovery seed', Buffer.from((await vault.keyring.pendingRecoverySeed(vault.organisation))!))
  for (const [name, secret] of random.secrets) {
    secrets.set(name, secret)
    // A seed's children: the KEM seeds and signing seeds of docs/FORMAT.md §8.
    for (const info of ['mosaik/v1/vault/kem/\x01', 'mosaik/v1/recovery/kem/\x01', 'mosaik/v1/sign/ed25519']) {
      secrets.set(`${name} → ${info}`, Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(32), info, 32)))
    }
  }
  // The vault's folder may lie in memory, beside the scratch.
  scanned = [...new Set([...filesOf(scratch), ...filesOf(vault.folder)])]
  expect(scanned.some((path) => path.startsWith(vault.folder))).toBe(true)
})
afterAll(async () => {
  if (temporary === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = temporary
  await vault.close()
  rmSync(outside, { recursive: true, force: true })
})

function freeBox(content: Buffer): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt32BE(content.length + 8)
  head.write('free', 4)
  return Buffer.concat([head, content])
}

/** Names of what `haystack` holds. */
function findIn(haystack: Buffer, needles: ReadonlyMap<string, Buffer>): string[] {
  return [...needles]
    .filter(([, secret]) => forms(secret).some((form) => haystack.includes(form)))
    .map(([name]) => name)
}

describe('after a full run', () => {
  it('was one: everything that should lie on disk is there', async () => {
    const row = await vault.recordings.get(recording, vault.organisation)
    expect(row).toMatchObject({ state: 'ready', generation: 2 })
    expect(film.includes(CANARY)).toBe(true)
    expect(random.secrets.size).toBeGreaterThan(15)
    for (const part of ['catalog.sqlite', 'keyring.json', '/f/', '/m/', '/s/', '/card/']) {
      expect(scanned.some((path) => path.includes(part))).toBe(true)
    }
  })

  it('the search finds what is there, in any form', () => {
    const planted = new Map([['planted', randomBytes(32)]])
    const secret = planted.get('planted')!
    for (const shift of [0, 1, 2, 3]) {
      const around = Buffer.concat([randomBytes(shift), secret, randomBytes(7)])
      for (const text of [around, around.toString('hex'), around.toString('base64'), around.toString('base64url')]) {
        expect(findIn(Buffer.concat([randomBytes(100), Buffer.from(text)]), planted)).toEqual(['planted'])
      }
    }
    expect(findIn(randomBytes(100_000), planted)).toEqual([])
  })

  it('neither content nor any secret is in a file: nodes, catalog, keyring, temporary folder', () => {
    const words = [CANARY, CAPTION]
    for (const path of scanned) {
      const bytes = readFileSync(path)
      expect([path, findIn(bytes, secrets)]).toEqual([path, []])
      for (const word of words) {
        expect([path, bytes.includes(word), bytes.includes(Buffer.from(word, 'utf16le'))]).toEqual([path, false, false])
        expect(bytes.includes(Buffer.from(word).toString('base64').slice(0, 20))).toBe(false)
      }
    }
  })

  it('names of people and titles are on no node', () => {
    for (const path of scanned.filter((name) => name.includes('/nodes/'))) {
      const bytes = readFileSync(path)
      for (const word of ['ada@example.org', 'Grace', 'a meeting', 'meeting.mp4', vault.organisation]) {
        // An organisation's id is in headers as bytes, and in clear text nowhere.
        expect([path, word, bytes.includes(word)]).toEqual([path, word, false])
      }
    }
  })

  it('nothing of it is in the log', () => {
    const text = Buffer.from(logged.join('\n'))
    expect(logged.length).toBeGreaterThan(0)
    expect(findIn(text, secrets)).toEqual([])
    for (const word of [CANARY, CAPTION, 'ada@example.org', 'Grace', 'a meeting', 'meeting.mp4']) {
      expect([word, text.includes(word)]).toEqual([word, false])
    }
  })

  it('no file is left in the temporary folder but the vault’s own', () => {
    expect(scanned.filter((path) => !path.startsWith(`${vault.folder}/`))).toEqual([])
    expect(scanned.filter((path) => path.includes('/.tmp/'))).toEqual([])
  })

  it('what the collector leaves is what the catalog calls stored', async () => {
    await nodeClock.sleep(5)
    expect((await collect(vault, never, 0)).left).toBe(0)
    const { objectsCount } = (await vault.layout.nodeUsage())[0]!
    const files = [...filesOf(vault.nodeFolders[0]!)].filter((path) => !path.endsWith('mosaik-node'))
    expect(files.length).toBe(objectsCount)
  })
})
