import { once } from 'node:events'
import { createHash, randomBytes } from 'node:crypto'
import { MosaikError } from '../../../src/domain/errors.ts'
import type {
  AssetKind,
  Manifest,
  ManifestAsset,
  PlaybackIndex,
  RecordingState,
} from '../../../src/domain/recording.ts'
import type { RecordingRow } from '../../../src/ports/catalog/recordings.ts'
import type { AssetReader, VaultReader } from '../../../src/ports/vault-reader.ts'

const CHUNK_BYTES = 65_536
const TOO_FEW = () =>
  new MosaikError('E_SHARES_TOO_FEW', 'nodes north, south and east do not answer', {
    need: 3,
    missing: ['north', 'south', 'east'],
  })

/** One asset to be put into the vault. */
export interface AssetSource {
  readonly kind: AssetKind
  readonly name: string
  readonly mediaType: string
  readonly content: Uint8Array
  readonly playback?: PlaybackIndex
}

/** A vault reader over bytes in memory, whose nodes can be made to fail or to be slow. */
export class MemoryVault implements VaultReader {
  readonly #recordings = new Map<string, { manifest: Manifest; contents: Map<string, Uint8Array> }>()
  /** With true, nothing can be read: too few nodes. */
  isDown = false
  /** With true, opening never ends by itself. */
  isStalled = false
  /** Too few nodes after so many bytes of one read. */
  failAfterBytes = Number.POSITIVE_INFINITY
  /** Pause before each chunk of 64 KiB. */
  chunkDelayMs = 0
  runningReads = 0
  /** Bytes given out over all reads. */
  givenBytes = 0
  /** What the catalog says of the recordings. */
  state: RecordingState = 'ready'
  /** Purposes of all openings. */
  readonly purposes: string[] = []

  add(organisation: string, title: string, sources: readonly AssetSource[]): Manifest {
    const contents = new Map<string, Uint8Array>()
    const assets = sources.map(({ kind, name, mediaType, content, playback }): ManifestAsset => {
      const id = randomBytes(16).toString('hex')
      contents.set(id, content)
      const sha256 = createHash('sha256').update(content).digest()
      const contentBytes = content.length
      return {
        ...{ id, kind, name, mediaType, contentBytes, sha256 },
        ...{ inline: null, sealed: null, playback: playback ?? null },
      }
    })
    const manifest: Manifest = {
      organisation,
      recording: randomBytes(16).toString('hex'),
      generation: 1,
      previous: null,
      salt: randomBytes(32),
      title,
      source: { kind: 'test', externalId: null },
      host: { id: 'host', name: 'Host Canary', email: 'host@canary.example' },
      participants: [],
      startedAtMs: Date.UTC(2026, 10, 20, 9, 30),
      depositedAtMs: Date.UTC(2026, 10, 20, 11),
      retention: { mode: 'none', retainUntilMs: null, deleteByMs: null },
      assets,
    }
    this.#recordings.set(manifest.recording, { manifest, contents })
    return manifest
  }

  get(id: string, organisation: string): Promise<RecordingRow | undefined> {
    const known = this.#recordings.get(id)?.manifest.organisation === organisation
    // the viewer asks for nothing but the state
    return Promise.resolve(known ? ({ id, organisation, state: this.state } as RecordingRow) : undefined)
  }

  async open(organisation: string, recording: string, purpose: string, signal: AbortSignal) {
    await Promise.resolve()
    this.purposes.push(purpose)
    if (this.isStalled) await once(signal, 'abort').then(() => signal.throwIfAborted())
    if (['received', 'storing', 'failed'].includes(this.state))
      throw new MosaikError('E_RECORDING_NOT_READY', 'the recording is still being stored')
    if (this.isDown) throw TOO_FEW()
    const found = this.#recordings.get(recording)
    if (found?.manifest.organisation !== organisation) throw new MosaikError('E_RECORDING_UNKNOWN', 'no such recording')
    const { manifest, contents } = found
    return {
      manifest,
      asset: (id: string): AssetReader => {
        const asset = manifest.assets.find((candidate) => candidate.id === id)
        const content = contents.get(id)
        if (asset === undefined || content === undefined) throw new MosaikError('E_ASSET_UNKNOWN', 'no such asset')
        return {
          asset,
          read: (startBytes, endBytes, signal) => this.#read(content, startBytes, endBytes, signal),
          // As a reader that fills the memory with the next bytes: who gives back what is still on its way sends garbage.
          recycle: (chunk) => void chunk.fill(0xee),
        }
      },
    }
  }

  async *#read(content: Uint8Array, startBytes: number, endBytes: number, signal: AbortSignal) {
    this.runningReads += 1
    try {
      for (let at = startBytes; at < endBytes; at += CHUNK_BYTES) {
        await new Promise((resolve) => setTimeout(resolve, this.chunkDelayMs))
        signal.throwIfAborted()
        if (this.isDown || at - startBytes >= this.failAfterBytes) throw TOO_FEW()
        const chunk = Uint8Array.from(content.subarray(at, Math.min(endBytes, at + CHUNK_BYTES)))
        this.givenBytes += chunk.length
        yield chunk
      }
    } finally {
      this.runningReads -= 1
    }
  }
}
