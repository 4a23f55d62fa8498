import type { TaskProgress, TaskRow, UpkeepCatalog } from '../../ports/catalog/upkeep.ts'
import type { Clock } from '../../ports/system.ts'

const LEASE_MS = 120_000
const BEAT_MS = 20_000

/** Keeps a long task's lease, and its progress in the catalog: another process takes over where this one ended. */
export class TaskLease {
  readonly #ports: { readonly upkeep: UpkeepCatalog; readonly clock: Clock }
  readonly #task: TaskRow
  #notedAtMs: number
  /** What a successor finds; noted soon after it changes. */
  progress: TaskProgress

  private constructor(ports: { readonly upkeep: UpkeepCatalog; readonly clock: Clock }, task: TaskRow) {
    this.#ports = ports
    this.#task = task
    this.#notedAtMs = ports.clock.monotonicMs()
    this.progress = task.progress
  }

  /** For writes that count only while the task is ours. */
  get task(): Pick<TaskRow, 'name' | 'fence'> {
    return this.#task
  }

  /** `undefined` while another process has the task. */
  static async claim(
    ports: { readonly upkeep: UpkeepCatalog; readonly clock: Clock },
    name: string,
  ): Promise<TaskLease | undefined> {
    const task = await ports.upkeep.claimTask(name, ports.clock.nowMs(), LEASE_MS)
    return task && new TaskLease(ports, task)
  }

  /** Call it often. @throws E_LEASE_LOST */
  async beat(): Promise<void> {
    if (this.#ports.clock.monotonicMs() - this.#notedAtMs >= BEAT_MS) await this.note()
  }

  /** @throws E_LEASE_LOST */
  async note(): Promise<void> {
    this.#notedAtMs = this.#ports.clock.monotonicMs()
    await this.#ports.upkeep.noteTask(this.#task, this.#ports.clock.nowMs(), LEASE_MS, this.progress)
  }

  /** Gives it back with its progress. @throws E_LEASE_LOST */
  async end(): Promise<void> {
    await this.#ports.upkeep.noteTask(this.#task, this.#ports.clock.nowMs(), 0, this.progress)
  }
}

/** Bytes a second, evened out over seconds. */
export class Bandwidth {
  readonly #clock: Clock
  readonly #bytesPerSecond: number
  #freeAtMs = -Infinity

  /** @param bytesPerSecond Infinity: no limit. */
  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock
    this.#bytesPerSecond = bytesPerSecond
  }

  /** Resolves when so many bytes may be moved. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#bytesPerSecond === Infinity) return
    const nowMs = this.#clock.monotonicMs()
    const startMs = Math.max(nowMs, this.#freeAtMs)
    this.#freeAtMs = startMs + (bytes * 1000) / this.#bytesPerSecond
    if (startMs > nowMs) await this.#clock.sleep(startMs - nowMs, signal)
  }
}
