import type { S3Client } from '@aws-sdk/client-s3'
import { MosaikError } from '../../domain/errors.ts'
import type { S3Settings } from '../../ports/node-driver.ts'
import type { Clock, Random } from '../../ports/system.ts'
import { aborted, checkSignal } from '../object-key.ts'
import { createNodeClient, type NodeClient, type S3Limits } from './client.ts'
import { judge, nodeError } from './errors.ts'

/** What an S3 store takes from the outside world. */
export interface S3World {
  readonly clock: Pick<Clock, 'nowMs' | 'sleep'>
  readonly random: Pick<Random, 'fraction'>
}

/** One call, before it is made. */
export interface Call<T> {
  /** S3 operation, for errors. */
  readonly operation: string
  /** Key as the vault knows it, without the prefix. */
  readonly key: string | null
  /** Bytes that the request or its answer carries: they lengthen the deadline. */
  readonly bodyBytes?: number
  /** False when the call must not be repeated. */
  readonly repeatable?: boolean
  readonly signal: AbortSignal
  /** Makes the request and takes its answer in, body and all. Called again for each try. */
  send(s3: S3Client, signal: AbortSignal): Promise<T>
}

/** Makes the calls to one bucket: deadlines, retries, errors. */
export class S3Caller {
  readonly label: string
  readonly bucket: string
  readonly limits: S3Limits
  readonly #prefix: string
  readonly #secrets: readonly string[]
  readonly #client: NodeClient
  readonly #world: S3World

  constructor(settings: S3Settings, label: string, limits: S3Limits, world: S3World) {
    this.label = label
    this.bucket = settings.bucket
    this.limits = limits
    this.#prefix = settings.prefix ?? ''
    this.#secrets = [settings.secretAccessKey, settings.accessKeyId]
    this.#client = createNodeClient(settings, limits)
    this.#world = world
  }

  /** The key in the bucket. */
  inBucket(key: string): string {
    return this.#prefix + key
  }

  /** The key in the vault of a key in the bucket. */
  inVault(bucketKey: string): string {
    return bucketKey.slice(this.#prefix.length)
  }

  /** The node's clock minus ours, as of the latest answer; undefined without one. */
  clockSkewMs(): number | undefined {
    const serverMs = this.#client.serverTimeMs()
    return serverMs === undefined ? undefined : serverMs - this.#world.clock.nowMs()
  }

  /**
   * Makes a call, again where that can help: at once refused connections, 5xx, damage on the way, up to the limit; after a
   * time-out only once more, since a stalled node must not stall a write.
   * @throws E_ABORTED when the signal is aborted, else what `judge` says, without secrets.
   */
  async call<T>(call: Call<T>): Promise<T> {
    const { signal, repeatable = true } = call
    let timeouts = 0
    for (let attempt = 1; ; attempt++) {
      checkSignal(signal)
      const deadline = new Deadline(signal, this.#deadlineMs(call.bodyBytes ?? 0))
      try {
        return await call.send(this.#client.s3, deadline.signal)
      } catch (error) {
        if (signal.aborted) throw aborted(signal)
        if (deadline.passed || isTimeout(error)) timeouts++
        const again = repeatable && attempt < this.limits.attempts && timeouts < 2 && mayHelp(error)
        if (!again) throw this.#failure(error, call, deadline.passed)
      } finally {
        deadline.end()
      }
      await this.#backOff(attempt, signal)
    }
  }

  close(): void {
    this.#client.close()
  }

  #deadlineMs(bodyBytes: number): number {
    return 2 * this.limits.idleMs + (bodyBytes / this.limits.minBytesPerSecond) * 1000
  }

  #failure(error: unknown, { operation, key }: Call<unknown>, late: boolean): MosaikError {
    if (late && !(error instanceof MosaikError)) {
      const fields = { node: this.label, operation, key }
      return new MosaikError('E_NODE_UNREACHABLE', `node ${this.label}: ${operation} did not end in time`, fields)
    }
    return nodeError(error, { label: this.label, operation, key }, this.#secrets)
  }

  async #backOff(attempt: number, signal: AbortSignal): Promise<void> {
    const ceilingMs = this.limits.backOffMs * 2 ** (attempt - 1)
    try {
      await this.#world.clock.sleep(ceilingMs * (0.5 + this.#world.random.fraction() / 2), signal)
    } catch (error) {
      throw signal.aborted ? aborted(signal) : error
    }
  }
}

/** Whether the node was silent. The SDK gives the name of a time-out to connections that were broken off, too: those cost no time. */
function isTimeout(error: unknown): boolean {
  const isBrokenOff = (code: unknown): boolean => code === 'ECONNRESET' || code === 'EPIPE'
  return error instanceof Error && error.name === 'TimeoutError' && !isBrokenOff((error as { code?: unknown }).code)
}

function mayHelp(error: unknown): boolean {
  return error instanceof MosaikError ? error.code === 'E_NODE_UNREACHABLE' : judge(error).again
}

/** A signal that follows the caller's and also ends after a time. */
class Deadline {
  readonly #controller = new AbortController()
  readonly #outer: AbortSignal
  readonly #timer: NodeJS.Timeout
  readonly #follow = (): void => this.#controller.abort(this.#outer.reason)
  passed = false

  constructor(outer: AbortSignal, delayMs: number) {
    this.#outer = outer
    outer.addEventListener('abort', this.#follow, { once: true })
    this.#timer = setTimeout(() => {
      this.passed = true
      this.#controller.abort(new Error('deadline'))
    }, delayMs)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#outer.removeEventListener('abort', this.#follow)
  }
}
