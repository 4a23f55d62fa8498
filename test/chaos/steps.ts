import pg from 'pg'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Group } from '../../src/main/groups.ts'

/** A named step: what a row says when it is done, and who has just done it. */
interface Step {
  readonly name: string
  readonly group: Group
  /** `insert` or `update of …`, with the table and the condition on old and new. */
  readonly event: string
  readonly table: string
  readonly when: string
}

const becomes = (column: string, value: string): string =>
  `new.${column} = '${value}' and old.${column} is distinct from '${value}'`

/** Every step after which a crash leaves something behind (docs/ARCHITECTURE.md "Ordering"). */
export const steps: readonly Step[] = [
  { name: 'upload-begun', group: 'api', event: 'insert', table: 'uploads', when: 'true' },
  { name: 'upload-complete', group: 'api', event: 'update', table: 'uploads', when: becomes('state', 'complete') },
  { name: 'recording-made', group: 'api', event: 'insert', table: 'recordings', when: 'true' },
  { name: 'store-claimed', group: 'store', event: 'update', table: 'work', when: claimed('store') },
  { name: 'original-begun', group: 'store', event: 'insert', table: 'attempts', when: "new.kind = 'original'" },
  { name: 'fragment-begun', group: 'store', event: 'insert', table: 'objects', when: "new.kind = 'fragment'" },
  { name: 'fragment-stored', group: 'store', event: 'update', table: 'objects', when: storedAs('fragment') },
  { name: 'generation-reserved', group: 'store', event: 'insert', table: 'generations', when: 'new.generation = 1' },
  { name: 'manifest-begun', group: 'store', event: 'insert', table: 'objects', when: "new.kind = 'manifest'" },
  { name: 'manifest-share-stored', group: 'store', event: 'update', table: 'objects', when: storedAs('manifest') },
  { name: 'receipt-kept', group: 'store', event: 'insert', table: 'receipts', when: 'true' },
  { name: 'transcode-added', group: 'store', event: 'insert', table: 'work', when: "new.stage = 'transcode'" },
  { name: 'release-added', group: 'store', event: 'insert', table: 'work', when: "new.stage = 'release'" },
  { name: 'release-claimed', group: 'store', event: 'update', table: 'work', when: claimed('release') },
  { name: 'upload-consumed', group: 'store', event: 'update', table: 'uploads', when: becomes('state', 'consumed') },
  { name: 'transcode-claimed', group: 'transcode', event: 'update', table: 'work', when: claimed('transcode') },
  { name: 'rendition-begun', group: 'transcode', event: 'insert', table: 'attempts', when: "new.kind = 'rendition'" },
  { name: 'second-reserved', group: 'transcode', event: 'insert', table: 'generations', when: 'new.generation > 1' },
  { name: 'ready', group: 'transcode', event: 'update', table: 'recordings', when: becomes('state', 'ready') },
  {
    ...{ name: 'state-numbered', group: 'upkeep', event: 'update', table: 'organisations' },
    when: 'new.state_generation <> old.state_generation',
  },
  { name: 'state-begun', group: 'upkeep', event: 'insert', table: 'objects', when: "new.kind = 'state'" },
  { name: 'object-deleted', group: 'upkeep', event: 'update', table: 'objects', when: becomes('state', 'deleted') },
]

function claimed(stage: string): string {
  return `new.stage = '${stage}' and new.state = 'running' and new.fence <> old.fence`
}

function storedAs(kind: string): string {
  return `new.kind = '${kind}' and ${becomes('state', 'stored')}`
}

/**
 * Hears of the named steps from the database itself, at the commit that makes each of them true: nothing of the vault knows that it is
 * watched. The triggers lie in this one database.
 */
export class StepWatch {
  readonly #url: string
  readonly #waiting = new Set<(name: string) => void>()
  readonly seen = new Map<string, number>()
  #client: pg.Client | undefined
  #isClosed = false

  private constructor(url: string) {
    this.#url = url
  }

  static async begin(url: string): Promise<StepWatch> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query(
      `create function chaos_step() returns trigger language plpgsql as
        $$ begin perform pg_notify('chaos', tg_argv[0]); return null; end $$`,
    )
    for (const [i, { name, event, table, when }] of steps.entries()) {
      await client.query(
        `create trigger chaos_${i} after ${event} on ${table} for each row when (${when}) execute function chaos_step('${name}')`,
      )
    }
    await client.end()
    const watch = new StepWatch(url)
    void watch.#listen()
    return watch
  }

  /** Resolves with the first of the named steps that is done next, or with undefined when none is for so long. */
  async next(names: ReadonlySet<string>, timeoutMs: number): Promise<string | undefined> {
    const stop = new AbortController()
    return await new Promise((resolve) => {
      const hear = (done: string): void => {
        if (names.has(done)) end(done)
      }
      const end = (done: string | undefined): void => {
        this.#waiting.delete(hear)
        stop.abort()
        resolve(done)
      }
      this.#waiting.add(hear)
      sleep(timeoutMs, undefined, { signal: stop.signal }).then(
        () => end(undefined),
        () => undefined,
      )
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#client?.end().catch(() => undefined)
  }

  /** Listens again each time that the server is back. */
  async #listen(): Promise<void> {
    while (!this.#isClosed) {
      const client = new pg.Client({ connectionString: this.#url })
      const isGone = new Promise<void>((resolve) => {
        client.on('error', () => resolve())
        client.on('end', () => resolve())
      })
      client.on('notification', ({ payload = '' }) => {
        this.seen.set(payload, (this.seen.get(payload) ?? 0) + 1)
        for (const hear of [...this.#waiting]) hear(payload)
      })
      try {
        await client.connect()
        this.#client = client
        await client.query('listen chaos')
        await isGone
      } catch {
        await sleep(100)
      }
      await client.end().catch(() => undefined)
    }
  }
}
