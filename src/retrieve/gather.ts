import type { Scheme } from '../domain/dispersal.ts'
import { MosaikError, isMosaikError } from '../domain/errors.ts'
import type { Id } from '../domain/ids.ts'
import type { NodePool } from '../ports/node-pool.ts'
import type { ObjectKey } from '../ports/object-store.ts'
import type { Clock } from '../ports/system.ts'

/** Where one share of what is wanted lies. */
export interface ShareSource {
  readonly index: number
  readonly node: Id
  readonly nodeName: string
  readonly key: ObjectKey
}

export interface GatherPorts {
  readonly pool: NodePool
  readonly clock: Clock
}

/** Bytes of one share. */
export interface GatheredShare {
  readonly source: ShareSource
  readonly bytes: Uint8Array<ArrayBuffer>
}

/** A spare is asked when a node takes longer than this many times what it was expected to take … */
const HEDGE_FACTOR = 3
/** … but not before this. */
const HEDGE_MIN_MS = 40
/** And a node that is silent this long has failed. */
const DEADLINE_MS = 30_000

/**
 * Gets the same byte range of k different shares from the fastest healthy nodes; a node that fails is replaced at once, one that is late
 * is hedged by a spare. More shares can be asked for later (`more`), when one of them turns out to be bad.
 */
export class Gather {
  readonly #ports: GatherPorts
  readonly #scheme: Scheme
  readonly #range: { readonly offsetBytes: number; readonly lengthBytes: number } | undefined
  readonly #waiting: ShareSource[]
  readonly #failures: { readonly nodeName: string; readonly error: unknown }[] = []
  readonly #signal: AbortSignal
  readonly #stop = new AbortController()

  /** @param sources one a share, of one sharing. */
  constructor(
    ports: GatherPorts,
    scheme: Scheme,
    sources: readonly ShareSource[],
    range: { readonly offsetBytes: number; readonly lengthBytes: number } | undefined,
    signal: AbortSignal,
  ) {
    this.#ports = ports
    this.#scheme = scheme
    this.#range = range
    this.#signal = AbortSignal.any([signal, this.#stop.signal])
    this.#waiting = sources.toSorted((a, b) => this.#rank(a) - this.#rank(b))
  }

  /** Names the trouble of a share that came and was bad, for the error that may follow. */
  reject(share: GatheredShare, error: MosaikError): void {
    this.#failures.push({ nodeName: share.source.nodeName, error })
    this.#ports.pool.observe(share.source.node, 'failed', 0)
  }

  /** Stops what is still under way. */
  close(): void {
    this.#stop.abort(new MosaikError('E_ABORTED', 'enough shares came'))
  }

  /** `count` more shares. @throws E_SHARES_TOO_FEW naming every node that failed and why; the signal's reason. */
  async take(count: number): Promise<GatheredShare[]> {
    const came: GatheredShare[] = []
    const running = new Set<Promise<void>>()
    let wake: () => void = () => undefined
    const start = (): boolean => {
      const source = this.#waiting.shift()
      if (!source) return false
      const startedAtMs = this.#ports.clock.monotonicMs()
      const call = this.#fetch(source)
        .then(
          (bytes) => {
            this.#ports.pool.observe(source.node, 'ok', this.#ports.clock.monotonicMs() - startedAtMs)
            came.push({ source, bytes })
          },
          (error: unknown) => {
            if (this.#signal.aborted) return
            this.#ports.pool.observe(source.node, 'failed', 0)
            this.#failures.push({ nodeName: source.nodeName, error })
            start()
          },
        )
        .finally(() => {
          running.delete(call)
          wake()
        })
      running.add(call)
      return true
    }
    const expectedMs = this.#waiting[count - 1] ? this.#ports.pool.expectedMs(this.#waiting[count - 1]!.node) : 0
    for (let i = 0; i < count; i++) start()
    const hedge = new AbortController()
    void this.#hedge(
      Math.max(HEDGE_MIN_MS, HEDGE_FACTOR * expectedMs),
      () => came.length < count && start(),
      hedge.signal,
    )
    try {
      while (came.length < count) {
        this.#signal.throwIfAborted()
        if (running.size === 0) throw this.#tooFew(came.length)
        await new Promise<void>((resolve) => {
          wake = resolve
          this.#signal.addEventListener('abort', () => resolve(), { once: true })
        })
      }
      return came.slice(0, count)
    } finally {
      hedge.abort()
    }
  }

  /** Asks one more spare each time the delay passes without enough answers. */
  async #hedge(delayMs: number, startSpare: () => boolean, signal: AbortSignal): Promise<void> {
    try {
      do await this.#ports.clock.sleep(delayMs, AbortSignal.any([signal, this.#signal]))
      while (startSpare())
    } catch {
      // The sleep ends so when enough came.
    }
  }

  async #fetch(source: ShareSource): Promise<Uint8Array<ArrayBuffer>> {
    const deadline = new AbortController()
    const timer = this.#ports.clock.sleep(DEADLINE_MS, AbortSignal.any([deadline.signal, this.#signal])).then(
      () => deadline.abort(new MosaikError('E_NODE_UNREACHABLE', `node ${source.nodeName} did not answer in time`)),
      () => undefined,
    )
    try {
      const store = await this.#ports.pool.store(source.node)
      return await store.get(source.key, this.#range, AbortSignal.any([deadline.signal, this.#signal]))
    } finally {
      deadline.abort()
      await timer
    }
  }

  #rank(source: ShareSource): number {
    const unhealthy = this.#ports.pool.isHealthy(source.node) ? 0 : 1e9
    return unhealthy + this.#ports.pool.expectedMs(source.node)
  }

  #tooFew(came: number): MosaikError {
    const reasons = this.#failures.map(
      ({ nodeName, error }) => `${nodeName}: ${isMosaikError(error) ? `${error.code} ${error.message}` : 'failed'}`,
    )
    return new MosaikError(
      'E_SHARES_TOO_FEW',
      `${this.#scheme.k} shares are needed and the nodes gave ${came}; missing: ${reasons.join('; ') || 'no other share is known'}`,
      { needed: this.#scheme.k, came, reasons },
      this.#failures[0]?.error,
    )
  }
}
