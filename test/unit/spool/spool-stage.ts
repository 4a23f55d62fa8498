import { randomBytes } from 'node:crypto'
import { nodePrimitives } from '../../../src/adapters/node-primitives.ts'
import { hpkeOpen } from '../../../src/crypto/hpke.ts'
import { keyId } from '../../../src/crypto/keys.ts'
import { MosaikError } from '../../../src/domain/errors.ts'
import { toHex, type Id } from '../../../src/domain/ids.ts'
import { createSpool } from '../../../src/pipeline/spool.ts'
import type { SpoolKeys } from '../../../src/ports/keyring.ts'
import type { SpoolFiles } from '../../../src/ports/spool-files.ts'
import type { Random } from '../../../src/ports/system.ts'

/** Randomness that remembers what it gave, so that a test can search for it. */
export class RememberedRandom implements Random {
  readonly given: Uint8Array[] = []
  bytes = (lengthBytes: number): Uint8Array<ArrayBuffer> => {
    const bytes = new Uint8Array(randomBytes(lengthBytes))
    this.given.push(bytes.slice())
    return bytes
  }
  entropy = (lengthBytes: number): Uint8Array<ArrayBuffer> => new Uint8Array(randomBytes(lengthBytes))
  fraction = (): number => 0.5
}

/** Spool keys in memory; `turn` makes a new present one, `rotateSpoolKeys` destroys those that nobody names. */
export class MemorySpoolKeys implements SpoolKeys {
  #keys: { keyId: Uint8Array; seed: Uint8Array; publicKey: Uint8Array }[] = []

  constructor() {
    this.turn()
  }

  turn(): void {
    const { seed, publicKey } = nodePrimitives.kem(1).keyPair(new Uint8Array(randomBytes(32)))
    this.#keys.push({ keyId: keyId(nodePrimitives, 1, publicKey), seed, publicKey })
  }

  get count(): number {
    return this.#keys.length
  }

  spoolPublicKey: SpoolKeys['spoolPublicKey'] = () => {
    const present = this.#keys.at(-1)
    if (!present) throw new Error('no key')
    return Promise.resolve({ suite: 1, keyId: present.keyId, publicKey: present.publicKey })
  }

  openSpoolKey: SpoolKeys['openSpoolKey'] = (id, { enc, info, aad, ct }) => {
    const found = this.#keys.find((key) => toHex(key.keyId) === toHex(id))
    if (!found) return Promise.reject(new MosaikError('E_KEYRING_KEY_UNKNOWN', 'destroyed'))
    return Promise.resolve().then(() => hpkeOpen(1, nodePrimitives, found.seed, enc, info, aad, ct))
  }

  rotateSpoolKeys: SpoolKeys['rotateSpoolKeys'] = (inUse) => {
    this.turn()
    const names = new Set(inUse.map(toHex))
    this.#keys = this.#keys.filter((key, i) => i === this.#keys.length - 1 || names.has(toHex(key.keyId)))
    return Promise.resolve()
  }
}

/** Files in memory, as they are after a power cut: all that matters is which names there are. */
export class MemorySpoolFiles implements SpoolFiles {
  readonly folders = new Map<Id, Map<string, Uint8Array>>()
  /** Called before each operation; throws to kill. */
  step: (what: string) => void = () => undefined

  #files(upload: Id): Map<string, Uint8Array> {
    const files = this.folders.get(upload)
    if (!files) throw new MosaikError('E_SPOOL', 'no such folder')
    return files
  }

  uploads = async (): Promise<Id[]> => {
    await this.#before('uploads')
    return [...this.folders.keys()]
  }

  make = async (upload: Id): Promise<void> => {
    await this.#before('make')
    if (!this.folders.has(upload)) this.folders.set(upload, new Map())
  }

  list: SpoolFiles['list'] = async (upload) => {
    await this.#before('list')
    return [...(this.folders.get(upload) ?? [])].map(([name, { length: sizeBytes }]) => ({ name, sizeBytes }))
  }

  create: SpoolFiles['create'] = async (upload, name) => {
    await this.#before('create')
    const files = this.#files(upload)
    if (files.has(name)) throw new MosaikError('E_SPOOL', 'taken')
    files.set(name, new Uint8Array(0))
    return {
      write: async (bytes) => {
        await this.#before('write')
        files.set(name, Buffer.concat([files.get(name) ?? new Uint8Array(0), bytes]))
      },
      sync: () => this.#before('sync'),
      close: () => Promise.resolve(),
    }
  }

  complete: SpoolFiles['complete'] = async (upload, name, finalName) => {
    await this.#before('complete')
    const files = this.#files(upload)
    const bytes = files.get(name)
    if (!bytes) throw new MosaikError('E_SPOOL', 'gone')
    if (files.has(finalName)) throw new MosaikError('E_CONFLICT', 'taken')
    files.set(finalName, bytes)
    files.delete(name)
    await this.#before('completed')
  }

  open: SpoolFiles['open'] = async (upload, name) => {
    await this.#before('open')
    const bytes = this.folders.get(upload)?.get(name)
    if (!bytes) return undefined
    return {
      sizeBytes: bytes.length,
      read: async (at, length) => {
        await this.#before('read')
        if (at + length > bytes.length) throw new MosaikError('E_SPOOL', 'too short')
        return bytes.slice(at, at + length)
      },
      close: () => Promise.resolve(),
    }
  }

  discard = async (upload: Id, name: string): Promise<void> => {
    await this.#before('discard')
    this.folders.get(upload)?.delete(name)
  }

  remove = async (upload: Id): Promise<void> => {
    await this.#before('remove')
    this.folders.delete(upload)
  }

  async #before(what: string): Promise<void> {
    await Promise.resolve()
    this.step(what)
  }
}

export const upload = 'ab'.repeat(16)
export const NEVER = new AbortController().signal

/** A spool over files of which a test sees everything; extents of two segments unless told. */
export function spoolStage(extentSegments = 2) {
  const files = new MemorySpoolFiles()
  const keys = new MemorySpoolKeys()
  const random = new RememberedRandom()
  const options = { files, keys, primitives: nodePrimitives, random, extentSegments }
  return { files, keys, random, spool: createSpool(options), restart: () => createSpool(options) }
}

/** Content in chunks of these lengths. */
export async function* chunksOf(
  content: Uint8Array,
  lengths: readonly number[] = [content.length],
): AsyncGenerator<Uint8Array> {
  let at = 0
  for (const length of lengths) {
    yield await Promise.resolve(content.slice(at, at + length))
    at += length
  }
  if (at < content.length) yield content.slice(at)
}

/** Gives the content, and then breaks off as a connection does. */
export async function* brokenAfter(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield* chunksOf(content)
  throw new Error('the connection is gone')
}

export async function collect(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of content) chunks.push(chunk)
  return Buffer.concat(chunks)
}
