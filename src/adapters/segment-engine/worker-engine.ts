import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { blockBytes } from '../../crypto/dispersal.ts'
import { SEGMENT_BYTES, SEGMENT_OVERHEAD_BYTES, SEGMENT_PLAIN_BYTES, checkFloeHeader } from '../../crypto/floe.ts'
import { BLOCK_TAG_BYTES } from '../../crypto/fragment-tag.ts'
import type { KernelName } from '../../crypto/kernel/kernel.ts'
import { checkScheme, dataRows, type Scheme } from '../../domain/dispersal.ts'
import { MosaikError } from '../../domain/errors.ts'
import type {
  AssetCipher,
  OpenedSegment,
  SegmentEngine,
  SegmentOpener,
  SegmentSplitter,
  SegmentToOpen,
} from '../../ports/segment-engine.ts'
import { copyBytes } from '../copy-bytes.ts'
import { nodePrimitives } from '../node-primitives.ts'
import { loadKernel } from './codec-tools.ts'
import type { CodecSetup, FromWorker, OpenRequest, SplitRequest } from './protocol.ts'
import { SpareBuffers } from './spare-buffers.ts'

/** Runs of segments that lie ready at a thread, so that it never waits for the next: one in work, one behind it. */
const JOBS_PER_WORKER = 2
/**
 * Most bytes that wait for their next use, shared with the threads and sent to and fro. Of shared memory more than is ever under way: V8 does
 * not count it, so what is left to the garbage collector piles up.
 */
const SPARE_SHARED_BYTES = 48 * 1024 * 1024
const SPARE_PLAINTEXT_BYTES = 16 * 1024 * 1024

export interface WorkerEngineOptions {
  /** Threads; default: cores. */
  readonly workers?: number
  /** Another thread program, for tests. */
  readonly script?: URL
}

export interface WorkerEngine extends SegmentEngine {
  /** The kernel that the threads take; "table" deserves a warning. */
  readonly kernelName: KernelName
}

/** A job without what is filled in when it is sent: `codec` and `job`. */
type Request = Omit<SplitRequest, 'job' | 'codec'> | Omit<OpenRequest, 'job' | 'codec'>

interface Job {
  readonly codec: Codec
  readonly request: Request
  readonly transfer: ArrayBuffer[]
  readonly resolve: (reply: FromWorker) => void
  readonly reject: (error: MosaikError) => void
}

/** Keys of one splitter or opener, until it is closed and its last job is done. */
interface Codec {
  readonly setup: CodecSetup
  pending: number
  closed: boolean
}

/** One thread. Forgotten when it crashes; a new one is started for the next job. */
interface Lane {
  readonly worker: Worker
  readonly jobs: Map<number, Job>
  readonly known: Set<Codec>
}

/**
 * The segment codec on a pool of worker threads. What is split, and shares that are opened, lie in memory shared with the threads, which is
 * used again: to send buffers to and fro makes V8 collect garbage all the time. Only opened plaintext is sent, so that whoever gives it
 * back can no longer read it. Keys are sent once a thread and codec, and overwritten on close as far as JavaScript can. Threads start with
 * the first job and do not keep the process alive while idle.
 *
 * A thread that crashes rejects its jobs with E_INTERNAL and is replaced. `close` rejects what is under way with E_ABORTED.
 */
export function createWorkerEngine(options: WorkerEngineOptions = {}): WorkerEngine {
  return new Pool(options)
}

class Pool implements WorkerEngine {
  readonly kernelName: KernelName
  readonly parallelism: number
  readonly #workers: number
  readonly #script: URL
  readonly #lanes = new Set<Lane>()
  readonly #codecs = new Set<Codec>()
  readonly #shared = new SpareBuffers(SPARE_SHARED_BYTES, (sizeBytes) => new SharedArrayBuffer(sizeBytes))
  // neither pooled, so that it can be transferred, nor zeroed, since every byte is written
  readonly #plaintexts = new SpareBuffers(
    SPARE_PLAINTEXT_BYTES,
    (sizeBytes) => Buffer.allocUnsafeSlow(sizeBytes).buffer,
  )
  /** Shared buffers that somebody has: only those are taken back, and once. */
  readonly #lent = new WeakSet<SharedArrayBuffer>()
  #queue: Job[] = []
  #counter = 0
  #closed = false

  constructor({
    workers = availableParallelism(),
    script = new URL('./worker.ts', import.meta.url),
  }: WorkerEngineOptions) {
    this.#workers = Math.max(1, workers)
    this.#script = script
    this.parallelism = JOBS_PER_WORKER * this.#workers
    this.kernelName = loadKernel().name
  }

  splitter(cipher: AssetCipher, sharing: Parameters<SegmentEngine['splitter']>[1]): SegmentSplitter {
    const { scheme, extent } = sharing
    if (sharing.fragmentKeys.length !== scheme.n) throw new RangeError('one fragment key for each share is needed')
    const codec = this.#register(cipher, {
      kind: 'sealer',
      codec: this.#counter++,
      cipher: copyCipher(cipher),
      sharing: {
        scheme,
        extent,
        fragmentKeys: sharing.fragmentKeys.map((key) => Uint8Array.from(key)),
        rowsKey: Uint8Array.from(sharing.rowsKey),
      },
    })
    return {
      split: async (segment, given, last) => {
        const plaintext = this.#inSharedMemory(given)
        const shareBytes = shareLength(scheme, plaintext.length, last)
        const target = this.takeMemory(scheme.n * shareBytes)
        await this.#run(codec, { kind: 'split', segment, last, plaintext, target }, [])
        this.recycle([plaintext])
        return Array.from({ length: scheme.n }, (_, i) => target.subarray(i * shareBytes, (i + 1) * shareBytes))
      },
      close: () => {
        this.#closeCodec(codec)
      },
    }
  }

  opener(cipher: AssetCipher, sharing: Parameters<SegmentEngine['opener']>[1]): SegmentOpener {
    const { scheme, extent } = sharing
    const fragmentKeys = new Map(
      Array.from(sharing.fragmentKeys, ([index, key]) => [index, Uint8Array.from(key)] as const),
    )
    const codec = this.#register(cipher, {
      kind: 'opener',
      codec: this.#counter++,
      cipher: copyCipher(cipher),
      sharing: { scheme, extent, fragmentKeys },
    })
    const openRun = async (run: readonly SegmentToOpen[]): Promise<OpenedSegment[]> => {
      const copies: Uint8Array[] = []
      const inSharedMemory = (bytes: Uint8Array): Uint8Array => {
        const shared = this.#inSharedMemory(bytes)
        if (shared !== bytes) copies.push(shared)
        return shared
      }
      const shared = run.map(({ blocks, ...segment }) => ({
        ...segment,
        blocks: blocks.map(({ index, bytes }) => ({ index, bytes: inSharedMemory(bytes) })),
      }))
      const plainBytes = run.reduce((sum, { sealedBytes }) => sum + plainLength(sealedBytes), 0)
      const plaintext = this.#plaintexts.take(plainBytes)
      const reply = await this.#run(codec, { kind: 'open', plaintext, run: shared }, [plaintext])
      for (const copy of copies) this.recycle([copy])
      return (reply as Extract<FromWorker, { opened: OpenedSegment[] }>).opened
    }
    return {
      open: async (segment, last, sealedBytes, blocks) => (await openRun([{ segment, last, sealedBytes, blocks }]))[0]!,
      openRun,
      close: () => {
        this.#closeCodec(codec)
      },
    }
  }

  takeMemory(sizeBytes: number): Uint8Array<SharedArrayBuffer> {
    const buffer = this.#shared.take(sizeBytes)
    this.#lent.add(buffer)
    return new Uint8Array(buffer)
  }

  recycle(views: readonly Uint8Array[]): void {
    const buffer = views[0]?.buffer
    if (buffer === undefined || this.#closed) return
    if (buffer instanceof SharedArrayBuffer) {
      if (this.#lent.delete(buffer)) this.#shared.give(buffer)
    } else if (!buffer.detached) {
      // Transferred, so that the views are empty from now on: whoever still reads one, or gives it back twice, does no harm.
      this.#plaintexts.give(buffer.transfer())
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#shared.clear()
    this.#plaintexts.clear()
    const lanes = [...this.#lanes]
    const unfinished = [...this.#queue, ...lanes.flatMap((lane) => [...lane.jobs.values()])]
    this.#queue = []
    this.#lanes.clear()
    for (const job of unfinished) job.reject(closedError())
    for (const codec of this.#codecs) wipe(codec)
    this.#codecs.clear()
    await Promise.all(lanes.map((lane) => lane.worker.terminate()))
  }

  /** The bytes, or a copy of them when they lie where no thread can read them. */
  #inSharedMemory(bytes: Uint8Array): Uint8Array {
    if (bytes.buffer instanceof SharedArrayBuffer) return bytes
    const copy = this.takeMemory(bytes.length)
    copyBytes(bytes, copy)
    return copy
  }

  /** Checked here, so that a wrong key is an error of `splitter` or `opener` and not of the first segment. */
  #register(cipher: AssetCipher, setup: CodecSetup): Codec {
    checkScheme(setup.sharing.scheme)
    checkFloeHeader(nodePrimitives, cipher.dek, cipher.aad, cipher.floeHeader)
    const codec: Codec = { setup, pending: 0, closed: false }
    this.#codecs.add(codec)
    return codec
  }

  #run(codec: Codec, request: Request, transfer: ArrayBuffer[]): Promise<FromWorker> {
    if (this.#closed || codec.closed) return Promise.reject(closedError())
    codec.pending++
    const done = new Promise<FromWorker>((resolve, reject) => {
      this.#queue.push({ codec, request, transfer, resolve, reject })
    })
    this.#pump()
    return done.finally(() => {
      codec.pending--
      this.#disposeWhenDone(codec)
    })
  }

  /** Hands queued jobs to threads that have room, the least busy first. */
  #pump(): void {
    for (;;) {
      if (this.#queue.length === 0) return
      const lane = this.#freeLane()
      if (lane === undefined) return
      this.#send(lane, this.#queue.shift()!)
    }
  }

  #freeLane(): Lane | undefined {
    const [least] = [...this.#lanes].sort((a, b) => a.jobs.size - b.jobs.size)
    if (least?.jobs.size === 0) return least
    if (this.#lanes.size < this.#workers) return this.#startLane()
    return least !== undefined && least.jobs.size < JOBS_PER_WORKER ? least : undefined
  }

  #send(lane: Lane, job: Job): void {
    const { codec, request, transfer } = job
    if (!lane.known.has(codec)) {
      lane.known.add(codec)
      lane.worker.postMessage(codec.setup)
    }
    const id = this.#counter++
    lane.jobs.set(id, job)
    lane.worker.ref()
    lane.worker.postMessage({ ...request, job: id, codec: codec.setup.codec }, transfer)
  }

  #startLane(): Lane {
    const lane: Lane = { worker: new Worker(this.#script), jobs: new Map(), known: new Set() }
    lane.worker.unref()
    lane.worker.on('message', (reply: FromWorker) => {
      this.#finish(lane, reply)
    })
    lane.worker.on('error', (cause: unknown) => {
      this.#lose(lane, cause)
    })
    lane.worker.on('exit', (exitCode) => {
      this.#lose(lane, new Error(`a segment worker ended with ${exitCode}`))
    })
    this.#lanes.add(lane)
    return lane
  }

  #finish(lane: Lane, reply: FromWorker): void {
    const job = lane.jobs.get(reply.job)
    if (job === undefined) return
    lane.jobs.delete(reply.job)
    if (lane.jobs.size === 0) lane.worker.unref()
    if ('error' in reply) job.reject(new MosaikError(reply.error.code, reply.error.message, reply.error.fields))
    else job.resolve(reply)
    this.#pump()
  }

  #lose(lane: Lane, cause: unknown): void {
    // 'exit' follows 'error', and follows `close`
    if (!this.#lanes.delete(lane)) return
    for (const job of lane.jobs.values()) {
      job.reject(new MosaikError('E_INTERNAL', 'a segment worker crashed; its segments must be done again', {}, cause))
    }
    void lane.worker.terminate()
    this.#pump()
  }

  #closeCodec(codec: Codec): void {
    codec.closed = true
    this.#disposeWhenDone(codec)
  }

  #disposeWhenDone(codec: Codec): void {
    if (!codec.closed || codec.pending > 0 || !this.#codecs.delete(codec)) return
    for (const lane of this.#lanes) {
      if (lane.known.delete(codec)) lane.worker.postMessage({ kind: 'forget', codec: codec.setup.codec })
    }
    wipe(codec)
  }
}

/** Of the blocks and tags that each share gets of a run. */
function shareLength(scheme: Scheme, plainBytes: number, last: boolean): number {
  const segments = Math.max(1, Math.ceil(plainBytes / SEGMENT_PLAIN_BYTES))
  const tailBytes = plainBytes - (segments - 1) * SEGMENT_PLAIN_BYTES
  const framed = (sealedBytes: number, isLast: boolean): number =>
    blockBytes(sealedBytes, dataRows(scheme), isLast) + BLOCK_TAG_BYTES
  return (segments - 1) * framed(SEGMENT_BYTES, false) + framed(tailBytes + SEGMENT_OVERHEAD_BYTES, last)
}

/** What no segment has is for the codec to refuse. */
function plainLength(sealedBytes: number): number {
  return Math.max(0, sealedBytes - SEGMENT_OVERHEAD_BYTES)
}

function closedError(): MosaikError {
  return new MosaikError('E_ABORTED', 'the segment engine is closed')
}

function copyCipher({ dek, floeHeader, aad }: AssetCipher): AssetCipher {
  return { dek: Uint8Array.from(dek), floeHeader: Uint8Array.from(floeHeader), aad: Uint8Array.from(aad) }
}

function wipe({ setup: { cipher, sharing } }: Codec): void {
  cipher.dek.fill(0)
  for (const key of sharing.fragmentKeys.values()) key.fill(0)
  if ('rowsKey' in sharing) sharing.rowsKey.fill(0)
}
