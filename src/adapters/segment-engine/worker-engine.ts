import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { innerBlockBytes } from '../../crypto/dispersal.ts'
import { SEGMENT_OVERHEAD_BYTES, SEGMENT_PLAIN_BYTES, checkFloeHeader } from '../../crypto/floe.ts'
import { BLOCK_TAG_BYTES } from '../../crypto/fragment-tag.ts'
import type { KernelName } from '../../crypto/kernel/kernel.ts'
import { checkScheme, dataRows } from '../../domain/dispersal.ts'
import { MosaikError } from '../../domain/errors.ts'
import type {
  AssetCipher,
  FramedBlock,
  OpenedSegment,
  SegmentEngine,
  SegmentOpener,
  SegmentSplitter,
  SegmentToOpen,
} from '../../ports/segment-engine.ts'
import { nodePrimitives } from '../node-primitives.ts'
import { loadKernel } from './codec-tools.ts'
import type { CodecSetup, FromWorker, OpenRequest, SplitRequest } from './protocol.ts'
import { SpareBuffers } from './spare-buffers.ts'

/** Runs of segments that lie ready at a thread, so that it never waits for the next: one in work, one behind it. */
const JOBS_PER_WORKER = 2

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
 * The segment codec on a pool of worker threads. Buffers are transferred both ways, and used again; keys are sent once a
 * thread and codec, and overwritten on close as far as JavaScript can. Threads start with the first job and do not keep
 * the process alive while idle.
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
  readonly #spare = new SpareBuffers()
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
    const framedBytes = scheme.n * (innerBlockBytes(dataRows(scheme)) + BLOCK_TAG_BYTES)
    return {
      split: async (segment, plaintext, last) => {
        const own = ownBuffer(plaintext)
        const segments = Math.ceil(plaintext.length / SEGMENT_PLAIN_BYTES)
        const target = last ? undefined : this.#spare.takeOrMake(segments * framedBytes)
        const transfer = target === undefined ? [own.buffer] : [own.buffer, target]
        const reply = await this.#run(codec, { kind: 'split', segment, last, plaintext: own, target }, transfer)
        const { framed, plaintext: free } = reply as Extract<FromWorker, { plaintext: ArrayBuffer }>
        if (!last) this.#spare.give(free)
        const shareBytes = framed.byteLength / scheme.n
        return Array.from({ length: scheme.n }, (_, i) => new Uint8Array(framed, i * shareBytes, shareBytes))
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
      const framed = this.#copy(run.flatMap(({ blocks }) => blocks))
      const described = run.map(({ blocks, ...segment }) => ({
        ...segment,
        blocks: blocks.map(({ index, bytes }) => ({ index, lengthBytes: bytes.length })),
      }))
      const plainBytes = run.reduce((sum, { sealedBytes }) => sum + plainLength(sealedBytes), 0)
      const plaintext = this.#spare.takeOrMake(plainBytes)
      const reply = await this.#run(codec, { kind: 'open', framed, plaintext, run: described }, [framed, plaintext])
      const { opened, framed: free } = reply as Extract<FromWorker, { opened: OpenedSegment[] }>
      this.#spare.give(free)
      return opened
    }
    return {
      open: async (segment, last, sealedBytes, blocks) => (await openRun([{ segment, last, sealedBytes, blocks }]))[0]!,
      openRun,
      close: () => {
        this.#closeCodec(codec)
      },
    }
  }

  takePlaintext(segments: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#spare.takeOrMake(segments * SEGMENT_PLAIN_BYTES))
  }

  recycle(views: readonly Uint8Array<ArrayBuffer>[]): void {
    const buffer = views[0]?.buffer
    // Transferred, so that the views are empty from now on: whoever still reads one, or gives it back twice, does no harm.
    if (buffer !== undefined && !buffer.detached && !this.#closed) this.#spare.give(buffer.transfer())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#spare.clear()
    const lanes = [...this.#lanes]
    const unfinished = [...this.#queue, ...lanes.flatMap((lane) => [...lane.jobs.values()])]
    this.#queue = []
    this.#lanes.clear()
    for (const job of unfinished) job.reject(closedError())
    for (const codec of this.#codecs) wipe(codec)
    this.#codecs.clear()
    await Promise.all(lanes.map((lane) => lane.worker.terminate()))
  }

  /** Blocks are often views of one answer of a node, and the caller keeps the good ones when others were bad. */
  #copy(blocks: readonly FramedBlock[]): ArrayBuffer {
    const buffer = this.#spare.takeOrMake(blocks.reduce((length, { bytes }) => length + bytes.length, 0))
    const whole = new Uint8Array(buffer)
    let at = 0
    for (const { bytes } of blocks) {
      whole.set(bytes, at)
      at += bytes.length
    }
    return buffer
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

/** A view of part of a buffer would send, or take away, all of it; Node's pooled buffers cannot be transferred at all. */
function ownBuffer(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes)
}
