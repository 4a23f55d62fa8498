import { Upload } from '@tus/utils'
import { Readable } from 'node:stream'
import { MosaikError } from '../../src/domain/errors.ts'
import { toHex, type Id } from '../../src/domain/ids.ts'
import { settle, type FinishPorts } from '../../src/http/uploads/finish.ts'
import { checkedMetadata } from '../../src/http/uploads/metadata.ts'
import { UploadStore } from '../../src/http/uploads/upload-store.ts'
import type { Catalog } from '../../src/ports/catalog.ts'
import type { SourceFile } from '../../src/ports/source.ts'
import type { Spool } from '../../src/ports/spool.ts'
import type { Random } from '../../src/ports/system.ts'
import type { Deposit } from './deposit.ts'
import type { SimulatedProcess, WorldView } from './process.ts'

const OWNER = 'aa'.repeat(16)
const LONGEST_APPEND_MS = 400
const PIECE_BYTES = 100_000

/** What uploads know of the world around them. */
export interface UploadWorld extends Pick<WorldView, 'time' | 'chance'> {
  readonly catalog: Catalog
  readonly organisation: Id
  readonly deposits: readonly Deposit[]
  violate(name: string, detail: string): void
}

/** What an upload's end needs, and ids. */
type UploadPorts = FinishPorts & { readonly random: Random }

/** Where uploads wait, on a disk that outlives every process: what one sends counts when it has come, as a complete extent does. */
export class SimulatedSpool {
  readonly kept = new Map<Id, Uint8Array>()
  readonly #world: UploadWorld

  constructor(world: UploadWorld) {
    this.#world = world
  }

  /** The spool as a process reaches it. */
  open(process?: SimulatedProcess): Spool {
    const calls = process ? process.port('spool', this) : this
    return {
      begin: (upload) => calls.begin(upload),
      append: (upload, offsetBytes, content) => calls.append(upload, offsetBytes, content),
      offsetBytes: (upload) => calls.offsetBytes(upload),
      remove: (upload) => calls.remove(upload),
      read: (upload, name, sizeBytes) => this.#read(upload, name, sizeBytes),
      rotateKeys: () => Promise.resolve(),
    }
  }

  begin(upload: Id): Promise<void> {
    this.kept.set(upload, this.kept.get(upload) ?? new Uint8Array())
    return Promise.resolve()
  }

  async append(upload: Id, offsetBytes: number, content: AsyncIterable<Uint8Array>): Promise<number> {
    const came: Uint8Array[] = []
    for await (const chunk of content) came.push(chunk)
    await this.#world.time.sleep(this.#world.chance.fraction() * LONGEST_APPEND_MS)
    const present = this.kept.get(upload) ?? new Uint8Array()
    if (present.length !== offsetBytes) throw new MosaikError('E_CONFLICT', `the upload stands at ${present.length}`)
    const all = new Uint8Array(Buffer.concat([present, ...came]))
    this.kept.set(upload, all)
    return all.length
  }

  offsetBytes(upload: Id): Promise<number> {
    return Promise.resolve(this.kept.get(upload)?.length ?? 0)
  }

  /** Of a recording without a receipt the upload that its store work reads may not go. */
  async remove(upload: Id): Promise<void> {
    const { catalog, deposits } = this.#world
    const recordings = deposits.flatMap(({ acknowledged }) => [...acknowledged])
    this.kept.delete(upload)
    for (const recording of recordings) {
      const work = await catalog.work.ofRecording(recording)
      if (!work.some(({ stage, input }) => stage === 'store' && input.kind === 'upload' && input.upload === upload))
        continue
      if ((await catalog.recordings.receipt(recording)) === undefined)
        this.#world.violate('released-without-receipt', `upload ${upload} of ${recording}`)
    }
  }

  #read(upload: Id, name: string, sizeBytes: number): SourceFile {
    const { kept } = this
    const { time, chance } = this.#world
    return {
      ...{ name, sizeBytes, sha256: undefined },
      async *open(signal) {
        const content = kept.get(upload)
        if (content?.length !== sizeBytes) throw new MosaikError('E_SOURCE_UNREADABLE', 'the upload is not there')
        for (let at = 0; at < content.length; at += PIECE_BYTES) {
          await time.sleep(20 * chance.fraction(), signal)
          yield content.slice(at, at + PIECE_BYTES)
        }
      },
    }
  }
}

/** The uploads of one process of the API, as `src/http/uploads/uploads.ts` puts them together around tus. */
export class SimulatedUploads {
  readonly #ports: UploadPorts
  readonly #store: UploadStore
  readonly #busy = new Map<Id, number>()

  constructor(ports: UploadPorts) {
    this.#ports = ports
    this.#store = new UploadStore(ports, (upload) => this.#busy.has(upload))
  }

  /** POST */
  async begin(world: UploadWorld, deposit: Deposit): Promise<Id> {
    if (world.chance.chance(0.1)) void this.#store.deleteExpired().catch(() => undefined)
    const id = toHex(this.#ports.random.bytes(16))
    const metadata = checkedMetadata({
      ...{ filename: 'meeting.mp4', title: `Meeting ${deposit.externalId}`, host: 'host', hostName: 'Ada' },
      ...{ source: 'simulated', externalId: deposit.externalId },
    })
    this.#store.expect(id, { organisation: world.organisation, token: OWNER })
    await this.#store.create(new Upload({ id, size: deposit.content.length, offset: 0, metadata }))
    return id
  }

  /** GET, and PATCH where bytes are missing. @returns the recording; undefined when there is none yet, null when the upload is gone */
  async goOn(world: UploadWorld, { content }: Deposit, id: Id): Promise<Id | undefined | null> {
    return await this.#while(id, async () => {
      const { uploads, spool } = this.#ports
      const row = await uploads.upload(id)
      if (row === undefined) return null
      const { state, recording } = await settle(this.#ports, row)
      if (recording !== null || state !== 'receiving') return recording ?? undefined
      const offsetBytes = await spool.offsetBytes(id)
      const isCut = world.chance.chance(0.2)
      const end = isCut ? world.chance.between(offsetBytes, content.length) : content.length
      const stands = await this.#store.write(Readable.from([content.slice(offsetBytes, end)]), id, offsetBytes)
      if (stands < content.length) return undefined
      const written = await uploads.upload(id)
      return written ? ((await settle(this.#ports, written)).recording ?? undefined) : null
    })
  }

  /** What the API sweeps away when nobody has touched it for a day. */
  async sweep(): Promise<void> {
    await this.#store.deleteExpired()
  }

  async #while<T>(id: Id, task: () => Promise<T>): Promise<T> {
    this.#busy.set(id, (this.#busy.get(id) ?? 0) + 1)
    try {
      return await task()
    } finally {
      const others = this.#busy.get(id)! - 1
      if (others === 0) this.#busy.delete(id)
      else this.#busy.set(id, others)
    }
  }
}
