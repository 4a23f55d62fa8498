import type { WorkStage } from '../../src/ports/catalog/recordings.ts'
import type { Job, JobQueue } from '../../src/ports/jobs.ts'
import type { SimulatedProcess, WorldView } from './process.ts'

interface Waiting {
  readonly job: Job
  readonly atMs: number
}

interface Consumer {
  readonly process: SimulatedProcess
  readonly concurrency: number
  readonly handler: (job: Job, signal: AbortSignal) => Promise<void>
  running: number
}

/** A to-do list that forgets, doubles, and never says so. It knows of no lease: two workers on one job are ordinary here. */
export class SimulatedQueue {
  readonly #world: WorldView
  readonly #waiting = new Map<WorkStage, Waiting[]>()
  readonly #consumers = new Map<WorkStage, Consumer[]>()

  constructor(world: WorldView) {
    this.#world = world
  }

  /** The list as a process reaches it. */
  open(process: SimulatedProcess): JobQueue {
    return {
      enqueue: (stage, job, options) =>
        process.call('queue.enqueue', () => {
          this.#enqueue(stage, job, options?.delayMs ?? 0)
          return Promise.resolve()
        }),
      process: (stage, concurrency, handler) => {
        const all = this.#consumers.get(stage) ?? []
        this.#consumers.set(stage, [...all, { process, concurrency, handler, running: 0 }])
        this.#deal(stage)
      },
      drained: () => Promise.resolve(),
      ping: () => Promise.resolve(),
      close: () => Promise.resolve(),
    }
  }

  /** FLUSHALL: nothing that waits is known any more. */
  flush(): void {
    this.#waiting.clear()
  }

  #enqueue(stage: WorkStage, job: Job, delayMs: number): void {
    const { chance, weather, time } = this.#world
    if (chance.chance(weather().lostJob)) return
    const copies = chance.chance(weather().doubledJob) ? 2 : 1
    const waiting = this.#waiting.get(stage) ?? []
    this.#waiting.set(stage, waiting)
    for (let i = 0; i < copies; i++) {
      // The same hint is kept once, unless this list errs.
      if (copies === 1 && waiting.some((one) => one.job.workId === job.workId && one.job.attempt === job.attempt))
        return
      waiting.push({ job, atMs: time.nowMs + delayMs })
    }
    void time.sleep(delayMs).then(() => this.#deal(stage))
  }

  #deal(stage: WorkStage): void {
    const waiting = this.#waiting.get(stage) ?? []
    const { time, chance } = this.#world
    while (true) {
      const free = (this.#consumers.get(stage) ?? []).filter(
        ({ process, running, concurrency }) => !process.isDead && running < concurrency,
      )
      const due = waiting.findIndex(({ atMs }) => atMs <= time.nowMs)
      if (free.length === 0 || due < 0) break
      const [next] = waiting.splice(due, 1)
      if (next) this.#run(stage, chance.pick(free), next.job)
    }
    this.#consumers.set(
      stage,
      (this.#consumers.get(stage) ?? []).filter(({ process }) => !process.isDead),
    )
  }

  #run(stage: WorkStage, consumer: Consumer, job: Job): void {
    consumer.running++
    void consumer
      .handler(job, new AbortController().signal)
      .catch(() => undefined)
      .finally(() => {
        consumer.running--
        this.#deal(stage)
      })
  }
}
