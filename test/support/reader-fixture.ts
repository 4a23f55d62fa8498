// A small writer of node folders, after docs/FORMAT.md and with code of its own, to test scripts/standalone-reader. It
// writes what the page says, so that the reader is not tested only against itself: OpenSSL for AES-GCM, HKDF and hashes,
// GF(2^8) by shift and add, its own CBOR. Not for use outside of tests.

import * as crypto from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { ed25519 } from '@noble/curves/ed25519.js'
import { ml_kem1024_p384, ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js'
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js'
import { hpkeKeySchedule } from '../../scripts/standalone-reader/read.ts'

export type Bytes = Uint8Array<ArrayBuffer>
export type Value = number | string | Uint8Array | null | Value[] | { [key: string]: Value }

export const cat = (...parts: (Uint8Array | string)[]): Bytes =>
  Uint8Array.from(Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'ascii') : part))))
export const random = (n: number): Bytes => Uint8Array.from(crypto.randomBytes(n))
export const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
export const sha = (bytes: Uint8Array): Bytes => Uint8Array.from(crypto.createHash('sha256').update(bytes).digest())

export function be(value: number, size: number): Bytes {
  const out = new Uint8Array(size)
  for (let i = size - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) out[i] = rest % 256
  return out
}

const derive = (ikm: Uint8Array, info: Uint8Array, n: number): Bytes =>
  new Uint8Array(crypto.hkdfSync('sha256', ikm, new Uint8Array(), info, n))

// CBOR, §1

export function encodeCbor(value: Value): Bytes {
  if (value === null) return Uint8Array.of(0xf6)
  if (typeof value === 'number') return head(0, value)
  if (typeof value === 'string') return cat(head(3, Buffer.byteLength(value)), Buffer.from(value, 'utf8'))
  if (value instanceof Uint8Array) return cat(head(2, value.length), value)
  if (Array.isArray(value)) return cat(head(4, value.length), ...value.map(encodeCbor))
  const entries = Object.entries(value).map(([key, each]) => [encodeCbor(key), encodeCbor(each)] as const)
  entries.sort(([a], [b]) => Buffer.compare(a, b))
  return cat(head(5, entries.length), ...entries.flat())
}

function head(major: number, value: number): Bytes {
  const top = major << 5
  if (value < 24) return Uint8Array.of(top | value)
  const size = value < 2 ** 8 ? 1 : value < 2 ** 16 ? 2 : value < 2 ** 32 ? 4 : 8
  return cat(Uint8Array.of(top | (24 + Math.log2(size))), be(value, size))
}

// Dispersal, §2

function times(a: number, b: number): number {
  let product = 0
  for (let bit = b; bit > 0; bit >>= 1, a = (a << 1) ^ (a & 0x80 ? 0x11b : 0)) if (bit & 1) product ^= a
  return product
}

function inverse(a: number): number {
  for (let b = 1; b < 256; b++) if (times(a, b) === 1) return b
  throw new RangeError('no inverse')
}

export function splitData(data: Uint8Array, block: number, k: number, n: number, t: number): Bytes[] {
  const rows: Bytes[] = []
  for (let i = 0; i < k; i++) {
    const row = i < t ? random(block) : new Uint8Array(block)
    if (i >= t) row.set(data.subarray((i - t) * block, (i - t + 1) * block))
    rows.push(row)
  }
  const s = t > 0 ? t : k
  const c = (i: number, j: number): number => inverse((255 - i) ^ j)
  return Array.from({ length: n }, (_, i) => {
    if (i < s) return (rows[i] ?? new Uint8Array()).slice()
    const share = new Uint8Array(block)
    rows.forEach((row, j) => {
      const factor = times(times(c(i, j), inverse(c(s, j))), times(c(s, 0), inverse(c(i, 0))))
      const table = Uint8Array.from({ length: 256 }, (__, x) => times(x, factor))
      for (let b = 0; b < block; b++) share[b] = (share[b] ?? 0) ^ (table[row[b] ?? 0] ?? 0)
    })
    return share
  })
}

// FLOE, §3

const SEGMENT = 262_144
const PARAMETERS = cat(be(0, 2), be(SEGMENT, 4), be(32, 4))

function seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Bytes {
  const cipher = crypto.createCipheriv('aes-256-gcm', key, nonce)
  cipher.setAAD(aad)
  return cat(cipher.update(plaintext), cipher.final(), cipher.getAuthTag())
}

export function floeSeal(
  key: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): { header: Bytes; segments: Bytes[] } {
  const iv = random(32)
  const expand = (from: Uint8Array, purpose: Uint8Array | string, n: number): Bytes => {
    const hmac = crypto.createHmac('sha384', from).update(cat(PARAMETERS, iv, purpose, aad, Uint8Array.of(1)))
    return Uint8Array.from(hmac.digest().subarray(0, n))
  }
  const header = cat(PARAMETERS, iv, expand(key, 'HEADER_TAG:', 32))
  const message = expand(key, 'MESSAGE_KEY:', 48)
  const count = Math.max(1, Math.ceil(plaintext.length / (SEGMENT - 32)))
  const segments = Array.from({ length: count }, (_, i) => {
    const part = plaintext.subarray(i * (SEGMENT - 32), (i + 1) * (SEGMENT - 32))
    const last = i === count - 1
    const segmentKey = expand(message, cat('DEK:', be(0, 8)), 32)
    const nonce = random(12)
    const first = last ? be(part.length + 32, 4) : Uint8Array.of(255, 255, 255, 255)
    return cat(first, nonce, seal(segmentKey, nonce, cat(be(i, 8), be(last ? 1 : 0, 1)), part))
  })
  return { header, segments }
}

// Keys and signatures, §8

export interface SigningKeys {
  id: Bytes
  publicKeys: { ed25519: Uint8Array; mldsa65: Uint8Array }
  sign: (message: Uint8Array, context: string) => Bytes
}

export function signingKeys(seed: Uint8Array): SigningKeys {
  const classical = derive(seed, cat('mosaik/v1/sign/ed25519'), 32)
  const lattice = ml_dsa65.keygen(derive(seed, cat('mosaik/v1/sign/mldsa65'), 32))
  const publicKeys = { ed25519: ed25519.getPublicKey(classical), mldsa65: lattice.publicKey }
  const sign = (message: Uint8Array, context: string): Bytes => {
    const whole = cat(context, be(0, 1), message)
    return cat(ed25519.sign(whole, classical), ml_dsa65.sign(whole, lattice.secretKey, { extraEntropy: false }))
  }
  return { id: sha(cat('mosaik/v1/signer-id', publicKeys.ed25519, publicKeys.mldsa65)).slice(0, 16), publicKeys, sign }
}

export const rootKeys = (recovery: Uint8Array): SigningKeys =>
  signingKeys(derive(recovery, cat('mosaik/v1/recovery/root'), 32))

export function recoveryText(recovery: Uint8Array): string {
  const bytes = cat(recovery, sha(cat('mosaik/v1/recovery-key', recovery)).slice(0, 4))
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  const digits = bits.match(/.{1,5}/g) ?? []
  const text = digits.map((digit) => 'abcdefghijklmnopqrstuvwxyz234567'[parseInt(digit.padEnd(5, '0'), 2)]).join('')
  return `mosaik-recovery-1-${(text.match(/.{1,6}/g) ?? []).join('-')}`
}

const KEMS = {
  1: { id: 0x647a, kem: ml_kem768_x25519 },
  2: { id: 0x0051, kem: ml_kem1024_p384 },
} as const

export type SuiteId = keyof typeof KEMS

const kemPublic = (seed: Uint8Array, purpose: string, suite: SuiteId): Bytes =>
  Uint8Array.from(KEMS[suite].kem.keygen(derive(seed, cat(purpose, be(suite, 1)), 32)).publicKey)

// A vault with its nodes

export interface DocumentOptions {
  generation?: number
  signer?: SigningKeys
  sharing?: Bytes
  suite?: SuiteId
  /** The nodes that get a share; share i goes to node i. */
  nodes?: number[]
}

export interface SealedAsset {
  value: Value
  attempt: Bytes
  sharing: Bytes
  /** Object names by node. */
  names: string[]
  verifyKey: Bytes
  sealedBytes: number
}

/** Five nodes, a vault card of epoch 1 signed by the root, and functions that put objects on the nodes. */
export class FixtureVault {
  readonly k = 3
  readonly n = 5
  readonly t = 1
  readonly installation = random(16)
  readonly organisation = random(16)
  readonly recovery = random(32)
  readonly vaultSeed = random(32)
  readonly signer = signingKeys(random(32))
  readonly root: SigningKeys
  readonly folders: string[]
  readonly cardHash: Bytes

  constructor(directory: string) {
    this.root = rootKeys(this.recovery)
    this.folders = Array.from({ length: this.n }, (_, i) => path.join(directory, `node-${i}`))
    for (const [i] of this.folders.entries())
      this.put(i, 'mosaik-node', cat('MOSAIKNM', be(1, 2), this.installation, random(16)))
    this.cardHash = this.putCard(1, this.signer, null, this.root)
  }

  put(node: number, name: string, bytes: Uint8Array): void {
    const file = path.join(this.folders[node] ?? '', name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, bytes)
  }

  object(node: number, prefix: string, bytes: Uint8Array, name = toHex(random(16))): string {
    const place = `${prefix}/${name.slice(0, 2)}/${name}`
    this.put(node, place, bytes)
    return place
  }

  card(epoch: number, signing: SigningKeys, previous: Uint8Array | null, by: SigningKeys): Bytes {
    const body = encodeCbor({
      installation: this.installation,
      organisation: this.organisation,
      epoch,
      issuedAtMs: 1_700_000_000_000,
      kem: [{ suite: 1, publicKey: kemPublic(this.vaultSeed, 'mosaik/v1/vault/kem/', 1) }],
      recovery: [{ suite: 1, publicKey: kemPublic(this.recovery, 'mosaik/v1/recovery/kem/', 1) }],
      signing: signing.publicKeys,
      root: this.root.publicKeys,
      previous,
      signer: by.id,
    })
    const signed = cat('MOSAIKVC', be(1, 2), be(body.length, 4), body)
    return cat(signed, by.sign(signed, 'mosaik/v1/card'))
  }

  putCard(epoch: number, signing: SigningKeys, previous: Uint8Array | null, by: SigningKeys): Bytes {
    const card = this.card(epoch, signing, previous, by)
    const hash = sha(card)
    for (const [i] of this.folders.entries()) this.object(i, 'card', card, toHex(hash))
    return hash
  }

  /** §6: header, recipients, FLOE. */
  sealDocument(kind: number, subject: Uint8Array, document: Uint8Array, generation = 1, suite: SuiteId = 1): Bytes {
    const { id, kem } = KEMS[suite]
    const recipients = [
      kemPublic(this.vaultSeed, 'mosaik/v1/vault/kem/', suite),
      kemPublic(this.recovery, 'mosaik/v1/recovery/kem/', suite),
    ]
    const ids = recipients.map((key) => sha(cat('mosaik/v1/key-id', be(suite, 1), key)).slice(0, 16))
    const identity = cat(be(kind, 1), be(suite, 1), this.organisation, subject, be(generation, 8))
    const header = cat('MOSAIKDH', be(1, 2), identity, be(ids.length, 1), ...ids)
    const key = random(32)
    const info = cat(kind === 1 ? 'mosaik/v1/manifest' : 'mosaik/v1/state')
    const wrapped = recipients.map((publicKey) => {
      const { cipherText, sharedSecret } = kem.encapsulate(publicKey)
      const schedule = hpkeKeySchedule(sharedSecret, info, id)
      return cat(cipherText, seal(schedule.key, schedule.baseNonce, header, key))
    })
    const floe = floeSeal(key, sha(header), document)
    return cat(header, ...wrapped, floe.header, ...floe.segments)
  }

  documentShares(kind: number, subject: Uint8Array, sealed: Uint8Array, options: DocumentOptions = {}): Bytes[] {
    const { generation = 1, signer = this.signer, sharing = random(16), suite = 1 } = options
    const size = 16 * Math.ceil(sealed.length / 16)
    return splitData(sealed, size, this.k, this.n, this.k - 1).map((bytes, index) => {
      const identity = cat(be(kind, 1), be(suite, 1), this.organisation, subject, be(generation, 8))
      const place = cat(sharing, be(index, 1), be(this.k, 1), be(this.n, 1), be(0, 1), be(0x011b, 2), be(0, 2))
      const signed = cat('MOSAIKDS', be(1, 2), identity, place, be(sealed.length, 4), signer.id, bytes)
      return cat(signed, signer.sign(signed, 'mosaik/v1/share'))
    })
  }

  /** Seals, splits and stores a document; returns the names of its shares by node. */
  putDocument(kind: number, subject: Uint8Array, document: Value, options: DocumentOptions = {}): string[] {
    const sealed = this.sealDocument(kind, subject, encodeCbor(document), options.generation, options.suite)
    const shares = this.documentShares(kind, subject, sealed, options)
    const nodes = options.nodes ?? shares.map((_, i) => i)
    return nodes.map((node) => this.object(node, kind === 1 ? 'm' : 's', shares[node] ?? new Uint8Array()))
  }

  /** Seals content as an asset and puts its fragments on the nodes (one extent). */
  putAsset(
    recording: Uint8Array,
    content: Uint8Array,
    about: { kind: string; mediaType: string; name: string; playback?: Value },
    padding = 0,
  ): SealedAsset {
    const { k, n, t } = this
    const [id, attempt, sharing, dek, verifyKey] = [random(16), random(16), random(16), random(32), random(32)]
    const header = cat('MOSAIKAH', be(1, 2), this.organisation, recording, id, attempt, PARAMETERS)
    const floe = floeSeal(dek, sha(header), cat(content, new Uint8Array(padding)))
    const heads = Array.from({ length: n }, (_, index) => {
      const scheme = cat(be(index, 1), be(k, 1), be(n, 1), be(t, 1), be(0x011b, 2), be(SEGMENT, 4))
      return cat('MOSAIKFR', be(1, 2), be(1, 2), attempt, sharing, be(0, 4), scheme, new Uint8Array(198))
    })
    const fragments: Bytes[][] = heads.map((bytes) => [bytes])
    const keys = heads.map((bytes) => derive(verifyKey, cat('mosaik/v1/fragment', sha(bytes)), 32))
    floe.segments.forEach((segment, i) => {
      const last = i === floe.segments.length - 1
      const data = k - t
      const size = last ? 16 * Math.ceil(segment.length / (16 * data)) : 128 * Math.ceil(SEGMENT / (128 * data))
      splitData(segment, size, k, n, t).forEach((block, index) => {
        const tag = seal(keys[index] ?? new Uint8Array(), be(i, 12), block, new Uint8Array())
        fragments[index]?.push(block, tag)
      })
    })
    const sealedBytes = floe.segments.reduce((sum, segment) => sum + segment.length, 0)
    const value = {
      id,
      kind: about.kind,
      mediaType: about.mediaType,
      name: about.name,
      contentBytes: content.length,
      sha256: sha(content),
      inline: null,
      sealed: { header, dek, floeHeader: floe.header, sealedBytes, verifyKeys: [verifyKey] },
      playback: about.playback ?? null,
    }
    const names = fragments.map((parts, node) => this.object(node, 'f', cat(...parts)))
    return { value, attempt, sharing, names, verifyKey, sealedBytes }
  }

  manifest(recording: Uint8Array, assets: Value[], generation = 1): { [key: string]: Value } {
    return {
      organisation: this.organisation,
      recording,
      generation,
      previous: generation === 1 ? null : random(32),
      salt: random(32),
      title: 'Größe des Raumes',
      source: { kind: 'upload', externalId: null },
      host: { id: 'host-1', name: null, email: null },
      participants: [{ name: 'A', email: null }],
      startedAtMs: null,
      depositedAtMs: 1_700_000_000_000,
      retention: { mode: 'none', retainUntilMs: null, deleteByMs: null },
      assets,
    }
  }

  state(generation = 1): { [key: string]: Value } {
    return {
      organisation: this.organisation,
      generation,
      previous: generation === 1 ? null : random(32),
      writtenAtMs: 1_700_000_000_000,
      nodes: [],
      exposures: [],
      policies: [],
      holds: [],
      tombstones: [],
      revokedLinks: [],
    }
  }
}

export function inlineAsset(content: Uint8Array, kind: string, mediaType: string, name: string): Value {
  const common = { id: random(16), kind, mediaType, name, contentBytes: content.length, sha256: sha(content) }
  return { ...common, inline: content, sealed: null, playback: null }
}

/** Flips one bit of a stored object. */
export function flip(folder: string, name: string, offset: number): void {
  const file = path.join(folder, name)
  const bytes = fs.readFileSync(file)
  bytes[offset] = (bytes[offset] ?? 0) ^ 1
  fs.writeFileSync(file, bytes)
}
