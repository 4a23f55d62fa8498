import { MosaikError, isMosaikError } from '../../domain/errors.ts'
import type { StorageNode } from '../../domain/node.ts'
import type { LayoutCatalog } from '../../ports/catalog/layout.ts'
import { withDeadline } from '../../ports/deadline.ts'
import type { NodePool } from '../../ports/node-pool.ts'
import type { ObjectKey, ObjectWriter } from '../../ports/object-store.ts'
import type { Clock, Log } from '../../ports/system.ts'
import type { ShareReadPorts } from './check-share.ts'

export interface LanePorts {
  readonly catalog: { readonly layout: LayoutCatalog }
  readonly pool: NodePool
  readonly clock: Clock
  readonly log: Log
  readonly pace: ShareReadPorts['pace']
}

/** Where one share goes. */
export interface ShareTarget {
  readonly index: number
  readonly node: StorageNode
}

export const WRITE_TIMEOUT_MS = 120_000

/** One new object on one node; its row is there before it. A node that does not take its bytes ends this lane and no other. */
export class ShareLane {
  readonly target: ShareTarget
  readonly key: ObjectKey
  isAlive = true
  /** Why it ended without its object. */
  error: unknown
  readonly #ports: LanePorts
  readonly #signal: AbortSignal
  readonly #cancel = new AbortController()
  #writer: ObjectWriter | undefined
  #writtenBytes = 0

  constructor(ports: LanePorts, target: ShareTarget, key: ObjectKey, signal: AbortSignal) {
    this.#ports = ports
    this.target = target
    this.key = key
    this.#signal = signal
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (!this.isAlive) return
    try {
      await this.#ports.pace(bytes.length, this.#signal)
      await this.#inTime(async () => {
        this.#writer ??= await (
          await this.#ports.pool.store(this.target.node.id)
        ).create(this.key, AbortSignal.any([this.#signal, this.#cancel.signal]))
        await this.#writer.write(bytes)
      })
      this.#writtenBytes += bytes.length
    } catch (error) {
      await this.#fail(error)
    }
  }

  /** Size of the object when it lies verified on the node; its row is for the caller. */
  async commit(): Promise<number | undefined> {
    const writer = this.#writer
    if (!this.isAlive || !writer) return undefined
    try {
      const { sizeBytes } = await this.#inTime(() => writer.commit())
      if (sizeBytes !== this.#writtenBytes) {
        throw new MosaikError('E_NODE_CORRUPT', `the node has ${sizeBytes} bytes of ${this.#writtenBytes}`)
      }
      return sizeBytes
    } catch (error) {
      await this.#fail(error)
      return undefined
    }
  }

  async giveUp(error: unknown): Promise<void> {
    if (!this.isAlive) return
    this.isAlive = false
    this.error = error
    this.#cancel.abort(error)
    await this.#writer?.abort()
    await this.#ports.catalog.layout
      .setObjectState(this.target.node.id, this.key, 'failed')
      .catch((failure: unknown) => {
        if (!isMosaikError(failure)) throw failure
      })
  }

  async #fail(error: unknown): Promise<void> {
    await this.giveUp(error)
    this.#signal.throwIfAborted()
    if (!isMosaikError(error) || error.code === 'E_LEASE_LOST') throw error
    this.#ports.pool.observe(this.target.node.id, 'failed', 0)
    this.#ports.log.warn('repair.node-failed', { node: this.target.node.id, object: this.key, code: error.code })
  }

  async #inTime<T>(call: () => Promise<T>): Promise<T> {
    const late = (): MosaikError =>
      new MosaikError('E_NODE_UNREACHABLE', 'the node takes no more bytes', { node: this.target.node.id })
    const { clock } = this.#ports
    return await withDeadline({ clock, limitMs: WRITE_TIMEOUT_MS, signal: this.#signal, late }, call)
  }
}
